//! Input made to hurt: lengths at their bounds, cut and mutated frames. It is an error or a message, never
//! a panic, and never more memory than four times the input plus one MiB.

use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use ottla::protocol::header::RequestHeader;
use ottla::protocol::messages::Codec;
use ottla::protocol::varint::put_u32;
use ottla::protocol::wire::{Reader, WireError};

use crate::asked::asked_by;
use crate::draw::{Drawn, Wishes, draw};
use crate::{codecs, join, number_from_env};

/// Lengths that have killed decoders.
const BOUNDS: [i64; 14] =
    [-2147483648, -32768, -2, -1, 0, 1, 127, 128, 0x7ffe, 0x7fff, 0x8000, 0x7ffffffe, 0x7fffffff, 0xffffffff];

/// Reads `body` and nothing else, and holds the memory it asks for against the bound.
fn read(codec: &Codec, version: i16, body: &Bytes) -> Result<(), WireError> {
    let input = body.clone();
    let (result, asked) = asked_by(|| codec.read(input, version).map(drop));
    let bound = 4 * body.len() + (1 << 20);
    let head = &body[..body.len().min(200)];
    assert!(asked <= bound, "{} v{version}: asked {asked} bytes, allowed {bound}: {head:02x?}", codec.name);
    result
}

/// Reads `body`; if it is a message, what is written from it must be read back to the same bytes.
fn read_and_write(codec: &Codec, version: i16, body: &Bytes) -> bool {
    if read(codec, version, body).is_err() {
        return false;
    }
    // A tag that was sent twice or at its default is not written again: from then on all must be stable.
    let Ok(once) = codec.recode(body.clone(), version, version) else { return false };
    let once = Bytes::from(join(&once));
    let twice = codec.recode(once.clone(), version, version);
    let twice =
        join(&twice.unwrap_or_else(|error| panic!("{} v{version}: {error}: {body:02x?}", codec.name)));
    assert_eq!(once, twice, "{} v{version}: unstable: {body:02x?}", codec.name);
    true
}

fn with_length(drawn: &Drawn, index: usize, value: i64) -> Bytes {
    let length = drawn.lengths[index];
    let mut out = drawn.body[..length.at].to_vec();
    match length.compact {
        true => put_u32(&mut out, value as u32),
        false => out.extend_from_slice(&value.to_be_bytes()[8 - length.width..]),
    }
    out.extend_from_slice(&drawn.body[length.at + length.width..]);
    out.into()
}

#[test]
fn every_length_at_its_bounds() {
    let seed = number_from_env("OTTLA_WIRE_SEED", 1);
    println!("OTTLA_WIRE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut tried, mut refused) = (0u64, 0u64);
    for codec in codecs() {
        for version in codec.versions.clone() {
            let drawn = draw(&codec, version, Wishes { elements: 2, unknown_tags: true }, &mut rng);
            for index in 0..drawn.lengths.len().min(200) {
                let left = (drawn.body.len() - drawn.lengths[index].at) as i64;
                for value in BOUNDS.into_iter().chain([left - 1, left, left + 1]) {
                    let stable = read_and_write(&codec, version, &with_length(&drawn, index, value));
                    tried += 1;
                    refused += u64::from(!stable);
                }
            }
        }
    }
    assert!(tried > 20_000 && refused > tried / 2, "{tried} tried, {refused} refused");
}

#[test]
fn every_cut_is_an_error() {
    let mut rng = Rng::with_seed(number_from_env("OTTLA_WIRE_SEED", 1));
    for codec in codecs() {
        for version in codec.versions.clone() {
            let body = draw(&codec, version, Wishes { elements: 1, unknown_tags: false }, &mut rng).body;
            let body = Bytes::from(body);
            for end in 0..body.len().min(300) {
                let result = read(&codec, version, &body.slice(..end));
                assert!(
                    result.is_err(),
                    "{} v{version}: {end} of {} bytes are no message",
                    codec.name,
                    body.len()
                );
            }
        }
    }
}

/// The most memory a byte can buy: arrays of the smallest elements, in frames of a few MiB.
#[test]
fn small_elements_stay_within_the_budget() {
    let mut over_budget = 0;
    for codec in codecs() {
        for version in codec.versions.clone() {
            // A count of about a million, plain or compact, wherever the first arrays stand.
            for count in [&[0, 0x10, 0, 0][..], &[0xff, 0xff, 0x3f]] {
                for start in 0..20 {
                    let mut body = vec![start as u8 & 1; 2 << 20];
                    body[start..start + count.len()].copy_from_slice(count);
                    let result = read(&codec, version, &body.into());
                    over_budget += u32::from(matches!(result, Err(WireError::Budget { .. })));
                }
            }
        }
    }
    assert!(over_budget > 10, "only {over_budget} frames met the budget");
}

fn mutate(body: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..=4) {
        if body.is_empty() {
            return body.push(rng.u8(..));
        }
        let at = rng.usize(..body.len());
        match rng.u8(0..8) {
            0 | 1 => body[at] = rng.u8(..),
            2 => body[at] ^= 1 << rng.u8(0..8),
            3 => body.truncate(at),
            4 => body.insert(at, rng.u8(..)),
            5 => drop(body.drain(at..(at + rng.usize(1..8)).min(body.len()))),
            6 => {
                let value = BOUNDS[rng.usize(..BOUNDS.len())].to_be_bytes();
                let width = rng.usize(1..=4).min(body.len() - at);
                body[at..at + width].copy_from_slice(&value[8 - width..]);
            }
            _ => {
                let end = (at + rng.usize(1..40)).min(body.len());
                let piece = body[at..end].to_vec();
                let to = rng.usize(..=body.len());
                body.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn mutated_frames() {
    let seed = number_from_env("OTTLA_WIRE_SEED", 1);
    let frames = number_from_env("OTTLA_WIRE_FRAMES", 2_000_000);
    println!("OTTLA_WIRE_SEED={seed} OTTLA_WIRE_FRAMES={frames}");
    let (mut rng, codecs, started) = (Rng::with_seed(seed), codecs(), Instant::now());
    let (mut done, mut readable) = (0u64, 0u64);
    while done < frames {
        let codec = &codecs[rng.usize(..codecs.len())];
        let version = rng.i16(codec.versions.clone());
        let drawn = draw(codec, version, Wishes { elements: 3, unknown_tags: true }, &mut rng).body;
        for _ in 0..8 {
            let mut body = drawn.clone();
            mutate(&mut body, &mut rng);
            let body = Bytes::from(body);
            readable += u64::from(read_and_write(codec, version, &body));
            let _ = RequestHeader::decode(&mut Reader::new(body));
            done += 1;
        }
    }
    println!("{done} frames, {readable} still messages, {:?}", started.elapsed());
    assert!(readable > done / 100, "mutation must leave some frames readable, else only the head is tested");
}
