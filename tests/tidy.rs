//! The house rules as a failing test: who may use whom, what must stay pure, how long things may be.
//!
//! The tables below are the rules; `src/README.md` explains them. Change a table only with a reason in the commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the broker, lowest first: a room may name only rooms above it in this list, and itself.
/// The longest matching prefix of a module path decides.
const ROOMS: &[&str] = &[
    "clock",
    "shutdown",
    "blocking",
    "bugs",
    "protocol",
    "config",
    "metadata::image",
    "admin::assignment",
    "admin::validation",
    "controller",
    "coordinator",
    "replication::fetcher::machine",
    "replication::fetcher::requests",
    "replication::fetcher::session",
    "replication::fetcher::truncation",
    "replication::fetcher::work",
    "replication::throttle",
    "metrics",
    "storage",
    "client",
    "metadata",
    "membership",
    "replication",
    "coordinator::loader",
    "coordinator::runtime",
    "coordinator::directory",
    "controller::commit",
    "controller::channel",
    "controller::runner",
    "admin",
    "broker",
    "api",
    "net",
    "boot",
    "cli",
];

/// The same for the ZooKeeper crate.
const ZK_ROOMS: &[&str] = &["bugs", "jute", "znode", "tree", "server", "store", "kafka"];

/// Folders and files without clock, socket, file or chance inside.
const PURE: &[&str] = &[
    "src/protocol",
    "src/config",
    "src/metadata/image.rs",
    "src/admin/assignment.rs",
    "src/admin/validation.rs",
    "src/controller",
    "src/coordinator",
    "src/replication/fetcher/machine.rs",
    "src/replication/fetcher/machine",
    "src/replication/fetcher/requests.rs",
    "src/replication/fetcher/session.rs",
    "src/replication/fetcher/truncation.rs",
    "src/replication/fetcher/work.rs",
    "src/replication/isr.rs",
    "src/replication/isr",
    "src/replication/preferred_replica.rs",
    "src/replication/throttle.rs",
    "zk/src/jute",
    "zk/src/znode",
    "zk/src/tree",
];

/// Shells that live beside pure files, and the one place that makes random ids.
const NOT_PURE: &[&str] = &[
    "src/controller/runner.rs",
    "src/controller/channel.rs",
    "src/controller/commit.rs",
    "src/coordinator/runtime.rs",
    "src/coordinator/loader.rs",
    "src/coordinator/directory.rs",
    "src/protocol/ids.rs",
];

/// What a pure file may not name.
const IMPURE: &[&str] =
    &["tokio::", "std::fs", "std::net", "Instant::now", "SystemTime::now", "rand::", "fastrand::"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer, and how long they may be. This list only shrinks.
const LONG_FILES: &[(&str, usize)] = &[];

struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let sources: Vec<Source> = paths
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).expect("a source file is readable text"),
            path: path.strip_prefix(root()).expect("under the root").to_string_lossy().into_owned(),
        })
        .collect();
    assert!(!sources.is_empty(), "no sources found: the test looks in the wrong place");
    sources
}

/// `src/replication/fetcher/machine.rs` -> `replication::fetcher::machine`.
fn module_of(path: &str, crate_root: &str) -> String {
    let inner = path.trim_start_matches(crate_root).trim_end_matches(".rs").trim_end_matches("/mod");
    inner.replace('/', "::")
}

fn rank(module: &str, rooms: &[&str]) -> Option<usize> {
    let matches = |room: &str| module == room || module.starts_with(&format!("{room}::"));
    (0..rooms.len()).filter(|&index| matches(rooms[index])).max_by_key(|&index| rooms[index].len())
}

/// Module paths that `text` names after `crate::`, with the line: plain paths and one level of braces.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
    for (start, _) in code.match_indices("crate::") {
        if start > 0 && code[..start].ends_with(['$', '_', ':']) {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let rest = &code[start + "crate::".len()..];
        if let Some(inner) = rest.strip_prefix('{') {
            let inner = inner.split("};").next().unwrap_or("");
            let mut depth = 0;
            for part in inner.split_inclusive(['{', '}', ',']) {
                let name: String = part
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
                    .collect();
                if depth == 0 && !name.is_empty() {
                    found.push((line, name));
                }
                depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
            }
        } else {
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            found.push((line, name.trim_end_matches(':').to_owned()));
        }
    }
    found
}

fn layer_faults(source: &Source, crate_root: &str, rooms: &[&str]) -> Vec<String> {
    let module = module_of(&source.path, crate_root);
    let Some(own) = rank(&module, rooms) else {
        let is_root = matches!(module.as_str(), "lib" | "main");
        return if is_root { vec![] } else { vec![format!("{}: not in the table of rooms", source.path)] };
    };
    let mut faults = Vec::new();
    for (line, used) in crate_paths(&source.text) {
        match rank(&used, rooms) {
            Some(other) if other > own => {
                faults.push(format!("{}:{line}: {} may not use {used}", source.path, rooms[own]));
            }
            _ => {}
        }
    }
    faults
}

fn fail_on(faults: Vec<String>, rule: &str) {
    assert!(faults.is_empty(), "{rule}\n{}", faults.join("\n"));
}

