//! Jute's primitive types, read and written with every length checked.
//!
//! Integers are big endian; a buffer, string or vector is a four byte length and its content, -1 for null.
//! Invariant: memory asked for is bounded by a small multiple of the bytes that are there, because a vector of
//! `n` elements needs at least `n * MIN_BYTES` further bytes before it is allocated. Knows no record and no I/O.

use bytes::Bytes;
use thiserror::Error;

/// Why bytes are not the record they should be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    /// The record goes on where the frame ends.
    #[error("record is cut short: {needed} more bytes expected, {left} left")]
    Truncated {
        /// Bytes the next field needs.
        needed: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A length that is negative without being null.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// A required value is null.
    #[error("a required string or record is null")]
    UnexpectedNull,
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
    /// A request type this server does not know, or not in this place.
    #[error("request type {0} is unknown here")]
    UnknownOp(i32),
    /// A number stands for nothing.
    #[error("{what} has no meaning for {value}")]
    BadValue {
        /// Name of the field.
        what: &'static str,
        /// What was read.
        value: i32,
    },
}

/// A cursor over one frame.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        if count > self.rest.len() {
            return Err(WireError::Truncated { needed: count, left: self.rest.len() });
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// A length field: `None` for null.
    fn length(&mut self) -> Result<Option<usize>, WireError> {
        match i32::read(self)? {
            -1 => Ok(None),
            length if length < 0 => Err(WireError::NegativeLength(length)),
            length => Ok(Some(length as usize)),
        }
    }
}

/// Collects the bytes of records.
#[derive(Default, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Appends to what `bytes` holds.
    pub fn over(bytes: Vec<u8>) -> Writer {
        Writer { bytes }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a buffer with its length; `None` is null.
    pub fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => (-1i32).write(self),
            Some(bytes) => {
                (bytes.len() as i32).write(self);
                self.raw(bytes);
            }
        }
    }

    /// Appends a string with its length.
    pub fn string(&mut self, value: &str) {
        self.buffer(Some(value.as_bytes()));
    }

    /// Reserves four bytes for a frame length; give the result to [`Writer::end_frame`].
    pub fn begin_frame(&mut self) -> usize {
        let start = self.bytes.len();
        self.raw(&[0; 4]);
        start
    }

    /// Fills in the length of the frame begun at `start`.
    pub fn end_frame(&mut self, start: usize) {
        let length = (self.bytes.len() - start - 4) as i32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A value with a place on the wire.
pub trait Field: Sized {
    /// The fewest bytes a value takes; never zero.
    const MIN_BYTES: usize;
    /// Reads one value.
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError>;
    /// Appends the value.
    fn write(&self, writer: &mut Writer);
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const MIN_BYTES: usize = size_of::<$type>();
            fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(reader.take(size_of::<$type>())?);
                Ok(<$type>::from_be_bytes(bytes))
            }
            fn write(&self, writer: &mut Writer) {
                writer.raw(&self.to_be_bytes());
            }
        }
    )*};
}
integer!(i32, i64, u32);

impl Field for bool {
    const MIN_BYTES: usize = 1;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(reader.take(1)?[0] != 0)
    }
    fn write(&self, writer: &mut Writer) {
        writer.raw(&[u8::from(*self)]);
    }
}

impl Field for String {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Option::<String>::read(reader)?.ok_or(WireError::UnexpectedNull)
    }
    fn write(&self, writer: &mut Writer) {
        writer.string(self);
    }
}

impl Field for Option<String> {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let Some(length) = reader.length()? else { return Ok(None) };
        let text = std::str::from_utf8(reader.take(length)?).map_err(|_| WireError::NotUtf8)?;
        Ok(Some(text.to_owned()))
    }
    fn write(&self, writer: &mut Writer) {
        writer.buffer(self.as_deref().map(str::as_bytes));
    }
}

/// Copied out of the frame, so that a small value kept for long does not keep a large frame alive.
impl Field for Option<Bytes> {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let Some(length) = reader.length()? else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(reader.take(length)?)))
    }
    fn write(&self, writer: &mut Writer) {
        writer.buffer(self.as_deref());
    }
}

/// A null vector is read as an empty one: no request gives them different meanings.
impl<T: Field> Field for Vec<T> {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let Some(length) = reader.length()? else { return Ok(Vec::new()) };
        let needed = length.saturating_mul(T::MIN_BYTES);
        if needed > reader.left() {
            return Err(WireError::Truncated { needed, left: reader.left() });
        }
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            values.push(T::read(reader)?);
        }
        Ok(values)
    }
    fn write(&self, writer: &mut Writer) {
        (self.len() as i32).write(writer);
        for value in self {
            value.write(writer);
        }
    }
}

/// Declares a record: a struct whose fields are on the wire in the order written here.
macro_rules! record {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::jute::wire::Field for $name {
            const MIN_BYTES: usize = 0 $(+ <$type as $crate::jute::wire::Field>::MIN_BYTES)*;
            fn read(
                reader: &mut $crate::jute::wire::Reader<'_>,
            ) -> Result<Self, $crate::jute::wire::WireError> {
                Ok($name { $($field: $crate::jute::wire::Field::read(reader)?,)* })
            }
            fn write(&self, writer: &mut $crate::jute::wire::Writer) {
                $($crate::jute::wire::Field::write(&self.$field, writer);)*
            }
        }
    )*};
}
pub(crate) use record;
