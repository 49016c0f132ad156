//! The ACL store: `/kafka-acl/<Type>/<name>` (literal), `/kafka-acl-extended/prefixed/<Type>/<name>`, and the notes
//! that make every authorizer read them again. Source: `ZkAclStore`, `AclEntry`, KIP-290.

use serde::Deserialize;

use super::json::{self, Object};
use super::{ZnodeError, sequence_of};

/// Name of a change note, before its counter.
pub const CHANGE_PREFIX: &str = "acl_changes_";
/// Name of the one resource of type [`ResourceType::Cluster`].
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// Words with two spellings: as stored, and in upper case as in Java's enums.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:ident $upper:literal,)* }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $upper] $word,)* }

        impl $name {
            /// All, in Kafka's order.
            pub const ALL: &[$name] = &[$($name::$word,)*];

            /// As stored, for example in `/kafka-acl/TransactionalId`.
            pub fn name(self) -> &'static str {
                match self { $($name::$word => stringify!($word),)* }
            }

            /// As Java's enum prints it, for example `TRANSACTIONAL_ID`.
            pub fn upper_name(self) -> &'static str {
                match self { $($name::$word => $upper,)* }
            }

            /// The word of either spelling, in any case.
            pub fn parse(text: &str) -> Option<$name> {
                let same = |word: &&$name| {
                    text.eq_ignore_ascii_case(word.name()) || text.eq_ignore_ascii_case(word.upper_name())
                };
                $name::ALL.iter().find(same).copied()
            }
        }
    };
}

words! {
    /// What is protected.
    ResourceType {
        Topic "TOPIC",
        Group "GROUP",
        Cluster "CLUSTER",
        TransactionalId "TRANSACTIONAL_ID",
        DelegationToken "DELEGATION_TOKEN",
        User "USER",
    }
}

words! {
    /// How a name matches.
    PatternType {
        Literal "LITERAL",
        Prefixed "PREFIXED",
    }
}

words! {
    /// What is done.
    Operation {
        Read "READ",
        Write "WRITE",
        Create "CREATE",
        Delete "DELETE",
        Alter "ALTER",
        Describe "DESCRIBE",
        ClusterAction "CLUSTER_ACTION",
        DescribeConfigs "DESCRIBE_CONFIGS",
        AlterConfigs "ALTER_CONFIGS",
        IdempotentWrite "IDEMPOTENT_WRITE",
        CreateTokens "CREATE_TOKENS",
        DescribeTokens "DESCRIBE_TOKENS",
        All "ALL",
    }
}

words! {
    /// Allowed or refused.
    Permission {
        Allow "ALLOW",
        Deny "DENY",
    }
}

impl PatternType {
    /// Root of the patterns of this type.
    pub fn store_path(self) -> &'static str {
        match self {
            PatternType::Literal => "/kafka-acl",
            PatternType::Prefixed => "/kafka-acl-extended/prefixed",
        }
    }

    /// Parent of the change notes about patterns of this type.
    pub fn changes_path(self) -> &'static str {
        match self {
            PatternType::Literal => "/kafka-acl-changes",
            PatternType::Prefixed => "/kafka-acl-extended-changes",
        }
    }
}

/// A protected resource, or many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its name or prefix; `*` is any.
    pub name: String,
    /// How the name matches.
    pub pattern_type: PatternType,
}

impl ResourcePattern {
    /// The node with its ACLs. A name with `/` cannot be stored and is refused.
    pub fn path(&self) -> Result<String, ZnodeError> {
        let path = format!("{}/{}/{}", self.pattern_type.store_path(), self.resource_type.name(), self.name);
        if self.name.is_empty() || self.name.contains('/') {
            return Err(ZnodeError {
                path,
                what: "a resource name must not be empty nor contain '/'".into(),
                fix: "choose another name",
            });
        }
        Ok(path)
    }

    /// Path to create a change note with, sequentially.
    pub fn change_prefix_path(&self) -> String {
        format!("{}/{CHANGE_PREFIX}", self.pattern_type.changes_path())
    }

    /// The content of a change note about this pattern.
    pub fn encode_change(&self) -> Vec<u8> {
        match self.pattern_type {
            PatternType::Literal => format!("{}:{}", self.resource_type.upper_name(), self.name).into_bytes(),
            PatternType::Prefixed => Object::new()
                .raw("version", 1)
                .text("resourceType", self.resource_type.upper_name())
                .text("name", &self.name)
                .text("patternType", self.pattern_type.upper_name())
                .into_bytes(),
        }
    }

