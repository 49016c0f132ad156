//! Listeners where a compose file says only a part of them.
//!
//! Sources: `cub listeners` of Confluent's image, `configure` of Apache's, `start-kafka.sh` of wurstmeister's.

use std::collections::BTreeMap;

use super::commands::Answered;
use super::{Keys, Source};

/// What is bound without a word.
pub const PORT: &str = "9092";
/// The host and the port that clients are told.
pub const ADVERTISED: [&str; 2] = ["KAFKA_ADVERTISED_HOST_NAME", "KAFKA_ADVERTISED_PORT"];

/// The older variable of the port that is bound, and its value if it is set.
pub fn own_port(variables: &BTreeMap<String, String>) -> (&'static str, Option<&str>) {
    let of = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
    // Kubernetes puts an URL there.
    match of("KAFKA_PORT").filter(|port| !port.contains("://")) {
        Some(port) => ("KAFKA_PORT", Some(port)),
        None => ("KAFKA_PORT_NUMBER", of("KAFKA_PORT_NUMBER")),
    }
}

/// Completes `keys` from the older variables of hosts and ports, and binds to all addresses what is only advertised.
/// Ports that are none are told.
pub fn complete(keys: &mut Keys, answered: &Answered, errors: &mut Vec<String>, remarks: &mut Vec<String>) {
    let of = |name: &str| answered.variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let (own_variable, own_port) = own_port(&answered.variables);
    let (host, port) = (of(ADVERTISED[0]), of(ADVERTISED[1]));
    // Whatever of them is set made the value.
    let set = |keys: &mut Keys, key: &str, value: String, variables: &[&'static str]| {
        let set = variables.iter().filter(|name| of(name).is_some());
        let names: Vec<&str> = set.map(|name| answered.origin(name)).collect();
        let source = if names.is_empty() { Source::Dialect } else { Source::Variable(names.join(", ")) };
        keys.entry(key.to_owned()).or_insert((value, source));
    };
    let is_named = keys.contains_key("listeners") || keys.contains_key("advertised.listeners");
    for (variable, port) in [(own_variable, own_port), (ADVERTISED[1], port)] {
        if let Some(port) = port.filter(|port| !is_named && port.parse::<u16>().is_err()) {
            errors.push(format!("{variable} = {port} is no port"));
        }
    }
    if is_named {
        let older = [ADVERTISED[0], ADVERTISED[1], "KAFKA_HOST_NAME"];
        for variable in older.into_iter().filter(|variable| of(variable).is_some()) {
            remarks.push(format!("{} is ignored: the listeners are named", answered.origin(variable)));
        }
    } else if let Some((outside, inside)) = named(&of) {
        let bind = own_port.unwrap_or(PORT);
        let bind_host = of("KAFKA_HOST_NAME").unwrap_or("");
        let mut bound = vec![format!("{inside}://{bind_host}:{bind}")];
        let mut told = bound.clone();
        if let Some(port) = port {
            bound.insert(0, format!("{outside}://:{port}"));
            told.insert(0, format!("{outside}://{}:{port}", host.unwrap_or("")));
        }
        let protocols = ["KAFKA_ADVERTISED_PROTOCOL_NAME", "KAFKA_PROTOCOL_NAME"];
        set(
            keys,
            "listeners",
            bound.join(","),
            &[protocols[0], protocols[1], "KAFKA_HOST_NAME", own_variable],
        );
        set(
            keys,
            "advertised.listeners",
            told.join(","),
            &[protocols[0], protocols[1], ADVERTISED[0], ADVERTISED[1]],
        );
        set(keys, "inter.broker.listener.name", inside.to_owned(), &protocols);
    } else if host.is_some() || port.is_some() || own_port.is_some() {
        let bind = own_port.unwrap_or(PORT);
        let bind_host = of("KAFKA_HOST_NAME").unwrap_or("");
        set(keys, "listeners", format!("PLAINTEXT://{bind_host}:{bind}"), &["KAFKA_HOST_NAME", own_variable]);
        let told = format!("PLAINTEXT://{}:{}", host.unwrap_or(""), port.unwrap_or(bind));
        set(keys, "advertised.listeners", told, &ADVERTISED);
    }
    if let (None, Some((told, source))) = (keys.get("listeners"), keys.get("advertised.listeners")) {
        let bound = told.split(',').map(on_all_addresses).collect::<Vec<_>>().join(",");
        let source = source.clone();
        keys.insert("listeners".to_owned(), (bound, source));
    }
}

/// The names of the listeners for clients and for brokers, where protocols are mapped and no listener is named.
fn named<'a>(of: &dyn Fn(&str) -> Option<&'a str>) -> Option<(&'a str, &'a str)> {
    of("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP")?;
    let outside = of("KAFKA_ADVERTISED_PROTOCOL_NAME").or(of("KAFKA_PROTOCOL_NAME"))?;
    Some((outside, of("KAFKA_PROTOCOL_NAME").unwrap_or(outside)))
}

/// `NAME://host:port` with the host 0.0.0.0; as it is if it has no such form.
fn on_all_addresses(listener: &str) -> String {
    match (listener.trim().split_once("://"), listener.rsplit_once(':')) {
        (Some((name, _)), Some((_, port))) => format!("{name}://0.0.0.0:{port}"),
        _ => listener.to_owned(),
    }
}
