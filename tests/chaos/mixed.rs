//! The mixed cluster: Kafka's brokers and ours on one ensemble, under clients, with the controller on either side.
//!
//! Once for each kind of controller: topics are created by Kafka's tool, replicas and leaders are moved by reassignment
//! and back by preferred election, each broker is stopped and started, one is killed. In the end each broker in turn
//! leads everything, and everything is read from it; replicas are compared to the byte. Kafka's own tools do the
//! administration, so that requests come as its users send them.

use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::cluster::Kind;
use crate::nodes::MEMBERS;
use crate::process::{failed, run as run_command};
use crate::run::{Outcome, Plan, Run, lay_out};
use crate::zookeeper::{Reader, View};

/// The topic with two replicas, which move from broker to broker.
pub const MOVING: &str = "moving";
const TOOL_JVM: &[&str] = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const LIMIT: Duration = Duration::from_secs(60);
const FRESH: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_secs(2);

/// One round of a mixed cluster.
pub fn run(plan: &Plan, progress: &crate::progress::Progress) -> io::Result<Outcome> {
    let mut mixed = Mixed { run: lay_out(plan, progress)?, moves: 0 };
    mixed.create()?;
    mixed.run.workload.begin()?;
    mixed.run.hold(Duration::from_secs(5))?;
    let mut kinds = plan.kinds.clone();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        mixed.controller_on(kind)?;
        mixed.administer(kind)?;
        mixed.bounce(kind)?;
    }
    progress.step("ending producers and pollers");
    mixed.run.workload.stop()?;
    for leader in 1..=MEMBERS {
        mixed.lead_everything(leader)?;
        progress.step(&format!("reading everything from broker {leader}"));
        mixed.run.workload.read_all()?;
    }
    mixed.run.finish(None, |partition| if partition.starts_with(MOVING) { 2 } else { MEMBERS })
}

struct Mixed<'a> {
    run: Run<'a>,
    /// How often replicas were moved.
    moves: usize,
}

