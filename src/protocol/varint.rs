//! Variable-length integers: 7 bits a byte, least significant group first, high bit = more follow.
//! Signed ones are zig-zag coded (`ByteUtils` in Kafka's clients).
//!
//! All readers take the rest of the input and return the value with the number of bytes used, or `None`
//! when the input ends or the value is longer than its type allows.

/// Reads an unsigned 32-bit varint (at most 5 bytes).
pub fn read_u32(input: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0u32;
    for (index, &byte) in input.iter().take(5).enumerate() {
        if index == 4 && byte > 0x0f {
            return None;
        }
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Reads an unsigned 64-bit varint (at most 10 bytes).
pub fn read_u64(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(10).enumerate() {
        if index == 9 && byte > 0x01 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Reads a zig-zag 32-bit varint.
pub fn read_i32(input: &[u8]) -> Option<(i32, usize)> {
    read_u32(input).map(|(raw, used)| ((raw >> 1) as i32 ^ -((raw & 1) as i32), used))
}

/// Reads a zig-zag 64-bit varint.
pub fn read_i64(input: &[u8]) -> Option<(i64, usize)> {
    read_u64(input).map(|(raw, used)| ((raw >> 1) as i64 ^ -((raw & 1) as i64), used))
}

/// Appends an unsigned varint.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an unsigned 32-bit varint.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    put_u64(out, u64::from(value));
}

/// Appends a zig-zag 32-bit varint.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    put_u32(out, ((value << 1) ^ (value >> 31)) as u32);
}

/// Appends a zig-zag 64-bit varint.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Bytes an unsigned varint takes.
pub fn len_u64(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes a zig-zag 32-bit varint takes.
pub fn len_i32(value: i32) -> usize {
    len_u64(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// Bytes a zig-zag 64-bit varint takes.
pub fn len_i64(value: i64) -> usize {
    len_u64(((value << 1) ^ (value >> 63)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_at_the_edges() {
        for value in [0i64, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            assert_eq!(out.len(), len_i64(value));
            assert_eq!(read_i64(&out), Some((value, out.len())));
            assert_eq!(read_i64(&out[..out.len() - 1]), None, "a cut varint is no varint");
            if let Ok(small) = i32::try_from(value) {
                let mut out = Vec::new();
                put_i32(&mut out, small);
                assert_eq!(out.len(), len_i32(small));
                assert_eq!(read_i32(&out), Some((small, out.len())));
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!(read_u32(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(read_u32(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some((u32::MAX, 5)));
        assert_eq!(read_u64(&[0xff; 10]), None);
        assert_eq!(read_u64(&[0xff; 11]), None);
    }
}
