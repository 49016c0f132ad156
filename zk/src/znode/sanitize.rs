//! Names of users and clients as names of znodes: URL-encoding as Java does it, then `*` and space made safe for JMX.
//! Source: `Sanitizer`, `URLEncoder`.

/// The node name for `name`.
pub fn sanitize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(other >> 4)]));
                out.push(char::from(HEX[usize::from(other & 15)]));
            }
        }
    }
    out
}

/// The name behind a node name; `None` if it is not sanitized text.
pub fn desanitize(node: &str) -> Option<String> {
    let mut out = Vec::with_capacity(node.len());
    let mut bytes = node.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_java_encodes() {
        assert_eq!(sanitize("User:a b*c/d~é"), "User%3Aa%20b%2Ac%2Fd%7E%C3%A9");
        let all: String = (1u32..0x500).filter_map(char::from_u32).collect();
        assert_eq!(desanitize(&sanitize(&all)), Some(all));
        assert_eq!(desanitize("a+b"), Some("a b".into()));
        assert_eq!(desanitize("%4"), None);
        assert_eq!(desanitize("%zz"), None);
        assert_eq!(desanitize("%ff"), None);
    }
}
