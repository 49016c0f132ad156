//! The machine and its mood: what every published figure needs beside it.
//!
//! Load, steal and the time of an fdatasync are taken before each round, so that a reader can see which
//! rounds were disturbed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

const SYNCS: usize = 50;

/// What does not change during a run.
pub fn facts() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or("0");
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "memory_mib": kib.parse::<u64>().unwrap_or(0) / 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// What changes: taken before each round, with the file system that holds `dir`.
pub fn mood(dir: &Path) -> io::Result<Value> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let (busy, steal) = busy_seconds()?;
    Ok(json!({
        "load_1min": load.split(' ').next().and_then(|one| one.parse::<f64>().ok()),
        "fdatasync_p50_ms": fdatasync_p50_ms(dir)?,
        "busy_cpu_s": busy,
        "steal_s": steal,
    }))
}

/// CPU-seconds the whole machine has worked, and what its host has taken from it, since boot.
pub fn busy_seconds() -> io::Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or("");
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0) / 100.0;
    // user, nice, system, irq, softirq; then steal.
    Ok((at(0) + at(1) + at(2) + at(5) + at(6), at(7)))
}

/// Leaves `bytes` of free memory that the host has already backed with its own.
///
/// A virtual machine gives free pages back to its host, and the next one to touch them pays for getting them
/// again: several times the cost of an append, for whichever broker happens to come first after a pause. So
/// before a sample that fills pages, the benchmark touches as many as the sample may take, and frees them.
pub fn touch_free_memory(bytes: u64) {
    let pages = vec![1u8; bytes as usize];
    drop(std::hint::black_box(pages));
}

/// Median time of appending 4 KiB and syncing them.
fn fdatasync_p50_ms(dir: &Path) -> io::Result<f64> {
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[SYNCS / 2])
}
