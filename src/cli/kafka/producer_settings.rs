//! Settings of Java producers as the tools that write records read them. Errors are in the words of `ConfigException`.
//!
//! Source: `ProducerConfig`.

use std::time::Duration;

use super::client_config::Properties;
use crate::protocol::records::Compression;

/// What precedes errors in values of settings.
const EXCEPTION: &str = "org.apache.kafka.common.config.ConfigException: ";

/// Who must have a record: -1 all in sync, 1 the leader, 0 nobody.
pub fn acks(text: Option<&str>) -> Result<i16, String> {
    match text.unwrap_or("-1").trim() {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        "0" => Ok(0),
        other => Err(format!(
            "{EXCEPTION}Invalid value {other} for configuration acks: String must be one of: all, -1, 0, 1"
        )),
    }
}

/// The codec of that name.
pub fn compression(name: &str) -> Result<Compression, String> {
    Compression::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| {
        format!(
            "{EXCEPTION}Invalid value {name} for configuration compression.type: String must be one of: none, gzip, \
             snappy, lz4, zstd"
        )
    })
}

/// A setting that is a number.
pub fn number(settings: &Properties, key: &str) -> Result<Option<i64>, String> {
    let parse = |text: &String| {
        let wrong = || format!("{EXCEPTION}Invalid value {text} for configuration {key}: Not a number");
        text.trim().parse::<i64>().map_err(|_| wrong())
    };
    settings.get(key).map(parse).transpose()
}

/// A setting that is a number of bytes or of things, at least `least`; `usual` unless set.
pub fn count(settings: &Properties, key: &str, least: usize, usual: usize) -> Result<usize, String> {
    let Some(number) = number(settings, key)? else { return Ok(usual) };
    usize::try_from(number).ok().filter(|number| *number >= least).ok_or_else(|| {
        format!("{EXCEPTION}Invalid value {number} for configuration {key}: Value must be at least {least}")
    })
}

/// A setting that is milliseconds; `usual` unless set.
pub fn millis(settings: &Properties, key: &str, usual: Duration) -> Result<Duration, String> {
    Ok(Duration::from_millis(count(settings, key, 0, usual.as_millis() as usize)? as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_in_kafkas_words() {
        assert_eq!((acks(None), acks(Some("all")), acks(Some("0"))), (Ok(-1), Ok(-1), Ok(0)));
        assert!(acks(Some("2")).unwrap_err().starts_with(EXCEPTION));
        assert_eq!(compression("lz4"), Ok(Compression::Lz4));
        assert!(compression("rar").is_err());
        let settings = Properties::from([("a".into(), "7".into()), ("b".into(), "x".into())]);
        assert_eq!((count(&settings, "a", 1, 2), count(&settings, "c", 1, 2)), (Ok(7), Ok(2)));
        assert!(count(&settings, "a", 8, 9).unwrap_err().ends_with("Value must be at least 8"));
        assert!(number(&settings, "b").unwrap_err().ends_with("configuration b: Not a number"));
        assert_eq!(millis(&settings, "a", Duration::ZERO), Ok(Duration::from_millis(7)));
    }
}
