//! How `kafka-console-consumer` prints a record: Kafka's message formatters by their class names.
//!
//! Those that need a Java class of the user's are refused by name. Knows nothing of where records come from. Source:
//! `DefaultMessageFormatter`, `LoggingMessageFormatter`, `NoOpMessageFormatter`, `OffsetsMessageFormatter`,
//! `GroupMetadataMessageFormatter`, `GroupMetadataManager.OffsetsMessageFormatter`.

use std::io::{self, Write};

use bytes::Bytes;

use super::client_config::Properties;
use super::message_json::{self, About, Nested};
use crate::protocol::records::{Record, TimestampType};
use crate::protocol::stored::{OffsetCommitKey, OffsetCommitValue, decode};

const NEW: &str = "org.apache.kafka.tools.consumer.";
const OLD: &str = "kafka.tools.";
const COORDINATOR: &str = "kafka.coordinator.group.GroupMetadataManager$";

/// A formatter.
#[derive(Debug)]
pub enum Formatter {
    /// The fields that are asked for.
    Default(Box<Fields>),
    /// The same, and a line on stderr.
    Logging(Box<Fields>),
    /// Nothing.
    Nothing,
    /// Committed offsets as JSON.
    Offsets,
    /// Groups as JSON.
    Groups,
    /// Committed offsets as Kafka printed them before 3.8.
    OldOffsets,
}

impl Formatter {
    /// The formatter of a class name; a note about it for stderr.
    pub fn named(class: &str, settings: &Properties) -> Result<(Formatter, Option<String>), String> {
        let short = [NEW, OLD, COORDINATOR].iter().find_map(|prefix| class.strip_prefix(prefix));
        let is_new = class.starts_with(NEW);
        let formatter = match (short, class.starts_with(COORDINATOR)) {
            (Some("DefaultMessageFormatter"), false) => Formatter::Default(Box::new(Fields::new(settings)?)),
            (Some("LoggingMessageFormatter"), false) => Formatter::Logging(Box::new(Fields::new(settings)?)),
            (Some("NoOpMessageFormatter"), false) => Formatter::Nothing,
            (Some("OffsetsMessageFormatter"), false) if is_new => Formatter::Offsets,
            (Some("GroupMetadataMessageFormatter"), false) if is_new => Formatter::Groups,
            (Some("OffsetsMessageFormatter"), true) => Formatter::OldOffsets,
            _ => {
                return Err(format!(
                    "{class}\n--formatter {class} is not supported: it is none of the formatters that this tool knows"
                ));
            }
        };
        let note = short.filter(|_| !is_new).map(|short| {
            format!(
                "WARNING: {class} is deprecated and will be removed in the next major release. \
                 Please use {NEW}{short} instead"
            )
        });
        Ok((formatter, note))
    }

    /// Writes one record of a partition.
    pub fn write(
        &self,
        out: &mut dyn Write,
        partition: i32,
        record: &Record<'_>,
        kind: TimestampType,
    ) -> io::Result<()> {
        match self {
            Formatter::Default(fields) => fields.write(out, partition, record, kind),
            Formatter::Logging(fields) => {
                fields.write(out, partition, record, kind)?;
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"null")).into_owned();
                let stamp = stamp(record, kind).map(|stamp| stamp + ", ").unwrap_or_default();
                let gap = if record.key.is_some() { ", " } else { " " };
                eprintln!("INFO {stamp}key:{}{gap}value:{}", text(record.key), text(record.value));
                Ok(())
            }
            Formatter::Nothing => Ok(()),
            Formatter::Offsets => write_json(out, record, About::Offset),
            Formatter::Groups => write_json(out, record, About::Group),
            Formatter::OldOffsets => write_old_offset(out, record),
        }
    }
}

/// `CreateTime:1`; `None` where there is no timestamp.
fn stamp(record: &Record<'_>, kind: TimestampType) -> Option<String> {
    let name = match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    (record.timestamp >= 0).then(|| format!("{name}:{}", record.timestamp))
}

/// What the default formatter prints.
#[derive(Debug)]
pub struct Fields {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    separator: String,
    line_end: String,
    header_separator: String,
    null: String,
    key_as: Decoder,
    value_as: Decoder,
    headers_as: Decoder,
}

