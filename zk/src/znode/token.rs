//! `/delegation_token/tokens/<id>`: a delegation token's facts, without its secret; and the notes that make brokers
//! read them again. Source: `DelegationTokenInfoZNode`, KIP-48, KIP-373.

use serde::Deserialize;

use super::json::{self, Object};
use super::sanitize::{desanitize, sanitize};
use super::{ZnodeError, sequence_of};

/// Root, created only where tokens are enabled.
pub const DELEGATION_TOKENS: &str = "/delegation_token";
/// Parent of the tokens.
pub const TOKENS: &str = "/delegation_token/tokens";
/// Parent of the change notes; a note's data is the token id as plain text.
pub const TOKEN_CHANGES: &str = "/delegation_token/token_changes";
/// Name of a change note, before its counter.
pub const TOKEN_CHANGE_PREFIX: &str = "token_change_";

/// The node of a token.
pub fn path(token_id: &str) -> String {
    format!("{TOKENS}/{token_id}")
}

/// The counter of a change note.
pub fn change_sequence(name: &str) -> Option<i64> {
    sequence_of(name, TOKEN_CHANGE_PREFIX)
}

/// One token. Principals are plain (`User:alice`); times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenNode {
    /// Its id; the secret is derived from it.
    pub token_id: String,
    /// Who it stands for.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who else may renew it.
    pub renewers: Vec<String>,
    /// Made at.
    pub issue_ms: i64,
    /// Ends at, unless renewed.
    pub expiry_ms: i64,
    /// Cannot be renewed beyond.
    pub max_ms: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    version: i32,
    owner: String,
    token_requester: Option<String>,
    renewers: Vec<String>,
    issue_timestamp: i64,
    max_timestamp: i64,
    expiry_timestamp: i64,
    token_id: String,
}

impl TokenNode {
    /// The node's content, version 3.
    pub fn encode(&self) -> Vec<u8> {
        let renewers: Vec<String> = self.renewers.iter().map(|renewer| sanitize(renewer)).collect();
        Object::new()
            .raw("issueTimestamp", self.issue_ms)
            .raw("renewers", json::texts(renewers.iter().map(String::as_str)))
            .text("tokenRequester", &sanitize(&self.requester))
            .text("tokenId", &self.token_id)
            .text("owner", &sanitize(&self.owner))
            .raw("expiryTimestamp", self.expiry_ms)
            .raw("maxTimestamp", self.max_ms)
            .raw("version", 3)
            .into_bytes()
    }

    /// Reads versions 1 to 3 of the token at [`path`]`(token_id)`.
    pub fn decode(token_id: &str, data: &[u8]) -> Result<TokenNode, ZnodeError> {
        let path = path(token_id);
        let stored: Stored = json::read(&path, data)?;
        if !(1..=3).contains(&stored.version) {
            return Err(ZnodeError::new(&path, format!("version {} is none of 1 to 3", stored.version)));
        }
        let principal = |text: &str| {
            let plain = desanitize(text).filter(|plain| plain.contains(':'));
            plain.ok_or_else(|| ZnodeError::new(&path, format!("{text:?} is no sanitized principal")))
        };
        Ok(TokenNode {
            owner: principal(&stored.owner)?,
            requester: principal(stored.token_requester.as_ref().unwrap_or(&stored.owner))?,
            renewers: stored.renewers.iter().map(|renewer| principal(renewer)).collect::<Result<_, _>>()?,
            token_id: stored.token_id,
            issue_ms: stored.issue_timestamp,
            expiry_ms: stored.expiry_timestamp,
            max_ms: stored.max_timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_versions() {
        let token = TokenNode {
            token_id: "id".into(),
            owner: "User:a".into(),
            requester: "User:b".into(),
            renewers: vec!["User:c d".into()],
            issue_ms: 1,
            expiry_ms: 3,
            max_ms: 2,
        };
        assert_eq!(TokenNode::decode("id", &token.encode()).unwrap(), token);
        let v1 = br#"{"version":1,"owner":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,
            "expiryTimestamp":3,"tokenId":"id"}"#;
        assert_eq!(TokenNode::decode("id", v1).unwrap().requester, "User:a");
        assert!(TokenNode::decode("id", &token.encode()[1..]).is_err());
    }
}
