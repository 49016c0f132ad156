//! Reading load: consumers that read a filled topic from its first offset to its end, over and over.
//!
//! One connection a partition, one request in flight, answers of up to 1 MiB. Only whole batches count as
//! delivered: what a broker cuts off at the end of an answer has to be sent again.

use std::io;

use bytes::Bytes;
use ottla::protocol::messages::FetchRequest;
use ottla::protocol::messages::fetch::{FetchPartition, FetchTopic};
use ottla::protocol::records::batch::{BatchHeader, HEADER_SIZE};

use crate::client::{Connection, failed, parse, prepare};
use crate::load::{Load, Target};

/// The last version that names topics instead of their ids, which not every peer here has.
const FETCH_VERSION: i16 = 12;
const ANSWER_BYTES: i32 = 1 << 20;

/// Reads the topic until stopped.
pub fn fetch(target: Target) -> Load {
    Load::start(target.leaders.len(), move |index, counters| {
        let partition = index as i32;
        let mut connection = Connection::open(target.leaders[index])?;
        let mut offset = 0;
        while !counters.stopped() {
            let id = connection.send(&mut request(&target.topic, partition, offset)?)?;
            let records = records(connection.receive()?, id)?;
            let (bytes, next) = whole_batches(&records, offset)?;
            counters.add(bytes);
            // At the end: from the start again.
            offset = if bytes == 0 { 0 } else { next };
        }
        Ok(())
    })
}

fn request(topic: &str, partition: i32, fetch_offset: i64) -> io::Result<Vec<u8>> {
    let partition = FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: ANSWER_BYTES,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest { max_bytes: ANSWER_BYTES, topics: vec![topic], ..FetchRequest::default() };
    prepare(FETCH_VERSION, &request)
}

fn records(frame: Bytes, correlation_id: i32) -> io::Result<Bytes> {
    let answer = parse::<FetchRequest>(frame, FETCH_VERSION, correlation_id)?;
    let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
    let partition = partition.ok_or_else(|| failed(format!("Fetch failed: {}", answer.error_code)))?;
    match partition.error_code {
        0 => {
            Ok(partition.records.as_ref().and_then(|records| records.as_bytes()).cloned().unwrap_or_default())
        }
        code => Err(failed(format!("Fetch was refused with {code}"))),
    }
}

/// Bytes of the whole batches in `records`, and the offset after the last of them.
fn whole_batches(records: &[u8], from: i64) -> io::Result<(u64, i64)> {
    let (mut at, mut next) = (0, from);
    while records.len() - at >= HEADER_SIZE {
        let header = BatchHeader::parse(&records[at..]).map_err(failed)?;
        if at + header.size_in_bytes() > records.len() {
            break;
        }
        at += header.size_in_bytes();
        next = header.next_offset();
    }
    Ok((at as u64, next))
}
