//! The command line: one file a command. Errors are one sentence with the next step; exit codes are 0, 1 (failed) and 2 (wrong usage).

mod admin;
pub mod cluster;
pub mod config;
mod connect;
pub mod consume;
pub mod container;
mod engine;
mod explain;
mod first_topics;
pub mod groups;
pub mod health;
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
mod zookeeper;

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
    /// A broker as the environment variables of its container say.
    Container(container::Container),
    /// Whether a broker answers.
    Health(health::Health),
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
    /// The names of Kafka's tools that this binary answers to, one a line: for those who make links to it.
    #[command(hide = true)]
    ToolNames,
}

/// Runs what the name stands for by which the binary was called (a tool of Kafka, another image's entry), or the command that
/// the arguments name.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    if container::is_entry(&called) {
        let check = arguments.any(|argument| argument == "--check");
        return end("ottla: ", container::Container { check }.run(&called));
    }
    if let Some(tool) = kafka::named(&called) {
        return end("", (tool.run)(&arguments.collect::<Vec<String>>()));
    }
    if let Some(why) = kafka::absent(&called) {
        return end("", Err(why));
    }
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or_else(|| Command::Dev(serve::Dev::default())) {
        Command::Dev(dev) => dev.run(),
        Command::Start(start) => start.run(),
        Command::Container(container) => container.run("ottla"),
        Command::Health(health) => health.run(),
        Command::Config(config) => config.run(),
        Command::Topics(topics) => topics.run(),
        Command::Reassign(reassign) => reassign.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Groups(groups) => groups.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Znodes(znodes) => znodes.run(),
        Command::ToolNames => output::print(&kafka::names()),
    };
    end("ottla: ", result)
}

fn end(prefix: &str, result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Tools that tell of their failure on standard output, as Kafka's do, leave this empty.
            if !error.is_empty() {
                eprintln!("{prefix}{error}");
            }
            ExitCode::FAILURE
        }
    }
}
