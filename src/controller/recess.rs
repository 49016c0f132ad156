//! How long a broker stays out of elections after it gave its office up because the store could not be read.
//!
//! Kafka stands again at once (`KafkaController.triggerControllerMove`), and a lone broker with a node that cannot be
//! read goes round in elections as fast as ZooKeeper answers. Pure: `now` is an argument.

use crate::clock::Timestamp;

/// The first recess, and the shortest.
const SHORTEST_MS: i64 = 500;
/// The longest recess; a reign that lasted longer is taken for a success.
const LONGEST_MS: i64 = 30_000;

/// Twice as long each time in a row.
#[derive(Debug, Default)]
pub(super) struct Recess {
    until: Option<Timestamp>,
    last_ms: i64,
}

impl Recess {
    /// The office that was taken at `elected` was given up at `now`.
    pub(super) fn begin(&mut self, now: Timestamp, elected: Timestamp) {
        if now.since_ms(elected) > LONGEST_MS {
            self.last_ms = 0;
        }
        self.last_ms = (self.last_ms * 2).clamp(SHORTEST_MS, LONGEST_MS);
        self.until = Some(now.plus_ms(self.last_ms));
    }

    /// When it ends, while there is one.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether it ends now.
    pub(super) fn ends(&mut self, now: Timestamp) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_every_failure_and_starts_anew_after_a_long_reign() {
        let (mut recess, mut now, mut lasted) = (Recess::default(), Timestamp(1_000), Vec::new());
        for _ in 0..8 {
            recess.begin(now, now);
            let until = recess.until().unwrap();
            assert!(!recess.ends(until.plus_ms(-1)) && recess.ends(until) && recess.until().is_none());
            lasted.push(until.since_ms(now));
            now = until;
        }
        assert_eq!(lasted, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        recess.begin(now.plus_ms(LONGEST_MS + 1), now);
        assert_eq!(recess.until().unwrap().since_ms(now), LONGEST_MS + 1 + SHORTEST_MS);
    }
}
