//! What each znode of a Kafka cluster is, who writes it, who watches it, and what its data says, in words.
//!
//! Knows every znode of Kafka 3.9 and no store. Source: `kafka.zk.ZkData`, and who uses it.

use ottla_zk::znode::acl;
use ottla_zk::znode::broker::BrokerRegistration;
use ottla_zk::znode::cluster;
use ottla_zk::znode::config::{ConfigNode, decode_change};
use ottla_zk::znode::consumer_offset;
use ottla_zk::znode::controller::{self, ControllerNode};
use ottla_zk::znode::feature::FeatureNode;
use ottla_zk::znode::notify;
use ottla_zk::znode::partition::PartitionState;
use ottla_zk::znode::producer_ids::ProducerIdBlock;
use ottla_zk::znode::reassign::{decode_elections, decode_reassignments};
use ottla_zk::znode::token::TokenNode;
use ottla_zk::znode::topic::TopicNode;
use ottla_zk::znode::{ZnodeError, sanitize};

use super::output::list;

/// What a znode's data says, one line each; or why nobody can read it.
type Says = Result<Vec<String>, ZnodeError>;

/// What is known of a znode.
#[derive(Debug)]
pub struct Meaning {
    /// What it is.
    pub what: String,
    /// Who writes it.
    pub written_by: &'static str,
    /// Who hears of its changes.
    pub watched_by: &'static str,
    /// What its data says.
    pub says: Says,
}

const EVERY_BROKER: &str = "every broker";
const THE_CONTROLLER: &str = "the controller";
const NOBODY: &str = "nobody";
const AT_START: &str = "each broker at its start, when missing";

fn meaning(
    what: impl Into<String>,
    written_by: &'static str,
    watched_by: &'static str,
    says: Says,
) -> Meaning {
    Meaning { what: what.into(), written_by, watched_by, says }
}

/// A node without data of its own.
fn parent(what: impl Into<String>, watched_by: &'static str) -> Meaning {
    meaning(what, AT_START, watched_by, Ok(Vec::new()))
}

/// What the znode at `path` (below the chroot) means; `None` if Kafka has no such znode.
pub fn of(path: &str, data: &[u8]) -> Option<Meaning> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = parts.get(1..).unwrap_or_default();
    match *parts.first()? {
        "cluster"
        | "controller"
        | "controller_epoch"
        | "feature"
        | "latest_producer_id_block"
        | "migration" => of_the_cluster(&parts, data),
        "brokers" => of_brokers(rest, data),
        "config" => of_configs(path, rest, data),
        "admin" => of_admin(rest, data),
        "isr_change_notification" | "log_dir_event_notification" => of_notifications(path, &parts, data),
        "kafka-acl" | "kafka-acl-extended" | "kafka-acl-changes" | "kafka-acl-extended-changes" => {
            of_acls(path, &parts, data)
        }
        "delegation_token" => of_tokens(rest, data),
        "consumers" => of_consumers(path, rest, data),
        "zookeeper" => Some(meaning(
            "ZooKeeper's own: quotas and its configuration",
            "ZooKeeper",
            NOBODY,
            Ok(Vec::new()),
        )),
        _ => None,
    }
}

fn of_the_cluster(parts: &[&str], data: &[u8]) -> Option<Meaning> {
    Some(match parts {
        ["cluster"] => parent("parent of the cluster's id", NOBODY),
        ["cluster", "id"] => {
            let says = cluster::decode(data).map(|id| vec![format!("the cluster's id is {id}")]);
            meaning("the cluster's id, for ever", "the first broker that ever started", NOBODY, says)
        }
        ["controller"] => {
            let says = ControllerNode::decode(data).map(|node| {
                vec![format!("broker {} is the controller since {} ms", node.broker_id, node.timestamp_ms)]
            });
            meaning(
                "who is the controller; it goes with that broker's session, or when an operator deletes it to force an election",
                "the broker that won the election",
                EVERY_BROKER,
                says,
            )
        }
        ["controller_epoch"] => {
            let says = controller::decode_epoch(data)
                .map(|epoch| vec![format!("the cluster is under controller number {epoch}")]);
            meaning(
                "how many controllers there have been; its version guards every write of the controller",
                "the broker that won the election, in the same transaction as /controller",
                NOBODY,
                says,
            )
        }
        ["feature"] => meaning(
            "finalized features of the cluster (KIP-584)",
            THE_CONTROLLER,
            EVERY_BROKER,
            FeatureNode::decode(data).map(features),
        ),
        ["latest_producer_id_block"] => {
            let says = ProducerIdBlock::decode(data).map(|block| match block {
                Some(it) => vec![format!(
                    "ids {} to {} were given out last, to broker {}",
                    it.first, it.last, it.broker
                )],
                None => vec!["no producer id was given out yet".to_owned()],
            });
            meaning(
                "the last block of producer ids; ids up to its end are never given out again",
                THE_CONTROLLER,
                NOBODY,
                says,
            )
        }
        ["migration"] => {
            meaning("how far a migration to KRaft is", "a KRaft controller", NOBODY, Ok(Vec::new()))
        }
        _ => return None,
    })
}

