//! SCRAM credentials as values in `/config/users/<user>`: `salt=..,stored_key=..,server_key=..,iterations=..`.
//! Source: `ScramCredentialUtils`, KIP-84. Computes nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Config keys that hold credentials.
pub const MECHANISMS: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Longest text that is read: far above what Kafka writes.
const MAX_LENGTH: usize = 16 * 1024;

/// What a server keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Random.
    pub salt: Vec<u8>,
    /// Hash of the client key.
    pub stored_key: Vec<u8>,
    /// Proves the server to the client.
    pub server_key: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: i32,
}

/// Keys are secrets: never printed.
impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Why a text is no credential. Does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no SCRAM credential: {0}; set it anew with kafka-configs --alter --add-config SCRAM-SHA-256=[password=..]"
)]
pub struct BadCredential(pub &'static str);

impl ScramCredential {
    /// The config value.
    pub fn encode(&self) -> String {
        format!(
            "salt={},stored_key={},server_key={},iterations={}",
            STANDARD.encode(&self.salt),
            STANDARD.encode(&self.stored_key),
            STANDARD.encode(&self.server_key),
            self.iterations
        )
    }

    /// Reads a config value; exactly the four keys, in any order.
    pub fn decode(text: &str) -> Result<ScramCredential, BadCredential> {
        if text.len() > MAX_LENGTH {
            return Err(BadCredential("too long"));
        }
        let (mut salt, mut stored_key, mut server_key, mut iterations) = (None, None, None, None);
        let bytes = |value: &str| STANDARD.decode(value).map_err(|_| BadCredential("a value is no base64"));
        for part in text.split(',') {
            match part.split_once('=').ok_or(BadCredential("a part is no key=value"))? {
                ("salt", value) => salt = Some(bytes(value)?),
                ("stored_key", value) => stored_key = Some(bytes(value)?),
                ("server_key", value) => server_key = Some(bytes(value)?),
                ("iterations", value) => {
                    iterations = Some(value.parse().map_err(|_| BadCredential("iterations is no number"))?);
                }
                _ => return Err(BadCredential("an unknown key")),
            }
        }
        match (salt, stored_key, server_key, iterations) {
            (Some(salt), Some(stored_key), Some(server_key), Some(iterations)) if iterations > 0 => {
                Ok(ScramCredential { salt, stored_key, server_key, iterations })
            }
            _ => Err(BadCredential("a key is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials() {
        let text = "salt=dmlmajl3ZXg0OXY0amU3eTBtejFjbjNnaw==,stored_key=F0kfbnU/7rP50UaLTHRqogJhn0YWpYkb5UdyoXqUdZk=,\
                    server_key=+k/0+uZaLkp7y+80yyuLAV4CBmBCRRMpqi1pPwR54Ik=,iterations=4096";
        let credential = ScramCredential::decode(text).unwrap();
        assert_eq!((credential.iterations, credential.stored_key.len()), (4096, 32));
        assert_eq!(credential.encode(), text);
        assert!(!format!("{credential:?}").contains("dmlm"));
        for bad in ["", "salt=a", "salt=!,stored_key=,server_key=,iterations=1", &text.replace("4096", "x")] {
            assert!(ScramCredential::decode(bad).is_err(), "{bad}");
        }
    }
}
