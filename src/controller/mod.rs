//! The controller as one pure machine.
