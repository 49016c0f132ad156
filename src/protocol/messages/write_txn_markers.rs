//! WriteTxnMarkers, API 27. Broker to broker.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `WriteTxnMarkersRequest`, `WriteTxnMarkersResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// A transaction coordinator writes commit or abort markers to partitions.
    WriteTxnMarkersRequest 0..=1, flexible 1.. {
        markers: Vec<WritableTxnMarker>,
    }

    /// In `WriteTxnMarkersRequest::markers`.
    WritableTxnMarker {
        producer_id: i64,
        producer_epoch: i16,
        transaction_result: bool,
        topics: Vec<WritableTxnMarkerTopic>,
        coordinator_epoch: i32,
    }

    /// In `WritableTxnMarker::topics`.
    WritableTxnMarkerTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// How each marker fared.
    WriteTxnMarkersResponse 0..=1, flexible 1.. {
        markers: Vec<WritableTxnMarkerResult>,
    }

    /// In `WriteTxnMarkersResponse::markers`.
    WritableTxnMarkerResult {
        producer_id: i64,
        topics: Vec<WritableTxnMarkerTopicResult>,
    }

    /// In `WritableTxnMarkerResult::topics`.
    WritableTxnMarkerTopicResult {
        name: String,
        partitions: Vec<WritableTxnMarkerPartitionResult>,
    }

    /// In `WritableTxnMarkerTopicResult::partitions`.
    WritableTxnMarkerPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
