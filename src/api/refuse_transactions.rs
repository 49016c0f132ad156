//! The requests of transactions, refused because the transaction coordinator is not built yet.
//!
//! Whoever begins or goes on with a transaction is told what InitProducerId tells (`init_producer_id`), which ends the
//! producer at once. Markers come from another broker's coordinator, which must keep the transaction open and try
//! again: NOT_LEADER_OR_FOLLOWER does that (`TransactionMarkerRequestCompletionHandler`). Who asks what transactions
//! there are gets the truth: this coordinator has none.

use std::sync::Arc;

use super::init_producer_id::NO_TRANSACTIONS;
use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::describe_transactions::TransactionState;
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    ListTransactionsRequest, ListTransactionsResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

/// Names of states that ListTransactions may filter by (`TransactionState`).
const STATES: &[&str] = &[
    "CompleteAbort",
    "CompleteCommit",
    "Dead",
    "Empty",
    "Ongoing",
    "PrepareAbort",
    "PrepareCommit",
    "PrepareEpochFence",
];

/// First version of AddPartitionsToTxn that carries several transactions.
const SEVERAL_TRANSACTIONS: i16 = 4;

/// AddPartitionsToTxn.
pub async fn add_partitions_to_txn(
    _broker: &Arc<Broker>,
    request: AddPartitionsToTxnRequest,
    call: Call<'_>,
) -> Answer<AddPartitionsToTxnResponse> {
    Answer::Now(no_partitions(request, call.version))
}

fn no_partitions(request: AddPartitionsToTxnRequest, version: i16) -> AddPartitionsToTxnResponse {
    let refused = |topics: Vec<AddPartitionsToTxnTopic>| -> Vec<AddPartitionsToTxnTopicResult> {
        let topics = topics.into_iter().map(|topic| {
            let partition = |partition_index: i32| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: NO_TRANSACTIONS.code(),
                ..Default::default()
            };
            AddPartitionsToTxnTopicResult {
                name: topic.name,
                results_by_partition: topic.partitions.into_iter().map(partition).collect(),
                ..Default::default()
            }
        });
        topics.collect()
    };
    if version < SEVERAL_TRANSACTIONS {
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: refused(request.v3_and_below_topics),
            ..Default::default()
        };
    }
    let transactions = request.transactions.into_iter().map(|transaction| AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id,
        topic_results: refused(transaction.topics),
        ..Default::default()
    });
    AddPartitionsToTxnResponse { results_by_transaction: transactions.collect(), ..Default::default() }
}

/// AddOffsetsToTxn.
pub async fn add_offsets_to_txn(
    _broker: &Arc<Broker>,
    _request: AddOffsetsToTxnRequest,
    _call: Call<'_>,
) -> Answer<AddOffsetsToTxnResponse> {
    Answer::Now(AddOffsetsToTxnResponse { error_code: NO_TRANSACTIONS.code(), ..Default::default() })
}

/// EndTxn.
pub async fn end_txn(
    _broker: &Arc<Broker>,
    _request: EndTxnRequest,
    _call: Call<'_>,
) -> Answer<EndTxnResponse> {
    Answer::Now(EndTxnResponse { error_code: NO_TRANSACTIONS.code(), ..Default::default() })
}

/// TxnOffsetCommit.
pub async fn txn_offset_commit(
    _broker: &Arc<Broker>,
    request: TxnOffsetCommitRequest,
    _call: Call<'_>,
) -> Answer<TxnOffsetCommitResponse> {
    Answer::Now(no_offsets(request))
}

fn no_offsets(request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| TxnOffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: NO_TRANSACTIONS.code(),
            ..Default::default()
        });
        TxnOffsetCommitResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

/// WriteTxnMarkers.
pub async fn write_txn_markers(
    _broker: &Arc<Broker>,
    request: WriteTxnMarkersRequest,
    _call: Call<'_>,
) -> Answer<WriteTxnMarkersResponse> {
    Answer::Now(no_markers(request))
}

fn no_markers(request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let markers = request.markers.into_iter().map(|marker| {
        let topics = marker.topics.into_iter().map(|topic| {
            let partition = |partition_index: i32| WritableTxnMarkerPartitionResult {
                partition_index,
                error_code: ErrorCode::NotLeaderOrFollower.code(),
                ..Default::default()
            };
            WritableTxnMarkerTopicResult {
                name: topic.name,
                partitions: topic.partition_indexes.into_iter().map(partition).collect(),
                ..Default::default()
            }
        });
        WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: topics.collect(),
            ..Default::default()
        }
    });
    WriteTxnMarkersResponse { markers: markers.collect(), ..Default::default() }
}

