//! What is listed, the rate, and a random copier that obeys.

use super::*;

const KAFKAS: Windows = Windows { count: 11, size_ms: 1_000 };

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[test]
fn a_topic_lists_replicas_of_this_broker() {
    let throttle = Throttle::new(2, KAFKAS);
    for (value, expected) in [
        (Some("0:1,1:2, 2:2"), [false, true, true]),
        (Some("*"), [true, true, true]),
        (Some("0:1"), [false, false, false]),
        (Some(""), [false, false, false]),
        (Some("x:2,:2,1:y,7"), [false, false, false]),
        (None, [false, false, false]),
    ] {
        throttle.set_topic("t", value);
        assert_eq!([0, 1, 2].map(|n| throttle.is_throttled(&tp("t", n))), expected, "{value:?}");
        assert!(!throttle.is_throttled(&tp("other", 0)));
    }
}

#[test]
fn the_rate_is_taken_over_the_past_but_one_window_at_least() {
    let throttle = Throttle::new(2, KAFKAS);
    throttle.set_topic("t", Some("*"));
    throttle.set_rate(Some(1_000));
    let mut now = Timestamp(50_000);
    throttle.record(now, &tp("t", 0), 1_000);
    assert!(!throttle.is_exceeded(now), "1,000 bytes in a window of a second");
    throttle.record(now, &tp("t", 0), 1);
    assert!(throttle.is_exceeded(now));
    assert!(throttle.holds_back(now, &tp("t", 0), false));
    assert!(!throttle.holds_back(now, &tp("t", 0), true), "in sync is never held back");
    assert!(!throttle.holds_back(now, &tp("other", 0), false));
    now = now.plus_ms(1_001);
    assert!(!throttle.is_exceeded(now), "1,001 bytes in 1,001 ms");
    throttle.record(now, &tp("other", 0), 1 << 40);
    assert!(!throttle.is_exceeded(now), "what is not listed does not count");
    throttle.record(now, &tp("t", 0), 20_000);
    assert!(throttle.is_exceeded(now.plus_ms(10_999)));
    assert!(!throttle.is_exceeded(now.plus_ms(11_000)), "eleven windows later it is forgotten");
    throttle.record(now.plus_ms(11_000), &tp("t", 0), 1 << 40);
    throttle.set_rate(None);
    assert!(!throttle.is_exceeded(now.plus_ms(11_000)));
    throttle.set_rate(Some(0));
    assert!(throttle.is_exceeded(now.plus_ms(11_000)));
}

/// Whatever the traffic, copying that obeys comes to its rate, give or take what one answer brings.
#[test]
fn who_obeys_keeps_the_rate() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let throttle = Throttle::new(2, KAFKAS);
        throttle.set_topic("t", Some("*"));
        throttle.set_rate(Some(100_000));
        let (mut now, mut passed) = (Timestamp(0), 0usize);
        let (step, largest) = (random.i64(1..200), random.usize(1_000..50_000));
        while now.0 < 60_000 {
            if !throttle.holds_back(now, &tp("t", 0), false) {
                let bytes = random.usize(0..=largest);
                throttle.record(now, &tp("t", 0), bytes);
                passed += bytes;
            }
            now = now.plus_ms(step);
        }
        let limit = 100_000 * 60 + 11 * largest + 100_000;
        assert!(passed <= limit, "seed {seed}: {passed} of {limit}");
    }
}
