//! Sends the ISR changes that leaders want to the controller, all that wait in one request, until each is answered
//! (`DefaultAlterPartitionManager`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::alter_partition::{self, Ask};
use super::replica_manager::ReplicaManager;
use crate::membership::controller_line::{ControllerLine, LineSettings};
use crate::protocol::error_code::ErrorCode;
use crate::shutdown::Stop;

/// Pause after a failure: the next controller, or this broker's new epoch, needs a moment to be known.
const PAUSE: Duration = Duration::from_millis(50);
/// A failure is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Runs until `stop`.
pub async fn run(
    replicas: Arc<ReplicaManager>,
    settings: LineSettings,
    broker_epoch: Arc<AtomicI64>,
    mut stop: Stop,
) {
    let mut line = ControllerLine::new(settings);
    let mut told: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = replicas.context.alters.news() => {}
        }
        loop {
            let asks = replicas.context.alters.take();
            if asks.is_empty() {
                break;
            }
            let sent = tokio::select! {
                biased;
                () = stop.requested() => return,
                sent = send(&replicas, &mut line, broker_epoch.load(Ordering::SeqCst), asks) => sent,
            };
            let Err(why) = sent else { continue };
            if told.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                told = Some(tokio::time::Instant::now());
                tracing::warn!(why, "the controller did not take a change of ISRs; asking again");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One request. Whatever is not answered goes back to its partition, which asks again if it still wants it.
async fn send(
    replicas: &ReplicaManager,
    line: &mut ControllerLine,
    broker_epoch: i64,
    asks: Vec<Ask>,
) -> Result<(), String> {
    let highest = alter_partition::highest_version(&asks);
    let request = |version| alter_partition::request(replicas.broker_id, broker_epoch, &asks, version);
    let refused = match line.call(highest, request).await {
        Err(error) => error.to_string(),
        Ok((version, response)) => match ErrorCode::from_i16(response.error_code) {
            Some(ErrorCode::None) => {
                // R21: a controller that is behind says so for each partition; asking it at once would spin.
                return match replicas.settle(&alter_partition::pair(asks, &response, version)) {
                    0 => Ok(()),
                    again => Err(format!("{again} partitions were not decided")),
                };
            }
            code => code.map_or_else(|| "an unknown code".to_owned(), |code| code.to_string()),
        },
    };
    line.look_again();
    replicas.settle(&asks.into_iter().map(|ask| (ask, None)).collect::<Vec<_>>());
    Err(refused)
}
