//! What the records of a performance test hold: chance letters, lines of a file, or their own number.
//!
//! One buffer serves all records. The same test has the same payloads each time, though not those of Kafka's tool.
//! Source: `ProducerPerformance.generateRandomPayload`, `readPayloadFile`.

use std::io::Write;

use fastrand::Rng;
use regex::bytes::{Regex, RegexBuilder};

use super::settings;
use crate::cli::output::print;

/// Largest file that is read.
const FILE_MAX: u64 = 1 << 30;

/// Payloads, one after another.
#[derive(Debug)]
pub enum Payload {
    /// Letters A to Z, written anew for each record.
    Random(Rng, Vec<u8>),
    /// One of these by chance; at least one.
    Chosen(Rng, Vec<Vec<u8>>),
    /// The number of the record.
    Number(Vec<u8>),
}

impl Payload {
    /// Chance letters, `size` bytes of them.
    pub fn random(size: usize) -> Payload {
        Payload::Random(Rng::with_seed(0), vec![0; size])
    }

    /// What stands in a file between matches of `delimiter`; says what it reads.
    pub fn file(path: &str, delimiter: &str) -> Result<Payload, String> {
        let whole = std::path::absolute(path).map_or_else(|_| path.into(), |path| path.display().to_string());
        print(&format!("Reading payloads from: {whole}"))?;
        let bytes = settings::read(path, FILE_MAX)?;
        let all = split(&String::from_utf8_lossy(&bytes), &expression(delimiter)?);
        print(&format!("Number of messages read: {}", all.len()))?;
        if all.is_empty() {
            return Err(format!("{path} has no payload; put one on each line, or take --record-size"));
        }
        Ok(Payload::Chosen(Rng::with_seed(0), all))
    }

    /// That of record `number`.
    pub fn next(&mut self, number: u64) -> &[u8] {
        match self {
            Payload::Random(rng, buffer) => {
                for part in buffer.chunks_mut(8) {
                    let word = rng.u64(..).to_ne_bytes();
                    for (letter, byte) in part.iter_mut().zip(word) {
                        *letter = b'A' + ((u16::from(byte) * 26) >> 8) as u8;
                    }
                }
                buffer
            }
            Payload::Chosen(rng, all) => &all[rng.usize(..all.len())],
            Payload::Number(buffer) => {
                buffer.clear();
                write!(buffer, "{number}").expect("memory takes all");
                buffer
            }
        }
    }
}

/// Java's expressions, as far as the crate has them; classes are of ASCII in both.
fn expression(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).unicode(false).build();
    built.map_err(|error| format!("--payload-delimiter {text} is no expression: {error}"))
}

/// As `java.util.Scanner` does it: a delimiter at the very start or end has nothing beside it.
fn split(text: &str, delimiter: &Regex) -> Vec<Vec<u8>> {
    let mut parts: Vec<&[u8]> = delimiter.split(text.as_bytes()).collect();
    if parts.first().is_some_and(|part| part.is_empty()) {
        parts.remove(0);
    }
    if parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts.into_iter().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_and_numbers_count() {
        let mut random = Payload::random(1_001);
        let first = random.next(0).to_vec();
        let second = random.next(1).to_vec();
        assert!(first.len() == 1_001 && first != second);
        for letter in b'A'..=b'Z' {
            assert!(first.contains(&letter) || second.contains(&letter), "{}", char::from(letter));
        }
        assert!(first.iter().all(u8::is_ascii_uppercase));
        assert_eq!(Payload::Number(Vec::new()).next(17), b"17");
    }

    #[test]
    fn files_are_parted_as_scanners_do() {
        let parts = |text: &str, by: &str| -> Vec<String> {
            let parts = split(text, &expression(by).unwrap()).into_iter();
            parts.map(|part| String::from_utf8(part).unwrap()).collect()
        };
        assert_eq!(parts("a\nb\n", "\n"), ["a", "b"]);
        assert_eq!(parts("\na\n\nb", "\n"), ["a", "", "b"]);
        assert_eq!(parts("a, b;c", "[,;] ?"), ["a", "b", "c"]);
        assert_eq!(parts("a \t1b", r"\s+\d"), ["a", "b"]);
        assert!(parts("", "\n").is_empty() && parts("\n", "\n").is_empty());
    }
}
