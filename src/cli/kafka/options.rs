//! Options as Kafka's tools read them: `--name value`, `--name=value`, `-name value`, repeated or not, `--` ends them.
//!
//! Whole names only: Kafka 3.9's tools take no abbreviations. A value is the next argument whatever it looks like, and
//! what has no name is passed over, as there. Texts of errors are those of joptsimple and of `CommandLineUtils`; help is
//! an error, for Kafka's tools print it on stderr and exit with 1. Knows nothing of any tool.

use std::str::FromStr;

use super::super::output::exactly;

/// Overall width of the help, and the gap between its columns.
const WIDTH: usize = 80;
const GAP: usize = 2;
/// Said by `--version`: the Kafka whose words the tools speak, and who speaks.
const VERSION: &str = concat!("3.9.2 (Ottla ", env!("CARGO_PKG_VERSION"), ")");

/// Whether an option takes a value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No.
    Nothing,
    /// Always; what it is, as the help shows it: `String: topic`.
    Value(&'static str),
    /// The next argument unless that looks like an option.
    Perhaps(&'static str),
}

/// One option.
#[derive(Copy, Clone, Debug)]
pub struct Spec {
    /// Its name without dashes.
    pub name: &'static str,
    /// Whether it takes a value.
    pub takes: Takes,
    /// What it does.
    pub help: &'static str,
}

/// An option without a value.
pub const fn flag(name: &'static str, help: &'static str) -> Spec {
    Spec { name, takes: Takes::Nothing, help }
}

/// An option with a value, of which `what` is shown in the help.
pub const fn value(name: &'static str, what: &'static str, help: &'static str) -> Spec {
    Spec { name, takes: Takes::Value(what), help }
}

/// An option with a value that may be left out.
pub const fn perhaps(name: &'static str, what: &'static str, help: &'static str) -> Spec {
    Spec { name, takes: Takes::Perhaps(what), help }
}

/// The two that every tool has.
const COMMON: [Spec; 2] =
    [flag("help", "Print usage information."), flag("version", "Display Kafka version.")];

/// What was given.
#[derive(Debug)]
pub struct Options {
    specs: &'static [Spec],
    given: Vec<(&'static str, Option<String>)>,
}

impl Options {
    /// Reads `arguments`. `--help`, or no argument at all, is the error that says `purpose` and the usage; `None` when
    /// `--version` has been answered and nothing is left to do.
    pub fn parse(
        purpose: &str,
        specs: &'static [Spec],
        arguments: &[String],
    ) -> Result<Option<Options>, String> {
        let options = Options::read(specs, arguments)?;
        if arguments.is_empty() || options.has("help") {
            return Err(options.usage(purpose));
        }
        if options.has("version") {
            exactly(VERSION)?;
            return Ok(None);
        }
        Ok(Some(options))
    }

    fn read(specs: &'static [Spec], arguments: &[String]) -> Result<Options, String> {
        let mut options = Options { specs, given: Vec::new() };
        let mut arguments = arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            if !looks_like_option(argument) {
                continue;
            }
            let body = argument.strip_prefix("--").or(argument.strip_prefix('-')).unwrap_or(argument);
            let (name, attached) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value).filter(|value| !value.is_empty())),
                None => (body, None),
            };
            let spec = options.spec(name).ok_or_else(|| {
                // One dash may begin a cluster of one-letter options, of which none is known.
                let shown = if argument.starts_with("--") { name } else { name.get(..1).unwrap_or(name) };
                format!("{shown} is not a recognized option")
            })?;
            let value = match (spec.takes, attached) {
                (Takes::Nothing, _) => None,
                (_, Some(value)) => Some(value.to_owned()),
                (Takes::Value(_), None) => match arguments.next() {
                    Some(value) => Some(value.clone()),
                    None => return Err(format!("Option {name} requires an argument")),
                },
                (Takes::Perhaps(_), None) => arguments.next_if(|next| !looks_like_option(next)).cloned(),
            };
            options.given.push((spec.name, value));
        }
        Ok(options)
    }

    fn spec(&self, name: &str) -> Option<Spec> {
        self.specs.iter().chain(&COMMON).find(|spec| spec.name == name).copied()
    }

    /// Whether it was given.
    pub fn has(&self, name: &str) -> bool {
        debug_assert!(self.spec(name).is_some(), "{name} is no option of this tool");
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// All values given for it.
    pub fn values(&self, name: &str) -> Vec<&str> {
        debug_assert!(self.spec(name).is_some(), "{name} is no option of this tool");
        let given = self.given.iter().filter(|(given, _)| *given == name);
        given.filter_map(|(_, value)| value.as_deref()).collect()
    }

    /// Its value, if it was given; two are an error.
    pub fn value(&self, name: &str) -> Result<Option<&str>, String> {
        match self.values(name)[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(format!("Found multiple arguments for option {name}, but you asked for only one")),
        }
    }

    /// Its value as a number, if it was given.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |text: &str| {
            text.trim().parse().map_err(|_| format!("Cannot parse argument '{text}' of option {name}"))
        };
        self.value(name)?.map(parse).transpose()
    }

    /// What was given, in order.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.given.iter().map(|(name, value)| (*name, value.as_deref()))
    }

    /// All of `names` must be given.
    pub fn require(&self, names: &[&str]) -> Result<(), String> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(self.usage(&format!("Missing required argument \"[{name}]\""))),
            None => Ok(()),
        }
    }

    /// With `used` none of `others` may be given.
    pub fn refuse_with(&self, used: &str, others: &[&str]) -> Result<(), String> {
        match others.iter().find(|other| self.has(used) && self.has(other)) {
            Some(other) => {
                Err(self.usage(&format!("Option \"[{used}]\" can't be used with option \"[{other}]\"")))
            }
            None => Ok(()),
        }
    }

    /// Exactly one of `actions` must be given; it is answered. `otherwise` is said if not.
    pub fn one_of(&self, actions: &[&'static str], otherwise: &str) -> Result<&'static str, String> {
        let mut given = actions.iter().copied().filter(|action| self.has(action));
        match (given.next(), given.next()) {
            (Some(action), None) => Ok(action),
            _ => Err(self.usage(otherwise)),
        }
    }

    /// `message`, and below it the options.
    pub fn usage(&self, message: &str) -> String {
        let mut specs: Vec<&Spec> = self.specs.iter().chain(&COMMON).collect();
        specs.sort_by_key(|spec| spec.name);
        let name = |spec: &Spec| match spec.takes {
            Takes::Nothing => format!("--{}", spec.name),
            Takes::Value(what) => format!("--{} <{what}>", spec.name),
            Takes::Perhaps(what) => format!("--{} [{what}]", spec.name),
        };
        let rows: Vec<(String, &str)> = specs.iter().map(|spec| (name(spec), spec.help)).collect();
        let widest = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
        let left = widest.min((WIDTH - GAP) / 2);
        let right = WIDTH - GAP - left;
        let head = [("Option".to_owned(), "Description"), ("------".to_owned(), "-----------")];
        let mut text = message.to_owned();
        for (option, help) in head.iter().chain(&rows) {
            let (options, helps) = (wrap(option, left), wrap(help, right));
            for at in 0..options.len().max(helps.len()) {
                let cell = |cells: &[String]| cells.get(at).cloned().unwrap_or_default();
                let line = format!("{:left$}  {}", cell(&options), cell(&helps));
                text.push('\n');
                text.push_str(line.trim_end());
            }
        }
        text
    }
}

fn looks_like_option(argument: &str) -> bool {
    argument.len() > 1 && argument.starts_with('-') && argument != "--"
}

/// Breaks at spaces; all lines but the first are indented.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, String::len);
        if line > 0 && line + 1 + word.len() > width {
            lines.push(format!("  {word}"));
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        value("topic", "String: topic", "The topic to create, alter, describe or delete, in many words."),
        value("partitions", "Integer: # of partitions", "How many."),
        flag("list", "List all available topics."),
        perhaps("state", "String", "States."),
    ];

    fn read(text: &str) -> Result<Options, String> {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::read(SPECS, &arguments)
    }

    #[test]
    fn options_are_read_as_joptsimple_reads_them() {
        let options = read("--topic=a --list more --topic b -partitions 3 -- --state").unwrap();
        assert_eq!(options.values("topic"), ["a", "b"]);
        let twice = "Found multiple arguments for option topic, but you asked for only one";
        assert_eq!(options.value("topic"), Err(twice.to_owned()));
        assert_eq!(options.number::<i32>("partitions"), Ok(Some(3)));
        assert!(options.has("list") && !options.has("state"));
        // An empty attached value is none, and a value may look like an option.
        assert_eq!(read("--topic= --list").unwrap().value("topic"), Ok(Some("--list")));
        let options = read("--state --list --state Stable").unwrap();
        assert_eq!(options.values("state"), ["Stable"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_joptsimples_words() {
        let error = |text: &str| read(text).map(drop).unwrap_err();
        assert_eq!(error("--bogus"), "bogus is not a recognized option");
        assert_eq!(error("--topi x"), "topi is not a recognized option");
        assert_eq!(error("-xyz"), "x is not a recognized option");
        assert_eq!(error("--list --topic"), "Option topic requires an argument");
        let number = read("--partitions x").unwrap().number::<i32>("partitions");
        assert_eq!(number, Err("Cannot parse argument 'x' of option partitions".to_owned()));
    }

    #[test]
    fn what_is_missing_or_forbidden_is_said_above_the_usage() {
        let options = read("--list").unwrap();
        let missing = options.require(&["list", "topic"]).unwrap_err();
        assert!(missing.starts_with("Missing required argument \"[topic]\"\nOption "), "{missing}");
        let both =
            read("--list --topic t").unwrap().refuse_with("topic", &["partitions", "list"]).unwrap_err();
        assert!(both.starts_with("Option \"[topic]\" can't be used with option \"[list]\"\n"), "{both}");
        assert_eq!(options.one_of(&["list", "state"], "one!"), Ok("list"));
        assert!(read("").unwrap().one_of(&["list"], "one!").unwrap_err().starts_with("one!\n"));
        let lines: Vec<&str> = missing.lines().collect();
        assert_eq!(lines[1], "Option                                   Description");
        assert!(
            missing.contains("\n--topic <String: topic>                  The topic to create, alter,"),
            "{missing}"
        );
        assert!(lines.iter().all(|line| line.len() <= 80), "{missing}");
    }

    #[test]
    fn help_and_no_arguments_are_the_usage() {
        let help = Options::parse("A tool.", SPECS, &["--help".to_owned()]).map(drop).unwrap_err();
        assert!(help.starts_with("A tool.\nOption ") && help.contains("--version"), "{help}");
        assert!(Options::parse("A tool.", SPECS, &[]).is_err());
    }
}
