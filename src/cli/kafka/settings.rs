//! What `--command-config` files set for the client that a tool uses, and how the tool reaches its cluster with it.
//!
//! Honoured: `client.id`, `default.api.timeout.ms`. What would have to change how brokers are spoken to and cannot be
//! had yet (TLS, SASL, Java plug-ins) is refused by its name; other keys of Kafka's clients change nothing here.
//! Source: `AdminClientConfig`, `Utils.loadProps`, `ClientUtils.parseAndValidateAddresses`.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use super::super::connect::{Client, address};
use super::errors::Failure;
use crate::config::load;

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// `default.api.timeout.ms` unless set: how long a cluster that is not up yet is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Class of the failure that no client can be made with what is given.
pub const NO_CLIENT: &str = "org.apache.kafka.common.KafkaException";
/// Keys whose values are Java classes, which no program but a Java one can load.
const PLUGINS: &[&str] = &[
    "metric.reporters",
    "config.providers",
    "interceptor.classes",
    "security.providers",
    "ssl.engine.factory.class",
];

/// A client's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What brokers are told as client id.
    pub client_id: String,
    /// How long a cluster that does not answer is waited for.
    pub patience: Duration,
}

impl Settings {
    /// Those of the file, if one is named; `client_id` is the one that the tool has by itself.
    pub fn load(path: Option<&str>, client_id: &str) -> Result<Settings, String> {
        let pairs = path.map(properties).transpose()?.unwrap_or_default();
        Settings::of(&pairs, client_id).map_err(|why| format!("{}: {why}", path.unwrap_or_default()))
    }

    /// Those of `pairs`; the last of two with the same key counts.
    pub fn of(pairs: &[(String, String)], client_id: &str) -> Result<Settings, String> {
        let mut settings = Settings { client_id: client_id.to_owned(), patience: PATIENCE };
        for (key, value) in pairs {
            let value = value.trim();
            match key.as_str() {
                "security.protocol" if !value.eq_ignore_ascii_case("PLAINTEXT") => {
                    return Err(format!(
                        "security.protocol={value} cannot be used: this tool speaks PLAINTEXT only, TLS and SASL are \
                         not built into it yet; name a PLAINTEXT listener with --bootstrap-server"
                    ));
                }
                "client.id" if !value.is_empty() => settings.client_id = value.to_owned(),
                "default.api.timeout.ms" => {
                    let wrong = || {
                        format!(
                            "Invalid value {value} for configuration default.api.timeout.ms: Not a number of type INT"
                        )
                    };
                    let millis: u32 = value.parse().map_err(|_| wrong())?;
                    settings.patience = Duration::from_millis(u64::from(millis));
                }
                plugin if PLUGINS.contains(&plugin) && !value.is_empty() => {
                    return Err(format!(
                        "{plugin}={value} cannot be used: it names Java classes, which this tool cannot load; take it out"
                    ));
                }
                _ => {}
            }
        }
        Ok(settings)
    }

    /// Reaches the cluster; `call` is what is to be asked there first, in Kafka's words.
    pub async fn connect(&self, bootstrap: &str, call: &str) -> Result<Client, Failure> {
        let failed = |why: String| {
            let text = format!("Failed to create new KafkaAdminClient: {why}");
            Failure::new(NO_CLIENT, text)
        };
        let urls = bootstrap.split(',').map(str::trim).filter(|url| !url.is_empty());
        let urls: Vec<&str> = urls.collect();
        let mut known = false;
        for url in &urls {
            let (host, port) =
                address(url).map_err(|_| failed(format!("Invalid url in bootstrap.servers: {url}")))?;
            known = known || tokio::net::lookup_host((host, port)).await.is_ok();
        }
        if !known {
            return Err(failed(format!(
                "No resolvable bootstrap urls given in bootstrap.servers: {bootstrap}; check the names of the hosts"
            )));
        }
        let opened = Client::open(&urls.join(","), &self.client_id, self.patience).await;
        opened.map_err(|why| {
            Failure::timed_out(format!("Timed out waiting for a node assignment. Call: {call}; {why}"))
        })
    }
}

/// The pairs of a properties file.
pub fn properties(path: &str) -> Result<Vec<(String, String)>, String> {
    load::from_properties(&read(path, BYTES_MAX)?).map_err(|why| format!("{path}: {why}"))
}

/// A whole file of at most `most` bytes.
pub fn read(path: &str, most: u64) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{path}: cannot be read: {error}");
    let mut bytes = Vec::new();
    // A pipe does not tell its size.
    let file = File::open(path).map_err(failed)?;
    let size = file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if size as u64 > most {
        return Err(format!("{path}: has more than {most} bytes, which are not read"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[(&str, &str)]) -> Result<Settings, String> {
        let pairs: Vec<_> =
            text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::of(&pairs, "tool")
    }

    #[test]
    fn what_can_be_honoured_is_and_the_rest_is_refused_by_name() {
        let plain =
            of(&[("security.protocol", "plaintext"), ("retries", "3"), ("ssl.keystore.location", "x")]);
        assert_eq!(plain, Ok(Settings { client_id: "tool".into(), patience: PATIENCE }));
        let set = of(&[("client.id", "me"), ("default.api.timeout.ms", "1500")]).unwrap();
        assert_eq!((set.client_id.as_str(), set.patience), ("me", Duration::from_millis(1500)));
        for (key, value) in
            [("security.protocol", "SASL_SSL"), ("metric.reporters", "a.B"), ("default.api.timeout.ms", "x")]
        {
            let why = of(&[(key, value)]).unwrap_err();
            assert!(why.contains(key) && why.contains(value), "{why}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let why = Settings::load(Some("/no/such.properties"), "tool").unwrap_err();
        assert!(why.starts_with("/no/such.properties: "), "{why}");
    }
}
