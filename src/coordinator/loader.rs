//! Loading a shard: every record of its log, oldest first, through `replay`, the same way as live
//! (`GroupMetadataManager.loadGroupsAndOffsets`).
//!
//! Runs on a blocking thread. A record that cannot be read is told and skipped; a batch that cannot be read ends the
//! load with what was read, as in Kafka.

use bytes::{Bytes, BytesMut};

use super::shard::{Position, Shard};
use crate::protocol::records::control::{ControlType, control_type};
use crate::protocol::records::view::{BatchView, batches};
use crate::protocol::records::{Record, RecordsError, records};
use crate::replication::fetch::records_of;
use crate::replication::partition::Partition;
use crate::storage::log::{Bound, Log};

/// What one batch may decompress to.
const DECOMPRESSED_MAX: usize = 256 << 20;

/// How a load went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records replayed.
    pub records: u64,
    /// Records that could not be read.
    pub skipped: u64,
}

/// Replays the log of `partition` into `shard`, in chunks of about `buffer` bytes, until its end or until
/// `wanted` says that nobody wants it any more.
pub fn load<S: Shard>(
    shard: &mut S,
    partition: &Partition,
    buffer: usize,
    wanted: &dyn Fn() -> bool,
) -> Result<Loaded, String> {
    let log = partition.any_log(-1).map_err(|code| format!("{}: {code}", partition.tp))?;
    let mut loaded = Loaded::default();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() && wanted() {
        let chunk = read_chunk(&log, offset, buffer).map_err(|error| format!("{}: {error}", partition.tp))?;
        let before = offset;
        for view in batches(&chunk) {
            let view = match view {
                Ok(view) => view,
                Err(RecordsError::Truncated { .. }) => break,
                Err(error) => return Err(format!("{}: batch after offset {offset}: {error}", partition.tp)),
            };
            if view.last_offset() < offset {
                continue;
            }
            replay_batch(shard, &view, &mut loaded).map_err(|error| {
                format!("{}: batch at offset {}: {error}", partition.tp, view.base_offset())
            })?;
            offset = view.next_offset();
        }
        if offset == before {
            // The rest of the log holds no whole batch at or after this offset: gaps left by the cleaner.
            break;
        }
    }
    Ok(loaded)
}

fn read_chunk(log: &Log, offset: i64, buffer: usize) -> Result<Bytes, String> {
    let slice = log.read(offset, buffer, Bound::LogEnd, true).map_err(|error| error.to_string())?;
    let mut bytes = BytesMut::new();
    for chunk in records_of(slice).chunks() {
        chunk.copy_to(&mut bytes).map_err(|error| error.to_string())?;
    }
    Ok(bytes.freeze())
}

fn replay_batch<S: Shard>(
    shard: &mut S,
    view: &BatchView<'_>,
    loaded: &mut Loaded,
) -> Result<(), RecordsError> {
    let transaction = view.producer().filter(|_| view.is_transactional()).map(|producer| producer.id);
    for record in records(view, DECOMPRESSED_MAX)?.iter()? {
        let record = record?;
        if view.is_control() {
            if let Some(producer_id) = transaction {
                match control_type(record.key)? {
                    ControlType::Commit => shard.replay_marker(producer_id, true),
                    ControlType::Abort => shard.replay_marker(producer_id, false),
                    _ => {}
                }
            }
            continue;
        }
        replay_record(shard, &record, transaction, loaded);
    }
    Ok(())
}

fn replay_record<S: Shard>(
    shard: &mut S,
    record: &Record<'_>,
    transaction: Option<i64>,
    loaded: &mut Loaded,
) {
    let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
    let value = record.value.map(Bytes::copy_from_slice);
    match S::decode(key, value) {
        Ok(Some(decoded)) => {
            shard.replay(Position { offset: record.offset, transaction }, decoded);
            loaded.records += 1;
        }
        Ok(None) => loaded.skipped += 1,
        Err(error) => {
            tracing::warn!(offset = record.offset, %error, "a coordinator's record cannot be read and is skipped");
            loaded.skipped += 1;
        }
    }
}
