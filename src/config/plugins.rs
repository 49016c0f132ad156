//! Keys that name a Java class. What Ottla does natively is accepted by name; anything else is a refusal that
//! names the key, because silently ignoring a policy or an authorizer would change what the operator relies on.

use std::collections::BTreeMap;

/// Key, and the classes for which Ottla has an equivalent.
const CLASS_KEYS: &[(&str, &[&str])] = &[
    ("alter.config.policy.class.name", &[]),
    ("authorizer.class.name", &[]),
    ("client.quota.callback.class", &[]),
    ("create.topic.policy.class.name", &[]),
    ("kafka.metrics.reporters", &[]),
    ("metric.reporters", &["org.apache.kafka.common.metrics.JmxReporter"]),
    (
        "principal.builder.class",
        &["org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"],
    ),
    (
        "replica.selector.class",
        &[
            "org.apache.kafka.common.replica.LeaderSelector",
            "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        ],
    ),
    (
        "remote.log.metadata.manager.class.name",
        &["org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"],
    ),
    ("remote.log.storage.manager.class.name", &[]),
    ("sasl.client.callback.handler.class", &[]),
    ("sasl.login.callback.handler.class", &[]),
    ("sasl.login.class", &[]),
    ("sasl.server.callback.handler.class", &[]),
    ("security.providers", &[]),
    ("ssl.engine.factory.class", &[]),
    ("zookeeper.clientCnxnSocket", &["org.apache.zookeeper.ClientCnxnSocketNIO"]),
];

/// Kafka's authorizer, which compose files name by habit, together with a switch that makes it allow everything while there
/// are no access rules. So much Ottla does too; where there are some, `boot::access_rules` refuses to start.
const AUTHORIZER: &str = "kafka.security.authorizer.AclAuthorizer";

/// Whether access rules, if there were some, were to be enforced.
pub fn names_authorizer(values: &BTreeMap<String, String>) -> bool {
    let is = |key: &str, value: &str| values.get(key).is_some_and(|set| set.eq_ignore_ascii_case(value));
    is("authorizer.class.name", AUTHORIZER) && is("allow.everyone.if.no.acl.found", "true")
}

/// One line for each key whose class cannot be honoured.
pub fn refusals(values: &BTreeMap<String, String>) -> Vec<String> {
    let mut refused = Vec::new();
    for (name, value) in values {
        let base =
            name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')).map(|(_, key)| key);
        let name_without_listener = base.unwrap_or(name);
        let Some((_, honoured)) = CLASS_KEYS.iter().find(|(key, _)| *key == name_without_listener) else {
            continue;
        };
        let is_honoured = honoured.contains(&value.as_str())
            || (name == "authorizer.class.name" && names_authorizer(values));
        if !value.is_empty() && !is_honoured {
            refused.push(format!(
                "{name} = {value} names a Java class that this broker cannot run; remove the key, or keep a Kafka broker for it"
            ));
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_honoured_or_refused_by_name() {
        let one = |key: &str, value: &str| refusals(&BTreeMap::from([(key.to_owned(), value.to_owned())]));
        assert!(one("authorizer.class.name", "")[..].is_empty());
        assert!(one("metric.reporters", "com.example.Reporter")[0].starts_with("metric.reporters = "));
        let refusal = one("create.topic.policy.class.name", "com.example.Policy");
        assert!(refusal[0].contains("create.topic.policy.class.name = com.example.Policy"));
        assert_eq!(one("listener.name.internal.principal.builder.class", "com.example.B").len(), 1);
        let default = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";
        assert!(one("principal.builder.class", default).is_empty());
    }

    #[test]
    fn an_authorizer_passes_only_where_no_rules_forbid_nothing() {
        let with = |class: &str, allow: &str| {
            let keys = [("authorizer.class.name", class), ("allow.everyone.if.no.acl.found", allow)];
            refusals(&keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).len()
        };
        assert_eq!(with(AUTHORIZER, "true"), 0);
        assert_eq!(with(AUTHORIZER, "false"), 1);
        assert_eq!(with("com.example.Authorizer", "true"), 1);
    }
}
