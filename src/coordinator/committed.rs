//! What is in the log but not yet committed, in log order.
//!
//! Invariant: offsets never fall from front to back, so release at the high watermark is a walk from the front.
//! Knows nothing of what the items are.

use std::collections::VecDeque;

/// Items that wait for the high watermark to pass their offset.
#[derive(Debug)]
pub struct Uncommitted<T> {
    queue: VecDeque<(i64, T)>,
}

impl<T> Default for Uncommitted<T> {
    fn default() -> Uncommitted<T> {
        Uncommitted { queue: VecDeque::new() }
    }
}

impl<T> Uncommitted<T> {
    /// Adds the item of the record at `offset`, which is at or above every earlier one.
    pub fn push(&mut self, offset: i64, item: T) {
        assert!(
            self.queue.back().is_none_or(|(last, _)| *last <= offset),
            "records are replayed in log order"
        );
        self.queue.push_back((offset, item));
    }

    /// Takes the oldest item whose offset is below `up_to`.
    pub fn pop_committed(&mut self, up_to: i64) -> Option<(i64, T)> {
        self.queue.pop_front_if(|(offset, _)| *offset < up_to)
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_below_the_high_watermark_in_order() {
        let mut waiting = Uncommitted::default();
        for offset in [3, 4, 4, 7] {
            waiting.push(offset, offset * 10);
        }
        assert_eq!(waiting.pop_committed(3), None, "the watermark is exclusive");
        assert_eq!(waiting.pop_committed(5), Some((3, 30)));
        assert_eq!(waiting.pop_committed(5), Some((4, 40)));
        assert_eq!(waiting.pop_committed(5), Some((4, 40)));
        assert_eq!(waiting.pop_committed(5), None);
        assert_eq!(waiting.len(), 1);
    }
}
