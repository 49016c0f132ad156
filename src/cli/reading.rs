//! From a fetched block of batches to the records a reader may see.
//!
//! Control batches and, under read committed, records of aborted transactions are left out; a cut last batch waits
//! for the next fetch. Source: `CompletedFetch` in Kafka's consumer.

use std::collections::HashSet;

use crate::protocol::messages::fetch::AbortedTransaction;
use crate::protocol::records::control::{ControlType, control_type};
use crate::protocol::records::{BatchView, Record, RecordsError, TimestampType, batches, records};

/// The largest batch after decompressing.
const BATCH_MAX: usize = 256 << 20;

/// What the reader of a record wants next.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Then {
    /// The next record.
    Next,
    /// Nothing more; this record was taken.
    Stop,
}

/// Gives the records of `block` from offset `from` on to `take`, with who stamped them, and tells the offset to go on from.
/// `aborted` is what a read committed fetch tells; ascending by first offset.
pub fn read(
    block: &[u8],
    from: i64,
    aborted: &[AbortedTransaction],
    take: &mut dyn FnMut(&Record<'_>, TimestampType) -> Result<Then, String>,
) -> Result<i64, String> {
    let mut next = from;
    let mut ahead: Vec<&AbortedTransaction> = aborted.iter().collect();
    ahead.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut open = HashSet::new();
    for batch in batches(block) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(RecordsError::Truncated { .. }) if next > from => break,
            Err(error) => return Err(broken(next, &error)),
        };
        batch.verify_crc().map_err(|error| broken(next, &error))?;
        while let Some(transaction) = ahead.pop_if(|first| first.first_offset <= batch.last_offset()) {
            open.insert(transaction.producer_id);
        }
        if !hidden(&batch, &mut open).map_err(|error| broken(next, &error))? {
            let inside = records(&batch, BATCH_MAX).map_err(|error| broken(next, &error))?;
            for record in inside.iter().map_err(|error| broken(next, &error))? {
                let record = record.map_err(|error| broken(next, &error))?;
                if record.offset < from {
                    continue;
                }
                next = record.offset + 1;
                if take(&record, batch.timestamp_type())? == Then::Stop {
                    return Ok(next);
                }
            }
        }
        next = next.max(batch.next_offset());
    }
    Ok(next)
}

/// Whether nobody may see the batch's records; an abort marker ends its transaction.
fn hidden(batch: &BatchView<'_>, open: &mut HashSet<i64>) -> Result<bool, RecordsError> {
    let producer = batch.producer().map_or(-1, |producer| producer.id);
    if !batch.is_control() {
        return Ok(batch.is_transactional() && open.contains(&producer));
    }
    let inside = records(batch, BATCH_MAX)?;
    if let Some(marker) = inside.iter()?.next()
        && control_type(marker?.key)? == ControlType::Abort
    {
        open.remove(&producer);
    }
    Ok(true)
}

fn broken(offset: i64, error: &RecordsError) -> String {
    format!(
        "the batch at offset {offset} cannot be read: {error}; check the disks of the leader, or skip it with --from"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::control::{Marker, MarkerBatch};
    use crate::protocol::records::{BatchBuilder, BatchOptions, NewRecord};

    fn batch(base_offset: i64, producer_id: i64, transactional: bool, values: &[&str]) -> Vec<u8> {
        let options = BatchOptions { base_offset, producer_id, transactional, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        for value in values {
            builder.append(&NewRecord { value: Some(value.as_bytes()), ..Default::default() }).unwrap();
        }
        builder.finish().unwrap()
    }

    fn marker(base_offset: i64, producer_id: i64, commit: bool) -> Vec<u8> {
        let marker = Marker { commit, coordinator_epoch: 0 };
        let (producer_epoch, partition_leader_epoch, timestamp) = (0, 0, 0);
        MarkerBatch { base_offset, partition_leader_epoch, timestamp, producer_id, producer_epoch, marker }
            .encode()
            .unwrap()
    }

    fn values(block: &[u8], from: i64, aborted: &[(i64, i64)], most: usize) -> (Vec<String>, i64) {
        let aborted: Vec<AbortedTransaction> = aborted
            .iter()
            .map(|&(producer_id, first_offset)| AbortedTransaction {
                producer_id,
                first_offset,
                ..Default::default()
            })
            .collect();
        let mut seen = Vec::new();
        let next = read(block, from, &aborted, &mut |record, _| {
            seen.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            Ok(if seen.len() == most { Then::Stop } else { Then::Next })
        });
        (seen, next.unwrap())
    }

    #[test]
    fn aborted_records_and_markers_are_left_out() {
        let block = [
            batch(0, 7, true, &["gone"]),
            batch(1, 8, true, &["kept"]),
            marker(2, 7, false),
            batch(3, 7, true, &["again"]),
            marker(4, 7, true),
            marker(5, 8, true),
        ]
        .concat();
        assert_eq!(values(&block, 0, &[(7, 0)], 9), (vec!["kept".into(), "again".into()], 6));
        assert_eq!(values(&block, 0, &[], 9).0.len(), 3);
    }

    #[test]
    fn reading_starts_inside_a_batch_stops_early_and_waits_for_a_cut_one() {
        let mut block = batch(10, -1, false, &["a", "b", "c", "d"]);
        assert_eq!(values(&block, 11, &[], 2), (vec!["b".into(), "c".into()], 13));
        let second = batch(14, -1, false, &["e"]);
        block.extend_from_slice(&second[..second.len() - 1]);
        assert_eq!(values(&block, 13, &[], 9), (vec!["d".into()], 14));
        let last = block.len() - second.len();
        block[last] ^= 1;
        assert!(read(&block, 10, &[], &mut |_, _| Ok(Then::Next)).is_err(), "a broken checksum is told");
    }
}
