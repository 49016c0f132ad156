//! `/brokers/ids/<id>`: what a live broker says of itself; `/brokers/seqid`.
//!
//! The node's czxid is the broker epoch; that is the store's to tell. Reads versions 1 to 5, writes 5, 4 or 2 by
//! inter-broker protocol. Source: `BrokerIdZNode`, `EndPoint`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{self, Object};
use super::{ZnodeError, decimal};

/// Parent of the registrations.
pub const BROKER_IDS: &str = "/brokers/ids";
/// Node whose version counts generated broker ids.
pub const BROKER_SEQUENCE: &str = "/brokers/seqid";

/// The registration of broker `id`.
pub fn path(id: i32) -> String {
    format!("{BROKER_IDS}/{id}")
}

/// The id a child of [`BROKER_IDS`] stands for.
pub fn id_of(name: &str) -> Result<i32, ZnodeError> {
    decimal::<i32>(&format!("{BROKER_IDS}/{name}"), name.as_bytes())
}

/// Which layout to write.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerFormat {
    /// Inter-broker protocol below 0.10.0-IV1: no rack, no listener names.
    V2,
    /// From 0.10.0-IV1.
    V4,
    /// From 2.7-IV0: with `features`.
    V5,
}

impl BrokerFormat {
    fn number(self) -> i32 {
        match self {
            BrokerFormat::V2 => 2,
            BrokerFormat::V4 => 4,
            BrokerFormat::V5 => 5,
        }
    }
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Listener name, for example `PLAINTEXT` or `INTERNAL`.
    pub listener: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: i32,
}

impl Endpoint {
    /// `LISTENER://host:port`, IPv6 hosts in brackets.
    pub fn connection_string(&self) -> String {
        if self.host.contains(':') {
            format!("{}://[{}]:{}", self.listener, self.host, self.port)
        } else {
            format!("{}://{}:{}", self.listener, self.host, self.port)
        }
    }

