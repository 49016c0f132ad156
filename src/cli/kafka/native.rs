//! `kafka.Kafka`: what Kafka 3.9 calls where its own native image would stand.
//!
//! With `KAFKA_MODE=native` its `kafka-run-class.sh` runs `kafka.Kafka start --config FILE -D... -X...` from the top of the
//! installation; the start script of its native docker image runs `setup` first. What is meant for a JVM is skipped.
//! Storage needs no formatting with ZooKeeper. Source: `kafka.docker.KafkaDockerWrapper`, `docker/native/launch`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::server_start;
use crate::cli::output::print;
use crate::cli::serve::Start;
use crate::config::environment::names;

const USAGE: &str = "usage: kafka.Kafka start --config FILE [--override property=value]*\n       \
                     kafka.Kafka setup --default-configs-dir DIR --mounted-configs-dir DIR --final-configs-dir DIR";
/// What begins an argument for a JVM.
const FOR_JAVA: &[&str] = &["-D", "-X", "-agentlib:", "-agentpath:", "-javaagent:", "-verbose:", "-server"];
/// The file that is set up.
const FILE: &str = "server.properties";

/// Runs a broker until a signal, or sets its configuration up.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.first().map(String::as_str) {
        Some("start") => start(&arguments[1..])?.run(),
        Some("setup") => setup(&arguments[1..]),
        Some("--version") => print(&server_start::version()),
        Some(other) => Err(format!("{other:?} is neither start nor setup\n{USAGE}")),
        None => Err(USAGE.into()),
    }
}

fn start(arguments: &[String]) -> Result<Start, String> {
    let mut options = options(arguments, &[("--config", "-C"), ("--override", "--override")])?;
    let config = one(&mut options, "--config")?;
    Ok(Start::new(config, options.remove("--override").unwrap_or_default()))
}

/// The values of options, by their long names. `-D`, `-X` and their like are passed over, unless they are one of these.
fn options<'a>(
    arguments: &[String],
    known: &[(&'a str, &str)],
) -> Result<BTreeMap<&'a str, Vec<String>>, String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, inside) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        if let Some((long, _)) = known.iter().find(|(long, short)| name == *long || name == *short) {
            let value = inside.or_else(|| rest.next().cloned());
            let value = value.ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            found.entry(long).or_default().push(value);
        } else if !FOR_JAVA.iter().any(|prefix| argument.starts_with(prefix)) {
            return Err(format!("{argument:?} is not understood\n{USAGE}"));
        }
    }
    Ok(found)
}

fn one(options: &mut BTreeMap<&str, Vec<String>>, name: &str) -> Result<PathBuf, String> {
    let value = options.remove(name).and_then(|mut values| values.pop());
    value.map(PathBuf::from).ok_or_else(|| format!("{name} is missing\n{USAGE}"))
}

/// The mounted file, and below it what the environment says; the default file if both say nothing.
fn setup(arguments: &[String]) -> Result<(), String> {
    let known =
        [("--default-configs-dir", "-D"), ("--mounted-configs-dir", "-M"), ("--final-configs-dir", "-F")];
    let mut options = options(arguments, &known)?;
    let [default, mounted, last] = known.map(|(name, _)| one(&mut options, name));
    let [default, mounted, last] = [default?, mounted?, last?].map(|folder| folder.join(FILE));
    let mut text = if mounted.exists() { read(&mounted)? } else { Vec::new() };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for (key, value) in variables.filter_map(|(name, value)| Some((names::key(&name)?, value))) {
        text.extend_from_slice(format!("\n{key}={value}").as_bytes());
    }
    if text.trim_ascii().is_empty() {
        text = read(&default)?;
    }
    std::fs::write(&last, text).map_err(|error| format!("cannot write {}: {error}", last.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// What `kafka-run-class.sh` of 3.9 makes of `kafka-server-start.sh config/server.properties`.
    #[test]
    fn the_line_that_kafkas_script_builds_is_understood() {
        let line = "--config config/server.properties -Dkafka.logs.dir=bin/../logs \
                    -Dlog4j.configuration=file:bin/../config/log4j.properties -Dcom.sun.management.jmxremote=true \
                    -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false \
                    -Dcom.sun.management.jmxremote.port=9999 -Xms1G -XX:+UseG1GC -agentlib:jdwp=transport=dt_socket";
        let start = start(&words(line)).expect("fine");
        assert_eq!(format!("{start:?}"), r#"Start { config: "config/server.properties", overrides: [] }"#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("start", "--config is missing"),
            ("start --config", "--config needs a value"),
            ("start --config=f more", "\"more\" is not understood"),
            ("setup -D a", "--mounted-configs-dir is missing"),
            ("format", "neither start nor setup"),
            ("", "usage"),
        ];
        for (text, says) in cases {
            let error = run(&words(text)).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
