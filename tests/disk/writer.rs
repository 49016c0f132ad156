//! What the tests append, and how they read it back.

use std::sync::Arc;

use bytes::Bytes;
use ottla::protocol::ids::TopicPartition;
use ottla::protocol::records::batch::Compression;
use ottla::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::protocol::records::control::{Marker, MarkerBatch};
use ottla::protocol::records::view::batches;
use ottla::storage::log::{Bound, Log, Slice};

pub fn partition(name: &str) -> TopicPartition {
    TopicPartition::new(name, 0)
}

/// One batch of `values`, all with `timestamp`.
pub fn batch(options: BatchOptions, timestamp: i64, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let record = NewRecord { timestamp, key: Some(b"k"), value: Some(value), headers: &[] };
        builder.append(&record).unwrap();
    }
    Bytes::from(builder.finish().unwrap())
}

/// One uncompressed batch without a producer.
pub fn plain(timestamp: i64, values: &[&[u8]]) -> Bytes {
    batch(BatchOptions { compression: Compression::None, ..BatchOptions::default() }, timestamp, values)
}

/// One batch of a producer.
pub fn produced(id: i64, epoch: i16, sequence: i32, transactional: bool, values: &[&[u8]]) -> Bytes {
    let options = BatchOptions {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    };
    batch(options, 1_000, values)
}

/// A transaction marker.
pub fn marker(id: i64, epoch: i16, commit: bool) -> Bytes {
    let batch = MarkerBatch {
        base_offset: 0,
        partition_leader_epoch: 0,
        timestamp: 1_000,
        producer_id: id,
        producer_epoch: epoch,
        marker: Marker { commit, coordinator_epoch: 0 },
    };
    Bytes::from(batch.encode().unwrap())
}

/// The bytes of a slice.
pub fn bytes_of(slice: &Slice) -> Vec<u8> {
    let Some(region) = &slice.region else { return Vec::new() };
    let mut bytes = vec![0; region.len];
    region.file.read_exact_at(&mut bytes, region.position).unwrap();
    bytes
}

/// All whole batches of the log from its start, in pieces of `step` bytes; their checksums are verified.
pub fn read_all(log: &Arc<Log>, step: usize) -> Vec<Vec<u8>> {
    let offsets = log.offsets();
    let mut next = offsets.log_start_offset;
    let mut all = Vec::new();
    while next < offsets.log_end_offset {
        let slice = log.read(next, step, Bound::LogEnd, true).unwrap();
        let bytes = bytes_of(&slice);
        let before = next;
        for view in batches(&bytes).map_while(Result::ok) {
            assert!(view.last_offset() >= next, "batches follow each other");
            view.verify_crc().unwrap();
            next = view.next_offset();
            all.push(view.bytes().to_vec());
        }
        if slice.region.is_none() {
            break;
        }
        assert!(next > before, "a read makes progress");
    }
    all
}
