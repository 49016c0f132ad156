//! Listeners where a compose file says only a part of them.
//!
//! Sources: `cub listeners` of Confluent's image, `configure` of Apache's, `start-kafka.sh` of wurstmeister's.

use std::collections::BTreeMap;

use super::{Keys, Source};

const PORT: &str = "9092";

/// Completes `keys` from the older variables of hosts and ports, and binds to all addresses what is only advertised.
pub fn complete(keys: &mut Keys, variables: &BTreeMap<String, String>, remarks: &mut Vec<String>) {
    let of = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
    // Kubernetes puts an URL there.
    let own_port = of("KAFKA_PORT").filter(|port| !port.contains("://")).or(of("KAFKA_PORT_NUMBER"));
    let (host, port) = (of("KAFKA_ADVERTISED_HOST_NAME"), of("KAFKA_ADVERTISED_PORT"));
    let set = |keys: &mut Keys, key: &str, value: String, variable: &str| {
        keys.entry(key.to_owned()).or_insert((value, Source::Variable(variable.to_owned())));
    };
    if keys.contains_key("listeners") || keys.contains_key("advertised.listeners") {
        let older = ["KAFKA_ADVERTISED_HOST_NAME", "KAFKA_ADVERTISED_PORT", "KAFKA_HOST_NAME"];
        for variable in older.into_iter().filter(|variable| of(variable).is_some()) {
            remarks.push(format!("{variable} is ignored: the listeners are named"));
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
        set(keys, "listeners", bound.join(","), "KAFKA_PROTOCOL_NAME");
        set(keys, "advertised.listeners", told.join(","), "KAFKA_ADVERTISED_PROTOCOL_NAME");
        set(keys, "inter.broker.listener.name", inside.to_owned(), "KAFKA_PROTOCOL_NAME");
    } else if host.is_some() || port.is_some() || own_port.is_some() {
        let bind = own_port.unwrap_or(PORT);
        let bind_host = of("KAFKA_HOST_NAME").unwrap_or("");
        set(keys, "listeners", format!("PLAINTEXT://{bind_host}:{bind}"), "KAFKA_PORT");
        let told = format!("PLAINTEXT://{}:{}", host.unwrap_or(""), port.unwrap_or(bind));
        set(keys, "advertised.listeners", told, "KAFKA_ADVERTISED_HOST_NAME");
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
