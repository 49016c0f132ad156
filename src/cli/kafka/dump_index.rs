//! `kafka-dump-log` of what lies beside segments: offset, time and transaction indexes, producer snapshots.
//!
//! Never makes a file. Source: `DumpLogSegments.dumpIndex`, `dumpTimeIndex`, `dumpTxnIndex`, `dumpProducerIdSnapshot`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::dump_log::{Batches, How, Out, base_offset};
use crate::cli::output::finish;
use crate::storage::fs::{Fs, OsFs};
use crate::storage::offset_index::OffsetIndex;
use crate::storage::producer_snapshot;
use crate::storage::time_index::TimeIndex;
use crate::storage::txn_index::TxnIndex;

fn system() -> Arc<dyn Fs> {
    Arc::new(OsFs)
}

/// What an index says, or why it cannot be read.
fn told<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("cannot be read: {error}"))
}

fn open_offsets(path: &Path, base: i64) -> Result<OffsetIndex, String> {
    must_be_there(path)?;
    told(OffsetIndex::open(system(), path.to_owned(), base))
}

fn must_be_there(path: &Path) -> Result<(), String> {
    match path.is_file() {
        true => Ok(()),
        false => Err(format!("{} is not there; check the path", path.display())),
    }
}

/// An offset index; each entry must be the last offset of the batch it points to.
pub fn offsets(path: &Path, how: How, out: &mut Out, notes: &mut Vec<String>) -> Result<(), String> {
    let base = base_offset(path)?;
    let index = open_offsets(path, base)?;
    let entries = told(index.entries())?;
    let shown = path.display();
    if entries == 0 {
        return finish(writeln!(out, "{shown} is empty."));
    }
    if how.sanity_only {
        told(index.sanity_check())?;
        return finish(writeln!(out, "{shown} passed sanity check."));
    }
    let mut batches = Batches::open(&path.with_extension("log"))?;
    let mut wrong = Vec::new();
    for number in 0..entries {
        let Some((offset, position)) = told(index.entry(number))? else { break };
        // After a crash there may be zeros.
        if offset == base && number > 0 {
            break;
        }
        batches.seek(u64::from(position))?;
        let last = batches.next(u64::MAX).map_or(-1, |(_, batch)| batch.last_offset());
        if last != offset {
            wrong.push(format!("  Index offset: {offset}, log offset: {last}"));
        }
        if !how.verifies_only {
            finish(writeln!(out, "offset: {offset} position: {position}"))?;
        }
    }
    if !wrong.is_empty() {
        notes.push(format!("Mismatches in :{shown}"));
        notes.extend(wrong);
    }
    Ok(())
}

/// A time index; each entry must have the timestamp of the batch that ends with its offset.
pub fn times(path: &Path, how: How, out: &mut Out, notes: &mut Vec<String>) -> Result<(), String> {
    let base = base_offset(path)?;
    must_be_there(path)?;
    let index = told(TimeIndex::open(system(), path.to_owned(), base))?;
    let shown = path.display();
    if how.sanity_only {
        told(index.sanity_check())?;
        return finish(writeln!(out, "{shown} passed sanity check."));
    }
    let positions = open_offsets(&path.with_extension("index"), base)?;
    let mut batches = Batches::open(&path.with_extension("log"))?;
    let (mut before, mut wrong, mut disorder, mut lost) = (-1, Vec::new(), Vec::new(), Vec::new());
    for number in 0..told(index.entries())? {
        let Some((timestamp, offset)) = told(index.entry(number))? else { break };
        if offset == base && number > 0 {
            break;
        }
        batches.seek(u64::from(told(positions.lookup(offset))?.1))?;
        match find(&mut batches, offset) {
            Some((last, max)) if last == offset => {
                if max != timestamp {
                    wrong.push(format!("  Index timestamp: {timestamp}, log timestamp: {max}"));
                }
                if before >= timestamp {
                    let text =
                        format!("  Index timestamp: {timestamp}, Previously indexed timestamp: {before}");
                    disorder.push(text);
                }
            }
            found => {
                let last = found.map_or(-1, |(last, _)| last);
                lost.push(format!("Indexed offset: {offset}, found log offset: {last}"));
            }
        }
        if !how.verifies_only {
            finish(writeln!(out, "timestamp: {timestamp} offset: {offset}"))?;
        }
        before = timestamp;
    }
    let heads = [
        (format!("Found timestamp mismatch in :{shown}"), wrong),
        (format!("Found out of order timestamp in :{shown}"), disorder),
        ("The following indexed offsets are not found in the log.".to_owned(), lost),
    ];
    for (head, lines) in heads.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        notes.push(head);
        notes.extend(lines);
    }
    Ok(())
}

/// Last offset and largest timestamp of the first batch that reaches `offset`.
fn find(batches: &mut Batches, offset: i64) -> Option<(i64, i64)> {
    while let Some((_, batch)) = batches.next(u64::MAX) {
        if batch.last_offset() >= offset {
            return Some((batch.last_offset(), batch.max_timestamp()));
        }
    }
    None
}

/// Aborted transactions.
pub fn transactions(path: &Path, out: &mut Out) -> Result<(), String> {
    must_be_there(path)?;
    let index = told(TxnIndex::open(system(), path.to_owned()))?;
    for txn in told(index.all())? {
        finish(writeln!(
            out,
            "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset
        ))?;
    }
    Ok(())
}

/// What is known of producers.
pub fn producers(path: &Path, out: &mut Out) -> Result<(), String> {
    must_be_there(path)?;
    for entry in told(producer_snapshot::read(&system(), path))? {
        let open = match entry.current_txn_first_offset {
            -1 => "OptionalLong.empty".to_owned(),
            offset => format!("OptionalLong[{offset}]"),
        };
        finish(write!(
            out,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {open} lastTimestamp: {} ",
            entry.producer_id, entry.producer_epoch, entry.coordinator_epoch, entry.timestamp
        ))?;
        if entry.last_offset >= 0 {
            // The sequence wraps below 0 to 2^31 - 1.
            let first = entry.last_sequence.wrapping_sub(entry.offset_delta) & i32::MAX;
            finish(write!(
                out,
                "firstSequence: {first} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                entry.last_sequence, entry.last_offset, entry.offset_delta, entry.timestamp
            ))?;
        }
        finish(writeln!(out))?;
    }
    Ok(())
}
