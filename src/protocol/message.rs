//! The notation in which every message of the protocol is written, and what it expands to.
//!
//! ```text
//! message! {
//!     /// What the message is for.
//!     FetchRequest 0..=17, flexible 12.. {            // versions; `flexible none` where there is none
//!         replica_id: i32 [0..=14, else ignored] = -1, // in versions 0 to 14; its default
//!         max_wait_ms: i32,                            // in all versions
//!         topics: Vec<FetchTopic> [4.., null 7..],     // null may be sent from version 7
//!         rack_id: String [11.., else ignored],
//!         @0 cluster_id: Option<String> [12..] = None, // tagged field number 0
//!     }
//!     FetchTopic { .. }                                // structures used above
//! }
//! ```
//!
//! Fields stand in the order of the wire. A field whose type is an `Option` may be null in all its versions
//! unless `null` says in which. Writing a version that cannot carry a field whose value is not its default is
//! an error, unless the field says `else ignored` (Kafka's `ignorable`). Unknown tagged fields are kept and
//! written back.
//!
//! Knows nothing of any single message. Source: the message generator of Kafka, KIP-482.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::frame::Records;
use super::ids::Uuid;
use super::wire::{Form, Reader, WireError, Writer};

/// A request, a response or another record that has versions.
pub trait Message: Field {
    /// Kafka's name of it.
    const NAME: &'static str;
    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;
    /// First version with compact lengths and tag buffers; `i16::MAX` when there is none.
    const FIRST_FLEXIBLE: i16;

    /// Reads one message and leaves the reader behind it.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, WireError> {
        Self::read(reader, form::<Self>(version)?)
    }

    /// Writes the message, or tells the first thing in it that this version cannot say.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), WireError> {
        self.write(writer, form::<Self>(version)?);
        writer.check()
    }

    /// The message as Kafka prints it in its request log: camel-case names, only the fields of this
    /// version, `bytes` in base64, `records` as their length.
    fn to_json(&self, version: i16) -> Result<Value, WireError> {
        Ok(self.json(form::<Self>(version)?))
    }
}

fn form<M: Message>(version: i16) -> Result<Form, WireError> {
    if M::VERSIONS.contains(&version) {
        Ok(Form { version, flexible: version >= M::FIRST_FLEXIBLE })
    } else {
        Err(WireError::Version { message: M::NAME, version })
    }
}

/// A type that a field of a message may have.
pub trait Field: Sized + PartialEq {
    /// Its description, for tools and tests.
    const KIND: Kind;
    /// The fewest bytes a value takes: what bounds the length of an array of them.
    fn least(form: Form) -> usize;
    /// Reads a value.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError>;
    /// Writes a value; errors stay in the writer.
    fn write(&self, writer: &mut Writer, form: Form);
    /// The value as Kafka prints it.
    fn json(&self, form: Form) -> Value;
}

/// A type that has a null on the wire, so that `Option` of it can be a field.
pub trait Nullable: Field {
    /// Reads a value; `None` is null.
    fn read_nullable(reader: &mut Reader, form: Form) -> Result<Option<Self>, WireError>;
    /// Writes a value; `None` is null.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, form: Form);
}

/// A structure of the notation. Its null is a byte of -1; the byte before a present one is 1.
pub trait Structure: Field {}

impl<T: Structure> Nullable for T {
    fn read_nullable(reader: &mut Reader, form: Form) -> Result<Option<T>, WireError> {
        if reader.read_i8()? < 0 {
            return Ok(None);
        }
        T::read(reader, form).map(Some)
    }
    fn write_nullable(value: Option<&T>, writer: &mut Writer, form: Form) {
        match value {
            Some(value) => {
                writer.put(&[1]);
                value.write(writer, form);
            }
            None => writer.put(&(-1i8).to_be_bytes()),
        }
    }
}

