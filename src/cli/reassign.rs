//! `ottla reassign`: move partitions to other brokers by a plan, cancel moves, list them, see how far they are.
//!
//! The plan is Kafka's JSON. `verify` prints where everything is and fails where that is not what the plan wants. Where the
//! replicas were before is printed as a plan too, so that a move can be undone.
//! Source: `ReassignPartitionsCommand` of Kafka's tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{self, Move, Outcomes, Trouble};
use super::connect::{self, Bootstrap, Client};
use super::explain::explain;
use super::offsets::{Place, missing};
use super::output::{Output, count, list, print};
use super::plan;
use super::progress;
use crate::protocol::error_code::ErrorCode;

/// Largest plan that is read.
const PLAN_BYTES_MAX: u64 = 64 << 20;

/// `ottla reassign`.
#[derive(Debug, Args)]
pub struct Reassign {
    #[command(flatten)]
    at: Bootstrap,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Moves partitions as the plan says; the moves go on when this command has ended.
    Execute {
        /// The plan: {"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}.
        plan: PathBuf,
        /// Stay and show how far the copies are, until all are done.
        #[arg(long)]
        watch: bool,
    },
    /// Cancels the moves of the plan's partitions.
    Cancel {
        /// The plan.
        plan: PathBuf,
    },
    /// The moves under way.
    List,
    /// Whether the plan's partitions are where it wants them; fails if one is not.
    Verify {
        /// The plan.
        plan: PathBuf,
        /// Wait for the moves under way, and show how far the copies are.
        #[arg(long)]
        watch: bool,
    },
}

/// Where partitions shall be.
pub type Plan = BTreeMap<Place, Vec<i32>>;

impl Reassign {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        let plan = match &self.action {
            Action::Execute { plan, .. } | Action::Cancel { plan } | Action::Verify { plan, .. } => {
                read(plan)?
            }
            Action::List => Plan::new(),
        };
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            let (client, output) = (&mut client, &self.output);
            match self.action {
                Action::Execute { watch, .. } => execute(client, output, &plan, watch).await,
                Action::Cancel { .. } => cancel(client, output, &plan).await,
                Action::List => list_moves(client, output).await,
                Action::Verify { watch, .. } => verify(client, output, &plan, watch).await,
            }
        })
    }
}

