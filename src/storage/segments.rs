//! The segments of one log, ordered by base offset (`LogSegments`). The last one is active.

use std::sync::Arc;

use super::segment::Segment;

/// See the module.
#[derive(Default)]
pub struct Segments {
    /// Ascending base offsets.
    ordered: Vec<Arc<Segment>>,
}

impl Segments {
    /// All, oldest first.
    pub fn all(&self) -> &[Arc<Segment>] {
        &self.ordered
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
        match self.ordered.get(at) {
            Some(other) if other.base_offset() == segment.base_offset() => self.ordered[at] = segment,
            _ => self.ordered.insert(at, segment),
        }
    }

    /// Takes out the segments from `index` on.
    pub fn split_off(&mut self, index: usize) -> Vec<Arc<Segment>> {
        self.ordered.split_off(index.min(self.ordered.len()))
    }

    /// Takes out the `count` oldest.
    pub fn drain_first(&mut self, count: usize) -> Vec<Arc<Segment>> {
        self.ordered.drain(..count.min(self.ordered.len())).collect()
    }

    /// Takes out those with these base offsets and puts `new` in (compaction).
    pub fn replace(&mut self, old: &[i64], new: Vec<Arc<Segment>>) -> Vec<Arc<Segment>> {
        let (out, kept) = self.ordered.drain(..).partition(|segment| old.contains(&segment.base_offset()));
        self.ordered = kept;
        new.into_iter().for_each(|segment| self.insert(segment));
        out
    }

    /// Bytes of batches in all.
    pub fn size(&self) -> u64 {
        self.ordered.iter().map(|segment| segment.size()).sum()
    }
}
