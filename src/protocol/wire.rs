//! Bytes to primitive values and back: a checked cursor over a frame, and a buffer that gathers an answer.
//!
//! Invariants: every length is held against the bytes that are left before anything is allocated, and the
//! memory a [`Reader`] hands out in all never exceeds four times its input plus one MiB, so a hostile frame
//! is an error and never an outage. Payloads (`bytes`, `records`) are slices of the frame, never copies.
//! Knows nothing of messages, versions' fields or sockets. Source: `ByteBufferAccessor`, KIP-482.

use bytes::{BufMut, Bytes, BytesMut};

use super::error_code::ErrorCode;
use super::frame::{Chunk, Records};
use super::varint;

/// Longest string the protocol can carry, in bytes of UTF-8.
pub const MAX_STRING: usize = i16::MAX as usize;
/// Memory a message may ask for: this many times its own size, plus [`BUDGET_FLOOR`].
pub const BUDGET_FACTOR: usize = 4;
/// Memory every message may ask for, however small it is, in bytes: one MiB less what the message itself and
/// sharing the frame cost.
pub const BUDGET_FLOOR: usize = (1 << 20) - 1024;
/// Records below this size are copied beside the fields around them; longer ones become chunks of their
/// own.
pub const GATHER_FROM: usize = 4096;