#[test]
fn rooms_use_only_rooms_below() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        faults.extend(layer_faults(&source, "src/", ROOMS));
    }
    for source in sources(&["zk/src"]) {
        faults.extend(layer_faults(&source, "zk/src/", ZK_ROOMS));
    }
    fail_on(faults, "a room names a room above it (tests/tidy.rs, ROOMS):");
}

#[test]
fn a_broken_layer_is_found() {
    let broken = |text: &str| Source { path: "src/storage/log.rs".into(), text: text.into() };
    for text in [
        "use crate::api::Reply;",
        "fn f() { crate::net::listener::run() }",
        "use crate::{clock::Clock, broker::Broker};",
        "use crate::{\n    protocol::{ids, wire},\n    boot,\n};",
    ] {
        assert_eq!(layer_faults(&broken(text), "src/", ROOMS).len(), 1, "{text}");
    }
    assert!(
        layer_faults(&broken("use crate::protocol::{ids, wire}; // crate::api"), "src/", ROOMS).is_empty()
    );
    let shell =
        Source { path: "src/controller/machine.rs".into(), text: "use crate::controller::runner;".into() };
    assert_eq!(layer_faults(&shell, "src/", ROOMS).len(), 1, "a machine may not name its shell");
}

#[test]
fn pure_files_stay_pure() {
    let mut faults = Vec::new();
    for source in sources(&["src", "zk/src"]) {
        let pure = PURE
            .iter()
            .any(|prefix| source.path == *prefix || source.path.starts_with(&format!("{prefix}/")));
        // Tests of pure rooms draw their cases by seed.
        let is_test = source.path.ends_with("/tests.rs");
        if !pure || is_test || NOT_PURE.contains(&source.path.as_str()) {
            continue;
        }
        for (index, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for word in IMPURE {
                if code.contains(word) {
                    faults.push(format!("{}:{}: names {word}", source.path, index + 1));
                }
            }
        }
    }
    fail_on(faults, "a pure file touches the world (tests/tidy.rs, PURE):");
}

#[test]
fn files_open_with_a_head_card_and_stay_short() {
    let mut faults = Vec::new();
    let allowed: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    for source in sources(&["src", "zk/src", "zk/tests", "tests"]) {
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: does not open with //!", source.path));
        }
        let lines = source.text.lines().count();
        let limit = allowed.get(source.path.as_str()).copied().unwrap_or(FILE_LINES_MAX);
        if lines > limit {
            faults.push(format!("{}: {lines} lines, {limit} allowed", source.path));
        }
    }
    for (path, _) in LONG_FILES {
        let lines = fs::read_to_string(root().join(path)).map(|text| text.lines().count()).unwrap_or(0);
        if lines <= FILE_LINES_MAX {
            faults.push(format!("{path}: {lines} lines; take it off LONG_FILES"));
        }
    }
    fail_on(faults, "file heads and lengths:");
}

/// Line and length of each function in text that `rustfmt` has laid out.
fn functions(text: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = code.split('(').next().unwrap_or("");
        if !(head.starts_with("fn ") || head.contains(" fn ")) || code.starts_with("//") {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let close = format!("{indent}}}");
        for (end, candidate) in lines.iter().enumerate().skip(start) {
            if *candidate == close {
                found.push((start + 1, end - start + 1, head.to_owned()));
            }
            let ends_here = candidate.ends_with(';') && candidate.starts_with(indent) && end == start;
            if *candidate == close
                || ends_here
                || (end > start && candidate.trim_end() == format!("{indent});"))
            {
                break;
            }
        }
    }
    found
}

#[test]
fn functions_fit_on_a_screen() {
    let mut faults = Vec::new();
    for source in sources(&["src", "zk/src"]) {
        for (line, length, head) in functions(&source.text) {
            if length > FUNCTION_LINES_MAX {
                faults.push(format!("{}:{line}: {head} has {length} lines", source.path));
            }
        }
    }
    fail_on(faults, "functions longer than 70 lines:");
    let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(69));
    assert_eq!(functions(&long), vec![(1, 71, "fn long".to_owned())]);
}

#[test]
fn no_stubs_and_no_dead_files() {
    let mut faults = Vec::new();
    for source in sources(&["src", "zk/src", "zk/tests", "tests"]) {
        if source.path == "tests/tidy.rs" {
            continue;
        }
        for word in ["todo!(", "unimplemented!(", "#[ignore]"] {
            if source.text.contains(word) {
                faults.push(format!("{}: {word}", source.path));
            }
        }
    }
    for (crate_root, folder) in [("src/", "src"), ("zk/src/", "zk/src")] {
        for source in sources(&[folder]) {
            let module = module_of(&source.path, crate_root);
            if matches!(module.as_str(), "lib" | "main") {
                continue;
            }
            let (parent, name) = module.rsplit_once("::").unwrap_or(("", &module));
            let candidates = match parent {
                "" => vec![format!("{crate_root}lib.rs")],
                parent => {
                    let path = parent.replace("::", "/");
                    vec![format!("{crate_root}{path}/mod.rs"), format!("{crate_root}{path}.rs")]
                }
            };
            let declared = candidates.iter().any(|file| {
                fs::read_to_string(root().join(file)).is_ok_and(|text| text.contains(&format!("mod {name};")))
            });
            if !declared {
                faults.push(format!("{}: no `mod {name};` in {}", source.path, candidates.join(" or ")));
            }
        }
    }
    fail_on(faults, "stubs and dead files:");
}