impl Fields {
    fn new(settings: &Properties) -> Result<Fields, String> {
        let is = |key: &str, default: bool| {
            settings.get(key).map_or(default, |text| text.trim().eq_ignore_ascii_case("true"))
        };
        let text = |key: &str, default: &str| settings.get(key).map_or(default, String::as_str).to_owned();
        let decoder = |key: &str| Decoder::named(key, settings.get(key).map(String::as_str));
        Ok(Fields {
            timestamp: is("print.timestamp", false),
            partition: is("print.partition", false),
            offset: is("print.offset", false),
            headers: is("print.headers", false),
            key: is("print.key", false),
            value: is("print.value", true),
            separator: text("key.separator", "\t"),
            line_end: text("line.separator", "\n"),
            header_separator: text("headers.separator", ","),
            null: text("null.literal", "null"),
            key_as: decoder("key.deserializer")?,
            value_as: decoder("value.deserializer")?,
            headers_as: decoder("headers.deserializer")?,
        })
    }

    fn write(
        &self,
        out: &mut dyn Write,
        partition: i32,
        record: &Record<'_>,
        kind: TimestampType,
    ) -> io::Result<()> {
        let end = |more: bool| if more { self.separator.as_bytes() } else { self.line_end.as_bytes() };
        if self.timestamp {
            out.write_all(stamp(record, kind).unwrap_or("NO_TIMESTAMP".into()).as_bytes())?;
            out.write_all(end(self.partition || self.offset || self.headers || self.key || self.value))?;
        }
        if self.partition {
            write!(out, "Partition:{partition}")?;
            out.write_all(end(self.offset || self.headers || self.key || self.value))?;
        }
        if self.offset {
            write!(out, "Offset:{}", record.offset)?;
            out.write_all(end(self.headers || self.key || self.value))?;
        }
        if self.headers {
            self.write_headers(out, record)?;
            out.write_all(end(self.key || self.value))?;
        }
        if self.key {
            self.key_as.write(out, record.key, &self.null)?;
            out.write_all(end(self.value))?;
        }
        if self.value {
            self.value_as.write(out, record.value, &self.null)?;
            out.write_all(end(false))?;
        }
        Ok(())
    }

    fn write_headers(&self, out: &mut dyn Write, record: &Record<'_>) -> io::Result<()> {
        if record.headers.is_empty() {
            return out.write_all(b"NO_HEADERS");
        }
        for (index, header) in record.headers.enumerate() {
            if index > 0 {
                out.write_all(self.header_separator.as_bytes())?;
            }
            out.write_all(header.key)?;
            out.write_all(b":")?;
            self.headers_as.write(out, header.value, &self.null)?;
        }
        Ok(())
    }
}

/// How bytes become text.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Decoder {
    /// As they are.
    Bytes,
    /// As UTF-8.
    Text,
    /// As a big-endian integer of so many bytes.
    Integer(usize),
}

impl Decoder {
    fn named(key: &str, class: Option<&str>) -> Result<Decoder, String> {
        match class.map(|class| class.trim_start_matches("org.apache.kafka.common.serialization.")) {
            None | Some("") => Ok(Decoder::Bytes),
            Some("StringDeserializer") => Ok(Decoder::Text),
            Some("ShortDeserializer") => Ok(Decoder::Integer(2)),
            Some("IntegerDeserializer") => Ok(Decoder::Integer(4)),
            Some("LongDeserializer") => Ok(Decoder::Integer(8)),
            Some(other) => Err(format!(
                "{key}={other} is not supported: take String, Short, Integer or LongDeserializer, or print the bytes"
            )),
        }
    }

    fn write(self, out: &mut dyn Write, bytes: Option<&[u8]>, null: &str) -> io::Result<()> {
        let Some(bytes) = bytes else { return out.write_all(null.as_bytes()) };
        match self {
            Decoder::Bytes => out.write_all(bytes),
            Decoder::Text => out.write_all(String::from_utf8_lossy(bytes).as_bytes()),
            Decoder::Integer(size) if bytes.len() == size => {
                let sign = if bytes[0] & 0x80 == 0 { 0i64 } else { -1 };
                write!(out, "{}", bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
            }
            Decoder::Integer(size) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("Size of data received by the deserializer is not {size}, but {}", bytes.len()),
            )),
        }
    }
}

/// One line of JSON without an end, as Kafka's tool prints it; nothing for keys that are about something else.
fn write_json(out: &mut dyn Write, record: &Record<'_>, wanted: About) -> io::Result<()> {
    let part = |bytes: &[u8], text: Option<(i16, String)>| {
        let version = bytes.first_chunk::<2>().map_or(-1, |version| i16::from_be_bytes(*version));
        let data = text.map_or("\"unknown\"".to_owned(), |(_, text)| text);
        format!("{{\"version\":{version},\"data\":{data}}}")
    };
    let key = match record.key {
        None => "null".to_owned(),
        Some(bytes) => match message_json::about(bytes) {
            Ok(about) if about == wanted || matches!(about, About::Unknown(_)) => {
                part(bytes, message_json::key(bytes).map_err(io::Error::other)?)
            }
            Ok(_) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        },
    };
    let value = match (record.value, wanted) {
        (None, _) => "null".to_owned(),
        (Some(bytes), About::Offset) => part(bytes, message_json::offset_value(bytes).ok()),
        (Some(bytes), _) => part(bytes, message_json::group_value(bytes, Nested::Opaque).ok()),
    };
    write!(out, "{{\"key\":{key},\"value\":{value}}}")
}

