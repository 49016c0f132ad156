//! A line of standard input as a record: `[headers][key]value`, with the separators that the user names.
//!
//! Bytes that are no text pass as they are. Knows nothing of where lines come from or records go to. Source:
//! `LineMessageReader`.

use regex::bytes::{Regex, RegexBuilder};

use super::client_config::Properties;
use crate::protocol::records::Header;

/// What precedes the errors that Kafka's tool dies of.
const EXCEPTION: &str = "org.apache.kafka.common.KafkaException: ";

/// The separators.
#[derive(Debug)]
pub struct LineReader {
    key_separator: Option<Vec<u8>>,
    headers: Option<HeaderSeparators>,
    null_marker: Option<Vec<u8>>,
    ignores_errors: bool,
}

#[derive(Debug)]
struct HeaderSeparators {
    delimiter: Vec<u8>,
    /// Between headers; an expression, as in Kafka.
    separator: Regex,
    key_separator: Vec<u8>,
}

/// A line taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: Vec<Header<'a>>,
}

impl LineReader {
    /// Reads `parse.key`, `key.separator`, `parse.headers`, `headers.*`, `null.marker`, `ignore.error`.
    pub fn new(settings: &Properties) -> Result<LineReader, String> {
        let is = |key: &str| settings.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let text = |key: &str, default| settings.get(key).map_or(default, String::as_str);
        let key = text("key.separator", "\t");
        let delimiter = text("headers.delimiter", "\t");
        let separator = text("headers.separator", ",");
        let header_key = text("headers.key.separator", ":");
        let null_marker = settings.get("null.marker");
        let null = null_marker.map(String::as_str);
        let clashes = [
            (Some(delimiter), separator, "headers.delimiter and headers.separator"),
            (Some(delimiter), header_key, "headers.delimiter and headers.key.separator"),
            (Some(separator), header_key, "headers.separator and headers.key.separator"),
            (null, key, "null.marker and key.separator"),
            (null, separator, "null.marker and headers.separator"),
            (null, delimiter, "null.marker and headers.delimiter"),
            (null, header_key, "null.marker and headers.key.separator"),
        ];
        if let Some((_, _, names)) = clashes.iter().find(|(one, other, _)| *one == Some(*other)) {
            return Err(format!("{EXCEPTION}{names} may not be equal"));
        }
        let pattern = RegexBuilder::new(separator)
            .unicode(false)
            .build()
            .map_err(|_| format!("headers.separator={separator} is no regular expression; correct it"))?;
        let headers = HeaderSeparators {
            delimiter: delimiter.into(),
            separator: pattern,
            key_separator: header_key.into(),
        };
        Ok(LineReader {
            key_separator: is("parse.key").then(|| key.into()),
            headers: is("parse.headers").then_some(headers),
            null_marker: null_marker.map(|text| text.clone().into_bytes()),
            ignores_errors: is("ignore.error"),
        })
    }