fn features(node: FeatureNode) -> Vec<String> {
    let state = if node.enabled { "feature versioning is on" } else { "feature versioning is off" };
    let level = |(name, it): (&String, &ottla_zk::znode::feature::FinalizedFeature)| {
        format!("{name} is finalized at level {}", it.max_version_level)
    };
    std::iter::once(state.to_owned()).chain(node.features.iter().map(level)).collect()
}

fn of_brokers(rest: &[&str], data: &[u8]) -> Option<Meaning> {
    const TOPIC_WRITERS: &str =
        "the broker that creates the topic or adds partitions; the controller for ids and reassignments";
    Some(match rest {
        [] => parent("parent of brokers, topics and the source of broker ids", NOBODY),
        ["ids"] => parent("parent of the registered brokers", THE_CONTROLLER),
        ["ids", id] => {
            let says = BrokerRegistration::decode(id.parse().ok()?, data).map(registration);
            let what = format!(
                "broker {id} is up; its creation's zxid is the broker's epoch, and it goes with the broker's session"
            );
            meaning(what, "that broker", THE_CONTROLLER, says)
        }
        ["seqid"] => meaning(
            "where brokers without broker.id get one: 1000 plus the node's version",
            "brokers that need an id",
            NOBODY,
            Ok(Vec::new()),
        ),
        ["topics"] => parent("parent of the topics", THE_CONTROLLER),
        ["topics", topic] => {
            let says = TopicNode::decode(topic, data).map(|node| placement(&node));
            meaning(format!("where the replicas of topic {topic} are"), TOPIC_WRITERS, THE_CONTROLLER, says)
        }
        ["topics", topic, "partitions"] => meaning(
            format!("parent of the partitions of topic {topic}"),
            THE_CONTROLLER,
            NOBODY,
            Ok(Vec::new()),
        ),
        ["topics", topic, "partitions", index] => {
            meaning(format!("parent of the state of {topic}-{index}"), THE_CONTROLLER, NOBODY, Ok(Vec::new()))
        }
        ["topics", topic, "partitions", index, "state"] => {
            let says =
                PartitionState::decode(topic, index.parse().ok()?, data).map(|state| leadership(&state));
            let what =
                format!("who leads {topic}-{index} and who is in sync; its version is the partition epoch");
            meaning(
                what,
                "the controller (leaders too, with an inter-broker protocol below 2.7)",
                NOBODY,
                says,
            )
        }
        _ => return None,
    })
}

fn registration(node: BrokerRegistration) -> Vec<String> {
    let endpoint = |it: &ottla_zk::znode::broker::Endpoint| {
        format!("listener {} ({}) is reached at {}:{}", it.listener, it.protocol, it.host, it.port)
    };
    let mut says: Vec<String> = node.endpoints.iter().map(endpoint).collect();
    says.extend(node.rack.map(|rack| format!("it stands in rack {rack}")));
    if node.jmx_port > 0 {
        says.push(format!("JMX answers on port {}", node.jmx_port));
    }
    says.push(format!("registered at {} ms", node.timestamp_ms));
    says
}

