//! Access control lists: who may do what, and which lists are valid.
//!
//! Schemes: `world`, `auth` (expanded to the identities the caller has proven), `digest` and `ip`. Source:
//! `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`, `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider` of ZooKeeper 3.9. Knows no node.

use crate::jute::{Acl, ClientInfo, ErrorCode, Id, perms};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::net::IpAddr;
use sha1::{Digest, Sha1};
use std::collections::HashSet;
use std::sync::Arc;

/// Reading for everyone.
pub(super) fn read_only() -> Vec<Acl> {
    vec![Acl { perms: perms::READ, ..Acl::open() }]
}

/// Whether one of `identities` has one of the permission bits `wanted`. An empty list allows everything.
pub fn allows(acl: &[Acl], wanted: i32, identities: &[Id]) -> bool {
    acl.is_empty()
        || acl.iter().any(|entry| {
            entry.perms & wanted != 0
                && (is_anyone(&entry.id) || identities.iter().any(|identity| matches(identity, &entry.id)))
        })
}

/// [`allows`] as a check.
pub(super) fn require(acl: &[Acl], wanted: i32, identities: &[Id]) -> Result<(), ErrorCode> {
    if allows(acl, wanted, identities) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn is_anyone(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

fn matches(identity: &Id, wanted: &Id) -> bool {
    if identity.scheme != wanted.scheme {
        return false;
    }
    match wanted.scheme.as_str() {
        "digest" => identity.id == wanted.id,
        "ip" => ip_matches(&identity.id, &wanted.id),
        _ => false,
    }
}

/// `address` or `address/bits`.
fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        None => (text, None),
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn ip_matches(address: &str, network: &str) -> bool {
    let (Ok(address), Some((network, bits))) = (address.parse::<IpAddr>(), parse_network(network)) else {
        return false;
    };
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= bits
}

fn is_valid_digest(id: &str) -> bool {
    matches!(id.split_once(':'), Some((_, hash)) if !hash.is_empty() && !hash.contains(':'))
}

/// Turns the list of a request into the list that is stored: duplicates dropped, `auth` replaced by what the caller
/// has proven. An empty list, an unknown scheme or a malformed id is [`ErrorCode::InvalidAcl`].
pub(super) fn resolve(requested: &[Acl], identities: &[Id]) -> Result<Vec<Acl>, ErrorCode> {
    let mut seen = HashSet::new();
    let mut resolved = Vec::new();
    for entry in requested.iter().filter(|entry| seen.insert(*entry)) {
        match entry.id.scheme.as_str() {
            "world" if is_anyone(&entry.id) => resolved.push(entry.clone()),
            "auth" => {
                let proven = identities.iter().filter(|identity| identity.scheme == "digest");
                let before = resolved.len();
                resolved.extend(proven.map(|id| Acl { perms: entry.perms, id: id.clone() }));
                if resolved.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            "digest" if is_valid_digest(&entry.id.id) => resolved.push(entry.clone()),
            "ip" if parse_network(&entry.id.id).is_some() => resolved.push(entry.clone()),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if resolved.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(resolved) }
}

/// The identity that `user:password` proves: `user:base64(sha1(user:password))`.
pub fn digest_identity(user_and_password: &[u8]) -> Option<Id> {
    let text = std::str::from_utf8(user_and_password).ok()?;
    let (user, _) = text.split_once(':')?;
    let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
    Some(Id { scheme: "digest".into(), id: format!("{user}:{hash}") })
}

/// What an auth packet proves about a connection from `address`; `None` when it proves nothing.
pub fn prove(scheme: &str, auth: &[u8], address: IpAddr) -> Option<Id> {
    match scheme {
        "digest" => digest_identity(auth),
        "ip" => Some(ip_identity(address)),
        _ => None,
    }
}

/// The identity every connection has.
pub fn ip_identity(address: IpAddr) -> Id {
    Id { scheme: "ip".into(), id: address.to_canonical().to_string() }
}

/// The identity as `whoAmI` shows it, without the hash.
pub(super) fn client_info(identity: &Id) -> ClientInfo {
    let user = match identity.scheme.as_str() {
        "digest" => identity.id.split(':').next().unwrap_or_default(),
        _ => &identity.id,
    };
    ClientInfo { auth_scheme: identity.scheme.clone(), user: user.to_owned() }
}

/// The list for those who may read but not administer it: digests are hidden.
pub(super) fn masked(acl: &[Acl]) -> Vec<Acl> {
    let mask = |entry: &Acl| match (entry.id.scheme.as_str(), entry.id.id.split_once(':')) {
        ("digest", Some((user, _))) => {
            Acl { perms: entry.perms, id: Id { scheme: "digest".into(), id: format!("{user}:x") } }
        }
        _ => entry.clone(),
    };
    acl.iter().map(mask).collect()
}

/// Equal lists are kept once: almost all nodes have the same.
#[derive(Default, Debug)]
pub(super) struct AclTable {
    lists: HashSet<Arc<[Acl]>>,
    prune_at: usize,
}

impl AclTable {
    /// The shared copy of a list.
    pub fn intern(&mut self, acl: Vec<Acl>) -> Arc<[Acl]> {
        if let Some(known) = self.lists.get(acl.as_slice()) {
            return known.clone();
        }
        if self.lists.len() >= self.prune_at {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.prune_at = self.lists.len() * 2 + 64;
        }
        let shared: Arc<[Acl]> = acl.into();
        self.lists.insert(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    #[test]
    fn the_digest_is_zookeepers() {
        // `DigestAuthenticationProvider super:test`, from ZooKeeper's documentation.
        let identity = digest_identity(b"super:test").unwrap();
        assert_eq!(identity.id, "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        assert_eq!(digest_identity(b"nobody"), None);
    }

    #[test]
    fn networks_match_their_addresses() {
        let from = |address: &str| vec![ip_identity(address.parse().unwrap())];
        let list = [entry(perms::READ, "ip", "10.1.0.0/16"), entry(perms::ALL, "ip", "::1")];
        assert!(allows(&list, perms::READ, &from("10.1.200.3")));
        assert!(!allows(&list, perms::WRITE, &from("10.1.200.3")));
        assert!(!allows(&list, perms::READ, &from("10.2.0.1")));
        assert!(allows(&list, perms::WRITE, &from("::1")));
        assert!(allows(&[entry(1, "ip", "0.0.0.0/0")], 1, &from("::ffff:1.2.3.4")));
        for bad in ["", "10.0.0.0/33", "10.0.0", "10.0.0.1/x", "x"] {
            assert_eq!(resolve(&[entry(1, "ip", bad)], &[]), Err(ErrorCode::InvalidAcl), "{bad}");
        }
    }

    #[test]
    fn auth_becomes_what_was_proven() {
        let digest = digest_identity(b"u:p").unwrap();
        let address = ip_identity([127, 0, 0, 1].into());
        let wanted = [entry(perms::ALL, "auth", ""), entry(perms::ALL, "auth", "")];
        let resolved = resolve(&wanted, &[address.clone(), digest.clone()]).unwrap();
        assert_eq!(resolved, [Acl { perms: perms::ALL, id: digest }]);
        assert_eq!(resolve(&wanted, &[address]), Err(ErrorCode::InvalidAcl));
        assert_eq!(resolve(&[], &[]), Err(ErrorCode::InvalidAcl));
        assert_eq!(resolve(&[entry(1, "world", "me")], &[]), Err(ErrorCode::InvalidAcl));
        assert_eq!(resolve(&[entry(1, "digest", "u:p:q")], &[]), Err(ErrorCode::InvalidAcl));
        assert_eq!(resolve(&[entry(1, "sasl", "kafka")], &[]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn equal_lists_are_one() {
        let mut table = AclTable::default();
        let first = table.intern(vec![Acl::open()]);
        assert!(Arc::ptr_eq(&first, &table.intern(vec![Acl::open()])));
        for number in 0..10_000 {
            table.intern(vec![entry(number, "world", "anyone")]);
        }
        assert!(table.lists.len() < 200, "unused lists are forgotten");
    }
}
