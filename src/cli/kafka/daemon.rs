//! `-daemon`: this binary once more, away from the terminal, its output in a file of the log directory.
//!
//! The file is `$LOG_DIR/<service>.out`, and without `LOG_DIR` that of `logs/` beside `bin/`, as Kafka's scripts have it.
//! Unlike those, who asks is told when the new process ends at once. Source: `bin/kafka-run-class.sh`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a new process is watched: a wrong configuration shows at once.
const WATCHED: Duration = Duration::from_millis(250);
/// How much of its output is shown when it ended.
const SHOWN_LINES: usize = 20;
/// How much of it is read for that.
const READ_MAX: u64 = 1 << 20;

/// Starts this binary under the name that it was called by, with these arguments.
pub fn start(arguments: &[String], service: &str) -> Result<(), String> {
    let called = called();
    let folder = log_dir(&called);
    let file = folder.join(format!("{service}.out"));
    let wrong = |error: std::io::Error| {
        format!("cannot write {}: {error}; name another directory with LOG_DIR", file.display())
    };
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    // Added to what is there: it may be all that tells why the last one ended, or another may be writing.
    let out = File::options().create(true).append(true).open(&file).map_err(wrong)?;
    let before = out.metadata().map_err(wrong)?.len();
    let err = out.try_clone().map_err(wrong)?;
    let binary = std::env::current_exe().map_err(|error| format!("cannot find this binary: {error}"))?;
    let mut child = Command::new(binary)
        .arg0(&called)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // A terminal that closes sends its signal to the group it has started, not to this one.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", called.display()))?;
    ended(&mut child).map_or(Ok(()), |how| {
        let bytes = written_since(before, &file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        Err(format!("it ended at once ({how}); the end of {}:\n{}", file.display(), last.join("\n")))
    })
}

/// What a file holds from this place on, within bounds.
fn written_since(place: u64, file: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How a child ended that did not last; `None` if it runs.
fn ended(child: &mut Child) -> Option<String> {
    let until = Instant::now() + WATCHED;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.to_string()),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            // It runs; or nothing is known of it, and its file tells.
            _ => return None,
        }
    }
}

/// What this process was called by.
fn called() -> PathBuf {
    std::env::args_os().next().map_or_else(|| PathBuf::from("ottla"), PathBuf::from)
}

/// Where Kafka's scripts keep the output of what they start.
fn log_dir(called: &Path) -> PathBuf {
    match std::env::var_os("LOG_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => home(called, std::env::current_exe().ok().as_deref()).join("logs"),
    }
}

/// The directory that holds `bin/`: of the link that was called, or else of the binary itself, or else this one.
fn home(called: &Path, binary: Option<&Path>) -> PathBuf {
    let holder = |file: &Path| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty())?;
        match folder.file_name()?.to_str()? {
            "bin" | "libs" => Some(folder.join("..")),
            _ => None,
        }
    };
    holder(called).or_else(|| holder(binary?)).unwrap_or_else(|| PathBuf::from("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_stand_beside_bin() {
        let binary = Path::new("/opt/kafka/libs/ottla");
        let cases = [
            ("/opt/kafka/bin/kafka-server-start.sh", "/opt/kafka/bin/.."),
            ("bin/kafka-server-start.sh", "bin/.."),
            ("kafka-server-start", "/opt/kafka/libs/.."),
        ];
        for (called, there) in cases {
            assert_eq!(home(Path::new(called), Some(binary)), Path::new(there), "{called}");
        }
        assert_eq!(home(Path::new("ottla"), Some(Path::new("/x/target/debug/ottla"))), Path::new("."));
    }
}
