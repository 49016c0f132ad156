//! What a broker does for admin clients, by writing znodes.
