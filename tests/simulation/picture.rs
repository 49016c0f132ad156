//! What every replica holds, in words: for whoever reads a failed run.

use std::sync::Arc;

use ottla::broker::Broker;
use ottla::protocol::records::view::batches;
use ottla::storage::log::{Bound, Log};

use crate::world::World;

/// Batches shown of each log.
const LAST: usize = 8;

impl World {
    /// Notes the state of all replicas.
    pub fn picture(&mut self) {
        let brokers: Vec<Arc<Broker>> = self.hosts.iter().filter_map(|host| host.broker().cloned()).collect();
        for broker in brokers {
            let mut partitions = broker.replicas.all();
            partitions.sort_by(|a, b| a.tp.cmp(&b.tp));
            for partition in partitions {
                let (log, leadership) = {
                    let state = partition.lock();
                    (state.log.clone(), state.leadership.clone())
                };
                let role = (leadership.leader, leadership.leader_epoch, leadership.isr);
                let log = log.map_or_else(|| "offline".to_owned(), |log| shown(&log));
                self.note(|_| {
                    format!("{} on broker {}: leader, epoch, isr {role:?}; {log}", partition.tp, broker.id)
                });
            }
        }
    }
}

fn shown(log: &Arc<Log>) -> String {
    let offsets = log.offsets();
    let epochs: Vec<(i32, i64)> =
        log.epochs().iter().map(|entry| (entry.epoch, entry.start_offset)).collect();
    let mut producers: Vec<(i64, i32)> =
        log.active_producers().iter().map(|entry| (entry.producer_id, entry.last_sequence)).collect();
    producers.sort_unstable();
    let mut held = Vec::new();
    let mut next = offsets.log_start_offset;
    while let Ok(slice) = log.read(next, 1 << 20, Bound::LogEnd, true) {
        let Some(region) = slice.region else { break };
        let mut bytes = vec![0; region.len];
        if region.file.read_exact_at(&mut bytes, region.position).is_err() {
            break;
        }
        let before = next;
        for view in batches(&bytes).map_while(Result::ok) {
            let Some(header) = view.v2() else { continue };
            let (epoch, id, sequence) =
                (header.partition_leader_epoch, header.producer_id, header.base_sequence);
            held.push(format!("{}..{} e{epoch} {id}/{sequence}", view.base_offset(), view.last_offset()));
            next = view.next_offset();
        }
        if next == before {
            break;
        }
    }
    let last = held.split_off(held.len().saturating_sub(LAST)).join(", ");
    format!(
        "start {} mark {} end {} epochs {epochs:?} producers (id, last sequence) {producers:?} batches .. {last}",
        offsets.log_start_offset, offsets.high_watermark, offsets.log_end_offset
    )
}
