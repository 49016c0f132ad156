//! One run: a cluster, clients, faults in turn, the end phase, the verdict.
//!
//! Quiet, then fault after fault: injected, held, healed, waited for until every ISR is full. In the end everything is
//! healed, producers and pollers end, both clients read everything, brokers stop, replicas are compared, and the
//! operations are judged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;

use crate::check::history::Op;
use crate::check::{Checker, Verdict};
use crate::cluster::{Cluster, Kind, Programs};
use crate::disk;
use crate::fault::{Deck, Fault, Kind as FaultKind};
use crate::gaps::{Acks, Gap};
use crate::inject::{self, Injected};
use crate::process::failed;
use crate::progress::Progress;
use crate::replicas::{self, Compared};
use crate::watch::Watch;
use crate::workload::{Drivers, Load, Workload};
use crate::zookeeper::View;

const CONNECT: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(5);
/// After this a cluster that is not whole has not recovered.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
/// After this a broker whose disk was full is started again.
const DISK_PATIENCE: Duration = Duration::from_secs(20);
const FRESH: Duration = Duration::from_secs(3);
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// Set by Ctrl-C.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is to be done.
pub struct Plan {
    /// The brokers, in order of their ids.
    pub kinds: Vec<Kind>,
    /// How long faults are dealt.
    pub time: Duration,
    /// Which.
    pub faults: Vec<Fault>,
    /// How long each lasts, instead of what the seed says.
    pub hold: Option<Duration>,
    /// Draws faults, targets and durations.
    pub seed: u64,
    /// What clients do.
    pub load: Load,
    /// Programs of the cluster.
    pub programs: Programs,
    /// Programs of the clients.
    pub drivers: Drivers,
    /// Where everything is; emptied first.
    pub dir: PathBuf,
    /// With namespaces and images.
    pub isolated: bool,
}

/// One fault and what came of it. Times are microseconds since the Unix epoch.
pub struct Event {
    /// Which.
    pub fault: Fault,
    /// Ids of the brokers, or numbers of the ZooKeepers.
    pub victims: Vec<usize>,
    /// When it was done.
    pub from: i64,
    /// How long it was in force, in seconds.
    pub held: f64,
    /// From healing to full ISRs, in seconds; `None`: not within the limit.
    pub whole_after: Option<f64>,
    /// When the next one began, or the end.
    pub to: i64,
    /// Steps of leader epochs.
    pub elections: i64,
    /// Steps of `state` znodes.
    pub state_changes: i64,
    /// Steps of the controller's epoch.
    pub controllers: i64,
    /// Seconds each stop took; `None` when it had to be killed.
    pub stops: Vec<Option<f64>>,
    /// Brokers that ended by themselves.
    pub ended: Vec<usize>,
    /// Brokers that had to be started again after their disk was full.
    pub restarted: Vec<usize>,
    /// Write gaps in its time.
    pub gap: Option<Gap>,
    /// The same of each producer alone.
    pub gaps: BTreeMap<u64, Gap>,
    /// Writes refused or of unknown outcome in its time.
    pub failures: usize,
}

/// What came of a run.
pub struct Outcome {
    /// The kinds of its brokers.
    pub kinds: Vec<Kind>,
    /// The faults in order.
    pub events: Vec<Event>,
    /// What the checker says.
    pub verdict: Verdict,
    /// Replicas at the end.
    pub compared: Compared,
    /// Lines of logs.
    pub panics: Vec<String>,
    /// By broker id: greatest and last resident memory, in MiB.
    pub memory: BTreeMap<usize, (f64, f64)>,
    /// Write gaps without faults.
    pub quiet: Option<Gap>,
    /// Seconds it took in all.
    pub took: f64,
}

/// The wall clock, set once and then run by the monotonic one, as in the drivers.
struct Wall {
    at: i64,
    since: Instant,
}

impl Wall {
    fn new() -> Wall {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Wall { at: now.as_micros() as i64, since: Instant::now() }
    }

    fn now(&self) -> i64 {
        self.at + self.since.elapsed().as_micros() as i64
    }
}

/// A run under way.
pub struct Run<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// Where it is told.
    pub progress: &'a Progress,
    wall: Wall,
    began: Instant,
    /// The cluster under test.
    pub cluster: Cluster,
    /// What ZooKeeper says of it.
    pub watch: Watch,
    /// The clients.
    pub workload: Workload,
    events: Vec<Event>,
}

/// Does all of it.
pub fn run(plan: &Plan, progress: &Progress) -> io::Result<Outcome> {
    let mut run = lay_out(plan, progress)?;
    progress.step("creating topics");
    run.workload.create()?;
    run.require_whole("the new topics")?;
    run.workload.begin()?;
    progress.step("quiet");
    // The first seconds are those of clients that connect.
    run.hold(CONNECT)?;
    let quiet_from = run.wall.now();
    run.hold(QUIET)?;
    let quiet_to = run.wall.now();
    run.deal()?;
    progress.step("ending producers and pollers");
    run.workload.stop()?;
    run.require_whole("the cluster at the end")?;
    progress.step("reading everything");
    run.workload.read_all()?;
    run.finish(Some((quiet_from, quiet_to)), |_| plan.kinds.len())
}

