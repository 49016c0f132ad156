//! The command line: one file a command. Errors are one sentence with the next step; exit codes are 0, 1 (failed) and 2 (wrong usage).

mod admin;
pub mod cluster;
pub mod config;
mod connect;
pub mod consume;
mod explain;
pub mod groups;
pub mod kafka;
mod lines;
pub mod logging;
mod meaning;
mod member;
mod offsets;
mod output;
mod partitioner;
mod plan;
mod polling;
mod printing;
pub mod produce;
mod progress;
mod reading;
pub mod reassign;
mod sending;
pub mod serve;
pub mod topics;
pub mod znodes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Kafka 3.9 broker for clusters coordinated by ZooKeeper.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One broker with an embedded ZooKeeper, for development (the default).
    Dev(serve::Dev),
    /// One broker of a cluster on an external ZooKeeper ensemble.
    Start(serve::Start),
    /// Look at configuration files.
    #[command(subcommand)]
    Config(config::Config),
    /// List, describe, create, delete and grow topics.
    Topics(topics::Topics),
    /// Move partitions to other brokers, cancel moves, and watch them.
    Reassign(reassign::Reassign),
    /// Brokers, controller, and how the partitions are.
    Cluster(cluster::Cluster),
    /// List, describe, delete and reset consumer groups.
    Groups(groups::Groups),
    /// Write the lines of standard input as records.
    Produce(produce::Produce),
    /// Print records.
    Consume(consume::Consume),
    /// Look at what a cluster keeps in ZooKeeper.
    Znodes(znodes::Znodes),
}

/// Runs the tool of Kafka by whose name the binary was called, or the command that the arguments name.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    if let Some(tool) = arguments.next().and_then(|called| kafka::named(&called)) {
        let arguments: Vec<String> = arguments.collect();
        return match (tool.run)(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Tools that tell of their failure on standard output, as Kafka's do, leave this empty.
                if !error.is_empty() {
                    eprintln!("{error}");
                }
                ExitCode::FAILURE
            }
        };
    }
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or_else(|| Command::Dev(serve::Dev::default())) {
        Command::Dev(dev) => dev.run(),
        Command::Start(start) => start.run(),
        Command::Config(config) => config.run(),
        Command::Topics(topics) => topics.run(),
        Command::Reassign(reassign) => reassign.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Groups(groups) => groups.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Znodes(znodes) => znodes.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla: {error}");
            ExitCode::FAILURE
        }
    }
}
