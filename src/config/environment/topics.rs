//! `KAFKA_CREATE_TOPICS`: topics to be made once the broker is up (`create-topics.sh` of wurstmeister's image).

use std::collections::BTreeMap;

use crate::config::topic::check_all;

/// A topic to be made unless it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
    /// Its configuration.
    pub configs: Vec<(String, String)>,
}

/// Reads `name:partitions:replicas[:cleanup.policy]`, several with commas between, or with one of the characters of `separator`.
/// After the policy `--config=key=value` may stand, as that image happens to allow. The error names the entry.
pub fn parse(text: &str, separator: Option<&str>) -> Result<Vec<NewTopic>, String> {
    // In compose files a line break is written as the shell would.
    let separators = match separator {
        None => ",",
        Some("$'\\n'" | "\\n") => "\n",
        Some(own) => own,
    };
    let entries = text.split(|c| separators.contains(c)).map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(topic).collect()
}

fn topic(entry: &str) -> Result<NewTopic, String> {
    let wrong = || {
        format!(
            "KAFKA_CREATE_TOPICS: {entry:?} is not name:partitions:replicas or name:partitions:replicas:cleanup.policy"
        )
    };
    let mut parts = entry.splitn(4, ':').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    let partitions = parts.next().and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    let replicas = parts.next().and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    let mut configs = Vec::new();
    let mut words = parts.next().unwrap_or("").split_whitespace().peekable();
    if let Some(policy) = words.next_if(|word| !word.starts_with("--")) {
        configs.push(("cleanup.policy".to_owned(), policy.to_owned()));
    }
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--config") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let (key, value) = pair.and_then(|pair| pair.split_once('=')).ok_or_else(wrong)?;
        configs.push((key.to_owned(), value.to_owned()));
    }
    let values: BTreeMap<String, String> = configs.iter().cloned().collect();
    check_all(&values).map_err(|error| format!("KAFKA_CREATE_TOPICS: {entry:?}: {error}"))?;
    Ok(NewTopic {
        name: name.to_owned(),
        partitions: partitions.ok_or_else(wrong)?,
        replication_factor: replicas.ok_or_else(wrong)?,
        configs,
    })
}
