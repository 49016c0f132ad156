//! The records of a Fetch answer: as they lie in the file, or converted for clients of versions 0 to 3, which know
//! only the old formats (`KafkaApis.maybeConvertFetchedData`, `message.downconversion.enable`).

use bytes::{Bytes, BytesMut};

use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::Records;
use crate::protocol::records::batch::Compression;
use crate::protocol::records::convert::down_convert;
use crate::protocol::records::view::batches;
use crate::replication::fetch::{Target, records_of};
use crate::storage::log::Slice;
use crate::storage::log_config::TopicCompression;

/// What one batch may decompress to while it is converted.
const DECOMPRESSED_MAX: usize = 256 << 20;

/// The records to send for one partition.
pub fn records(broker: &Broker, target: &Target, slice: Slice, version: i16) -> Result<Records, ErrorCode> {
    if version >= 10 {
        return Ok(records_of(slice));
    }
    let topic = target.partition.as_ref().map_err(|code| *code)?.tp.topic.clone();
    let config = broker.configs.log_config(&topic);
    if config.compression == TopicCompression::Only(Compression::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    let wanted_magic = match version {
        0 | 1 => 0,
        2 | 3 => 1,
        _ => return Ok(records_of(slice)),
    };
    let bytes = in_memory(&records_of(slice))?;
    if batches(&bytes).all(|batch| batch.is_ok_and(|batch| batch.magic() <= wanted_magic)) {
        return Ok(Records::from(bytes));
    }
    if !config.downconversion {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let converted = down_convert(&bytes, wanted_magic, target.wanted.fetch_offset, DECOMPRESSED_MAX)
        .map_err(|error| {
            tracing::warn!(topic = %topic, %error, "records cannot be converted for an old client");
            error.code()
        })?;
    Ok(Records::from(Bytes::from(converted.bytes)))
}

fn in_memory(records: &Records) -> Result<Bytes, ErrorCode> {
    let mut bytes = BytesMut::with_capacity(records.len());
    for chunk in records.chunks() {
        chunk.copy_to(&mut bytes).map_err(|error| {
            tracing::error!(%error, "a segment cannot be read");
            ErrorCode::KafkaStorageError
        })?;
    }
    Ok(bytes.freeze())
}
