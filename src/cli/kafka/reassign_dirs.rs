//! Moves between the directories of a broker, for `kafka-reassign-partitions`: what is wished, how far it is, start it.
//!
//! Source: `ReassignPartitionsCommand.{findLogDirMoveStates, replicaMoveStatesToString, executeMoves}` of Kafka 3.9.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::admin::{self, Trouble};
use super::super::connect::{Client, Patience};
use super::super::offsets::Place;
use super::super::output::exactly as say;
use super::super::plan::Entry;
use super::errors::Failure;
use super::reassign::{command, named, terse, wrapped};
use crate::protocol::error_code::ErrorCode;

/// A broker and a partition of which it has a replica.
pub type At = (i32, Place);
/// The directories of replicas.
pub type Dirs = BTreeMap<At, String>;

/// How a move stands; `target` is what was wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No directory that can be read has the replica.
    Missing,
    /// On its way, to `to`.
    Active {
        /// Where it is still.
        from: String,
        /// Where it goes.
        to: String,
        /// Where it shall be.
        target: String,
    },
    /// Elsewhere, and not moving.
    Cancelled {
        /// Where it is.
        at: String,
        /// Where it shall be.
        target: String,
    },
    /// There.
    Completed,
}

impl State {
    /// Whether nothing moves any more.
    pub fn is_done(&self) -> bool {
        matches!(self, State::Completed | State::Cancelled { .. })
    }

    /// Where a replica that moves is still.
    pub fn moving_from(self) -> Option<String> {
        match self {
            State::Active { from, .. } => Some(from),
            _ => None,
        }
    }
}

/// The directories that a plan chooses.
pub fn wished(entries: &[Entry]) -> Dirs {
    let mut wished = Dirs::new();
    for entry in entries {
        for (broker, dir) in entry.replicas.iter().zip(&entry.dirs) {
            if let Some(dir) = dir {
                wished.insert((*broker, entry.place.clone()), dir.clone());
            }
        }
    }
    wished
}

fn by_broker(dirs: &Dirs) -> BTreeMap<i32, BTreeMap<Place, String>> {
    let mut brokers: BTreeMap<i32, BTreeMap<Place, String>> = BTreeMap::new();
    for ((broker, place), dir) in dirs {
        brokers.entry(*broker).or_default().insert(place.clone(), dir.clone());
    }
    brokers
}

/// How the moves stand that lead to `wished`.
pub async fn states(client: &mut Client, wished: &Dirs) -> Result<BTreeMap<At, State>, Failure> {
    let mut states = BTreeMap::new();
    for (broker, places) in by_broker(wished) {
        let asked: Vec<Place> = places.keys().cloned().collect();
        let (mut now, mut next) = (BTreeMap::new(), BTreeMap::new());
        for dir in admin::log_dirs(client, broker, Some(&asked)).await.map_err(wrapped)? {
            if dir.error_code != 0 && dir.error_code != ErrorCode::KafkaStorageError.code() {
                return Err(wrapped(Failure::of(dir.error_code, None)));
            }
            for topic in dir.topics {
                for it in topic.partitions {
                    let side = if it.is_future_key { &mut next } else { &mut now };
                    side.insert((topic.name.clone(), it.partition_index), dir.log_dir.clone());
                }
            }
        }
        for (place, target) in places {
            let state = state(now.remove(&place), next.remove(&place), target);
            states.insert((broker, place), state);
        }
    }
    Ok(states)
}

fn state(now: Option<String>, next: Option<String>, target: String) -> State {
    match (now, next) {
        (None, _) => State::Missing,
        (Some(from), Some(to)) => State::Active { from, to, target },
        (Some(at), None) if at == target => State::Completed,
        (Some(at), None) => State::Cancelled { at, target },
    }
}

/// The states in words, a line each.
pub fn told(states: &BTreeMap<At, State>) -> String {
    let line = |((broker, place), state): (&At, &State)| {
        let name = named(place);
        match state {
            State::Missing => format!(
                "Partition {name} is not found in any live log dir on broker {broker}. There is likely an offline log \
                 directory on the broker."
            ),
            State::Active { to, target, .. } if to == target => {
                format!("Reassignment of replica {name}-{broker} is still in progress.")
            }
            State::Active { to, target, .. } => {
                format!(
                    "Partition {name} on broker {broker} is being moved to log dir {to} instead of {target}."
                )
            }
            State::Cancelled { at, target } => format!(
                "Partition {name} on broker {broker} is not being moved from log dir {at} to {target}."
            ),
            State::Completed => format!("Reassignment of replica {name}-{broker} completed successfully."),
        }
    };
    states.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Starts the moves. A replica that is not on its broker yet is tried again until `limit` ends.
pub async fn start(client: &mut Client, mut pending: Dirs, limit: Duration) -> Result<(), Failure> {
    let patience = Patience::new(limit);
    let absent = ErrorCode::ReplicaNotAvailable.code();
    while !pending.is_empty() {
        for (broker, places) in by_broker(&pending) {
            for (place, outcome) in admin::alter_log_dirs(client, broker, &places).await.map_err(wrapped)? {
                match outcome {
                    Ok(()) => {}
                    Err(Trouble::Refused { code, .. }) if code == absent => continue,
                    Err(trouble) => {
                        let why = Failure::from(trouble);
                        return Err(command(format!(
                            "Failed to alter dir for {}-{broker}: {why}",
                            named(&place)
                        )));
                    }
                }
                let at = (broker, place);
                let dir = pending.remove(&at).unwrap_or_default();
                // The space before the end of the line is Kafka's.
                say(&format!(
                    "Successfully started moving log directory to {dir} for replica {} with broker {broker} ",
                    named(&at.1)
                ))?;
            }
        }
        if !pending.is_empty() && !patience.wait().await {
            let plural = if pending.len() == 1 { "" } else { "s" };
            let left: Vec<String> =
                pending.keys().map(|(broker, place)| format!("{}-{broker}", named(place))).collect();
            return Err(terse(format!(
                "Timed out before log directory move{plural} could be started for: {}",
                left.join(",")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_as_kafka_tells_them() {
        let dir = |text: &str| Some(text.to_owned());
        let of = |index, now, next| ((1, ("t".to_owned(), index)), state(now, next, "/b".to_owned()));
        let states = BTreeMap::from([
            of(0, dir("/b"), None),
            of(1, dir("/a"), None),
            of(2, dir("/a"), dir("/b")),
            of(3, dir("/a"), dir("/c")),
            of(4, None, None),
        ]);
        assert_eq!(
            told(&states),
            "Reassignment of replica t-0-1 completed successfully.\n\
             Partition t-1 on broker 1 is not being moved from log dir /a to /b.\n\
             Reassignment of replica t-2-1 is still in progress.\n\
             Partition t-3 on broker 1 is being moved to log dir /c instead of /b.\n\
             Partition t-4 is not found in any live log dir on broker 1. There is likely an offline log directory on \
             the broker."
        );
        let done: Vec<bool> = states.values().map(State::is_done).collect();
        assert_eq!(done, [true, true, false, false, false]);
    }
}
