//! What `kafka-configs` is to look at or change, and whether its options go together.
//!
//! An empty name is the default of its kind. Source: `ConfigCommandOptions` of Kafka 3.9.

use std::net::ToSocketAddrs;

use super::options::Options;
use super::topics::duplicates;

/// Options that name an entity, and its kind.
const NAMED: [(&str, &str); 6] = [
    ("topic", "topics"),
    ("client", "clients"),
    ("user", "users"),
    ("broker", "brokers"),
    ("broker-logger", "broker-loggers"),
    ("ip", "ips"),
];
/// Options that mean the default of a kind.
const DEFAULTS: [(&str, &str); 4] = [
    ("client-defaults", "clients"),
    ("user-defaults", "users"),
    ("broker-defaults", "brokers"),
    ("ip-defaults", "ips"),
];
const WITH_BROKERS: [&str; 7] =
    ["topics", "clients", "users", "brokers", "ips", "broker-loggers", "client-metrics"];
const WITH_ZOOKEEPER: [&str; 2] = ["users", "brokers"];

/// Kinds and names, in step.
#[derive(Debug, PartialEq, Eq)]
pub struct Entities {
    /// `topics`, `brokers`, ...; one, or users and clients.
    pub kinds: Vec<String>,
    /// Their names as far as given.
    pub names: Vec<String>,
}

impl Entities {
    /// Those that the options name.
    pub fn of(options: &Options) -> Result<Entities, String> {
        let mut kinds: Vec<String> = options.values("entity-type").into_iter().map(str::to_owned).collect();
        let mut names: Vec<String> = Vec::new();
        for (option, name) in options.given() {
            match option {
                "entity-name" => names.push(name.unwrap_or_default().to_owned()),
                "entity-default" => names.push(String::new()),
                _ => {}
            }
        }
        for (option, kind) in NAMED {
            if let Some(name) = options.value(option)? {
                kinds.push(kind.to_owned());
                names.push(name.to_owned());
            }
        }
        for (_, kind) in DEFAULTS.into_iter().filter(|(option, _)| options.has(option)) {
            kinds.push(kind.to_owned());
            names.push(String::new());
        }
        Ok(Entities { kinds, names })
    }

    fn has(&self, kind: &str) -> bool {
        self.kinds.iter().any(|one| one == kind)
    }
}

/// Whether the options go together; the error says why not.
pub fn check(options: &Options) -> Result<(), String> {
    let action = options
        .one_of(&["describe", "alter"], "Command must include exactly one action: --describe, --alter")?;
    if action == "describe" {
        options.refuse_with("describe", &["add-config", "delete-config"])?;
    }
    let entities = Entities::of(options)?;
    check_kinds(options, &entities)?;
    check_connection(options)?;
    check_names(&entities)?;
    if action == "alter" {
        return check_alter(options, &entities);
    }
    if entities.has("broker-loggers") && !entities.names.iter().any(|name| !name.is_empty()) {
        return Err(format!(
            "an entity name must be specified with --describe of {}",
            entities.kinds.join(",")
        ));
    }
    Ok(())
}

fn check_kinds(options: &Options, entities: &Entities) -> Result<(), String> {
    let twice = duplicates(&entities.kinds);
    if !twice.is_empty() {
        return Err(format!("Duplicate entity type(s) specified: {}", twice.join(",")));
    }
    let with_brokers = options.has("bootstrap-server") || options.has("bootstrap-controller");
    let (allowed, how) = match with_brokers {
        true => (&WITH_BROKERS[..], "--bootstrap-server or --bootstrap-controller"),
        false => (&WITH_ZOOKEEPER[..], "--zookeeper"),
    };
    if let Some(kind) = entities.kinds.iter().find(|kind| !allowed.contains(&kind.as_str())) {
        return Err(format!(
            "Invalid entity type {kind}, the entity type must be one of {} with a {how} argument",
            allowed.join(", ")
        ));
    }
    if entities.kinds.is_empty() {
        return Err("At least one entity type must be specified".into());
    }
    let both = entities.has("users") && entities.has("clients");
    if entities.kinds.len() > 1 && !(both && entities.kinds.len() == 2) {
        return Err("Only 'users' and 'clients' entity types may be specified together".into());
    }
    let general = ["entity-name", "entity-type", "entity-default"].into_iter().any(|name| options.has(name));
    let special = NAMED.iter().chain(&DEFAULTS).any(|(name, _)| options.has(name));
    if general && special {
        return Err(
            "--entity-{type,name,default} should not be used in conjunction with specific entity flags"
                .into(),
        );
    }
    Ok(())
}

