//! DescribeUserScramCredentials: which users have SCRAM credentials, with how many iterations (KIP-554;
//! `ZkAdminManager.describeUserScramCredentials`). One version.
//!
//! Read from `/config/users`; salts and keys are never told. No users (null or none) means all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ottla_zk::kafka::configs;
use ottla_zk::znode::config::ConfigEntity;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use crate::protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};

const MECHANISMS: &[(&str, i8)] = &[("SCRAM-SHA-256", 1), ("SCRAM-SHA-512", 2)];

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeUserScramCredentialsRequest,
    _call: Call<'_>,
) -> Answer<DescribeUserScramCredentialsResponse> {
    let users = match credentials(broker).await {
        Ok(users) => users,
        Err(refusal) => {
            return Answer::Now(DescribeUserScramCredentialsResponse {
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                ..Default::default()
            });
        }
    };
    let asked: Vec<String> = request.users.unwrap_or_default().into_iter().map(|user| user.name).collect();
    Answer::Now(response(users, &asked))
}

type Credentials = BTreeMap<String, Vec<CredentialInfo>>;

/// Of all users who have any.
async fn credentials(broker: &Broker) -> Result<Credentials, Refusal> {
    let entities = configs::entities(&*broker.store, "users").await?;
    let users: Vec<ConfigEntity> =
        entities.into_iter().filter(|entity| matches!(entity, ConfigEntity::User(Some(_)))).collect();
    let mut found = Credentials::new();
    for (entity, node) in users.iter().zip(configs::read_many(&*broker.store, &users).await?) {
        let ConfigEntity::User(Some(user)) = entity else { continue };
        let node = node.map_err(|error| Refusal::new(ErrorCode::UnknownServerError, error.to_string()))?;
        let infos = infos(&node.config);
        if !infos.is_empty() {
            found.insert(user.clone(), infos);
        }
    }
    Ok(found)
}

fn infos(config: &BTreeMap<String, String>) -> Vec<CredentialInfo> {
    let info = |(name, mechanism): &(&str, i8)| {
        let fields = config.get(*name)?.split(',');
        let iterations = fields.filter_map(|field| field.trim().strip_prefix("iterations=")).next()?;
        Some(CredentialInfo {
            mechanism: *mechanism,
            iterations: iterations.parse().ok()?,
            ..Default::default()
        })
    };
    MECHANISMS.iter().filter_map(info).collect()
}

fn response(mut users: Credentials, asked: &[String]) -> DescribeUserScramCredentialsResponse {
    let described = |user: String, credential_infos| DescribeUserScramCredentialsResult {
        user,
        error_message: None,
        credential_infos,
        ..Default::default()
    };
    let mut results = Vec::new();
    if asked.is_empty() {
        results.extend(users.into_iter().map(|(user, infos)| described(user, infos)));
    } else {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for user in asked {
            *counts.entry(user).or_default() += 1;
        }
        for user in asked {
            let Some(count) = counts.remove(user.as_str()) else { continue };
            let failed = |code: ErrorCode, message: String| DescribeUserScramCredentialsResult {
                error_code: code.code(),
                error_message: Some(message),
                ..described(user.clone(), Vec::new())
            };
            results.push(match users.remove(user) {
                _ if user.is_empty() => failed(ErrorCode::ResourceNotFound, "Username must not be empty".into()),
                _ if count > 1 => failed(
                    ErrorCode::DuplicateResource,
                    format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}"),
                ),
                Some(infos) => described(user.clone(), infos),
                None => failed(
                    ErrorCode::ResourceNotFound,
                    format!("Attempt to describe a user credential that does not exist: {user}"),
                ),
            });
        }
    }
    DescribeUserScramCredentialsResponse { error_message: None, results, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn users_are_described_without_their_secrets() {
        let value = "salt=c2FsdA==,stored_key=a2V5,server_key=a2V5,iterations=8192";
        let config = BTreeMap::from([("SCRAM-SHA-512".to_owned(), value.to_owned())]);
        let found = infos(&config);
        assert_eq!((found.len(), found[0].mechanism, found[0].iterations), (1, 2, 8192));
        let users = Credentials::from([("alice".to_owned(), found)]);
        let all = response(users.clone(), &[]);
        assert_eq!(all.results.len(), 1);
        let asked = ["alice".to_owned(), "bob".to_owned(), "eve".to_owned(), "eve".to_owned(), String::new()];
        let some = response(users, &asked);
        let codes: Vec<i16> = some.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 91, 92, 91]);
        some.encode(&mut Writer::default(), 0).expect("can be written");
    }
}
