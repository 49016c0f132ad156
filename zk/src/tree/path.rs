//! Which strings are paths. Source: `PathUtils.validatePath` of ZooKeeper 3.9.

use crate::jute::ErrorCode;

/// Parent and name; `None` for the root and for what has no slash.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let slash = path.rfind('/')?;
    let (parent, name) = (&path[..slash], &path[slash + 1..]);
    if slash == 0 && name.is_empty() {
        return None;
    }
    Some((if slash == 0 { "/" } else { parent }, name))
}

/// Accepts absolute paths without empty, `.` or `..` parts, without control characters, and without the
/// characters Java's check refuses: its surrogates (so everything above U+FFFF), private use, and U+FFF0 up.
pub fn validate(path: &str) -> Result<(), ErrorCode> {
    if path == "/" {
        return Ok(());
    }
    let Some(rest) = path.strip_prefix('/') else { return Err(ErrorCode::BadArguments) };
    let part_is_bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if rest.split('/').any(part_is_bad) || path.chars().any(is_refused) {
        return Err(ErrorCode::BadArguments);
    }
    Ok(())
}

fn is_refused(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_java_accepts() {
        for path in ["/", "/a", "/a/b", "/a.b/..c", "/...", "/ü/日本", "/a b", "/\u{a0}"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
        let bad = [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/a\0",
            "/\u{1}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{fffd}",
            "/😀",
        ];
        for path in bad {
            assert_eq!(validate(path), Err(ErrorCode::BadArguments), "{path:?}");
        }
    }

    #[test]
    fn split_at_the_last_slash() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), None);
        assert_eq!(split("a"), None);
    }
}
