//! One process of the rig: started in its network namespace, signalled by its id, gone with its handle.
//!
//! What it prints goes to a file. `setpriv` asks the kernel to kill it when the rig's main thread dies, so
//! processes are started from that thread only. Knows nothing of brokers.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::nodes::Node;

/// An error of the rig itself, in words.
pub fn failed(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

/// Runs a command to its end; what it says on failure is the error.
pub fn run(command: &mut Command) -> io::Result<String> {
    let shown = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| failed(format!("{shown}: {error}")))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).into_owned();
        return Err(failed(format!("{shown}: {}: {}", output.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A child process.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` (program first) on `node`; its output is appended to `log`.
    pub fn start(node: &Node, name: &str, command: &[String], log: &Path) -> io::Result<Process> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut full = Command::new("setpriv");
        full.args(["--pdeathsig", "KILL", "--"]);
        full.args(node.enter()).args(command);
        full.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = full.spawn().map_err(|error| failed(format!("cannot start {name}: {error}")))?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its id: `setpriv` and `nsenter` become the program, so it is the program's own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Errs, with the end of its output, if it has ended.
    pub fn check(&mut self) -> io::Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let why = last_lines(&self.log, 5);
                Err(failed(format!("{} ended ({status}); {}: {why}", self.name, self.log.display())))
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).ok_or_else(|| failed("no process id"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it at once (SIGKILL), paused or not.
    pub fn kill(&mut self) -> io::Result<()> {
        if self.ended()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits; after `limit` it is killed and the answer is `None`.
    pub fn terminate(&mut self, limit: Duration) -> io::Result<Option<Duration>> {
        let began = Instant::now();
        if self.ended()?.is_none() {
            self.signal(Signal::TERM)?;
        }
        while self.ended()?.is_none() {
            if began.elapsed() > limit {
                self.kill()?;
                return Ok(None);
            }
            sleep(Duration::from_millis(10));
        }
        Ok(Some(began.elapsed()))
    }

    /// Waits for its own end; errs when it fails or takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<()> {
        let give_up = Instant::now() + limit;
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let signal = status.signal().map(|number| format!(" by signal {number}"));
                    let why = last_lines(&self.log, 5);
                    return Err(failed(format!(
                        "{} failed ({status}{}): {why}",
                        self.name,
                        signal.unwrap_or_default()
                    )));
                }
                None if Instant::now() > give_up => {
                    self.kill()?;
                    return Err(failed(format!("{} did not end within {limit:?}", self.name)));
                }
                None => sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// Resident memory in MiB, while the process lives.
pub fn rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
