//! `ottla config check FILE`: what a broker would say of its configuration, without starting one.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::config::broker::BrokerConfig;
use crate::config::load::{ConfigErrors, Settings, from_override, from_properties, from_toml};

/// Commands on configuration files.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Checks a server.properties or a TOML file.
    Check {
        /// The file.
        file: PathBuf,
        /// Sets a key, over the file: key=value.
        #[arg(long = "override", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
    },
}

impl Config {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        let Config::Check { file, overrides } = self;
        let (config, warnings) = load(Some(&file), &overrides, &[])?;
        for warning in &warnings {
            println!("warning: {warning}");
        }
        println!(
            "{}: {} keys set, {} warnings; a broker would start with it",
            file.display(),
            config.settings.all_set().count(),
            warnings.len()
        );
        Ok(())
    }
}

/// A configuration file is at most this large.
const FILE_MAX: u64 = 1 << 20;

/// Reads a configuration: `defaults`, then the file, then the overrides.
pub fn load(
    file: Option<&Path>,
    overrides: &[String],
    defaults: &[(&str, String)],
) -> Result<(BrokerConfig, Vec<String>), String> {
    let mut pairs = Vec::new();
    if let Some(file) = file {
        pairs.extend(read(file)?);
    }
    for text in overrides {
        pairs.push(from_override(text)?);
    }
    // A default id does not stand against one that is set by Kafka's other name for it.
    let has_id = pairs.iter().any(|(key, _)| key == "node.id");
    let defaults = defaults.iter().filter(|(key, _)| !has_id || *key != "broker.id");
    let defaults = defaults.map(|(key, value)| ((*key).to_owned(), value.clone()));
    let explain = |error: ConfigErrors| match file {
        Some(file) => format!("{} cannot be used:\n{error}", file.display()),
        None => error.to_string(),
    };
    from_pairs(defaults.chain(pairs)).map_err(explain)
}

/// A configuration from keys and values, later ones winning, and warnings.
pub fn from_pairs(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Result<(BrokerConfig, Vec<String>), ConfigErrors> {
    let (settings, warnings) = Settings::from_pairs(pairs)?;
    Ok((BrokerConfig::from_settings(settings)?, warnings))
}

fn read(file: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let size = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if size > FILE_MAX {
        return Err(wrong(&format!("{size} bytes are too much for a configuration file")));
    }
    let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
    let pairs = match file.extension().is_some_and(|extension| extension == "toml") {
        true => std::str::from_utf8(&bytes).map_err(|error| error.to_string()).and_then(from_toml),
        false => from_properties(&bytes),
    };
    pairs.map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_id_gives_way_to_both_names() {
        let defaults = [("zookeeper.connect", "zk:2181"), ("log.dirs", "/a"), ("broker.id", "1")]
            .map(|(key, value)| (key, value.to_owned()));
        let id = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
            load(None, &overrides, &defaults).map(|(config, _)| config.broker_id)
        };
        assert_eq!(id(&[]), Ok(Some(1)));
        assert_eq!(id(&["broker.id=3"]), Ok(Some(3)));
        assert_eq!(id(&["node.id=3"]), Ok(Some(3)));
        assert!(id(&["node.id=3", "broker.id=1"]).is_err());
    }
}
