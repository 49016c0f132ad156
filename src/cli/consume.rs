//! `ottla consume`: prints records.
//!
//! With a group, what is printed is committed after it is printed. Source: `ConsoleConsumer`.

use std::time::Duration;

use clap::Args;

use super::connect::{self, Bootstrap, Client};
use super::offsets::{self, From, Place};
use super::output::count;
use super::polling::{PARTITION_MAX, Poller, Taker, Wanted};
use super::printing::{Format, Printer};
use super::reading::Then;
use crate::protocol::records::{Record, TimestampType};

/// `ottla consume`.
#[derive(Debug, Args)]
pub struct Consume {
    /// The topic.
    topic: String,
    #[command(flatten)]
    at: Bootstrap,
    /// earliest, latest or an offset; with a group, where there is nothing committed.
    #[arg(long, value_parser = offsets::parse_from, default_value = "earliest")]
    from: From,
    /// Only this partition.
    #[arg(long, conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Reads as a member of a consumer group, and commits.
    #[arg(long)]
    group: Option<String>,
    /// Ends after so many records.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Ends when no record came for so many milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Leaves out records of open and aborted transactions.
    #[arg(long)]
    read_committed: bool,
    /// What is printed, one line a record.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Consume {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let client = Client::connect(&self.at).await?;
            let mut shown = Shown { printer: Printer::new(self.format), left: self.max };
            let wanted = Wanted {
                topics: vec![self.topic],
                partition: self.partition,
                group: self.group,
                commits: true,
                from: self.from,
                reset: match self.from {
                    From::End(end) => Some(end),
                    From::Offset(_) => None,
                },
                read_committed: self.read_committed,
                timeout: self.timeout.map(Duration::from_millis),
                partition_max: PARTITION_MAX,
            };
            let mut poller = Poller::new(client, wanted, &mut shown).await?;
            let result = poller.run().await;
            let ended = poller.end().await;
            eprintln!("read {}", count(poller.taken(), "record"));
            result.and(ended)
        })
    }
}

/// Prints records, as many as are asked for.
struct Shown {
    printer: Printer,
    left: Option<u64>,
}

impl Taker for Shown {
    fn take(&mut self, place: &Place, record: &Record<'_>, _: TimestampType) -> Result<Then, String> {
        self.printer.print(place, record)?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        let enough = self.printer.is_closed() || self.left == Some(0);
        Ok(if enough { Then::Stop } else { Then::Next })
    }

    fn flush(&mut self) -> Result<Then, String> {
        self.printer.flush()?;
        Ok(if self.printer.is_closed() { Then::Stop } else { Then::Next })
    }
}