fn placement(node: &TopicNode) -> Vec<String> {
    let mut says = match node.topic_id {
        Some(id) => vec![format!("the topic's id is {id}")],
        None => vec!["the topic has no id (inter-broker protocol below 2.8)".to_owned()],
    };
    for (index, replicas) in &node.partitions {
        let preferred = replicas.first().map_or_else(String::new, |id| format!(", preferred leader {id}"));
        let mut text = format!("partition {index} is on {}{preferred}", list(replicas));
        for (word, moving) in [("added", &node.adding_replicas), ("removed", &node.removing_replicas)] {
            if let Some(ids) = moving.get(index).filter(|ids| !ids.is_empty()) {
                text += &format!("; {} being {word}", list(ids));
            }
        }
        says.push(text);
    }
    says
}

fn leadership(state: &PartitionState) -> Vec<String> {
    let leader = match state.leader {
        id if id < 0 => "nobody leads: it is offline".to_owned(),
        id => format!("broker {id} leads, in leader epoch {}", state.leader_epoch),
    };
    let mut says = vec![leader, format!("in sync: {}", list(&state.isr))];
    if state.recovering {
        says.push("its leader was elected uncleanly and recovers".to_owned());
    }
    says.push(format!("written under controller number {}", state.controller_epoch));
    says
}

fn of_configs(path: &str, rest: &[&str], data: &[u8]) -> Option<Meaning> {
    let of_entity = |what: String| {
        let says = ConfigNode::decode(path, data).map(|node| settings(&node));
        meaning(
            what,
            "the broker that is asked to change it, kafka-configs",
            "nobody; brokers hear through /config/changes",
            says,
        )
    };
    let named = |name: &str| match name {
        "<default>" => "all without one of their own".to_owned(),
        name => sanitize::desanitize(name).unwrap_or_else(|| name.to_owned()),
    };
    Some(match rest {
        [] => parent("parent of all configurations", NOBODY),
        ["changes"] => parent("parent of the notes that a configuration changed", EVERY_BROKER),
        ["changes", note] => {
            let says = decode_change(path, data).map(|entity| match entity {
                Some(entity) => vec![format!("the configuration at {} changed", entity.path())],
                None => vec!["it names nothing that a broker knows, and is ignored".to_owned()],
            });
            let what = format!("the note {note} that a configuration changed; deleted after 15 minutes");
            meaning(what, "whoever changed it", "every broker, through its parent", says)
        }
        [kind @ ("topics" | "brokers" | "clients" | "users" | "ips")] => {
            parent(format!("parent of the configurations of {kind}"), NOBODY)
        }
        ["topics", name] => of_entity(format!("what is set on topic {name}")),
        ["brokers", name] => of_entity(format!("what is set on the fly on broker {}", named(name))),
        ["clients", name] => of_entity(format!("quotas of client id {}", named(name))),
        ["ips", name] => of_entity(format!("quotas of connections from {}", named(name))),
        ["users", name] => of_entity(format!("quotas and SCRAM credentials of user {}", named(name))),
        ["users", name, "clients"] => meaning(
            format!("parent of the quotas of client ids of user {}", named(name)),
            "the broker that is asked to set one",
            NOBODY,
            Ok(Vec::new()),
        ),
        ["users", name, "clients", client] => {
            of_entity(format!("quotas of client id {} of user {}", named(client), named(name)))
        }
        _ => return None,
    })
}

/// Secrets are not shown.
fn settings(node: &ConfigNode) -> Vec<String> {
    let secret = |key: &str| key.starts_with("SCRAM-") || key.contains("password");
    let shown = |(key, value): (&String, &String)| match secret(key) {
        true => format!("{key} is set (a secret, not shown)"),
        false => format!("{key} is {value}"),
    };
    match node.config.is_empty() {
        true => vec!["nothing is set".to_owned()],
        false => node.config.iter().map(shown).collect(),
    }
}

