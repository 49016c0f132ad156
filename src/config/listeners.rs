//! `listeners`, `advertised.listeners` and `listener.security.protocol.map`.

use std::collections::BTreeMap;
use std::fmt;

use super::load::Settings;

/// How bytes travel on a listener. The number is the one of UpdateMetadata.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SecurityProtocol {
    /// As they are.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL, then as they are.
    SaslPlaintext = 2,
    /// TLS, then SASL.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// By its name in the configuration.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(SecurityProtocol::Plaintext),
            "SSL" => Some(SecurityProtocol::Ssl),
            "SASL_PLAINTEXT" => Some(SecurityProtocol::SaslPlaintext),
            "SASL_SSL" => Some(SecurityProtocol::SaslSsl),
            _ => None,
        }
    }

    /// Its name in the configuration and in znodes.
    pub fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }
}

/// A named endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Listener name, upper case.
    pub listener: String,
    /// Empty = all addresses (or, advertised, this machine's name).
    pub host: String,
    /// 0 = any free port.
    pub port: u16,
    /// From the map.
    pub security: SecurityProtocol,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]:{}", self.listener, self.host, self.port),
            false => write!(f, "{}://{}:{}", self.listener, self.host, self.port),
        }
    }
}

/// All endpoints of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listeners {
    /// Where to bind, in the configured order.
    pub bind: Vec<Endpoint>,
    /// What to tell clients, in the configured order.
    pub advertised: Vec<Endpoint>,
    /// Name of the listener that brokers use among themselves.
    pub inter_broker: String,
    /// Every known listener name and its protocol.
    pub map: BTreeMap<String, SecurityProtocol>,
}

fn parse_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    let mut map = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let parsed = pair.split_once(':').and_then(|(name, protocol)| {
            Some((name.trim().to_ascii_uppercase(), SecurityProtocol::from_name(protocol.trim())?))
        });
        let Some((name, protocol)) = parsed else {
            return Err(format!(
                "listener.security.protocol.map: {pair:?} is not NAME:PROTOCOL with one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
            ));
        };
        map.insert(name, protocol);
    }
    Ok(map)
}

fn parse_endpoint(
    key: &str,
    text: &str,
    map: &BTreeMap<String, SecurityProtocol>,
) -> Result<Endpoint, String> {
    let wrong = || format!("{key}: {text:?} is not NAME://host:port");
    let (name, address) = text.split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    let listener = name.to_ascii_uppercase();
    let security = *map.get(&listener).ok_or_else(|| {
        format!("{key}: no security protocol is defined for listener {listener}; add it to listener.security.protocol.map")
    })?;
    Ok(Endpoint { listener, host: host.to_owned(), port, security })
}

