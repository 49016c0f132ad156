//! Settings of Java clients that users hand to the console tools: property files (`--producer.config`,
//! `--consumer.config`) and single `key=value` options, and what Kafka's tools find wrong with `host:port`.
//!
//! What cannot be had is refused as in [`settings`]. Source: `CommandLineUtils.parseKeyValueArgs`.

use std::collections::BTreeMap;

use super::settings;

/// Settings by key.
pub type Properties = BTreeMap<String, String>;

/// The settings of a property file, and over them those of `key=value` texts; none that cannot be had.
pub fn read(file: Option<&str>, pairs: &[&str]) -> Result<Properties, String> {
    let mut properties = load(file)?;
    properties.extend(key_values(pairs));
    let all: Vec<(String, String)> = properties.clone().into_iter().collect();
    settings::Settings::of(&all, "")?;
    Ok(properties)
}

/// A property file, if one is named.
pub fn load(file: Option<&str>) -> Result<Properties, String> {
    let pairs = file.map(settings::properties).transpose()?.unwrap_or_default();
    Ok(pairs.into_iter().map(|(key, value)| (key, value.trim().to_owned())).collect())
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
pub fn key_values(pairs: &[&str]) -> Properties {
    let split = |pair: &&str| match pair.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => ((*pair).to_owned(), String::new()),
    };
    pairs.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_is_refused_and_the_rest_taken() {
        let read = |pairs: &[&str]| super::read(None, pairs);
        assert_eq!(read(&["acks=1", "a=b=c", "d"]).unwrap()["a"], "b=c");
        let text = read(&["security.protocol=SASL_SSL"]).unwrap_err();
        assert!(text.starts_with("security.protocol=SASL_SSL cannot be used"), "{text}");
        assert_eq!(check_servers("a:1,b:2"), Ok(()));
        assert!(
            check_servers("a:1,b").is_err() && check_servers("a:x").is_err() && check_servers("").is_err()
        );
    }

    #[test]
    fn files_come_first_and_options_win() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.properties");
        std::fs::write(&path, "# for tests\nacks = 1\ngroup.id: g\nclient.id=c\n").unwrap();
        let settings = read(path.to_str(), &["acks=all"]).unwrap();
        assert_eq!(settings["acks"], "all");
        assert_eq!((settings["group.id"].as_str(), settings["client.id"].as_str()), ("g", "c"));
    }
}
