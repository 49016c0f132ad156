//! This broker's life in ZooKeeper: its session, its registration, what it watches, its share of producer ids.
//!
//! Loss of ZooKeeper stops nothing here: leaders go on serving with what they know, and register again when a
//! session stands. Knows nothing of partitions.

pub mod configurations;
pub mod controller_line;
pub mod producer_ids;
pub mod registration;
pub mod session;
pub mod standing;
pub mod watches;

/// What the controller's shell must know of the session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A new session stands and this broker is registered in it: it may stand for election.
    Registered,
    /// The session is gone: whoever was controller by it is not any more.
    SessionLost,
    /// This broker stops: it is to hold no office, and stands for none.
    Leaving,
    /// `/controller` changed, or may have.
    ControllerChanged,
}