/// What is wrong with a message, and where. `field` is the field that was being read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame ends inside a value.
    #[error("{field} at byte {at}: needs {needed} bytes, {left} are left")]
    Short { field: &'static str, at: usize, needed: usize, left: usize },
    /// An array announces more elements than the rest of the frame can hold.
    #[error("{field} at byte {at}: {count} elements cannot fit in the {left} bytes left")]
    Count { field: &'static str, at: usize, count: usize, left: usize },
    /// Honouring the message would take more memory than [`BUDGET_FACTOR`] allows.
    #[error(
        "{field} at byte {at}: asks for {asked} bytes of memory, {left} of the message's budget are left"
    )]
    Budget { field: &'static str, at: usize, asked: usize, left: usize },
    /// A null where this version allows none.
    #[error("{field} at byte {at}: null is not allowed in this version")]
    Null { field: &'static str, at: usize },
    /// A string that is not UTF-8.
    #[error("{field} at byte {at}: the string is not UTF-8")]
    NotUtf8 { field: &'static str, at: usize },
    /// A variable-length integer that does not end or does not fit.
    #[error("{field} at byte {at}: not a 32-bit varint")]
    Varint { field: &'static str, at: usize },
    /// Longer than the protocol can say.
    #[error("{field} at byte {at}: a length of {length} is above the limit of {limit}")]
    TooLong { field: &'static str, at: usize, length: usize, limit: usize },
    /// A tagged field whose content is not as long as it announces.
    #[error("tagged field {tag} at byte {at}: announced {announced} bytes, holds {held}")]
    TagSize { tag: u32, at: usize, announced: usize, held: usize },
    /// One tag twice in one structure.
    #[error("tagged field {tag} at byte {at}: appears twice")]
    TagTwice { tag: u32, at: usize },
    /// Bytes after the end of the message.
    #[error("{left} bytes follow the end of the message at byte {at}")]
    Trailing { at: usize, left: usize },
    /// No such version of this message.
    #[error("{message} has no version {version}")]
    Version { message: &'static str, version: i16 },
    /// A value that this version cannot carry and that must not be dropped silently.
    #[error("{field} is set, but version {version} of the message cannot carry it")]
    Unsupported { field: &'static str, version: i16 },
}

impl WireError {
    /// The code a client is told (`UnsupportedVersionException` or `InvalidRequestException` in Kafka).
    pub fn code(&self) -> ErrorCode {
        match self {
            WireError::Version { .. } | WireError::Unsupported { .. } => ErrorCode::UnsupportedVersion,
            _ => ErrorCode::InvalidRequest,
        }
    }
}

/// How a message is laid out: its version, and whether that version is flexible (compact lengths and tag
/// buffers).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Version of the message.
    pub version: i16,
    /// Whether lengths are compact and structures end in a tag buffer (KIP-482).
    pub flexible: bool,
}

/// A cursor over one message. It shares the frame's memory: what it gives out keeps the frame alive.
#[derive(Debug)]
pub struct Reader {
    input: Bytes,
    at: usize,
    budget: usize,
    field: &'static str,
}

macro_rules! read_fixed {
    ($($(#[$doc:meta])* $name:ident -> $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$type, WireError> {
            match self.input[self.at..].first_chunk() {
                Some(bytes) => {
                    self.at += bytes.len();
                    Ok(<$type>::from_be_bytes(*bytes))
                }
                None => Err(self.short(size_of::<$type>())),
            }
        }
    )*};
}

impl Reader {
    /// A reader at the start of `input`.
    pub fn new(input: Bytes) -> Reader {
        let budget = input.len().saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_FLOOR);
        Reader::with_budget(input, budget)
    }

    /// A reader that may ask for `budget` bytes of memory, for messages of peers that are trusted to be large:
    /// tens of thousands of partitions without records take more than four times their size.
    pub fn with_budget(input: Bytes, budget: usize) -> Reader {
        Reader { input, at: 0, budget, field: "message" }
    }

    /// Bytes already read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.input.len() - self.at
    }

    /// Names the field that is read next, for errors.
    #[inline]
    pub fn enter(&mut self, field: &'static str) {
        self.field = field;
    }

    /// Errs unless everything was read.
    pub fn expect_end(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(WireError::Trailing { at: self.at, left }),
        }
    }

    read_fixed! {
        /// Reads a signed byte.
        read_i8 -> i8;
        /// Reads a big-endian 16-bit integer.
        read_i16 -> i16;
        /// Reads a big-endian 32-bit integer.
        read_i32 -> i32;
        /// Reads a big-endian 64-bit integer.
        read_i64 -> i64;
        /// Reads 16 bytes as one number (a uuid).
        read_u128 -> u128;
        /// Reads a big-endian IEEE double.
        read_f64 -> f64;
    }

    /// Reads an unsigned varint of at most 32 bits.
    #[inline]
    pub fn read_varint(&mut self) -> Result<u32, WireError> {
        match varint::read_u32(&self.input[self.at..]) {
            Some((value, used)) => {
                self.at += used;
                Ok(value)
            }
            None => Err(WireError::Varint { field: self.field, at: self.at }),
        }
    }

    /// The next `count` bytes, as a slice of the frame.
    pub fn take_bytes(&mut self, count: usize) -> Result<Bytes, WireError> {
        if count > self.remaining() {
            return Err(self.short(count));
        }
        let start = self.at;
        self.at += count;
        Ok(self.input.slice(start..self.at))
    }

    /// A length of `bytes` or `records`, or a count of elements: `None` is null. Any negative length is
    /// null, as in Kafka.
    pub fn read_length(&mut self, flexible: bool) -> Result<Option<usize>, WireError> {
        if !flexible {
            return Ok(usize::try_from(self.read_i32()?).ok());
        }
        let at = self.at;
        match self.read_varint()? {
            0 => Ok(None),
            plus_one if plus_one - 1 > i32::MAX as u32 => Err(WireError::TooLong {
                field: self.field,
                at,
                length: plus_one as usize - 1,
                limit: i32::MAX as usize,
            }),
            plus_one => Ok(Some(plus_one as usize - 1)),
        }
    }

    /// Reads a string; `None` is null.
    pub fn read_string(&mut self, flexible: bool) -> Result<Option<String>, WireError> {
        let at = self.at;
        let length = if flexible { self.read_length(true)? } else { usize::try_from(self.read_i16()?).ok() };
        let Some(length) = length else { return Ok(None) };
        if length > MAX_STRING {
            return Err(WireError::TooLong { field: self.field, at, length, limit: MAX_STRING });
        }
        if length > self.remaining() {
            return Err(self.short(length));
        }
        self.draw(length)?;
        let start = self.at;
        self.at += length;
        match std::str::from_utf8(&self.input[start..self.at]) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(WireError::NotUtf8 { field: self.field, at: start }),
        }
    }

    /// Reads `bytes` or `records`; `None` is null.
    pub fn read_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, WireError> {
        match self.read_length(flexible)? {
            Some(length) => self.take_bytes(length).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the count of an array whose elements take at least `least` bytes on the wire and `each` bytes
    /// of memory, and draws that memory from the budget; `None` is a null array. After it, reserving is
    /// safe.
    pub fn read_count(
        &mut self,
        flexible: bool,
        least: usize,
        each: usize,
    ) -> Result<Option<usize>, WireError> {
        let at = self.at;
        let Some(count) = self.read_length(flexible)? else { return Ok(None) };
        let left = self.remaining();
        if count > left / least.max(1) {
            return Err(WireError::Count { field: self.field, at, count, left });
        }
        self.draw(count.saturating_mul(each))?;
        Ok(Some(count))
    }

    /// Reads a tag buffer. `known` reads the content of a tag it knows and says so; other tags are
    /// returned.
    pub fn read_tags(
        &mut self,
        known: &mut dyn FnMut(u32, &mut Reader) -> Result<bool, WireError>,
    ) -> Result<UnknownTags, WireError> {
        self.enter("tagged fields");
        let at = self.at;
        let count = self.read_varint()? as usize;
        if count == 0 {
            return Ok(UnknownTags::default());
        }
        let left = self.remaining();
        if count > left / 2 {
            return Err(WireError::Count { field: self.field, at, count, left });
        }
        let mut unknown: Vec<(u32, Bytes)> = Vec::new();
        for index in 0..count {
            self.enter("tagged fields");
            let tag = self.read_varint()?;
            let announced = self.read_varint()? as usize;
            if announced > self.remaining() {
                return Err(self.short(announced));
            }
            let start = self.at;
            if !known(tag, self)? {
                if unknown.is_empty() {
                    let room = count - index;
                    self.draw(
                        room.saturating_mul(size_of::<(u32, Bytes)>()) + size_of::<Vec<(u32, Bytes)>>(),
                    )?;
                    unknown.reserve_exact(room);
                }
                unknown.push((tag, self.take_bytes(announced)?));
            }
            let held = self.at - start;
            if held != announced {
                return Err(WireError::TagSize { tag, at: start, announced, held });
            }
        }
        UnknownTags::new(unknown).map_err(|tag| WireError::TagTwice { tag, at })
    }

    /// An error about a null that this version does not allow.
    #[cold]
    pub fn null(&self) -> WireError {
        WireError::Null { field: self.field, at: self.at }
    }

    fn draw(&mut self, asked: usize) -> Result<(), WireError> {
        match self.budget.checked_sub(asked) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(WireError::Budget { field: self.field, at: self.at, asked, left: self.budget }),
        }
    }

    #[cold]
    fn short(&self, needed: usize) -> WireError {
        WireError::Short { field: self.field, at: self.at, needed, left: self.remaining() }
    }
}

/// Tagged fields this code does not know, kept so that they can be passed on (KIP-482). One word when
/// empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnknownTags(Option<Box<TagList>>);

#[derive(Debug, Clone, PartialEq)]
struct TagList(Vec<(u32, Bytes)>);

impl UnknownTags {
    /// Takes tags in any order; errs with the tag that appears twice.
    pub fn new(mut tags: Vec<(u32, Bytes)>) -> Result<UnknownTags, u32> {
        if tags.is_empty() {
            return Ok(UnknownTags(None));
        }
        tags.sort_unstable_by_key(|entry| entry.0);
        match tags.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0),
            None => Ok(UnknownTags(Some(Box::new(TagList(tags))))),
        }
    }

    /// The tags with their contents, ascending.
    pub fn entries(&self) -> &[(u32, Bytes)] {
        self.0.as_ref().map_or(&[], |list| &list.0)
    }
}

