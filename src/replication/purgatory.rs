//! Where requests wait: a list of waiters per partition, woken when its offsets or its leadership change.
//!
//! A waiter registers, *then* looks again, then sleeps: no wake-up is lost. Waking is an atomic load when nobody
//! waits, so an append to a partition without waiters pays nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Notify>>>,
}

impl Waiters {
    /// Wakes everyone: something a waiter may look at has changed.
    pub fn touch(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for waiter in self.list.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiter.notify_one();
        }
    }

    fn add(&self, waiter: &Arc<Notify>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(waiter.clone());
        self.count.store(list.len(), Ordering::SeqCst);
    }

    fn remove(&self, waiter: &Arc<Notify>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = list.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            list.swap_remove(index);
        }
        self.count.store(list.len(), Ordering::SeqCst);
    }
}

/// What has waiters.
pub trait Watched {
    /// Its waiters.
    fn waiters(&self) -> &Waiters;
}

/// A registration with any number of partitions; dropping it leaves them all.
#[derive(Debug)]
pub struct Waiting<P: Watched> {
    notify: Arc<Notify>,
    places: Vec<Arc<P>>,
}

impl<P: Watched> Waiting<P> {
    /// Registers with each of `places`. Look at the condition *after* this.
    pub fn on(places: Vec<Arc<P>>) -> Waiting<P> {
        let notify = Arc::new(Notify::new());
        for place in &places {
            place.waiters().add(&notify);
        }
        Waiting { notify, places }
    }

    /// Resolves when one of the places was touched since the registration or the last call.
    pub async fn touched(&self) {
        self.notify.notified().await;
    }
}

impl<P: Watched> Drop for Waiting<P> {
    fn drop(&mut self) {
        for place in &self.places {
            place.waiters().remove(&self.notify);
        }
    }
}