/// DescribeTransactions.
pub async fn describe_transactions(
    _broker: &Arc<Broker>,
    request: DescribeTransactionsRequest,
    _call: Call<'_>,
) -> Answer<DescribeTransactionsResponse> {
    Answer::Now(no_descriptions(request))
}

fn no_descriptions(request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let state = |transactional_id: String| {
        let code = match transactional_id.is_empty() {
            true => ErrorCode::InvalidRequest,
            false => ErrorCode::TransactionalIdNotFound,
        };
        TransactionState { error_code: code.code(), transactional_id, ..Default::default() }
    };
    let transaction_states = request.transactional_ids.into_iter().map(state).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

/// ListTransactions.
pub async fn list_transactions(
    _broker: &Arc<Broker>,
    request: ListTransactionsRequest,
    _call: Call<'_>,
) -> Answer<ListTransactionsResponse> {
    Answer::Now(no_list(request))
}

fn no_list(request: ListTransactionsRequest) -> ListTransactionsResponse {
    let unknown = request.state_filters.into_iter().filter(|state| !STATES.contains(&state.as_str()));
    ListTransactionsResponse { unknown_state_filters: unknown.collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTransaction;
    use crate::protocol::messages::txn_offset_commit::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    use crate::protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
    use crate::protocol::wire::Writer;

    fn in_every_version<M: Message>(answer: impl Fn(i16) -> M) {
        for version in M::VERSIONS {
            if let Err(error) = answer(version).encode(&mut Writer::default(), version) {
                panic!("{} version {version}: {error}", M::NAME);
            }
        }
    }

    #[test]
    fn partitions_are_refused_in_every_version() {
        let topic =
            AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0, 1], ..Default::default() };
        let transaction = AddPartitionsToTxnTransaction { topics: vec![topic.clone()], ..Default::default() };
        let request = AddPartitionsToTxnRequest {
            transactions: vec![transaction],
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        in_every_version(|version| no_partitions(request.clone(), version));
        let old = no_partitions(request.clone(), 3);
        assert_eq!(old.results_by_topic_v3_and_below[0].results_by_partition[1].partition_error_code, 53);
        assert!(old.results_by_transaction.is_empty());
        let new = no_partitions(request, 4);
        assert_eq!(new.results_by_transaction[0].topic_results[0].results_by_partition.len(), 2);
        assert!(new.results_by_topic_v3_and_below.is_empty());
    }

    #[test]
    fn offsets_and_markers_are_refused_in_every_version() {
        let partition = TxnOffsetCommitRequestPartition { partition_index: 2, ..Default::default() };
        let topic = TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let offsets = TxnOffsetCommitRequest { topics: vec![topic], ..Default::default() };
        in_every_version(|_| no_offsets(offsets.clone()));
        assert_eq!(no_offsets(offsets).topics[0].partitions[0].error_code, 53);
        let topic =
            WritableTxnMarkerTopic { name: "t".into(), partition_indexes: vec![1], ..Default::default() };
        let marker = WritableTxnMarker { producer_id: 9, topics: vec![topic], ..Default::default() };
        let markers = WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() };
        in_every_version(|_| no_markers(markers.clone()));
        assert_eq!(no_markers(markers).markers[0].topics[0].partitions[0].error_code, 6);
    }

    #[test]
    fn there_are_no_transactions() {
        let request = ListTransactionsRequest {
            state_filters: vec!["Ongoing".into(), "Asleep".into()],
            ..Default::default()
        };
        in_every_version(|_| no_list(request.clone()));
        assert_eq!(no_list(request).unknown_state_filters, ["Asleep"]);
        let request = DescribeTransactionsRequest {
            transactional_ids: vec!["a".into(), String::new()],
            ..Default::default()
        };
        in_every_version(|_| no_descriptions(request.clone()));
        let codes: Vec<i16> =
            no_descriptions(request).transaction_states.iter().map(|it| it.error_code).collect();
        assert_eq!(codes, [105, 42]);
    }
}
