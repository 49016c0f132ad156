//! How `ottla consume` prints a record.
//!
//! A closed pipe is no failure, but the end. Knows nothing of where records come from.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use base64::Engine as _;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::offsets::Place;
use super::output::finish;
use crate::protocol::records::Record;

/// What is printed of a record.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The value as it is.
    #[default]
    Value,
    /// Key, a tab, value.
    KeyValue,
    /// All of it; bytes that are no text as {"base64": ..}.
    Json,
}

/// Writes records; knows when nobody reads them any more.
pub struct Printer {
    format: Format,
    out: BufWriter<Stdout>,
    closed: bool,
}

impl Printer {
    /// Prints to standard output.
    pub fn new(format: Format) -> Printer {
        Printer { format, out: BufWriter::with_capacity(64 << 10, std::io::stdout()), closed: false }
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Prints one record.
    pub fn print(&mut self, place: &Place, record: &Record<'_>) -> Result<(), String> {
        let out = &mut self.out;
        let null = b"null".as_slice();
        let value = record.value.unwrap_or(null);
        let written = match self.format {
            Format::Value => out.write_all(value),
            Format::KeyValue => out
                .write_all(record.key.unwrap_or(null))
                .and_then(|()| out.write_all(b"\t"))
                .and_then(|()| out.write_all(value)),
            Format::Json => write!(out, "{}", to_json(place, record)),
        };
        let written = written.and_then(|()| out.write_all(b"\n"));
        self.told(written)
    }

    /// Hands over what is printed.
    pub fn flush(&mut self) -> Result<(), String> {
        let written = self.out.flush();
        self.told(written)
    }

    fn told(&mut self, written: std::io::Result<()>) -> Result<(), String> {
        self.closed |= matches!(&written, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        finish(written)
    }
}

fn to_json(place: &Place, record: &Record<'_>) -> Value {
    let mut headers = Map::new();
    for header in record.headers {
        headers.insert(String::from_utf8_lossy(header.key).into_owned(), text(header.value));
    }
    json!({
        "topic": place.0, "partition": place.1, "offset": record.offset, "timestamp": record.timestamp,
        "key": text(record.key), "value": text(record.value), "headers": headers,
    })
}

fn text(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({"base64": base64::engine::general_purpose::STANDARD.encode(bytes)}),
    }
}