impl Mixed<'_> {
    /// Runs one of Kafka's tools.
    fn tool(&self, class: &str, arguments: &[&str]) -> io::Result<String> {
        let log4j = self.run.plan.dir.join("tools.properties");
        std::fs::write(
            &log4j,
            "log4j.rootLogger=ERROR, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
            log4j.appender.out.target=System.err\nlog4j.appender.out.layout=org.apache.log4j.SimpleLayout\n",
        )?;
        let words = self.run.cluster.java(TOOL_JVM, &log4j);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(class).args(["--bootstrap-server", &self.run.cluster.bootstrap()]);
        let said = run_command(command.args(arguments))?;
        self.run.progress.tell(&format!("{}: {}", class.rsplit('.').next().unwrap_or(class), brief(&said)));
        Ok(said)
    }

    fn create(&mut self) -> io::Result<()> {
        self.run.progress.step("creating topics with Kafka's tool");
        let load = self.run.plan.load.clone();
        for topic in &load.topics {
            let (replicas, min_isr) = if topic == MOVING { ("2", "1") } else { ("3", "2") };
            self.tool(
                TOPICS,
                &[
                    "--create",
                    "--topic",
                    topic,
                    "--partitions",
                    &load.partitions.to_string(),
                    "--replication-factor",
                    replicas,
                    "--config",
                    &format!("min.insync.replicas={min_isr}"),
                    "--config",
                    "max.message.bytes=65536",
                ],
            )?;
        }
        self.run.require_whole("the new topics")
    }

    fn view(&self) -> io::Result<View> {
        let give_up = Instant::now() + LIMIT;
        loop {
            match self.run.watch.view(FRESH) {
                Some(view) => return Ok(view),
                None if Instant::now() > give_up => return Err(failed("ZooKeeper does not answer")),
                None => sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Waits until `holds` of what ZooKeeper says.
    fn await_view(&mut self, what: &str, holds: impl Fn(&View) -> bool) -> io::Result<()> {
        let give_up = Instant::now() + LIMIT;
        while !self.run.watch.view(FRESH).is_some_and(|view| holds(&view)) {
            let ended = self.run.look()?;
            if !ended.is_empty() {
                return Err(failed(format!("brokers (by index) {ended:?} ended while waiting: {what}")));
            }
            if Instant::now() > give_up {
                return Err(failed(format!("within {LIMIT:?} there was no: {what}")));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Makes a broker of this kind the controller: the others are paused for a moment while the office is vacant.
    fn controller_on(&mut self, kind: Kind) -> io::Result<()> {
        self.run.progress.step(&format!("the controller moves to {}", kind.name()));
        let others = || self.run.cluster.brokers.iter().filter(|broker| broker.kind != kind);
        let signal = |signal: Signal| {
            others().try_for_each(|broker| {
                broker.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
            })
        };
        signal(Signal::STOP)?;
        let deleted = Reader::open(&self.run.cluster.zookeeper_addresses())
            .and_then(|mut reader| reader.delete("/controller"));
        // Long enough to see the vacancy, shorter than a session.
        sleep(Duration::from_secs(1));
        signal(Signal::CONT)?;
        deleted?;
        let wanted: Vec<i64> = self
            .run
            .cluster
            .brokers
            .iter()
            .filter(|each| each.kind == kind)
            .map(|each| each.id as i64)
            .collect();
        self.await_view("controller of that kind", |view| {
            view.controller.is_some_and(|controller| wanted.contains(&controller))
        })?;
        self.run.require_whole("after the controller moved")
    }

    /// What an administrator does, under this controller.
    fn administer(&mut self, kind: Kind) -> io::Result<()> {
        let extra = format!("created-under-{}", kind.name());
        self.run.progress.step(&format!("administration under a controller of {}", kind.name()));
        self.tool(
            TOPICS,
            &["--create", "--topic", &extra, "--partitions", "6", "--replication-factor", "3"],
        )?;
        let described = self.tool(TOPICS, &["--describe", "--topic", &extra])?;
        if described.matches("Leader: ").count() != 6 || described.contains("Leader: none") {
            return Err(failed(format!("{extra} has not six leaders: {described}")));
        }
        self.tool(TOPICS, &["--alter", "--topic", &extra, "--partitions", "8"])?;
        for _ in 0..MEMBERS {
            self.rotate()?;
        }
        self.tool(TOPICS, &["--delete", "--topic", &extra])?;
        self.run.require_whole("after the administration")
    }

    /// Every partition's replicas move on by one broker, and the first of them leads.
    fn rotate(&mut self) -> io::Result<()> {
        self.moves += 1;
        let moves = self.moves;
        self.assign(|topic, partition| {
            let replicas = if topic == MOVING { 2 } else { MEMBERS };
            (0..replicas).map(|index| (partition + moves + index) % MEMBERS + 1).collect()
        })
    }

    fn lead_everything(&mut self, leader: usize) -> io::Result<()> {
        self.run.progress.step(&format!("broker {leader} is to lead everything"));
        self.assign(|topic, _| {
            let replicas = if topic == MOVING { 2 } else { MEMBERS };
            (0..replicas).map(|index| (leader - 1 + index) % MEMBERS + 1).collect()
        })
    }

    /// Reassigns every partition and elects the preferred leaders, with Kafka's tools.
    fn assign(&mut self, replicas: impl Fn(&str, usize) -> Vec<usize>) -> io::Result<()> {
        let load = self.run.plan.load.clone();
        let wanted: Vec<(String, usize, Vec<usize>)> = load
            .topics
            .iter()
            .flat_map(|topic| (0..load.partitions).map(move |partition| (topic.clone(), partition)))
            .map(|(topic, partition)| {
                let to = replicas(&topic, partition);
                (topic, partition, to)
            })
            .collect();
        let partitions: Vec<_> = wanted
            .iter()
            .map(|(topic, partition, to)| json!({"topic": topic, "partition": partition, "replicas": to}))
            .collect();
        let file = self.run.plan.dir.join("reassignment.json");
        std::fs::write(&file, json!({"version": 1, "partitions": partitions}).to_string())?;
        let file = file.display().to_string();
        self.tool(REASSIGN, &["--execute", "--reassignment-json-file", &file])?;
        let ids = |to: &[usize]| to.iter().map(|id| *id as i64).collect::<Vec<_>>();
        self.await_view("end of the reassignment", |view| {
            view.whole(MEMBERS)
                && wanted.iter().all(|(topic, partition, to)| {
                    view.partitions
                        .get(&format!("{topic}/{partition}"))
                        .is_some_and(|state| state.assigned == ids(to))
                })
        })?;
        let told = self.tool(REASSIGN, &["--verify", "--reassignment-json-file", &file])?;
        if told.matches("is completed.").count() != wanted.len() {
            return Err(failed(format!("the reassignment is not complete: {told}")));
        }
        self.tool(ELECT, &["--election-type", "preferred", "--all-topic-partitions"])?;
        self.await_view("preferred leaders", |view| {
            view.whole(MEMBERS)
                && view.partitions.values().all(|state| state.assigned.first() == Some(&state.leader))
        })
    }

    /// Each broker is stopped in order and started again; then the first that is not the controller is killed.
    fn bounce(&mut self, kind: Kind) -> io::Result<()> {
        for index in 0..MEMBERS {
            self.run.progress.step(&format!("broker {} is stopped and started", index + 1));
            if let Some(mut process) = self.run.cluster.brokers[index].process.take()
                && process.terminate(LIMIT)?.is_none()
            {
                return Err(failed(format!("broker {} did not stop on SIGTERM", index + 1)));
            }
            self.run.hold(AWAY)?;
            self.run.cluster.start_broker(index)?;
            self.run.require_whole(&format!("after broker {} was away", index + 1))?;
        }
        self.controller_on(kind)?;
        let controller = self.view()?.controller.unwrap_or(0);
        let victim = (0..MEMBERS).find(|index| *index as i64 + 1 != controller).unwrap_or(0);
        self.run.progress.step(&format!("broker {} is killed", victim + 1));
        if let Some(mut process) = self.run.cluster.brokers[victim].process.take() {
            process.kill()?;
        }
        self.run.hold(AWAY)?;
        self.run.cluster.start_broker(victim)?;
        self.run.require_whole(&format!("after broker {} was killed", victim + 1))
    }
}

fn brief(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.last().copied().unwrap_or("");
    format!("{} lines, the last: {:.100}", lines.len(), last)
}
