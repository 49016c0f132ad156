//! AlterClientQuotas, API 49. KIP-546.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterClientQuotasRequest`, `AlterClientQuotasResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Sets or removes client quotas.
    AlterClientQuotasRequest 0..=1, flexible 1.. {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    /// In `AlterClientQuotasRequest::entries`.
    EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    /// In `EntryData::entity`.
    EntityData {
        entity_type: String,
        entity_name: Option<String> = Some(String::new()),
    }

    /// In `EntryData::ops`.
    OpData {
        key: String,
        value: f64,
        remove: bool,
    }
}

message! {
    /// How each entity fared.
    AlterClientQuotasResponse 0..=1, flexible 1.. {
        throttle_time_ms: i32,
        entries: Vec<EntryResult>,
    }

    /// In `AlterClientQuotasResponse::entries`.
    EntryResult {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        entity: Vec<EntityResult>,
    }

    /// In `EntryResult::entity`.
    EntityResult {
        entity_type: String,
        entity_name: Option<String> = Some(String::new()),
    }
}
