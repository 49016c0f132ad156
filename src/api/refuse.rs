//! APIs whose part behind them is not built yet, answered as Kafka 3.9 answers a caller that it cannot serve: a
//! well-formed error for every item, in every version. Transactions are in `refuse_transactions`.
//!
//! Where Kafka has an answer for a broker that is set up without the part - no authorizer, no SASL, no delegation tokens on a
//! PLAINTEXT listener, no forwarding - it is that answer, to the letter. The rest is UNSUPPORTED_VERSION with a
//! sentence: no client repeats a request for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_client_quotas::{EntityResult, EntryResult};
use crate::protocol::messages::alter_user_scram_credentials::AlterUserScramCredentialsResult;
use crate::protocol::messages::create_acls::AclCreationResult;
use crate::protocol::messages::delete_acls::DeleteAclsFilterResult;
use crate::protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse, CreateDelegationTokenRequest,
    CreateDelegationTokenResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse, DescribeDelegationTokenRequest, DescribeDelegationTokenResponse, EnvelopeRequest,
    EnvelopeResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

const NO_TIME: i64 = -1;

/// SaslHandshake on a connection that needs no login, or has it behind itself.
pub async fn sasl_handshake(
    _broker: &Arc<Broker>,
    _request: SaslHandshakeRequest,
    _call: Call<'_>,
) -> Answer<SaslHandshakeResponse> {
    Answer::Now(SaslHandshakeResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        ..Default::default()
    })
}

/// SaslAuthenticate, likewise.
pub async fn sasl_authenticate(
    _broker: &Arc<Broker>,
    _request: SaslAuthenticateRequest,
    _call: Call<'_>,
) -> Answer<SaslAuthenticateResponse> {
    Answer::Now(no_login())
}

fn no_login() -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some("SaslAuthenticate request received after successful authentication".into()),
        ..Default::default()
    }
}

/// DescribeAcls without an authorizer.
pub async fn describe_acls(
    _broker: &Arc<Broker>,
    _request: DescribeAclsRequest,
    _call: Call<'_>,
) -> Answer<DescribeAclsResponse> {
    Answer::Now(no_acls())
}

fn no_acls() -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some("No Authorizer is configured on the broker".into()),
        ..Default::default()
    }
}

const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// CreateAcls without an authorizer.
pub async fn create_acls(
    _broker: &Arc<Broker>,
    request: CreateAclsRequest,
    _call: Call<'_>,
) -> Answer<CreateAclsResponse> {
    Answer::Now(no_acls_created(request.creations.len()))
}

fn no_acls_created(count: usize) -> CreateAclsResponse {
    let result = AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.into()),
        ..Default::default()
    };
    CreateAclsResponse { results: vec![result; count], ..Default::default() }
}

/// DeleteAcls without an authorizer.
pub async fn delete_acls(
    _broker: &Arc<Broker>,
    request: DeleteAclsRequest,
    _call: Call<'_>,
) -> Answer<DeleteAclsResponse> {
    Answer::Now(no_acls_deleted(request.filters.len()))
}

fn no_acls_deleted(count: usize) -> DeleteAclsResponse {
    let result = DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.into()),
        ..Default::default()
    };
    DeleteAclsResponse { filter_results: vec![result; count], ..Default::default() }
}

/// CreateDelegationToken over PLAINTEXT.
pub async fn create_delegation_token(
    _broker: &Arc<Broker>,
    request: CreateDelegationTokenRequest,
    call: Call<'_>,
) -> Answer<CreateDelegationTokenResponse> {
    Answer::Now(no_token_created(request, call.version))
}

fn no_token_created(request: CreateDelegationTokenRequest, version: i16) -> CreateDelegationTokenResponse {
    let anonymous = || ("User".to_owned(), "ANONYMOUS".to_owned());
    let owner = match request.owner_principal_name {
        Some(name) if !name.is_empty() => (request.owner_principal_type.unwrap_or_default(), name),
        _ => anonymous(),
    };
    let requester = if version >= 3 { anonymous() } else { Default::default() };
    CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        principal_type: owner.0,
        principal_name: owner.1,
        token_requester_principal_type: requester.0,
        token_requester_principal_name: requester.1,
        issue_timestamp_ms: NO_TIME,
        expiry_timestamp_ms: NO_TIME,
        max_timestamp_ms: NO_TIME,
        ..Default::default()
    }
}

/// RenewDelegationToken over PLAINTEXT.
pub async fn renew_delegation_token(
    _broker: &Arc<Broker>,
    _request: RenewDelegationTokenRequest,
    _call: Call<'_>,
) -> Answer<RenewDelegationTokenResponse> {
    Answer::Now(RenewDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        expiry_timestamp_ms: NO_TIME,
        ..Default::default()
    })
}

/// ExpireDelegationToken over PLAINTEXT.
pub async fn expire_delegation_token(
    _broker: &Arc<Broker>,
    _request: ExpireDelegationTokenRequest,
    _call: Call<'_>,
) -> Answer<ExpireDelegationTokenResponse> {
    Answer::Now(ExpireDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        expiry_timestamp_ms: NO_TIME,
        ..Default::default()
    })
}

