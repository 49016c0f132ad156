//! What leaves: payloads as chunks between the fields, refusals that name the field, unknown tags passed on,
//! records of internal topics.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;
use ottla::protocol::api_key::ApiKey;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::frame::{Chunk, FileRegion, Records, RegionSource, encode_request, encode_response};
use ottla::protocol::header::{RequestHeader, ResponseHeader};
use ottla::protocol::message::Message;
use ottla::protocol::messages::consumer_protocol::{self, ConsumerProtocolSubscription};
use ottla::protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla::protocol::messages::{DescribeGroupsRequest, FetchRequest, MetadataRequest, ProduceRequest};
use ottla::protocol::stored::{self, OffsetCommitKey, OffsetCommitValue};
use ottla::protocol::wire::{GATHER_FROM, Reader, UnknownTags, WireError, Writer};

struct InMemory(Vec<u8>);

impl RegionSource for InMemory {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let start = position as usize;
        let end = start + buffer.len();
        let piece = self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(piece);
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn fetch_response(records: Vec<Records>) -> FetchResponse {
    let partition = |(index, records): (usize, Records)| PartitionData {
        partition_index: index as i32,
        records: Some(records),
        ..PartitionData::default()
    };
    let partitions = records.into_iter().enumerate().map(partition).collect();
    let topic = FetchableTopicResponse { topic: "t".into(), partitions, ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

#[test]
fn records_are_gathered_and_never_copied() {
    let file: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let source = Arc::new(InMemory(file.clone()));
    let region = FileRegion { source, position: 1000, len: 50_000 };
    let long = Bytes::from(vec![7u8; GATHER_FROM]);
    let mixed = Records::from_chunks(vec![Chunk::Bytes(long.clone()), Chunk::File(region.clone())]);
    let response = fetch_response(vec![
        region.clone().into(),
        Bytes::from_static(b"tiny").into(),
        mixed,
        long.clone().into(),
    ]);
    let frame = encode_response(ApiKey::Fetch, 12, 77, &response).expect("encodes");

    let files = frame.chunks.iter().filter(|chunk| matches!(chunk, Chunk::File(_))).count();
    assert_eq!(files, 2, "{frame:?}");
    let shared = |chunk: &&Chunk| matches!(chunk, Chunk::Bytes(bytes) if bytes.as_ptr() == long.as_ptr());
    assert_eq!(frame.chunks.iter().filter(shared).count(), 2, "long records keep their memory");
    assert_eq!(frame.size + 4, frame.chunks.iter().map(Chunk::len).sum::<usize>());

    let bytes = frame.to_bytes().expect("in memory");
    assert_eq!(bytes[..4], (frame.size as i32).to_be_bytes());
    let mut reader = Reader::new(bytes.slice(4..));
    assert_eq!(ResponseHeader::decode(&mut reader, 1).expect("a header").correlation_id, 77);
    let back = FetchResponse::decode(&mut reader, 12).expect("a response");
    reader.expect_end().expect("nothing follows");
    let records = |index: usize| {
        let partition: &PartitionData = &back.responses[0].partitions[index];
        partition.records.as_ref().and_then(Records::as_bytes).expect("one slice").clone()
    };
    assert_eq!(records(0), file[1000..51_000]);
    assert_eq!(records(1), b"tiny"[..]);
    assert_eq!(records(2), [&long[..], &file[1000..51_000]].concat());
    assert_eq!(records(3), long);
    let (start, inside) = (bytes.as_ptr() as usize, records(0).as_ptr() as usize);
    assert!((start..start + bytes.len()).contains(&inside), "decoding slices the frame");
}

#[test]
fn small_answers_are_one_chunk() {
    let frame = encode_response(ApiKey::Fetch, 17, 1, &FetchResponse::default()).expect("encodes");
    assert_eq!(frame.chunks.len(), 1);
}

#[test]
fn requests_carry_their_header() {
    for version in ApiKey::Metadata.versions() {
        let header = RequestHeader::new(ApiKey::Metadata, version, 5, Some("me".into()));
        let frame = encode_request(&header, &MetadataRequest::default()).expect("encodes");
        let mut reader = Reader::new(frame.to_bytes().expect("in memory").slice(4..));
        let decoded = RequestHeader::decode(&mut reader).expect("a header");
        assert_eq!(decoded, (header, ApiKey::Metadata), "v{version}");
        let body = MetadataRequest::decode(&mut reader, version).expect("a body");
        assert_eq!(body, MetadataRequest::default(), "v{version}");
    }
    let unknown = Bytes::from_static(&[0, 52, 0, 0, 0, 0, 0, 0, 0, 0]);
    let error = RequestHeader::decode(&mut Reader::new(unknown)).expect_err("Vote is not served");
    assert_eq!(error.code(), ErrorCode::UnsupportedVersion);
}

#[test]
fn what_a_version_cannot_carry_is_refused() {
    let write = |request: &ProduceRequest, version| request.encode(&mut Writer::default(), version);
    let request = ProduceRequest { transactional_id: Some("t".into()), ..Default::default() };
    assert_eq!(
        write(&request, 2),
        Err(WireError::Unsupported { field: "transactional_id", version: 2 }),
        "a transactional produce must not turn into a plain one"
    );
    assert_eq!(write(&request, 3), Ok(()));
    assert_eq!(write(&request, 12), Err(WireError::Version { message: "ProduceRequest", version: 12 }));
    let ignorable = FetchRequest { rack_id: "r1".into(), ..Default::default() };
    assert_eq!(ignorable.encode(&mut Writer::default(), 4), Ok(()), "a rack may be dropped");
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    let error = all_topics.encode(&mut Writer::default(), 0).expect_err("version 0 has no null topics");
    assert_eq!(error.to_string(), "topics at byte 0: null is not allowed in this version");
    let long = DescribeGroupsRequest { groups: vec!["g".repeat(0x8000)], ..Default::default() };
    assert!(matches!(long.encode(&mut Writer::default(), 5), Err(WireError::TooLong { length: 0x8000, .. })));
}

#[test]
fn unknown_tags_travel_in_order() {
    let tags = vec![(9, Bytes::from_static(b"nine")), (3, Bytes::from_static(b"three"))];
    let tags = UnknownTags::new(tags).expect("two different tags");
    let request =
        FetchRequest { cluster_id: Some("c".into()), unknown_tags: tags.clone(), ..Default::default() };
    let mut writer = Writer::default();
    request.encode(&mut writer, 12).expect("encodes");
    let chunks = writer.finish().expect("encodes");
    let body = crate::join(&chunks);
    assert!(body.ends_with(b"\x03\x00\x02\x02c\x03\x05three\x09\x04nine"), "{body:02x?}");
    let back = FetchRequest::decode(&mut Reader::new(body.into()), 12).expect("decodes");
    assert_eq!(back, request);
    assert!(request.encode(&mut Writer::default(), 11).is_err(), "version 11 has no tags");
    assert_eq!(UnknownTags::new(vec![(1, Bytes::new()), (1, Bytes::new())]), Err(1));
    let clash = UnknownTags::new(vec![(0, Bytes::new())]).expect("one tag");
    let clash = FetchRequest { unknown_tags: clash, ..request };
    assert!(matches!(clash.encode(&mut Writer::default(), 12), Err(WireError::TagTwice { tag: 0, .. })));
}

#[test]
fn budget_and_counts_are_told_apart() {
    let groups = |count: usize| {
        let request = DescribeGroupsRequest { groups: vec![String::new(); count], ..Default::default() };
        let mut writer = Writer::default();
        request.encode(&mut writer, 5).expect("encodes");
        Bytes::from(crate::join(&writer.finish().expect("encodes")))
    };
    assert!(DescribeGroupsRequest::decode(&mut Reader::new(groups(50_000)), 5).is_ok());
    let million = groups(1_000_000);
    let error = DescribeGroupsRequest::decode(&mut Reader::new(million.clone()), 5);
    let error = error.expect_err("24 MB of memory for 1 MB of empty strings");
    assert!(matches!(error, WireError::Budget { field: "groups", .. }), "{error}");
    assert!(DescribeGroupsRequest::decode(&mut Reader::with_budget(million, 24_000_000), 5).is_ok());
    let hostile = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let error = MetadataRequest::decode(&mut Reader::new(hostile), 1).expect_err("four bytes hold nothing");
    assert!(
        matches!(error, WireError::Count { field: "topics", count: 0x7fff_ffff, left: 0, .. }),
        "{error}"
    );
}

#[test]
fn stored_records_carry_their_version() {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3, ..Default::default() };
    let bytes = stored::encode(&key, 1).expect("encodes");
    assert_eq!(bytes[..], *b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03");
    assert_eq!(stored::version_of(&bytes), Ok(1));
    assert_eq!(stored::decode(bytes), Ok(key));
    let newer = Bytes::from_static(b"\x00\x07rest");
    let error = stored::decode::<OffsetCommitValue>(newer).expect_err("version 7 is not known");
    assert_eq!(error, WireError::Version { message: "OffsetCommitValue", version: 7 });
    assert!(stored::decode::<OffsetCommitKey>(Bytes::from_static(b"\x00")).is_err());
}

#[test]
fn newer_subscriptions_are_read_as_the_newest_known() {
    let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
    let mut bytes = stored::encode(&subscription, 3).expect("encodes").to_vec();
    bytes[1] = 9;
    bytes.extend_from_slice(b"what version 9 added");
    assert_eq!(consumer_protocol::decode(bytes.into()), Ok(subscription));
}
