//! Panics in the brokers' tasks: their runtime catches them, so they are noted where they happen.

use std::cell::RefCell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes panics from now on, each for its thread.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            LAST.set(Some(panic.to_string()));
            before(panic);
        }));
    });
    LAST.take();
}

/// The panic of this thread that nobody has asked for yet.
pub fn last() -> Option<String> {
    LAST.take()
}
