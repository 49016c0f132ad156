//! Envelope, API 58. KIP-590; used by KRaft, refused in ZooKeeper mode.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `EnvelopeRequest`, `EnvelopeResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// A request that one broker forwards to the controller for a client.
    EnvelopeRequest 0..=0, flexible 0.. {
        request_data: Bytes,
        request_principal: Option<Bytes> = Some(Bytes::new()),
        client_host_address: Bytes,
    }
}

message! {
    /// The controller's response to the wrapped request.
    EnvelopeResponse 0..=0, flexible 0.. {
        response_data: Option<Bytes>,
        error_code: i16,
    }
}
