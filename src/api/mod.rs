//! THE TABLE: what this broker speaks, one row an API, one file a handler.
//!
//! Dispatch, ApiVersions, metrics and the list of open APIs in the map derive from it. A handler takes a decoded
//! request and returns an [`Answer`]; errors are codes inside it. Knows nothing of sockets.

pub mod allocate_producer_ids;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod consumer_group;
pub mod controlled_shutdown;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod fetch;
pub mod fetch_convert;
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
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod refuse;
pub mod refuse_transactions;
pub mod stop_replica;
pub mod sync_group;
pub mod update_features;
pub mod update_metadata;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::Broker;
use crate::protocol::api_key::ApiKey;
use crate::protocol::frame::{Frame, encode_response};
use crate::protocol::header::RequestHeader;
use crate::protocol::message::Message;
use crate::protocol::messages::Request;
use crate::protocol::wire::Reader;

/// Who asks, as far as the connection knows.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Listener the connection came in on.
    pub listener: Arc<str>,
    /// The peer.
    pub peer: SocketAddr,
}

impl Caller {
    /// A caller on a listener without authentication.
    pub fn new(listener: Arc<str>, peer: SocketAddr) -> Caller {
        Caller { listener, peer }
    }

    /// The peer's address as Java prints it (`/127.0.0.1`), which is how group records hold it.
    pub fn java_host(&self) -> String {
        match self.peer.ip().to_canonical() {
            IpAddr::V4(address) => format!("/{address}"),
            IpAddr::V6(address) => {
                let groups: Vec<String> =
                    address.segments().iter().map(|group| format!("{group:x}")).collect();
                format!("/{}", groups.join(":"))
            }
        }
    }
}

/// One request on its way: who asks, and what its header says.
#[derive(Debug)]
pub struct Call<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Version of the request.
    pub version: i16,
    /// The client's name for itself; empty when it gives none.
    pub client_id: &'a str,
}

/// A future that a connection keeps while it serves the next requests.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler gives.
pub enum Answer<R> {
    /// The response.
    Now(R),
    /// The response, after some waiting that needs nothing of the connection.
    Later(Later<R>),
    /// No response (acks = 0).
    Nothing,
    /// The protocol has no answer but to close, for this reason.
    Close(String),
}

/// The same, encoded.
pub enum Reply {
    /// Send this.
    Respond(Frame),
    /// Send what this gives, in its turn; nothing when it gives nothing.
    Later(Later<Option<Frame>>),
    /// Send nothing.
    Nothing,
    /// Close, for this reason.
    Close(String),
}

/// Serves one frame (without its size).
pub async fn dispatch(broker: &Arc<Broker>, caller: &Caller, frame: Bytes) -> Reply {
    let mut reader = Reader::new(frame);
    let (header, key) = match RequestHeader::decode(&mut reader) {
        Ok(decoded) => decoded,
        Err(error) => return Reply::Close(format!("a request header cannot be read: {error}")),
    };
    if !key.versions().contains(&header.api_version) {
        if key == ApiKey::ApiVersions {
            // The one question that a client from another time may ask: answered in the layout all of them know.
            return respond(key, 0, header.correlation_id, &api_versions::unsupported());
        }
        return Reply::Close(format!(
            "{} version {} is not one of {:?}; the client should ask ApiVersions first",
            key.name(),
            header.api_version,
            key.versions()
        ));
    }
    broker.metrics.requests.count(key);
    serve(broker, caller, key, &header, reader).await
}