    /// Reads a change note found below [`PatternType::changes_path`] of `pattern_type`.
    pub fn decode_change(
        pattern_type: PatternType,
        path: &str,
        data: &[u8],
    ) -> Result<ResourcePattern, ZnodeError> {
        match pattern_type {
            PatternType::Literal => {
                let text = std::str::from_utf8(data).ok().and_then(|text| text.split_once(':'));
                let (kind, name) = text.ok_or_else(|| ZnodeError::new(path, "not TYPE:name"))?;
                Ok(ResourcePattern {
                    resource_type: resource_type(path, kind)?,
                    name: name.to_owned(),
                    pattern_type,
                })
            }
            PatternType::Prefixed => {
                let stored: StoredChange = json::read(path, data)?;
                if stored.version > 1 {
                    return Err(ZnodeError::new(path, format!("version {} is above 1", stored.version)));
                }
                let found = PatternType::parse(&stored.pattern_type).ok_or_else(|| {
                    ZnodeError::new(path, format!("pattern type {:?}", stored.pattern_type))
                })?;
                Ok(ResourcePattern {
                    resource_type: resource_type(path, &stored.resource_type)?,
                    name: stored.name,
                    pattern_type: found,
                })
            }
        }
    }
}

fn resource_type(path: &str, text: &str) -> Result<ResourceType, ZnodeError> {
    ResourceType::parse(text).ok_or_else(|| ZnodeError::new(path, format!("unknown resource type {text:?}")))
}

/// The counter of a change note.
pub fn change_sequence(name: &str) -> Option<i64> {
    sequence_of(name, CHANGE_PREFIX)
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// `User:alice`; `User:*` is anybody.
    pub principal: String,
    /// Allowed or refused.
    pub permission: Permission,
    /// Address, or `*`.
    pub host: String,
    /// What it is about.
    pub operation: Operation,
}

#[derive(Deserialize)]
struct StoredEntry {
    principal: String,
    #[serde(rename = "permissionType")]
    permission: String,
    host: String,
    operation: String,
}

#[derive(Deserialize)]
struct Stored {
    version: i32,
    acls: Vec<StoredEntry>,
}

#[derive(Deserialize)]
struct StoredChange {
    version: i32,
    #[serde(rename = "resourceType")]
    resource_type: String,
    name: String,
    #[serde(rename = "patternType")]
    pattern_type: String,
}

/// The content of a pattern's node.
pub fn encode(entries: &[AclEntry]) -> Vec<u8> {
    let entries = entries.iter().map(|entry| {
        Object::new()
            .text("principal", &entry.principal)
            .text("permissionType", entry.permission.name())
            .text("host", &entry.host)
            .text("operation", entry.operation.name())
            .finish()
    });
    Object::new().raw("acls", json::array(entries)).raw("version", 1).into_bytes()
}

/// Reads a pattern's node; empty data is no rule. A rule that cannot be understood makes the whole node an error: to
/// skip a Deny would open what was closed.
pub fn decode(path: &str, data: &[u8]) -> Result<Vec<AclEntry>, ZnodeError> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let stored: Stored = json::read(path, data)?;
    if stored.version != 1 {
        return Err(ZnodeError::new(path, format!("version {} is not 1", stored.version)));
    }
    let unknown = |what: &str, text: &str| ZnodeError::new(path, format!("unknown {what} {text:?}"));
    let entry = |entry: StoredEntry| {
        Ok(AclEntry {
            permission: Permission::parse(&entry.permission)
                .ok_or_else(|| unknown("permissionType", &entry.permission))?,
            operation: Operation::parse(&entry.operation)
                .ok_or_else(|| unknown("operation", &entry.operation))?,
            principal: entry.principal,
            host: entry.host,
        })
    };
    stored.acls.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_change_notes() {
        let mut pattern = ResourcePattern {
            resource_type: ResourceType::TransactionalId,
            name: "a:b".into(),
            pattern_type: PatternType::Literal,
        };
        assert_eq!(pattern.path().unwrap(), "/kafka-acl/TransactionalId/a:b");
        assert_eq!(pattern.encode_change(), b"TRANSACTIONAL_ID:a:b");
        for pattern_type in [PatternType::Literal, PatternType::Prefixed] {
            pattern.pattern_type = pattern_type;
            assert_eq!(
                ResourcePattern::decode_change(pattern_type, "/c", &pattern.encode_change()).as_ref(),
                Ok(&pattern)
            );
        }
        pattern.name = "a/b".into();
        assert!(pattern.path().is_err());
    }

    #[test]
    fn a_rule_nobody_understands_is_an_error() {
        let bad = br#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Deny","operation":"Fly","host":"*"}]}"#;
        assert!(decode("/kafka-acl/Topic/t", bad).unwrap_err().what.contains("Fly"));
        assert_eq!(decode("/kafka-acl/Topic/t", b""), Ok(vec![]));
        assert!(ResourcePattern::decode_change(PatternType::Literal, "/c", b"nonsense").is_err());
    }
}
