//! One TCP connection: frames in, frames out.
//!
//! Bytes are buffered as they arrive; a length only says when a frame is whole and is refused when it is beyond
//! `jute_maxbuffer`. Requests are decoded here and answers encoded here, so the pipeline's thread does neither.
//! Knows nothing of what requests mean. Source: `NIOServerCnxn` of ZooKeeper 3.9.

use super::admin_words;
use super::clients::{Backlog, Client, ClientId, Message, Out, Outbox, Ticket};
use super::listener::Shared;
use crate::jute::{
    ConnectRequest, ErrorCode, Field, OpCode, Reader, ReplyHeader, Request, RequestHeader, Writer,
};
use bytes::{Buf, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tracing::debug;

/// A connection without a session is closed after this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer gets this long to take its last answers.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes asked of the socket at once, and the buffer an idle connection may keep.
const READ_BYTES: usize = 8 << 10;
const KEPT_BYTES: usize = 64 << 10;
/// Answers are encoded until this much is there, then written.
const WRITE_BYTES: usize = 256 << 10;
/// While more than this waits for a client, no more is read from it.
const PAUSE_BYTES: usize = 1 << 20;
/// What a request in the queue costs besides its frame.
const REQUEST_OVERHEAD: usize = 512;

/// Serves a connection until either side ends it.
pub(super) async fn serve(stream: TcpStream, address: SocketAddr, id: ClientId, shared: Arc<Shared>) {
    // Small answers must not wait for more; a socket that refuses is used as it is.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut frames = Frames { read, buffer: BytesMut::new(), max: shared.options.jute_maxbuffer };
    match timeout(HANDSHAKE_TIMEOUT, greet(&mut frames, &shared)).await {
        Ok(Ok(Greeting::Session(request))) => {
            if let Err(error) = converse(frames, write, address, id, &shared, request).await {
                debug!(client = %address, %error, "connection ended");
            }
            // The pipeline may have stopped already.
            let _ = shared.pipeline.send(Message::Gone { id });
        }
        Ok(Ok(Greeting::Word(word))) => {
            if let Err(error) = say(write, word, &shared).await {
                debug!(client = %address, %error, "four letter word not answered");
            }
        }
        Ok(Err(error)) => debug!(client = %address, %error, "no session was asked for"),
        Err(_) => debug!(client = %address, "no session was asked for in time"),
    }
}

/// What a connection begins with.
enum Greeting {
    Session(ConnectRequest),
    Word([u8; 4]),
}

async fn greet(frames: &mut Frames, shared: &Shared) -> io::Result<Greeting> {
    frames.fill(4).await?;
    let mut word = [0; 4];
    word.copy_from_slice(&frames.buffer[..4]);
    if admin_words::is_known(&word) {
        return Ok(Greeting::Word(word));
    }
    let length = frames.next(shared).await?;
    let request = ConnectRequest::read(&mut Reader::new(&frames.buffer[4..4 + length])).map_err(invalid)?;
    frames.consume(length);
    Ok(Greeting::Session(request))
}

async fn say(mut write: OwnedWriteHalf, word: [u8; 4], shared: &Shared) -> io::Result<()> {
    let text = admin_words::ask(word, shared).await;
    write.write_all(text.as_bytes()).await?;
    write.shutdown().await
}

async fn converse(
    frames: Frames,
    write: OwnedWriteHalf,
    address: SocketAddr,
    id: ClientId,
    shared: &Shared,
    request: ConnectRequest,
) -> io::Result<()> {
    let (sender, answers) = unbounded_channel();
    let backlog = Backlog::new(&shared.backlog);
    let outbox = Outbox::Remote { sender, backlog: backlog.clone() };
    let client =
        Box::new(Client { session: 0, address, identities: Vec::new(), outbox, received: 0, sent: 0 });
    shared.tell(Message::Connect { id, client, request })?;
    let drained = Notify::new();
    let mut writer = AnswerWriter {
        write,
        answers,
        backlog: backlog.clone(),
        writing: 0,
        patience: Duration::from_millis(shared.options.grant(i32::MAX) as u64),
        deadline: None,
        drained: &drained,
    };
    let reading = read_requests(frames, id, shared, &backlog, &drained);
    let result = tokio::select! {
        result = reading => result,
        result = writer.run() => result,
    };
    writer.discard();
    result
}

async fn read_requests(
    mut frames: Frames,
    id: ClientId,
    shared: &Shared,
    backlog: &Backlog,
    drained: &Notify,
) -> io::Result<()> {
    loop {
        while backlog.own() > PAUSE_BYTES {
            drained.notified().await;
        }
        let length = frames.next(shared).await?;
        let cost = (length + REQUEST_OVERHEAD) as u32;
        let permit = shared.in_flight.clone().acquire_many_owned(cost).await.map_err(io::Error::other)?;
        let mut reader = Reader::new(&frames.buffer[4..4 + length]);
        let header = RequestHeader::read(&mut reader).map_err(invalid)?;
        let op = OpCode::from_number(header.op);
        let request = decode(op, &mut reader);
        frames.consume(length);
        let ticket = Ticket::Remote { xid: header.xid, _permit: permit };
        shared.tell(Message::Request { id, ticket, request, received_ms: shared.steady_ms() })?;
    }
}

/// A body that cannot be read is answered, as in ZooKeeper; only a header that cannot be read ends the connection.
fn decode(op: Option<OpCode>, reader: &mut Reader<'_>) -> Result<Request, ErrorCode> {
    match op {
        None | Some(OpCode::Sasl | OpCode::DeleteContainer | OpCode::Reconfig) => {
            Err(ErrorCode::Unimplemented)
        }
        Some(op) => Request::decode(op, reader).map_err(|error| {
            debug!(?op, %error, "request cannot be read");
            ErrorCode::MarshallingError
        }),
    }
}

fn invalid(error: crate::jute::WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The bytes of a connection that were not used yet.
struct Frames {
    read: OwnedReadHalf,
    buffer: BytesMut,
    max: usize,
}

impl Frames {
    /// Reads until `count` bytes are there.
    async fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() < count {
            self.buffer.reserve(READ_BYTES);
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Waits for a whole frame, which then begins at byte 4 of the buffer, and gives its length.
    async fn next(&mut self, shared: &Shared) -> io::Result<usize> {
        self.fill(4).await?;
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&self.buffer[..4]);
        let promised = i32::from_be_bytes(prefix);
        let length =
            usize::try_from(promised).ok().filter(|length| *length <= self.max).ok_or_else(|| {
                shared.note_oversized();
                let max = self.max;
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a frame of {promised} bytes was announced, jute_maxbuffer allows {max}"),
                )
            })?;
        self.fill(4 + length).await?;
        Ok(length)
    }

    /// The frame was used.
    fn consume(&mut self, length: usize) {
        self.buffer.advance(4 + length);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
    }
}

/// Writes what the pipeline sends.
struct AnswerWriter<'a> {
    write: OwnedWriteHalf,
    answers: UnboundedReceiver<Out>,
    backlog: Backlog,
    /// Weight of what is being written.
    writing: usize,
    /// How long a write may wait for the peer.
    patience: Duration,
    /// When a connection that was closed is given up.
    deadline: Option<Instant>,
    drained: &'a Notify,
}

