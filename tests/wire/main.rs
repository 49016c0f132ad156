//! The codec against Kafka: its own serializers' bytes, another implementation, and hostile input.
//!
//! `vectors` holds it to 4,228 messages that Kafka 3.9.2 wrote; `oracle` to the `kafka-protocol` crate on
//! messages drawn at random, also across versions; `gather` to what leaves: chunks, refusals, stored records;
//! `hostile` to lengths at their bounds and mutated frames, with the memory it asks for counted. Seeds are
//! printed on failure. Environment: `OTTLA_WIRE_SEED` (default 1), `OTTLA_WIRE_FRAMES` (mutated frames,
//! default 2,000,000).

mod asked;
mod draw;
mod gather;
mod hostile;
mod oracle;
mod vectors;

use ottla::protocol::frame::Chunk;
use ottla::protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use ottla::protocol::messages::default_principal::DefaultPrincipalData;
use ottla::protocol::messages::{APIS, Codec};
use ottla::protocol::stored::leader_change::LeaderChangeMessage;
use ottla::protocol::stored::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, TransactionLogKey,
    TransactionLogValue,
};

/// Every message there is, except the two headers.
fn codecs() -> Vec<Codec> {
    let mut all: Vec<Codec> = Vec::new();
    for (_, request, response) in APIS {
        all.extend([request.clone(), response.clone()]);
    }
    all.extend([
        Codec::of::<ConsumerProtocolSubscription>(),
        Codec::of::<ConsumerProtocolAssignment>(),
        Codec::of::<DefaultPrincipalData>(),
        Codec::of::<LeaderChangeMessage>(),
        Codec::of::<OffsetCommitKey>(),
        Codec::of::<OffsetCommitValue>(),
        Codec::of::<GroupMetadataKey>(),
        Codec::of::<GroupMetadataValue>(),
        Codec::of::<TransactionLogKey>(),
        Codec::of::<TransactionLogValue>(),
    ]);
    all
}

fn join(chunks: &[Chunk]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    for chunk in chunks {
        chunk.copy_to(&mut out).expect("chunks in memory");
    }
    out.to_vec()
}

fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
