//! What tools print: tables that align, or JSON for scripts.
//!
//! A reader that has seen enough and closes the pipe is no failure. Knows nothing of what is printed.

use std::io::{self, ErrorKind, Write};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// How results are printed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
}

/// The flag that chooses.
#[derive(Debug, Args)]
pub struct Output {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Format,
}

/// The head of a column: its title and whether it holds numbers.
pub type Column = (&'static str, bool);

impl Output {
    /// Prints rows under their columns, or `json`.
    pub fn rows(&self, columns: &[Column], rows: Vec<Vec<String>>, json: Value) -> Result<(), String> {
        match self.output {
            Format::Table => print(&table(columns, rows)),
            Format::Json => self.json(&json),
        }
    }

    /// Prints a sentence, or `json`.
    pub fn line(&self, text: &str, json: Value) -> Result<(), String> {
        match self.output {
            Format::Table => print(text),
            Format::Json => self.json(&json),
        }
    }

    /// Whether JSON is asked for.
    pub fn is_json(&self) -> bool {
        self.output == Format::Json
    }

    fn json(&self, json: &Value) -> Result<(), String> {
        print(&format!("{json:#}"))
    }
}

/// A table without lines: titles in capitals, numbers to the right.
pub fn table(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(title, _)| *title));
    table.add_rows(rows);
    let last = columns.len().saturating_sub(1);
    for (index, (_, number)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, if index == last { 0 } else { 2 }));
            column.set_cell_alignment(if *number { CellAlignment::Right } else { CellAlignment::Left });
        }
    }
    table.to_string()
}

/// Prints a text and ends its line; spaces at the ends of lines are left out.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let written = text.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()));
    finish(written.and_then(|()| out.flush()))
}

/// Prints a text as it is, and ends its line.
pub fn exactly(text: &str) -> Result<(), String> {
    raw(&format!("{text}\n"))
}

/// Prints a text and nothing more.
pub fn raw(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Turns a failed write of results into a sentence; a closed pipe is fine.
pub fn finish(written: io::Result<()>) -> Result<(), String> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write the results: {error}; check where the output goes"))
        }
        _ => Ok(()),
    }
}

/// `1 record`, `2 records`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Numbers with commas between.
pub fn list(numbers: &[i32]) -> String {
    numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let rows = vec![vec!["a".into(), "10".into()], vec!["longer".into(), "7".into()]];
        let lines: Vec<String> = table(&[("NAME", false), ("SIZE", true)], rows)
            .lines()
            .map(|line| line.trim_end().into())
            .collect();
        assert_eq!(lines, ["NAME    SIZE", "a         10", "longer     7"]);
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!((count(1, "record"), count(2, "record")), ("1 record".into(), "2 records".into()));
        assert_eq!(list(&[1, 2, 30]), "1,2,30");
    }
}
