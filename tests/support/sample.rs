//! Unpacks `tests/fixtures/sample.tar.gz`, the log directory a real Kafka 3.9.2 left, into memory.
//!
//! Shared by test binaries through `#[path = "../support/sample.rs"] mod sample;`. Reads what GNU tar
//! writes: regular files with names up to 100 bytes, and sparse ones (Kafka's preallocated indexes, mostly
//! holes: take only the files you need, whole they are hundreds of MiB).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const BLOCK: usize = 512;
/// Where a sparse file's header has its map, its "more map follows" flag and its full size.
const SPARSE_MAP: std::ops::Range<usize> = 386..482;
const SPARSE_MORE: usize = 482;
const SPARSE_SIZE: std::ops::Range<usize> = 483..495;
/// The same in a block that continues the map.
const MORE_MAP: std::ops::Range<usize> = 0..504;
const MORE_MORE: usize = 504;

/// The files of the archive whose path is `wanted`, by path without a leading `./`, for example
/// `clean/codec-gzip-0/00000000000000000000.log`.
pub fn files(wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sample.tar.gz");
    let packed = std::fs::read(&path).expect("the fixture is in the repository");
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut tar).expect("the fixture is a gzip file");
    let mut files = BTreeMap::new();
    let mut at = 0;
    while at + BLOCK <= tar.len() && tar[at] != 0 {
        let header = &tar[at..at + BLOCK];
        let name = text(&header[..100]).trim_start_matches("./").to_owned();
        let stored = octal(&header[124..136]);
        at += BLOCK;
        let holes = match header[156] {
            b'0' | b'5' => None,
            b'S' => Some(sparse_map(&tar, header, &mut at)),
            other => panic!("{name}: entry type {other} is not expected in the fixture"),
        };
        let data = &tar[at..at + stored];
        if header[156] != b'5' && wanted(&name) {
            files.insert(name, holes.map_or_else(|| data.to_vec(), |holes| holes.fill(data)));
        }
        at += stored.div_ceil(BLOCK) * BLOCK;
    }
    assert!(!files.is_empty(), "no file of the archive was wanted");
    files
}

/// Where the stored bytes of a sparse file belong.
struct Sparse {
    size: usize,
    parts: Vec<(usize, usize)>,
}

impl Sparse {
    fn fill(&self, mut data: &[u8]) -> Vec<u8> {
        let mut out = vec![0; self.size];
        for &(offset, size) in &self.parts {
            let (part, rest) = data.split_at(size);
            out[offset..offset + size].copy_from_slice(part);
            data = rest;
        }
        out
    }
}

fn sparse_map(tar: &[u8], header: &[u8], at: &mut usize) -> Sparse {
    let mut parts = Vec::new();
    let mut add = |map: &[u8]| {
        let used = map.chunks_exact(24).take_while(|entry| entry[0] != 0);
        parts.extend(used.map(|entry| (octal(&entry[..12]), octal(&entry[12..]))));
    };
    add(&header[SPARSE_MAP]);
    let mut more = header[SPARSE_MORE] != 0;
    while more {
        let block = &tar[*at..*at + BLOCK];
        add(&block[MORE_MAP]);
        more = block[MORE_MORE] != 0;
        *at += BLOCK;
    }
    Sparse { size: octal(&header[SPARSE_SIZE]), parts }
}

fn octal(field: &[u8]) -> usize {
    usize::from_str_radix(text(field).trim(), 8).expect("sizes are octal")
}

fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).expect("names and sizes are text")
}
