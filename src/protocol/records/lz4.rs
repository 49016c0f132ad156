//! LZ4 frames as Kafka writes and reads them: independent blocks of 64 KiB, no content checksum.
//!
//! Reading accepts what `Lz4BlockInputStream` accepts (any block size, block checksums, content size;
//! never linked blocks, which no Java client could read) but grows its output block by block within the
//! limit. Kafka's first writers hashed the wrong bytes for the header checksum; format 0 keeps that fault
//! (KAFKA-3160), so it is ignored in reading and reproduced in writing there.

use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::Compression;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const BLOCK_SIZE: usize = 64 * 1024;
/// Version 1, independent blocks, nothing else.
const FLAGS: u8 = 0x60;
const DESCRIPTOR_64_KIB: u8 = 0x40;
const UNCOMPRESSED_BIT: u32 = 0x8000_0000;
/// LZ4 gives at most 255 bytes for one.
const MAX_RATIO: usize = 255;

/// Which header checksum a frame has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HeaderChecksum {
    /// As the LZ4 frame format says; checked in reading.
    Correct,
    /// Format 0: also over the magic number; not checked in reading.
    Format0,
}

/// Writes `input` as one frame.
pub fn compress(input: &[u8], checksum: HeaderChecksum) -> Result<Vec<u8>, RecordsError> {
    let mut out = Vec::with_capacity(input.len() / 2 + 32);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FLAGS, DESCRIPTOR_64_KIB]);
    let hashed = match checksum {
        HeaderChecksum::Correct => &out[MAGIC.len()..],
        HeaderChecksum::Format0 => &out[..],
    };
    let hash = header_hash(hashed);
    out.push(hash);
    for block in input.chunks(BLOCK_SIZE) {
        let size_at = out.len();
        let start = size_at + 4;
        out.resize(start + lz4_flex::block::get_maximum_output_size(block.len()), 0);
        let used = lz4_flex::block::compress_into(block, &mut out[start..]).map_err(broken)?;
        let size = if used < block.len() {
            out.truncate(start + used);
            used as u32
        } else {
            out.truncate(start);
            out.extend_from_slice(block);
            block.len() as u32 | UNCOMPRESSED_BIT
        };
        out[size_at..start].copy_from_slice(&size.to_le_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    Ok(out)
}

/// Reads one frame into at most `limit` bytes. What follows the frame is ignored, as by Kafka.
pub fn decompress(input: &[u8], limit: usize, checksum: HeaderChecksum) -> Result<Vec<u8>, RecordsError> {
    let (frame, mut rest) = read_header(input, checksum)?;
    let mut out = Vec::new();
    loop {
        let word = u32::from_le_bytes(*take(&mut rest)?);
        if word == 0 {
            return Ok(out);
        }
        let size = (word & !UNCOMPRESSED_BIT) as usize;
        if size > frame.max_block {
            return Err(broken("a block is larger than the frame says"));
        }
        let block = rest.get(..size).ok_or_else(cut)?;
        rest = &rest[size..];
        if frame.block_checksums && u32::from_le_bytes(*take(&mut rest)?) != xxh32(block) {
            return Err(broken("a block's checksum does not match"));
        }
        let left = limit - out.len();
        if word & UNCOMPRESSED_BIT != 0 {
            if size > left {
                return Err(RecordsError::TooLarge { limit });
            }
            out.extend_from_slice(block);
        } else {
            append_block(block, frame.max_block, limit, &mut out)?;
        }
    }
}

struct Frame {
    max_block: usize,
    block_checksums: bool,
}

fn read_header(input: &[u8], checksum: HeaderChecksum) -> Result<(Frame, &[u8]), RecordsError> {
    let mut rest = input;
    if *take::<4>(&mut rest)? != MAGIC {
        return Err(broken("no LZ4 frame"));
    }
    let [flags, descriptor] = *take::<2>(&mut rest)?;
    if flags >> 6 != 1 || flags & 0x03 != 0 || descriptor & 0x8f != 0 {
        return Err(broken("unknown frame version or flags"));
    }
    if flags & 0x20 == 0 {
        return Err(broken("linked blocks are not supported"));
    }
    let max_block = match descriptor >> 4 {
        code @ 4..=7 => 1usize << (8 + 2 * code),
        _ => return Err(broken("unknown block size")),
    };
    if flags & 0x08 != 0 {
        take::<8>(&mut rest)?;
    }
    let described = &input[MAGIC.len()..input.len() - rest.len()];
    let [stored] = *take::<1>(&mut rest)?;
    if checksum == HeaderChecksum::Correct && stored != header_hash(described) {
        return Err(broken("the header's checksum does not match"));
    }
    Ok((Frame { max_block, block_checksums: flags & 0x10 != 0 }, rest))
}

fn append_block(block: &[u8], max_block: usize, limit: usize, out: &mut Vec<u8>) -> Result<(), RecordsError> {
    let start = out.len();
    let left = limit - start;
    let room = max_block.min(block.len().saturating_mul(MAX_RATIO)).min(left);
    out.resize(start + room, 0);
    match lz4_flex::block::decompress_into(block, &mut out[start..]) {
        Ok(used) => {
            out.truncate(start + used);
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room == left => {
            Err(RecordsError::TooLarge { limit })
        }
        Err(error) => Err(broken(error)),
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], RecordsError> {
    let (head, after) = rest.split_first_chunk::<N>().ok_or_else(cut)?;
    *rest = after;
    Ok(head)
}

fn cut() -> RecordsError {
    broken("the frame ends too early")
}

fn broken(reason: impl ToString) -> RecordsError {
    RecordsError::BrokenCompression { codec: Compression::Lz4, reason: reason.to_string() }
}

/// The header checksum: the second byte of the hash.
fn header_hash(described: &[u8]) -> u8 {
    (xxh32(described) >> 8) as u8
}

const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// xxHash32 with seed 0, the hash of the LZ4 frame format.
fn xxh32(input: &[u8]) -> u32 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let stripes = input.chunks_exact(16);
    let tail = stripes.remainder();
    let mut hash = if input.len() >= 16 {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0u32.wrapping_sub(p1)];
        for stripe in stripes {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                *lane = lane.wrapping_add(word(bytes).wrapping_mul(p2)).rotate_left(13).wrapping_mul(p1);
            }
        }
        let turns = [1, 7, 12, 18];
        lanes.iter().zip(turns).fold(0u32, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)))
    } else {
        p5
    };
    hash = hash.wrapping_add(input.len() as u32);
    let words = tail.chunks_exact(4);
    let bytes = words.remainder();
    for chunk in words {
        hash = hash.wrapping_add(word(chunk).wrapping_mul(p3)).rotate_left(17).wrapping_mul(p4);
    }
    for &byte in bytes {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(p3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_xxhash_does() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
        assert_eq!(header_hash(&[FLAGS, DESCRIPTOR_64_KIB]), 0x82, "what every Kafka frame starts with");
    }

    #[test]
    fn frames_are_read_by_another_decoder_and_back() {
        use std::io::{Read, Write};
        for size in [0, 1, 100, BLOCK_SIZE, BLOCK_SIZE + 1, 300_000] {
            let text: Vec<u8> = (0..size).map(|i| (i / 7 % 251) as u8).collect();
            let random: Vec<u8> = (0..size).map(|i| (xxh32(&i.to_le_bytes()) >> 24) as u8).collect();
            for input in [text, random] {
                let ours = compress(&input, HeaderChecksum::Correct).unwrap();
                let mut theirs = Vec::new();
                lz4_flex::frame::FrameDecoder::new(&ours[..]).read_to_end(&mut theirs).unwrap();
                assert!(theirs == input);
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max256KB)
                    .block_checksums(true)
                    .content_checksum(true)
                    .content_size(Some(size as u64));
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&input).unwrap();
                let theirs = encoder.finish().unwrap();
                assert!(decompress(&theirs, size, HeaderChecksum::Correct).unwrap() == input);
                if size > 0 {
                    let refused = decompress(&theirs, size - 1, HeaderChecksum::Correct);
                    assert_eq!(refused, Err(RecordsError::TooLarge { limit: size - 1 }));
                }
            }
        }
    }

    #[test]
    fn format_0_has_the_wrong_header_checksum() {
        let input = b"message";
        let wrong = compress(input, HeaderChecksum::Format0).unwrap();
        assert_ne!(wrong[6], 0x82);
        assert!(decompress(&wrong, 100, HeaderChecksum::Correct).is_err());
        assert_eq!(decompress(&wrong, 100, HeaderChecksum::Format0).unwrap(), input);
        let right = compress(input, HeaderChecksum::Correct).unwrap();
        assert_eq!(decompress(&right, 100, HeaderChecksum::Format0).unwrap(), input);
    }

    #[test]
    fn linked_blocks_are_refused() {
        use std::io::Write;
        let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&[7; 1000]).unwrap();
        let linked = encoder.finish().unwrap();
        assert!(decompress(&linked, 2000, HeaderChecksum::Correct).is_err());
    }
}
