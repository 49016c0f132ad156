//! Logs under a broker: restarts, kills, full and failed disks.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla::protocol::error_code::ErrorCode;

use super::client::{Client, batch, code};
use super::nodes::{Node, Zk, one, until};
use super::processes::Process;

async fn led(port: u16, topic: &str) {
    until("the partition to be led again", async || {
        let topic = Client::open(port).await.topic(topic).await;
        assert!(!topic.partitions.is_empty(), "a broker that comes back does not deny its topics: {topic:?}");
        topic.partitions.iter().all(|part| part.error_code == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_keeps_everything() {
    let (zk, mut node) = one(&[("log.segment.bytes", "2000")]).await;
    let mut client = node.client().await;
    client.create("kept", 2, &[]).await;
    for number in 0..100 {
        client.produce(("kept", number % 2), &[&number.to_string()]).await;
    }
    for round in 0..3 {
        node.stop().await;
        assert!(node.logs().join(".kafka_cleanshutdown").exists(), "round {round}");
        node.start_again(&zk).await;
        led(node.port(), "kept").await;
        let mut client = node.client().await;
        for partition in [0, 1] {
            let values = client.values(("kept", partition), 0).await;
            let expected = (0..100).filter(|number| number % 2 == partition).map(|number| number.to_string());
            assert!(
                values.into_iter().map(|(_, value)| value).eq(expected),
                "round {round}, partition {partition}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let overrides = ["log.segment.bytes=20000", "zookeeper.session.timeout.ms=4000"];
    let mut acknowledged = 0;
    for round in 0..2 {
        let mut process = Process::dev_at(dir.path(), &overrides);
        let mut client = process.client().await;
        let port = process.port().await;
        if round == 0 {
            client.create("killed", 1, &[]).await;
        }
        led(port, "killed").await;
        let values = client.values(("killed", 0), 0).await;
        assert!(values.len() >= acknowledged, "{} of {acknowledged} acknowledged", values.len());
        assert!(
            values.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset),
            "no gap, no repetition"
        );
        acknowledged = values.len();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            let answer = client.produce_as(9, ("killed", 0), -1, batch(&["value"])).await;
            assert_eq!((answer.error_code, answer.base_offset), (0, acknowledged as i64));
            acknowledged += 1;
        }
        process.kill();
    }
    let mut process = Process::dev_at(dir.path(), &overrides);
    let port = process.port().await;
    led(port, "killed").await;
    let values = Client::open(port).await.values(("killed", 0), 0).await;
    assert_eq!(values.len(), acknowledged);
    assert!(process.stop().await);
}

/// A small file system of its own; `None` without the right to mount, said loudly.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(size: &str) -> Option<Mount> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Mount(dir));
        }
        eprintln!(
            "SKIPPED: a disk of {size} cannot be mounted here (root is needed); full disks are NOT tested"
        );
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) -> bool {
        let options = format!("remount,{how}");
        Command::new("mount")
            .args(["-o", &options])
            .arg(self.path())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: an offline directory's files may still be open.
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_forgets_nothing() {
    let Some(mount) = Mount::new("24m") else { return };
    let zk = Zk::start().await;
    let settings = [
        ("log.index.size.max.bytes", "4096"),
        ("log.segment.bytes", "1000000"),
        ("replica.high.watermark.checkpoint.interval.ms", "100"),
    ];
    let mut node = Node::at(1, mount.path().join("logs"), &settings);
    node.start_again(&zk).await;
    let mut client = node.client().await;
    client.create("full", 1, &[]).await;
    let large = "x".repeat(500_000);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = client.produce_as(9, ("full", 0), -1, batch(&[&large])).await;
        if answer.error_code != 0 {
            break answer;
        }
        assert_eq!(answer.base_offset, acknowledged);
        acknowledged += 1;
        assert!(acknowledged < 100, "24 MiB never fill up");
    };
    assert_eq!(code(refused.error_code), ErrorCode::KafkaStorageError);
    assert_eq!(client.offset(5, ("full", 0), -1).await.offset, acknowledged, "nothing of the refused batch");
    assert_eq!(client.values(("full", 0), 0).await.len() as i64, acknowledged, "reading goes on");
    // Not a byte is left, for checkpoints neither: the directory stays in service.
    let rest = std::fs::write(mount.path().join("rest"), vec![1; 24 << 20]);
    assert_eq!(rest.expect_err("full").kind(), std::io::ErrorKind::StorageFull);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.values(("full", 0), 0).await.len() as i64, acknowledged, "reading still goes on");
    assert!(mount.remount("size=48m"), "a larger disk");
    let answer = client.produce_as(9, ("full", 0), -1, batch(&["room again"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, acknowledged));
    node.stop().await;
    node.start_again(&zk).await;
    led(node.port(), "full").await;
    assert_eq!(node.client().await.values(("full", 0), 0).await.len() as i64, acknowledged + 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_directory_takes_only_its_own_partitions() {
    let disks = tempfile::tempdir().expect("a temporary directory");
    let (good, bad) = (disks.path().join("good"), disks.path().join("bad"));
    let zk = Zk::start().await;
    let dirs = format!("{},{}", good.display(), bad.display());
    let settings = [("log.dirs", dirs.as_str()), ("log.segment.bytes", "14000")];
    let mut node = Node::at(1, good.clone(), &settings);
    node.start_again(&zk).await;
    let mut client = node.client().await;
    client.create("split", 4, &[]).await;
    let on_bad = |partition: i32| bad.join(format!("split-{partition}")).exists();
    let (lost, kept): (Vec<i32>, Vec<i32>) = (0..4).partition(|partition| on_bad(*partition));
    assert!(!lost.is_empty() && !kept.is_empty(), "partitions are spread over the directories");
    for partition in 0..4 {
        client.produce(("split", partition), &["before"]).await;
    }
    // No new file can be made there any more: the next roll fails.
    std::fs::rename(&bad, disks.path().join("gone")).expect("the directory moves away");
    let large = "x".repeat(10_000);
    let refused = until("the failed directory to be noticed", async || {
        let mut client = node.client().await;
        let answer = client.produce_as(9, ("split", lost[0]), -1, batch(&[&large])).await;
        (answer.error_code != 0).then_some(answer)
    })
    .await;
    assert!(
        matches!(code(refused.error_code), ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower),
        "{:?}",
        code(refused.error_code)
    );
    // Every partition there goes offline, not only the one that was written.
    until("every partition of the directory to be offline", async || {
        let topic = node.client().await.topic("split").await;
        let offline = |part: &i32| {
            topic.partitions.iter().any(|found| found.partition_index == *part && found.leader_id == -1)
        };
        lost.iter().all(offline).then_some(())
    })
    .await;
    for partition in &kept {
        client.produce(("split", *partition), &["after"]).await;
        assert_eq!(client.values(("split", *partition), 0).await.len(), 2);
    }
    client.create("new", 2, &[]).await;
    assert!(good.join("new-0").exists() && good.join("new-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_one_clear_sentence() {
    let Some(mount) = Mount::new("8m") else { return };
    assert!(mount.remount("ro"));
    let zk = Zk::start().await;
    let mut node = Node::at(1, mount.path().join("logs"), &[]);
    let error = node.try_start(&zk).await.expect_err("nothing can be written");
    assert!(error.contains(&mount.path().display().to_string()), "{error}");
    assert!(error.to_lowercase().contains("read-only"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_forgot_whose_it_is_is_told_of() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("logs/meta.properties");
    let told = |process: &Process| -> Vec<String> {
        process.said().into_iter().filter(|line| line.contains("meta.properties")).collect()
    };
    let mut process = Process::dev_at(dir.path(), &[]);
    process.client().await;
    assert!(process.stop().await);
    assert_eq!(told(&process), [""; 0], "a new one has nothing to forget");
    let identity = std::fs::read_to_string(&file).expect("it was written");
    std::fs::write(&file, "gar\nbage").expect("ours");
    let mut process = Process::dev_at(dir.path(), &[]);
    process.client().await;
    let lines = told(&process);
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("bage"), "{lines:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("it was written anew"), identity);
    assert!(process.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_never_share_a_directory() {
    let (zk, node) = one(&[]).await;
    let mut twin = Node::at(1, node.logs().to_owned(), &[]);
    let error = twin.try_start(&zk).await.expect_err("the directory is in use");
    assert!(error.contains(&node.logs().display().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_roll_and_are_read_across_segments_while_written() {
    let (_zk, node) = one(&[("log.segment.bytes", "1000")]).await;
    let mut client = node.client().await;
    client.create("rolled", 1, &[]).await;
    let ended = Arc::new(AtomicBool::new(false));
    let reading = {
        let (mut client, ended) = (node.client().await, ended.clone());
        tokio::spawn(async move {
            let mut next = 0;
            loop {
                let last = ended.load(Ordering::SeqCst);
                for (offset, value) in client.values(("rolled", 0), next).await {
                    assert_eq!((offset, value), (next, next.to_string()));
                    next += 1;
                }
                if last {
                    return next;
                }
            }
        })
    };
    for number in 0..300 {
        client.produce(("rolled", 0), &[&number.to_string()]).await;
    }
    ended.store(true, Ordering::SeqCst);
    assert_eq!(reading.await.expect("in order"), 300);
    assert!(
        std::fs::read_dir(node.logs().join("rolled-0")).expect("the log").count() > 20,
        "segments were rolled"
    );
}