fn read(path: &Path) -> Result<Plan, String> {
    let shown = path.display();
    let size =
        std::fs::metadata(path).map_err(|error| format!("cannot read the plan {shown}: {error}"))?.len();
    if size > PLAN_BYTES_MAX {
        return Err(format!(
            "the plan {shown} has {size} bytes, at most {PLAN_BYTES_MAX} are read; split it"
        ));
    }
    let text = std::fs::read(path).map_err(|error| format!("cannot read the plan {shown}: {error}"))?;
    parse(&text).map_err(|why| {
        format!(r#"the plan {shown}: {why}; write {{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[1,2]}}]}}"#)
    })
}

fn parse(text: &[u8]) -> Result<Plan, String> {
    let entries = plan::parse(text)?.ok_or("there is no list \"partitions\"")?;
    let mut plan = Plan::new();
    for entry in entries {
        let (topic, index) = &entry.place;
        if entry.dirs.iter().any(Option::is_some) {
            return Err(format!(
                "log_dirs other than \"any\", which this command does not choose, for {topic}-{index}"
            ));
        }
        if plan.contains_key(&entry.place) {
            return Err(format!("{topic}-{index} is named twice"));
        }
        plan.insert(entry.place, entry.replicas);
    }
    if plan.is_empty() { Err("it names no partition".to_owned()) } else { Ok(plan) }
}

fn plan_json(plan: &Plan) -> Value {
    let entry = |((topic, partition), replicas): (&Place, &Vec<i32>)| json!({"topic": topic, "partition": partition, "replicas": replicas});
    json!({"version": 1, "partitions": plan.iter().map(entry).collect::<Vec<Value>>()})
}

/// Where the plan's partitions are now; all of them must exist.
async fn current(client: &mut Client, plan: &Plan) -> Result<Plan, String> {
    let mut topics: Vec<String> = plan.keys().map(|(topic, _)| topic.clone()).collect();
    topics.dedup();
    let mut found = Plan::new();
    for topic in client.metadata(Some(&topics)).await?.topics {
        let name = topic.name.unwrap_or_default();
        if topic.error_code != 0 {
            return Err(explain(topic.error_code, None, &format!("topic {name}")));
        }
        for partition in topic.partitions {
            let place = (name.clone(), partition.partition_index);
            if plan.contains_key(&place) {
                found.insert(place, partition.replica_nodes);
            }
        }
    }
    match plan.keys().find(|place| !found.contains_key(*place)) {
        Some(place) => Err(missing(place)),
        None => Ok(found),
    }
}

/// The moves under way.
pub async fn moves(client: &mut Client) -> Result<BTreeMap<Place, Move>, String> {
    admin::moves(client).await.map_err(|trouble| trouble.explain("the moves under way"))
}

/// Where partitions were before the moves under way began: what is being added never counted.
fn before(mut current: Plan, moves: &BTreeMap<Place, Move>) -> Plan {
    for (place, replicas) in &mut current {
        if let Some(it) = moves.get(place) {
            replicas.retain(|replica| !it.adding.contains(replica));
        }
    }
    current
}

/// Wishes partitions elsewhere, `None` cancels; answers how each fared.
async fn alter(
    client: &mut Client,
    wanted: impl Iterator<Item = (&Place, Option<&Vec<i32>>)>,
) -> Result<Outcomes<Place>, String> {
    admin::reassign(client, wanted).await.map_err(|trouble| trouble.explain("the reassignment"))
}

/// The partitions that were taken up; an error names those that were not.
fn sort_out(answers: Outcomes<Place>) -> (Vec<Place>, Result<(), String>) {
    let (mut taken, mut failed) = (Vec::new(), Vec::new());
    for ((topic, index), outcome) in answers {
        match outcome {
            Ok(()) => taken.push((topic, index)),
            Err(trouble) => failed.push(trouble.explain(&format!("partition {topic}-{index}"))),
        }
    }
    (taken, if failed.is_empty() { Ok(()) } else { Err(failed.join("\nottla: ")) })
}

async fn execute(client: &mut Client, output: &Output, plan: &Plan, watch: bool) -> Result<(), String> {
    let before = before(current(client, plan).await?, &moves(client).await?);
    let answers = alter(client, plan.iter().map(|(place, replicas)| (place, Some(replicas)))).await?;
    let (taken, outcome) = sort_out(answers);
    if taken.is_empty() {
        return outcome;
    }
    if !output.is_json() {
        print(&format!("to undo this, keep the assignment there was:\n{}", plan_json(&before)))?;
    }
    let what = if watch { "done" } else { "taken up" };
    let text = format!("{} {what}", count(taken.len() as u64, "reassignment"));
    if watch {
        progress::watch(client, &taken).await?;
    }
    let named: Vec<String> = taken.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
    output.line(&text, json!({"before": plan_json(&before), "taken_up": named, "watched": watch}))?;
    outcome
}

async fn cancel(client: &mut Client, output: &Output, plan: &Plan) -> Result<(), String> {
    let mut answers = alter(client, plan.keys().map(|place| (place, None))).await?;
    // What has ended, or never began, needs no cancelling.
    let resting = ErrorCode::NoReassignmentInProgress.code();
    let before = answers.len();
    answers.retain(|(_, outcome)| !matches!(outcome, Err(Trouble::Refused { code, .. }) if *code == resting));
    let rested = before - answers.len();
    let (cancelled, outcome) = sort_out(answers);
    let text = format!(
        "{} cancelled, {rested} of the plan's partitions were not on the move",
        count(cancelled.len() as u64, "reassignment")
    );
    let named: Vec<String> = cancelled.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
    output.line(&text, json!({"cancelled": named, "not_moving": rested}))?;
    outcome
}

async fn list_moves(client: &mut Client, output: &Output) -> Result<(), String> {
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for ((topic, index), it) in moves(client).await? {
        json.push(json!({
            "topic": topic, "partition": index, "replicas": it.replicas, "adding": it.adding, "removing": it.removing,
        }));
        let lists = [&it.replicas, &it.adding, &it.removing].map(|ids| list(ids));
        rows.push([vec![topic, index.to_string()], lists.to_vec()].concat());
    }
    let columns =
        [("TOPIC", false), ("PARTITION", true), ("REPLICAS", false), ("ADDING", false), ("REMOVING", false)];
    output.rows(&columns, rows, Value::Array(json))
}

async fn verify(client: &mut Client, output: &Output, plan: &Plan, watch: bool) -> Result<(), String> {
    if watch {
        progress::watch(client, &plan.keys().cloned().collect::<Vec<Place>>()).await?;
    }
    let moves = moves(client).await?;
    let current = current(client, plan).await?;
    let (mut rows, mut json, mut open) = (Vec::new(), Vec::new(), 0u64);
    for (place, wanted) in plan {
        let now = &current[place];
        let state = match (moves.contains_key(place), now == wanted) {
            (true, _) => "moving",
            (false, true) => "done",
            (false, false) => "elsewhere",
        };
        open += u64::from(state != "done");
        let (topic, index) = place;
        json.push(
            json!({"topic": topic, "partition": index, "state": state, "replicas": now, "wanted": wanted}),
        );
        rows.push(vec![topic.clone(), index.to_string(), state.to_owned(), list(now), list(wanted)]);
    }
    let columns =
        [("TOPIC", false), ("PARTITION", true), ("STATE", false), ("REPLICAS", false), ("WANTED", false)];
    output.rows(&columns, rows, Value::Array(json))?;
    match open {
        0 => Ok(()),
        open => Err(format!(
            "{} not where the plan wants them; wait, or execute the plan",
            count(open, "partition")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_kafkas() {
        let text = br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any","any"]}]}"#;
        let plan = parse(text).unwrap();
        assert_eq!(plan, Plan::from([(("t".to_owned(), 0), vec![1, 2])]));
        assert_eq!(parse(plan_json(&plan).to_string().as_bytes()), Ok(plan));
    }

    #[test]
    fn what_there_was_before_a_move_is_not_what_there_is_amid_it() {
        let place = ("t".to_owned(), 0);
        let amid = Move { replicas: vec![2, 3, 1], adding: vec![2, 3], removing: vec![1] };
        let now = Plan::from([(place.clone(), vec![2, 3, 1]), (("t".to_owned(), 1), vec![2, 3])]);
        let was = before(now, &BTreeMap::from([(place.clone(), amid)]));
        assert_eq!(was, Plan::from([(place, vec![1]), (("t".to_owned(), 1), vec![2, 3])]));
    }

    #[test]
    fn a_wrong_plan_is_explained() {
        for (text, why) in [
            ("", "EOF"),
            ("{}", "no list"),
            (r#"{"version":2,"partitions":[]}"#, "field value 2"),
            (r#"{"partitions":[]}"#, "no partition"),
            (r#"{"partitions":[{"partition":0,"replicas":[1]}]}"#, "no topic"),
            (r#"{"partitions":[{"topic":"t","replicas":[1]}]}"#, "no partition in"),
            (r#"{"partitions":[{"topic":"t","partition":0}]}"#, "no replicas"),
            (r#"{"partitions":[{"topic":"t","partition":0,"replicas":["a"]}]}"#, "no broker id"),
            (r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1],"log_dirs":["/d"]}]}"#, "log_dirs"),
            (
                r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1]},{"topic":"t","partition":0,"replicas":[2]}]}"#,
                "twice",
            ),
        ] {
            let told = parse(text.as_bytes()).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
