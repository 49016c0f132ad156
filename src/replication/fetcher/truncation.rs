//! Where a follower cuts its log when the leader's differs (`AbstractFetcherThread.getOffsetTruncationState`,
//! KIP-101, KIP-279).
//!
//! The leader names the largest of its epochs that is not above the follower's last one, and where it ends. If the
//! follower knows that epoch, the logs agree up to the earlier of its two ends. If not, the follower cuts what is
//! newer than its own largest epoch below that, and asks again with that one. Pure: knows no log.

use crate::bugs::{self, Bug};

/// What the follower's log says of the epoch that the leader named.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OwnEpoch {
    /// The largest known epoch not above it; -1 = none.
    pub epoch: i32,
    /// Where that ends; -1 = unknown.
    pub end_offset: i64,
    /// End of the whole log.
    pub log_end_offset: i64,
}

/// The offset to cut to: `epoch` and `end_offset` are the leader's (-1 = it does not know), `fetch_offset` is where
/// the follower asked.
pub fn offset_to_cut_to(fetch_offset: i64, epoch: i32, end_offset: i64, own: OwnEpoch) -> i64 {
    if end_offset < 0 {
        return fetch_offset.min(own.log_end_offset);
    }
    let both = end_offset.min(own.log_end_offset);
    if epoch < 0 || own.end_offset < 0 || bugs::is_back(Bug::R3) {
        // One side kept no epochs back there: the leader's word is all there is.
        both
    } else if own.epoch == epoch {
        both.min(own.end_offset)
    } else {
        own.end_offset.min(own.log_end_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_agree_up_to_the_earlier_end_of_a_common_epoch() {
        let own = |epoch, end_offset| OwnEpoch { epoch, end_offset, log_end_offset: 100 };
        // (leader's epoch, its end), own: cut to.
        for (epoch, end, known, expected) in [
            (5, 80, own(5, 90), 80),
            (5, 95, own(5, 90), 90),
            (5, 200, own(5, 100), 100),
            // The follower does not know 5: everything after its 3 goes, and it asks again.
            (5, 80, own(3, 60), 60),
            (5, 80, own(3, 90), 90),
            // The follower's epochs begin later.
            (2, 80, own(-1, -1), 80),
            (2, 300, own(-1, -1), 100),
            // The leader keeps no epochs.
            (-1, 70, own(5, 90), 70),
            // It does not even know where it ends.
            (5, -1, own(5, 90), 42),
        ] {
            assert_eq!(offset_to_cut_to(42, epoch, end, known), expected, "{epoch} {end} {known:?}");
        }
    }
}