fn of_admin(rest: &[&str], data: &[u8]) -> Option<Meaning> {
    const OLD_TOOLS: &str = "tools older than Kafka 2.4; the controller takes out what is done";
    Some(match rest {
        [] => parent("parent of wishes for the controller", NOBODY),
        ["delete_topics"] => parent("parent of the topics to delete", THE_CONTROLLER),
        ["delete_topics", topic] => meaning(
            format!("topic {topic} is to be deleted; the mark goes when every replica has deleted its log"),
            "the broker that is asked to delete it",
            "the controller, through its parent",
            Ok(Vec::new()),
        ),
        ["reassign_partitions"] => {
            let wish = |it: &ottla_zk::znode::reassign::Reassignment| {
                format!("{}-{} shall be on {}", it.topic, it.partition, list(&it.replicas))
            };
            let says = decode_reassignments(data).map(|wishes| wishes.iter().map(wish).collect());
            meaning(
                "where an old tool wants partitions; it goes with its last wish",
                OLD_TOOLS,
                THE_CONTROLLER,
                says,
            )
        }
        ["preferred_replica_election"] => {
            let wish = |it: &ottla_zk::znode::reassign::PartitionName| {
                format!("{}-{} shall be led by its first replica", it.topic, it.partition)
            };
            let says = decode_elections(data).map(|wishes| wishes.iter().map(wish).collect());
            meaning(
                "partitions for which an old tool wants the preferred leader; deleted once that was tried",
                OLD_TOOLS,
                THE_CONTROLLER,
                says,
            )
        }
        _ => return None,
    })
}

fn of_notifications(path: &str, parts: &[&str], data: &[u8]) -> Option<Meaning> {
    Some(match parts {
        ["isr_change_notification"] => {
            parent("parent of notes that leaders changed ISRs themselves", THE_CONTROLLER)
        }
        ["log_dir_event_notification"] => {
            parent("parent of notes that log directories failed", THE_CONTROLLER)
        }
        ["isr_change_notification", _] => {
            let name = |it: &ottla_zk::znode::reassign::PartitionName| {
                format!("the ISR of {}-{} changed", it.topic, it.partition)
            };
            let says = notify::decode_isr_change(path, data).map(|all| all.iter().map(name).collect());
            meaning(
                "a leader changed ISRs itself; deleted once read",
                "leaders with an inter-broker protocol below 2.7",
                THE_CONTROLLER,
                says,
            )
        }
        [_, _] => {
            let says = notify::decode_log_dir_event(path, data)
                .map(|broker| vec![format!("a log directory of broker {broker} failed")]);
            meaning(
                "a log directory failed; deleted once read",
                "the broker that has it",
                THE_CONTROLLER,
                says,
            )
        }
        _ => return None,
    })
}

fn of_acls(path: &str, parts: &[&str], data: &[u8]) -> Option<Meaning> {
    const AUTHORIZER: &str = "the authorizer of any broker, kafka-acls";
    const HEARD: &str = "nobody; authorizers hear through the changes";
    let rules = |pattern: String| {
        let rule = |it: &acl::AclEntry| {
            format!("{:?} {:?} for {} from {}", it.permission, it.operation, it.principal, it.host)
        };
        let says = acl::decode(path, data).map(|rules| rules.iter().map(rule).collect());
        meaning(format!("who may do what with {pattern}"), AUTHORIZER, HEARD, says)
    };
    Some(match parts {
        ["kafka-acl"] | ["kafka-acl-extended"] | ["kafka-acl-extended", "prefixed"] => {
            meaning("parent of access rules", "the authorizer at its start", NOBODY, Ok(Vec::new()))
        }
        ["kafka-acl", kind] | ["kafka-acl-extended", "prefixed", kind] => meaning(
            format!("parent of the access rules of kind {kind}"),
            "the authorizer at its start",
            NOBODY,
            Ok(Vec::new()),
        ),
        ["kafka-acl", kind, name] => rules(format!("{kind} {name}")),
        ["kafka-acl-extended", "prefixed", kind, name] => {
            rules(format!("every {kind} whose name begins with {name}"))
        }
        ["kafka-acl-changes"] | ["kafka-acl-extended-changes"] => meaning(
            "parent of the notes that access rules changed",
            "the authorizer at its start",
            "every broker's authorizer",
            Ok(Vec::new()),
        ),
        ["kafka-acl-changes" | "kafka-acl-extended-changes", _] => {
            let says = Ok(vec![String::from_utf8_lossy(data).chars().take(300).collect()]);
            meaning(
                "access rules changed; deleted after 15 minutes",
                AUTHORIZER,
                "every broker's authorizer, through its parent",
                says,
            )
        }
        _ => return None,
    })
}

