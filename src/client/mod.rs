//! Requests this process sends to brokers: the controller's to its brokers, a broker's to its controller, the tools'.

pub mod connection;
pub mod network;
