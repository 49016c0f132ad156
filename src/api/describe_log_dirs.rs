//! DescribeLogDirs: the log directories of this broker, what is in them and how much room is left (KIP-113, KIP-827;
//! `ReplicaManager.describeLogDirs`).
//!
//! v3: an error of the whole request (authorisation); v4: total and usable bytes. A directory that failed is named
//! with KAFKA_STORAGE_ERROR. No topics (null) means all of them; sizes are those of the segments, without indexes.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use crate::storage::dirs::LogDir;
use crate::storage::manager::LogManager;

/// Lag of a log whose replica is not here.
const NO_LAG: i64 = -1;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeLogDirsRequest,
    _call: Call<'_>,
) -> Answer<DescribeLogDirsResponse> {
    let broker = broker.clone();
    // The file system is asked for its size: not on the connection's thread.
    let described = crate::blocking::run(move || {
        let wanted = request.topics.as_deref().map(wanted);
        let logs = &broker.replicas.logs;
        logs.dirs().iter().map(|dir| describe(logs, dir, wanted.as_ref())).collect()
    });
    match described.await {
        Ok(results) => Answer::Now(DescribeLogDirsResponse { results, ..Default::default() }),
        Err(error) => Answer::Close(format!("DescribeLogDirs failed: {error}")),
    }
}

fn wanted(topics: &[DescribableLogDirTopic]) -> HashSet<(String, i32)> {
    let partitions =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.clone(), *index)));
    partitions.collect()
}

fn describe(
    logs: &LogManager,
    dir: &LogDir,
    wanted: Option<&HashSet<(String, i32)>>,
) -> DescribeLogDirsResult {
    let log_dir = absolute(dir).to_string_lossy().into_owned();
    let failed = |code: ErrorCode| DescribeLogDirsResult {
        error_code: code.code(),
        log_dir: log_dir.clone(),
        ..Default::default()
    };
    if dir.is_offline() {
        return failed(ErrorCode::KafkaStorageError);
    }
    let space = match dir.fs().space(dir.path()) {
        Ok(space) => space,
        Err(error) => {
            tracing::error!(dir = log_dir, %error, "the size of a log directory's file system cannot be read");
            return failed(ErrorCode::KafkaStorageError);
        }
    };
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    DescribeLogDirsResult {
        topics: topics(logs, dir, wanted),
        total_bytes: bytes(space.total),
        usable_bytes: bytes(space.usable),
        ..failed(ErrorCode::None)
    }
}

/// The directory by the name that clients know it under.
pub(super) fn absolute(dir: &LogDir) -> PathBuf {
    // Without a current directory the path as configured is the best there is.
    std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path().to_path_buf())
}

fn topics(
    logs: &LogManager,
    dir: &LogDir,
    wanted: Option<&HashSet<(String, i32)>>,
) -> Vec<DescribeLogDirsTopic> {
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in logs.logs_in(dir.path()) {
        let tp = log.partition();
        let name = tp.topic.to_string();
        if wanted.is_some_and(|wanted| !wanted.contains(&(name.clone(), tp.partition))) {
            continue;
        }
        let current = logs.get(tp);
        let is_future = logs.get_future(tp).is_some_and(|future| Arc::ptr_eq(&future, &log));
        let offset_lag = match current {
            Some(current) if is_future => current.log_end_offset() - log.log_end_offset(),
            Some(current) => (current.high_watermark() - log.log_end_offset()).max(0),
            None => NO_LAG,
        };
        topics.entry(name).or_default().push(DescribeLogDirsPartition {
            partition_index: tp.partition,
            partition_size: i64::try_from(log.size()).unwrap_or(i64::MAX),
            offset_lag,
            is_future_key: is_future,
            ..Default::default()
        });
    }
    let topic = |(name, mut partitions): (String, Vec<DescribeLogDirsPartition>)| {
        partitions.sort_unstable_by_key(|partition| (partition.partition_index, partition.is_future_key));
        DescribeLogDirsTopic { name, partitions, ..Default::default() }
    };
    topics.into_iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        let result = DescribeLogDirsResult { total_bytes: 5, usable_bytes: 3, ..Default::default() };
        let answer = DescribeLogDirsResponse { results: vec![result], ..Default::default() };
        for version in DescribeLogDirsResponse::VERSIONS {
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }

    #[test]
    fn partitions_are_asked_for_by_topic() {
        let topic =
            DescribableLogDirTopic { topic: "t".into(), partitions: vec![0, 2], ..Default::default() };
        let wanted = wanted(&[topic]);
        assert!(wanted.contains(&("t".to_owned(), 2)) && !wanted.contains(&("t".to_owned(), 1)));
    }
}
