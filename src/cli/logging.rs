//! The log on standard output: one line an event, level by `RUST_LOG` (`info` without).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. Call once.
pub fn start() {
    start_at("info");
}

/// The same with another level where `RUST_LOG` says none.
pub fn start_at(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .init();
}
