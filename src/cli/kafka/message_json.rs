//! Records of `__consumer_offsets` as the JSON that Kafka's tools print: fields in the order of the schema.
//!
//! Knows nothing of where records come from. Source: the generated `*JsonConverter`s, `OffsetsMessageFormatter`,
//! `DumpLogSegments.OffsetsMessageParser`.

use base64::Engine as _;
use bytes::{Buf, Bytes};
use serde_json::Value;

use crate::protocol::message::{Kind, Message};
use crate::protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, decode as decode_protocol,
};
use crate::protocol::stored::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, decode, version_of,
};
use crate::protocol::wire::WireError;

/// What a key is about.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum About {
    /// A committed offset.
    Offset,
    /// A group.
    Group,
    /// Something else, of this version.
    Unknown(i16),
}

/// What a key of `__consumer_offsets` is about.
pub fn about(key: &[u8]) -> Result<About, WireError> {
    Ok(match version_of(key)? {
        0 | 1 => About::Offset,
        2 => About::Group,
        version => About::Unknown(version),
    })
}

/// The text of a message with its version in front.
fn text<M: Message>(record: &[u8], nested: Nested) -> Result<(i16, String), WireError> {
    let version = version_of(record)?;
    let message: M = decode(Bytes::copy_from_slice(record))?;
    Ok((version, ordered::<M>(&message, version, nested)?))
}

/// A key's version and its JSON; `None` for one that is unknown.
pub fn key(record: &[u8]) -> Result<Option<(i16, String)>, WireError> {
    match about(record)? {
        About::Offset => text::<OffsetCommitKey>(record, Nested::Opaque).map(Some),
        About::Group => text::<GroupMetadataKey>(record, Nested::Opaque).map(Some),
        About::Unknown(_) => Ok(None),
    }
}

/// The version and the JSON of a committed offset.
pub fn offset_value(record: &[u8]) -> Result<(i16, String), WireError> {
    text::<OffsetCommitValue>(record, Nested::Opaque)
}

/// The version and the JSON of a group; what consumers say of themselves `nested`.
pub fn group_value(record: &[u8], nested: Nested) -> Result<(i16, String), WireError> {
    text::<GroupMetadataValue>(record, nested)
}

/// How subscriptions and assignments are shown.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Nested {
    /// In base64.
    Opaque,
    /// As the messages they are, if the group is one of consumers.
    Decoded,
}

fn ordered<M: Message>(message: &M, version: i16, nested: Nested) -> Result<String, WireError> {
    let value = message.to_json(version)?;
    let decodes = nested == Nested::Decoded && value["protocolType"] == "consumer";
    let mut out = String::new();
    write(&mut out, &M::KIND, &value, decodes);
    Ok(out)
}

fn write(out: &mut String, kind: &Kind, value: &Value, decodes: bool) {
    match (kind, value) {
        (Kind::Nullable(inner), value) if !value.is_null() => write(out, inner, value, decodes),
        (Kind::Struct(fields), Value::Object(values)) => {
            out.push('{');
            let mut is_first = true;
            for field in *fields {
                let name = camel_case(field.name);
                let Some(value) = values.get(&name) else { continue };
                if !std::mem::take(&mut is_first) {
                    out.push(',');
                }
                out.push_str(&format!("\"{name}\":"));
                match decodes.then(|| decoded(&name, value)).flatten() {
                    Some(text) => out.push_str(&text),
                    None => write(out, &field.kind, value, decodes),
                }
            }
            out.push('}');
        }
        (Kind::Array(inner), Value::Array(values)) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, inner, value, decodes);
            }
            out.push(']');
        }
        (_, value) => out.push_str(&value.to_string()),
    }
}

/// What a consumer says inside a group's record, if it can be read.
fn decoded(field: &str, value: &Value) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
    match field {
        "subscription" => protocol::<ConsumerProtocolSubscription>(bytes.into()),
        "assignment" => protocol::<ConsumerProtocolAssignment>(bytes.into()),
        _ => None,
    }
}

fn protocol<M: Message>(bytes: Bytes) -> Option<String> {
    let version = (bytes.len() >= 2).then(|| bytes.clone().get_i16())?.min(*M::VERSIONS.end());
    let message: M = decode_protocol(bytes).ok()?;
    ordered(&message, version, Nested::Opaque).ok()
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::stored::encode;

    #[test]
    fn fields_stand_in_the_order_of_the_schema() {
        let stored =
            OffsetCommitKey { group: "g\"".into(), topic: "t".into(), partition: 3, ..Default::default() };
        let record = encode(&stored, 1).unwrap();
        let text = r#"{"group":"g\"","topic":"t","partition":3}"#.to_owned();
        assert_eq!(key(&record), Ok(Some((1, text))));
        let value = OffsetCommitValue { offset: 5, commit_timestamp: 9, ..Default::default() };
        let text = r#"{"offset":5,"leaderEpoch":-1,"metadata":"","commitTimestamp":9}"#;
        assert_eq!(offset_value(&encode(&value, 3).unwrap()), Ok((3, text.to_owned())));
        assert_eq!(about(&[0, 9, 1]), Ok(About::Unknown(9)));
        assert!(about(&[0]).is_err() && key(&[0, 1, 0]).is_err());
    }
}