/// Decodes, calls the handler, encodes.
async fn answer<'a, R, F, A>(call: (&'a Caller, &'a RequestHeader), mut reader: Reader, handler: F) -> Reply
where
    R: Request,
    F: FnOnce(R, Call<'a>) -> A,
    A: Future<Output = Answer<R::Response>>,
    R::Response: Send + 'static,
{
    let (caller, header) = call;
    let version = header.api_version;
    let request = match R::decode(&mut reader, version) {
        Ok(request) => request,
        Err(error) => return Reply::Close(format!("{} version {version} cannot be read: {error}", R::NAME)),
    };
    let client_id = header.client_id.as_deref().unwrap_or("");
    let correlation_id = header.correlation_id;
    match handler(request, Call { caller, version, client_id }).await {
        Answer::Now(response) => respond(R::KEY, version, correlation_id, &response),
        Answer::Later(response) => Reply::Later(Box::pin(async move {
            let response = response.await;
            encode_response(R::KEY, version, correlation_id, &response)
                .inspect_err(|error| tracing::error!(api = R::NAME, %error, "an answer cannot be written"))
                .ok()
        })),
        Answer::Nothing => Reply::Nothing,
        Answer::Close(why) => Reply::Close(why),
    }
}

fn respond<M: Message>(key: ApiKey, version: i16, correlation_id: i32, response: &M) -> Reply {
    match encode_response(key, version, correlation_id, response) {
        Ok(frame) => Reply::Respond(frame),
        Err(error) => Reply::Close(format!("the answer to {} cannot be written: {error}", key.name())),
    }
}

/// One row an API: its key, its handler, and whether it does what Kafka's does (`served`) or refuses in Kafka's
/// words because the part behind it is not built yet (`open`).
macro_rules! api_table {
    ($($key:ident $status:ident $($handler:ident)::+;)*) => {
        async fn serve(broker: &Arc<Broker>, caller: &Caller, key: ApiKey, header: &RequestHeader, reader: Reader) -> Reply {
            match key {
                // Boxed, so that a connection's own future stays as small as its hottest handlers.
                $(ApiKey::$key => api_table!(@call $key, (caller, header), reader, |request, call| $($handler)::+(broker, request, call)),)*
            }
        }

        /// Every API with its status, in the order of the table.
        pub const TABLE: &[(ApiKey, &str)] = &[$((ApiKey::$key, stringify!($status)),)*];
    };
    (@call Produce, $call:expr, $reader:expr, $handler:expr) => { answer($call, $reader, $handler).await };
    (@call Fetch, $call:expr, $reader:expr, $handler:expr) => { answer($call, $reader, $handler).await };
    (@call $key:ident, $call:expr, $reader:expr, $handler:expr) => { Box::pin(answer($call, $reader, $handler)).await };
}

api_table! {
    Produce served produce::handle;
    Fetch served fetch::handle;
    ListOffsets served list_offsets::handle;
    Metadata served metadata::handle;
    LeaderAndIsr served leader_and_isr::handle;
    StopReplica served stop_replica::handle;
    UpdateMetadata served update_metadata::handle;
    ControlledShutdown served controlled_shutdown::handle;
    OffsetCommit served offset_commit::handle;
    OffsetFetch served offset_fetch::handle;
    FindCoordinator served find_coordinator::handle;
    JoinGroup served join_group::handle;
    Heartbeat served heartbeat::handle;
    LeaveGroup served leave_group::handle;
    SyncGroup served sync_group::handle;
    DescribeGroups served describe_groups::handle;
    ListGroups served list_groups::handle;
    SaslHandshake open refuse::sasl_handshake;
    ApiVersions served api_versions::handle;
    CreateTopics served create_topics::handle;
    DeleteTopics served delete_topics::handle;
    DeleteRecords served delete_records::handle;
    InitProducerId served init_producer_id::handle;
    OffsetForLeaderEpoch served offset_for_leader_epoch::handle;
    AddPartitionsToTxn open refuse_transactions::add_partitions_to_txn;
    AddOffsetsToTxn open refuse_transactions::add_offsets_to_txn;
    EndTxn open refuse_transactions::end_txn;
    WriteTxnMarkers open refuse_transactions::write_txn_markers;
    TxnOffsetCommit open refuse_transactions::txn_offset_commit;
    DescribeAcls open refuse::describe_acls;
    CreateAcls open refuse::create_acls;
    DeleteAcls open refuse::delete_acls;
    DescribeConfigs served describe_configs::handle;
    AlterConfigs served alter_configs::handle;
    AlterReplicaLogDirs served alter_replica_log_dirs::handle;
    DescribeLogDirs served describe_log_dirs::handle;
    SaslAuthenticate open refuse::sasl_authenticate;
    CreatePartitions served create_partitions::handle;
    CreateDelegationToken open refuse::create_delegation_token;
    RenewDelegationToken open refuse::renew_delegation_token;
    ExpireDelegationToken open refuse::expire_delegation_token;
    DescribeDelegationToken open refuse::describe_delegation_token;
    DeleteGroups served delete_groups::handle;
    ElectLeaders served elect_leaders::handle;
    IncrementalAlterConfigs served incremental_alter_configs::handle;
    AlterPartitionReassignments served alter_partition_reassignments::handle;
    ListPartitionReassignments served list_partition_reassignments::handle;
    OffsetDelete served offset_delete::handle;
    DescribeClientQuotas served describe_client_quotas::handle;
    AlterClientQuotas open refuse::alter_client_quotas;
    DescribeUserScramCredentials served describe_user_scram_credentials::handle;
    AlterUserScramCredentials open refuse::alter_user_scram_credentials;
    AlterPartition served alter_partition::handle;
    UpdateFeatures served update_features::handle;
    Envelope served refuse::envelope;
    DescribeCluster served describe_cluster::handle;
    DescribeProducers served describe_producers::handle;
    DescribeTransactions open refuse_transactions::describe_transactions;
    ListTransactions open refuse_transactions::list_transactions;
    AllocateProducerIds served allocate_producer_ids::handle;
    ConsumerGroupHeartbeat served consumer_group::heartbeat;
    ConsumerGroupDescribe served consumer_group::describe;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_api_once_and_the_map_lists_the_open_ones() {
        let keys: Vec<ApiKey> = TABLE.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ApiKey::ALL, "one row an API, in Kafka's order");
        let map = include_str!("../README.md");
        let section = map.split("## APIs that are open").nth(1).and_then(|rest| rest.split("\n## ").next());
        let section = section.expect("the map has the section");
        for (key, status) in TABLE {
            // Families are named in one word there.
            let family = match key {
                ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => "ACLs",
                ApiKey::CreateDelegationToken
                | ApiKey::RenewDelegationToken
                | ApiKey::ExpireDelegationToken
                | ApiKey::DescribeDelegationToken => "delegation tokens",
                ApiKey::AlterUserScramCredentials => "SCRAM changes",
                key => key.name(),
            };
            let is_word =
                |word: &str| section.split(|c: char| !c.is_alphanumeric()).any(|other| other == word);
            let is_listed = if family.contains(' ') { section.contains(family) } else { is_word(family) };
            let only_in_part = *key == ApiKey::InitProducerId;
            assert_eq!(is_listed && !only_in_part, *status == "open", "{} in src/README.md", key.name());
        }
    }
}
