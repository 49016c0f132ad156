//! Message sets of formats 0 and 1: Produce v0 to v2, Fetch v0 to v3, conversion both ways.

use std::time::Duration;

use ottla::api::fetch_convert::AT_ONCE;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::records::convert::down_convert;
use ottla::protocol::records::view::batches;
use ottla::protocol::records::{BatchOptions, Compression};
use tokio::task::JoinSet;

use super::client::{batch, batch_with, bytes_of, code, values_of};
use super::nodes::one;

fn set(magic: i8, values: &[&str]) -> Vec<u8> {
    down_convert(&batch(values), magic, 0, 1 << 20).expect("a message set").bytes
}

fn compressed_set(magic: i8, codec: Compression, values: &[&str]) -> Vec<u8> {
    let options = BatchOptions { compression: codec, ..Default::default() };
    down_convert(&batch_with(options, values), magic, 0, 1 << 20).expect("a message set").bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn old_producers_and_new_readers() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("old-in", 1, &[]).await;
    let at = ("old-in", 0);
    let mut expected = Vec::new();
    for version in 0..=2 {
        let magic = i8::from(version == 2);
        let answer = client.produce_as(version, at, 1, set(magic, &["a", "b"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, expected.len() as i64), "v{version}");
        expected.extend(["a", "b"]);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let answer = client.produce_as(version, at, -1, compressed_set(magic, codec, &["c", "d"])).await;
            assert_eq!(
                (answer.error_code, answer.base_offset),
                (0, expected.len() as i64),
                "v{version} {codec:?}"
            );
            expected.extend(["c", "d"]);
        }
    }
    let values = client.values(at, 0).await;
    let offsets: Vec<i64> = values.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (0..expected.len() as i64).collect::<Vec<_>>());
    assert!(values.iter().map(|(_, value)| value.as_str()).eq(expected));
    let stored = client.fetch_as(11, at, 0).await;
    assert!(
        batches(&bytes_of(&stored)).all(|view| view.is_ok_and(|view| view.magic() == 2)),
        "stored in the format of the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_producers_and_old_readers() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("old-out", 1, &[]).await;
    let at = ("old-out", 0);
    client.produce(at, &["a", "b"]).await;
    let gzip = BatchOptions { compression: Compression::Gzip, ..Default::default() };
    client.produce_as(9, at, -1, batch_with(gzip, &["c", "d"])).await;
    for version in 0..=3 {
        let data = client.fetch_as(version, at, 1).await;
        assert_eq!((data.error_code, data.high_watermark), (0, 4), "v{version}");
        let magic = if version < 2 { 0 } else { 1 };
        let bytes = bytes_of(&data);
        assert!(batches(&bytes).all(|view| view.is_ok_and(|view| view.magic() == magic)), "v{version}");
        let values: Vec<(i64, String)> =
            values_of(&data).into_iter().filter(|(offset, _)| *offset >= 1).collect();
        let expected = [(1, "b"), (2, "c"), (3, "d")].map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(values, expected, "v{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_and_versions_must_agree() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("agree", 1, &[]).await;
    let at = ("agree", 0);
    for version in 3..=9 {
        for magic in [0, 1] {
            let answer = client.produce_as(version, at, 1, set(magic, &["old"])).await;
            assert_eq!(code(answer.error_code), ErrorCode::InvalidRecord, "magic {magic} in v{version}");
        }
    }
    let mut broken = set(1, &["broken"]);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let answer = client.produce_as(2, at, 1, broken).await;
    assert_eq!(code(answer.error_code), ErrorCode::CorruptMessage);
    assert_eq!(client.offset(7, at, -1).await.offset, 0, "nothing was appended");
    client.create("no-down", 1, &[("message.downconversion.enable", "false")]).await;
    client.produce(("no-down", 0), &["a"]).await;
    let data = client.fetch_as(2, ("no-down", 0), 0).await;
    assert_eq!(code(data.error_code), ErrorCode::UnsupportedVersion);
    client.create("zstd-only", 1, &[("compression.type", "zstd")]).await;
    client.produce(("zstd-only", 0), &["a"]).await;
    assert_eq!(
        code(client.fetch_as(9, ("zstd-only", 0), 0).await.error_code),
        ErrorCode::UnsupportedCompressionType
    );
    assert_eq!(client.fetch_as(10, ("zstd-only", 0), 0).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_readers_get_what_comes_before_zstd() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("mixed", 1, &[]).await;
    let at = ("mixed", 0);
    let values: Vec<String> = (0..500).map(|n| format!("value {n}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let options = BatchOptions { compression, ..Default::default() };
        assert_eq!(client.produce_as(9, at, -1, batch_with(options, &values)).await.error_code, 0);
    }
    for version in 0..=3 {
        let mut found = Vec::new();
        let refused = loop {
            let data = client.fetch_as(version, at, found.len() as i64).await;
            let records = values_of(&data);
            if data.error_code != 0 || records.is_empty() {
                break data.error_code;
            }
            let next = found.len() as i64;
            found.extend(records.into_iter().filter(|(offset, _)| *offset >= next));
        };
        assert_eq!(code(refused), ErrorCode::UnsupportedCompressionType, "v{version}");
        assert!(found.iter().map(|(offset, _)| *offset).eq(0..1500), "v{version}: {} records", found.len());
        assert!(
            found.chunks(500).all(|batch| batch.iter().map(|(_, value)| value.as_str()).eq(values.clone()))
        );
    }
}

/// One thread serves everything here, as one thread serves many connections in a broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn converting_keeps_nobody_waiting() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("bomb", 1, &[]).await;
    let value = "x".repeat(1 << 20);
    let gzip = BatchOptions { compression: Compression::Gzip, ..Default::default() };
    let small = batch_with(gzip, &vec![value.as_str(); 48]);
    assert!(small.len() < 1 << 18, "48 MiB in {} bytes", small.len());
    assert_eq!(client.produce_as(9, ("bomb", 0), -1, small).await.error_code, 0);
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let mut reader = node.client().await;
        readers.spawn(async move { reader.fetch_as(2, ("bomb", 0), 0).await });
    }
    let mut answers = 0;
    while !readers.is_empty() {
        client.metadata(&["bomb"]).await;
        answers += 1;
        while let Some(data) = readers.try_join_next() {
            let data = data.expect("an answer");
            assert_eq!((data.error_code, batches(&bytes_of(&data)).count()), (0, 1));
        }
    }
    // Hundreds; a thread that converts itself answers only between two conversions, on a slow machine as on a fast one.
    assert!(answers > 20, "{answers} Metadata answers while 4 batches were converted");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversions_wait_for_their_turn_and_nothing_else_does() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("turns", 1, &[]).await;
    client.produce(("turns", 0), &["a"]).await;
    let turns = node.running.as_ref().expect("it runs").broker.conversions.clone();
    assert_eq!(turns.available_permits(), AT_ONCE);
    let taken = turns.clone().acquire_many_owned(AT_ONCE as u32).await.expect("it is never closed");
    let mut old = node.client().await;
    let mut waiting = Box::pin(old.fetch_as(3, ("turns", 0), 0));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(waited.is_err(), "converted out of turn");
    assert_eq!(values_of(&client.fetch_as(4, ("turns", 0), 0).await).len(), 1);
    drop(taken);
    assert_eq!(values_of(&waiting.await).len(), 1);
    assert_eq!(turns.available_permits(), AT_ONCE);
}