fn of_tokens(rest: &[&str], data: &[u8]) -> Option<Meaning> {
    const ISSUER: &str = "the broker that is asked for it";
    Some(match rest {
        [] => parent("parent of delegation tokens", NOBODY),
        ["tokens"] => parent("parent of the delegation tokens", NOBODY),
        ["token_changes"] => {
            parent("parent of the notes that tokens changed", "every broker with tokens enabled")
        }
        ["token_changes", _] => {
            let says =
                Ok(vec![format!("token {} changed", String::from_utf8_lossy(&data[..data.len().min(100)]))]);
            meaning(
                "a delegation token changed; deleted after 15 minutes",
                ISSUER,
                "every broker with tokens enabled, through its parent",
                says,
            )
        }
        ["tokens", id] => {
            let says = TokenNode::decode(id, data).map(|token| {
                let mut says = vec![
                    format!("it belongs to {}, asked for by {}", token.owner, token.requester),
                    format!(
                        "issued at {} ms, expires at {} ms, at the latest at {} ms",
                        token.issue_ms, token.expiry_ms, token.max_ms
                    ),
                ];
                says.extend(token.renewers.iter().map(|renewer| format!("{renewer} may renew it")));
                says
            });
            meaning(format!("delegation token {id}; its secret is not stored"), ISSUER, NOBODY, says)
        }
        _ => return None,
    })
}

fn of_consumers(path: &str, rest: &[&str], data: &[u8]) -> Option<Meaning> {
    const OLD: &str = "consumers older than Kafka 0.9; brokers for OffsetCommit version 0";
    Some(match rest {
        [] => parent("parent of groups that keep their offsets in ZooKeeper", NOBODY),
        [group, "offsets", topic, index] => {
            let says = consumer_offset::decode(path, data).map(|offset| match offset {
                Some(offset) => vec![format!("the group reads on at offset {offset}")],
                None => vec!["no offset is committed".to_owned()],
            });
            meaning(format!("how far group {group} has read {topic}-{index}"), OLD, NOBODY, says)
        }
        [group, ..] => meaning(format!("old consumers' group {group}"), OLD, NOBODY, Ok(Vec::new())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_zk::znode::top_level;

    fn says(path: &str, data: &[u8]) -> Vec<String> {
        of(path, data)
            .unwrap_or_else(|| panic!("{path} is not known"))
            .says
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_node_that_a_cluster_begins_with_is_known() {
        let paths =
            top_level::PERSISTENT.iter().chain(&top_level::DELEGATION_TOKENS).map(|path| (*path).to_owned());
        for path in paths.chain(top_level::acl_paths()) {
            assert!(of(&path, b"").is_some(), "{path}");
        }
        for path in [
            "/migration",
            "/zookeeper/quota",
            "/config/changes/config_change_0000000001",
            "/admin/delete_topics/t",
        ] {
            assert!(of(path, b"").is_some(), "{path}");
        }
        for path in ["/", "/else", "/brokers/else", "/brokers/ids/x", "/config/else"] {
            assert!(of(path, b"").is_none(), "{path}");
        }
    }

    #[test]
    fn fields_are_read_out_in_words() {
        let topic = br#"{"version":3,"partitions":{"0":[3,1]},"adding_replicas":{"0":[3]},"removing_replicas":{"0":[1]}}"#;
        assert_eq!(
            says("/brokers/topics/t", topic)[1],
            "partition 0 is on 3,1, preferred leader 3; 3 being added; 1 being removed"
        );
        let state = br#"{"controller_epoch":4,"leader":-1,"version":1,"leader_epoch":5,"isr":[2]}"#;
        let told = says("/brokers/topics/t/partitions/0/state", state);
        assert_eq!(told, ["nobody leads: it is offline", "in sync: 2", "written under controller number 4"]);
        let wish = br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}"#;
        assert_eq!(says("/admin/reassign_partitions", wish), ["t-0 shall be on 1,2"]);
        assert_eq!(says("/controller_epoch", b"7"), ["the cluster is under controller number 7"]);
        let user = br#"{"version":1,"config":{"SCRAM-SHA-256":"salt=x"}}"#;
        assert_eq!(says("/config/users/a", user), ["SCRAM-SHA-256 is set (a secret, not shown)"]);
        assert_eq!(says("/consumers/g/offsets/t/0", b"12"), ["the group reads on at offset 12"]);
        let lost = of("/controller", b"?").expect("known").says.expect_err("nobody can read it");
        assert!(lost.to_string().contains("/controller"));
    }
}
