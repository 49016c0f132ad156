//! The settings of one log: Kafka's topic-level values, parsed.
//!
//! A plain struct: it knows nothing of key names, of where a value came from (topic, broker, default) or of
//! which may change at run time; the config room fills it. A log keeps it behind an `Arc`, so ten thousand
//! logs with equal settings can share one. Defaults are Kafka 3.9's (`LogConfig`, `ServerLogConfigs`).

use crate::protocol::records::batch::Compression;
use crate::protocol::records::batch::TimestampType;

/// What `compression.type` asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum TopicCompression {
    /// Keep what the producer chose.
    #[default]
    Producer,
    /// Store with this codec, whatever the producer chose (`uncompressed` is `Compression::None`).
    Only(Compression),
}

/// Topic-level settings, with Kafka's names in snake case. Times are milliseconds, sizes bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct LogConfig {
    /// A segment is rolled before it would grow beyond this.
    pub segment_bytes: u32,
    /// A segment is rolled when the time between its first batch and the incoming one is longer.
    pub segment_ms: i64,
    /// Upper bound of the random time by which `segment_ms` is shortened, to spread rolls.
    pub segment_jitter_ms: i64,
    /// Oldest segments go while the log is larger; negative means never.
    pub retention_bytes: i64,
    /// Segments whose newest record is older go; negative means never.
    pub retention_ms: i64,
    /// Largest batch a client may write, counting its first 12 bytes.
    pub max_message_bytes: u32,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// Size to which an index may grow; a full index rolls the segment.
    pub segment_index_bytes: u32,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// How long tombstones and markers stay after the first cleaning that met them.
    pub delete_retention_ms: i64,
    /// Records younger than this are not compacted.
    pub min_compaction_lag_ms: i64,
    /// Records older than this are compacted whatever the dirty ratio.
    pub max_compaction_lag_ms: i64,
    /// Share of uncleaned bytes from which a log is worth cleaning.
    pub min_cleanable_dirty_ratio: f64,
    /// Whose timestamps the records carry.
    pub timestamp_type: TimestampType,
    /// How far a record's timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// How far a record's timestamp may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// Codec of stored batches.
    pub compression: TopicCompression,
    /// `compression.gzip.level`, -1 or 1 to 9.
    pub gzip_level: i32,
    /// `compression.lz4.level`, 1 to 17.
    pub lz4_level: i32,
    /// `compression.zstd.level`, -131072 to 22.
    pub zstd_level: i32,
    /// Whether fetches by clients older than the stored format are converted.
    pub downconversion: bool,
    /// A sync after this many appended records.
    pub flush_messages: i64,
    /// A sync when the last one is longer ago, checked by the flush pass.
    pub flush_ms: i64,
    /// How long a file stays, renamed, before it is removed.
    pub file_delete_delay_ms: i64,
    /// Whether a new segment's file is sized at once.
    pub preallocate: bool,
    /// In-sync replicas below which acks=all is refused.
    pub min_insync_replicas: i32,
    /// Whether a replica outside the ISR may be elected.
    pub unclean_leader_election: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            retention_bytes: -1,
            retention_ms: 7 * DAY_MS,
            max_message_bytes: (1 << 20) + 12,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            delete: true,
            compact: false,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            compression: TopicCompression::Producer,
            gzip_level: -1,
            lz4_level: 9,
            zstd_level: 3,
            downconversion: true,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            min_insync_replicas: 1,
            unclean_leader_election: false,
        }
    }
}

impl LogConfig {
    /// Time after which an append rolls the segment, before jitter: `segment_ms`, and for compacted topics
    /// never longer than `max_compaction_lag_ms` (else old records could not be cleaned in time).
    pub fn max_segment_ms(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// A random part of the jitter for a new segment (`randomSegmentJitter`).
    pub fn random_jitter_ms(&self) -> i64 {
        let bound = self.segment_jitter_ms.min(self.segment_ms);
        if bound <= 0 { 0 } else { fastrand::i64(0..bound) }
    }
}
