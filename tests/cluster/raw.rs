//! Bare sockets: bytes as the test lays them, answers as they come.

use std::time::Duration;

use bytes::Bytes;
use ottla::protocol::frame::encode_request;
use ottla::protocol::header::{RequestHeader, ResponseHeader};
use ottla::protocol::message::Message;
use ottla::protocol::messages::Request;
use ottla::protocol::wire::Reader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for bytes or for the end.
const WAIT: Duration = Duration::from_secs(15);

/// A socket to a broker.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Connects.
    pub async fn open(port: u16) -> Raw {
        Raw(TcpStream::connect(("127.0.0.1", port)).await.expect("the broker accepts"))
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the broker takes bytes");
    }

    /// The next answer, without its size.
    pub async fn frame(&mut self) -> Bytes {
        let read = async {
            let size = self.0.read_i32().await.expect("an answer");
            let mut frame = vec![0; usize::try_from(size).expect("a size")];
            self.0.read_exact(&mut frame).await.expect("a whole answer");
            Bytes::from(frame)
        };
        timeout(WAIT, read).await.expect("an answer in time")
    }

    /// The next answer, decoded; its correlation id first.
    pub async fn answer<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let mut reader = Reader::new(self.frame().await);
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version));
        let body = R::Response::decode(&mut reader, version).expect("a sound answer");
        reader.expect_end().expect("nothing behind the answer");
        (header.expect("a header").correlation_id, body)
    }

    /// Waits until the broker closes; true when it did so without a byte before.
    pub async fn closed(&mut self) -> bool {
        let mut buffer = [0; 1024];
        match timeout(WAIT, self.0.read(&mut buffer)).await.expect("the broker closes in time") {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request as it lies on the wire.
pub fn wire<R: Request>(version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::new(R::KEY, version, correlation_id, Some("raw".to_owned()));
    encode_request(&header, request).expect("a request").to_bytes().expect("in memory")
}

/// A request header of any numbers, framed, with `body` behind it.
pub fn frame(api_key: i16, version: i16, correlation_id: i32, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(api_key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation_id.to_be_bytes());
    bytes.extend([0, 1, b'x']);
    if flexible {
        bytes.push(0);
    }
    bytes.extend(body);
    let mut framed = (bytes.len() as i32).to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}
