//! Which replica a consumer should read from (KIP-392, `RackAwareReplicaSelector`): one in its own rack, if that is
//! not where the leader is. Pure.

/// A replica that can serve the consumer's offset.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Broker id.
    pub id: i32,
    /// `broker.rack`.
    pub rack: Option<&'a str>,
    /// How far it is.
    pub log_end_offset: i64,
    /// When it last had all that the leader has, steady ms; `None` = never.
    pub caught_up_at_ms: Option<i64>,
}

/// The follower to send the consumer to; `None` = stay with the leader.
pub fn select(client_rack: &str, leader_rack: Option<&str>, followers: &[Candidate<'_>]) -> Option<i32> {
    if client_rack.is_empty() || leader_rack == Some(client_rack) {
        return None;
    }
    let near = followers.iter().filter(|candidate| candidate.rack == Some(client_rack));
    near.max_by_key(|candidate| (candidate.log_end_offset, candidate.caught_up_at_ms, -candidate.id))
        .map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: i32, rack: &'static str, log_end_offset: i64, caught_up_at_ms: i64) -> Candidate<'static> {
        Candidate { id, rack: Some(rack), log_end_offset, caught_up_at_ms: Some(caught_up_at_ms) }
    }

    #[test]
    fn the_most_caught_up_replica_of_the_clients_rack() {
        let followers = [at(2, "b", 10, 5), at(3, "b", 12, 1), at(4, "b", 12, 3), at(5, "c", 99, 9)];
        assert_eq!(select("b", Some("a"), &followers), Some(4));
        assert_eq!(select("c", Some("a"), &followers), Some(5));
        assert_eq!(select("a", Some("a"), &followers), None, "the leader is near");
        assert_eq!(select("d", Some("a"), &followers), None, "nobody is near");
        assert_eq!(select("", None, &followers), None, "the client names no rack");
    }
}
