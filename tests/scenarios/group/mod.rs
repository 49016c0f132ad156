//! Consumer groups: transcripts (`*.txt`), random churn, and a log that Kafka wrote.

mod bench;
mod churn;
mod loading;
mod print;
mod verbs;

use std::path::Path;

#[test]
fn transcripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/group");
    let entries = std::fs::read_dir(dir).expect("the directory of transcripts");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() > 10, "only {} transcripts were found", paths.len());
    for path in paths {
        let mut stage = verbs::Stage::default();
        crate::transcript::check(&path, |line| stage.run(line));
        stage.bench.check();
    }
}
