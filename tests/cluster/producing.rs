//! Produce: acknowledgements, idempotence, and what is refused.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::ProduceRequest;
use ottla::protocol::records::{BatchOptions, Compression};

use super::client::{batch, batch_with, code, produce_request};
use super::nodes::one;
use super::raw::{Raw, wire};

#[tokio::test(flavor = "multi_thread")]
async fn every_version_appends() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("versions", 1, &[]).await;
    for version in 3..=11 {
        let answer = client.produce_as(version, ("versions", 0), -1, batch(&["a", "b"])).await;
        let first = i64::from(version - 3) * 2;
        assert_eq!((answer.error_code, answer.base_offset), (0, first), "v{version}");
        assert_eq!(answer.log_append_time_ms, -1);
        assert_eq!(answer.log_start_offset, if version >= 5 { 0 } else { -1 }, "v{version}");
    }
    assert_eq!(client.values(("versions", 0), 0).await.len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_zero_is_silent_until_it_fails() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("silent", 1, &[]).await;
    let mut raw = Raw::open(node.port()).await;
    raw.send(&wire(9, 1, &produce_request(("silent", 0), 0, batch(&["quiet"])))).await;
    raw.send(&wire(9, 2, &produce_request(("silent", 0), 1, batch(&["loud"])))).await;
    let (id, answer) = raw.answer::<ProduceRequest>(9).await;
    assert_eq!((id, answer.responses[0].partition_responses[0].base_offset), (2, 1));
    raw.send(&wire(9, 3, &produce_request(("nowhere", 0), 0, batch(&["x"])))).await;
    assert!(raw.closed().await, "an error with acks=0 closes the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_admit_each_batch_once_and_in_order() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("once", 1, &[]).await;
    let at = ("once", 0);
    let of = |producer_epoch, base_sequence| {
        let options = BatchOptions { producer_id: 77, producer_epoch, base_sequence, ..Default::default() };
        batch_with(options, &["a", "b"])
    };
    for (sequence, offset) in [(0, 0), (2, 2), (4, 4)] {
        assert_eq!(client.produce_as(9, at, -1, of(0, sequence)).await.base_offset, offset);
    }
    // Duplicates keep the offset they had.
    for (sequence, offset) in [(0, 0), (2, 2), (4, 4)] {
        let answer = client.produce_as(9, at, -1, of(0, sequence)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, offset), "the duplicate of {sequence}");
    }
    let refused = client.produce_as(9, at, -1, of(0, 8)).await;
    assert_eq!(code(refused.error_code), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(client.produce_as(9, at, -1, of(1, 0)).await.base_offset, 6, "a new epoch starts at 0");
    let refused = client.produce_as(9, at, -1, of(0, 6)).await;
    assert_eq!(code(refused.error_code), ErrorCode::InvalidProducerEpoch);
    let refused = client.produce_as(9, at, -1, of(2, 5)).await;
    assert_eq!(code(refused.error_code), ErrorCode::OutOfOrderSequenceNumber, "a new epoch must start at 0");
    assert_eq!(client.values(at, 0).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_leaves_nothing() {
    let (_zk, node) = one(&[("auto.create.topics.enable", "false")]).await;
    let mut client = node.client().await;
    client.create("strict", 1, &[("max.message.bytes", "1000"), ("compression.type", "producer")]).await;
    let at = ("strict", 0);
    let mut corrupt = batch(&["corrupt"]);
    let last = corrupt.len() - 1;
    corrupt[last] ^= 1;
    let large = batch(&["x".repeat(1000).as_str()]);
    let mut two = batch(&["one"]);
    two.extend(batch(&["two"]));
    let zstd = || batch_with(BatchOptions { compression: Compression::Zstd, ..Default::default() }, &["z"]);
    let transactional = BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..Default::default()
    };
    let control = BatchOptions { control: true, ..Default::default() };
    let cases = [
        ("a wrong checksum", 9, at, -1, corrupt, ErrorCode::CorruptMessage),
        ("a record over the limit", 9, at, -1, large, ErrorCode::MessageTooLarge),
        ("two batches", 9, at, -1, two, ErrorCode::InvalidRecord),
        ("no batch", 9, at, -1, Vec::new(), ErrorCode::InvalidRecord),
        ("a missing topic", 9, ("absent", 0), -1, batch(&["x"]), ErrorCode::UnknownTopicOrPartition),
        ("a missing partition", 9, ("strict", 1), -1, batch(&["x"]), ErrorCode::UnknownTopicOrPartition),
        ("a negative partition", 9, ("strict", -1), -1, batch(&["x"]), ErrorCode::UnknownTopicOrPartition),
        ("acks of 2", 9, at, 2, batch(&["x"]), ErrorCode::InvalidRequiredAcks),
        ("zstd before version 7", 6, at, -1, zstd(), ErrorCode::UnsupportedCompressionType),
        ("control records", 9, at, -1, batch_with(control, &["x"]), ErrorCode::InvalidRecord),
        ("garbage", 9, at, -1, vec![0xab; 300], ErrorCode::CorruptMessage),
        ("half a batch", 9, at, -1, batch(&["half"])[..40].to_vec(), ErrorCode::CorruptMessage),
        (
            "a transaction without its id",
            9,
            at,
            -1,
            batch_with(transactional, &["x"]),
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
        (
            "an internal topic",
            9,
            ("__consumer_offsets", 0),
            -1,
            batch(&["x"]),
            ErrorCode::InvalidTopicException,
        ),
    ];
    for (what, version, at, acks, records, expected) in cases {
        let answer = client.produce_as(version, at, acks, records).await;
        assert_eq!(code(answer.error_code), expected, "{what}: {:?}", answer.error_message);
        assert_eq!(answer.base_offset, -1, "{what}");
    }
    let mut request = produce_request(at, -1, batch_with(transactional, &["x"]));
    request.transactional_id = Some("nobody can end this one".to_owned());
    let answer = client.call(9, &request).await.responses.remove(0).partition_responses.remove(0);
    assert_eq!(code(answer.error_code), ErrorCode::InvalidTxnState, "a transaction");
    assert_eq!(client.produce_as(7, at, -1, zstd()).await.error_code, 0, "zstd from version 7 on");
    assert_eq!(client.values(at, 0).await, [(0, "z".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_decide_on_time_and_compression() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let answer = client.produce_as(9, ("append-time", 0), -1, batch(&["now"])).await;
    assert!(answer.log_append_time_ms > 1_600_000_000_000);
    let found = client.offset(7, ("append-time", 0), answer.log_append_time_ms).await;
    assert_eq!((found.offset, found.timestamp), (0, answer.log_append_time_ms));
    for codec in ["gzip", "snappy", "lz4", "zstd", "uncompressed"] {
        client.create(codec, 1, &[("compression.type", codec)]).await;
        let long = "compress me ".repeat(50);
        client.produce((codec, 0), &[&long, &long]).await;
        let data = client.fetch_as(11, (codec, 0), 0).await;
        let size = super::client::bytes_of(&data).len();
        assert_eq!(size < 600, codec != "uncompressed", "{codec}: {size} bytes");
        assert_eq!(super::client::values_of(&data), [(0, long.clone()), (1, long)], "{codec}");
    }
    client.create("keyed", 1, &[("cleanup.policy", "compact")]).await;
    let answer = client.produce_as(9, ("keyed", 0), -1, batch(&["no key"])).await;
    assert_eq!(code(answer.error_code), ErrorCode::InvalidRecord);
    assert_eq!(answer.record_errors.len(), 1, "the record without a key is named");
    client.create("min-isr", 1, &[("min.insync.replicas", "2")]).await;
    let answer = client.produce_as(9, ("min-isr", 0), -1, batch(&["alone"])).await;
    // A topic with fewer replicas than min.insync.replicas can be written all the same.
    assert_eq!(answer.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_for_many_partitions_is_answered_each_on_its_own() {
    let (_zk, node) = one(&[("auto.create.topics.enable", "false")]).await;
    let mut client = node.client().await;
    client.create("many", 3, &[]).await;
    let mut request = produce_request(("many", 0), -1, batch(&["0"]));
    for index in [2, 7, 1] {
        let more =
            produce_request(("many", index), -1, batch(&["x"])).topic_data.remove(0).partition_data.remove(0);
        request.topic_data[0].partition_data.push(more);
    }
    let answer = client.call(9, &request).await;
    let found: Vec<(i32, i16)> =
        answer.responses[0].partition_responses.iter().map(|part| (part.index, part.error_code)).collect();
    assert_eq!(found, [(0, 0), (2, 0), (7, 3), (1, 0)]);
}
