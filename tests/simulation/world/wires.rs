//! The world's wires: connections between hosts, and what becomes of frames on them.
//!
//! What was sent is delivered late, broken off, or to nobody; it is never changed.

use super::*;

/// Connections.
impl World {
    pub(super) fn dial_arrive(&mut self, from: Address, port: u16, answer: Dialled) {
        let to = usize::from(port.wrapping_sub(PORTS));
        if to == 0 || to >= self.hosts.len() {
            return;
        }
        if !self.passes(from.0, to) || !self.passes(to, from.0) {
            let pause = self.random.i64(100..3_000);
            return self.at(self.now + pause, Event::DialLost(answer));
        }
        if self.hosts[to].broker().is_none() {
            return;
        }
        self.next_conn += 1;
        let conn = self.next_conn;
        let line = Conn { from, to: self.address(to), answers: None, up: 0, down: 0 };
        self.conns.insert(conn, line);
        let delay = self.delay();
        self.at(self.now + delay, Event::DialDone { to: from, conn, answer });
    }

    pub(super) fn frame(&mut self, conn: u64, bytes: Bytes) -> Option<usize> {
        let (from, to) = self.conns.get(&conn).map(|line| (line.from.0, line.to.0))?;
        if !self.passes(from, to) {
            self.stuck(conn, (from, to), |_| Event::Frame { conn, bytes });
            return None;
        }
        if self.accept(to, conn, bytes) { Some(to) } else { None }
    }

    /// A proxy hands over what it kept, a second time. Only a later life of the process hears of it: this is how
    /// requests meant for an earlier one arrive (KIP-380).
    pub(super) fn late(&mut self, (to, life): Address, bytes: Bytes) -> Option<usize> {
        if self.healed || self.hosts[to].life == life && self.hosts[to].broker().is_some() {
            return None;
        }
        if self.hosts[to].paused || self.hosts[to].broker().is_none() {
            let pause = self.random.i64(200..2_000);
            self.at(self.now + pause, Event::Late { to: (to, life), bytes });
            return None;
        }
        self.note(|_| format!("a late request reaches broker {to}"));
        self.accept(to, 0, bytes).then_some(to)
    }

    /// What meets a cut either breaks its connection or arrives after the cut is mended.
    pub(super) fn stuck(&mut self, conn: u64, way: (usize, usize), again: impl FnOnce(&World) -> Event) {
        let pause = self.random.i64(100..4_000);
        let mended = self.cuts.get(&way).copied().unwrap_or(self.now);
        match self.now + pause < mended {
            true => self.at(self.now + pause, Event::Break { conn }),
            false => {
                let event = again(self);
                self.at(mended + pause % 100, event);
            }
        }
    }

    pub(super) fn accept(&mut self, to: usize, conn: u64, bytes: Bytes) -> bool {
        let Some(broker) = self.hosts[to].broker().cloned() else { return false };
        let key = bytes.first_chunk::<2>().map_or(-1, |key| i16::from_be_bytes(*key));
        self.mix(key as u64);
        if key != 1 && key != 3 && key != 0 && key != 18 {
            self.note(|world| {
                let from = world.conns.get(&conn).map_or(0, |line| line.from.0);
                format!("{from} -> {to} {}", named(key))
            });
        }
        let Some(process) = &self.hosts[to].process else { return false };
        process.runtime.spawn(serve(broker, conn, bytes, process.outbox.clone()));
        true
    }

    pub(super) fn served(&mut self, conn: u64, bytes: Option<Bytes>) -> Option<usize> {
        let line = self.conns.get(&conn)?;
        let (from, to) = (line.from.0, line.to.0);
        let Some(bytes) = bytes else {
            self.conns.remove(&conn);
            return Some(from);
        };
        if !self.passes(to, from) {
            self.stuck(conn, (to, from), |_| Event::Served { conn, bytes: Some(bytes) });
            return None;
        }
        if let Some(answers) = &line.answers {
            // The client may have hung up.
            let _gone = answers.send(bytes);
        }
        Some(from)
    }
}
