//! Every topic key of Kafka 3.9 (`LogConfig.configDefCopy`).

use super::keys::Check::*;
use super::keys::Kind::*;
use super::keys::Update::*;
use super::keys::{Key, key};

/// Sorted by name.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[Key] = &[
    key("cleanup.policy", List, Some("delete"), ClusterWide, OneOf(&["compact", "delete"])),
    key("compression.gzip.level", Int, Some("-1"), ClusterWide, GzipLevel),
    key("compression.lz4.level", Int, Some("9"), ClusterWide, Between(1.0, 17.0)),
    key("compression.type", Str, Some("producer"), ClusterWide, OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])),
    key("compression.zstd.level", Int, Some("3"), ClusterWide, Between(-131072.0, 22.0)),
    key("delete.retention.ms", Long, Some("86400000"), ClusterWide, AtLeast(0)),
    key("file.delete.delay.ms", Long, Some("60000"), ClusterWide, AtLeast(0)),
    key("flush.messages", Long, Some("9223372036854775807"), ClusterWide, AtLeast(1)),
    key("flush.ms", Long, Some("9223372036854775807"), ClusterWide, AtLeast(0)),
    key("follower.replication.throttled.replicas", List, Some(""), ClusterWide, ThrottledReplicas),
    key("index.interval.bytes", Int, Some("4096"), ClusterWide, AtLeast(0)),
    key("leader.replication.throttled.replicas", List, Some(""), ClusterWide, ThrottledReplicas),
    key("local.retention.bytes", Long, Some("-2"), ClusterWide, AtLeast(-2)),
    key("local.retention.ms", Long, Some("-2"), ClusterWide, AtLeast(-2)),
    key("max.compaction.lag.ms", Long, Some("9223372036854775807"), ClusterWide, AtLeast(1)),
    key("max.message.bytes", Int, Some("1048588"), ClusterWide, AtLeast(0)),
    key("message.downconversion.enable", Bool, Some("true"), ClusterWide, Any),
    key("message.format.version", Str, Some("3.0-IV1"), ClusterWide, MetadataVersion),
    key("message.timestamp.after.max.ms", Long, Some("9223372036854775807"), ClusterWide, AtLeast(0)),
    key("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), ClusterWide, AtLeast(0)),
    key("message.timestamp.difference.max.ms", Long, Some("9223372036854775807"), ClusterWide, AtLeast(0)),
    key("message.timestamp.type", Str, Some("CreateTime"), ClusterWide, OneOf(&["CreateTime", "LogAppendTime"])),
    key("min.cleanable.dirty.ratio", Double, Some("0.5"), ClusterWide, Between(0.0, 1.0)),
    key("min.compaction.lag.ms", Long, Some("0"), ClusterWide, AtLeast(0)),
    key("min.insync.replicas", Int, Some("1"), ClusterWide, AtLeast(1)),
    key("preallocate", Bool, Some("false"), ClusterWide, Any),
    key("remote.log.copy.disable", Bool, Some("false"), ClusterWide, Any),
    key("remote.log.delete.on.disable", Bool, Some("false"), ClusterWide, Any),
    key("remote.storage.enable", Bool, Some("false"), ClusterWide, Any),
    key("retention.bytes", Long, Some("-1"), ClusterWide, Any),
    key("retention.ms", Long, Some("604800000"), ClusterWide, AtLeast(-1)),
    key("segment.bytes", Int, Some("1073741824"), ClusterWide, AtLeast(14)),
    key("segment.index.bytes", Int, Some("10485760"), ClusterWide, AtLeast(4)),
    key("segment.jitter.ms", Long, Some("0"), ClusterWide, AtLeast(0)),
    key("segment.ms", Long, Some("604800000"), ClusterWide, AtLeast(1)),
    key("unclean.leader.election.enable", Bool, Some("false"), ClusterWide, Any),
];
