//! `kafka-server-start [-daemon] server.properties [--override property=value]*`: a broker, as `ottla start` runs it.
//!
//! What the JVM would be told by `KAFKA_HEAP_OPTS`, `KAFKA_OPTS`, `KAFKA_JMX_OPTS` and the like has no meaning here, and is
//! not looked at. Source: `bin/kafka-server-start.sh`, `kafka.Kafka`.

use super::daemon;
use crate::cli::output::print;
use crate::cli::serve::Start;

const USAGE: &str = "USAGE: kafka-server-start.sh [-daemon] server.properties [--override property=value]*";
/// The name of the file that takes the output of a daemon.
const SERVICE: &str = "kafkaServer";

/// Runs a broker until a signal; with `-daemon` starts one and returns.
pub fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--version") {
        return print(&version());
    }
    let daemon = arguments.first().is_some_and(|first| first == "-daemon");
    let arguments = &arguments[usize::from(daemon)..];
    let start = read(arguments)?;
    if daemon { daemon::start(arguments, SERVICE) } else { start.run() }
}

/// Kafka's release, and which broker it is.
pub fn version() -> String {
    format!("3.9 (Ottla {})", env!("CARGO_PKG_VERSION"))
}

/// The file, then overrides.
fn read(arguments: &[String]) -> Result<Start, String> {
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        return Err(USAGE.into());
    }
    let mut rest = arguments[1..].iter();
    let mut overrides = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.split_once('=') {
            Some(("--override", pair)) => overrides.push(pair.to_owned()),
            _ if argument == "--override" => {
                let pair = rest.next().ok_or("Option override requires an argument: property=value")?;
                overrides.push(pair.clone());
            }
            _ => return Err(format!("Found non argument parameters: {argument}\n{USAGE}")),
        }
    }
    if arguments[0].starts_with('-') {
        return Err(format!(
            "{} stands where the name of server.properties is expected\n{USAGE}",
            arguments[0]
        ));
    }
    Ok(Start::new(arguments[0].clone().into(), overrides))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_file_comes_first_and_overrides_follow() {
        let start = read(&words("c.properties --override a=b --override=c=d=e")).expect("fine");
        assert_eq!(format!("{start:?}"), r#"Start { config: "c.properties", overrides: ["a=b", "c=d=e"] }"#);
        let wrong = [
            ("", "USAGE"),
            ("--help", "USAGE"),
            ("f --override", "requires an argument"),
            ("f more", "Found non argument parameters: more"),
            ("--override a=b f", "Found non argument parameters: a=b"),
            ("-name", "-name stands where"),
        ];
        for (text, says) in wrong {
            let error = read(&words(text)).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