/// What a field is made of.
#[derive(Debug, Copy, Clone)]
pub enum Kind {
    /// A number, boolean or uuid of this many bytes.
    Fixed(usize),
    /// A boolean.
    Bool,
    /// A string.
    String,
    /// Opaque bytes.
    Bytes,
    /// Record batches.
    Records,
    /// An array of something.
    Array(&'static Kind),
    /// A structure.
    Struct(&'static [FieldInfo]),
    /// Something that may be null.
    Nullable(&'static Kind),
}

/// One field of a structure, as the notation declares it.
#[derive(Debug, Copy, Clone)]
pub struct FieldInfo {
    /// Name in this code.
    pub name: &'static str,
    /// First and last version that have it.
    pub versions: (i16, i16),
    /// First and last version in which an `Option` may be null.
    pub null: (i16, i16),
    /// Its tag, for a tagged field.
    pub tag: Option<u32>,
    /// What it holds.
    pub kind: Kind,
}

impl FieldInfo {
    /// Whether `version` has the field.
    pub fn is_in(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }

    /// Whether the field may be null in `version`, if its kind is nullable at all.
    pub fn may_be_null(&self, version: i16) -> bool {
        (self.null.0..=self.null.1).contains(&version)
    }
}

/// A version range of the notation as numbers: `bounds(3, &[])` is `3..`, no start is "all".
pub const fn bounds(start: &[i16], end: &[i16]) -> (i16, i16) {
    (if start.is_empty() { 0 } else { start[0] }, if end.is_empty() { i16::MAX } else { end[0] })
}

/// Whether a field differs from its default, so that a version that cannot carry it would lose something.
pub fn differs<T: PartialEq>(value: &T, default: T) -> bool {
    *value != default
}

macro_rules! number {
    ($($type:ty: $read:ident, $json:expr;)*) => {$(
        impl Field for $type {
            const KIND: Kind = Kind::Fixed(size_of::<$type>());
            fn least(_: Form) -> usize {
                size_of::<$type>()
            }
            #[inline]
            fn read(reader: &mut Reader, _: Form) -> Result<$type, WireError> {
                reader.$read()
            }
            #[inline]
            fn write(&self, writer: &mut Writer, _: Form) {
                writer.put(&self.to_be_bytes());
            }
            fn json(&self, _: Form) -> Value {
                ($json)(*self)
            }
        }
    )*};
}

number! {
    i8: read_i8, Value::from;
    i16: read_i16, Value::from;
    i32: read_i32, Value::from;
    i64: read_i64, Value::from;
    f64: read_f64, Value::from;
}

impl Field for bool {
    const KIND: Kind = Kind::Bool;
    fn least(_: Form) -> usize {
        1
    }
    fn read(reader: &mut Reader, _: Form) -> Result<bool, WireError> {
        Ok(reader.read_i8()? != 0)
    }
    fn write(&self, writer: &mut Writer, _: Form) {
        writer.put(&[u8::from(*self)]);
    }
    fn json(&self, _: Form) -> Value {
        Value::from(*self)
    }
}

impl Field for Uuid {
    const KIND: Kind = Kind::Fixed(16);
    fn least(_: Form) -> usize {
        16
    }
    fn read(reader: &mut Reader, _: Form) -> Result<Uuid, WireError> {
        Ok(Uuid(reader.read_u128()?.to_be_bytes()))
    }
    fn write(&self, writer: &mut Writer, _: Form) {
        writer.put(&self.0);
    }
    fn json(&self, _: Form) -> Value {
        Value::from(self.to_string())
    }
}

/// Types whose null is a length of -1: `Field` follows from how the nullable form is read and written.
macro_rules! nullable {
    ($(
        $type:ty: $kind:expr, short $short:literal, $read:ident, $write:ident($view:expr), $json:expr;
    )*) => {$(
        impl Field for $type {
            const KIND: Kind = $kind;
            fn least(form: Form) -> usize {
                if form.flexible { 1 } else { $short }
            }
            fn read(reader: &mut Reader, form: Form) -> Result<$type, WireError> {
                match <$type>::read_nullable(reader, form)? {
                    Some(value) => Ok(value),
                    None => Err(reader.null()),
                }
            }
            fn write(&self, writer: &mut Writer, form: Form) {
                <$type>::write_nullable(Some(self), writer, form);
            }
            fn json(&self, _: Form) -> Value {
                ($json)(self)
            }
        }
        impl Nullable for $type {
            fn read_nullable(reader: &mut Reader, form: Form) -> Result<Option<$type>, WireError> {
                Ok(reader.$read(form.flexible)?.map(<$type>::from))
            }
            fn write_nullable(value: Option<&$type>, writer: &mut Writer, form: Form) {
                writer.$write(value.map($view), form.flexible);
            }
        }
    )*};
}

nullable! {
    String: Kind::String, short 2, read_string, put_string(String::as_str), text;
    Bytes: Kind::Bytes, short 4, read_bytes, put_bytes(|bytes| bytes), base64;
    Records: Kind::Records, short 4, read_bytes, put_records(|records| records), length;
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn length(records: &Records) -> Value {
    Value::from(records.len())
}

fn base64(bytes: &Bytes) -> Value {
    use base64::Engine as _;
    Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
}

impl<T: Field> Field for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);
    fn least(form: Form) -> usize {
        if form.flexible { 1 } else { 4 }
    }
    fn read(reader: &mut Reader, form: Form) -> Result<Vec<T>, WireError> {
        Vec::read_nullable(reader, form)?.ok_or_else(|| reader.null())
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        writer.put_length(Some(self.len()), form.flexible);
        for element in self {
            element.write(writer, form);
        }
    }
    fn json(&self, form: Form) -> Value {
        let mut elements = Vec::with_capacity(self.len());
        for element in self {
            elements.push(element.json(form));
        }
        Value::Array(elements)
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader, form: Form) -> Result<Option<Vec<T>>, WireError> {
        let Some(count) = reader.read_count(form.flexible, T::least(form), size_of::<T>())? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader, form)?);
        }
        Ok(Some(elements))
    }
    fn write_nullable(value: Option<&Vec<T>>, writer: &mut Writer, form: Form) {
        match value {
            Some(elements) => elements.write(writer, form),
            None => writer.put_length(None, form.flexible),
        }
    }
}

