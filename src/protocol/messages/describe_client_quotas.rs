//! DescribeClientQuotas, API 48. KIP-546; match types: 0 exact, 1 default, 2 any.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeClientQuotasRequest`, `DescribeClientQuotasResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for client quotas that match a filter.
    DescribeClientQuotasRequest 0..=1, flexible 1.. {
        components: Vec<ComponentData>,
        strict: bool,
    }

    /// In `DescribeClientQuotasRequest::components`.
    ComponentData {
        entity_type: String,
        match_type: i8,
        r#match: Option<String> = Some(String::new()),
    }
}

message! {
    /// The quotas, by entity.
    DescribeClientQuotasResponse 0..=1, flexible 1.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        entries: Option<Vec<EntryData>> = Some(Vec::new()),
    }

    /// In `DescribeClientQuotasResponse::entries`.
    EntryData {
        entity: Vec<EntityData>,
        values: Vec<ValueData>,
    }

    /// In `EntryData::entity`.
    EntityData {
        entity_type: String,
        entity_name: Option<String> = Some(String::new()),
    }

    /// In `EntryData::values`.
    ValueData {
        key: String,
        value: f64,
    }
}
