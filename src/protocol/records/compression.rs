//! Compressing and decompressing the records of a batch, as the Java clients do.
//!
//! Decompressing never gives more than the caller's limit and never reserves memory on the word of the
//! input: a few bytes can promise gigabytes. Snappy is written in Xerial framing with 32 KiB blocks and read
//! in that or raw; zstd from Java carries no content size, so it is streamed. Source: `Compression*`,
//! `SnappyOutputStream` (snappy-java), KIP-110, KIP-390.

use std::cell::RefCell;
use std::io::{Read, Write};

use crate::protocol::records::batch::Compression;
use crate::protocol::records::{RecordsError, lz4};

/// What a Xerial stream starts with, before two version numbers.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_SIZE: usize = 16;
const XERIAL_BLOCK_SIZE: usize = 32 * 1024;
/// Snappy gives at most 64 bytes for 3: a block that promises more than this factor lies.
const SNAPPY_MAX_RATIO: usize = 32;
/// 8 MiB: every decoder must accept this window (RFC 8878); beyond it the caller's limit rules.
const ZSTD_LEAST_WINDOW_LOG: u32 = 23;
const ZSTD_MOST_WINDOW_LOG: u32 = 27;

/// Level if none is configured (KIP-390). LZ4 has its own scale in Kafka, 1 to 17; see [`compress`].
pub fn default_level(codec: Compression) -> i32 {
    match codec {
        Compression::Gzip => 6,
        Compression::Zstd => 3,
        Compression::Lz4 => 9,
        Compression::None | Compression::Snappy => 0,
    }
}

/// Compresses `input`. `level` is `compression.gzip.level` (1..=9, -1 default) or `compression.zstd.level`;
/// `None` is the default. LZ4 is always written at the fast setting: the level changes effort, not format.
pub fn compress(codec: Compression, level: Option<i32>, input: &[u8]) -> Result<Vec<u8>, RecordsError> {
    let level = level.unwrap_or_else(|| default_level(codec));
    match codec {
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => {
            let effort = if level < 0 { default_level(codec) } else { level.min(9) };
            let out = Vec::with_capacity(input.len() / 2);
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(effort as u32));
            encoder.write_all(input).and_then(|()| encoder.finish()).map_err(|e| broken(codec, e))
        }
        Compression::Snappy => snappy_compress(input),
        Compression::Lz4 => lz4::compress(input, lz4::HeaderChecksum::Correct),
        Compression::Zstd => {
            let range = zstd::compression_level_range();
            let level = level.clamp(*range.start(), *range.end());
            zstd::bulk::compress(input, level).map_err(|e| broken(codec, e))
        }
    }
}

/// Decompresses `input` to at most `limit` bytes; more is [`RecordsError::TooLarge`].
pub fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, RecordsError> {
    match codec {
        Compression::None if input.len() > limit => Err(RecordsError::TooLarge { limit }),
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => {
            read_limited(codec, flate2::bufread::MultiGzDecoder::new(input), input.len(), limit)
        }
        Compression::Snappy => snappy_decompress(input, limit),
        Compression::Lz4 => lz4::decompress(input, limit, lz4::HeaderChecksum::Correct),
        Compression::Zstd => zstd_decompress(input, limit),
    }
}

fn broken(codec: Compression, reason: impl ToString) -> RecordsError {
    RecordsError::BrokenCompression { codec, reason: reason.to_string() }
}

fn read_limited(
    codec: Compression,
    decoder: impl Read,
    input_len: usize,
    limit: usize,
) -> Result<Vec<u8>, RecordsError> {
    let mut out = Vec::with_capacity(input_len.saturating_mul(4).min(limit));
    let allowed = (limit as u64).saturating_add(1);
    decoder.take(allowed).read_to_end(&mut out).map_err(|e| broken(codec, e))?;
    match out.len() > limit {
        true => Err(RecordsError::TooLarge { limit }),
        false => Ok(out),
    }
}

thread_local! {
    /// A decoder context costs as much to make as decoding 16 KiB with it.
    static ZSTD: RefCell<zstd::zstd_safe::DCtx<'static>> = RefCell::new(zstd::zstd_safe::DCtx::create());
}

fn zstd_decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, RecordsError> {
    let window_log = usize::BITS - limit.leading_zeros();
    ZSTD.with_borrow_mut(|context| {
        // A context left in the middle of a broken frame would refuse the next one.
        let fresh = context.reset(zstd::zstd_safe::ResetDirective::SessionAndParameters);
        fresh.map_err(|code| broken(Compression::Zstd, zstd::zstd_safe::get_error_name(code)))?;
        let mut decoder = zstd::stream::read::Decoder::with_context(input, context);
        decoder
            .window_log_max(window_log.clamp(ZSTD_LEAST_WINDOW_LOG, ZSTD_MOST_WINDOW_LOG))
            .map_err(|e| broken(Compression::Zstd, e))?;
        read_limited(Compression::Zstd, decoder, input.len(), limit)
    })
}

fn snappy_compress(input: &[u8]) -> Result<Vec<u8>, RecordsError> {
    let mut out = Vec::with_capacity(XERIAL_HEADER_SIZE + input.len() / 2);
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(XERIAL_BLOCK_SIZE) {
        let size_at = out.len();
        let start = size_at + 4;
        out.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let used = encoder.compress(block, &mut out[start..]).map_err(|e| broken(Compression::Snappy, e))?;
        out[size_at..start].copy_from_slice(&(used as u32).to_be_bytes());
        out.truncate(start + used);
    }
    Ok(out)
}

fn snappy_decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, RecordsError> {
    let mut out = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    if !input.starts_with(&XERIAL_MAGIC) {
        snappy_block(&mut decoder, input, limit, &mut out)?;
        return Ok(out);
    }
    let cut = || broken(Compression::Snappy, "the stream ends inside a block");
    let mut rest = input.get(XERIAL_HEADER_SIZE..).ok_or_else(cut)?;
    while !rest.is_empty() {
        if rest.starts_with(&XERIAL_MAGIC) {
            // Streams written one after another are one stream.
            rest = rest.get(XERIAL_HEADER_SIZE..).ok_or_else(cut)?;
            continue;
        }
        let (size, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let size = u32::from_be_bytes(*size) as usize;
        let block = after.get(..size).ok_or_else(cut)?;
        snappy_block(&mut decoder, block, limit, &mut out)?;
        rest = &after[size..];
    }
    Ok(out)
}

fn snappy_block(
    decoder: &mut snap::raw::Decoder,
    block: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), RecordsError> {
    let size = snap::raw::decompress_len(block).map_err(|e| broken(Compression::Snappy, e))?;
    if size > block.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(broken(Compression::Snappy, "a block promises more than snappy can compress"));
    }
    let start = out.len();
    if size > limit.saturating_sub(start) {
        return Err(RecordsError::TooLarge { limit });
    }
    out.resize(start + size, 0);
    decoder.decompress(block, &mut out[start..]).map_err(|e| broken(Compression::Snappy, e))?;
    Ok(())
}
