//! Notes to the controller: changed ISRs (old inter-broker protocols) and failed log directories.
//! Source: `KafkaZkClient.{propagateIsrChanges, propagateLogDirEvent, deleteIsrChangeNotifications}`.

use super::KafkaError;
use super::changes::{self, Note};
use super::guarded::{self, Guard};
use crate::store::{CreateMode, Store, retry};
use crate::znode::notify;
use crate::znode::reassign::PartitionName;

/// Tells the controller that this leader changed ISRs.
pub async fn report_isr_change(store: &dyn Store, partitions: &[PartitionName]) -> Result<(), KafkaError> {
    let path = format!("{}/{}", notify::ISR_CHANGES, notify::ISR_CHANGE_PREFIX);
    let note = notify::encode_isr_change(partitions);
    retry::read(|| store.create(&path, &note, CreateMode::PersistentSequential)).await?;
    Ok(())
}

/// Tells the controller that a log directory of this broker failed.
pub async fn report_log_dir_failure(store: &dyn Store, broker: i32) -> Result<(), KafkaError> {
    let path = format!("{}/{}", notify::LOG_DIR_EVENTS, notify::LOG_DIR_EVENT_PREFIX);
    let note = notify::encode_log_dir_event(broker);
    retry::read(|| store.create(&path, &note, CreateMode::PersistentSequential)).await?;
    Ok(())
}

/// The ISR notes waiting, oldest first, with the partitions each names (none if nobody can read it).
pub async fn isr_changes(store: &dyn Store) -> Result<Vec<(Note, Vec<PartitionName>)>, KafkaError> {
    let notes = changes::read(store, notify::ISR_CHANGES, notify::ISR_CHANGE_PREFIX, -1).await?;
    let read = notes.into_iter().map(|note| {
        let partitions = notify::decode_isr_change(&note.path, &note.data).unwrap_or_default();
        (note, partitions)
    });
    Ok(read.collect())
}

/// The log directory notes waiting, oldest first, with the broker each names (`None` if nobody can read it).
pub async fn log_dir_events(store: &dyn Store) -> Result<Vec<(Note, Option<i32>)>, KafkaError> {
    let notes = changes::read(store, notify::LOG_DIR_EVENTS, notify::LOG_DIR_EVENT_PREFIX, -1).await?;
    let read = notes.into_iter().map(|note| {
        let broker = notify::decode_log_dir_event(&note.path, &note.data).ok();
        (note, broker)
    });
    Ok(read.collect())
}

/// Removes notes once they are read.
pub async fn delete(store: &dyn Store, guard: Guard, notes: &[Note]) -> Result<(), KafkaError> {
    let paths: Vec<String> = notes.iter().map(|note| note.path.clone()).collect();
    guarded::delete_all(store, guard, &paths).await
}