/// An empty cluster that runs.
pub fn lay_out<'a>(plan: &'a Plan, progress: &'a Progress) -> io::Result<Run<'a>> {
    progress.step("laying out");
    let began = Instant::now();
    if plan.dir.exists() {
        std::fs::remove_dir_all(&plan.dir)?;
    }
    let disks = plan.dir.join("disks");
    std::fs::create_dir_all(&disks)?;
    if plan.isolated {
        disk::memory(&disks)?;
        disk::self_test(&disks)?;
    }
    let nodes = plan.dir.join("nodes");
    let mut cluster = Cluster::new(&nodes, &disks, &plan.kinds, plan.isolated, plan.programs.clone())?;
    progress.step("starting the cluster");
    cluster.start()?;
    let dir = plan.dir.join("clients");
    let workload =
        Workload::new(&cluster.nodes.client, &plan.drivers, &plan.load, cluster.bootstrap(), &dir)?;
    let watch = Watch::start(cluster.zookeeper_addresses(), plan.load.topics.clone());
    Ok(Run { plan, progress, wall: Wall::new(), began, cluster, watch, workload, events: vec![] })
}

impl Run<'_> {
    /// What must hold at any time; brokers that ended by themselves are the answer.
    pub fn look(&mut self) -> io::Result<Vec<usize>> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(failed("interrupted"));
        }
        self.workload.check()?;
        let ended = self.cluster.take_ended()?;
        let pids = self.cluster.brokers.iter();
        self.watch.processes(pids.filter_map(|each| Some((each.id, each.process.as_ref()?.pid()))).collect());
        Ok(ended)
    }

    /// Lets time pass.
    pub fn hold(&mut self, time: Duration) -> io::Result<Vec<usize>> {
        let (began, mut ended) = (Instant::now(), vec![]);
        while began.elapsed() < time {
            ended.extend(self.look()?);
            sleep(Duration::from_millis(50));
        }
        Ok(ended)
    }

    fn is_whole(&self, age: Duration) -> bool {
        let partitions = self.plan.load.topics.len() * self.plan.load.partitions;
        let whole = |view: View| view.whole(self.plan.kinds.len()) && view.partitions.len() == partitions;
        self.watch.view(age).is_some_and(whole)
    }

    /// Seconds until every ISR is full, unless the limit comes first.
    pub fn await_whole(&mut self, limit: Duration) -> io::Result<Option<f64>> {
        let began = Instant::now();
        while began.elapsed() < limit {
            // What was seen before does not count.
            if self.is_whole(began.elapsed().min(FRESH)) {
                return Ok(Some(began.elapsed().as_secs_f64()));
            }
            if INTERRUPTED.load(Ordering::Relaxed) {
                return Err(failed("interrupted"));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(None)
    }

    fn deal(&mut self) -> io::Result<()> {
        let mut chance = Rng::with_seed(self.plan.seed);
        let mut deck = Deck::new(&self.plan.faults);
        let began = Instant::now();
        while began.elapsed() < self.plan.time {
            let Some(fault) = deck.deal(&mut chance) else {
                self.hold(Duration::from_secs(1))?;
                continue;
            };
            let drawn = inject::duration(fault, self.plan.programs.session_ms, &mut chance);
            let event = self.one(fault, self.plan.hold.unwrap_or(drawn), &mut chance)?;
            self.progress.tell(&event.told());
            self.events.push(event);
        }
        Ok(())
    }

    /// One fault from the first moment to the next one's.
    fn one(&mut self, fault: Fault, time: Duration, chance: &mut Rng) -> io::Result<Event> {
        let before =
            self.watch.view(FRESH).ok_or_else(|| failed("ZooKeeper does not answer before a fault"))?;
        let from = self.wall.now();
        let injected = inject::inject(&mut self.cluster, fault, &before, chance)?;
        let victims: Vec<usize> = injected.victims.iter().map(|index| index + 1).collect();
        self.progress.step(&format!("{fault} of {victims:?} for {} s", time.as_secs()));
        let held = Instant::now();
        let mut ended = self.hold(time)?;
        let held = held.elapsed().as_secs_f64();
        inject::heal(&mut self.cluster, &injected)?;
        let (whole_after, restarted) = self.recover(&injected, &mut ended)?;
        ended.extend(self.hold(SETTLE)?);
        let after = self.watch.view(FRESH).unwrap_or_else(|| before.clone());
        Ok(Event {
            fault,
            victims,
            from,
            held,
            whole_after,
            to: self.wall.now(),
            elections: after.elections() - before.elections(),
            state_changes: after.state_changes() - before.state_changes(),
            controllers: after.controller_epoch - before.controller_epoch,
            stops: injected.stops.iter().map(|stop| stop.map(|time| time.as_secs_f64())).collect(),
            ended: ended.iter().map(|index| index + 1).collect(),
            restarted: restarted.iter().map(|index| index + 1).collect(),
            gap: None,
            gaps: BTreeMap::new(),
            failures: 0,
        })
    }

    /// Waits for full ISRs; starts again what ended by itself.
    fn recover(
        &mut self,
        injected: &Injected,
        ended: &mut Vec<usize>,
    ) -> io::Result<(Option<f64>, Vec<usize>)> {
        let began = Instant::now();
        let mut restarted = vec![];
        while began.elapsed() < RECOVERY_LIMIT {
            let late = injected.fault.kind == FaultKind::DiskFull && began.elapsed() > DISK_PATIENCE;
            if late && restarted.is_empty() {
                for index in injected.victims.clone() {
                    inject::restart(&mut self.cluster, index)?;
                    restarted.push(index);
                }
            }
            ended.extend(self.look()?);
            for index in 0..self.cluster.brokers.len() {
                if self.cluster.brokers[index].process.is_none() {
                    self.cluster.start_broker(index)?;
                }
            }
            if self.await_whole(Duration::from_secs(2))?.is_some() {
                return Ok((Some(began.elapsed().as_secs_f64()), restarted));
            }
        }
        Ok((None, restarted))
    }

    /// Waits for full ISRs, which must come.
    pub fn require_whole(&mut self, what: &str) -> io::Result<()> {
        match self.await_whole(RECOVERY_LIMIT)? {
            Some(_) => Ok(()),
            None => Err(failed(format!("{what}: no full ISR within {RECOVERY_LIMIT:?}"))),
        }
    }

    /// Stops the brokers, compares the replicas (`replicas` tells how many a partition has), and judges.
    pub fn finish(
        mut self,
        quiet: Option<(i64, i64)>,
        replicas: impl Fn(&str) -> usize,
    ) -> io::Result<Outcome> {
        let memory = self.watch.memory();
        self.progress.step("stopping brokers");
        for broker in &mut self.cluster.brokers {
            if let Some(mut process) = broker.process.take()
                && process.terminate(STOP_LIMIT)?.is_none()
            {
                self.progress.tell(&format!("broker {} did not stop on SIGTERM", broker.id));
            }
        }
        self.progress.step("comparing replicas");
        let dirs: Vec<PathBuf> = self.cluster.brokers.iter().map(|each| each.disk.dir.join("logs")).collect();
        let compared = replicas::compare(&dirs, &self.plan.load.topics, replicas)?;
        let panics = self.cluster.panics()?;
        self.progress.step("judging");
        let (verdict, acks) = judge(&self.workload.files()?)?;
        for event in &mut self.events {
            event.gap = acks.between(event.from, event.to);
            event.gaps = acks.by_producer(event.from, event.to);
            event.failures = acks.failures(event.from, event.to);
        }
        Ok(Outcome {
            kinds: self.plan.kinds.clone(),
            events: self.events,
            verdict,
            compared,
            panics,
            memory,
            quiet: quiet.and_then(|(from, to)| acks.between(from, to)),
            took: self.began.elapsed().as_secs_f64(),
        })
    }
}

impl Event {
    /// In one line.
    pub fn told(&self) -> String {
        let whole = self.whole_after.map_or("NOT WHOLE".to_owned(), |seconds| format!("{seconds:.1} s"));
        let mut text = format!(
            "{} of {:?}: held {:.1} s, full ISR after {whole}, {} elections, {} controllers",
            self.fault, self.victims, self.held, self.elections, self.controllers
        );
        if !self.ended.is_empty() {
            text += &format!(", ended by themselves: {:?}", self.ended);
        }
        if !self.restarted.is_empty() {
            text += &format!(", started again: {:?}", self.restarted);
        }
        text
    }
}

/// Reads the files of operations, in one pass.
fn judge(files: &[PathBuf]) -> io::Result<(Verdict, Acks)> {
    let (mut checker, mut acks) = (Checker::default(), Acks::default());
    for file in files {
        let mut ended = false;
        for (index, line) in BufReader::new(File::open(file)?).lines().enumerate() {
            let op = checker.line(&line?);
            let op = op.map_err(|error| failed(format!("{}:{}: {error}", file.display(), index + 1)))?;
            acks.add(&op);
            ended = op == Op::End;
        }
        if !ended {
            return Err(failed(format!("{}: its driver did not end in order", file.display())));
        }
    }
    acks.sort();
    Ok((checker.finish(), acks))
}
