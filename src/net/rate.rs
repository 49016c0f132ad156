//! How fast connections may come: Kafka's sampled rate over a sliding window, and the wait that brings it back to
//! its limit. Pure: `now` is an argument.
//!
//! Source: `Rate`, `SampledStat` and `QuotaUtils.boundedThrottleTime`. A broker that has been quiet takes a burst of
//! (`quota.window.num` - 1) windows' worth at once, as Kafka's does.

use std::collections::VecDeque;

use crate::clock::Timestamp;

/// Over which time a rate is taken.
#[derive(Copy, Clone, Debug)]
pub struct Windows {
    /// `quota.window.num`.
    pub count: i64,
    /// `quota.window.size.seconds`, in ms; also the longest wait.
    pub size_ms: i64,
}

#[derive(Debug)]
struct Sample {
    start: Timestamp,
    last: Timestamp,
    events: f64,
}

/// Events of the last windows, held against a limit.
#[derive(Debug)]
pub struct Rate {
    /// Events a second.
    limit: f64,
    windows: Windows,
    samples: VecDeque<Sample>,
}

impl Rate {
    /// No event yet; `limit` is in events a second.
    pub fn new(limit: i64, windows: Windows) -> Rate {
        Rate { limit: limit as f64, windows, samples: VecDeque::new() }
    }

    /// Counts an event and says how many ms to wait before it is let through.
    pub fn record(&mut self, now: Timestamp) -> i64 {
        let Windows { count, size_ms } = self.windows;
        match self.samples.back_mut().filter(|sample| now.since_ms(sample.start) < size_ms) {
            Some(sample) => {
                sample.events += 1.0;
                sample.last = now;
            }
            None => self.samples.push_back(Sample { start: now, last: now, events: 1.0 }),
        }
        // A sample that overlaps the window is kept whole.
        self.samples.retain(|sample| now.since_ms(sample.last) < count.saturating_mul(size_ms));
        let oldest = self.samples.front().map_or(now, |sample| sample.start);
        let elapsed = now.since_ms(oldest);
        // A short past counts as all windows but the last: one event is no rate.
        let missing = (count - 1 - elapsed / size_ms).max(0);
        let window_ms = elapsed.saturating_add(missing.saturating_mul(size_ms)).max(1) as f64;
        let events: f64 = self.samples.iter().map(|sample| sample.events).sum();
        let rate = events * 1000.0 / window_ms;
        if rate <= self.limit {
            return 0;
        }
        // A limit of 0 makes this infinite; the cast takes it to the largest number.
        let wait = (rate - self.limit) / self.limit * window_ms;
        (wait.round() as i64).min(size_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKAS: Windows = Windows { count: 11, size_ms: 1000 };

    #[test]
    fn a_burst_passes_and_the_limit_holds_from_then_on() {
        let mut rate = Rate::new(10, KAFKAS);
        let mut now = Timestamp(5_000);
        // Ten windows' worth.
        assert_eq!((0..100).map(|_| rate.record(now)).max(), Some(0));
        for late in 1..=5 {
            assert_eq!(rate.record(now), 100 * late, "event {late} beyond the limit");
        }
        // Until the burst leaves the window, the longest wait is all that comes; who waits as told goes at the limit.
        let mut taken_until = |end| {
            let mut taken = 0;
            while now < Timestamp(end) {
                now = now.plus_ms(rate.record(now).max(1));
                taken += 1;
            }
            taken
        };
        assert_eq!(taken_until(15_000), 14);
        let taken = taken_until(215_000);
        assert!((1_900..=2_000).contains(&taken), "{taken} in 200 seconds at 10 a second");
    }

    #[test]
    fn a_wait_is_a_window_at_most_and_quiet_times_are_forgotten() {
        let mut none = Rate::new(0, KAFKAS);
        assert_eq!((none.record(Timestamp(0)), none.record(Timestamp(1))), (1000, 1000));
        let mut rate = Rate::new(1, KAFKAS);
        let waits: Vec<i64> = (0..12).map(|_| rate.record(Timestamp(0))).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 1000]);
        assert_eq!(rate.record(Timestamp(11_000)), 0, "the burst has left the window");
        let mut unlimited = Rate::new(i32::MAX.into(), KAFKAS);
        assert!((0..1000).all(|_| unlimited.record(Timestamp(0)) == 0));
        assert_eq!(unlimited.samples.len(), 1);
    }
}
