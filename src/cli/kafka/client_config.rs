//! Settings of Java clients that users hand to the tools: property files (`--command-config`, `--producer.config`,
//! `--consumer.config`) and single `key=value` options.
//!
//! A `security.protocol` other than PLAINTEXT is refused, since the tools would otherwise speak in the clear without a
//! word; keys for which Ottla's client has no use are accepted, as are `ssl.` and `sasl.` keys beside PLAINTEXT, which
//! Java clients do not look at either. Source: `CommandLineUtils.parseKeyValueArgs`, `AdminClientConfig`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

/// The largest file taken.
const FILE_MAX: u64 = 1 << 20;

/// Settings by key.
pub type Settings = BTreeMap<String, String>;

/// The settings of a property file, and over them those of `key=value` texts; none that asks for security.
pub fn read(file: Option<&str>, pairs: &[&str]) -> Result<Settings, String> {
    let mut settings = match file {
        Some(path) => load(path)?,
        None => Settings::new(),
    };
    settings.extend(key_values(pairs));
    check(&settings)?;
    Ok(settings)
}

/// What is wrong with a list of `host:port`, in Kafka's words (`ToolsUtils.validateBootstrapServer`).
pub fn check_servers(servers: &str) -> Result<(), String> {
    let is_valid =
        |server: &str| server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match servers.split(',').all(is_valid) {
        _ if servers.trim().is_empty() => Err("Error while validating the bootstrap address\n".to_owned()),
        true => Ok(()),
        false => Err("Please provide valid host:port like host1:9091,host2:9092\n".to_owned()),
    }
}

/// `key=value` texts; a missing value is an empty one.
pub fn key_values(pairs: &[&str]) -> Settings {
    let split = |pair: &&str| match pair.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => ((*pair).to_owned(), String::new()),
    };
    pairs.iter().map(split).collect()
}

/// A property file.
pub fn load(path: &str) -> Result<Settings, String> {
    let broken = |why: String| format!("cannot read {path}: {why}; check the path and the file");
    let file = fs::File::open(path).map_err(|error| broken(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(broken(format!("it is larger than {FILE_MAX} bytes")));
    }
    let entries = java_properties::read(bytes.as_slice()).map_err(|error| broken(error.to_string()))?;
    Ok(entries.into_iter().map(|(key, value)| (key, value.trim().to_owned())).collect())
}

fn check(settings: &Settings) -> Result<(), String> {
    match settings.get("security.protocol") {
        Some(protocol) if !protocol.eq_ignore_ascii_case("PLAINTEXT") => Err(format!(
            "security.protocol={protocol} is not supported: this tool speaks PLAINTEXT only; name a PLAINTEXT listener"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_is_refused_and_the_rest_taken() {
        let read = |pairs: &[&str]| super::read(None, pairs);
        assert_eq!(read(&["acks=1", "a=b=c", "d"]).unwrap()["a"], "b=c");
        assert!(read(&["security.protocol=plaintext", "sasl.mechanism=PLAIN"]).is_ok());
        assert!(read(&["ssl.truststore.location=/x"]).is_ok());
        let text = read(&["security.protocol=SASL_SSL"]).unwrap_err();
        assert!(text.starts_with("security.protocol=SASL_SSL is not supported"), "{text}");
        assert!(super::read(Some("/nowhere/client.properties"), &[]).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn files_come_first_and_options_win() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.properties");
        fs::write(&path, "# for tests\nacks = 1\ngroup.id: g\nclient.id=c\n").unwrap();
        let settings = read(path.to_str(), &["acks=all"]).unwrap();
        assert_eq!(settings["acks"], "all");
        assert_eq!((settings["group.id"].as_str(), settings["client.id"].as_str()), ("g", "c"));
    }
}
