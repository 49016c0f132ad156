//! Every message that Kafka 3.9.2's own serializers wrote for us is read to the values of its JSON, and
//! written back to the same bytes.

use std::collections::BTreeSet;
use std::io::Read;

use bytes::Bytes;
use ottla::protocol::api_key::ApiKey;
use ottla::protocol::frame::encode_response;
use ottla::protocol::header::{RequestHeader, ResponseHeader};
use ottla::protocol::message::Message;
use ottla::protocol::messages::{APIS, ApiVersionsResponse, Codec};
use ottla::protocol::wire::{Reader, Writer};
use serde_json::{Value, json};

use crate::{codecs, join};

struct Vector {
    message: String,
    version: i16,
    json: Value,
    body: Bytes,
}

fn load() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors.jsonl.gz");
    let file = std::fs::File::open(path).expect("the fixture is in the repository");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzipped text");
    text.lines().map(vector).collect()
}

fn vector(line: &str) -> Vector {
    let mut value: Value = serde_json::from_str(line).expect("a JSON line");
    let hex = value["hex"].as_str().expect("hex");
    let body = bytes_of(hex);
    Vector {
        message: value["message"].as_str().expect("a name").to_owned(),
        version: value["version"].as_i64().expect("a version") as i16,
        json: value["json"].take(),
        body,
    }
}

fn bytes_of(hex: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn api_versions_fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/api-versions-3.9.2.json");
    let text = std::fs::read_to_string(path).expect("the fixture is in the repository");
    serde_json::from_str(&text).expect("JSON")
}

/// Kafka printed `records` as an empty text and numbers with its own precision; all else must be equal.
fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let same_of = |(key, value): (&String, &Value)| match found.get(key) {
                Some(length) if key == "records" && *value == json!("") => length.is_u64(),
                Some(other) => same(value, other),
                None => false,
            };
            expected.len() == found.len() && expected.iter().all(same_of)
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= a.abs() * 1e-15
        }
        (expected, found) => expected == found,
    }
}

/// What a header vector decodes to and encodes to.
fn header(vector: &Vector) -> (Value, Vec<u8>) {
    let mut reader = Reader::new(vector.body.clone());
    let mut writer = Writer::default();
    let printed = if vector.message == "RequestHeader" {
        let header = RequestHeader::decode_version(&mut reader, vector.version).expect("a request header");
        header.encode_version(&mut writer, vector.version);
        let mut printed = json!({
            "requestApiKey": header.api_key,
            "requestApiVersion": header.api_version,
            "correlationId": header.correlation_id,
        });
        if vector.version >= 1 {
            printed["clientId"] = json!(header.client_id);
        }
        printed
    } else {
        let header = ResponseHeader::decode(&mut reader, vector.version).expect("a response header");
        header.encode(&mut writer, vector.version);
        json!({ "correlationId": header.correlation_id })
    };
    reader.expect_end().expect("nothing follows a header");
    (printed, join(&writer.finish().expect("a header")))
}

fn body(codec: &Codec, vector: &Vector) -> (Value, Vec<u8>) {
    let at = format!("{} v{}", vector.message, vector.version);
    let printed = codec.read(vector.body.clone(), vector.version);
    let written = codec.recode(vector.body.clone(), vector.version, vector.version);
    (printed.and_then(|message| message.print(vector.version)).expect(&at), join(&written.expect(&at)))
}

#[test]
fn kafka_3_9_2_vectors() {
    let codecs = codecs();
    let vectors = load();
    let mut seen = BTreeSet::new();
    for vector in &vectors {
        let (printed, written) = match codecs.iter().find(|codec| codec.name == vector.message) {
            Some(codec) => body(codec, vector),
            None => header(vector),
        };
        let at = format!("{} v{}", vector.message, vector.version);
        assert!(same(&vector.json, &printed), "{at}: Kafka says\n{}\nwe say\n{printed}", vector.json);
        assert_eq!(written, vector.body, "{at}: written differently");
        seen.insert((vector.message.as_str(), vector.version));
    }
    assert_eq!(vectors.len(), 4_228, "vectors");
    for codec in &codecs {
        for version in codec.versions.clone() {
            assert!(seen.contains(&(codec.name, version)), "no vector of {} v{version}", codec.name);
        }
    }
}

#[test]
fn the_table_is_kafkas() {
    let fixture = api_versions_fixture();
    let rows = fixture["v0_table"].as_array().expect("rows");
    let number = |row: &Value, column: &str| row[column].as_i64().expect("a number");
    let rows = rows.iter().map(|row| (number(row, "key"), number(row, "min"), number(row, "max")));
    let rows: Vec<(i64, i64, i64)> = rows.collect();
    let ours: Vec<(i64, i64, i64)> = ApiKey::ALL
        .iter()
        .map(|key| (key.number().into(), (*key.versions().start()).into(), (*key.versions().end()).into()))
        .collect();
    assert_eq!(ours.len(), 62);
    assert_eq!(ours, rows);
    assert_eq!(ApiKey::ALL.len(), APIS.len());
    for (key, request, response) in APIS {
        assert_eq!(ApiKey::from_number(key.number()), Some(*key));
        assert_eq!(request.name, format!("{key}Request"));
        assert_eq!((&request.versions, &response.versions), (&key.versions(), &key.versions()), "{key}");
        for version in key.versions() {
            assert_eq!(version >= request.first_flexible, key.is_flexible(version), "{key} v{version}");
            assert_eq!(version >= response.first_flexible, key.is_flexible(version), "{key} v{version}");
        }
    }
}

#[test]
fn whole_frames_of_a_broker() {
    let fixture = api_versions_fixture();
    for version in ApiKey::ApiVersions.versions() {
        let hex = fixture["responses_hex_after_length"][version.to_string()].as_str();
        let frame = bytes_of(hex.expect("one answer for each version"));
        let mut reader = Reader::new(frame.clone());
        let header_version = ApiKey::ApiVersions.response_header_version(version);
        let header = ResponseHeader::decode(&mut reader, header_version).expect("a header");
        let body = ApiVersionsResponse::decode(&mut reader, version).expect("a body");
        reader.expect_end().expect("nothing follows");
        assert_eq!(body.api_keys.len(), 62, "v{version}");
        let again = encode_response(ApiKey::ApiVersions, version, header.correlation_id, &body);
        let again = again.expect("encodes").to_bytes().expect("in memory");
        assert_eq!(again[..4], (frame.len() as i32).to_be_bytes(), "v{version}: size");
        assert_eq!(again[4..], frame, "v{version}");
    }
}
