//! What a performance test of a producer has seen so far, and the lines it prints: one every five seconds, one at the end.
//!
//! Times are milliseconds and come from the caller. Percentiles are of at most a million samples. Source:
//! `ProducerPerformance.Stats`.

use super::super::output::print;

/// Between two lines.
const WINDOW_MS: i64 = 5_000;
/// From so many records on only some are samples.
const SAMPLES: u64 = 500_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Records that were handed over in the same millisecond.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at_ms: i64,
    /// How many.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// Sums over some time.
#[derive(Debug, Default)]
struct Sums {
    start_ms: i64,
    records: u64,
    bytes: u64,
    latency_ms: u64,
    latency_max_ms: u64,
}

impl Sums {
    fn add(&mut self, mark: &Mark, latency_ms: u64) {
        self.records += mark.records;
        self.bytes += mark.bytes;
        self.latency_ms += latency_ms * mark.records;
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
    }

    /// Records a second, MB a second, average latency.
    fn rates(&self, now_ms: i64) -> (f64, f64, f64) {
        let elapsed = (now_ms - self.start_ms) as f64;
        let (records, bytes) = (self.records as f64, self.bytes as f64);
        (1_000.0 * records / elapsed, 1_000.0 * bytes / elapsed / MIB, self.latency_ms as f64 / records)
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Stats {
    total: Sums,
    window: Sums,
    every: u64,
    samples: Vec<u32>,
    /// What the client did, for `--print-metrics`.
    pub counts: Counts,
}

/// What a producer counts besides.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Batches written.
    pub batches: u64,
    /// Their bytes.
    pub batch_bytes: u64,
    /// Records that were lost.
    pub errors: u64,
    /// Records that were sent again.
    pub retries: u64,
}

impl Stats {
    /// Those of a test of `records` records that begins now.
    pub fn new(records: u64, now_ms: i64) -> Stats {
        let sums = || Sums { start_ms: now_ms, ..Sums::default() };
        let every = (records / records.clamp(1, SAMPLES)).max(1);
        Stats { total: sums(), window: sums(), every, samples: Vec::new(), counts: Counts::default() }
    }

    /// The records of `marks` arrived; says how the last seconds were, if it is time.
    pub fn arrived(&mut self, marks: &[Mark], now_ms: i64) -> Result<(), String> {
        for mark in marks {
            let latency = u64::try_from(now_ms - mark.at_ms).unwrap_or(0);
            // Of the records numbered from here every so many-th is a sample.
            let first = self.total.records.next_multiple_of(self.every);
            let samples = (self.total.records + mark.records).saturating_sub(first).div_ceil(self.every);
            let sample = u32::try_from(latency).unwrap_or(u32::MAX);
            self.samples.resize(self.samples.len() + samples as usize, sample);
            self.total.add(mark, latency);
            self.window.add(mark, latency);
        }
        if now_ms - self.window.start_ms < WINDOW_MS {
            return Ok(());
        }
        let line = self.window_line(now_ms);
        self.window = Sums { start_ms: now_ms, ..Sums::default() };
        print(&line)
    }

    fn window_line(&self, now_ms: i64) -> String {
        let (records, mb, latency) = self.window.rates(now_ms);
        format!(
            "{} records sent, {} records/sec ({} MB/sec), {latency:.1} ms avg latency, {:.1} ms max latency.",
            self.window.records,
            decimal(records, 1),
            decimal(mb, 2),
            self.window.latency_max_ms as f64
        )
    }

    /// The last line.
    pub fn total_line(&mut self, now_ms: i64) -> String {
        let (records, mb, latency) = self.total.rates(now_ms);
        self.samples.sort_unstable();
        let below = |part: f64| {
            let at = (part * self.samples.len() as f64) as usize;
            self.samples.get(at).copied().unwrap_or(0)
        };
        format!(
            "{} records sent, {} records/sec ({} MB/sec), {latency:.2} ms avg latency, {:.2} ms max latency, {} ms 50th, \
             {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.total.records,
            decimal(records, 6),
            decimal(mb, 2),
            self.total.latency_max_ms as f64,
            below(0.5),
            below(0.95),
            below(0.99),
            below(0.999)
        )
    }

    /// Kafka's names for what was counted.
    pub fn metrics(&self, now_ms: i64) -> Vec<(&'static str, f64)> {
        let (counts, (rate, _, _)) = (&self.counts, self.total.rates(now_ms));
        let records = self.total.records as f64;
        vec![
            ("batch-size-avg", counts.batch_bytes as f64 / counts.batches as f64),
            ("record-error-total", counts.errors as f64),
            ("record-retry-total", counts.retries as f64),
            ("record-send-rate", rate),
            ("record-send-total", records),
            ("records-per-request-avg", records / counts.requests as f64),
            ("request-total", counts.requests as f64),
        ]
    }
}

/// As Java writes it, also where there was no time.
fn decimal(number: f64, digits: usize) -> String {
    if number.is_infinite() { "Infinity".into() } else { format!("{number:.digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kafkas() {
        let mut stats = Stats::new(4, 1_000);
        let mark = |at_ms, records| Mark { at_ms, records, bytes: records * 1024 * 1024 };
        stats.arrived(&[mark(1_000, 1), mark(1_005, 2)], 1_010).unwrap();
        stats.arrived(&[mark(1_900, 1)], 2_000).unwrap();
        assert_eq!(
            stats.total_line(3_000),
            "4 records sent, 2.000000 records/sec (2.00 MB/sec), 30.00 ms avg latency, 100.00 ms max latency, 10 ms \
             50th, 100 ms 95th, 100 ms 99th, 100 ms 99.9th."
        );
        assert_eq!(
            stats.window_line(3_000),
            "4 records sent, 2.0 records/sec (2.00 MB/sec), 30.0 ms avg latency, 100.0 ms max latency."
        );
        let none = Stats::new(1, 0).total_line(10);
        assert!(none.starts_with("0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg"), "{none}");
        let mut quick = Stats::new(1, 7);
        quick.arrived(&[mark(7, 1)], 7).unwrap();
        let line = quick.total_line(7);
        assert!(
            line.starts_with("1 records sent, Infinity records/sec (Infinity MB/sec), 0.00 ms avg"),
            "{line}"
        );
    }

    #[test]
    fn of_many_records_some_are_samples() {
        let mut stats = Stats::new(SAMPLES * 3, 0);
        for at_ms in 0..30 {
            stats.arrived(&[Mark { at_ms, records: 50_001, bytes: 1 }], at_ms + 1).unwrap();
        }
        let all = 30 * 50_001_u64;
        assert_eq!(stats.samples.len() as u64, all.div_ceil(3));
    }
}