    /// Takes line `number` (from 1) apart; it has no line end.
    pub fn parse<'a>(&self, line: &'a [u8], number: u64) -> Result<Parsed<'a>, String> {
        let (mut rest, mut parsed) = (line, Parsed::default());
        if let Some(separators) = &self.headers {
            let headers = self.cut(&mut rest, &separators.delimiter, "headers delimiter", line, number)?;
            if let Some(headers) = headers.filter(|headers| !self.is_null(headers)) {
                parsed.headers = self.split_headers(headers, separators, number)?;
            }
        }
        if let Some(separator) = &self.key_separator {
            let key = self.cut(&mut rest, separator, "key separator", line, number)?;
            parsed.key = key.filter(|key| !self.is_null(key));
        }
        parsed.value = Some(rest).filter(|value| !self.is_null(value));
        Ok(parsed)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker.as_deref() == Some(text)
    }

    /// What stands before `separator`; it leaves `rest` together with it.
    fn cut<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &[u8],
        name: &str,
        line: &[u8],
        number: u64,
    ) -> Result<Option<&'a [u8]>, String> {
        match find(rest, separator) {
            Some(at) => {
                let found = &rest[..at];
                *rest = &rest[at + separator.len()..];
                Ok(Some(found))
            }
            None if self.ignores_errors => Ok(None),
            None => {
                let line = String::from_utf8_lossy(line);
                Err(format!("{EXCEPTION}No {name} found on line number {number}: '{line}'"))
            }
        }
    }

    fn split_headers<'a>(
        &self,
        headers: &'a [u8],
        separators: &HeaderSeparators,
        number: u64,
    ) -> Result<Vec<Header<'a>>, String> {
        let mut pairs: Vec<&[u8]> = separators.separator.split(headers).collect();
        // As Java splits: what is empty at the end does not count.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let header = |pair: &'a [u8]| {
            let shown = String::from_utf8_lossy(pair);
            let Some(at) = find(pair, &separators.key_separator) else {
                return match self.ignores_errors {
                    true => Ok(Header { key: pair, value: None }),
                    false => Err(format!(
                        "{EXCEPTION}No header key separator found in pair '{shown}' on line number {number}"
                    )),
                };
            };
            let (key, value) = (&pair[..at], &pair[at + separators.key_separator.len()..]);
            if self.is_null(key) {
                let marker = String::from_utf8_lossy(key);
                return Err(format!(
                    "{EXCEPTION}Header keys should not be equal to the null marker '{marker}' as they can't be null"
                ));
            }
            Ok(Header { key, value: Some(value).filter(|value| !self.is_null(value)) })
        };
        pairs.into_iter().map(header).collect()
    }
}

/// Where `wanted` begins in `text`; an empty one at once.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::super::client_config::key_values;
    use super::*;

    fn parse(settings: &[&str], line: &str) -> Result<String, String> {
        let reader = LineReader::new(&key_values(settings))?;
        let parsed = reader.parse(line.as_bytes(), 7)?;
        let text = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "NIL".into(),
        };
        let header = |header: &Header<'_>| format!("{}={}", text(Some(header.key)), text(header.value));
        let headers: Vec<String> = parsed.headers.iter().map(header).collect();
        Ok(format!("[{}] {} {}", headers.join(" "), text(parsed.key), text(parsed.value)))
    }

    #[test]
    fn headers_key_and_value() {
        let all = ["parse.key=true", "parse.headers=TRUE", "null.marker=N"];
        assert_eq!(parse(&[], "a\tb").unwrap(), "[] NIL a\tb");
        assert_eq!(parse(&all[..1], "a\tb\tc").unwrap(), "[] a b\tc");
        assert_eq!(parse(&all, "h1:v1,h2:N,,\tk\tv").unwrap(), "[h1=v1 h2=NIL] k v");
        assert_eq!(parse(&all, "N\tN\tN").unwrap(), "[] NIL NIL");
        assert_eq!(parse(&["parse.key=true", "key.separator=:"], "a:b:c").unwrap(), "[] a b:c");
    }

    #[test]
    fn what_is_missing_is_an_error_or_ignored() {
        let all = ["parse.key=true", "parse.headers=true", "ignore.error=true"];
        let error = |settings: &[&str], line: &str| parse(settings, line).unwrap_err();
        let no_key = "org.apache.kafka.common.KafkaException: No key separator found on line number 7: 'x'";
        assert_eq!(error(&all[..1], "x"), no_key);
        assert!(error(&all[..2], "x").contains("No headers delimiter found on line number 7: 'x'"));
        assert!(error(&all[..2], "x\ty\tz").contains("No header key separator found in pair 'x'"));
        assert_eq!(parse(&all, "x").unwrap(), "[] NIL x");
        assert_eq!(parse(&all, "x\ty\tz").unwrap(), "[x=NIL] y z");
        assert!(error(&["headers.separator=:"], "x").contains("headers.key.separator may not be equal"));
        assert!(error(&["null.marker=\t"], "x").contains("null.marker and key.separator may not be equal"));
    }
}
