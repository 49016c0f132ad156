//! Random members, clients and failures.
