//! Runs transcript files: blocks of commands, a line `----`, what they print, an empty line.
//!
//! Lines that start with `#` are comments and stay where they are. Knows nothing of what the commands mean.

use std::fmt::Write as _;
use std::path::Path;

/// Runs a file with `run`, which takes one command line and returns what it prints (lines, or nothing).
pub fn check(path: &Path, mut run: impl FnMut(&str) -> String) {
    let text = std::fs::read_to_string(path).expect("the transcript can be read");
    let actual = replay(&text, &mut run);
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, actual).expect("the transcript can be written");
        return;
    }
    for (number, (wanted, got)) in text.lines().zip(actual.lines()).enumerate() {
        assert_eq!(wanted, got, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(text, actual, "{}: one ends before the other", path.display());
}

fn replay(text: &str, run: &mut impl FnMut(&str) -> String) -> String {
    let mut actual = String::new();
    for block in text.trim_end().split("\n\n") {
        let (commands, expected) = match block.split_once("\n----") {
            Some((commands, expected)) => (commands, Some(expected)),
            None => (block, None),
        };
        let mut printed = String::new();
        for line in commands.lines() {
            if !line.starts_with('#') {
                printed += &run(line);
            }
        }
        writeln!(actual, "{commands}").expect("strings take everything");
        if expected.is_some() || !printed.is_empty() {
            write!(actual, "----\n{printed}").expect("strings take everything");
        }
        actual.push('\n');
    }
    actual.truncate(actual.trim_end().len());
    actual.push('\n');
    actual
}
