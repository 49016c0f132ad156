//! Start and stop, in order; the table of periodic jobs. Wires the broker's parts together.

mod access_rules;
pub mod controlled_shutdown;
pub mod directories;
pub mod startup;
pub mod tasks;
