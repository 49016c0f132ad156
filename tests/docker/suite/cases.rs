//! Every case of `tests/fixtures/dialects.toml`, in the container that it describes: variables, files, mounts and commands are
//! real, and what `--check` prints is what a broker would be started with.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_docker_tests::compose::repository;
use ottla_docker_tests::engine::{self, eventually};
use ottla_docker_tests::stack::{logs, request};
use testcontainers::core::Mount;
use testcontainers::runners::SyncRunner;
use testcontainers::{CopyTargetOptions, ImageExt};
use toml::{Table, Value};

/// The name of the host that the cases speak of.
const HOST: &str = "box";

struct Case(Table);

impl Case {
    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    fn texts(&self, field: &str) -> BTreeMap<&str, &str> {
        let table = self.0.get(field).and_then(Value::as_table);
        let text = |value| Value::as_str(value).expect("a text");
        table.into_iter().flatten().map(|(key, value)| (key.as_str(), text(value))).collect()
    }

    fn words(&self, field: &str) -> Vec<&str> {
        self.0.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Exit code and all that is printed.
    fn run(&self) -> (i64, String) {
        let called = self.text("called").map_or(vec!["ottla", "container"], |entry| vec![entry]);
        let mut box_ = request(&engine::image())
            .with_cmd(called.into_iter().chain(["--check"]))
            .with_hostname(HOST)
            .with_startup_timeout(Duration::from_secs(60));
        for (name, value) in self.texts("env") {
            box_ = box_.with_env_var(name, value);
        }
        for (path, text) in self.texts("files") {
            box_ = box_.with_copy_to(path, text.as_bytes().to_vec());
        }
        for path in self.words("mounts") {
            box_ = box_.with_mount(Mount::tmpfs_mount(path));
        }
        for (command, said) in self.texts("says") {
            let target = CopyTargetOptions::new(format!("/usr/local/bin/{command}")).with_mode(0o755);
            box_ = box_.with_copy_to(target, format!("#!/bin/sh\nprintf '%s' '{said}'\n").into_bytes());
        }
        let box_ = box_.start().expect("the container starts");
        let ended = || box_.exit_code().map_err(|error| error.to_string())?.ok_or_else(|| "it runs".into());
        let (code, _) = eventually(Duration::from_secs(30), ended).expect("--check ends");
        (code, logs(&box_))
    }

    fn faults(&self) -> Vec<String> {
        let (code, said) = self.run();
        let mut faults = Vec::new();
        let mut expect = |is: bool, what: String| {
            if !is {
                faults.push(what);
            }
        };
        expect((code == 0) == self.text("error").is_none(), format!("exit code {code}"));
        for sentence in ["error", "remark"].into_iter().filter_map(|field| self.text(field)) {
            expect(said.contains(sentence), format!("not said: {sentence:?}"));
        }
        let mut lines: Vec<String> =
            self.text("dialect").map(|dialect| format!("# {dialect}")).into_iter().collect();
        for (key, value) in self.texts("keys") {
            // What is secret is not printed.
            lines.push(format!("{key}={}", if key.ends_with("password") { "[hidden]" } else { value }));
        }
        for topic in self.words("topics") {
            let mut parts = topic.splitn(4, ':');
            let mut part = || parts.next().unwrap_or("");
            let line = format!("# topic {}: {} x {} {}", part(), part(), part(), part().replace(':', " "));
            lines.push(line.trim_end().to_owned());
        }
        for line in lines {
            expect(said.lines().any(|found| found == line), format!("no such line: {line:?}"));
        }
        if !faults.is_empty() {
            faults.push(said);
        }
        faults
    }
}

#[test]
fn every_promised_case_comes_out_in_a_container() {
    let Some(_turn) = engine::turn() else { return };
    let file = repository().join("tests/fixtures/dialects.toml");
    let table: Table = std::fs::read_to_string(file).expect("the table").parse().expect("TOML");
    let cases = table["case"].as_array().expect("cases");
    let mut failed = Vec::new();
    for case in cases {
        let case = Case(case.as_table().expect("a case").clone());
        let faults = case.faults();
        if !faults.is_empty() {
            failed.push(format!("== {}\n{}", case.text("name").expect("a name"), faults.join("\n")));
        }
    }
    eprintln!("{} cases in containers", cases.len());
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
