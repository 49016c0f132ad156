//! JSON as Kafka's Jackson writes it: keys in the order given, no white space; and reading with a size bound.
//!
//! Depth is bounded by `serde_json` (128 levels). Knows no znode.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use serde::de::DeserializeOwned;

use super::{MAX_ZNODE_BYTES, ZnodeError};

/// Reads `data` as the JSON of `path`.
pub(super) fn read<T: DeserializeOwned>(path: &str, data: &[u8]) -> Result<T, ZnodeError> {
    if data.len() > MAX_ZNODE_BYTES {
        return Err(ZnodeError::new(
            path,
            format!("{} bytes, at most {MAX_ZNODE_BYTES} are read", data.len()),
        ));
    }
    serde_json::from_slice(data).map_err(|error| ZnodeError::new(path, format!("{error}")))
}

/// Writes one JSON object.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Object {
        Object("{".to_owned())
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, key);
        self.0.push(':');
    }

    /// A value that is JSON already.
    pub(super) fn raw(mut self, key: &str, value: impl Display) -> Object {
        self.key(key);
        push(&mut self.0, value);
        self
    }

    pub(super) fn text(mut self, key: &str, value: &str) -> Object {
        self.key(key);
        push_text(&mut self.0, value);
        self
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.finish().into_bytes()
    }
}

/// `[..]` of values that are JSON already.
pub(super) fn array<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut out = "[".to_owned();
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(&mut out, value);
    }
    out.push(']');
    out
}

/// `["..",".."]`.
pub(super) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    array(values.into_iter().map(quoted))
}

/// `{"0":[1,2],..}`, ascending.
pub(super) fn replicas(partitions: &BTreeMap<i32, Vec<i32>>) -> String {
    partitions
        .iter()
        .fold(Object::new(), |object, (partition, ids)| object.raw(&partition.to_string(), array(ids)))
        .finish()
}

/// One quoted and escaped text.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_text(&mut out, text);
    out
}

fn push(out: &mut String, value: impl Display) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}

/// Jackson's escapes: short ones where JSON has them, else `\u00XX` in upper case; all else is plain UTF-8.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => push(out, format_args!("\\u{:04X}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_through_another_parser() {
        let text: String = (0u32..0x300).filter_map(char::from_u32).chain("😀\"\\/".chars()).collect();
        assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        assert_eq!(quoted("a\u{1f}\"b\n"), "\"a\\u001F\\\"b\\n\"");
    }

    #[test]
    fn hostile_inputs_are_errors() {
        let deep = "[".repeat(100_000);
        assert!(read::<serde_json::Value>("/x", deep.as_bytes()).is_err());
        let huge = vec![b' '; MAX_ZNODE_BYTES + 1];
        assert!(read::<serde_json::Value>("/x", &huge).unwrap_err().what.contains("at most"));
    }
}
