//! Connections: order, back-pressure, limits, and what hostile ones cost.

use std::time::{Duration, Instant};

use ottla::protocol::messages::{ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest};
use tokio::net::TcpStream;

use super::client::{batch, fetch_request, produce_request};
use super::nodes::{one, until};
use super::processes::{Process, rss_bytes};
use super::raw::{Raw, frame, wire};

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_the_order_of_the_requests() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("order", 1, &[]).await;
    let mut raw = Raw::open(node.port()).await;
    let poll = FetchRequest { max_wait_ms: 20_000, min_bytes: 1, ..fetch_request(("order", 0), 0) };
    raw.send(&wire(11, 1, &poll)).await;
    raw.send(&wire(1, 2, &MetadataRequest::default())).await;
    raw.send(&wire(9, 3, &produce_request(("order", 0), 1, batch(&["from behind the poll"])))).await;
    // The Produce behind the poll is served meanwhile, and it is what ends the poll.
    let begun = Instant::now();
    let (id, answer) = raw.answer::<FetchRequest>(11).await;
    assert_eq!((id, answer.responses[0].partitions[0].high_watermark), (1, 1));
    assert!(begun.elapsed() < Duration::from_secs(15), "the poll ended by its data, not by its time");
    assert_eq!(raw.answer::<MetadataRequest>(1).await.0, 2);
    let (id, answer) = raw.answer::<ProduceRequest>(9).await;
    assert_eq!((id, answer.responses[0].partition_responses[0].error_code), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_in_one_write_are_all_answered() {
    let (_zk, node) = one(&[]).await;
    let mut raw = Raw::open(node.port()).await;
    let mut all = Vec::new();
    for id in 0..1000 {
        all.extend_from_slice(&wire(0, id, &ApiVersionsRequest::default()));
    }
    raw.send(&all).await;
    for id in 0..1000 {
        assert_eq!(raw.answer::<ApiVersionsRequest>(0).await.0, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_long_polls_than_may_wait_are_all_answered() {
    let (_zk, node) = one(&[]).await;
    node.client().await.create("polls", 1, &[]).await;
    let poll = FetchRequest { max_wait_ms: 50, min_bytes: 1, ..fetch_request(("polls", 0), 0) };
    let mut raw = Raw::open(node.port()).await;
    let mut all = Vec::new();
    for id in 0..300 {
        all.extend_from_slice(&wire(4, id, &poll));
    }
    raw.send(&all).await;
    for id in 0..300 {
        assert_eq!(raw.answer::<FetchRequest>(4).await.0, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_come_byte_by_byte() {
    let (_zk, node) = one(&[]).await;
    let mut raw = Raw::open(node.port()).await;
    raw.0.set_nodelay(true).expect("a socket option");
    for byte in wire(1, 7, &MetadataRequest::default()) {
        raw.send(&[byte]).await;
    }
    assert_eq!(raw.answer::<MetadataRequest>(1).await.0, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_sizes_and_garbage_close_the_connection_alone() {
    let (_zk, node) = one(&[("socket.request.max.bytes", "100000")]).await;
    let mut bystander = node.client().await;
    let mut large = 100_001_i32.to_be_bytes().to_vec();
    large.push(0);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("2 GB", vec![0x7f, 0xff, 0xff, 0xff, 0]),
        ("a negative size", vec![0xff, 0xff, 0xff, 0xff, 0]),
        ("one byte over the limit", large),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec()),
        ("a TLS hello", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        ("a short header", vec![0, 0, 0, 3, 0, 18, 0]),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&bytes).await;
        assert!(raw.closed().await, "{what}");
    }
    // A frame at the limit is taken (and refused for what is in it).
    let mut raw = Raw::open(node.port()).await;
    let body = vec![0; 100_000 - 11];
    let allowed = frame(18, 0, 9, false, &body);
    assert_eq!(allowed.len(), 100_004);
    raw.send(&allowed).await;
    bystander.metadata(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_is_forgotten_with_its_connection() {
    let (_zk, node) = one(&[]).await;
    let request = wire(1, 7, &MetadataRequest::default());
    for cut in 1..request.len() {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&request[..cut]).await;
    }
    node.client().await.metadata(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_limit() {
    let (_zk, node) = one(&[("max.connections.per.ip", "40")]).await;
    // The broker's own connections (controller to broker) come from this address too.
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(("127.0.0.1", node.port())).await.expect("the system accepts"));
    }
    let refused = until("refusals beyond the limit", async || {
        let mut buffer = [0; 1];
        let closed = held.iter().filter(|stream| matches!(stream.try_read(&mut buffer), Ok(0))).count();
        (closed >= 20).then_some(closed)
    })
    .await;
    assert!(refused < 30, "{refused} of 60 refused by a limit of 40");
    drop(held);
    until("room again", async || {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&wire(0, 1, &ApiVersionsRequest::default())).await;
        let answered = tokio::time::timeout(Duration::from_millis(500), raw.0.readable()).await.is_ok();
        let mut buffer = [0; 1];
        (answered && matches!(raw.0.try_read(&mut buffer), Ok(1))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_lets_newcomers_wait() {
    let (_zk, node) = one(&[("max.connections", "10")]).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&wire(0, 1, &ApiVersionsRequest::default())).await;
        held.push(raw);
    }
    let quiet = Duration::from_millis(300);
    let mut served = 0;
    let mut waiting = Vec::new();
    for mut raw in held.drain(..) {
        match tokio::time::timeout(quiet, raw.0.readable()).await {
            Ok(_) => {
                raw.answer::<ApiVersionsRequest>(0).await;
                served += 1;
                // Closing it makes room for one more.
                if served > 10 {
                    continue;
                }
                waiting.push((raw, true));
            }
            Err(_) => waiting.push((raw, false)),
        }
    }
    assert!((5..=10).contains(&served), "{served} served at once by a limit of 10");
    waiting.retain(|(_, served)| !served);
    for (mut raw, _) in waiting {
        raw.answer::<ApiVersionsRequest>(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_above_the_rate_wait_and_are_served() {
    // A rate over two windows of a second takes one second's worth at once.
    let (_zk, node) = one(&[("max.connection.creation.rate", "5"), ("quota.window.num", "2")]).await;
    let begun = Instant::now();
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut raw = Raw::open(node.port()).await;
        raw.send(&wire(0, 1, &ApiVersionsRequest::default())).await;
        held.push(raw);
    }
    for raw in &mut held {
        assert_eq!(raw.answer::<ApiVersionsRequest>(0).await.0, 1);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_000), "12 connections at 5 a second were served within {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_while_the_memory_of_requests_is_used_up() {
    let limits = [("queued.max.request.bytes", "20000"), ("socket.request.max.bytes", "20000")];
    let (_zk, node) = one(&limits).await;
    let mut other = Raw::open(node.port()).await;
    // The largest frame begins, and its rest does not come: all memory is lent to it.
    let large = frame(18, 0, 9, false, &[0; 20_000 - 11]);
    let mut slow = Raw::open(node.port()).await;
    slow.send(&large[..100]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.send(&wire(0, 1, &ApiVersionsRequest::default())).await;
    let early = tokio::time::timeout(Duration::from_millis(500), other.0.readable()).await;
    assert!(early.is_err(), "a request was read beyond the memory for requests");
    slow.send(&large[100..]).await;
    assert_eq!(other.answer::<ApiVersionsRequest>(0).await.0, 1);
    // A connection that ends gives back what its half frame held.
    let mut gone = Raw::open(node.port()).await;
    gone.send(&large[..100]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(gone);
    let mut client = node.client().await;
    client.create("memory", 1, &[]).await;
    for number in 0..20 {
        assert_eq!(client.produce(("memory", 0), &["x"]).await, number, "every loan is paid back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let (_zk, node) = one(&[("connections.max.idle.ms", "700")]).await;
    node.client().await.create("idle", 1, &[]).await;
    let begun = Instant::now();
    let mut idle = Raw::open(node.port()).await;
    let mut half = Raw::open(node.port()).await;
    half.send(&[0, 0]).await;
    let mut polling = Raw::open(node.port()).await;
    let poll = FetchRequest { max_wait_ms: 2_000, min_bytes: 1, ..fetch_request(("idle", 0), 0) };
    polling.send(&wire(4, 1, &poll)).await;
    assert!(idle.closed().await && half.closed().await);
    let idle_for = begun.elapsed();
    assert!(idle_for >= Duration::from_millis(700) && idle_for < Duration::from_secs(5), "{idle_for:?}");
    assert_eq!(polling.answer::<FetchRequest>(4).await.0, 1, "a waiting request is no idleness");
}

#[tokio::test(flavor = "multi_thread")]
async fn idleness_without_a_limit_is_allowed() {
    let (_zk, node) = one(&[("connections.max.idle.ms", "-1")]).await;
    let mut raw = Raw::open(node.port()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    raw.send(&wire(1, 1, &MetadataRequest::default())).await;
    assert_eq!(raw.answer::<MetadataRequest>(1).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_the_answers_in_flight() {
    let (_zk, mut node) = one(&[]).await;
    node.client().await.create("flight", 1, &[]).await;
    let mut raw = Raw::open(node.port()).await;
    let poll = FetchRequest { max_wait_ms: 300, min_bytes: 1, ..fetch_request(("flight", 0), 0) };
    raw.send(&wire(4, 1, &poll)).await;
    raw.send(&wire(1, 2, &MetadataRequest::default())).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(async move {
        node.stop().await;
    });
    assert_eq!(raw.answer::<FetchRequest>(4).await.0, 1);
    assert_eq!(raw.answer::<MetadataRequest>(1).await.0, 2);
    assert!(raw.closed().await);
    stopping.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_promises_of_a_hundred_megabytes_cost_next_to_nothing() {
    let mut process = Process::dev(&[]).await;
    let port = process.port().await;
    process.client().await.metadata(&[]).await;
    let before = rss_bytes(process.id());
    let mut held = Vec::new();
    for _ in 0..500 {
        let mut raw = Raw::open(port).await;
        raw.send(&100_000_000_i32.to_be_bytes()).await;
        held.push(raw);
    }
    // Served after all of them: they have all been read.
    process.client().await.metadata(&[]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let grown = rss_bytes(process.id()).saturating_sub(before);
    assert!(grown < 6 << 20, "500 promises cost {} KiB", grown >> 10);
    assert_eq!(held.len(), 500);
    process.stop().await;
}

/// A waiting request longer than the idle time must not make the connection spin.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_longer_than_the_idle_time_costs_no_processor_time() {
    let mut process = Process::dev(&["connections.max.idle.ms=200"]).await;
    process.client().await.create("spin", 1, &[]).await;
    let poll = FetchRequest { max_wait_ms: 3_000, min_bytes: 1, ..fetch_request(("spin", 0), 0) };
    let mut raw = Raw::open(process.port().await).await;
    let before = super::processes::cpu_ms(process.id());
    raw.send(&wire(4, 1, &poll)).await;
    raw.answer::<FetchRequest>(4).await;
    let used = super::processes::cpu_ms(process.id()) - before;
    assert!(used < 1_000, "a poll of 3 s used {used} ms of a processor");
    process.stop().await;
}
