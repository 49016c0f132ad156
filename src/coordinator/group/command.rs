//! What a group shard is asked and what it answers: plain types close to the wire messages.
//!
//! Behaviour that depends on a request's version is an explicit field, so that no API version gets in here.
//! Authorisation and the existence of topics are the caller's matter. Knows nothing of how commands are handled.

use std::sync::Arc;

use bytes::Bytes;

use super::describe::{Description, ListGroups, ListedGroup};
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;

/// A request to the shard that owns the group.
#[derive(Clone, Debug)]
pub enum Command {
    /// JoinGroup.
    JoinGroup(JoinGroup),
    /// SyncGroup.
    SyncGroup(SyncGroup),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    LeaveGroup(LeaveGroup),
    /// OffsetCommit, and TxnOffsetCommit when it carries a transaction.
    OffsetCommit(OffsetCommit),
    /// OffsetFetch of one group.
    OffsetFetch(OffsetFetch),
    /// OffsetDelete.
    OffsetDelete(OffsetDelete),
    /// DescribeGroups, one group: its id.
    DescribeGroup(String),
    /// ListGroups, this shard's part.
    ListGroups(ListGroups),
    /// DeleteGroups, one group: its id.
    DeleteGroup(String),
    /// These topics exist no more; their offsets go.
    TopicsDeleted(Vec<Arc<str>>),
    /// The periodic removal of expired offsets and dead groups.
    ExpireOffsets,
}

/// A protocol (assignor) a member can speak, with what it says in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, for example `range`.
    pub name: Arc<str>,
    /// Opaque; for consumers a subscription.
    pub metadata: Bytes,
}

/// A member asks to be part of the next generation.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group.
    pub group_id: String,
    /// Empty for a newcomer.
    pub member_id: String,
    /// `group.instance.id` of a static member (v5+).
    pub group_instance_id: Option<String>,
    /// v4+ without instance id: a newcomer is first told its id (KIP-394).
    pub require_known_member_id: bool,
    /// v9+: a returning static leader may be told to skip the assignment (KIP-814).
    pub supports_skip_assignment: bool,
    /// From the request header.
    pub client_id: String,
    /// As Java prints an address: `/10.1.2.3`.
    pub client_host: String,
    /// How long a rebalance may wait for this member; v0 sends none, then the session timeout.
    pub rebalance_timeout_ms: i32,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// `consumer`, `connect`, ...
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// The random part of the member id, should one be needed.
    pub fresh_id: Uuid,
}

/// The leader hands in the assignments; everybody fetches their own.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// The group.
    pub group_id: String,
    /// The member's generation.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Static member's instance (v3+).
    pub group_instance_id: Option<String>,
    /// v5+: both protocol fields must be there.
    pub require_protocol: bool,
    /// v5+.
    pub protocol_type: Option<String>,
    /// v5+.
    pub protocol_name: Option<String>,
    /// Member id and assignment, from the leader.
    pub assignments: Vec<(String, Bytes)>,
}

/// A sign of life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group_id: String,
    /// The member's generation.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Static member's instance (v3+).
    pub group_instance_id: Option<String>,
}

/// Members leave, or are removed by an administrator.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// The group.
    pub group_id: String,
    /// One entry below v3.
    pub members: Vec<LeavingMember>,
}

/// One entry of a LeaveGroup request, and with its error one of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Empty to remove whoever holds the instance id.
    pub member_id: String,
    /// Static member's instance.
    pub group_instance_id: Option<String>,
}

/// Offsets to remember.
#[derive(Clone, Debug)]
pub struct OffsetCommit {
    /// The group; may be empty.
    pub group_id: String,
    /// Negative from consumers outside of group management.
    pub generation_id: i32,
    /// Empty from consumers outside of group management.
    pub member_id: String,
    /// Static member's instance (v7+).
    pub group_instance_id: Option<String>,
    /// v2-v4: how long to keep the offsets, instead of the broker's retention.
    pub retention_ms: Option<i64>,
    /// Producer id and epoch of a TxnOffsetCommit.
    pub transaction: Option<(i64, i16)>,
    /// By topic.
    pub topics: Vec<CommitTopic>,
}

/// One topic of an OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    /// Topic name.
    pub name: Arc<str>,
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// One partition of an OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// Partition index.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 unknown (v6+).
    pub leader_epoch: i32,
    /// The client's note; null means empty.
    pub metadata: Option<String>,
    /// v1 only: the time to store; otherwise now.
    pub commit_timestamp: Option<Timestamp>,
}

/// Asks for committed offsets of one group.
#[derive(Clone, Debug)]
pub struct OffsetFetch {
    /// The group; may be empty.
    pub group_id: String,
    /// Topics and partitions; `None` for all that are committed.
    pub topics: Option<Vec<(Arc<str>, Vec<i32>)>>,
    /// v7+: refuse a partition whose commit is still undecided (KIP-447).
    pub require_stable: bool,
}

/// Offsets to forget.
#[derive(Clone, Debug)]
pub struct OffsetDelete {
    /// The group.
    pub group_id: String,
    /// Topics and partitions.
    pub topics: Vec<(Arc<str>, Vec<i32>)>,
}

/// The answer to a [`Command`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To JoinGroup.
    JoinGroup(JoinGroupReply),
    /// To SyncGroup.
    SyncGroup(SyncGroupReply),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To LeaveGroup.
    LeaveGroup(LeaveGroupReply),
    /// To OffsetCommit.
    OffsetCommit(Vec<TopicErrors>),
    /// To OffsetFetch: the group's error, and nothing or every partition.
    OffsetFetch(ErrorCode, Vec<FetchedTopic>),
    /// To OffsetDelete.
    OffsetDelete(OffsetDeleteReply),
    /// To DescribeGroup.
    DescribeGroup(Description),
    /// To ListGroups.
    ListGroups(ErrorCode, Vec<ListedGroup>),
    /// To DeleteGroup.
    DeleteGroup(ErrorCode),
    /// To TopicsDeleted and ExpireOffsets: how many offsets were removed.
    Removed(usize),
}

