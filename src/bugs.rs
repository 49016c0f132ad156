//! Historic bugs that the simulation may put back; see [`ottla_zk::bugs`]. Without the feature, none.

pub use ottla_zk::bugs::*;
