//! How transcripts word what is written and sent.

use ottla::controller::context::{Assignment, Leadership};
use ottla::controller::outbox::{Addressed, ControlRequest};

/// What a state node says.
pub fn shown(state: &Leadership) -> String {
    let isr: Vec<String> = state.isr.iter().map(i32::to_string).collect();
    let recovering = if state.recovering { " recovering" } else { "" };
    format!("leader={} epoch={} isr={}{recovering}", state.leader, state.leader_epoch, isr.join(","))
}

/// Where a partition's replicas are and are going.
pub fn placed((index, assignment): &(i32, Assignment)) -> String {
    let list = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let mut text = format!("{index}: {}", list(&assignment.replicas));
    for (sign, ids) in [(" +", &assignment.adding), (" -", &assignment.removing)] {
        if !ids.is_empty() {
            text += sign;
            text += &list(ids);
        }
    }
    text
}

/// One request to a broker.
pub fn describe(sent: &Addressed) -> Option<String> {
    let to = sent.broker;
    let mut parts = Vec::new();
    let name = match &sent.request {
        ControlRequest::LeaderAndIsr(request) => {
            for topic in &request.topics {
                for entry in &topic.partitions {
                    let new = if entry.is_new { " new" } else { "" };
                    parts.push(format!("{}-{} {}{new}", topic.name, entry.index, shown(&entry.leadership)));
                }
            }
            "LeaderAndIsr"
        }
        ControlRequest::UpdateMetadata(update) => {
            let brokers: Vec<String> = update.brokers.iter().map(|broker| broker.id.to_string()).collect();
            parts.push(format!("brokers={}", brokers.join(",")));
            for topic in &update.topics {
                for image in &topic.partitions {
                    let text = format!(
                        "{}-{} leader={} epoch={}",
                        topic.name, image.index, image.leader, image.leader_epoch
                    );
                    parts.push(text);
                }
            }
            "UpdateMetadata"
        }
        ControlRequest::StopReplica(request) => {
            for (topic, entries) in &request.topics {
                for entry in entries {
                    let delete = if entry.delete { " delete" } else { "" };
                    parts.push(format!("{topic}-{} epoch={}{delete}", entry.index, entry.leader_epoch));
                }
            }
            "StopReplica"
        }
    };
    Some(format!("-> {to} {name}: {}", parts.join("; ")))
}
