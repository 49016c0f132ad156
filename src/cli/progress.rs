//! How far moves are: a bar a partition, the bytes of its slowest new replica against those of its leader.
//!
//! Shown on the error output and only where that is a terminal, so that what is printed stays clean. Sizes are what
//! DescribeLogDirs says; a log that was compacted or cut may end smaller than its leader's. Knows nothing of plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::admin::Move;
use super::connect::Client;
use super::offsets::Place;
use super::reassign;
use crate::protocol::messages::DescribeLogDirsRequest;
use crate::protocol::messages::describe_log_dirs::DescribableLogDirTopic;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Bars shown at once; the others wait for a place.
const BARS_MAX: usize = 16;

/// Bytes of each replica: by partition and broker.
type Sizes = BTreeMap<(Place, i32), u64>;

/// Waits until none of these partitions is on the move, and shows how far each is.
pub async fn watch(client: &mut Client, places: &[Place]) -> Result<(), String> {
    let wanted: BTreeSet<&Place> = places.iter().collect();
    let shown = MultiProgress::new();
    let text = "{prefix:28} [{wide_bar}] {pos:>10} of {len:<10} {percent:>3} %";
    let all = shown.add(ProgressBar::new(wanted.len() as u64).with_style(style(text)));
    all.set_prefix("moved");
    let mut bars: BTreeMap<Place, ProgressBar> = BTreeMap::new();
    loop {
        let mut moving = reassign::moves(client).await?;
        moving.retain(|place, _| wanted.contains(place));
        all.set_position((wanted.len() - moving.len()) as u64);
        bars.retain(|place, bar| {
            let stays = moving.contains_key(place);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        if moving.is_empty() {
            all.finish_and_clear();
            return Ok(());
        }
        moving = moving.into_iter().take(BARS_MAX).collect();
        let leaders = leaders(client, &moving).await?;
        let sizes = sizes(client, &moving, &leaders).await?;
        for (place, it) in &moving {
            let (copied, whole) = copied(place, it, leaders.get(place).copied(), &sizes);
            let bar = bars.entry(place.clone()).or_insert_with(|| {
                let text = "{prefix:28} [{wide_bar}] {bytes:>10} of {total_bytes:<10} {percent:>3} %";
                shown.add(ProgressBar::new(whole).with_style(style(text)))
            });
            bar.set_prefix(format!("{}-{} to {:?}", place.0, place.1, it.adding));
            bar.set_length(whole);
            bar.set_position(copied);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

async fn leaders(
    client: &mut Client,
    moving: &BTreeMap<Place, Move>,
) -> Result<BTreeMap<Place, i32>, String> {
    let mut topics: Vec<String> = moving.keys().map(|(topic, _)| topic.clone()).collect();
    topics.dedup();
    let mut leaders = BTreeMap::new();
    for topic in client.metadata(Some(&topics)).await?.topics {
        let name = topic.name.unwrap_or_default();
        leaders.extend(topic.partitions.iter().map(|it| ((name.clone(), it.partition_index), it.leader_id)));
    }
    Ok(leaders)
}

/// Asks the brokers that copy, and those copied from; one that is away has no sizes.
async fn sizes(
    client: &mut Client,
    moving: &BTreeMap<Place, Move>,
    leaders: &BTreeMap<Place, i32>,
) -> Result<Sizes, String> {
    let mut by_broker: BTreeMap<i32, Vec<&Place>> = BTreeMap::new();
    for (place, it) in moving {
        for broker in it.adding.iter().chain(leaders.get(place)) {
            by_broker.entry(*broker).or_default().push(place);
        }
    }
    let up = client.brokers();
    let mut sizes = Sizes::new();
    for (broker, places) in by_broker.into_iter().filter(|(broker, _)| up.contains(broker)) {
        let mut topics: Vec<DescribableLogDirTopic> = Vec::new();
        for (topic, index) in places {
            match topics.last_mut() {
                Some(last) if last.topic == *topic => last.partitions.push(*index),
                _ => topics.push(DescribableLogDirTopic {
                    topic: topic.clone(),
                    partitions: vec![*index],
                    ..Default::default()
                }),
            }
        }
        let request = DescribeLogDirsRequest { topics: Some(topics), ..Default::default() };
        let Ok(answer) = client.broker(broker, i16::MAX, &request).await else { continue };
        for topic in answer.results.into_iter().flat_map(|dir| dir.topics) {
            for it in topic.partitions.iter().filter(|it| !it.is_future_key) {
                let place = (topic.name.clone(), it.partition_index);
                sizes.insert((place, broker), u64::try_from(it.partition_size).unwrap_or(0));
            }
        }
    }
    Ok(sizes)
}

/// Bytes of the new replica that has least, and of the leader.
fn copied(place: &Place, it: &Move, leader: Option<i32>, sizes: &Sizes) -> (u64, u64) {
    let size = |broker: i32| sizes.get(&(place.clone(), broker)).copied().unwrap_or(0);
    let whole = leader.map_or(0, size);
    let least = it.adding.iter().map(|broker| size(*broker)).min();
    (least.unwrap_or(whole).min(whole), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_copy_counts() {
        let place = ("t".to_owned(), 0);
        let sizes =
            Sizes::from([((place.clone(), 1), 100), ((place.clone(), 2), 40), ((place.clone(), 3), 70)]);
        let it = |adding: &[i32]| Move { replicas: vec![], adding: adding.to_vec(), removing: vec![] };
        assert_eq!(copied(&place, &it(&[2, 3]), Some(1), &sizes), (40, 100));
        assert_eq!(copied(&place, &it(&[2, 4]), Some(1), &sizes), (0, 100));
        assert_eq!(copied(&place, &it(&[]), Some(1), &sizes), (100, 100), "only taken away");
        assert_eq!(copied(&place, &it(&[3]), Some(9), &sizes), (0, 0), "the leader is away");
    }
}