    fn parse(text: &str, protocols: &BTreeMap<String, String>) -> Option<Endpoint> {
        let (listener, address) = text.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let listener = listener.to_uppercase();
        let protocol = protocols.get(&listener).cloned().unwrap_or_else(|| listener.clone());
        Some(Endpoint { listener, protocol, host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// The smallest and largest version of a feature a broker understands.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SupportedFeature {
    /// Smallest.
    pub min_version: i16,
    /// Largest.
    pub max_version: i16,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Advertised listeners, in the order of the configuration.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// JMX port, -1 without.
    pub jmx_port: i32,
    /// Milliseconds since 1970 of the registration.
    pub timestamp_ms: i64,
    /// Always empty for a Kafka 3.9 broker in ZooKeeper mode.
    pub features: BTreeMap<String, SupportedFeature>,
}

#[derive(Deserialize)]
struct Stored {
    version: i32,
    host: Option<String>,
    port: Option<i32>,
    jmx_port: Option<i32>,
    timestamp: Option<serde_json::Value>,
    endpoints: Option<Vec<String>>,
    listener_security_protocol_map: Option<BTreeMap<String, String>>,
    rack: Option<String>,
    features: Option<BTreeMap<String, SupportedFeature>>,
}

impl BrokerRegistration {
    /// The node's content.
    pub fn encode(&self, format: BrokerFormat) -> Vec<u8> {
        let mut object = Object::new();
        if format >= BrokerFormat::V5 {
            let features = self.features.iter().fold(Object::new(), |object, (name, range)| {
                let range =
                    Object::new().raw("min_version", range.min_version).raw("max_version", range.max_version);
                object.raw(name, range.finish())
            });
            object = object.raw("features", features.finish());
        }
        if format >= BrokerFormat::V4 {
            let protocols = self
                .endpoints
                .iter()
                .fold(Object::new(), |object, endpoint| object.text(&endpoint.listener, &endpoint.protocol));
            object = object.raw("listener_security_protocol_map", protocols.finish());
        }
        let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::connection_string).collect();
        object = object.raw("endpoints", json::texts(endpoints.iter().map(String::as_str)));
        if let Some(rack) = self.rack.as_ref().filter(|_| format >= BrokerFormat::V4) {
            object = object.text("rack", rack);
        }
        // Old clients read these two: the first endpoint without encryption and login.
        let plain = self.endpoints.iter().find(|endpoint| endpoint.protocol == "PLAINTEXT");
        object
            .raw("jmx_port", self.jmx_port)
            .raw("port", plain.map_or(-1, |endpoint| endpoint.port))
            .raw("host", plain.map_or_else(|| "null".to_owned(), |endpoint| json::quoted(&endpoint.host)))
            .raw("version", format.number())
            .text("timestamp", &self.timestamp_ms.to_string())
            .into_bytes()
    }

    /// Reads the registration of broker `id`.
    pub fn decode(id: i32, data: &[u8]) -> Result<BrokerRegistration, ZnodeError> {
        let path = path(id);
        let stored: Stored = json::read(&path, data)?;
        if stored.version < 1 {
            return Err(ZnodeError::new(&path, format!("version {} is none of 1 and above", stored.version)));
        }
        let endpoints = match (stored.version, stored.endpoints) {
            (2.., Some(texts)) => {
                let protocols = stored.listener_security_protocol_map.unwrap_or_default();
                let parse = |text: &String| {
                    Endpoint::parse(text, &protocols).ok_or_else(|| {
                        ZnodeError::new(&path, format!("endpoint {text:?} is no LISTENER://host:port"))
                    })
                };
                texts.iter().map(parse).collect::<Result<_, _>>()?
            }
            (2.., None) => return Err(ZnodeError::new(&path, "\"endpoints\" is missing")),
            (_, _) => match (stored.host, stored.port) {
                (Some(host), Some(port)) => {
                    vec![Endpoint { listener: "PLAINTEXT".into(), protocol: "PLAINTEXT".into(), host, port }]
                }
                _ => return Err(ZnodeError::new(&path, "\"host\" or \"port\" is missing")),
            },
        };
        Ok(BrokerRegistration {
            endpoints,
            rack: stored.rack,
            jmx_port: stored.jmx_port.unwrap_or(-1),
            timestamp_ms: stored.timestamp.as_ref().map_or(-1, milliseconds),
            features: stored.features.unwrap_or_default(),
        })
    }
}

/// A time stamp, written as text or, by very old brokers, as a number; nothing depends on it, so -1 if unreadable.
fn milliseconds(value: &serde_json::Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_read() {
        let v1 = BrokerRegistration::decode(1, br#"{"version":1,"host":"h","port":9092,"jmx_port":9999}"#)
            .unwrap();
        assert_eq!(v1.endpoints[0].connection_string(), "PLAINTEXT://h:9092");
        let v2 = BrokerRegistration::decode(
            1,
            br#"{"version":2,"host":"h","port":9092,"timestamp":"5","endpoints":["SSL://[::1]:9093"],"new":[1]}"#,
        )
        .unwrap();
        assert_eq!(v2.endpoints[0].protocol, "SSL");
        assert_eq!((v2.endpoints[0].host.as_str(), v2.timestamp_ms), ("::1", 5));
        let text = String::from_utf8(v2.encode(BrokerFormat::V2)).unwrap();
        assert_eq!(
            text,
            r#"{"endpoints":["SSL://[::1]:9093"],"jmx_port":-1,"port":-1,"host":null,"version":2,"timestamp":"5"}"#
        );
        let again = BrokerRegistration::decode(1, &v2.encode(BrokerFormat::V4)).unwrap();
        assert_eq!(again, v2);
    }

    #[test]
    fn bad_ones_are_refused() {
        for bad in [
            &b"{}"[..],
            br#"{"version":0,"host":"h","port":1}"#,
            br#"{"version":5,"endpoints":["h:1"]}"#,
            br#"{"version":4}"#,
            br#"{"version":1,"host":"h"}"#,
        ] {
            assert!(BrokerRegistration::decode(1, bad).is_err(), "{bad:?}");
        }
        assert!(id_of("x").is_err());
    }
}
