//! The segments of one log, ordered by base offset (`LogSegments`). The last one is active.
//!
//! The list is copied when it changes, which is rare, so that a read can keep it without copying it.

use std::sync::Arc;

use super::segment::Segment;

/// See the module.
#[derive(Default)]
pub struct Segments {
    /// Ascending base offsets.
    ordered: Arc<Vec<Arc<Segment>>>,
}

impl Segments {
    /// All, oldest first.
    pub fn all(&self) -> &[Arc<Segment>] {
        &self.ordered
    }

    /// All as they are now, to be used without the log's lock.
    pub fn snapshot(&self) -> Arc<Vec<Arc<Segment>>> {
        self.ordered.clone()
    }

    /// The one appended to.
    pub fn active(&self) -> Option<&Arc<Segment>> {
        self.ordered.last()
    }

    /// The oldest.
    pub fn first(&self) -> Option<&Arc<Segment>> {
        self.ordered.first()
    }

    /// Where the segment that would hold `offset` stands: the last with a base at or below it.
    pub fn floor_index(&self, offset: i64) -> Option<usize> {
        self.ordered.partition_point(|segment| segment.base_offset() <= offset).checked_sub(1)
    }

    /// Adds a segment, in place of one with the same base.
    pub fn insert(&mut self, segment: Arc<Segment>) {
        let at = self.ordered.partition_point(|other| other.base_offset() < segment.base_offset());
        let ordered = Arc::make_mut(&mut self.ordered);
        match ordered.get_mut(at) {
            Some(other) if other.base_offset() == segment.base_offset() => *other = segment,
            _ => ordered.insert(at, segment),
        }
    }

    /// Takes out the segments from `index` on.
    pub fn split_off(&mut self, index: usize) -> Vec<Arc<Segment>> {
        let ordered = Arc::make_mut(&mut self.ordered);
        ordered.split_off(index.min(ordered.len()))
    }

    /// Takes out the `count` oldest.
    pub fn drain_first(&mut self, count: usize) -> Vec<Arc<Segment>> {
        let ordered = Arc::make_mut(&mut self.ordered);
        ordered.drain(..count.min(ordered.len())).collect()
    }

    /// Takes out those with these base offsets and puts `new` in (compaction).
    pub fn replace(&mut self, old: &[i64], new: Vec<Arc<Segment>>) -> Vec<Arc<Segment>> {
        let all = self.ordered.iter().cloned();
        let (out, kept) = all.partition(|segment| old.contains(&segment.base_offset()));
        self.ordered = Arc::new(kept);
        new.into_iter().for_each(|segment| self.insert(segment));
        out
    }

    /// Bytes of batches in all.
    pub fn size(&self) -> u64 {
        self.ordered.iter().map(|segment| segment.size()).sum()
    }
}
