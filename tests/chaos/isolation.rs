//! A world of its own for the rig: namespaces of network, mounts and processes that end with it.
//!
//! The outer half holds a lock (one rig a machine), removes what a killed rig left, builds the network and
//! starts the inner half: the same program as process 1 of a process namespace, with private mounts, on the hub.
//! When the inner half ends, for whatever reason, the kernel kills every process it started, and with the last
//! of them its mounts and loop devices go; the outer half removes the network. A killed outer half takes the
//! inner one with it (`--pdeathsig`), and its network is removed by the next run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use crate::nodes;
use crate::process::failed;
use crate::run::INTERRUPTED;

/// Networks have one set of names on a machine.
const LOCK: &str = "/run/lock/ottla-chaos.lock";
/// For the inner half to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(100);
/// Tells the inner half what it is.
pub const INSIDE: &str = "--inside";

/// Whether this machine gives us what isolation takes: a container's root may have neither namespaces nor loop devices.
pub fn possible() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]).stderr(Stdio::null());
    rustix::process::geteuid().is_root()
        && Path::new("/dev/loop-control").exists()
        && unshare.status().is_ok_and(|status| status.success())
}

/// Holds `path` against every other rig, as long as the file is open.
pub fn lock(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let lock = File::options().create(true).append(true).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(failed(format!("another rig runs here (lock {})", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Runs this program again with the same arguments in its own world, and cleans up after it.
pub fn enter() -> io::Result<ExitCode> {
    let _lock = lock(Path::new(LOCK))?;
    nodes::remove()?;
    let result = nodes::build().and_then(|()| inner());
    let removed = nodes::remove();
    let code = result?;
    removed?;
    Ok(code)
}

fn inner() -> io::Result<ExitCode> {
    let hub = format!("--net=/run/netns/{}{}", nodes::PREFIX, nodes::HUB);
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "--",
        "nsenter",
        &hub,
        "unshare",
        "--mount",
        "--propagation",
        "private",
    ]);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).arg(INSIDE);
    let mut child =
        command.spawn().map_err(|error| failed(format!("cannot start the inner half: {error}")))?;
    let mut patience = PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(STEP);
        // Ctrl-C reaches both halves, SIGTERM this one alone: the other is then killed, and all of its world.
        if INTERRUPTED.load(Ordering::Relaxed) {
            patience = patience.saturating_sub(STEP);
            if patience.is_zero() {
                child.kill()?;
            }
        }
    };
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    })
}
