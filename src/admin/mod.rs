//! What a broker does for admin clients, by writing znodes.

pub mod assignment;
pub mod validation;
