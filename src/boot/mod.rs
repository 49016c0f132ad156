//! Start and stop, in order.
