//! How the tools reach ZooKeeper: servers, a chroot that is never created by looking, and a session.
//!
//! Knows nothing of what znodes mean.

use std::time::Duration;

use ottla_zk::store::{Options, Remote, StoreError};

use super::connect::address;

/// How long servers may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Of a server that is named without (`ConnectStringParser`).
const PORT: u16 = 2181;
/// Requests in flight at once.
pub const WAVE: usize = 256;

/// Where a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST:PORT`, with commas between.
    pub servers: String,
    /// Kept from the store, which would create it. Empty, or `/path` without a slash at its end.
    pub chroot: String,
}

impl Place {
    /// Reads `HOST[:PORT],..[/CHROOT]` as ZooKeeper's clients do: blanks and empty parts do not count, and the port is 2181
    /// unless one is given.
    pub fn parse(text: &str) -> Result<Place, String> {
        let (servers, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let servers: Vec<&str> = servers.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let servers: Vec<String> = servers.into_iter().map(server).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(format!(
                "{text:?} names no ZooKeeper server; write HOST:PORT, for example 127.0.0.1:2181"
            ));
        }
        Ok(Place { servers: servers.join(","), chroot: chroot.trim_end_matches('/').to_owned() })
    }

    /// Opens a session. `hint` says how another server is named.
    pub async fn open(&self, hint: &str) -> Result<Remote, String> {
        let mut options = Options::new(&self.servers);
        options.connection_timeout = CONNECT_LIMIT;
        options.max_in_flight = WAVE;
        let (servers, limit) = (&self.servers, CONNECT_LIMIT.as_secs());
        Remote::connect(options).await.map_err(|error| match error {
            StoreError::Unreachable { detail, .. } => {
                format!("no ZooKeeper server of {servers} answers within {limit} s ({detail}); start one, or {hint}")
            }
            other => other.to_string(),
        })
    }

    /// The path on the servers of what is `path` below the chroot.
    pub fn full(&self, path: &str) -> String {
        let full = format!("{}{}", self.chroot, path.trim_end_matches('/'));
        if full.is_empty() { "/".into() } else { full }
    }
}

/// `HOST:PORT` of a server that is named with or without a port.
fn server(text: &str) -> Result<String, String> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let whole = if has_port { text.to_owned() } else { format!("{text}:{PORT}") };
    match address(&whole) {
        Ok(_) => Ok(whole),
        Err(_) => {
            Err(format!("{text:?} is no ZooKeeper server; write HOST:PORT, for example 127.0.0.1:2181"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chroot_is_put_before_paths() {
        let place = Place::parse("a:1,b:2/kafka/").expect("fine");
        assert_eq!((place.servers.as_str(), place.chroot.as_str()), ("a:1,b:2", "/kafka"));
        assert_eq!((place.full("/"), place.full("/brokers")), ("/kafka".into(), "/kafka/brokers".into()));
        let place = Place::parse("a:1").expect("fine");
        assert_eq!((place.full("/"), place.full("/brokers/")), ("/".into(), "/brokers".into()));
    }

    #[test]
    fn the_port_is_2181_unless_one_is_given() {
        let servers = |text: &str| Place::parse(text).map(|place| place.servers);
        assert_eq!(servers("localhost"), Ok("localhost:2181".into()));
        assert_eq!(servers("a, b:1,,[::1],[::2]:3/k"), Ok("a:2181,b:1,[::1]:2181,[::2]:3".into()));
        for wrong in ["", "/kafka", "a:", "a:x", ":2181", "a:70000"] {
            assert!(servers(wrong).is_err(), "{wrong}");
        }
    }
}