/// A message as it is written: small fields side by side in one buffer, long payloads as chunks between
/// them.
///
/// Writing never fails half way: the first error is kept and [`Writer::check`] tells it.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    parts: Vec<Part>,
    gathered: usize,
    error: Option<WireError>,
    field: &'static str,
}

#[derive(Debug)]
enum Part {
    Fields(BytesMut),
    Payload(Chunk),
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::with_capacity(256)
    }
}

impl Writer {
    /// A writer with room for `capacity` bytes of fields.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer {
            buffer: BytesMut::with_capacity(capacity),
            parts: Vec::new(),
            gathered: 0,
            error: None,
            field: "message",
        }
    }

    /// Bytes written so far, payloads included.
    pub fn len(&self) -> usize {
        self.gathered + self.buffer.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names the field that is written next, for errors.
    #[inline]
    pub fn enter(&mut self, field: &'static str) {
        self.field = field;
    }

    /// The first error met, if any.
    pub fn check(&self) -> Result<(), WireError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The field being written is null where this version allows none.
    #[cold]
    pub fn fail_null(&mut self) {
        self.fail(WireError::Null { field: self.field, at: self.len() });
    }

    /// `field` holds a value that `version` cannot carry.
    #[cold]
    pub fn fail_unsupported(&mut self, field: &'static str, version: i16) {
        self.fail(WireError::Unsupported { field, version });
    }

    #[cold]
    fn fail(&mut self, error: WireError) {
        self.error.get_or_insert(error);
    }

    #[cold]
    fn too_long(&mut self, length: usize, limit: usize) {
        self.fail(WireError::TooLong { field: self.field, at: self.len(), length, limit });
    }

    /// Writes bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Writes an unsigned varint.
    pub fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// Writes the length of `bytes` or `records`, or the count of an array; `None` is null.
    pub fn put_length(&mut self, length: Option<usize>, flexible: bool) {
        let limit = i32::MAX as usize - 1;
        match length {
            Some(length) if length > limit => self.too_long(length, limit),
            Some(length) if flexible => self.put_varint(length as u32 + 1),
            Some(length) => self.put(&(length as i32).to_be_bytes()),
            None if flexible => self.put_varint(0),
            None => self.put(&(-1i32).to_be_bytes()),
        }
    }

    /// Writes a string; `None` is null.
    pub fn put_string(&mut self, text: Option<&str>, flexible: bool) {
        match text {
            Some(text) if text.len() > MAX_STRING => self.too_long(text.len(), MAX_STRING),
            Some(text) => {
                match flexible {
                    true => self.put_varint(text.len() as u32 + 1),
                    false => self.put(&(text.len() as i16).to_be_bytes()),
                }
                self.put(text.as_bytes());
            }
            None if flexible => self.put_varint(0),
            None => self.put(&(-1i16).to_be_bytes()),
        }
    }

    /// Writes `bytes`; `None` is null. Long ones become chunks and are not copied.
    pub fn put_bytes(&mut self, bytes: Option<&Bytes>, flexible: bool) {
        self.put_length(bytes.map(Bytes::len), flexible);
        if let Some(bytes) = bytes {
            self.put_payload(&Chunk::Bytes(bytes.clone()));
        }
    }

    /// Writes `records`; `None` is null. Long ones and file regions become chunks and are not copied.
    pub fn put_records(&mut self, records: Option<&Records>, flexible: bool) {
        self.put_length(records.map(Records::len), flexible);
        for chunk in records.map_or(&[][..], Records::chunks) {
            self.put_payload(chunk);
        }
    }

    fn put_payload(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Bytes(bytes) if bytes.len() < GATHER_FROM => self.put(bytes),
            chunk if chunk.is_empty() => {}
            chunk => {
                self.gathered += self.buffer.len() + chunk.len();
                self.parts.push(Part::Fields(self.buffer.split()));
                self.parts.push(Part::Payload(chunk.clone()));
            }
        }
    }

    /// Writes one tagged field whose content `content` writes. The content must hold no long payload.
    pub fn put_tagged(&mut self, tag: u32, content: &mut dyn FnMut(&mut Writer)) {
        self.put_varint(tag);
        let mut inner = Writer::with_capacity(64);
        content(&mut inner);
        if let Some(error) = inner.error.take() {
            self.fail(error);
        }
        self.put_varint(inner.len() as u32);
        for part in inner.into_parts() {
            match part {
                Part::Fields(fields) => self.put(&fields),
                Part::Payload(chunk) => self.put_payload(&chunk),
            }
        }
    }

    /// Writes those of `tags` that are below `limit` and leaves the rest; a tag equal to `limit` is an
    /// error, because the message writes that one itself.
    pub fn put_unknown_below(&mut self, tags: &mut &[(u32, Bytes)], limit: Option<u32>) {
        while let Some(((tag, content), rest)) = tags.split_first() {
            if limit.is_some_and(|limit| *tag > limit) {
                return;
            }
            if limit == Some(*tag) {
                self.fail(WireError::TagTwice { tag: *tag, at: self.len() });
            }
            self.put_varint(*tag);
            self.put_varint(content.len() as u32);
            self.put(content);
            *tags = rest;
        }
    }

    /// Puts a number over the first four bytes written: the size of a frame, known only at its end.
    /// Nothing may have been gathered before those four bytes.
    pub(super) fn patch_start(&mut self, value: i32) {
        let start = match self.parts.first_mut() {
            Some(Part::Fields(fields)) => fields,
            _ => &mut self.buffer,
        };
        if let Some(prefix) = start.first_chunk_mut() {
            *prefix = value.to_be_bytes();
        }
    }

    fn into_parts(mut self) -> Vec<Part> {
        if !self.buffer.is_empty() {
            self.parts.push(Part::Fields(self.buffer));
        }
        self.parts
    }

    /// What was written, in order, or the first error.
    pub fn finish(mut self) -> Result<Vec<Chunk>, WireError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let chunks = self.into_parts().into_iter().map(|part| match part {
            Part::Fields(fields) => Chunk::Bytes(fields.freeze()),
            Part::Payload(chunk) => chunk,
        });
        Ok(chunks.collect())
    }
}
