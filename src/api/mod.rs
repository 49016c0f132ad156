//! THE TABLE: what this broker speaks, one row an API.