/// The generation a member is part of, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupReply {
    /// What went wrong.
    pub error: ErrorCode,
    /// -1 on errors.
    pub generation_id: i32,
    /// The group's kind.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol; below v7 a null is sent as the empty string.
    pub protocol_name: Option<Arc<str>>,
    /// Empty on errors.
    pub leader: Arc<str>,
    /// The leader need not assign: the group is stable as it is.
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: Arc<str>,
    /// All members, for the leader; else none.
    pub members: Vec<JoinedMember>,
}

impl JoinGroupReply {
    /// A refusal.
    pub fn error(member_id: impl Into<Arc<str>>, error: ErrorCode) -> JoinGroupReply {
        JoinGroupReply {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// What the leader learns of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if static.
    pub group_instance_id: Option<Arc<str>>,
    /// What it says in the chosen protocol.
    pub metadata: Bytes,
}

/// A member's assignment, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupReply {
    /// What went wrong.
    pub error: ErrorCode,
    /// v5+.
    pub protocol_type: Option<Arc<str>>,
    /// v5+.
    pub protocol_name: Option<Arc<str>>,
    /// Opaque bytes from the leader; empty on errors.
    pub assignment: Bytes,
}

impl SyncGroupReply {
    /// A refusal.
    pub fn error(error: ErrorCode) -> SyncGroupReply {
        SyncGroupReply { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// The answer to LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupReply {
    /// Of the whole request.
    pub error: ErrorCode,
    /// In request order; empty when the whole request failed.
    pub members: Vec<(LeavingMember, ErrorCode)>,
}

/// Errors by partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicErrors {
    /// Topic name.
    pub name: Arc<str>,
    /// Partition and its error.
    pub partitions: Vec<(i32, ErrorCode)>,
}

/// One topic of an OffsetFetch answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Topic name.
    pub name: Arc<str>,
    /// Its partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// Partition index.
    pub partition: i32,
    /// -1 when nothing is committed or on errors.
    pub offset: i64,
    /// -1 unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: Arc<str>,
    /// What went wrong.
    pub error: ErrorCode,
}

/// The answer to OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteReply {
    /// Of the whole request; then there are no partitions.
    pub error: ErrorCode,
    /// By partition.
    pub topics: Vec<TopicErrors>,
}

impl Command {
    /// The answer to a command that was not let in, as Kafka words it for each API. While the shard loads,
    /// SyncGroup is told to rejoin and Heartbeat that all is well, for old clients know no better.
    pub fn refuse(self, code: ErrorCode) -> Reply {
        let loading = code == ErrorCode::CoordinatorLoadInProgress;
        match self {
            Command::JoinGroup(join) => Reply::JoinGroup(JoinGroupReply::error(join.member_id, code)),
            Command::SyncGroup(_) if loading => {
                Reply::SyncGroup(SyncGroupReply::error(ErrorCode::RebalanceInProgress))
            }
            Command::SyncGroup(_) => Reply::SyncGroup(SyncGroupReply::error(code)),
            Command::Heartbeat(_) if loading => Reply::Heartbeat(ErrorCode::None),
            Command::Heartbeat(_) => Reply::Heartbeat(code),
            Command::LeaveGroup(_) => Reply::LeaveGroup(LeaveGroupReply { error: code, members: Vec::new() }),
            Command::OffsetCommit(commit) => Reply::OffsetCommit(commit.all_partitions(code)),
            Command::OffsetFetch(_) => Reply::OffsetFetch(code, Vec::new()),
            Command::OffsetDelete(_) => {
                Reply::OffsetDelete(OffsetDeleteReply { error: code, topics: Vec::new() })
            }
            Command::DescribeGroup(group_id) => Reply::DescribeGroup(Description::error(group_id, code)),
            Command::ListGroups(_) => Reply::ListGroups(code, Vec::new()),
            Command::DeleteGroup(_) => Reply::DeleteGroup(code),
            Command::TopicsDeleted(_) | Command::ExpireOffsets => Reply::Removed(0),
        }
    }
}

impl OffsetCommit {
    /// The same answer for every partition.
    pub(super) fn all_partitions(&self, code: ErrorCode) -> Vec<TopicErrors> {
        self.topics
            .iter()
            .map(|topic| TopicErrors {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().map(|asked| (asked.partition, code)).collect(),
            })
            .collect()
    }
}

impl Reply {
    /// This answer when what it promised was not written: every success in it becomes `code`. Answers that
    /// promise nothing durable stay as they are.
    pub(super) fn not_written(self, code: ErrorCode) -> Reply {
        let blame = |topics: &mut Vec<TopicErrors>| {
            for (_, error) in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                if error.is_none() {
                    *error = code;
                }
            }
        };
        match self {
            Reply::OffsetCommit(mut topics) => {
                blame(&mut topics);
                Reply::OffsetCommit(topics)
            }
            Reply::OffsetDelete(mut reply) => {
                blame(&mut reply.topics);
                Reply::OffsetDelete(reply)
            }
            Reply::DeleteGroup(ErrorCode::None) => Reply::DeleteGroup(code),
            Reply::Removed(_) => Reply::Removed(0),
            other => other,
        }
    }
}
