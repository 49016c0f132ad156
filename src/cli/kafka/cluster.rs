//! `kafka-cluster`: the id of a cluster.
//!
//! Options are those of Python's argparse, which Kafka's tool imitates. Source: `ClusterTool`.

use super::options::{Options, Spec, value};
use super::settings::Settings;
use crate::cli::connect;
use crate::cli::output::exactly;

const USAGE: &str = "usage: kafka-cluster [-h] {cluster-id,unregister} ...";
const SPECS: &[Spec] = &[
    value("bootstrap-server", "BOOTSTRAP_SERVER", "The brokers to ask first (-b)."),
    value("bootstrap-controller", "BOOTSTRAP_CONTROLLER", "KRaft controllers: there are none here (-C)."),
    value("config", "CONFIG", "A property file with settings of the client (-c)."),
    value("id", "ID", "With unregister: the broker (-i)."),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(format!("{USAGE}\nkafka-cluster: error: too few arguments"));
    };
    match command.as_str() {
        "cluster-id" | "unregister" => {}
        "-h" | "--help" => return Err(format!("{USAGE}\n\nThe Kafka cluster tool.")),
        other => {
            let choices = "(choose from 'cluster-id', 'unregister')";
            return Err(format!("{USAGE}\nkafka-cluster: error: invalid choice: '{other}' {choices}"));
        }
    }
    let rest: Vec<String> = rest.iter().map(|argument| long(argument)).collect();
    let usage = format!(
        "usage: kafka-cluster {command} [-h] [--config CONFIG] (--bootstrap-server BOOTSTRAP_SERVER | \
         --bootstrap-controller BOOTSTRAP_CONTROLLER)"
    );
    if rest.is_empty() {
        let missing = "one of the arguments --bootstrap-server/-b --bootstrap-controller/-C is required";
        return Err(format!("{usage}\nkafka-cluster: error: {missing}"));
    }
    let Some(options) = Options::parse(&usage, SPECS, &rest)? else { return Ok(()) };
    if options.has("bootstrap-controller") {
        return Err(
            "--bootstrap-controller is not supported: a cluster on ZooKeeper has no KRaft controllers".into(),
        );
    }
    let servers = options.value("bootstrap-server")?.ok_or_else(|| options.usage(&usage))?;
    let settings = Settings::load(options.value("config")?, "adminclient-1")?;
    if command == "unregister" {
        options.number::<i32>("id")?.ok_or("kafka-cluster: error: argument --id/-i is required")?;
        // As a broker on ZooKeeper answers.
        return exactly("The target cluster does not support the broker unregistration API.");
    }
    connect::run(async {
        let connected = settings.connect(servers, "listNodes").await;
        let mut client = connected.map_err(|failure| failure.thrown())?;
        match client.metadata(Some(&[])).await?.cluster_id {
            Some(id) => exactly(&format!("Cluster ID: {id}")),
            None => exactly("No cluster ID found. The Kafka version is probably too old."),
        }
    })
}

/// The long name of a short option.
fn long(argument: &str) -> String {
    let name = match argument {
        "-b" => "--bootstrap-server",
        "-C" => "--bootstrap-controller",
        "-c" => "--config",
        "-i" => "--id",
        "-h" => "--help",
        other => other,
    };
    name.to_owned()
}
