//! What is published of the runs: a table beside each other, and everything behind it as JSON.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::check::Anomaly;
use crate::gaps::Gap;
use crate::run::{Event, Outcome, Plan};

/// The title of a run: its brokers.
fn title(outcome: &Outcome) -> String {
    let mut names: Vec<&str> = outcome.kinds.iter().map(|kind| kind.name()).collect();
    if names.iter().all(|name| *name == names[0]) {
        names.truncate(1);
    }
    names.join("+")
}

/// Whether it shows nothing that must not happen.
pub fn is_sound(outcome: &Outcome) -> bool {
    let all_read = outcome.verdict.finals.0 == outcome.verdict.finals.1;
    outcome.verdict.anomalies.is_empty()
        && outcome.compared.differences.is_empty()
        && outcome.panics.is_empty()
        && all_read
        && outcome.events.iter().all(|event| event.whole_after.is_some())
}

/// The tables and what was found, as text.
pub fn text(plan: &Plan, outcomes: &[Outcome]) -> String {
    let mut text = format!("seed {}, {} s of faults each\n", plan.seed, plan.time.as_secs());
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let header = ["".to_owned()].into_iter().chain(outcomes.iter().map(title));
    table.set_header(header.collect::<Vec<_>>());
    for (name, value) in ROWS {
        let row = [(*name).to_owned()].into_iter().chain(outcomes.iter().map(value));
        table.add_row(row.collect::<Vec<_>>());
    }
    for anomaly in Anomaly::ALL {
        let counts = outcomes.iter().map(|outcome| outcome.verdict.count(anomaly).to_string());
        table.add_row([anomaly.name().to_owned()].into_iter().chain(counts).collect::<Vec<_>>());
    }
    text += &format!(
        "{table}\n\nBy fault, the worst of its rounds: write gap p50 / p99 / max, then seconds to full ISR\n"
    );
    text += &format!("{}\n", by_fault(outcomes));
    for outcome in outcomes {
        let title = title(outcome);
        for (anomaly, cases) in &outcome.verdict.anomalies {
            for example in &cases.examples {
                text += &format!("{title}: {}: {example}\n", anomaly.name());
            }
        }
        for line in outcome.compared.differences.iter().chain(&outcome.panics).take(40) {
            text += &format!("{title}: {line}\n");
        }
    }
    text
}

type Cell = fn(&Outcome) -> String;

const ROWS: &[(&str, Cell)] = &[
    ("acked", |outcome| outcome.verdict.acked.to_string()),
    ("failed", |outcome| outcome.verdict.failed.to_string()),
    ("unknown", |outcome| outcome.verdict.unknown.to_string()),
    ("unknown, but read", |outcome| outcome.verdict.unknown_read.to_string()),
    ("read", |outcome| outcome.verdict.read.to_string()),
    ("repeated without idempotence (allowed)", |outcome| outcome.verdict.repeated.to_string()),
    ("readers that came to the end", |outcome| {
        format!("{} of {}", outcome.verdict.finals.0, outcome.verdict.finals.1)
    }),
    ("faults", |outcome| outcome.events.len().to_string()),
    ("faults not recovered from", |outcome| {
        outcome.events.iter().filter(|event| event.whole_after.is_none()).count().to_string()
    }),
    ("elections", |outcome| sum(outcome, |event| event.elections)),
    ("changes of state znodes", |outcome| sum(outcome, |event| event.state_changes)),
    ("controllers", |outcome| sum(outcome, |event| event.controllers)),
    ("write gap in quiet, p99", |outcome| seconds(outcome.quiet.map(|gap| gap.p99))),
    ("longest write gap", |outcome| {
        let gaps = outcome.events.iter().filter_map(|event| event.gap.map(|gap| gap.max));
        seconds(gaps.reduce(f64::max))
    }),
    ("longest time to full ISR", |outcome| {
        seconds(outcome.events.iter().filter_map(|event| event.whole_after).reduce(f64::max))
    }),
    ("longest stop (SIGTERM)", |outcome| {
        seconds(
            outcome.events.iter().flat_map(|event| event.stops.iter().flatten().copied()).reduce(f64::max),
        )
    }),
    ("ended by themselves", |outcome| sum(outcome, |event| event.ended.len() as i64)),
    ("RSS, greatest and last, MiB", |outcome| {
        let told = outcome.memory.values().map(|(max, last)| format!("{max:.0}/{last:.0}"));
        told.collect::<Vec<_>>().join(" ")
    }),
    ("panics", |outcome| outcome.panics.len().to_string()),
    ("replicas not the same", |outcome| {
        format!("{} of {}", outcome.compared.differences.len(), outcome.compared.partitions)
    }),
];

