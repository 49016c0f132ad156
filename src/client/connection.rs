//! One outgoing connection: a request and its answer with a deadline, or several requests ahead of their answers
//! (`NetworkClient`, cut down: no version negotiation unless asked for).
//!
//! Answers come in the order of their requests.
//! After any error the connection is useless: drop it and connect again.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::network::{self, Stream};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::encode_request;
use crate::protocol::header::{RequestHeader, ResponseHeader};
use crate::protocol::message::Message;
use crate::protocol::messages::api_versions::ApiVersion;
use crate::protocol::messages::{ApiVersionsRequest, Request};
use crate::protocol::wire::{Reader, WireError};

/// The largest answer taken.
const ANSWER_MAX: usize = 256 << 20;
/// An answer's buffer grows by at most this ahead of what has arrived.
const GROW: usize = 64 * 1024;

/// Why a call failed. Nobody knows whether the broker carried it out, except for `Unsupported`.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket.
    #[error("{peer}: {error}")]
    Io {
        /// `host:port`.
        peer: String,
        /// As the system says.
        error: io::Error,
    },
    /// No answer in time.
    #[error("{peer}: no answer within {} ms", .after.as_millis())]
    TimedOut {
        /// `host:port`.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// An answer that cannot be read.
    #[error("{peer}: {error}")]
    Wire {
        /// `host:port`.
        peer: String,
        /// What is wrong with it.
        error: WireError,
    },
    /// The broker does not speak what is needed.
    #[error("{peer}: {what}")]
    Unsupported {
        /// `host:port`.
        peer: String,
        /// What it lacks.
        what: String,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    peer: String,
    stream: Stream,
    client_id: String,
    correlation_id: i32,
    input: BytesMut,
}

impl Connection {
    /// Connects within `limit`.
    pub async fn open(
        host: &str,
        port: u16,
        client_id: &str,
        limit: Duration,
    ) -> Result<Connection, CallError> {
        let peer = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let stream = match timeout(limit, network::connect(host, port)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(CallError::Io { peer, error }),
            Err(_) => return Err(CallError::TimedOut { peer, after: limit }),
        };
        Ok(Connection {
            peer,
            stream,
            client_id: client_id.to_owned(),
            correlation_id: 0,
            input: BytesMut::new(),
        })
    }

    /// `host:port` of the other side.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Sends a request and waits for its answer.
    pub async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        match timeout(limit, self.exchange(version, request)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut { peer: self.peer.clone(), after: limit }),
        }
    }

    /// Sends a request; tells its correlation id, by which its answer is to be read, unless it has none (Produce with
    /// acks 0).
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, CallError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::new(R::KEY, version, self.correlation_id, Some(self.client_id.clone()));
        let frame = encode_request(&header, request).map_err(|error| self.wire(error))?;
        let bytes = frame.to_bytes().map_err(|error| self.io(error))?;
        self.stream.write_all(&bytes).await.map_err(|error| self.io(error))?;
        Ok(self.correlation_id)
    }

    async fn exchange<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, CallError> {
        let correlation_id = self.send(version, request).await?;
        self.answer::<R>(version, correlation_id).await
    }

    /// Reads the answer to the oldest request that has none yet. May be given up and called again: nothing is lost.
    pub async fn answer<R: Request>(
        &mut self,
        version: i16,
        correlation_id: i32,
    ) -> Result<R::Response, CallError> {
        let frame = self.read_frame().await.map_err(|error| self.io(error))?;
        let mut reader = Reader::new(frame);
        let header_version = R::KEY.response_header_version(version);
        let header = ResponseHeader::decode(&mut reader, header_version).map_err(|error| self.wire(error))?;
        if header.correlation_id != correlation_id {
            return Err(self.unsupported(format!(
                "answered request {} when {correlation_id} was asked",
                header.correlation_id
            )));
        }
        R::Response::decode(&mut reader, version).map_err(|error| self.wire(error))
    }

    async fn read_frame(&mut self) -> io::Result<Bytes> {
        self.fill(4).await?;
        // Taken off only with the whole answer, so that whoever gives up waiting in between may come back.
        let size = (&self.input[..]).get_i32();
        let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_MAX);
        let size =
            size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer of impossible size"))?;
        self.fill(4 + size).await?;
        self.input.advance(4);
        Ok(self.input.split_to(size).freeze())
    }

    async fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.input.len() < wanted {
            let missing = wanted - self.input.len();
            self.input.reserve(missing.min(self.input.len().max(GROW)));
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The APIs and versions that the broker speaks; it is asked.
    pub async fn api_versions(&mut self, limit: Duration) -> Result<Vec<ApiVersion>, CallError> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let mut answer = self.call(3, &request, limit).await?;
        if answer.error_code == ErrorCode::UnsupportedVersion.code() {
            answer = self.call(0, &ApiVersionsRequest::default(), limit).await?;
        }
        Ok(answer.api_keys)
    }

    /// The highest version of an API that both sides speak, `rows` being what the broker answered.
    pub fn choose(&self, key: ApiKey, rows: &[ApiVersion]) -> Result<i16, CallError> {
        let row = rows.iter().find(|row| row.api_key == key.number());
        let (own, theirs) = (key.versions(), row.map(|row| row.min_version..=row.max_version));
        let common = theirs.map(|theirs| (*own.start().max(theirs.start()), *own.end().min(theirs.end())));
        match common {
            Some((low, high)) if low <= high => Ok(high),
            _ => {
                Err(self.unsupported(format!("speaks no version of {} that this program speaks", key.name())))
            }
        }
    }

    fn io(&self, error: io::Error) -> CallError {
        CallError::Io { peer: self.peer.clone(), error }
    }

    fn wire(&self, error: WireError) -> CallError {
        CallError::Wire { peer: self.peer.clone(), error }
    }

    fn unsupported(&self, what: String) -> CallError {
        CallError::Unsupported { peer: self.peer.clone(), what }
    }
}
