//! The broker: the struct of its parts.
