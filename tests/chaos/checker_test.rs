//! Made-up histories: each anomaly is found where it is, and a sound history with all that is allowed has none.

mod check;
mod gaps;

use check::{Anomaly, Checker, Verdict};

/// Value `n` of producer `p`, as the drivers make them.
fn value(p: u64, n: u64) -> u64 {
    (p << check::history::COUNT_BITS) | n
}

fn producer(p: u64, idempotent: bool) -> String {
    format!(r#"{{"op":"producer","id":{p},"idempotent":{idempotent}}}"#)
}

fn send(p: u64, n: u64, outcome: &str, offset: i64) -> String {
    let value = value(p, n);
    format!(r#"{{"op":"send","k":"t/0","v":{value},"s":{n},"e":{},"r":"{outcome}","o":{offset}}}"#, n + 1)
}

fn assign(process: u64, from: i64) -> String {
    format!(r#"{{"op":"assign","id":{process},"at":1,"from":{{"t/0":{from}}}}}"#)
}

/// One poll of (offset, producer, number).
fn poll(process: u64, records: &[(i64, u64, u64)]) -> String {
    let pairs: Vec<String> =
        records.iter().map(|(offset, p, n)| format!("[{offset},{}]", value(*p, *n))).collect();
    format!(r#"{{"op":"poll","id":{process},"at":1,"got":{{"t/0":[{}]}}}}"#, pairs.join(","))
}

fn commit(offset: i64, outcome: &str) -> String {
    format!(r#"{{"op":"commit","id":9,"s":1,"e":2,"offsets":{{"t/0":{offset}}},"r":"{outcome}"}}"#)
}

fn committed(offset: i64) -> String {
    format!(r#"{{"op":"committed","id":9,"s":1,"e":2,"offsets":{{"t/0":{offset}}}}}"#)
}

fn judge(lines: &[String]) -> Verdict {
    let mut checker = Checker::default();
    for line in lines {
        checker.line(line).expect("a made-up history is well formed");
    }
    checker.finish()
}

/// Only this anomaly, this often.
fn assert_only(lines: &[String], anomaly: Anomaly, count: u64) {
    let verdict = judge(lines);
    let found: Vec<_> = Anomaly::ALL
        .iter()
        .map(|each| (each.name(), verdict.count(*each)))
        .filter(|each| each.1 > 0)
        .collect();
    assert_eq!(found, [(anomaly.name(), count)], "{:?}", verdict.anomalies);
    assert!(!verdict.anomalies[&anomaly].examples.is_empty());
}

/// Three acknowledged sends of producer 1 at the offsets 0, 1, 2.
fn three() -> Vec<String> {
    let mut lines = vec![producer(1, true)];
    lines.extend((0..3).map(|n| send(1, n, "ok", n as i64)));
    lines
}

fn three_and(more: &[String]) -> Vec<String> {
    [three(), more.to_vec()].concat()
}

#[test]
fn a_sound_history_has_no_anomaly() {
    let verdict = judge(&three_and(&[
        // Unknown and read, unknown and never read, failed and never read.
        send(1, 3, "info", -1),
        send(1, 4, "info", -1),
        send(1, 5, "fail", -1),
        // Acknowledged without an offset, and read.
        send(1, 6, "ok", -1),
        assign(8, 0),
        poll(8, &[(0, 1, 0), (1, 1, 1)]),
        // Offset 4 is a marker or a compacted record: nobody ever saw a value there.
        poll(8, &[(2, 1, 2), (3, 1, 3), (5, 1, 6)]),
        // A reader that begins anew may go back.
        assign(8, 1),
        poll(8, &[(1, 1, 1)]),
        commit(2, "ok"),
        committed(2),
        commit(1, "ok"),
        committed(1),
        commit(5, "info"),
        committed(5),
        commit(3, "ok"),
        committed(3),
        r#"{"op":"final","id":8,"at":1,"complete":true}"#.to_owned(),
        r#"{"op":"end","id":8,"at":1}"#.to_owned(),
    ]));
    assert!(verdict.anomalies.is_empty(), "{:?}", verdict.anomalies);
    let counts = (verdict.acked, verdict.failed, verdict.unknown, verdict.unknown_read, verdict.read);
    assert_eq!(counts, (4, 1, 2, 1, 5));
    assert_eq!(verdict.finals, (1, 1));
}

#[test]
fn lost_is_what_was_acknowledged_and_read_past() {
    let read = [poll(8, &[(0, 1, 0)]), assign(8, 2), poll(8, &[(2, 1, 2)])];
    assert_only(&three_and(&read), Anomaly::LostWrite, 1);
    let no_offset = [three_and(&[poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2)])]), vec![send(1, 3, "ok", -1)]];
    assert_only(&no_offset.concat(), Anomaly::LostWrite, 1);
}

#[test]
fn unseen_is_what_was_acknowledged_and_lies_behind_all_reads() {
    assert_only(&three_and(&[poll(8, &[(0, 1, 0)])]), Anomaly::Unseen, 2);
}

#[test]
fn a_duplicate_is_one_value_at_two_offsets() {
    let lines = three_and(&[poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 1, 2)])]);
    assert_only(&lines, Anomaly::Duplicate, 1);
    let mut allowed = lines;
    allowed[0] = producer(1, false);
    allowed.extend([assign(7, 3), poll(7, &[(3, 1, 2)])]);
    let verdict = judge(&allowed);
    assert!(verdict.anomalies.is_empty(), "{:?}", verdict.anomalies);
    assert_eq!(verdict.repeated, 1, "a place counts once");
}

