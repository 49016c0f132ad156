//! `kafka-broker-api-versions`: what each broker speaks, and which version a client would use.
//!
//! "usable" is told of Ottla's own client. Source: `BrokerApiVersionsCommand`, `NodeApiVersions.toString`.

use std::collections::BTreeMap;

use super::options::{Options, Spec, value};
use super::settings::Settings;
use crate::cli::connect;
use crate::cli::output::exactly;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::api_versions::ApiVersion;

const PURPOSE: &str = "This tool helps to retrieve broker version information.";
const SPECS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: server(s) to use for bootstrapping",
        "REQUIRED: the brokers to ask first.",
    ),
    value("command-config", "String: command config property file", "A property file with settings."),
];
/// APIs of Kafka 3.9's clients that brokers on ZooKeeper do not have.
const FOREIGN: [(i16, &str); 17] = [
    (55, "DescribeQuorum"),
    (64, "UnregisterBroker"),
    (71, "GetTelemetrySubscriptions"),
    (72, "PushTelemetry"),
    (74, "ListClientMetricsResources"),
    (75, "DescribeTopicPartitions"),
    (76, "ShareGroupHeartbeat"),
    (77, "ShareGroupDescribe"),
    (78, "ShareFetch"),
    (79, "ShareAcknowledge"),
    (80, "AddRaftVoter"),
    (81, "RemoveRaftVoter"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, SPECS, arguments)? else { return Ok(()) };
    options.require(&["bootstrap-server"])?;
    let settings = Settings::load(options.value("command-config")?, "admin")?;
    let servers = options.value("bootstrap-server")?.unwrap_or_default();
    connect::run(async {
        let connected = settings.connect(servers, "metadata").await;
        let mut client = connected.map_err(|failure| failure.thrown())?;
        let mut brokers = client.metadata(Some(&[])).await?.brokers;
        brokers.sort_by_key(|broker| broker.node_id);
        for broker in brokers {
            let rack = broker.rack.as_deref().unwrap_or("null");
            let node = format!("{}:{} (id: {} rack: {rack})", broker.host, broker.port, broker.node_id);
            match client.versions(broker.node_id).await {
                Ok(versions) => exactly(&format!("{node} -> {}", text(&versions)))?,
                Err(error) => exactly(&format!("{node} -> ERROR: {error}"))?,
            }
        }
        Ok(())
    })
}

/// All APIs by number.
fn text(versions: &[ApiVersion]) -> String {
    let mut rows: BTreeMap<i16, String> =
        FOREIGN.iter().map(|(key, name)| (*key, format!("{name}({key}): UNSUPPORTED"))).collect();
    rows.extend(versions.iter().map(|row| (row.api_key, line(row))));
    let rows: Vec<String> = rows.into_values().collect();
    format!("(\n\t{}\n)", rows.join(",\n\t"))
}

fn line(row: &ApiVersion) -> String {
    let range = match (row.min_version, row.max_version) {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low} to {high}"),
    };
    let Some(key) = ApiKey::from_number(row.api_key) else {
        return format!("UNKNOWN({}): {range}", row.api_key);
    };
    let own = key.versions();
    let usable = match () {
        () if *own.end() < row.min_version => "unusable: node too new".to_owned(),
        () if row.max_version < *own.start() => "unusable: node too old".to_owned(),
        () => format!("usable: {}", row.max_version.min(*own.end())),
    };
    format!("{}({}): {range} [{usable}]", key.name(), row.api_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_usable() {
        let row = |api_key, min_version, max_version| {
            line(&ApiVersion { api_key, min_version, max_version, ..Default::default() })
        };
        assert_eq!(row(0, 0, 11), "Produce(0): 0 to 11 [usable: 11]");
        assert_eq!(row(0, 0, 99), "Produce(0): 0 to 99 [usable: 11]");
        assert_eq!(row(0, 90, 99), "Produce(0): 90 to 99 [unusable: node too new]");
        assert_eq!(row(999, 1, 1), "UNKNOWN(999): 1");
        assert!(text(&[]).ends_with("\tReadShareGroupStateSummary(87): UNSUPPORTED\n)"));
    }
}
