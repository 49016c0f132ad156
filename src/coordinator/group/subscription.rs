//! Just enough of the consumer protocol to know which topics a group reads.
//!
//! Every version of the subscription begins with what version 0 holds: `int16 version, []string topics`, and that
//! is all that is read, so a member of any age is understood. Source: `ConsumerProtocol.deserializeSubscription`.

/// `protocol_type` of groups of consumers.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// The topics of a subscription; `None` if the bytes are none.
pub(super) fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    // Every topic takes two bytes or more: a count that lies is found out before anything is allocated.
    if i16::from_be_bytes(*version) < 0 || count > rest.len() / 2 {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, tail) = rest.split_first_chunk::<2>()?;
        let len = usize::try_from(i16::from_be_bytes(*len)).ok()?;
        topics.push(str::from_utf8(tail.get(..len)?).ok()?.to_owned());
        rest = &tail[len..];
    }
    // The user data of version 0 is nullable bytes; it is only checked to be there.
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = i32::from_be_bytes(*len);
    (len == -1 || usize::try_from(len).is_ok_and(|len| len <= rest.len())).then_some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_topics_and_refuses_what_is_cut_or_lies() {
        let bytes = [0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(topics(&bytes), Some(vec!["a".to_owned(), "bc".to_owned()]));
        for cut in 0..17 {
            assert_eq!(topics(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]), None);
        assert_eq!(topics(&[0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]), None, "a null topic");
        assert_eq!(topics(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), None, "user data that is not there");
    }
}
