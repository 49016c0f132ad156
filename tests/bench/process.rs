//! What the processes of a broker, or of several together, have used: CPU and memory as Linux tells them.
//!
//! CPU is user plus system time of all threads, which the kernel takes from the scheduler's exact run time
//! and prints in hundredths of a second. Memory is resident memory without the page cache.

use std::fs;
use std::io;

use crate::client::failed;

/// `USER_HZ`: 100 on every architecture Rust has Linux for, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub rss_mib: f64,
    /// The most it ever was.
    pub peak_mib: f64,
}

/// CPU-seconds the processes have used since their start.
pub fn cpu_seconds(pids: &[u32]) -> io::Result<f64> {
    pids.iter().map(|pid| cpu_seconds_of(*pid)).sum()
}

fn cpu_seconds_of(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(failed(format!("/proc/{pid}/stat is not what it was"))),
    }
}

/// Memory of the processes; the peak is the sum of their peaks.
pub fn memory(pids: &[u32]) -> io::Result<Memory> {
    let mut sum = Memory { rss_mib: 0.0, peak_mib: 0.0 };
    for pid in pids {
        let memory = memory_of(*pid)?;
        sum.rss_mib += memory.rss_mib;
        sum.peak_mib += memory.peak_mib;
    }
    Ok(sum)
}

fn memory_of(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib =
            line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| failed(format!("/proc/{pid}/status has no {name}")))
    };
    Ok(Memory { rss_mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
}
