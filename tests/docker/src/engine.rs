//! The Docker engine, by its command line: whether there is one, whose turn it is, and what runs in it.

use std::io::Write;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the names of all that the tests start begin with: scripts/test-docker gives one, and sweeps what has it.
pub fn prefix() -> String {
    std::env::var("OTTLA_TEST_NAME").unwrap_or_else(|_| format!("ottla-test-{}", std::process::id()))
}

/// The image under test.
pub fn image() -> String {
    std::env::var("OTTLA_IMAGE").unwrap_or_else(|_| "ottla:latest".into())
}

/// ZooKeeper's.
pub fn zookeeper_image() -> String {
    format!("zookeeper:{}", std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9".into()))
}

/// Runs `docker` and gives what it prints. The error has its own words.
pub fn docker(arguments: &[&str]) -> Result<String, String> {
    output(Command::new("docker").args(arguments))
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    match done.status.success() {
        true => Ok(text(done.stdout)),
        false => Err(format!("{command:?}: {}: {} {}", done.status, text(done.stdout), text(done.stderr))),
    }
}

/// The engine for one test, or nothing where there is none: then one line says so, and the test has nothing to do.
///
/// # Panics
/// When there is an engine but not the images: a test that silently ran nothing would be no test.
pub fn turn() -> Option<MutexGuard<'static, ()>> {
    static IS_HERE: OnceLock<bool> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let is_here = IS_HERE.get_or_init(|| {
        let answer = docker(&["version", "--format", "{{.Server.Version}}"]);
        if let Err(error) = &answer {
            // Past the test harness, which shows only what failing tests print.
            let line = format!("NO DOCKER ENGINE: the tests of the image are SKIPPED ({error})\n");
            std::io::stderr().write_all(line.as_bytes()).ok();
        }
        answer.is_ok()
    });
    if !is_here {
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for name in [image(), zookeeper_image()] {
        docker(&["image", "inspect", &name]).unwrap_or_else(|_| {
            panic!("the image {name} is not there: docker/build and docker/base-images make it")
        });
    }
    Some(turn)
}

/// Tries until it is done, or gives the last error after `patience`. How long it took comes with it.
pub fn eventually<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Result<(T, Duration), String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return Ok((done, start.elapsed())),
            Err(error) if start.elapsed() > patience => {
                return Err(format!("not within {patience:?}: {error}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
