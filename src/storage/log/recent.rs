//! Where the newest batches of the active segment are: consumers at the tail, followers and the high watermark
//! ask for little else, and get their answer without a system call.

use std::collections::VecDeque;

/// Batches remembered: a few hundred bytes a log.
const CAPACITY: usize = 32;

/// One batch of the active segment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct RecentBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub position: u32,
    pub size: u32,
}

/// See the module.
#[derive(Default)]
pub(in crate::storage) struct Recent {
    batches: VecDeque<RecentBatch>,
}

impl Recent {
    /// Notes the next batch of the active segment.
    pub(super) fn push(&mut self, batch: RecentBatch) {
        if self.batches.len() == CAPACITY {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
    }

    /// Forgets everything: the active segment changed or was cut.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// The first batch that holds `offset` or a later one, if it is known to be the first.
    pub(super) fn find(&self, offset: i64) -> Option<RecentBatch> {
        let at = self.batches.partition_point(|batch| batch.last_offset < offset);
        let batch = self.batches.get(at)?;
        (at > 0 || batch.base_offset <= offset).then_some(*batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_only_what_it_can_be_sure_of() {
        let mut recent = Recent::default();
        for n in 0..40 {
            recent.push(RecentBatch {
                base_offset: n * 10,
                last_offset: n * 10 + 4,
                position: n as u32,
                size: 1,
            });
        }
        let at = |offset| recent.find(offset).map(|batch| batch.position);
        assert_eq!(at(79), None, "the batch before may have been forgotten");
        assert_eq!((at(80), at(84)), (Some(8), Some(8)));
        assert_eq!(at(85), Some(9), "offsets between batches belong to the next");
        assert_eq!((at(394), at(395)), (Some(39), None));
        recent.clear();
        assert_eq!(recent.find(394), None);
    }
}
