//! One Metadata request, asked as a client outside the engine asks it: a broker is up when it answers, not when something accepts.
//!
//! Source: the Kafka protocol, Metadata version 1. Docker's proxy accepts connections before any broker listens.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::engine::eventually;

/// A hostile or mistaken peer does not make this test allocate more.
const LARGEST: usize = 1 << 20;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Host and port of each broker, by its id.
    pub brokers: BTreeMap<i32, (String, i32)>,
    /// The controller's id; -1 while there is none.
    pub controller: i32,
}

/// Asks the broker at this port of 127.0.0.1.
pub fn ask(port: u16) -> io::Result<Metadata> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Length; Metadata, version 1; correlation id; no client id; no topics.
    stream.write_all(&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 0, 0, 0, 0])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LARGEST {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("no Metadata: {answer:?}")))
}

/// Asks until at least `brokers` of them and a controller are there.
pub fn wait(port: u16, brokers: usize, patience: Duration) -> Result<(Metadata, Duration), String> {
    eventually(patience, || {
        let found = ask(port).map_err(|error| format!("port {port}: {error}"))?;
        match found.brokers.len() >= brokers && found.controller >= 0 {
            true => Ok(found),
            false => Err(format!("port {port}: {found:?}")),
        }
    })
}

fn parse(mut bytes: &[u8]) -> Option<Metadata> {
    (number(&mut bytes)? == 7).then_some(())?;
    let mut brokers = BTreeMap::new();
    for _ in 0..number(&mut bytes)? {
        let id = number(&mut bytes)?;
        let host = text(&mut bytes)??;
        let port = number(&mut bytes)?;
        text(&mut bytes)?;
        brokers.insert(id, (host, port));
    }
    Some(Metadata { brokers, controller: number(&mut bytes)? })
}

fn number(bytes: &mut &[u8]) -> Option<i32> {
    bytes.split_off(..4).map(|four| i32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

fn text(bytes: &mut &[u8]) -> Option<Option<String>> {
    let length = bytes.split_off(..2).map(|two| i16::from_be_bytes([two[0], two[1]]))?;
    match usize::try_from(length) {
        Err(_) => Some(None),
        Ok(length) => bytes.split_off(..length).map(|text| Some(String::from_utf8_lossy(text).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_half_an_answer_is_none() {
        let mut answer = vec![0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, b'h', 0, 0, 35, 132, 255, 255];
        assert_eq!(parse(&answer), None);
        answer.extend([0, 0, 0, 2, 0, 0, 0, 0]);
        let brokers = BTreeMap::from([(2, ("h".to_owned(), 9092))]);
        assert_eq!(parse(&answer), Some(Metadata { brokers, controller: 2 }));
    }
}