fn parse_endpoints(
    key: &str,
    text: &str,
    map: &BTreeMap<String, SecurityProtocol>,
) -> Result<Vec<Endpoint>, String> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let endpoint = parse_endpoint(key, part, map)?;
        if endpoints.iter().any(|other| other.listener == endpoint.listener) {
            return Err(format!(
                "{key}: each listener must have a different name, {} occurs twice",
                endpoint.listener
            ));
        }
        if endpoint.port != 0 && endpoints.iter().any(|o| o.port == endpoint.port && o.host == endpoint.host)
        {
            return Err(format!(
                "{key}: each listener must have a different port, {} occurs twice",
                endpoint.port
            ));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

impl Listeners {
    /// From the settings, with Kafka's cross checks (`KafkaConfig.validateValues`). The error has a sentence for each listener that asks
    /// for what is not served, or else the first fault.
    pub fn from_settings(settings: &Settings) -> Result<Listeners, Vec<String>> {
        let map = parse_map(settings.text("listener.security.protocol.map")).map_err(|fault| vec![fault])?;
        let bind =
            parse_endpoints("listeners", settings.text("listeners"), &map).map_err(|fault| vec![fault])?;
        let secured = secured(settings, &bind);
        match secured.is_empty() {
            true => Listeners::checked(settings, map, bind).map_err(|fault| vec![fault]),
            false => Err(secured),
        }
    }

    /// A sentence for each listener that asks for what is not served, whatever else is wrong.
    pub fn not_served(settings: &Settings) -> Vec<String> {
        let map = parse_map(settings.text("listener.security.protocol.map"));
        let bind = map.and_then(|map| parse_endpoints("listeners", settings.text("listeners"), &map));
        bind.map(|bind| secured(settings, &bind)).unwrap_or_default()
    }

    fn checked(
        settings: &Settings,
        map: BTreeMap<String, SecurityProtocol>,
        bind: Vec<Endpoint>,
    ) -> Result<Listeners, String> {
        if bind.is_empty() {
            return Err("listeners is empty: name at least one, for example PLAINTEXT://:9092".into());
        }
        let advertised = match settings.set("advertised.listeners").filter(|text| !text.is_empty()) {
            Some(text) => parse_endpoints("advertised.listeners", text, &map)?,
            None => bind.clone(),
        };
        for endpoint in &advertised {
            if !bind.iter().any(|bound| bound.listener == endpoint.listener) {
                return Err(format!(
                    "advertised.listeners names {}, which listeners does not",
                    endpoint.listener
                ));
            }
            if endpoint.host == "0.0.0.0" || endpoint.host == "::" {
                return Err(format!(
                    "advertised.listeners cannot use {}: clients need an address that leads to this broker; set advertised.listeners",
                    endpoint.host
                ));
            }
        }
        let inter_broker = inter_broker_name(settings, &map, &advertised)?;
        check_control_plane(settings, &advertised, &inter_broker)?;
        Ok(Listeners { bind, advertised, inter_broker, map })
    }
}

/// A sentence for each listener that is not to be in plain text, and for brokers that are to talk otherwise. First of all: whoever
/// asks for TLS is not helped by what else is wrong with it.
fn secured(settings: &Settings, bind: &[Endpoint]) -> Vec<String> {
    let told = |who: String, protocol: SecurityProtocol| {
        format!(
            "{who} asks for {}, which this release does not serve yet; only PLAINTEXT listeners work",
            protocol.name()
        )
    };
    let is_secured = |protocol: SecurityProtocol| protocol != SecurityProtocol::Plaintext;
    let listeners = bind.iter().filter(|endpoint| is_secured(endpoint.security)).map(|endpoint| {
        let by_map = if endpoint.listener == endpoint.security.name() {
            ""
        } else {
            " (listener.security.protocol.map)"
        };
        told(format!("listeners: {endpoint}{by_map}"), endpoint.security)
    });
    let key = "security.inter.broker.protocol";
    let brokers = SecurityProtocol::from_name(settings.text(key)).filter(|protocol| is_secured(*protocol));
    listeners.chain(brokers.map(|protocol| told(key.to_owned(), protocol))).collect()
}

fn inter_broker_name(
    settings: &Settings,
    map: &BTreeMap<String, SecurityProtocol>,
    advertised: &[Endpoint],
) -> Result<String, String> {
    let named = settings.set("inter.broker.listener.name").filter(|name| !name.is_empty());
    if named.is_some() && settings.set("security.inter.broker.protocol").is_some() {
        return Err("set only one of inter.broker.listener.name and security.inter.broker.protocol".into());
    }
    let name = match named {
        Some(name) => name.to_ascii_uppercase(),
        None => settings.text("security.inter.broker.protocol").to_ascii_uppercase(),
    };
    if !map.contains_key(&name) {
        return Err(format!("the inter-broker listener {name} is not in listener.security.protocol.map"));
    }
    if !advertised.iter().any(|endpoint| endpoint.listener == name) {
        return Err(format!(
            "the inter-broker listener {name} is not advertised; set inter.broker.listener.name to one of advertised.listeners"
        ));
    }
    Ok(name)
}

/// A listener for controllers only is a listener like others here, but it must be one.
fn check_control_plane(
    settings: &Settings,
    advertised: &[Endpoint],
    inter_broker: &str,
) -> Result<(), String> {
    let name = settings.text("control.plane.listener.name").to_ascii_uppercase();
    if name.is_empty() {
        return Ok(());
    }
    if name == inter_broker {
        return Err(format!("control.plane.listener.name must not be the inter-broker listener {name}"));
    }
    match advertised.iter().any(|endpoint| endpoint.listener == name) {
        true => Ok(()),
        false => Err(format!(
            "control.plane.listener.name = {name} is not advertised; add the listener to listeners and advertised.listeners, or remove the key"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(pairs: &[(&str, &str)]) -> Result<Listeners, String> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let faults = |faults: Vec<String>| faults.join("\n");
        Listeners::from_settings(&Settings::from_pairs(pairs).expect("valid keys").0).map_err(faults)
    }

    #[test]
    fn defaults_and_two_named_listeners() {
        let default = listeners(&[]).expect("Kafka's default");
        assert_eq!(default.bind[0].to_string(), "PLAINTEXT://:9092");
        assert_eq!(default.inter_broker, "PLAINTEXT");
        let two = listeners(&[
            ("listeners", "INTERNAL://0.0.0.0:19092,external://[::1]:0"),
            ("advertised.listeners", "INTERNAL://kafka1:19092,EXTERNAL://[::1]:9093"),
            ("listener.security.protocol.map", "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT"),
            ("inter.broker.listener.name", "INTERNAL"),
        ])
        .expect("valid");
        assert_eq!(two.bind[1].host, "::1");
        assert_eq!(two.advertised[1].to_string(), "EXTERNAL://[::1]:9093");
    }

    #[test]
    fn faults_are_named() {
        let error = |pairs: &[(&str, &str)]| listeners(pairs).expect_err("a fault");
        assert!(error(&[("listeners", "FOO://:1")]).contains("no security protocol"));
        assert!(error(&[("listeners", "PLAINTEXT:9092")]).contains("NAME://host:port"));
        assert!(error(&[("listeners", "PLAINTEXT://:9092,SSL://:9092")]).contains("different port"));
        let served = "which this release does not serve yet; only PLAINTEXT listeners work";
        assert_eq!(
            error(&[
                ("listeners", "SSL://:9093,OUT://:9094"),
                ("listener.security.protocol.map", "SSL:SSL,OUT:SASL_PLAINTEXT")
            ]),
            format!(
                "listeners: SSL://:9093 asks for SSL, {served}\n\
                 listeners: OUT://:9094 (listener.security.protocol.map) asks for SASL_PLAINTEXT, {served}"
            )
        );
        assert!(
            error(&[("listeners", "PLAINTEXT://0.0.0.0:9092")]).contains("advertised.listeners cannot use")
        );
        assert!(error(&[("advertised.listeners", "SSL://a:1")]).contains("which listeners does not"));
        assert!(error(&[("security.inter.broker.protocol", "SSL")]).contains("protocol asks for SSL, which"));
        assert!(error(&[("inter.broker.listener.name", "SSL")]).contains("not advertised"));
        let control = |name: &str| {
            listeners(&[
                ("listeners", "PLAINTEXT://a:1,CONTROL://a:2"),
                ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROL:PLAINTEXT"),
                ("control.plane.listener.name", name),
            ])
        };
        assert!(control("CONTROL").is_ok());
        assert!(control("X").expect_err("no such listener").contains("X is not advertised"));
        assert!(control("plaintext").expect_err("one for all").contains("inter-broker listener PLAINTEXT"));
    }
}
