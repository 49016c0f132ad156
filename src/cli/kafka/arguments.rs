//! Options as Kafka's tools with argparse4j read them: `--name value`, `--name=value`, `--name a b c`, beginnings of names.
//!
//! The last of two values counts. Errors are the usage and a sentence; exit code 1. Knows nothing of any tool. Source:
//! `ArgumentParserImpl` of argparse4j.

use std::str::FromStr;

/// What an option takes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// One value.
    One,
    /// All that follow up to the next option.
    Many,
}

/// A tool as its users call it.
#[derive(Debug)]
pub struct Program {
    /// Its name in errors.
    pub name: &'static str,
    /// How it is called, and what its options are.
    pub usage: &'static str,
    /// What `--help` says below the usage.
    pub help: &'static str,
    /// Options by their names with dashes.
    pub options: &'static [(&'static str, Takes)],
}

/// What was given.
#[derive(Debug)]
pub struct Arguments {
    program: &'static Program,
    given: Vec<(&'static str, Vec<String>)>,
}

impl Program {
    /// Reads what was given. No arguments and `--help` are the error that says the usage.
    pub fn read(&'static self, arguments: &[String]) -> Result<Arguments, String> {
        if arguments.is_empty() {
            return Err(format!("{}\n{}", self.usage, self.help));
        }
        let mut given = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let (name, takes) = self.option(name, argument)?;
            let mut values: Vec<String> = attached.into_iter().collect();
            match takes {
                Takes::Nothing => {}
                Takes::One if values.is_empty() => {
                    values.extend(rest.next_if(|next| is_value(next)).cloned())
                }
                Takes::One => {}
                Takes::Many => {
                    while let Some(value) = rest.next_if(|next| is_value(next)) {
                        values.push(value.clone());
                    }
                }
            }
            if values.is_empty() && takes != Takes::Nothing {
                let what = if takes == Takes::One { "one argument" } else { "at least one argument" };
                return Err(self.wrong(&format!("argument {name}: expected {what}")));
            }
            given.push((name, values));
        }
        Ok(Arguments { program: self, given })
    }

    /// The option that is meant by its name or by the beginning of it.
    fn option(&self, name: &str, argument: &str) -> Result<(&'static str, Takes), String> {
        if name == "-h" || name == "--help" {
            return Err(format!("{}\n{}", self.usage, self.help));
        }
        if let Some(option) = self.options.iter().find(|option| option.0 == name) {
            return Ok(*option);
        }
        let begins = |option: &&(&str, Takes)| name.len() > 2 && option.0.starts_with(name);
        let mut meant = self.options.iter().filter(begins);
        match (meant.next(), meant.next()) {
            (Some(option), None) => Ok(*option),
            (Some(first), Some(second)) => {
                let could = format!("{name} could match {}, {}", first.0, second.0);
                Err(self.wrong(&format!("ambiguous option: {could}")))
            }
            _ => Err(self.wrong(&format!("unrecognized arguments: '{argument}'"))),
        }
    }

    fn wrong(&self, why: &str) -> String {
        format!("{}\n{}: error: {why}", self.usage, self.name)
    }
}

impl Arguments {
    /// Whether it was given.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).is_some()
    }

    /// Its values, if it was given.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        let given = self.given.iter().rev().find(|(given, _)| *given == name);
        given.map(|(_, values)| values.as_slice())
    }

    /// Its value, if it was given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).and_then(<[String]>::first).map(String::as_str)
    }

    /// Its value as a number, if it was given; `kind` is Java's name for such numbers.
    pub fn number<T: FromStr>(&self, name: &str, kind: &str) -> Result<Option<T>, String> {
        let parse = |text: &str| {
            let why = format!(
                "argument {name}: could not convert '{text}' to {kind} (For input string: \"{text}\")"
            );
            text.parse().map_err(|_| self.wrong(&why))
        };
        self.value(name).map(parse).transpose()
    }

    /// All of `names` must have been given.
    pub fn require(&self, names: &[&str]) -> Result<(), String> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(self.wrong(&format!("argument {name} is required"))),
            None => Ok(()),
        }
    }

    /// Exactly one of `names` must have been given.
    pub fn require_one(&self, names: &[&str]) -> Result<(), String> {
        let mut given = names.iter().filter(|name| self.has(name));
        match (given.next(), given.next()) {
            (Some(_), None) => Ok(()),
            (Some(first), Some(second)) => {
                Err(self.wrong(&format!("argument {second}: not allowed with argument {first}")))
            }
            _ => Err(self.wrong(&format!("one of the arguments {} is required", names.join(" ")))),
        }
    }

    /// The error that says `why` below the usage.
    pub fn wrong(&self, why: &str) -> String {
        self.program.wrong(why)
    }
}

/// A negative number is a value though it begins with a dash.
fn is_value(text: &str) -> bool {
    !text.starts_with('-') || text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    static PROGRAM: Program = Program {
        name: "p",
        usage: "usage: p",
        help: "",
        options: &[
            ("--topic", Takes::One),
            ("--throughput", Takes::One),
            ("--props", Takes::Many),
            ("--fast", Takes::Nothing),
        ],
    };

    fn read(text: &str) -> Result<Arguments, String> {
        PROGRAM.read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn values_follow_are_attached_and_may_be_many() {
        let all = read("--throughput -1 --props a=b c=d --topic=t --fast").unwrap();
        assert_eq!(all.number::<f64>("--throughput", "Double"), Ok(Some(-1.0)));
        assert_eq!(all.values("--props").unwrap(), ["a=b", "c=d"]);
        assert!(all.value("--topic") == Some("t") && all.has("--fast"));
        assert_eq!(read("--to x --topic y").unwrap().value("--topic"), Some("y"));
    }

    #[test]
    fn what_is_wrong_is_said_below_the_usage() {
        let cases = [
            ("--bogus", "unrecognized arguments: '--bogus'"),
            ("--topic t x", "unrecognized arguments: 'x'"),
            ("--topic --fast", "argument --topic: expected one argument"),
            ("--t x", "ambiguous option: --t could match --topic, --throughput"),
        ];
        for (text, why) in cases {
            assert_eq!(read(text).map(drop), Err(format!("usage: p\np: error: {why}")), "{text}");
        }
        let both = read("--topic t --fast").unwrap();
        assert!(
            both.require_one(&["--topic", "--fast"])
                .unwrap_err()
                .ends_with("argument --fast: not allowed with argument --topic")
        );
        assert!(both.require(&["--topic", "--props"]).unwrap_err().ends_with("argument --props is required"));
    }
}
