//! The 62 APIs a Kafka 3.9 broker serves in ZooKeeper mode: numbers, names, versions, header layouts.
//!
//! One row an API. Knows nothing of who may call them nor of their fields. Source: `ApiKeys`,
//! `ApiMessageType`; numbers outside this table (KRaft, telemetry, share groups) are unknown here and end
//! the connection.

use std::fmt;
use std::ops::RangeInclusive;

macro_rules! api_keys {
    ($($number:literal $name:ident $first:literal ..= $last:literal flexible $flexible:tt;)*) => {
        /// One API of the protocol.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("API ", $number, ".")] $name = $number,)*
        }

        impl ApiKey {
            /// Every API, by ascending number.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this number on the wire.
            pub fn from_number(number: i16) -> Option<ApiKey> {
                match number {
                    $($number => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of it.
            pub fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The versions this broker speaks.
            pub fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(ApiKey::$name => $first..=$last,)*
                }
            }

            /// First version with compact lengths and tag buffers, if there is one.
            pub fn first_flexible(self) -> Option<i16> {
                match self {
                    $(ApiKey::$name => first_flexible!($flexible),)*
                }
            }
        }
    };
}

macro_rules! first_flexible {
    (none) => {
        None
    };
    ($first:literal) => {
        Some($first)
    };
}

api_keys! {
    0 Produce 0..=11 flexible 9;
    1 Fetch 0..=17 flexible 12;
    2 ListOffsets 0..=9 flexible 6;
    3 Metadata 0..=12 flexible 9;
    4 LeaderAndIsr 0..=7 flexible 4;
    5 StopReplica 0..=4 flexible 2;
    6 UpdateMetadata 0..=8 flexible 6;
    7 ControlledShutdown 0..=3 flexible 3;
    8 OffsetCommit 0..=9 flexible 8;
    9 OffsetFetch 0..=9 flexible 6;
    10 FindCoordinator 0..=6 flexible 3;
    11 JoinGroup 0..=9 flexible 6;
    12 Heartbeat 0..=4 flexible 4;
    13 LeaveGroup 0..=5 flexible 4;
    14 SyncGroup 0..=5 flexible 4;
    15 DescribeGroups 0..=5 flexible 5;
    16 ListGroups 0..=5 flexible 3;
    17 SaslHandshake 0..=1 flexible none;
    18 ApiVersions 0..=4 flexible 3;
    19 CreateTopics 0..=7 flexible 5;
    20 DeleteTopics 0..=6 flexible 4;
    21 DeleteRecords 0..=2 flexible 2;
    22 InitProducerId 0..=5 flexible 2;
    23 OffsetForLeaderEpoch 0..=4 flexible 4;
    24 AddPartitionsToTxn 0..=5 flexible 3;
    25 AddOffsetsToTxn 0..=4 flexible 3;
    26 EndTxn 0..=4 flexible 3;
    27 WriteTxnMarkers 0..=1 flexible 1;
    28 TxnOffsetCommit 0..=4 flexible 3;
    29 DescribeAcls 0..=3 flexible 2;
    30 CreateAcls 0..=3 flexible 2;
    31 DeleteAcls 0..=3 flexible 2;
    32 DescribeConfigs 0..=4 flexible 4;
    33 AlterConfigs 0..=2 flexible 2;
    34 AlterReplicaLogDirs 0..=2 flexible 2;
    35 DescribeLogDirs 0..=4 flexible 2;
    36 SaslAuthenticate 0..=2 flexible 2;
    37 CreatePartitions 0..=3 flexible 2;
    38 CreateDelegationToken 0..=3 flexible 2;
    39 RenewDelegationToken 0..=2 flexible 2;
    40 ExpireDelegationToken 0..=2 flexible 2;
    41 DescribeDelegationToken 0..=3 flexible 2;
    42 DeleteGroups 0..=2 flexible 2;
    43 ElectLeaders 0..=2 flexible 2;
    44 IncrementalAlterConfigs 0..=1 flexible 1;
    45 AlterPartitionReassignments 0..=0 flexible 0;
    46 ListPartitionReassignments 0..=0 flexible 0;
    47 OffsetDelete 0..=0 flexible none;
    48 DescribeClientQuotas 0..=1 flexible 1;
    49 AlterClientQuotas 0..=1 flexible 1;
    50 DescribeUserScramCredentials 0..=0 flexible 0;
    51 AlterUserScramCredentials 0..=0 flexible 0;
    56 AlterPartition 0..=3 flexible 0;
    57 UpdateFeatures 0..=1 flexible 0;
    58 Envelope 0..=0 flexible 0;
    60 DescribeCluster 0..=1 flexible 0;
    61 DescribeProducers 0..=0 flexible 0;
    65 DescribeTransactions 0..=0 flexible 0;
    66 ListTransactions 0..=1 flexible 0;
    67 AllocateProducerIds 0..=0 flexible 0;
    68 ConsumerGroupHeartbeat 0..=0 flexible 0;
    69 ConsumerGroupDescribe 0..=0 flexible 0;
}

impl ApiKey {
    /// Its number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Whether `version` has compact lengths and tag buffers.
    pub fn is_flexible(self, version: i16) -> bool {
        self.first_flexible().is_some_and(|first| version >= first)
    }

    /// Header version of a request: 2 when flexible, 0 for the oldest ControlledShutdown (no client id),
    /// else 1.
    pub fn request_header_version(self, version: i16) -> i16 {
        match self {
            _ if self.is_flexible(version) => 2,
            ApiKey::ControlledShutdown if version == 0 => 0,
            _ => 1,
        }
    }

    /// Header version of a response: 1 when flexible, else 0; ApiVersions always 0, so that a client that
    /// knows nothing of the broker can read it (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != ApiKey::ApiVersions && self.is_flexible(version))
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