#[test]
fn offsets_are_inconsistent_when_two_values_share_one() {
    // A send that was told the offset at which everybody reads another value.
    let lines = three_and(&[send(2, 7, "info", 1), poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2)])]);
    assert_only(&lines, Anomaly::InconsistentOffsets, 1);
    let two_readers = [
        three(),
        vec![send(1, 3, "info", -1), send(1, 4, "info", -1), poll(7, &[(0, 1, 0), (1, 1, 1), (2, 1, 2)])],
        vec![assign(7, 3), poll(7, &[(3, 1, 3)]), assign(8, 3), poll(8, &[(3, 1, 4)])],
    ];
    assert_only(&two_readers.concat(), Anomaly::InconsistentOffsets, 1);
}

#[test]
fn an_aborted_read_is_a_failed_send_that_was_read() {
    let lines = three_and(&[send(1, 3, "fail", -1), poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 1, 3)])]);
    assert_only(&lines, Anomaly::AbortedRead, 1);
}

#[test]
fn a_phantom_is_read_and_was_never_sent() {
    let lines = three_and(&[poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 5, 77)])]);
    assert_only(&lines, Anomaly::Phantom, 1);
}

#[test]
fn sends_of_one_producer_keep_their_order() {
    let lines = |idempotent: bool, outcome: &str| {
        let read = poll(8, &[(0, 1, 1), (1, 1, 0), (2, 1, 2)]);
        vec![producer(1, idempotent), send(1, 0, "ok", 1), send(1, 1, outcome, 0), send(1, 2, "ok", 2), read]
    };
    assert_only(&lines(true, "ok"), Anomaly::NonmonotonicSend, 1);
    assert_only(&lines(true, "info"), Anomaly::NonmonotonicSend, 1);
    assert!(judge(&lines(false, "ok")).anomalies.is_empty());
    let mut renewed = lines(true, "info");
    renewed.insert(1, r#"{"op":"renewed","id":1,"at":1}"#.to_owned());
    assert!(judge(&renewed).anomalies.is_empty(), "what was under way may land behind what follows");
}

#[test]
fn readers_neither_skip_nor_go_back() {
    let rest = |lines: &[String]| {
        // Somebody else read everything, so nothing is lost.
        let all = vec![assign(7, 0), poll(7, &[(0, 1, 0), (1, 1, 1), (2, 1, 2)])];
        [three(), all, lines.to_vec()].concat()
    };
    let skip = [assign(8, 0), poll(8, &[(0, 1, 0)]), poll(8, &[(2, 1, 2)])];
    assert_only(&rest(&skip), Anomaly::PollSkip, 1);
    assert_only(&rest(&[assign(8, 0), poll(8, &[(1, 1, 1)])]), Anomaly::PollSkip, 1);
    let back = [assign(8, 0), poll(8, &[(0, 1, 0), (1, 1, 1)]), poll(8, &[(1, 1, 1)])];
    assert_only(&rest(&back), Anomaly::NonmonotonicPoll, 1);
    let inside_skip = [assign(8, 0), poll(8, &[(0, 1, 0), (2, 1, 2)])];
    assert_only(&rest(&inside_skip), Anomaly::IntPollSkip, 1);
    let inside_back = [assign(8, 0), poll(8, &[(0, 1, 0), (1, 1, 1), (0, 1, 0)])];
    assert_only(&rest(&inside_back), Anomaly::IntNonmonotonicPoll, 1);
}

#[test]
fn committed_offsets_stay() {
    let read = poll(8, &[(0, 1, 0), (1, 1, 1), (2, 1, 2)]);
    for told in [1, -1] {
        let lines = three_and(&[read.clone(), commit(1, "ok"), commit(2, "ok"), committed(told)]);
        assert_only(&lines, Anomaly::CommitLost, 1);
    }
    assert_only(&three_and(&[read, commit(1, "info"), committed(3)]), Anomaly::CommitLost, 1);
}

#[test]
fn a_driver_that_contradicts_itself_is_refused() {
    let mut checker = Checker::default();
    checker.line(&send(1, 0, "ok", 0)).expect("the first send");
    assert!(checker.line(&send(1, 0, "ok", 1)).is_err());
    for wrong in ["{", "{}", r#"{"op":"send"}"#, r#"{"op":"poll","id":1,"got":{"t/0":[[0]]}}"#] {
        assert!(checker.line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn gaps_lie_inside_their_window() {
    let (mut checker, mut acks) = (Checker::default(), gaps::Acks::default());
    let mut add = |line: String| acks.add(&checker.line(&line).expect("well formed"));
    add(producer(1, true));
    add(producer(2, false));
    // Acknowledged at 1, 2, 3, 10, 11 s; a producer that does not retry has gaps of its own.
    for (n, second) in [1, 2, 3, 10, 11].iter().enumerate() {
        add(send(1, n as u64, "ok", n as i64)
            .replace(&format!(r#""e":{}"#, n + 1), &format!(r#""e":{second}000000"#)));
    }
    add(send(2, 0, "info", -1).replace(r#""e":1"#, r#""e":5000000"#));
    acks.sort();
    let longest = |from: i64, to: i64| acks.between(from * 1_000_000, to * 1_000_000).map(|gap| gap.max);
    assert_eq!(longest(1, 4), Some(1.0), "the gap that begins at 3 s belongs to what comes after 4 s");
    let spread = acks.between(4_000_000, 12_000_000).map(|gap| (gap.p50, gap.p99));
    assert_eq!(spread, Some((6.0, 6.0)));
    assert_eq!(longest(4, 12), Some(6.0), "from the fault, not from the last acknowledgement before it");
    let producers: Vec<u64> = acks.by_producer(0, 12_000_000).into_keys().collect();
    assert_eq!(producers, [1]);
    assert_eq!(longest(4, 8), Some(4.0), "nothing at all was acknowledged");
    assert_eq!(acks.failures(0, 12_000_000), 0);
}
