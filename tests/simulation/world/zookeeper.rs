//! The world's side of ZooKeeper: what arrives there, what it answers, whom it tells, whose session ends.
//!
//! Knows nothing of what is asked.

use super::*;

/// ZooKeeper.
impl World {
    pub(super) fn watcher(&self, host: usize) -> Option<u64> {
        self.hosts[host].process.as_ref().map(|process| process.store.link().watcher).filter(|id| *id != 0)
    }

    /// A request that a broken connection carried may have come through or not; nobody hears of it.
    pub(super) fn zk_arrive(
        &mut self,
        from: Address,
        (session, watcher): (i64, u64),
        request: &Request,
        answer: ZkAnswer,
    ) {
        let is_orphan = !self.zk.watchers.contains_key(&watcher);
        if self.zk_is_down || is_orphan && self.random.bool() || !self.zk.lives(session) {
            return;
        }
        let (result, fired) = self.zk.serve(self.now, session, watcher, request);
        self.mix(u64::from(result.is_ok()));
        if request.is_write() {
            let refused = match &result {
                Ok(Reply::Multi(results)) => results
                    .iter()
                    .any(|result| matches!(result, ottla_zk::jute::OpResult::Error(number) if *number != 0)),
                result => result.is_err(),
            };
            self.note(|_| {
                format!("zk {} {} {}", from.0, if refused { "REFUSED" } else { "ok" }, shown(request))
            });
            if !refused {
                let written = self.oracle.written(&mut self.zk, request);
                written.into_iter().for_each(|state| self.look_at_isr(&state));
            }
        }
        self.tell(fired);
        if is_orphan {
            return;
        }
        let delay = self.delay();
        let host = &mut self.hosts[from.0];
        host.zk_down = host.zk_down.max(self.now + delay);
        let when = host.zk_down;
        self.at(when, Event::ZkAnswer { to: from, watcher, result, answer });
    }

    /// Who is in an ISR has all that is committed: at the moment at which it is written, too. After a power loss a broker
    /// is in the ISR without, until the controller knows (R9); those seeds are judged by what is lost.
    pub(super) fn look_at_isr(&mut self, written: &Written) {
        if self.swarm.has_power_losses() {
            return;
        }
        for id in &written.isr {
            let Some(broker) = self.hosts.get(*id as usize).and_then(Host::broker) else { continue };
            let Some(partition) = broker.replicas.partition(&written.topic, written.partition) else {
                continue;
            };
            let (log, topic_id) = {
                let state = partition.lock();
                (state.log.clone(), state.topic_id)
            };
            if let Some(log) = log {
                self.oracle.in_isr(*id, (topic_id, written.partition), &log, written.mark);
            }
        }
    }

    /// Tells the watchers, each on its connection, in order with its answers.
    pub fn tell(&mut self, fired: Vec<Fired>) {
        for fired in fired {
            let watcher = fired.watcher.0;
            let Some(to) = self.zk.watchers.get(&watcher).copied() else { continue };
            let delay = self.delay();
            let host = &mut self.hosts[to.0];
            host.zk_down = host.zk_down.max(self.now + delay);
            let when = host.zk_down;
            self.at(when, Event::ZkFired { to, watcher, event: fired.event });
        }
    }

    /// The client library sees its connection to ZooKeeper break.
    pub fn break_zk(&mut self, host: usize) {
        let to = self.address(host);
        let Some(process) = &self.hosts[host].process else { return };
        let watcher = std::mem::take(&mut process.store.link().watcher);
        if watcher == 0 {
            return;
        }
        process.store.tell(SessionEvent::Disconnected);
        self.zk.disconnect(watcher);
        let pause = self.random.i64(20..400);
        self.at(self.now + pause, Event::ZkConnect { to });
    }

    pub(super) fn zk_connect(&mut self, to: Address) -> Option<usize> {
        let (host, life) = to;
        if self.zk_is_down || self.zk_cuts.contains(&host) {
            self.at(self.now + 250, Event::ZkConnect { to });
            return None;
        }
        let process = self.hosts[host].process.as_ref()?;
        let session = process.store.link().session;
        let lives = session != 0 && self.zk.lives(session);
        if session != 0 && !lives {
            process.store.link().session = 0;
            process.store.tell(SessionEvent::Expired);
        }
        let watcher = self.zk.connect(host, life);
        let session = if lives { session } else { self.zk.open(self.now, SESSION_MS) };
        for root in process.store.roots() {
            // Arming a watch fails for nobody: there are few.
            let (armed, _) = self.zk.serve(self.now, session, watcher, &store::arm(&root));
            assert!(armed.is_ok(), "a watch is armed");
        }
        {
            let mut link = process.store.link();
            (link.session, link.watcher) = (session, watcher);
        }
        process.store.tell(match lives {
            true => SessionEvent::Reconnected,
            false => SessionEvent::Connected { session_id: session },
        });
        self.note(|_| format!("broker {host} has session {session} (old: {lives})"));
        Some(host)
    }

    /// Pings of those that can, and the end of those that were silent too long.
    pub(super) fn beat(&mut self) {
        self.at(self.now + BEAT_MS, Event::ZkBeat);
        if self.zk_is_down {
            return;
        }
        for host in 1..self.hosts.len() {
            if self.hosts[host].paused || self.watcher(host).is_none() {
                continue;
            }
            if let Some(process) = &self.hosts[host].process {
                let session = process.store.link().session;
                self.zk.heard(self.now, session);
            }
        }
        let (over, fired) = self.zk.expire(self.now);
        for session in &over {
            self.note(|_| format!("session {session} expires"));
            let owner = (1..self.hosts.len()).find(|host| {
                self.hosts[*host].process.as_ref().is_some_and(|p| p.store.link().session == *session)
            });
            if let Some((host, watcher)) = owner.and_then(|host| Some((host, self.watcher(host)?))) {
                let (to, pause) = (self.address(host), self.delay() * 10);
                self.at(self.now + pause, Event::ZkBreak { to, watcher });
            }
        }
        self.tell(fired);
    }
}
