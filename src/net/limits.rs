//! How many connections a broker takes, in all and from one address (`ConnectionQuotas` in Kafka).
//!
//! A slot is taken before a connection is served and given back when its [`Permit`] is dropped, whatever
//! way the connection ends. At `max.connections` the acceptor waits, as Kafka's does (trap 21); at
//! `max.connections.per.ip` the new connection is closed at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The limits, as configured.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// `max.connections`.
    pub total: usize,
    /// `max.connections.per.ip`.
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub per_ip_overrides: HashMap<IpAddr, usize>,
}

/// Counts connections.
#[derive(Debug)]
pub struct Slots {
    limits: Limits,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    slots: Arc<Slots>,
    ip: IpAddr,
}

/// Why a connection was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The broker is full: wait for [`Slots::freed`].
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
        Arc::new(Slots { limits, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Takes a place for a connection from `ip`.
    pub fn take(self: &Arc<Slots>, ip: IpAddr) -> Result<Permit, Refused> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.limits.total {
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
        Ok(Permit { slots: self.clone(), ip })
    }

    /// Resolves when a place may have become free.
    pub async fn freed(&self) {
        self.freed.notified().await;
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
        if let Some(count) = taken.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.by_ip.remove(&self.ip);
            }
        }
        drop(taken);
        // `notify_one` keeps a permit for an acceptor that is about to wait.
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_all_and_by_address() {
        let one: IpAddr = [127, 0, 0, 1].into();
        let two: IpAddr = [127, 0, 0, 2].into();
        let limits = Limits { total: 3, per_ip: 2, per_ip_overrides: HashMap::from([(two, 1)]) };
        let slots = Slots::new(limits);
        let first = slots.take(one).expect("free");
        let _second = slots.take(one).expect("free");
        assert_eq!(slots.take(one).err(), Some(Refused::Address { limit: 2 }));
        let _third = slots.take(two).expect("free");
        assert_eq!(slots.take(two).err(), Some(Refused::Full));
        drop(first);
        assert_eq!(slots.take(two).err(), Some(Refused::Address { limit: 1 }));
        assert!(slots.take(one).is_ok());
        assert_eq!(slots.count(), 2);
    }
}