impl AnswerWriter<'_> {
    /// Until the pipeline closes the connection.
    async fn run(&mut self) -> io::Result<()> {
        while let Some(first) = self.answers.recv().await {
            let (mut writer, mut weight) = (Writer::new(), 0);
            let mut next = Some(first);
            while let Some(out) = next {
                weight += out.weight();
                encode(&out, &mut writer);
                next = if writer.len() < WRITE_BYTES { self.answers.try_recv().ok() } else { None };
            }
            self.writing = weight;
            self.send(&writer.into_bytes()).await?;
            self.backlog.sub(std::mem::take(&mut self.writing));
            self.drained.notify_one();
        }
        self.write.shutdown().await
    }

    /// Writes all of `bytes`. A peer that takes nothing for as long as any session may be silent, or does not take
    /// the rest soon after the pipeline closed the connection, is given up: else it would hold memory for ever.
    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.answers.is_closed() {
                let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + FAREWELL_TIMEOUT);
                if Instant::now() > deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            let written = timeout(self.patience, self.write.write(bytes)).await??;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Gives back what was never written.
    fn discard(&mut self) {
        self.backlog.sub(std::mem::take(&mut self.writing));
        self.answers.close();
        while let Ok(out) = self.answers.try_recv() {
            self.backlog.sub(out.weight());
        }
    }
}

fn encode(out: &Out, writer: &mut Writer) {
    let start = writer.begin_frame();
    match out {
        Out::Connected(response) => response.write(writer),
        Out::Event(event) => event.write(writer),
        Out::Reply { xid, zxid, result } => {
            let error = result.as_ref().map_or_else(|error| error.number(), |_| 0);
            ReplyHeader { xid: *xid, zxid: *zxid, error }.write(writer);
            if let Ok(reply) = result {
                reply.encode(writer);
            }
        }
    }
    writer.end_frame(start);
}

/// Asks the pipeline for a word's answer.
pub(super) async fn ask_pipeline(word: admin_words::Word, shared: &Shared) -> Option<String> {
    let (answer, text) = oneshot::channel();
    shared.tell(Message::Word { word, answer }).ok()?;
    text.await.ok()
}
