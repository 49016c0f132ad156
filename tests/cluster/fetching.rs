//! Fetch, ListOffsets, OffsetForLeaderEpoch: what readers see.

use std::time::{Duration, Instant};

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::Uuid;
use ottla::protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use ottla::protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use ottla::protocol::messages::{FetchRequest, OffsetForLeaderEpochRequest};

use super::client::{Client, batch, bytes_of, code, fetch_request, only, values_of};
use super::nodes::one;

fn by_id(request: FetchRequest, topic_id: Uuid) -> FetchRequest {
    let topics = request.topics.into_iter().map(|topic| FetchTopic { topic_id, ..topic });
    FetchRequest { topics: topics.collect(), ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_reads() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    let id = client.create("versions", 1, &[]).await;
    let at = ("versions", 0);
    client.produce(at, &["a", "b"]).await;
    client.produce(at, &["c"]).await;
    for version in 4..=17 {
        for isolation_level in [0, 1] {
            let request = FetchRequest { isolation_level, ..by_id(fetch_request(at, 1), id) };
            let answer = client.call(version, &request).await;
            let data = only(&answer);
            assert_eq!((data.error_code, data.high_watermark), (0, 3), "v{version}");
            assert_eq!(data.last_stable_offset, 3, "v{version}");
            assert_eq!(data.log_start_offset, if version >= 5 { 0 } else { -1 }, "v{version}");
            let expected = if isolation_level == 1 { Some(0) } else { None };
            assert_eq!(data.aborted_transactions.as_ref().map(Vec::len), expected, "v{version}");
            let values: Vec<String> = values_of(data).into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, ["a", "b", "c"], "v{version}: whole batches");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_partitions_and_offsets_are_told() {
    let (_zk, node) = one(&[("auto.create.topics.enable", "false")]).await;
    let mut client = node.client().await;
    let id = client.create("known", 1, &[]).await;
    client.produce(("known", 0), &["a"]).await;
    for (at, offset, expected) in [
        (("absent", 0), 0, ErrorCode::UnknownTopicOrPartition),
        (("known", 1), 0, ErrorCode::UnknownTopicOrPartition),
        (("known", 0), 2, ErrorCode::OffsetOutOfRange),
        (("known", 0), -1, ErrorCode::OffsetOutOfRange),
        (("known", 0), 1, ErrorCode::None),
    ] {
        for version in [4, 11, 12] {
            let data = client.fetch_as(version, at, offset).await;
            assert_eq!(code(data.error_code), expected, "v{version} {at:?} at {offset}");
            assert!(bytes_of(&data).is_empty());
        }
    }
    let other = by_id(fetch_request(("known", 0), 0), Uuid::random());
    let answer = client.call(13, &other).await;
    assert_eq!(code(only(&answer).error_code), ErrorCode::UnknownTopicId);
    let answer = client.call(13, &by_id(fetch_request(("", 0), 0), id)).await;
    assert_eq!(values_of(only(&answer)).len(), 1, "v13 needs no name");
    for (epoch, expected) in [(0, ErrorCode::None), (7, ErrorCode::UnknownLeaderEpoch)] {
        let mut request = fetch_request(("known", 0), 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(code(only(&client.call(9, &request).await).error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_bend_for_one_batch_only() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("sizes", 2, &[]).await;
    let large = "x".repeat(5000);
    for partition in [0, 1] {
        for _ in 0..3 {
            client.produce(("sizes", partition), &[&large]).await;
        }
    }
    let ask = |max_bytes, partition_max_bytes| {
        let mut request = fetch_request(("sizes", 0), 0);
        request.max_bytes = max_bytes;
        let other = fetch_request(("sizes", 1), 0).topics.remove(0).partitions.remove(0);
        request.topics[0].partitions.push(other);
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        request
    };
    let mut counts = async |version, max_bytes, partition_max_bytes| {
        let answer = client.call(version, &ask(max_bytes, partition_max_bytes)).await;
        let parts = &answer.responses[0].partitions;
        (values_of(&parts[0]).len(), values_of(&parts[1]).len())
    };
    assert_eq!(counts(11, 1, 1).await, (1, 0), "the first batch comes whole, the rest waits");
    assert_eq!(counts(11, 1 << 20, 1).await, (1, 0));
    assert_eq!(counts(11, 1 << 20, 11_000).await, (2, 2));
    assert_eq!(counts(11, 16_000, 1 << 20).await, (3, 0));
    assert_eq!(counts(11, i32::MAX, i32::MAX).await, (3, 3));
    assert_eq!(counts(4, 0, 0).await, (1, 0));
    assert_eq!(counts(4, -5, -5).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_waits_for_enough_or_for_its_time() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("wait", 1, &[]).await;
    let poll =
        |min_bytes, max_wait_ms| FetchRequest { min_bytes, max_wait_ms, ..fetch_request(("wait", 0), 0) };
    let begun = Instant::now();
    let answer = client.call(11, &poll(1, 400)).await;
    assert!(begun.elapsed() >= Duration::from_millis(400) && values_of(only(&answer)).is_empty());
    let begun = Instant::now();
    client.call(11, &poll(0, 5_000)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "nothing is enough");
    let mut producer = node.client().await;
    let waiting = tokio::spawn(async move {
        let answer = client.call(11, &poll(150, 15_000)).await;
        (client, values_of(only(&answer)).len())
    });
    producer.produce(("wait", 0), &["one"]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "one batch of some 72 bytes is not enough");
    let begun = Instant::now();
    producer.produce(("wait", 0), &["two"]).await;
    producer.produce(("wait", 0), &["three"]).await;
    let (mut client, count) = waiting.await.expect("an answer");
    assert!(count == 3 && begun.elapsed() < Duration::from_secs(10), "{count}");
    let begun = Instant::now();
    let answer =
        client.call(11, &FetchRequest { max_wait_ms: 10_000, ..fetch_request(("wait", 0), 99) }).await;
    assert_eq!(code(only(&answer).error_code), ErrorCode::OffsetOutOfRange);
    assert!(begun.elapsed() < Duration::from_secs(5), "an error does not wait");
}

async fn session(
    client: &mut Client,
    id: i32,
    epoch: i32,
    request: FetchRequest,
) -> (i16, i32, Vec<(i32, usize)>) {
    let request = FetchRequest { session_id: id, session_epoch: epoch, ..request };
    let answer = client.call(12, &request).await;
    let mut parts = Vec::new();
    for topic in &answer.responses {
        for part in &topic.partitions {
            parts.push((part.partition_index, values_of(part).len()));
        }
    }
    (answer.error_code, answer.session_id, parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_tell_only_what_is_new() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("session", 2, &[]).await;
    client.produce(("session", 0), &["a"]).await;
    let mut all = fetch_request(("session", 0), 0);
    all.topics[0].partitions.push(FetchPartition {
        partition: 1,
        fetch_offset: 0,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    let nothing = || FetchRequest { topics: Vec::new(), ..fetch_request(("session", 0), 0) };
    let (error, id, parts) = session(&mut client, 0, 0, all.clone()).await;
    assert!(error == 0 && id != 0, "a session is given");
    assert_eq!(parts, [(0, 1), (1, 0)], "the first answer names every partition");
    let (error, again, parts) = session(&mut client, id, 1, fetch_request(("session", 0), 1)).await;
    assert_eq!((error, again, parts), (0, id, vec![]), "nothing new");
    client.produce(("session", 1), &["b"]).await;
    let (_, _, parts) = session(&mut client, id, 2, nothing()).await;
    assert_eq!(parts, [(1, 1)], "only what has news");
    let forgotten = ForgottenTopic { topic: "session".to_owned(), partitions: vec![1], ..Default::default() };
    let forget = FetchRequest { forgotten_topics_data: vec![forgotten], ..nothing() };
    assert_eq!(session(&mut client, id, 3, forget).await.2, []);
    let (error, _, _) = session(&mut client, id, 3, nothing()).await;
    assert_eq!(code(error), ErrorCode::InvalidFetchSessionEpoch);
    let (error, _, _) = session(&mut client, id.wrapping_add(1), 1, nothing()).await;
    assert_eq!(code(error), ErrorCode::FetchSessionIdNotFound);
    let (error, closed, parts) = session(&mut client, id, -1, all).await;
    assert_eq!((error, closed, parts.len()), (0, 0, 2), "a last full fetch closes it");
    let (error, _, _) = session(&mut client, id, 4, nothing()).await;
    assert_eq!(code(error), ErrorCode::FetchSessionIdNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("times", 1, &[]).await;
    let at = ("times", 0);
    // Timestamps 1000, 1001, 1002 at offsets 0, 1, 2; and again at 3, 4.
    for version in 1..=9 {
        assert_eq!(client.offset(version, at, -1).await.offset, 0, "an empty log, v{version}");
    }
    assert_eq!(client.offset(7, at, -3).await.offset, -1);
    client.produce(at, &["a", "b", "c"]).await;
    client.produce(at, &["d", "e"]).await;
    for version in 1..=9 {
        let epoch = if version >= 4 { 0 } else { -1 };
        for (timestamp, offset, found_at) in [
            (-1, 5, -1),
            (-2, 0, -1),
            (0, 0, 1000),
            (1000, 0, 1000),
            (1001, 1, 1001),
            (1002, 2, 1002),
            (1003, -1, -1),
        ] {
            let found = client.offset(version, at, timestamp).await;
            let expected = (0, offset, found_at, if offset < 0 { -1 } else { epoch });
            assert_eq!(
                (found.error_code, found.offset, found.timestamp, found.leader_epoch),
                expected,
                "v{version} at {timestamp}"
            );
        }
        for (timestamp, first) in [(-3, 7), (-4, 8), (-5, 9)] {
            let found = client.offset(version, at, timestamp).await;
            let expected = if version < first { ErrorCode::UnsupportedVersion } else { ErrorCode::None };
            assert_eq!(code(found.error_code), expected, "v{version} at {timestamp}");
        }
    }
    let found = client.offset(9, at, -3).await;
    assert_eq!((found.offset, found.timestamp), (2, 1002));
    assert_eq!(client.offset(9, at, -4).await.offset, 0);
    assert_eq!(client.offset(9, at, -5).await.offset, -1);
    assert_eq!(client.offset(0, at, -1).await.old_style_offsets, [5, 0]);
    assert_eq!(client.offset(0, at, -2).await.old_style_offsets, [0]);
    assert_eq!(code(client.offset(5, ("times", 9), -1).await.error_code), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(code(client.offset(5, at, -9).await.error_code), ErrorCode::UnsupportedVersion);
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_end_where_the_log_ends() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("epochs", 1, &[]).await;
    client.produce_as(9, ("epochs", 0), -1, batch(&["a", "b"])).await;
    for version in 0..=4 {
        for (epoch, partition, expected) in [
            (0, 0, (ErrorCode::None, 0, 2)),
            (5, 0, (ErrorCode::None, -1, -1)),
            (0, 3, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
        ] {
            let asked = OffsetForLeaderPartition { partition, leader_epoch: epoch, ..Default::default() };
            let topic = OffsetForLeaderTopic {
                topic: "epochs".to_owned(),
                partitions: vec![asked],
                ..Default::default()
            };
            let request =
                OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
            let found = client.call(version, &request).await.topics.remove(0).partitions.remove(0);
            let (error, found_epoch, end) = expected;
            let found_epoch = if version >= 1 { found_epoch } else { -1 };
            assert_eq!(
                (code(found.error_code), found.leader_epoch, found.end_offset),
                (error, found_epoch, end),
                "v{version}, epoch {epoch}"
            );
        }
    }
}
