//! ApiVersions, held byte for byte against a real Kafka 3.9's answers.

use ottla::protocol::messages::ApiVersionsRequest;
use serde_json::Value;

use super::nodes::one;
use super::raw::{Raw, frame, wire};

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_kafkas_to_the_byte() {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/api-versions-3.9.2.json")).expect("the fixture");
    let answers = fixture["responses_hex_after_length"].as_object().expect("answers by version");
    let (_zk, node) = one(&[]).await;
    let request = ApiVersionsRequest {
        client_software_name: "apache-kafka-java".to_owned(),
        client_software_version: "3.9.2".to_owned(),
        ..Default::default()
    };
    let mut held = 0;
    for (name, bytes) in answers {
        let expected = hex(bytes.as_str().expect("hex"));
        let correlation_id = i32::from_be_bytes(expected[..4].try_into().expect("four bytes"));
        let mut raw = Raw::open(node.port()).await;
        let version: i16 = name.split(' ').next().expect("a version").parse().expect("a version");
        match version {
            0..=4 => raw.send(&wire(version, correlation_id, &request)).await,
            // The body of a version from the future is not to be read.
            _ => raw.send(&frame(18, version, correlation_id, true, &[0xff; 7])).await,
        }
        assert_eq!(raw.frame().await, expected, "ApiVersions v{name}");
        // The connection lives on, whatever was asked.
        raw.send(&wire(0, 5, &ApiVersionsRequest::default())).await;
        assert_eq!(raw.answer::<ApiVersionsRequest>(0).await.0, 5);
        held += 1;
    }
    assert_eq!(held, 6, "v0 to v4 and an unsupported one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nameless_client_is_told_so() {
    let (_zk, node) = one(&[]).await;
    let mut raw = Raw::open(node.port()).await;
    let request = ApiVersionsRequest { client_software_name: "no name!".to_owned(), ..Default::default() };
    raw.send(&wire(3, 1, &request)).await;
    assert_eq!(raw.answer::<ApiVersionsRequest>(3).await.1.error_code, 42, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_closes_the_connection() {
    let (_zk, node) = one(&[]).await;
    let cases = [
        ("an unknown API", frame(999, 0, 1, false, &[])),
        ("an API of KRaft", frame(52, 0, 1, true, &[0; 16])),
        ("Metadata from the future", frame(3, 13, 1, true, &[0; 16])),
        ("a negative version", frame(3, -1, 1, false, &[0; 16])),
        ("a negative version of ApiVersions", frame(18, -1, 1, false, &[])),
        ("a body that ends early", frame(3, 1, 1, false, &[0, 0])),
        ("an empty frame", vec![0, 0, 0, 0]),
        ("an array of 2^31 - 1", frame(3, 1, 1, false, &[0x7f, 0xff, 0xff, 0xff])),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&bytes).await;
        if what != "a negative version of ApiVersions" {
            assert!(raw.closed().await, "{what} must close the connection without an answer");
        } else {
            let frame = raw.frame().await;
            assert_eq!(frame[4..6], [0, 35], "UNSUPPORTED_VERSION");
        }
    }
    node.client().await.metadata(&[]).await;
}
