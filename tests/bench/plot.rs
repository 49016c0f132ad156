//! The figures as a picture: one line a figure on a logarithmic scale, Kafka at 1.
//!
//! A filled dot with its range is Ottla, an open dot the null broker, a red mark what is wanted of Ottla.
//! Plain SVG, written by hand: no library, and every browser shows it.

use std::fmt::Write;

use crate::figures::{FIGURES, Results, Spread, Wanted};
use crate::peers::Peer;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 300.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 60.0;
const ROW: f64 = 26.0;
/// Ratios at the ends of the scale: what lies beyond is drawn at the end.
const LEAST: f64 = 0.001;
const GREATEST: f64 = 10.0;

/// The picture as SVG.
pub fn svg(results: &Results) -> String {
    let shown = |figure: &&crate::figures::Figure| {
        [Peer::Ottla, Peer::Null].iter().any(|peer| results.ratio(figure.id, *peer, Peer::Kafka).is_some())
    };
    let figures: Vec<_> = FIGURES.iter().filter(shown).collect();
    let bottom = TOP + ROW * figures.len() as f64;
    let mut out = String::new();
    let height = bottom + 50.0;
    let head = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="24" font-size="15">Ottla (filled) and the null broker (open) against Kafka 3.9.2 = 1</text>
<text x="{LEFT}" y="42" fill="#666">median of the rounds, with range; red: what is wanted of Ottla</text>
"##
    );
    out += &head;
    for tick in [0.001, 0.01, 0.1, 1.0, 10.0] {
        let (x, color) = (at(tick), if tick == 1.0 { "#333" } else { "#ddd" });
        line(&mut out, (x, TOP - 8.0), (x, bottom), color, 1.0);
        text(&mut out, (x, bottom + 16.0), "middle", &tick.to_string());
    }
    for (index, figure) in figures.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        text(&mut out, (LEFT - 12.0, y + 4.0), "end", &format!("{} [{}]", figure.title, figure.unit));
        if let Some(wanted) = ratio_wanted(figure.wanted) {
            line(&mut out, (at(wanted), y - 8.0), (at(wanted), y + 8.0), "#c00", 2.0);
        }
        if let Some(null) = results.ratio(figure.id, Peer::Null, Peer::Kafka) {
            dot(&mut out, null, y, "white");
        }
        if let Some(ottla) = results.ratio(figure.id, Peer::Ottla, Peer::Kafka) {
            dot(&mut out, ottla, y, "#06c");
        }
    }
    let foot = "1-record requests: more is better; everything else: less is better";
    text(&mut out, (LEFT, bottom + 36.0), "start", foot);
    out += "</svg>\n";
    out
}

/// The wanted ratio to Kafka; an excess depends on the null broker and has no fixed place.
fn ratio_wanted(wanted: Wanted) -> Option<f64> {
    match wanted {
        Wanted::AtMost(ratio) | Wanted::AtLeast(ratio) => Some(ratio),
        Wanted::Excess(_) | Wanted::Limit(_) | Wanted::Nothing => None,
    }
}

fn at(ratio: f64) -> f64 {
    let share = (ratio.clamp(LEAST, GREATEST) / LEAST).log10() / (GREATEST / LEAST).log10();
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn dot(out: &mut String, ratio: Spread, y: f64, fill: &str) {
    line(out, (at(ratio.min), y), (at(ratio.max), y), "#06c", 2.0);
    let x = at(ratio.median);
    let _ = writeln!(
        out,
        r##"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="{fill}" stroke="#06c"><title>{:.3}</title></circle>"##,
        ratio.median
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
    let _ = writeln!(
        out,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{color}" stroke-width="{width}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{words}</text>"#, at.0, at.1);
}