impl<T: Nullable> Field for Option<T> {
    const KIND: Kind = Kind::Nullable(&T::KIND);
    fn least(form: Form) -> usize {
        T::least(form).min(if form.flexible { 1 } else { 4 })
    }
    fn read(reader: &mut Reader, form: Form) -> Result<Option<T>, WireError> {
        T::read_nullable(reader, form)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        T::write_nullable(self.as_ref(), writer, form);
    }
    fn json(&self, form: Form) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.json(form))
    }
}

/// Adds one field to a JSON object under Kafka's name for it.
pub fn put_json(object: &mut Map<String, Value>, name: &str, value: Value) {
    let mut key = String::with_capacity(name.len());
    let mut upper = false;
    // A name that is a keyword of ours is written raw.
    for letter in name.trim_start_matches("r#").chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                key.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => key.push(letter),
        }
    }
    object.insert(key, value);
}

/// Declares a message and the structures in it; see the head of this file.
macro_rules! message {
    (
        $(#[$meta:meta])*
        $name:ident $first:literal ..= $last:literal, flexible none { $($body:tt)* }
        $($rest:tt)*
    ) => {
        $crate::protocol::message::message! {
            $(#[$meta])* $name $first ..= $last, first flexible i16::MAX; { $($body)* } $($rest)*
        }
    };
    (
        $(#[$meta:meta])*
        $name:ident $first:literal ..= $last:literal, flexible $flexible:literal .. { $($body:tt)* }
        $($rest:tt)*
    ) => {
        $crate::protocol::message::message! {
            $(#[$meta])* $name $first ..= $last, first flexible $flexible; { $($body)* } $($rest)*
        }
    };
    (
        $(#[$meta:meta])*
        $name:ident $first:literal ..= $last:literal, first flexible $flexible:expr; { $($body:tt)* }
        $($(#[$inner_meta:meta])* $inner:ident { $($inner_body:tt)* })*
    ) => {
        $crate::protocol::message::structure! { $(#[$meta])* $name { $($body)* } }
        $($crate::protocol::message::structure! { $(#[$inner_meta])* $inner { $($inner_body)* } })*

        impl $crate::protocol::message::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: std::ops::RangeInclusive<i16> = $first..=$last;
            const FIRST_FLEXIBLE: i16 = $flexible;
        }
    };
}

/// One structure of the notation: the plain struct, its defaults, and its `Field`.
macro_rules! structure {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty
            $([
                $from:literal $dots:tt $($to:literal)?
                $(, null $null_from:literal $null_dots:tt $($null_to:literal)?)?
                $(, else $absent:ident)?
            ])?
            $(= $default:expr)?,)*
        $(@ $tag:literal $(#[$tagged_meta:meta])* $tagged:ident: $tagged_type:ty
            [$tagged_from:literal $tagged_dots:tt $($tagged_to:literal)? $(, else $tagged_absent:ident)?]
            $(= $tagged_default:expr)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $($(#[$tagged_meta])* pub $tagged: $tagged_type,)*
            /// Tagged fields this code does not know.
            pub unknown_tags: $crate::protocol::wire::UnknownTags,
        }

        impl Default for $name {
            fn default() -> $name {
                use $crate::protocol::message::default_of;
                $name {
                    $($field: default_of!($($default)?),)*
                    $($tagged: default_of!($($tagged_default)?),)*
                    unknown_tags: Default::default(),
                }
            }
        }

        #[allow(unused_imports, unused_variables, unused_mut)]
        #[allow(clippy::nonminimal_bool, clippy::manual_range_contains)]
        impl $crate::protocol::message::Field for $name {
            const KIND: $crate::protocol::message::Kind = {
                use $crate::protocol::message::{Field, FieldInfo, bounds};
                $crate::protocol::message::Kind::Struct(&[
                    $(FieldInfo {
                        name: stringify!($field),
                        versions: bounds(&[$($from)?], &[$($($to)?)?]),
                        null: bounds(&[$($($null_from)?)?], &[$($($($null_to)?)?)?]),
                        tag: None,
                        kind: <$type as Field>::KIND,
                    },)*
                    $(FieldInfo {
                        name: stringify!($tagged),
                        versions: bounds(&[$tagged_from], &[$($tagged_to)?]),
                        null: bounds(&[], &[]),
                        tag: Some($tag),
                        kind: <$tagged_type as Field>::KIND,
                    },)*
                ])
            };

            fn least(form: $crate::protocol::wire::Form) -> usize {
                use $crate::protocol::message::Field;
                let version = form.version;
                let mut least = usize::from(form.flexible);
                $(if true $(&& version >= $from $(&& version <= $to)?)? {
                    least += <$type as Field>::least(form);
                })*
                least
            }

            fn read(
                reader: &mut $crate::protocol::wire::Reader,
                form: $crate::protocol::wire::Form,
            ) -> Result<$name, $crate::protocol::wire::WireError> {
                use $crate::protocol::message::{Field, default_of};
                let version = form.version;
                let mut value = $name {
                    $($field: if true $(&& version >= $from $(&& version <= $to)?)? {
                        reader.enter(stringify!($field));
                        let field = <$type as Field>::read(reader, form)?;
                        $($(if !(version >= $null_from $(&& version <= $null_to)?) && field.is_none() {
                            return Err(reader.null());
                        })?)?
                        field
                    } else {
                        default_of!($($default)?)
                    },)*
                    $($tagged: default_of!($($tagged_default)?),)*
                    unknown_tags: Default::default(),
                };
                if form.flexible {
                    value.unknown_tags = reader.read_tags(&mut |tag, reader| {
                        $(if tag == $tag && version >= $tagged_from $(&& version <= $tagged_to)? {
                            reader.enter(stringify!($tagged));
                            value.$tagged = <$tagged_type as Field>::read(reader, form)?;
                            return Ok(true);
                        })*
                        Ok(false)
                    })?;
                }
                Ok(value)
            }

            fn write(&self, writer: &mut $crate::protocol::wire::Writer, form: $crate::protocol::wire::Form) {
                use $crate::protocol::message::{Field, default_of, refuse_unless};
                let version = form.version;
                $(if true $(&& version >= $from $(&& version <= $to)?)? {
                    writer.enter(stringify!($field));
                    $($(if !(version >= $null_from $(&& version <= $null_to)?) && self.$field.is_none() {
                        writer.fail_null();
                    })?)?
                    Field::write(&self.$field, writer, form);
                } else {
                    refuse_unless!(
                        [$($from $($absent)?)?], self.$field, [$($default)?], writer, $field, version
                    );
                })*
                $(let $tagged = if version >= $tagged_from $(&& version <= $tagged_to)? {
                    $crate::protocol::message::differs(&self.$tagged, default_of!($($tagged_default)?))
                } else {
                    refuse_unless!(
                        [$tag $($tagged_absent)?],
                        self.$tagged, [$($tagged_default)?], writer, $tagged, version
                    );
                    false
                };)*
                let mut unknown = self.unknown_tags.entries();
                if form.flexible {
                    writer.put_varint(unknown.len() as u32 $(+ u32::from($tagged))*);
                    $(if $tagged {
                        writer.put_unknown_below(&mut unknown, Some($tag));
                        writer.put_tagged($tag, &mut |writer| Field::write(&self.$tagged, writer, form));
                    })*
                    writer.put_unknown_below(&mut unknown, None);
                } else if !unknown.is_empty() {
                    writer.fail_unsupported("unknown_tags", version);
                }
            }

            fn json(&self, form: $crate::protocol::wire::Form) -> serde_json::Value {
                use $crate::protocol::message::{Field, default_of, put_json};
                let version = form.version;
                let mut object = serde_json::Map::new();
                $(if true $(&& version >= $from $(&& version <= $to)?)? {
                    put_json(&mut object, stringify!($field), Field::json(&self.$field, form));
                })*
                $(if version >= $tagged_from $(&& version <= $tagged_to)?
                    && $crate::protocol::message::differs(&self.$tagged, default_of!($($tagged_default)?))
                {
                    put_json(&mut object, stringify!($tagged), Field::json(&self.$tagged, form));
                })*
                serde_json::Value::Object(object)
            }
        }

        impl $crate::protocol::message::Structure for $name {}
    };
}

/// The default a field declares, or its type's.
macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Errs in the writer about a value that the version cannot carry; does nothing for a field of all versions
/// and for an ignorable one.
macro_rules! refuse_unless {
    ([], $value:expr, $default:tt, $writer:ident, $field:ident, $version:ident) => {};
    ([$from:literal ignored], $value:expr, $default:tt, $writer:ident, $field:ident, $version:ident) => {};
    ([$from:literal], $value:expr, [$($default:expr)?], $writer:ident, $field:ident, $version:ident) => {
        if $crate::protocol::message::differs(&$value, default_of!($($default)?)) {
            $writer.fail_unsupported(stringify!($field), $version);
        }
    };
}

pub(crate) use {default_of, message, refuse_unless, structure};
