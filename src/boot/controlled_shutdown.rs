//! Leaving in order (`KafkaServer.controlledShutdown`): the controller moves this broker's leaderships to replicas that
//! are in sync before it stops, so that clients wait for a moment instead of a session timeout.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::membership::controller_line::ControllerLine;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::ControlledShutdownRequest;

/// How long it waits for brokers, itself included, to have heard of what the controller decided.
const HEARD: Duration = Duration::from_secs(2);
/// How long it waits for the controller's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it looks whether that has happened.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long clients of what it led may still ask it.
const CLIENTS_HEAR: Duration = Duration::from_millis(500);
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
    let mut settings = broker.controller_line.clone();
    settings.timeout = settings.timeout.min(ANSWER);
    let mut line = ControllerLine::new(settings);
    let had_clients = broker.replicas.led_for_others() > 0;
    for attempt in 1..=tries {
        let asked = tokio::time::Instant::now();
        let answer = ask(broker, &mut line).await;
        // A controller that says nothing has lost ZooKeeper, most likely: it will not say more the next time.
        let is_last = attempt == tries || asked.elapsed() >= ANSWER;
        match answer {
            Ok(()) => return let_go(broker, had_clients).await,
            Err(why) if is_last => {
                tracing::warn!(
                    why,
                    "stopping without having handed over every leadership; others elect once this broker's session ends"
                );
                return;
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

/// Waits until the brokers have heard who leads now, this one included, and its clients too: a client that is told so goes
/// to the new leader at once, one whose connection is closed asks around first.
async fn let_go(broker: &Broker, had_clients: bool) {
    broker.controller.quiet(HEARD).await;
    let heard = async {
        while broker.replicas.led_for_others() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // One that is in no ISR with others keeps its leaderships.
    let _in_time = tokio::time::timeout(HEARD, heard).await;
    if had_clients {
        tokio::time::sleep(CLIENTS_HEAR).await;
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
