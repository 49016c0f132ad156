//! Start and stop, in order; the table of periodic jobs. Wires the broker's parts together.

mod access_rules;
pub mod controlled_shutdown;
pub mod directories;
pub mod ensemble;
pub mod ownership;
pub mod startup;
pub mod tasks;
