//! The options of `kafka-reassign-partitions`, and which go with which action. Source:
//! `ReassignPartitionsCommandOptions`, `ReassignPartitionsCommand.validateAndParseArgs` of Kafka 3.9.

use super::options::{Options, Spec, flag, value};

/// All of them.
pub const OPTIONS: &[Spec] = &[
    flag(
        "verify",
        "Verify if the reassignment completed as specified by the --reassignment-json-file option. If there is a \
         throttle engaged for the replicas specified, and the rebalance has completed, the throttle will be removed",
    ),
    flag(
        "generate",
        "Generate a candidate partition reassignment configuration. Note that this only generates a candidate \
         assignment, it does not execute it.",
    ),
    flag("execute", "Kick off the reassignment as specified by the --reassignment-json-file option."),
    flag("cancel", "Cancel an active reassignment."),
    flag("list", "List all active partition reassignments."),
    value(
        "bootstrap-server",
        "String: Server(s) to use for bootstrapping",
        "REQUIRED: the server(s) to use for bootstrapping.",
    ),
    value(
        "command-config",
        "String: Admin client property file",
        "Property file containing configs to be passed to the client.",
    ),
    value(
        "reassignment-json-file",
        "String: manual assignment json file path",
        "The JSON file with the partition reassignment configuration. The format to use is - \
         {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"replicas\": [1,2,3], \"log_dirs\": \
         [\"dir1\",\"dir2\",\"dir3\"] }], \"version\":1 } Note that \"log_dirs\" is optional. When it is specified, \
         its length must equal the length of the replicas list. The value in this list can be either \"any\" or the \
         absolution path of the log directory on the broker. If absolute log directory path is specified, the replica \
         will be moved to the specified log directory on the broker.",
    ),
    value(
        "topics-to-move-json-file",
        "String: topics to reassign json file path",
        "Generate a reassignment configuration to move the partitions of the specified topics to the list of brokers \
         specified by the --broker-list option. The format to use is - {\"topics\": [{\"topic\": \"foo\"},{\"topic\": \
         \"foo1\"}], \"version\":1 }",
    ),
    value(
        "broker-list",
        "String: brokerlist",
        "The list of brokers to which the partitions need to be reassigned in the form \"0,1,2\". This is required if \
         --topics-to-move-json-file is used to generate reassignment configuration",
    ),
    flag("disable-rack-aware", "Disable rack aware replica assignment"),
    value(
        "throttle",
        "Long: throttle",
        "The movement of partitions between brokers will be throttled to this value (bytes/sec). This option can be \
         included with --execute when a reassignment is started, and it can be altered by resubmitting the current \
         reassignment along with the --additional flag. The throttle rate should be at least 1 KB/s.",
    ),
    value(
        "replica-alter-log-dirs-throttle",
        "Long: replicaAlterLogDirsThrottle",
        "The movement of replicas between log directories on the same broker will be throttled to this value \
         (bytes/sec). This option can be included with --execute when a reassignment is started, and it can be altered \
         by resubmitting the current reassignment along with the --additional flag. The throttle rate should be at \
         least 1 KB/s.",
    ),
    value(
        "timeout",
        "Long: timeout",
        "The maximum time in ms to wait for log directory replica assignment to begin. (default: 10000)",
    ),
    flag(
        "additional",
        "Execute this reassignment in addition to any other ongoing ones. This option can also be used to change the \
         throttle of an ongoing reassignment.",
    ),
    flag("preserve-throttles", "Do not modify broker or topic throttles."),
];

/// What an action needs, and what it takes besides.
type Company = (&'static str, &'static [&'static str], &'static [&'static str]);

const ACTIONS: [Company; 5] = [
    ("generate", &["topics-to-move-json-file", "broker-list"], &["disable-rack-aware"]),
    (
        "execute",
        &["reassignment-json-file"],
        &["additional", "throttle", "replica-alter-log-dirs-throttle", "timeout"],
    ),
    ("verify", &["reassignment-json-file"], &["preserve-throttles"]),
    ("cancel", &["reassignment-json-file"], &["preserve-throttles", "timeout"]),
    ("list", &[], &[]),
];

/// The action, if the options go together.
pub fn check(options: &Options) -> Result<&'static str, String> {
    let action = options.one_of(
        &ACTIONS.map(|(name, _, _)| name),
        "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
    )?;
    if !options.has("bootstrap-server") {
        return Err(options.usage("Please specify --bootstrap-server"));
    }
    let (_, needed, taken) =
        ACTIONS.into_iter().find(|(name, _, _)| *name == action).unwrap_or((action, &[], &[]));
    options.require(needed)?;
    let always = [action, "bootstrap-server", "command-config"];
    let stranger =
        options.given().find(|(name, _)| ![&always, needed, taken].iter().any(|some| some.contains(name)));
    match stranger {
        Some((name, _)) => {
            Err(options.usage(&format!("Option \"[{name}]\" can't be used with action \"[{action}]\"")))
        }
        None => Ok(action),
    }
}
