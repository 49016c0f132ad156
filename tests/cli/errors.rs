//! Nobody there, and wrong usage.

use crate::support::{free_port, ottla};

#[test]
fn nobody_answers() {
    let nowhere = format!("127.0.0.1:{}", free_port());
    let commands: [&[&str]; 4] =
        [&["topics", "list"], &["groups", "list"], &["produce", "t"], &["consume", "t", "--max", "1"]];
    for command in commands {
        let text = ottla(&[command, &["--bootstrap", &nowhere]].concat(), b"").failure();
        assert!(text.starts_with(&format!("ottla: no broker of {nowhere} answers")), "{text}");
        assert!(text.ends_with("start one, or name it with --bootstrap\n"), "{text}");
    }
    let text = ottla(&["topics", "list", "--bootstrap", "nonsense"], b"").failure();
    assert!(text.contains("write HOST:PORT"), "{text}");
}

#[test]
fn no_zookeeper_answers() {
    let nowhere = format!("127.0.0.1:{}", free_port());
    let text = ottla(&["znodes", "ls", "/", "--zookeeper", &nowhere], b"").failure();
    assert!(text.contains(&format!("no ZooKeeper server of {nowhere} answers")), "{text}");
    assert!(text.ends_with("name it with --zookeeper\n"), "{text}");
}

#[test]
fn wrong_usage_ends_with_2() {
    let commands: [&[&str]; 9] = [
        &["nonsense"],
        &["topics"],
        &["topics", "create"],
        &["topics", "create", "t", "--partitions", "0"],
        &["topics", "create", "t", "--config", "novalue"],
        &["topics", "delete"],
        &["produce", "t", "--compression", "brotli"],
        &["produce", "t", "--acks", "2"],
        &["consume", "t", "--from", "yesterday"],
    ];
    for command in commands {
        let outcome = ottla(command, b"");
        assert_eq!(outcome.code, Some(2), "{command:?}: {}", outcome.err);
        assert!(outcome.err.contains("--help"), "{command:?}: {}", outcome.err);
    }
}
