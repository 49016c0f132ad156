//! `ottla health`: whether a broker answers, for `HEALTHCHECK` and scripts that wait. The exit code is the answer.

use std::time::Duration;

use clap::Args;

use super::connect::{self, Bootstrap, Client};
use super::container;

/// Whether a broker serves.
#[derive(Debug, Args)]
pub struct Health {
    /// The broker, HOST:PORT; the one of this container without.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// How long it may take to answer.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
}

impl Health {
    /// Asks once.
    pub fn run(self) -> Result<(), String> {
        let at = match self.bootstrap {
            Some(at) => at,
            None => container::own_broker()?,
        };
        connect::run(async {
            let bootstrap = Bootstrap::at(&at);
            let asked = tokio::time::timeout(Duration::from_secs(self.seconds), Client::connect(&bootstrap));
            let client =
                asked.await.map_err(|_| format!("{at} did not answer within {} s", self.seconds))??;
            match client.brokers().len() {
                0 => Err(format!("{at} answers, and knows of no broker yet")),
                count => super::output::print(&format!("{at} serves; brokers that are up: {count}")),
            }
        })
    }
}
