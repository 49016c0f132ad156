//! ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848): refused with UNSUPPORTED_VERSION, which is what Kafka 3.9
//! answers while `group.coordinator.rebalance.protocols` is `classic`, its only value in ZooKeeper mode.
//!
//! Clients that ask for `group.protocol=consumer` fail with it at once; those that do not never send these requests.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_group_describe::DescribedGroup;
use crate::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};

/// Serves ConsumerGroupHeartbeat.
pub async fn heartbeat(
    _broker: &Arc<Broker>,
    _request: ConsumerGroupHeartbeatRequest,
    _call: Call<'_>,
) -> Answer<ConsumerGroupHeartbeatResponse> {
    Answer::Now(no_heartbeat())
}

fn no_heartbeat() -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse { error_code: ErrorCode::UnsupportedVersion.code(), ..Default::default() }
}

/// Serves ConsumerGroupDescribe.
pub async fn describe(
    _broker: &Arc<Broker>,
    request: ConsumerGroupDescribeRequest,
    _call: Call<'_>,
) -> Answer<ConsumerGroupDescribeResponse> {
    Answer::Now(no_description(request))
}

fn no_description(request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
    let group = |group_id: String| DescribedGroup {
        error_code: ErrorCode::UnsupportedVersion.code(),
        group_id,
        ..Default::default()
    };
    ConsumerGroupDescribeResponse {
        groups: request.group_ids.into_iter().map(group).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn each_group_is_refused() {
        no_heartbeat().encode(&mut Writer::default(), 0).expect("can be written");
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec!["a".into(), "b".into()], ..Default::default() };
        let answer = no_description(request);
        answer.encode(&mut Writer::default(), 0).expect("can be written");
        assert_eq!(answer.groups.iter().map(|group| group.error_code).collect::<Vec<_>>(), [35, 35]);
    }
}
