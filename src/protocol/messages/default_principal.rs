//! The principal inside an Envelope request, behind its version as a 16-bit integer.
//!
//! Knows only the layout. Source: `DefaultPrincipalData` in Kafka's clients, KIP-590.

use crate::protocol::message::message;

message! {
    /// Who sent the request that is wrapped.
    DefaultPrincipalData 0..=0, flexible 0.. {
        r#type: String,
        name: String,
        token_authenticated: bool,
    }
}
