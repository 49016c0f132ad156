//! One file per API: its request and its response in every version of Kafka 3.9.
//!
//! Requests and responses are re-exported here; the structures inside them are reached through their API's
//! module (`fetch::FetchTopic`), because Kafka uses some names twice. [`APIS`] is the table of all of them
//! for code that handles any message: tests, fuzzing, the request log. Knows nothing of who answers what.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::Value;

use super::api_key::ApiKey;
use super::frame::Chunk;
use super::message::{Field, Kind, Message};
use super::wire::{Reader, WireError, Writer};

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod allocate_producer_ids;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol;
pub mod controlled_shutdown;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
pub mod default_principal;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod envelope;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leader_and_isr;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod renew_delegation_token;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod stop_replica;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod update_metadata;
pub mod write_txn_markers;

/// A message that asks; names its API and the message that answers.
pub trait Request: Message {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// What the broker answers.
    type Response: Message;
}

/// One message without its type: what can be done with its bytes alone.
#[derive(Debug, Clone)]
pub struct Codec {
    /// Kafka's name of the message.
    pub name: &'static str,
    /// The versions that exist.
    pub versions: RangeInclusive<i16>,
    /// First flexible version; `i16::MAX` when there is none.
    pub first_flexible: i16,
    /// The layout of its fields.
    pub kind: Kind,
    /// Reads a body and leaves the reader behind it.
    pub decode: fn(&mut Reader, i16) -> Decoded,
}

/// A message of any type, or why there is none.
pub type Decoded = Result<Box<dyn AnyMessage>, WireError>;

/// A decoded message whose type is forgotten.
pub trait AnyMessage {
    /// [`Message::encode`].
    fn write_to(&self, writer: &mut Writer, version: i16) -> Result<(), WireError>;
    /// [`Message::to_json`].
    fn print(&self, version: i16) -> Result<Value, WireError>;
}

impl<M: Message> AnyMessage for M {
    fn write_to(&self, writer: &mut Writer, version: i16) -> Result<(), WireError> {
        self.encode(writer, version)
    }

    fn print(&self, version: i16) -> Result<Value, WireError> {
        self.to_json(version)
    }
}

impl Codec {
    /// The codec of a message.
    pub const fn of<M: Message + 'static>() -> Codec {
        Codec {
            name: M::NAME,
            versions: M::VERSIONS,
            first_flexible: M::FIRST_FLEXIBLE,
            kind: <M as Field>::KIND,
            decode: decode::<M>,
        }
    }

    /// Reads a whole body, to its last byte.
    pub fn read(&self, body: Bytes, version: i16) -> Decoded {
        let mut reader = Reader::new(body);
        let message = (self.decode)(&mut reader, version)?;
        reader.expect_end()?;
        Ok(message)
    }

    /// Reads a whole body in version `from` and writes it in version `to`.
    pub fn recode(&self, body: Bytes, from: i16, to: i16) -> Result<Vec<Chunk>, WireError> {
        let mut writer = Writer::default();
        self.read(body, from)?.write_to(&mut writer, to)?;
        writer.finish()
    }
}

fn decode<M: Message + 'static>(reader: &mut Reader, version: i16) -> Decoded {
    Ok(Box::new(M::decode(reader, version)?))
}

macro_rules! apis {
    ($($key:ident: $request:ident => $response:ident in $module:ident;)*) => {
        $(
            pub use $module::{$request, $response};

            impl Request for $request {
                const KEY: ApiKey = ApiKey::$key;
                type Response = $response;
            }
        )*

        /// Every API with its request and its response, by ascending number.
        pub static APIS: &[(ApiKey, Codec, Codec)] = &[
            $((ApiKey::$key, Codec::of::<$request>(), Codec::of::<$response>()),)*
        ];
    };
}

