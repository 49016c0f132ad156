//! Leaving in order (`KafkaServer.controlledShutdown`): the controller moves this broker's leaderships to replicas that
//! are in sync before it stops, so that clients wait for a moment instead of a session timeout.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::membership::controller_line::ControllerLine;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::ControlledShutdownRequest;

/// How long a controller that leaves waits for its brokers to have heard of it.
const HEARD: Duration = Duration::from_secs(2);
/// Highest version of the request.
const NEWEST: i16 = 3;

/// Asks until the broker leads nothing that another could lead, or `controlled.shutdown.max.retries` are used up.
pub async fn leave(broker: &Arc<Broker>) {
    let settings = &broker.config.settings;
    if !settings.flag("controlled.shutdown.enable") || broker.epoch() < 0 {
        return;
    }
    let pause = Duration::from_millis(settings.number("controlled.shutdown.retry.backoff.ms").max(0) as u64);
    let tries = settings.number("controlled.shutdown.max.retries").max(1);
    let mut line = ControllerLine::new(broker.controller_line.clone());
    for attempt in 1..=tries {
        match ask(broker, &mut line).await {
            Ok(()) => return broker.controller.quiet(HEARD).await,
            Err(why) if attempt == tries => {
                tracing::warn!(
                    why,
                    "stopping without having handed over every leadership; others elect once this broker's session ends"
                );
            }
            Err(why) => {
                tracing::info!(
                    why,
                    "leaderships are not handed over yet; asking again in {} ms",
                    pause.as_millis()
                );
                line.look_again();
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn ask(broker: &Broker, line: &mut ControllerLine) -> Result<(), String> {
    let request = |_| ControlledShutdownRequest {
        broker_id: broker.id,
        broker_epoch: broker.epoch(),
        ..Default::default()
    };
    let (_, answer) = line.call(NEWEST, request).await.map_err(|error| error.to_string())?;
    match ErrorCode::from_i16(answer.error_code) {
        Some(ErrorCode::None) if answer.remaining_partitions.is_empty() => Ok(()),
        Some(ErrorCode::None) => {
            let first = &answer.remaining_partitions[0];
            let (count, name) = (answer.remaining_partitions.len(), &first.topic_name);
            Err(format!(
                "{count} partitions have no other replica in sync, {name}-{} among them",
                first.partition_index
            ))
        }
        code => Err(format!("the controller answered {}", code.unwrap_or(ErrorCode::UnknownServerError))),
    }
}