/// DescribeDelegationToken over PLAINTEXT.
pub async fn describe_delegation_token(
    _broker: &Arc<Broker>,
    _request: DescribeDelegationTokenRequest,
    _call: Call<'_>,
) -> Answer<DescribeDelegationTokenResponse> {
    Answer::Now(DescribeDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        ..Default::default()
    })
}

/// AlterClientQuotas: quotas are not enforced yet, so setting one would be a promise that is not kept.
pub async fn alter_client_quotas(
    _broker: &Arc<Broker>,
    request: AlterClientQuotasRequest,
    _call: Call<'_>,
) -> Answer<AlterClientQuotasResponse> {
    Answer::Now(no_quotas(request))
}

fn no_quotas(request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let entries = request.entries.into_iter().map(|entry| {
        let entity = entry.entity.into_iter().map(|entity| EntityResult {
            entity_type: entity.entity_type,
            entity_name: entity.entity_name,
            ..Default::default()
        });
        EntryResult {
            error_code: ErrorCode::UnsupportedVersion.code(),
            error_message: Some(
                "this broker does not enforce client quotas yet, so it does not set them".into(),
            ),
            entity: entity.collect(),
            ..Default::default()
        }
    });
    AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }
}

/// AlterUserScramCredentials: there is no SCRAM login yet.
pub async fn alter_user_scram_credentials(
    broker: &Arc<Broker>,
    request: AlterUserScramCredentialsRequest,
    _call: Call<'_>,
) -> Answer<AlterUserScramCredentialsResponse> {
    Answer::Now(no_credentials(broker.controller.is_active(), request))
}

fn no_credentials(
    is_controller: bool,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let (code, message) = match is_controller {
        true => {
            (ErrorCode::UnsupportedVersion, Some("this broker does not set SCRAM credentials yet".to_owned()))
        }
        false => (ErrorCode::NotController, None),
    };
    let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
    let users: BTreeSet<String> = deleted.chain(request.upsertions.into_iter().map(|it| it.name)).collect();
    let result = |user: String| AlterUserScramCredentialsResult {
        user,
        error_code: code.code(),
        error_message: message.clone(),
        ..Default::default()
    };
    AlterUserScramCredentialsResponse {
        results: users.into_iter().map(result).collect(),
        ..Default::default()
    }
}

/// Envelope: without forwarding, which ZooKeeper mode has only while it migrates, Kafka closes the connection.
pub async fn envelope(
    _broker: &Arc<Broker>,
    _request: EnvelopeRequest,
    _call: Call<'_>,
) -> Answer<EnvelopeResponse> {
    Answer::Close("it sent an Envelope request even though forwarding has not been enabled".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::messages::alter_client_quotas::{EntityData, EntryData};
    use crate::protocol::messages::alter_user_scram_credentials::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };
    use crate::protocol::wire::Writer;

    fn in_every_version<M: Message>(answer: impl Fn(i16) -> M) {
        for version in M::VERSIONS {
            if let Err(error) = answer(version).encode(&mut Writer::default(), version) {
                panic!("{} version {version}: {error}", M::NAME);
            }
        }
    }

    #[test]
    fn every_refusal_can_be_written_in_every_version() {
        in_every_version(|_| no_login());
        in_every_version(|_| no_acls());
        in_every_version(|_| no_acls_created(2));
        in_every_version(|_| no_acls_deleted(2));
        in_every_version(|version| no_token_created(CreateDelegationTokenRequest::default(), version));
        let entity = EntityData { entity_type: "user".into(), entity_name: None, ..Default::default() };
        let entry = EntryData { entity: vec![entity], ..Default::default() };
        in_every_version(|_| {
            no_quotas(AlterClientQuotasRequest { entries: vec![entry.clone()], ..Default::default() })
        });
        in_every_version(|_| no_credentials(true, AlterUserScramCredentialsRequest::default()));
    }

    #[test]
    fn each_item_is_refused() {
        assert_eq!(no_acls_created(3).results.len(), 3);
        assert!(no_acls_deleted(1).filter_results.iter().all(|result| result.error_code == 54));
        let request = AlterUserScramCredentialsRequest {
            deletions: vec![ScramCredentialDeletion { name: "a".into(), ..Default::default() }],
            upsertions: vec![ScramCredentialUpsertion { name: "a".into(), ..Default::default() }],
            ..Default::default()
        };
        let refused = no_credentials(false, request);
        assert_eq!((refused.results.len(), refused.results[0].error_code), (1, 41));
    }

    #[test]
    fn a_token_is_refused_to_its_owner() {
        let request = CreateDelegationTokenRequest {
            owner_principal_type: Some("User".into()),
            owner_principal_name: Some("alice".into()),
            ..Default::default()
        };
        let refused = no_token_created(request, 3);
        assert_eq!(
            (refused.principal_name.as_str(), refused.token_requester_principal_name.as_str()),
            ("alice", "ANONYMOUS")
        );
        assert_eq!(no_token_created(CreateDelegationTokenRequest::default(), 2).principal_name, "ANONYMOUS");
    }
}