apis! {
    Produce: ProduceRequest => ProduceResponse in produce;
    Fetch: FetchRequest => FetchResponse in fetch;
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse in list_offsets;
    Metadata: MetadataRequest => MetadataResponse in metadata;
    LeaderAndIsr: LeaderAndIsrRequest => LeaderAndIsrResponse in leader_and_isr;
    StopReplica: StopReplicaRequest => StopReplicaResponse in stop_replica;
    UpdateMetadata: UpdateMetadataRequest => UpdateMetadataResponse in update_metadata;
    ControlledShutdown: ControlledShutdownRequest => ControlledShutdownResponse in controlled_shutdown;
    OffsetCommit: OffsetCommitRequest => OffsetCommitResponse in offset_commit;
    OffsetFetch: OffsetFetchRequest => OffsetFetchResponse in offset_fetch;
    FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse in find_coordinator;
    JoinGroup: JoinGroupRequest => JoinGroupResponse in join_group;
    Heartbeat: HeartbeatRequest => HeartbeatResponse in heartbeat;
    LeaveGroup: LeaveGroupRequest => LeaveGroupResponse in leave_group;
    SyncGroup: SyncGroupRequest => SyncGroupResponse in sync_group;
    DescribeGroups: DescribeGroupsRequest => DescribeGroupsResponse in describe_groups;
    ListGroups: ListGroupsRequest => ListGroupsResponse in list_groups;
    SaslHandshake: SaslHandshakeRequest => SaslHandshakeResponse in sasl_handshake;
    ApiVersions: ApiVersionsRequest => ApiVersionsResponse in api_versions;
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse in create_topics;
    DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse in delete_topics;
    DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse in delete_records;
    InitProducerId: InitProducerIdRequest => InitProducerIdResponse in init_producer_id;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse
        in offset_for_leader_epoch;
    AddPartitionsToTxn: AddPartitionsToTxnRequest => AddPartitionsToTxnResponse in add_partitions_to_txn;
    AddOffsetsToTxn: AddOffsetsToTxnRequest => AddOffsetsToTxnResponse in add_offsets_to_txn;
    EndTxn: EndTxnRequest => EndTxnResponse in end_txn;
    WriteTxnMarkers: WriteTxnMarkersRequest => WriteTxnMarkersResponse in write_txn_markers;
    TxnOffsetCommit: TxnOffsetCommitRequest => TxnOffsetCommitResponse in txn_offset_commit;
    DescribeAcls: DescribeAclsRequest => DescribeAclsResponse in describe_acls;
    CreateAcls: CreateAclsRequest => CreateAclsResponse in create_acls;
    DeleteAcls: DeleteAclsRequest => DeleteAclsResponse in delete_acls;
    DescribeConfigs: DescribeConfigsRequest => DescribeConfigsResponse in describe_configs;
    AlterConfigs: AlterConfigsRequest => AlterConfigsResponse in alter_configs;
    AlterReplicaLogDirs: AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse in alter_replica_log_dirs;
    DescribeLogDirs: DescribeLogDirsRequest => DescribeLogDirsResponse in describe_log_dirs;
    SaslAuthenticate: SaslAuthenticateRequest => SaslAuthenticateResponse in sasl_authenticate;
    CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse in create_partitions;
    CreateDelegationToken: CreateDelegationTokenRequest => CreateDelegationTokenResponse
        in create_delegation_token;
    RenewDelegationToken: RenewDelegationTokenRequest => RenewDelegationTokenResponse
        in renew_delegation_token;
    ExpireDelegationToken: ExpireDelegationTokenRequest => ExpireDelegationTokenResponse
        in expire_delegation_token;
    DescribeDelegationToken: DescribeDelegationTokenRequest => DescribeDelegationTokenResponse
        in describe_delegation_token;
    DeleteGroups: DeleteGroupsRequest => DeleteGroupsResponse in delete_groups;
    ElectLeaders: ElectLeadersRequest => ElectLeadersResponse in elect_leaders;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse
        in incremental_alter_configs;
    AlterPartitionReassignments: AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse
        in alter_partition_reassignments;
    ListPartitionReassignments: ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse
        in list_partition_reassignments;
    OffsetDelete: OffsetDeleteRequest => OffsetDeleteResponse in offset_delete;
    DescribeClientQuotas: DescribeClientQuotasRequest => DescribeClientQuotasResponse
        in describe_client_quotas;
    AlterClientQuotas: AlterClientQuotasRequest => AlterClientQuotasResponse in alter_client_quotas;
    DescribeUserScramCredentials: DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse
        in describe_user_scram_credentials;
    AlterUserScramCredentials: AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse
        in alter_user_scram_credentials;
    AlterPartition: AlterPartitionRequest => AlterPartitionResponse in alter_partition;
    UpdateFeatures: UpdateFeaturesRequest => UpdateFeaturesResponse in update_features;
    Envelope: EnvelopeRequest => EnvelopeResponse in envelope;
    DescribeCluster: DescribeClusterRequest => DescribeClusterResponse in describe_cluster;
    DescribeProducers: DescribeProducersRequest => DescribeProducersResponse in describe_producers;
    DescribeTransactions: DescribeTransactionsRequest => DescribeTransactionsResponse
        in describe_transactions;
    ListTransactions: ListTransactionsRequest => ListTransactionsResponse in list_transactions;
    AllocateProducerIds: AllocateProducerIdsRequest => AllocateProducerIdsResponse in allocate_producer_ids;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse
        in consumer_group_heartbeat;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse
        in consumer_group_describe;
}
