//! Notes to the controller: an ISR was changed by its leader (old inter-broker protocols), a log directory failed.
//! Source: `IsrChangeNotificationSequenceZNode`, `LogDirEventNotificationSequenceZNode`.

use serde::Deserialize;

use super::json::{self, Object};
use super::reassign::{self, PartitionName};
use super::{ZnodeError, sequence_of};

/// Parent of the ISR notes.
pub const ISR_CHANGES: &str = "/isr_change_notification";
/// Name of an ISR note, before its counter.
pub const ISR_CHANGE_PREFIX: &str = "isr_change_";
/// Parent of the log directory notes.
pub const LOG_DIR_EVENTS: &str = "/log_dir_event_notification";
/// Name of a log directory note, before its counter.
pub const LOG_DIR_EVENT_PREFIX: &str = "log_dir_event_";

/// "A log directory failed": the only event there is.
const LOG_DIR_FAILURE: i32 = 1;

#[derive(Deserialize)]
struct StoredEvent {
    broker: i32,
}

/// The content of an ISR note.
pub fn encode_isr_change(partitions: &[PartitionName]) -> Vec<u8> {
    reassign::encode_partitions(partitions)
}

/// Reads the ISR note at `path`.
pub fn decode_isr_change(path: &str, data: &[u8]) -> Result<Vec<PartitionName>, ZnodeError> {
    reassign::decode_partitions(path, data)
}

/// The content of a log directory note of `broker`.
pub fn encode_log_dir_event(broker: i32) -> Vec<u8> {
    Object::new().raw("version", 1).raw("broker", broker).raw("event", LOG_DIR_FAILURE).into_bytes()
}

/// The broker whose log directory failed.
pub fn decode_log_dir_event(path: &str, data: &[u8]) -> Result<i32, ZnodeError> {
    Ok(json::read::<StoredEvent>(path, data)?.broker)
}

/// The counter of a note of either kind.
pub fn note_sequence(name: &str) -> Option<i64> {
    sequence_of(name, ISR_CHANGE_PREFIX).or_else(|| sequence_of(name, LOG_DIR_EVENT_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes() {
        assert_eq!(encode_log_dir_event(3), br#"{"version":1,"broker":3,"event":1}"#);
        assert_eq!(decode_log_dir_event("/x", &encode_log_dir_event(3)), Ok(3));
        assert_eq!(note_sequence("isr_change_0000000007"), Some(7));
        assert_eq!(note_sequence("log_dir_event_0000000008"), Some(8));
        let names = vec![PartitionName { topic: "t".into(), partition: 1 }];
        assert_eq!(decode_isr_change("/x", &encode_isr_change(&names)), Ok(names));
    }
}
