//! `kafka-consumer-groups`: lists, describes, deletes and resets consumer groups.
//!
//! As in Kafka, what fails in the cluster is told on standard output and the exit code is 0; only wrong usage is 1.
//! Rows are sorted, where Kafka's have the order of a hash map. Source: `ConsumerGroupCommand`,
//! `ConsumerGroupCommandOptions`.

use std::time::Duration;

use super::errors::Failure;
use super::options::{Options, Spec, flag, perhaps, value};
use super::settings::Settings;
use super::{groups_described, groups_reset};
use crate::cli::connect::{self, Client};
use crate::cli::groups;
use crate::cli::output::exactly;
use crate::protocol::messages::list_groups::ListedGroup;

const PURPOSE: &str = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group \
                       info, or reset consumer group offsets.";
const STATES: [&str; 7] =
    ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"];
const TYPES: [&str; 2] = ["Consumer", "Classic"];
const SCENARIOS: [&str; 8] = [
    "to-offset",
    "to-current",
    "to-datetime",
    "from-file",
    "by-duration",
    "to-earliest",
    "to-latest",
    "shift-by",
];
const TIMEOUT: Duration = Duration::from_secs(5);

const SPECS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: server to connect to",
        "REQUIRED: the brokers to ask first, HOST:PORT,...",
    ),
    value("group", "String: consumer group", "The group; may be given more than once."),
    flag("all-groups", "All groups."),
    value(
        "topic",
        "String: topic",
        "A topic, or TOPIC:0,1 for partitions of it; may be given more than once.",
    ),
    flag("all-topics", "With --reset-offsets: all topics for which the group has committed."),
    flag("list", "Lists the groups."),
    flag("describe", "Shows what a group has committed, and how far behind it is."),
    flag("members", "With --describe: the members."),
    flag("offsets", "With --describe: the offsets, which is what is shown anyway."),
    flag("verbose", "With --describe --members: who reads what."),
    perhaps(
        "state",
        "String",
        "With --describe the state of a group; with --list all states, or groups in these.",
    ),
    perhaps("type", "String", "With --list: all types, or groups of these: classic, consumer."),
    flag("delete", "Deletes groups without members, and what they have committed."),
    flag("delete-offsets", "Deletes what a group has committed for topics."),
    flag("reset-offsets", "Moves what a group without members has committed."),
    flag("dry-run", "With --reset-offsets: only shows what would be."),
    flag("execute", "With --reset-offsets: does it."),
    flag("export", "With --reset-offsets: prints CSV."),
    value("to-offset", "Long: offset", "Resets to this offset."),
    value("from-file", "String: path to CSV file", "Resets to the offsets of a CSV file."),
    value(
        "to-datetime",
        "String: datetime",
        "Resets to the first record from then on: YYYY-MM-DDTHH:mm:SS.sss.",
    ),
    value("by-duration", "String: duration", "Resets to the first record of so long ago: PnDTnHnMnS."),
    flag("to-earliest", "Resets to the first offset."),
    flag("to-latest", "Resets to the end."),
    flag("to-current", "Resets to what is committed, or to the end."),
    value("shift-by", "Long: number-of-offsets", "Moves forwards, or backwards if negative."),
    value("timeout", "Long: timeout (ms)", "How long the cluster is waited for."),
    value("command-config", "String: command config property file", "A property file with settings."),
];

/// Why the tool ends.
#[derive(Debug)]
pub enum Stop {
    /// The user asked for what cannot be; the usage follows.
    Usage(String),
    /// The cluster did not do it.
    Failed(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop::Failed(why)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(format!("java.util.concurrent.ExecutionException: {}", failure.thrown()))
    }
}

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, SPECS, arguments)? else { return Ok(()) };
    check(&options)?;
    let action = options.one_of(
        &["list", "describe", "delete", "reset-offsets", "delete-offsets"],
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets",
    )?;
    let mut settings = Settings::load(options.value("command-config")?, "adminclient-1")?;
    let timeout = options.number::<u64>("timeout")?;
    settings.patience = timeout.map_or(TIMEOUT, Duration::from_millis);
    connect::run(async {
        let work = async {
            let servers = options.value("bootstrap-server")?.unwrap_or_default();
            let mut client = settings.connect(servers, "listGroups").await?;
            match action {
                "list" => list(&mut client, &options).await,
                "describe" => {
                    let groups = groups(&mut client, &options).await?;
                    groups_described::describe(&mut client, &options, groups).await
                }
                "delete" => {
                    let groups = groups(&mut client, &options).await?;
                    delete(&mut client, groups).await
                }
                "reset-offsets" => {
                    let groups = groups(&mut client, &options).await?;
                    groups_reset::reset(&mut client, &options, groups).await
                }
                _ => groups_reset::delete_offsets(&mut client, &options).await,
            }
        };
        match work.await {
            Ok(()) => Ok(()),
            Err(Stop::Usage(why)) => Err(options.usage(&why)),
            Err(Stop::Failed(why)) => error(&format!("Executing consumer group command failed due to {why}")),
        }
    })
}

/// An error as Kafka's tool tells it: on standard output.
pub fn error(text: &str) -> Result<(), String> {
    exactly(&format!("\nError: {text}"))
}

