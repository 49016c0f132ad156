//! Historic bugs, put back one at a time, to show that the simulation finds them.
//!
//! Without the feature `historic-bugs`, which no release is built with, every question here is answered with a constant no.

/// A bug that Kafka once had; the numbers are those of the reliability catalogue.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A follower cuts its log to its high watermark instead of asking the leader (before KIP-101).
    R1,
    /// Nobody notices that a follower's log has left its leader's (KIP-101).
    R2,
    /// The leader's answer about an epoch it does not know is taken for the end of the follower's own (KAFKA-6361).
    R3,
    /// A term without records leaves no trace in the epoch cache (KAFKA-7415, KAFKA-10706).
    R5,
    /// A follower below the start of the term joins the ISR (KAFKA-7128).
    R7,
    /// Retention takes what is above the high watermark (KAFKA-5634).
    R13,
    /// A controller writes without a look at the controller epoch (KAFKA-6082).
    R19,
    /// A control request for an earlier life of a broker is taken (KAFKA-7235).
    R20,
    /// A leader takes the word of a controller that is none any more as final (KAFKA-14154).
    R21,
    /// The mark of a clean shutdown outlives the next start (KAFKA-10471).
    R34,
}

/// All of them.
pub const ALL: [Bug; 10] =
    [Bug::R1, Bug::R2, Bug::R3, Bug::R5, Bug::R7, Bug::R13, Bug::R19, Bug::R20, Bug::R21, Bug::R34];

#[cfg(feature = "historic-bugs")]
mod switch {
    use super::{ALL, Bug};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Place in [`ALL`]; beyond it for none.
    static BACK: AtomicUsize = AtomicUsize::new(usize::MAX);

    /// Puts a bug back in the place of another, for the whole process: logs are loaded on threads of their own.
    pub fn put_back(bug: Option<Bug>) {
        let place = bug.and_then(|bug| ALL.iter().position(|other| *other == bug));
        BACK.store(place.unwrap_or(usize::MAX), Ordering::SeqCst);
    }

    /// Whether this bug is back.
    pub fn is_back(bug: Bug) -> bool {
        ALL.get(BACK.load(Ordering::SeqCst)) == Some(&bug)
    }
}

#[cfg(feature = "historic-bugs")]
pub use switch::{is_back, put_back};

/// Whether this bug is back: never.
#[cfg(not(feature = "historic-bugs"))]
pub const fn is_back(_bug: Bug) -> bool {
    false
}
