//! Counts the memory a piece of code asks for, on its own thread: every allocation and every growth, freed
//! or not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    // At the end of a thread its counter is gone; nobody asks for it then.
    let _ = ASKED.try_with(|asked| asked.set(asked.get().wrapping_add(size)));
}

#[expect(
    unsafe_code,
    reason = "only a global allocator sees every allocation; it passes all calls on unchanged"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        unsafe { System.realloc(block, layout, new_size) }
    }
}

/// What `work` returns, and how many bytes it asked for.
pub fn asked_by<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ASKED.get();
    let result = work();
    (result, ASKED.get().wrapping_sub(before))
}
