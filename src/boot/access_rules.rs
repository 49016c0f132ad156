//! Access rules that nobody would enforce: a broker does not start over them. Without an authorizer Kafka does not look at them
//! either; with one that allows everything while there are none, none is what has to be made sure of.

use ottla_zk::kafka::acls::{self, StoredAcls};
use ottla_zk::store::Store;

use crate::config::load::Settings;

/// How many are named.
const NAMED: usize = 3;

/// The error is for the operator: which rules there are.
pub async fn refuse(settings: &Settings, store: &dyn Store) -> Result<(), String> {
    if !settings.names_authorizer() {
        return Ok(());
    }
    let mut rules = acls::read_all(store).await.map_err(|error| error.to_string())?;
    rules.retain(|rule| !rule.entries.is_empty());
    if rules.is_empty() {
        tracing::warn!(
            "there are no access rules, so everyone is allowed everything, as allow.everyone.if.no.acl.found says; \
             rules that are made from now on would not be enforced"
        );
        return Ok(());
    }
    Err(format!(
        "ZooKeeper holds access rules ({}), and this broker cannot enforce them yet; remove them with kafka-acls and start \
         again, or keep a Kafka broker here",
        in_short(&rules)
    ))
}

fn in_short(rules: &[StoredAcls]) -> String {
    let name = |rule: &StoredAcls| format!("{} {}", rule.pattern.resource_type.name(), rule.pattern.name);
    let mut names: Vec<String> = rules.iter().take(NAMED).map(name).collect();
    if rules.len() > NAMED {
        names.push(format!("{} more", rules.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use ottla_zk::server::{Options, Server};
    use ottla_zk::store::{CreateMode, Local, create_recursive};

    use super::*;

    const RULE: &[u8] = br#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Allow","operation":"Read","host":"*"}]}"#;

    fn settings(class: &str) -> Settings {
        let keys = [("authorizer.class.name", class), ("allow.everyone.if.no.acl.found", "true")];
        let pairs = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Settings::from_pairs(pairs).expect("these keys are valid").0
    }

    #[tokio::test]
    async fn rules_are_refused_by_name_and_only_where_an_authorizer_is_named() {
        let server = Server::start(Options::default()).await.unwrap();
        let store = Local::connect(&server.handle(), 6000).await.unwrap();
        let named = settings("kafka.security.authorizer.AclAuthorizer");
        assert_eq!(refuse(&named, &store).await, Ok(()), "not even the parents are there");
        acls::create_store(&store).await.unwrap();
        assert_eq!(refuse(&named, &store).await, Ok(()));
        create_recursive(&store, "/kafka-acl/Topic/orders", RULE).await.unwrap();
        for id in 0..3 {
            store.create(&format!("/kafka-acl/Group/{id}"), RULE, CreateMode::Persistent).await.unwrap();
        }
        let error = refuse(&named, &store).await.unwrap_err();
        assert!(error.contains("Topic orders") && error.contains("1 more"), "{error}");
        assert_eq!(refuse(&settings(""), &store).await, Ok(()));
    }
}