/// Whether the options fit together; in the order in which Kafka's tool looks.
fn check(options: &Options) -> Result<(), String> {
    let (describes, lists) = (options.has("describe"), options.has("list"));
    let needs = [
        ("members", describes),
        ("offsets", describes),
        ("state", describes || lists),
        ("type", lists),
        ("verbose", describes),
    ];
    if let Some((name, _)) = needs.iter().find(|(name, has)| options.has(name) && !has) {
        return Err(format!("Option(s) [{name}] are unavailable given other options on the command line"));
    }
    options.require(&["bootstrap-server"])?;
    let has_groups = options.has("group") || options.has("all-groups");
    let usage = |text: &str| Err(options.usage(text));
    if describes && !has_groups {
        return usage(
            "Option [describe] takes one of these options: [reset-offsets], [describe], [delete], [list]",
        );
    }
    if describes && ["members", "offsets", "state"].iter().filter(|name| options.has(name)).count() > 1 {
        return usage("Option [describe] takes at most one of these options: [members], [offsets], [state]");
    }
    if describes && options.value("state")?.is_some() {
        return usage("Option [describe] does not take a value for [state]");
    }
    if options.has("delete") && !has_groups {
        return usage("Option [delete] takes one of these options: [all-groups], [group]");
    }
    if options.has("delete") && options.has("topic") {
        return usage("The consumer does not support topic-specific offset deletion from a consumer group.");
    }
    if options.has("delete-offsets") && !(options.has("group") && options.has("topic")) {
        return usage("Option [delete-offsets] takes the following options: [all-groups], [group]");
    }
    if options.has("reset-offsets") {
        check_reset(options, has_groups)?;
    }
    options.refuse_with("group", &["all-groups", "list"])?;
    options.refuse_with("topic", &["list", "describe"])
}

fn check_reset(options: &Options, has_groups: bool) -> Result<(), String> {
    let usage = |text: &str| Err(options.usage(text));
    match (options.has("dry-run"), options.has("execute")) {
        (true, true) => return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]"),
        (false, false) => eprintln!(
            "WARN: No action will be performed as the --execute option is missing.In a future major release, the \
             default behavior of this command will be to prompt the user before executing the reset rather than \
             doing a dry run. You should add the --dry-run option explicitly if you are scripting this command and \
             want to keep the current default behavior without prompting."
        ),
        _ => {}
    }
    if !has_groups {
        return usage("Option [reset-offsets] takes one of these options: [all-groups], [group]");
    }
    for one in SCENARIOS {
        let others: Vec<&str> = SCENARIOS.into_iter().filter(|other| *other != one).collect();
        options.refuse_with(one, &others)?;
    }
    Ok(())
}

/// Those that are named, or all; each once, sorted.
async fn groups(client: &mut Client, options: &Options) -> Result<Vec<String>, String> {
    let mut groups: Vec<String> = match options.has("all-groups") {
        true => listed(client).await?.into_iter().map(|group| group.group_id).collect(),
        false => options.values("group").into_iter().map(str::to_owned).collect(),
    };
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// The groups of consumers, sorted.
async fn listed(client: &mut Client) -> Result<Vec<ListedGroup>, String> {
    let all = groups::listed(client).await?.into_iter().map(|(group, _)| group);
    Ok(all.filter(|group| group.protocol_type.is_empty() || group.protocol_type == "consumer").collect())
}

async fn list(client: &mut Client, options: &Options) -> Result<(), Stop> {
    let states = filter(options.value("state")?, &STATES, "state", "states")?;
    let types = filter(options.value("type")?, &TYPES, "types", "types")?;
    let (shows_type, shows_state) = (options.has("type"), options.has("state"));
    let among = |filter: &[String], text: &str| {
        filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(text))
    };
    let mut groups = listed(client).await?;
    groups.retain(|group| among(&states, &group.group_state) && among(&types, &group.group_type));
    let longest = groups.iter().map(|group| group.group_id.len()).max().unwrap_or(0);
    let width = longest.max(15) + 10;
    let row = |group: &str, kind: &str, state: &str| {
        let mut line = format!("{group:width$}");
        for (_, text) in [(shows_type, kind), (shows_state, state)].iter().filter(|(shown, _)| *shown) {
            line.push_str(&format!(" {text:20}"));
        }
        line
    };
    if !shows_type && !shows_state {
        groups.iter().try_for_each(|group| exactly(&group.group_id))?;
        return Ok(());
    }
    exactly(&row("GROUP", "TYPE", "STATE"))?;
    for group in &groups {
        let kind =
            TYPES.iter().find(|name| name.eq_ignore_ascii_case(&group.group_type)).unwrap_or(&"Unknown");
        exactly(&row(&group.group_id, kind, &group.group_state))?;
    }
    Ok(())
}

/// A list of names with commas between, each among `valid`.
fn filter(text: Option<&str>, valid: &[&str], what: &str, plural: &str) -> Result<Vec<String>, Stop> {
    let text = text.unwrap_or_default();
    let names: Vec<String> =
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    match names.iter().all(|name| valid.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        true => Ok(names),
        false => Err(Stop::Usage(format!(
            "Invalid {what} list '{text}'. Valid {plural} are: {}",
            valid.join(", ")
        ))),
    }
}

async fn delete(client: &mut Client, groups: Vec<String>) -> Result<(), Stop> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        match groups::delete_one(client, &group).await? {
            0 => deleted.push(group),
            code => failed.push((group, Failure::of(code, None))),
        }
    }
    if failed.is_empty() {
        let names = deleted.join(", ");
        exactly(&format!("Deletion of requested consumer groups ('{names}') was successful."))?;
        return Ok(());
    }
    error("Deletion of some consumer groups failed:")?;
    for (group, why) in failed {
        let why = format!("java.util.concurrent.ExecutionException: {}", why.thrown());
        exactly(&format!("* Group '{group}' could not be deleted due to: {why}"))?;
    }
    if !deleted.is_empty() {
        // The quotes are Kafka's.
        exactly(&format!("\nThese consumer groups were deleted successfully: '{}', '", deleted.join("'")))?;
    }
    Ok(())
}
