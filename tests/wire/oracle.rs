//! Random messages through our codec and through the `kafka-protocol` crate, which was generated from
//! Kafka's own message files: same bytes, also when a message of one version is written in another, also
//! the same refusals.
//!
//! The crate dies of hostile lengths, so it is given only what our codec has read and written.

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use kafka_protocol::messages::{ApiKey as OracleKey, RequestKind, ResponseKind};
use ottla::protocol::api_key::ApiKey;
use ottla::protocol::message::Kind;
use ottla::protocol::messages::{APIS, Codec};
use ottla::protocol::wire::WireError;

use crate::draw::{Wishes, draw};
use crate::{join, number_from_env};

/// Draws for each message and version.
const DRAWS: usize = 60;

/// Reads in version `from`, to the last byte, and writes in version `to`.
fn oracle(key: ApiKey, is_request: bool, body: Bytes, from: i16, to: i16) -> Result<Vec<u8>, String> {
    let key = OracleKey::try_from(key.number()).expect("an API the oracle knows");
    let (mut input, mut out) = (body, BytesMut::new());
    let written = if is_request {
        let message = RequestKind::decode(key, &mut input, from).expect("the oracle reads what we wrote");
        message.encode(&mut out, to)
    } else {
        let message = ResponseKind::decode(key, &mut input, from).expect("the oracle reads what we wrote");
        message.encode(&mut out, to)
    };
    assert!(input.is_empty(), "the oracle left {} bytes", input.len());
    written.map(|()| out.to_vec()).map_err(|error| error.to_string())
}

fn ours(codec: &Codec, body: &Bytes, from: i16, to: i16) -> Result<Vec<u8>, WireError> {
    codec.recode(body.clone(), from, to).map(|chunks| join(&chunks))
}

/// Two things Kafka's serializers refuse and the crate lets pass: a null in a version that has none, and a
/// tagged field in a version that does not know it.
fn oracle_is_lenient(codec: &Codec, error: &WireError) -> bool {
    match error {
        WireError::Null { .. } => true,
        WireError::Unsupported { field, .. } => has_tagged(codec.kind, field),
        _ => false,
    }
}

fn has_tagged(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Array(inner) | Kind::Nullable(inner) => has_tagged(*inner, name),
        Kind::Struct(fields) => fields
            .iter()
            .any(|field| (field.tag.is_some() && field.name == name) || has_tagged(field.kind, name)),
        _ => false,
    }
}

fn for_every_draw(wishes: Wishes, mut check: impl FnMut(ApiKey, bool, &Codec, i16, Bytes, &mut Rng)) {
    let seed = number_from_env("OTTLA_WIRE_SEED", 1);
    println!("OTTLA_WIRE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    for (key, request, response) in APIS {
        for (is_request, codec) in [(true, request), (false, response)] {
            for version in codec.versions.clone() {
                for _ in 0..DRAWS {
                    let body = Bytes::from(draw(codec, version, wishes, &mut rng).body);
                    check(*key, is_request, codec, version, body, &mut rng);
                }
            }
        }
    }
}

#[test]
fn same_bytes_in_the_same_version() {
    let mut compared = 0;
    for_every_draw(Wishes { elements: 3, unknown_tags: true }, |key, is_request, codec, version, body, _| {
        let at = format!("{} v{version}", codec.name);
        let ours = ours(codec, &body, version, version).expect(&at);
        assert_eq!(ours, body, "{at}: what was drawn is canonical");
        let theirs = oracle(key, is_request, ours.clone().into(), version, version).expect(&at);
        assert_eq!(ours, theirs, "{at}: the oracle writes something else");
        compared += 1;
    });
    assert!(compared > 20_000, "only {compared} messages were compared");
}

#[test]
fn same_bytes_or_same_refusal_in_another_version() {
    let (mut written, mut refused) = (0, 0);
    for_every_draw(Wishes { elements: 2, unknown_tags: false }, |key, is_request, codec, from, body, rng| {
        let to = rng.i16(codec.versions.clone());
        let ours = ours(codec, &body, from, to);
        let theirs = oracle(key, is_request, body, from, to);
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{} from v{from} to v{to}", codec.name);
                written += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (Err(error), Ok(_)) if oracle_is_lenient(codec, error) => refused += 1,
            _ => panic!("{} from v{from} to v{to}: ours {ours:?}, theirs {theirs:?}", codec.name),
        }
    });
    assert!(written > 10_000 && refused > 1_000, "{written} written, {refused} refused");
}
