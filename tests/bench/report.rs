//! What is published: the table, and everything behind it as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::figures::{FIGURES, Results, Spread, Wanted, spread};
use crate::peers::Peer;

const PEERS: [Peer; 3] = [Peer::Ottla, Peer::Kafka, Peer::Null];

/// The table, the notes and the failures as text.
pub fn text(results: &Results, about: &Value) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(vec![
        "figure",
        "unit",
        "Ottla",
        "Kafka 3.9.2",
        "null broker",
        "Ottla/Kafka",
        "Ottla/null",
        "Kafka/null",
        "excess",
        "wanted",
        "met",
    ]);
    for figure in FIGURES {
        let values = PEERS.map(|peer| spread(&results.of(figure.id, peer)));
        if values.iter().all(Option::is_none) {
            continue;
        }
        let ratio = |of, to| told(results.ratio(figure.id, of, to));
        let mut row = vec![figure.title.to_owned(), figure.unit.to_owned()];
        row.extend(values.map(told));
        row.push(ratio(Peer::Ottla, Peer::Kafka));
        row.push(ratio(Peer::Ottla, Peer::Null));
        row.push(ratio(Peer::Kafka, Peer::Null));
        row.push(match figure.wanted {
            Wanted::Excess(_) => excess(results, figure.id),
            _ => String::new(),
        });
        row.push(wanted(figure.wanted, figure.unit));
        row.push(match results.verdict(figure) {
            Some(true) => "yes".to_owned(),
            Some(false) => "NO".to_owned(),
            None => String::new(),
        });
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n\n");
    text += "Values are medians of the rounds [least..greatest]; ratios are taken round by round.\n";
    text += "excess: what Ottla costs more than the null broker / what Kafka costs more, by the medians.\n";
    text += "cluster CPU: of all three together, each GB counted once; acks=all, 3 replicas, 2 of them in sync at least. In the null \
             broker's place stands 3 x its cost of producing + 2 x its cost of fetching a GB.\n";
    text += "Kafka's default durability (\"replicated\").\n";
    text += &format!("Machine: {}\n", about["machine"]);
    for mood in &results.moods {
        text += &format!("Before a round: {mood}\n");
    }
    for note in &results.notes {
        text += &format!("Note: {note}\n");
    }
    for (what, seconds) in &results.took {
        text += &format!("Took {seconds:.0} s: {what}\n");
    }
    for failure in &results.failures {
        text += &format!("FAILED {failure}\n");
    }
    text
}

fn told(spread: Option<Spread>) -> String {
    match spread {
        None => "-".to_owned(),
        Some(Spread { median, min, max }) if min == max => number(median),
        Some(Spread { median, min, max }) => {
            format!("{} [{}..{}]", number(median), number(min), number(max))
        }
    }
}

fn excess(results: &Results, id: &'static str) -> String {
    let told = |[ottla, kafka]: [f64; 2]| format!("{} / {}", number(ottla), number(kafka));
    results.excess(id).map_or("-".to_owned(), told)
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn wanted(wanted: Wanted, unit: &str) -> String {
    match wanted {
        Wanted::Excess(bound) => format!("excess <= {bound:.2}"),
        Wanted::AtMost(bound) => format!("<= {bound} x Kafka"),
        Wanted::AtLeast(bound) => format!(">= {bound} x Kafka"),
        Wanted::Limit(bound) => format!("<= {bound} {unit}"),
        Wanted::Nothing => String::new(),
    }
}

/// Everything, raw samples included.
pub fn json(results: &Results, about: &Value) -> Value {
    let figures = FIGURES.iter().map(|figure| {
        let of = |peer: Peer| (peer.name().to_owned(), json!(results.of(figure.id, peer)));
        json!({
            "id": figure.id,
            "title": figure.title,
            "unit": figure.unit,
            "wanted": wanted(figure.wanted, figure.unit),
            "values": PEERS.map(of).into_iter().collect::<serde_json::Map<String, Value>>(),
            "ottla_to_kafka": range(results.ratio(figure.id, Peer::Ottla, Peer::Kafka)),
            "ottla_to_null": range(results.ratio(figure.id, Peer::Ottla, Peer::Null)),
            "kafka_to_null": range(results.ratio(figure.id, Peer::Kafka, Peer::Null)),
            "excess": results.excess(figure.id).map(|[ottla, kafka]| json!({ "ottla": ottla, "kafka": kafka })),
            "met": results.verdict(figure),
        })
    });
    json!({
        "about": about,
        "figures": figures.collect::<Vec<Value>>(),
        "rounds": results.moods,
        "samples": results.samples,
        "took_s": results.took.iter().map(|(what, seconds)| json!([what, seconds])).collect::<Vec<Value>>(),
        "notes": results.notes,
        "failures": results.failures,
    })
}

fn range(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |spread| json!({ "median": spread.median, "min": spread.min, "max": spread.max }),
    )
}
