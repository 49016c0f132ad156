//! AlterPartition: a leader asks the controller for another ISR (KIP-497, KIP-704, KIP-841;
//! `KafkaController.alterPartitions`). Between brokers only.
//!
//! v1: recovery after an unclean election; v2: topics by id; v3: the ISR with broker epochs, which a controller in
//! ZooKeeper mode does not look at.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::event::{self, AlterTopic, AlteredTopic, Request, TopicRef, WantedIsr};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::alter_partition::{PartitionData, PartitionResult, TopicResult};
use crate::protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

/// First version that names topics by id.
const BY_ID: i16 = 2;
/// First version with broker epochs beside the ISR.
const WITH_EPOCHS: i16 = 3;
const RECOVERED: i8 = 0;
const RECOVERING: i8 = 1;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: AlterPartitionRequest,
    call: Call<'_>,
) -> Answer<AlterPartitionResponse> {
    let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    if partitions.any(|partition| !(RECOVERED..=RECOVERING).contains(&partition.leader_recovery_state)) {
        return Answer::Now(response(Err(ErrorCode::InvalidRequest)));
    }
    let asked = Request::AlterPartition(asked(request, call.version));
    let altered = match broker.controller.ask(asked).await {
        event::Answer::AlterPartition(altered) => altered,
        _ => Err(ErrorCode::UnknownServerError),
    };
    Answer::Now(response(altered))
}

fn asked(request: AlterPartitionRequest, version: i16) -> event::AlterPartition {
    let topics = request.topics.into_iter().map(|topic| AlterTopic {
        topic: match version >= BY_ID {
            true => TopicRef::Id(topic.topic_id),
            false => TopicRef::Name(topic.topic_name.into()),
        },
        partitions: topic.partitions.into_iter().map(|partition| wanted(partition, version)).collect(),
    });
    event::AlterPartition {
        version,
        broker: request.broker_id,
        broker_epoch: request.broker_epoch,
        topics: topics.collect(),
    }
}

fn wanted(partition: PartitionData, version: i16) -> WantedIsr {
    WantedIsr {
        index: partition.partition_index,
        leader_epoch: partition.leader_epoch,
        isr: match version >= WITH_EPOCHS {
            true => partition.new_isr_with_epochs.iter().map(|replica| replica.broker_id).collect(),
            false => partition.new_isr,
        },
        recovering: partition.leader_recovery_state == RECOVERING,
        partition_epoch: partition.partition_epoch,
    }
}

fn response(altered: Result<Vec<AlteredTopic>, ErrorCode>) -> AlterPartitionResponse {
    match altered {
        Ok(topics) => {
            AlterPartitionResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
        }
        Err(code) => AlterPartitionResponse { error_code: code.code(), ..Default::default() },
    }
}

fn topic(altered: AlteredTopic) -> TopicResult {
    let (topic_name, topic_id) = match altered.topic {
        TopicRef::Name(name) => (name.to_string(), Uuid::ZERO),
        TopicRef::Id(id) => (String::new(), id),
    };
    let partitions = altered.partitions.into_iter().map(|(partition_index, state)| match state {
        Ok(state) => PartitionResult {
            partition_index,
            leader_id: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr.to_vec(),
            leader_recovery_state: i8::from(state.recovering),
            partition_epoch: state.partition_epoch,
            ..Default::default()
        },
        Err(code) => PartitionResult { partition_index, error_code: code.code(), ..Default::default() },
    });
    TopicResult { topic_name, topic_id, partitions: partitions.collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::context::Leadership;
    use crate::protocol::message::Message;
    use crate::protocol::messages::alter_partition::{BrokerState, TopicData};
    use crate::protocol::wire::Writer;

    #[test]
    fn a_request_is_read_as_its_version_means_it() {
        let partition = PartitionData {
            new_isr: vec![1, 2],
            new_isr_with_epochs: vec![BrokerState { broker_id: 3, ..Default::default() }],
            leader_recovery_state: 1,
            ..Default::default()
        };
        let topic = TopicData {
            topic_name: "t".into(),
            topic_id: Uuid([7; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = AlterPartitionRequest { topics: vec![topic], ..Default::default() };
        let old = asked(request.clone(), 1);
        assert_eq!(old.topics[0].topic, TopicRef::Name("t".into()));
        assert_eq!(old.topics[0].partitions[0].isr, [1, 2]);
        let new = asked(request, 3);
        assert_eq!(new.topics[0].topic, TopicRef::Id(Uuid([7; 16])));
        assert_eq!(
            (new.topics[0].partitions[0].isr.as_slice(), new.topics[0].partitions[0].recovering),
            (&[3][..], true)
        );
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        for version in AlterPartitionResponse::VERSIONS {
            let name =
                if version >= BY_ID { TopicRef::Id(Uuid([7; 16])) } else { TopicRef::Name("t".into()) };
            let state = Leadership::first(1, vec![1, 2].into(), 4);
            let partitions = vec![(0, Ok(state)), (1, Err(ErrorCode::FencedLeaderEpoch))];
            let answer = response(Ok(vec![AlteredTopic { topic: name, partitions }]));
            assert_eq!(answer.topics[0].partitions[0].isr, [1, 2]);
            assert_eq!(answer.topics[0].partitions[1].error_code, 74);
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
            let refused = response(Err(ErrorCode::NotController));
            refused.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }
}
