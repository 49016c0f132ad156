//! `ottla config check`.

use std::path::Path;

use crate::support::{Outcome, ottla};

fn check(name: &str, content: &str) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(name);
    std::fs::write(&file, content).expect("a file");
    ottla(&["config", "check", &path(&file)], b"")
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

#[test]
fn good_files_pass() {
    let text = check("server.properties", "broker.id=3\nzookeeper.connect=zk:2181\nlog.dirs=/data\n").text();
    assert!(text.contains("3 keys set, 0 warnings"), "{text}");
    let toml = "\"broker.id\" = 3\n\"zookeeper.connect\" = \"zk:2181\"\n\"log.dirs\" = \"/data\"\n";
    let text = check("broker.toml", toml).text();
    assert!(text.contains("a broker would start with it"), "{text}");
}

#[test]
fn bad_files_are_explained() {
    let text = check("server.properties", "broker.id=three\nzookeeper.connect=zk:2181\n").failure();
    assert!(text.contains("server.properties cannot be used") && text.contains("broker.id"), "{text}");
    let text = check("server.properties", "broker.id=3\n").failure();
    assert!(text.contains("zookeeper.connect"), "{text}");
    let text = check("broker.toml", "= =\n").failure();
    assert!(text.contains("broker.toml"), "{text}");
    let text = ottla(&["config", "check", "/no/such/file"], b"").failure();
    assert!(text.contains("/no/such/file"), "{text}");
}
