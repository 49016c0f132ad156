//! The memory that requests may hold before they are processed (`queued.max.request.bytes`), shared by all listeners.
//!
//! Invariants: a frame is admitted while anything is left, however large it is, so that none waits for ever; what is
//! held can so exceed the budget by one frame. A loan that is dropped is paid back. Source: `SimpleMemoryPool`, not
//! strict, as Kafka's `SocketServer` makes it.

use std::sync::Arc;

use tokio::sync::watch;

/// The budget.
#[derive(Debug)]
pub struct Memory {
    /// Bytes left; below zero once a frame larger than the rest was admitted.
    left: watch::Sender<i64>,
}

/// The memory of one frame.
#[derive(Debug)]
pub struct Loan {
    memory: Arc<Memory>,
    bytes: i64,
}

impl Memory {
    /// A budget of `bytes`, nothing lent.
    pub fn new(bytes: i64) -> Arc<Memory> {
        Arc::new(Memory { left: watch::Sender::new(bytes) })
    }

    /// Whether anything is left.
    pub fn is_left(&self) -> bool {
        *self.left.borrow() > 0
    }

    /// Lends `bytes`, if anything is left.
    pub fn lend(self: &Arc<Memory>, bytes: i64) -> Option<Loan> {
        let mut lent = false;
        self.left.send_if_modified(|left| {
            lent = *left > 0;
            if lent {
                *left -= bytes;
            }
            // Nobody waits for less.
            false
        });
        lent.then(|| Loan { memory: self.clone(), bytes })
    }

    /// Resolves when something is left.
    pub async fn returned(&self) {
        let mut left = self.left.subscribe();
        // Cannot fail: `self` is the sender.
        let _left = left.wait_for(|left| *left > 0).await;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.memory.left.send_modify(|left| *left += self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_byte_admits_any_frame_and_returns_wake_all_who_wait() {
        let memory = Memory::new(100);
        let (small, large) = (memory.lend(99).expect("100 left"), memory.lend(1_000).expect("1 left"));
        assert!(memory.lend(0).is_none() && !memory.is_left());
        drop(small);
        assert!(memory.lend(1).is_none(), "the large one holds more than all");
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let memory = memory.clone();
                tokio::spawn(async move { memory.returned().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|one| !one.is_finished()));
        drop(large);
        for one in waiting {
            one.await.expect("woken");
        }
        assert!(memory.lend(100).is_some_and(|_loan| !memory.is_left()) && memory.is_left());
    }
}