fn check_connection(options: &Options) -> Result<(), String> {
    const WAYS: [&str; 3] = ["bootstrap-server", "bootstrap-controller", "zookeeper"];
    match WAYS.into_iter().filter(|way| options.has(way)).count() {
        0 => {
            return Err(
                "One of the required --bootstrap-server, --boostrap-controller, or --zookeeper arguments \
                         must be specified"
                    .into(),
            );
        }
        1 => {}
        _ => {
            return Err(
                "Only one of --bootstrap-server, --boostrap-controller, and --zookeeper can be specified"
                    .into(),
            );
        }
    }
    if options.has("bootstrap-controller") {
        return Err("--bootstrap-controller cannot be used: clusters with ZooKeeper have no controllers apart from their \
                    brokers; use --bootstrap-server"
            .into());
    }
    if options.has("all") && options.has("zookeeper") {
        return Err("--bootstrap-server must be specified for --all".into());
    }
    if options.has("zk-tls-config-file") {
        return Err(match options.has("zookeeper") {
            true => "--zk-tls-config-file cannot be used: this tool reaches ZooKeeper without TLS; name a plain client port \
                     with --zookeeper"
                .into(),
            false => {
                "Only the --zookeeper option can be used with the --zk-tls-config-file option.".to_owned()
            }
        });
    }
    Ok(())
}

fn check_names(entities: &Entities) -> Result<(), String> {
    let kind = &entities.kinds[0];
    for name in entities.names.iter().filter(|name| !name.is_empty()) {
        if matches!(kind.as_str(), "brokers" | "broker-loggers") && name.parse::<i32>().is_err() {
            return Err(format!(
                "The entity name for {kind} must be a valid integer broker id, but it is: {name}"
            ));
        }
        if kind == "ips" && (name.as_str(), 0).to_socket_addrs().is_err() {
            return Err(format!(
                "The entity name for {kind} must be a valid IP or resolvable host, but it is: {name}"
            ));
        }
    }
    Ok(())
}

fn check_alter(options: &Options, entities: &Entities) -> Result<(), String> {
    let has_name = entities.names.iter().any(|name| !name.is_empty());
    let has_default = entities.names.iter().any(|name| name.is_empty());
    if ["users", "clients", "brokers", "ips"].into_iter().any(|kind| entities.has(kind)) {
        if !has_name && !has_default {
            return Err("an entity-name or default entity must be specified with --alter of users, clients, brokers or \
                        ips"
                .into());
        }
    } else if !has_name {
        return Err(format!("an entity name must be specified with --alter of {}", entities.kinds.join(",")));
    }
    match (options.has("add-config"), options.has("add-config-file"), options.has("delete-config")) {
        (true, true, _) => Err("Only one of --add-config or --add-config-file must be specified".into()),
        (false, false, false) => {
            Err("At least one of --add-config, --add-config-file, or --delete-config must be \
                                      specified with --alter"
                .into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kafka::configs_options::OPTIONS;

    fn options(text: &str) -> Options {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse("", OPTIONS, &arguments).unwrap().unwrap()
    }

    #[test]
    fn kinds_and_names_go_together() {
        let text = "--entity-type users --entity-default --entity-type clients --entity-name c";
        let found = Entities::of(&options(text)).unwrap();
        assert_eq!(
            (found.kinds, found.names),
            (vec!["users".into(), "clients".into()], vec!["".into(), "c".into()])
        );
        let found = Entities::of(&options("--client-defaults --user u")).unwrap();
        assert_eq!(
            (found.kinds, found.names),
            (vec!["users".into(), "clients".into()], vec!["u".into(), "".into()])
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (text, why) in [
            ("--topic t", "Command must include exactly one action"),
            ("--describe --bootstrap-server b:1", "At least one entity type"),
            (
                "--describe --topic t",
                "Invalid entity type topics, the entity type must be one of users, brokers with a --zookeeper",
            ),
            ("--describe --topic t --zookeeper z:1 --bootstrap-server b:1", "Only one of --bootstrap-server"),
            ("--describe --broker 1 --bootstrap-controller c:1", "--bootstrap-controller cannot be used"),
            (
                "--describe --broker 1 --zookeeper z:1 --zk-tls-config-file f",
                "--zk-tls-config-file cannot be used",
            ),
            (
                "--describe --broker x --bootstrap-server b:1",
                "The entity name for brokers must be a valid integer",
            ),
            (
                "--alter --entity-type topics --add-config a=b --bootstrap-server b:1",
                "an entity name must be specified with --alter of topics",
            ),
            ("--alter --topic t --bootstrap-server b:1", "At least one of --add-config"),
        ] {
            let error = check(&options(text)).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
        assert_eq!(check(&options("--alter --topic t --add-config a=b --bootstrap-server b:1")), Ok(()));
    }
}
