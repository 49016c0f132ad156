//! Whether this broker's roles are surely its present ones: its ZooKeeper session stands, and the controller has given it
//! roles since its registration in that session.
//!
//! A broker that ZooKeeper cannot reach serves on what it leads, though another may have been elected in its place; what
//! only the true leader can say, it must not say then. A process that was paused learns of it a moment after it goes on.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Standing {
    session_stands: AtomicBool,
    /// Broker epoch in which the controller last gave roles.
    roles_of: AtomicI64,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing { session_stands: AtomicBool::new(false), roles_of: AtomicI64::new(-1) }
    }
}

impl Standing {
    /// The session is registered and connected, or not.
    pub fn set_session(&self, stands: bool) {
        self.session_stands.store(stands, Ordering::SeqCst);
    }

    /// The controller has given roles to the broker of this epoch.
    pub fn roles_given(&self, broker_epoch: i64) {
        self.roles_of.store(broker_epoch, Ordering::SeqCst);
    }

    /// Whether the roles of the broker, whose epoch is this now, are surely the present ones.
    pub fn is_sure(&self, broker_epoch: i64) -> bool {
        self.session_stands.load(Ordering::SeqCst) && self.roles_of.load(Ordering::SeqCst) == broker_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_sure_once_it_has_roles_in_a_session_that_stands() {
        let standing = Standing::default();
        assert!(!standing.is_sure(-1));
        standing.set_session(true);
        assert!(!standing.is_sure(7), "registered, and not a word from the controller yet");
        standing.roles_given(7);
        assert!(standing.is_sure(7));
        standing.set_session(false);
        assert!(!standing.is_sure(7), "the session may be over");
        standing.set_session(true);
        assert!(standing.is_sure(7) && !standing.is_sure(9), "a new registration, roles of the old one");
    }
}
