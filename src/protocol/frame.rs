//! What leaves for a socket: a size, a header and a body as a list of chunks, some of them still in files.
//!
//! Invariant: record batches are never copied on their way out; they are slices of memory or regions of a file
//! until the socket takes them. Knows nothing of sockets and of who owns the file: a region is anything that can be
//! read at a position. Source: `Send`, `MultiRecordsSend`, `FileRecords` in Kafka's clients.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::api_key::ApiKey;
use super::header::{RequestHeader, ResponseHeader};
use super::message::Message;
use super::wire::{WireError, Writer};

/// Where the bytes of a [`FileRegion`] are: a segment file, or memory in tests.
pub trait RegionSource: Send + Sync {
    /// Fills `buffer` from `position`, in bytes from the start of the file.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;
    /// The descriptor for `sendfile`, when there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// A stretch of a file that is sent without passing through our memory where the socket allows it.
#[derive(Clone)]
pub struct FileRegion {
    /// The file, kept open while the region lives.
    pub source: Arc<dyn RegionSource>,
    /// First byte, from the start of the file.
    pub position: u64,
    /// Bytes from there.
    pub len: usize,
}

impl fmt::Debug for FileRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRegion({} bytes at {})", self.len, self.position)
    }
}

impl PartialEq for FileRegion {
    /// The same stretch of the same open file; contents are not compared.
    fn eq(&self, other: &FileRegion) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.position == other.position && self.len == other.len
    }
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// In memory.
    Bytes(Bytes),
    /// Still in a file.
    File(FileRegion),
}

impl Chunk {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::File(region) => region.len,
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends its content to `out`, reading the file if it is one.
    pub fn copy_to(&self, out: &mut BytesMut) -> io::Result<()> {
        match self {
            Chunk::Bytes(bytes) => out.extend_from_slice(bytes),
            Chunk::File(region) => {
                let start = out.len();
                out.resize(start + region.len, 0);
                region.source.read_exact_at(&mut out[start..], region.position)?;
            }
        }
        Ok(())
    }
}

/// The value of a `records` field: record batches, opaque here. Decoding gives one slice of the frame; encoding
/// takes several chunks in sequence.
#[derive(Clone, PartialEq)]
pub struct Records(RecordsIn);

#[derive(Clone, PartialEq)]
enum RecordsIn {
    One([Chunk; 1]),
    Many(Vec<Chunk>),
}

impl Records {
    /// Batches in several pieces, in order.
    pub fn from_chunks(chunks: Vec<Chunk>) -> Records {
        Records(RecordsIn::Many(chunks))
    }

    /// The pieces, in order.
    pub fn chunks(&self) -> &[Chunk] {
        match &self.0 {
            RecordsIn::One(chunk) => chunk,
            RecordsIn::Many(chunks) => chunks,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.chunks().iter().map(Chunk::len).sum()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches when they are one piece in memory, as after decoding; else `None`.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self.chunks() {
            [Chunk::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }
}

impl Default for Records {
    fn default() -> Records {
        Records::from(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        Records(RecordsIn::One([Chunk::Bytes(bytes)]))
    }
}

impl From<FileRegion> for Records {
    fn from(region: FileRegion) -> Records {
        Records(RecordsIn::One([Chunk::File(region)]))
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}

/// A whole request or response, ready to send.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Bytes after the size prefix: what the prefix says.
    pub size: usize,
    /// The frame in order; the first chunk starts with the four bytes of the size prefix.
    pub chunks: Vec<Chunk>,
}

impl Frame {
    /// The whole frame, size prefix included, in one buffer: for tests and for sockets that cannot send files.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        if let [Chunk::Bytes(only)] = self.chunks.as_slice() {
            return Ok(only.clone());
        }
        let mut out = BytesMut::with_capacity(self.size + 4);
        for chunk in &self.chunks {
            chunk.copy_to(&mut out)?;
        }
        Ok(out.freeze())
    }
}

/// A response of `key` in `version` with its header and size.
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &M,
) -> Result<Frame, WireError> {
    let mut writer = start();
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    header.encode(&mut writer, key.response_header_version(version));
    body.encode(&mut writer, version)?;
    end(writer)
}

/// A request with its header and size. The header's own `api_key` and `api_version` choose the layout.
pub fn encode_request<M: Message>(header: &RequestHeader, body: &M) -> Result<Frame, WireError> {
    let mut writer = start();
    header.encode(&mut writer)?;
    body.encode(&mut writer, header.api_version)?;
    end(writer)
}

fn start() -> Writer {
    let mut writer = Writer::default();
    writer.put(&[0; 4]);
    writer
}

fn end(mut writer: Writer) -> Result<Frame, WireError> {
    let size = writer.len() - 4;
    let limit = i32::MAX as usize;
    let prefix = i32::try_from(size);
    let prefix = prefix.map_err(|_| WireError::TooLong { field: "frame", at: 0, length: size, limit })?;
    writer.patch_start(prefix);
    Ok(Frame { size, chunks: writer.finish()? })
}
