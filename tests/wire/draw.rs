//! Draws messages at random, straight onto the wire, from the layout that the notation declares.
//!
//! What is drawn is canonical: a correct codec that reads it writes the same bytes. Nothing of the codec is
//! used, so it cannot agree with itself by mistake.

use fastrand::Rng;
use ottla::protocol::message::{FieldInfo, Kind};
use ottla::protocol::messages::Codec;

/// A drawn body, and where its lengths stand.
pub struct Drawn {
    pub body: Vec<u8>,
    pub lengths: Vec<Length>,
}

/// A length or count on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    pub at: usize,
    /// Bytes it takes; a varint when `compact`.
    pub width: usize,
    pub compact: bool,
}

/// What may be drawn.
#[derive(Clone, Copy)]
pub struct Wishes {
    /// Most elements of an array.
    pub elements: usize,
    /// Whether tags nobody knows are added.
    pub unknown_tags: bool,
}

struct Pencil<'a> {
    rng: &'a mut Rng,
    version: i16,
    flexible: bool,
    wishes: Wishes,
    out: Vec<u8>,
    lengths: Vec<Length>,
}

/// Draws one body of `codec` in `version`.
pub fn draw(codec: &Codec, version: i16, wishes: Wishes, rng: &mut Rng) -> Drawn {
    let flexible = version >= codec.first_flexible;
    let mut pencil = Pencil { rng, version, flexible, wishes, out: Vec::new(), lengths: Vec::new() };
    pencil.value(codec.kind, true, false, 0);
    Drawn { body: pencil.out, lengths: pencil.lengths }
}

impl Pencil<'_> {
    /// `telling` values differ from every default, because a tagged field at its default is not written.
    fn value(&mut self, kind: Kind, may_be_null: bool, telling: bool, depth: usize) {
        match kind {
            Kind::Fixed(width) => self.number(width),
            Kind::Bool => {
                let bit = u8::from(telling || self.rng.bool());
                self.out.push(bit);
            }
            Kind::String => self.string(telling),
            Kind::Bytes | Kind::Records => self.bytes(telling),
            Kind::Array(element) => {
                let most = if depth > 4 { 2 } else { self.wishes.elements };
                let count = self.rng.usize(usize::from(telling)..=most);
                self.length(Some(count), 4);
                for _ in 0..count {
                    self.value(*element, false, false, depth + 1);
                }
            }
            Kind::Struct(fields) => self.structure(fields, depth),
            Kind::Nullable(inner) => {
                let null = may_be_null && !telling && self.rng.u8(0..4) == 0;
                match (inner, null) {
                    (Kind::Struct(_), true) => self.out.push(0xff),
                    (Kind::Struct(_), false) => self.out.push(1),
                    (Kind::String, true) => return self.length(None, 2),
                    (_, true) => return self.length(None, 4),
                    _ => {}
                }
                if !null {
                    self.value(*inner, false, telling, depth);
                }
            }
        }
    }

    fn structure(&mut self, fields: &'static [FieldInfo], depth: usize) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(field.kind, field.may_be_null(version), false, depth);
        }
        if !self.flexible {
            return;
        }
        let rng = &mut *self.rng;
        let present = fields.iter().filter(|field| field.tag.is_some() && field.is_in(version));
        let mut chosen: Vec<_> =
            present.filter(|_| rng.bool()).map(|field| (field.tag, Some(field))).collect();
        if self.wishes.unknown_tags && rng.u8(0..8) == 0 {
            chosen.extend([100, 5000].map(|tag| (Some(tag), None)));
        }
        self.varint(chosen.len() as u32);
        for (tag, field) in chosen {
            let tag = tag.expect("only tagged fields were chosen");
            let start = self.out.len();
            match field {
                Some(field) => self.value(field.kind, false, true, depth),
                None => self.bytes(true),
            }
            let (content, seen) = (self.out.split_off(start), self.lengths.len());
            self.varint(tag);
            let at = self.out.len();
            self.varint(content.len() as u32);
            let moved = self.out.len() - start;
            let inner = self.lengths.iter_mut().take(seen).filter(|length| length.at >= start);
            inner.for_each(|length| length.at += moved);
            self.lengths.push(Length { at, width: self.out.len() - at, compact: true });
            self.out.extend_from_slice(&content);
        }
    }

    fn number(&mut self, width: usize) {
        // Zero and -1 are defaults somewhere; a first byte of neither is no default, and every value has
        // its day.
        for index in 0..width {
            let byte = if index == 0 { self.rng.u8(1..=0xfe) } else { self.rng.u8(..) };
            self.out.push(byte);
        }
    }

    fn string(&mut self, telling: bool) {
        let letters = ["a", "Z", "-", "0", "\u{fc}", "\u{20ac}", "\u{1f600}", "\0"];
        let most = if self.rng.u8(0..16) == 0 { 200 } else { 8 };
        let count = self.rng.usize(usize::from(telling)..=most);
        let text: String = (0..count).map(|_| letters[self.rng.usize(..letters.len())]).collect();
        self.length(Some(text.len()), 2);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn bytes(&mut self, telling: bool) {
        let most = if self.rng.u8(0..64) == 0 { 9000 } else { 20 };
        let count = self.rng.usize(usize::from(telling)..=most);
        self.length(Some(count), 4);
        for _ in 0..count {
            let byte = self.rng.u8(..);
            self.out.push(byte);
        }
    }

    fn length(&mut self, length: Option<usize>, width: usize) {
        let at = self.out.len();
        match (self.flexible, length) {
            (true, length) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (false, length) => {
                let length = length.map_or(-1, |length| length as i64).to_be_bytes();
                self.out.extend_from_slice(&length[8 - width..]);
            }
        }
        self.lengths.push(Length { at, width: self.out.len() - at, compact: self.flexible });
    }

    fn varint(&mut self, value: u32) {
        ottla::protocol::varint::put_u32(&mut self.out, value);
    }
}