/// `[group,topic,partition]::OffsetAndMetadata(...)`.
fn write_old_offset(out: &mut dyn Write, record: &Record<'_>) -> io::Result<()> {
    let Some(bytes) = record.key.filter(|key| message_json::about(key) == Ok(About::Offset)) else {
        return Ok(());
    };
    let key: OffsetCommitKey = decode(Bytes::copy_from_slice(bytes)).map_err(io::Error::other)?;
    write!(out, "[{},{},{}]::", key.group, key.topic, key.partition)?;
    let Some(bytes) = record.value else { return out.write_all(b"NULL\n") };
    let value: OffsetCommitValue = decode(Bytes::copy_from_slice(bytes)).map_err(io::Error::other)?;
    let epoch = match value.leader_epoch {
        -1 => "Optional.empty".to_owned(),
        epoch => format!("Optional[{epoch}]"),
    };
    let expires = match value.expire_timestamp {
        -1 => "None".to_owned(),
        timestamp => format!("Some({timestamp})"),
    };
    writeln!(
        out,
        "OffsetAndMetadata(offset={}, leaderEpoch={epoch}, metadata={}, commitTimestamp={}, expireTimestamp={expires})",
        value.offset, value.metadata, value.commit_timestamp
    )
}

#[cfg(test)]
mod tests {
    use super::super::client_config::key_values;
    use super::*;
    use crate::protocol::stored::encode;

    fn print(class: &str, settings: &[&str], record: &Record<'_>) -> String {
        let (formatter, _) = Formatter::named(class, &key_values(settings)).unwrap();
        let mut out = Vec::new();
        formatter.write(&mut out, 3, record, TimestampType::LogAppendTime).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        Record {
            offset: 7,
            timestamp: 9,
            sequence: -1,
            attributes: 0,
            key,
            value,
            headers: Default::default(),
        }
    }

    #[test]
    fn fields_separators_and_deserializers() {
        let class = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";
        let number = record(Some(&[0xff, 0xfe]), None);
        let all = ["print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true"];
        let keys =
            ["print.key=true", "key.deserializer=org.apache.kafka.common.serialization.ShortDeserializer"];
        let text = print(class, &[&all[..], &keys[..]].concat(), &number);
        assert_eq!(text, "LogAppendTime:9\tPartition:3\tOffset:7\tNO_HEADERS\t-2\tnull\n");
        let bare = ["print.value=false", "print.offset=true", "line.separator=;"];
        assert_eq!(print(class, &bare, &number), "Offset:7;");
        let wrong = Formatter::named(class, &key_values(&["value.deserializer=my.Own"])).unwrap_err();
        assert!(wrong.starts_with("value.deserializer=my.Own is not supported"), "{wrong}");
        assert!(Formatter::named("my.Own", &Properties::new()).unwrap_err().starts_with("my.Own\n"));
    }

    #[test]
    fn old_names_are_noted() {
        let note = |class| Formatter::named(class, &Properties::new()).unwrap().1;
        assert!(
            note("kafka.tools.NoOpMessageFormatter").unwrap().contains("Please use org.apache.kafka.tools.c")
        );
        assert_eq!(note("org.apache.kafka.tools.consumer.NoOpMessageFormatter"), None);
    }

    #[test]
    fn committed_offsets() {
        let key =
            OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 0, ..Default::default() };
        let value = OffsetCommitValue { offset: 3, commit_timestamp: 5, ..Default::default() };
        let (key, value) = (encode(&key, 1).unwrap(), encode(&value, 3).unwrap());
        let stored = record(Some(&key), Some(&value));
        let json = "{\"key\":{\"version\":1,\"data\":{\"group\":\"g\",\"topic\":\"t\",\"partition\":0}},\"value\":\
                    {\"version\":3,\"data\":{\"offset\":3,\"leaderEpoch\":-1,\"metadata\":\"\",\"commitTimestamp\":5}}}";
        assert_eq!(print("org.apache.kafka.tools.consumer.OffsetsMessageFormatter", &[], &stored), json);
        assert_eq!(print("org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter", &[], &stored), "");
        let old = print("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter", &[], &stored);
        let expected = "[g,t,0]::OffsetAndMetadata(offset=3, leaderEpoch=Optional.empty, metadata=, commitTimestamp=5, expireTimestamp=None)\n";
        assert_eq!(old, expected);
    }
}
