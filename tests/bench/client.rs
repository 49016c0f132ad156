//! A lean client: one blocking socket, requests written as prepared, answers read into one reused buffer.
//!
//! It costs as little as it can, because on a small machine the load shares the cores with the broker it
//! loads. Every call has a time limit. Knows nothing of what is measured.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla::protocol::frame::encode_request;
use ottla::protocol::header::{RequestHeader, ResponseHeader};
use ottla::protocol::message::Message;
use ottla::protocol::messages::Request;
use ottla::protocol::wire::Reader;

/// No answer of a broker under test is longer.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Where the correlation id stands in a request frame.
const CORRELATION_AT: std::ops::Range<usize> = 8..12;

/// One connection to a broker on this machine.
pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    frame: BytesMut,
    correlation_id: i32,
}

/// An error of the benchmark itself, in words.
pub fn failed(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

/// A request frame ready to be sent many times; see [`Connection::send`].
pub fn prepare<R: Request>(version: i16, request: &R) -> io::Result<Vec<u8>> {
    let header = RequestHeader::new(R::KEY, version, 0, Some("bench".to_owned()));
    let frame = encode_request(&header, request).map_err(failed)?;
    Ok(frame.to_bytes()?.to_vec())
}

/// Reads an answer's header and body; the answer must be to `correlation_id`.
pub fn parse<R: Request>(frame: Bytes, version: i16, correlation_id: i32) -> io::Result<R::Response> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version));
    let header = header.map_err(failed)?;
    if header.correlation_id != correlation_id {
        return Err(failed(format!("answer {} where {correlation_id} was due", header.correlation_id)));
    }
    R::Response::decode(&mut reader, version).map_err(failed)
}

impl Connection {
    /// Connects to `port` of this machine.
    pub fn open(port: u16) -> io::Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let writer = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        writer.set_nodelay(true)?;
        let connection = Connection {
            reader: BufReader::with_capacity(64 << 10, writer.try_clone()?),
            writer,
            frame: BytesMut::new(),
            correlation_id: 0,
        };
        connection.set_limit(Duration::from_secs(60))?;
        Ok(connection)
    }

    /// How long an answer, or room for a request, may keep us waiting.
    pub fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.writer.set_read_timeout(Some(limit))?;
        self.writer.set_write_timeout(Some(limit))
    }

    /// The two directions apart, for one thread each.
    pub fn split(self) -> io::Result<(Connection, Connection)> {
        let sender = Connection {
            reader: BufReader::with_capacity(0, self.writer.try_clone()?),
            writer: self.writer.try_clone()?,
            frame: BytesMut::new(),
            correlation_id: self.correlation_id,
        };
        Ok((sender, self))
    }

    /// Sends a prepared request under the next correlation id, which it returns.
    pub fn send(&mut self, prepared: &mut [u8]) -> io::Result<i32> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        prepared[CORRELATION_AT].copy_from_slice(&self.correlation_id.to_be_bytes());
        self.writer.write_all(prepared)?;
        Ok(self.correlation_id)
    }

    /// The next answer, without its size. Its memory is used again once it is dropped.
    pub fn receive(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.reader.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size) as usize;
        if size > ANSWER_BYTES_MAX {
            return Err(failed(format!("an answer of {size} bytes")));
        }
        self.frame.resize(size, 0);
        self.reader.read_exact(&mut self.frame)?;
        Ok(self.frame.split().freeze())
    }

    /// Asks and waits.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let id = self.send(&mut prepare(version, request)?)?;
        parse::<R>(self.receive()?, version, id)
    }
}