fn sum(outcome: &Outcome, of: fn(&Event) -> i64) -> String {
    outcome.events.iter().map(of).sum::<i64>().to_string()
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2} s"))
}

fn by_fault(outcomes: &[Outcome]) -> Table {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in outcomes.iter().flat_map(|outcome| &outcome.events) {
        rows.entry(event.fault.to_string()).or_default();
    }
    for (name, cells) in &mut rows {
        for outcome in outcomes {
            let of: Vec<&Event> =
                outcome.events.iter().filter(|event| event.fault.to_string() == *name).collect();
            let worst = |part: fn(Gap) -> f64| {
                seconds(of.iter().filter_map(|event| event.gap.map(part)).reduce(f64::max))
            };
            let whole = of.iter().filter_map(|event| event.whole_after).reduce(f64::max);
            let failures: usize = of.iter().map(|event| event.failures).sum();
            cells.push(of.len().to_string());
            cells.push(format!(
                "{} / {} / {}",
                worst(|gap| gap.p50),
                worst(|gap| gap.p99),
                worst(|gap| gap.max)
            ));
            cells.push(seconds(whole));
            cells.push(failures.to_string());
        }
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec!["fault".to_owned()];
    for outcome in outcomes {
        let title = title(outcome);
        header.extend(["rounds", "gap", "full ISR", "not acked"].map(|column| format!("{title}: {column}")));
    }
    table.set_header(header);
    for (name, cells) in rows {
        table.add_row([name].into_iter().chain(cells).collect::<Vec<_>>());
    }
    table
}

/// Everything.
pub fn json(plan: &Plan, outcomes: &[Outcome]) -> Value {
    json!({
        "seed": plan.seed,
        "fault_seconds": plan.time.as_secs(),
        "faults": plan.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "isolated": plan.isolated,
        "session_ms": plan.programs.session_ms,
        "extra_config": plan.programs.extra,
        "load": {
            "topics": plan.load.topics.len(), "partitions_each": plan.load.partitions,
            "records_per_second": plan.load.rate, "acks": plan.load.acks,
            "min_insync_replicas": plan.load.min_isr, "unclean_leader_election": plan.load.unclean,
            "patience_ms": plan.load.patience_ms,
        },
        "machine": {
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        },
        "runs": outcomes.iter().map(of_run).collect::<Vec<_>>(),
    })
}

fn of_run(outcome: &Outcome) -> Value {
    let verdict = &outcome.verdict;
    let anomalies: BTreeMap<&str, u64> =
        Anomaly::ALL.iter().map(|anomaly| (anomaly.name(), verdict.count(*anomaly))).collect();
    let examples: BTreeMap<&str, &[String]> = verdict
        .anomalies
        .iter()
        .map(|(anomaly, cases)| (anomaly.name(), cases.examples.as_slice()))
        .collect();
    json!({
        "brokers": outcome.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "sound": is_sound(outcome),
        "took_s": outcome.took,
        "acked": verdict.acked, "failed": verdict.failed, "unknown": verdict.unknown,
        "unknown_read": verdict.unknown_read, "read": verdict.read,
        "repeated_without_idempotence": verdict.repeated,
        "final_readers": { "complete": verdict.finals.0, "all": verdict.finals.1 },
        "anomalies": anomalies,
        "examples": examples,
        "quiet_gap_s": outcome.quiet.map(gap),
        "rss_mib": outcome.memory.iter().map(|(id, (max, last))| json!({"broker": id, "max": max, "last": last})).collect::<Vec<_>>(),
        "panics": outcome.panics,
        "replicas": {
            "partitions": outcome.compared.partitions, "bytes": outcome.compared.bytes,
            "differences": outcome.compared.differences,
        },
        "events": outcome.events.iter().map(of_event).collect::<Vec<_>>(),
    })
}

fn gap(gap: Gap) -> Value {
    json!({ "p50": gap.p50, "p99": gap.p99, "max": gap.max })
}

fn of_event(event: &Event) -> Value {
    json!({
        "fault": event.fault.to_string(), "victims": event.victims, "held_s": event.held,
        "full_isr_after_s": event.whole_after, "elections": event.elections,
        "state_changes": event.state_changes, "controllers": event.controllers, "stops_s": event.stops,
        "ended_by_themselves": event.ended, "started_again": event.restarted,
        "gap_s": event.gap.map(gap),
        "gap_s_by_producer": event.gaps.iter().map(|(id, of)| json!({"producer": id, "gap": gap(*of)})).collect::<Vec<_>>(),
        "not_acked": event.failures,
    })
}
