//! How many connections a broker takes and how fast: in all, at one listener, from one address (`ConnectionQuotas`
//! in Kafka).
//!
//! A slot is taken before a connection is served and given back when its [`Permit`] is dropped, whatever
//! way the connection ends. At `max.connections` the acceptor waits, as Kafka's does (trap 21); at
//! `max.connections.per.ip` the new connection is closed at once; above `max.connection.creation.rate` the acceptor
//! waits until the rate is met again. The listener of the brokers, where clients have one of their own, answers to its
//! own limits alone. Left out: Kafka then closes a client's connection for each one that this takes beyond the limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::rate::{Rate, Windows};
use crate::clock::Timestamp;

/// The limits, as configured.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `max.connections`.
    pub total: usize,
    /// `max.connections.per.ip`.
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub per_ip_overrides: HashMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, in connections a second.
    pub rate: i64,
    /// `quota.window.num` and `quota.window.size.seconds`.
    pub windows: Windows,
    /// Of each listener.
    pub listeners: Vec<ListenerLimits>,
}

/// The limits of one listener: what `listener.name.<name>.` says, or else what holds for all.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// `max.connections`.
    pub connections: usize,
    /// `max.connection.creation.rate`.
    pub rate: i64,
    /// Only brokers come here: the limits of the whole broker do not keep them out.
    pub protected: bool,
}

/// Counts connections. Listeners go by their place in [`Limits::listeners`].
#[derive(Debug)]
pub struct Slots {
    limits: Limits,
    taken: Mutex<Taken>,
    /// One a listener: what frees a place at one may be no use at another.
    freed: Vec<Notify>,
}

#[derive(Debug)]
struct Taken {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
    by_listener: Vec<usize>,
    rate: Rate,
    listener_rates: Vec<Rate>,
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    slots: Arc<Slots>,
    listener: usize,
    ip: IpAddr,
}

/// Why a connection was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The broker or the listener is full: wait for [`Slots::freed`].
    Full,
    /// This address has all it may have: close.
    Address {
        /// What the address may have.
        limit: usize,
    },
}

impl Slots {
    /// No connection yet.
    pub fn new(limits: Limits) -> Arc<Slots> {
        let taken = Taken {
            total: 0,
            by_ip: HashMap::new(),
            by_listener: vec![0; limits.listeners.len()],
            rate: Rate::new(limits.rate, limits.windows),
            listener_rates: limits.listeners.iter().map(|own| Rate::new(own.rate, limits.windows)).collect(),
        };
        let freed = limits.listeners.iter().map(|_| Notify::new()).collect();
        Arc::new(Slots { limits, taken: Mutex::new(taken), freed })
    }

    /// Counts a new connection at `listener`; how many ms it must wait before it may take a place.
    pub fn arrived(&self, listener: usize, now: Timestamp) -> i64 {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.listener_rates[listener].record(now);
        if self.limits.listeners[listener].protected { own } else { taken.rate.record(now).max(own) }
    }

    /// Takes a place for a connection from `ip` at `listener`.
    pub fn take(self: &Arc<Slots>, listener: usize, ip: IpAddr) -> Result<Permit, Refused> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &self.limits.listeners[listener];
        let full = taken.total >= self.limits.total && !own.protected;
        if full || taken.by_listener[listener] >= own.connections {
            return Err(Refused::Full);
        }
        let limit = self.limits.per_ip_overrides.get(&ip).copied().unwrap_or(self.limits.per_ip);
        let of_address = taken.by_ip.entry(ip).or_default();
        if *of_address >= limit {
            if *of_address == 0 {
                taken.by_ip.remove(&ip);
            }
            return Err(Refused::Address { limit });
        }
        *of_address += 1;
        taken.total += 1;
        taken.by_listener[listener] += 1;
        Ok(Permit { slots: self.clone(), listener, ip })
    }

    /// Resolves when a place for `listener` may have become free.
    pub async fn freed(&self, listener: usize) {
        self.freed[listener].notified().await;
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        taken.by_listener[self.listener] -= 1;
        if let Some(count) = taken.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.by_ip.remove(&self.ip);
            }
        }
        drop(taken);
        // `notify_one` keeps a permit for an acceptor that is about to wait.
        self.slots.freed.iter().for_each(Notify::notify_one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn listener(connections: usize, rate: i64, protected: bool) -> ListenerLimits {
        ListenerLimits { connections, rate, protected }
    }

    fn limits(total: usize, rate: i64, listeners: Vec<ListenerLimits>) -> Limits {
        let windows = Windows { count: 2, size_ms: 1000 };
        Limits { total, per_ip: 100, per_ip_overrides: HashMap::new(), rate, windows, listeners }
    }

    #[test]
    fn counts_in_all_and_by_address() {
        let all = limits(3, 100, vec![listener(100, 100, false)]);
        let slots = Slots::new(Limits { per_ip: 2, per_ip_overrides: HashMap::from([(TWO, 1)]), ..all });
        let first = slots.take(0, ONE).expect("free");
        let _second = slots.take(0, ONE).expect("free");
        assert_eq!(slots.take(0, ONE).err(), Some(Refused::Address { limit: 2 }));
        let _third = slots.take(0, TWO).expect("free");
        assert_eq!(slots.take(0, TWO).err(), Some(Refused::Full));
        drop(first);
        assert_eq!(slots.take(0, TWO).err(), Some(Refused::Address { limit: 1 }));
        assert!(slots.take(0, ONE).is_ok());
        assert_eq!(slots.count(), 2);
    }

    #[test]
    fn clients_cannot_keep_brokers_out_and_each_listener_has_its_own_limit() {
        let slots = Slots::new(limits(
            2,
            100,
            vec![listener(1, 9, false), listener(9, 9, false), listener(2, 9, true)],
        ));
        let first = slots.take(0, ONE).expect("free");
        assert_eq!(slots.take(0, ONE).err(), Some(Refused::Full), "its own limit");
        let _second = slots.take(1, ONE).expect("free");
        assert_eq!(slots.take(1, ONE).err(), Some(Refused::Full), "the limit of all");
        let _brokers = [slots.take(2, ONE).expect("protected"), slots.take(2, ONE).expect("protected")];
        assert_eq!(slots.take(2, ONE).err(), Some(Refused::Full), "protected, not unlimited");
        drop(first);
        assert_eq!(
            slots.take(0, ONE).err(),
            Some(Refused::Full),
            "what brokers took beyond the limit counts"
        );
    }

    #[test]
    fn the_rate_of_all_and_of_a_listener_and_the_longer_wait_counts() {
        let slots = Slots::new(limits(
            9,
            4,
            vec![listener(9, 2, false), listener(9, 9, false), listener(9, 2, true)],
        ));
        let now = Timestamp(1_000);
        let arrive =
            |listener, times| -> Vec<i64> { (0..times).map(|_| slots.arrived(listener, now)).collect() };
        assert_eq!(arrive(0, 3), [0, 0, 500], "two a second here");
        assert_eq!(arrive(1, 2), [0, 250], "four a second in all");
        assert_eq!(arrive(2, 3), [0, 0, 500], "brokers have their own rate only");
        assert_eq!(arrive(1, 1), [500], "and do not count for the others");
    }
}
