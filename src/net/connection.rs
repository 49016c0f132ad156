//! One client connection: frames in, answers out, in order.
//!
//! One task does both directions. Requests are processed one after another; a request whose only remaining
//! work is to wait (a long poll, an acknowledgement by the ISR, a group's join barrier) leaves its answer in the queue as a
//! future, and the next request starts. Answers leave in request order. While answers cannot be
//! written, or too many wait, nothing more is read: that is the back-pressure.
//!
//! A frame is buffered as it arrives, never by what its length promises. Where the memory of all requests is limited
//! (`queued.max.request.bytes`), nothing is read while it is used up, but by who has begun a frame.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::memory::{Loan, Memory};
use super::outgoing::Outgoing;
use crate::api::{self, Caller, Reply};
use crate::broker::Broker;
use crate::protocol::api_key::ApiKey;
use crate::protocol::frame::Frame;
use crate::shutdown::Stop;

/// Answers that may wait in a connection's queue before reading stops.
const ANSWERS_MAX: usize = 128;
/// What a read asks for at least.
const READ_MIN: usize = 16 * 1024;
/// What the first read of a connection asks for.
const READ_FIRST: usize = 1024;
/// An idle connection gives its buffer back after this long.
const BUFFER_IDLE: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The peer closed.
    #[error("the client closed the connection")]
    ByPeer,
    /// Nothing came for `connections.max.idle.ms`.
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    /// The broker stops.
    #[error("the broker is stopping")]
    Stopping,
    /// A request after which the protocol has no answer but to close.
    #[error("{0}")]
    ByRequest(String),
    /// A length that cannot be a request.
    #[error("a frame announces {size} bytes; socket.request.max.bytes allows {limit}")]
    FrameSize {
        /// As announced.
        size: i32,
        /// As configured.
        limit: i32,
    },
    /// The socket, or a log segment that was being sent.
    #[error(transparent)]
    Io(#[from] io::Error),
}

enum Answer {
    Ready(Frame),
    Waiting(Pin<Box<dyn Future<Output = Option<Frame>> + Send>>),
}

/// A connection's limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// `socket.request.max.bytes`.
    pub request_max_bytes: i32,
    /// `connections.max.idle.ms`; `None` when it is negative: no limit.
    pub idle: Option<Duration>,
    /// `queued.max.request.bytes`, if there is such a limit.
    pub memory: Option<Arc<Memory>>,
}

/// The state of one connection.
pub struct Connection {
    stream: TcpStream,
    broker: Arc<Broker>,
    caller: Caller,
    limits: ConnectionLimits,
    stop: Stop,
    input: BytesMut,
    /// Size of the largest frame this peer has sent since its buffer was last given back.
    frame_seen: usize,
    /// For the frame that has begun.
    loan: Option<Loan>,
    answers: VecDeque<Answer>,
    outgoing: Outgoing,
}

enum Wake {
    Readable,
    Answer(Option<Frame>),
    Writable,
    Memory,
    Timer,
    Stop,
}

impl Connection {
    /// Takes over an accepted socket.
    pub fn new(
        stream: TcpStream,
        broker: Arc<Broker>,
        caller: Caller,
        limits: ConnectionLimits,
        stop: Stop,
    ) -> Self {
        Connection {
            stream,
            broker,
            caller,
            limits,
            stop,
            input: BytesMut::new(),
            frame_seen: 0,
            loan: None,
            answers: VecDeque::new(),
            outgoing: Outgoing::default(),
        }
    }

    /// Serves until one side ends it. Answers to requests already taken are written before a graceful stop.
    pub async fn run(mut self) -> Closed {
        let mut last_active = Instant::now();
        let mut stopping = false;
        loop {
            if let Err(error) = self.send_ready() {
                return Closed::Io(error);
            }
            if stopping && self.answers.is_empty() && self.outgoing.is_empty() {
                return Closed::Stopping;
            }
            let may_take = !stopping && self.outgoing.is_empty() && self.answers.len() < ANSWERS_MAX;
            // Requests that came with others stay in the buffer while answers wait: the socket will not tell of them.
            let starved = may_take && !self.borrow_memory();
            if may_take && !starved && self.has_frame() {
                match self.process_buffered().await {
                    Ok(()) => continue,
                    Err(closed) => return closed,
                }
            }
            let reading = may_take && !starved;
            match self.next_wake(reading, starved, stopping, last_active).await {
                Wake::Readable => {
                    last_active = Instant::now();
                    if let Err(closed) = self.read_and_process().await {
                        return closed;
                    }
                }
                Wake::Answer(frame) => {
                    last_active = Instant::now();
                    match frame {
                        Some(frame) => self.answers[0] = Answer::Ready(frame),
                        None => drop(self.answers.pop_front()),
                    }
                }
                Wake::Writable => last_active = Instant::now(),
                Wake::Memory => {}
                Wake::Timer => {
                    let idle = self.limits.idle.is_some_and(|idle| last_active.elapsed() >= idle);
                    if idle && self.answers.is_empty() {
                        return Closed::Idle;
                    }
                    if self.input.is_empty() && self.input.capacity() > 0 {
                        self.input = BytesMut::new();
                        self.frame_seen = 0;
                    }
                }
                Wake::Stop => stopping = true,
            }
        }
    }

    async fn next_wake(
        &mut self,
        reading: bool,
        starved: bool,
        stopping: bool,
        last_active: Instant,
    ) -> Wake {
        let timer = match self.input.is_empty() && self.input.capacity() > 0 {
            true => Some(last_active + BUFFER_IDLE),
            // Whoever waits for an answer is not idle; the answer is what wakes this connection next.
            false if !self.answers.is_empty() => None,
            false => self.limits.idle.and_then(|idle| last_active.checked_add(idle)),
        };
        let writing = !self.outgoing.is_empty();
        let waiting = matches!(self.answers.front(), Some(Answer::Waiting(_)));
        let answers = &mut self.answers;
        let head = poll_fn(|context| match answers.front_mut() {
            Some(Answer::Waiting(future)) => future.as_mut().poll(context),
            _ => Poll::Pending,
        });
        tokio::select! {
            biased;
            _ = self.stream.writable(), if writing => Wake::Writable,
            frame = head, if waiting => Wake::Answer(frame),
            _ = self.stream.readable(), if reading => Wake::Readable,
            () = returned(self.limits.memory.as_deref()), if starved => Wake::Memory,
            _ = self.stop.requested(), if !stopping => Wake::Stop,
            () = until(timer) => Wake::Timer,
        }
    }

    /// Queues the answers that are ready, in order, and writes what the socket takes.
    fn send_ready(&mut self) -> io::Result<()> {
        while let Some(Answer::Ready(_)) = self.answers.front() {
            let Some(Answer::Ready(frame)) = self.answers.pop_front() else { break };
            for chunk in frame.chunks {
                self.outgoing.push(chunk)?;
            }
        }
        if !self.outgoing.is_empty() {
            self.outgoing.try_send(&self.stream)?;
        }
        Ok(())
    }

    async fn read_and_process(&mut self) -> Result<(), Closed> {
        // Used up since this connection began to wait for its peer?
        if !self.borrow_memory() {
            return Ok(());
        }
        self.reserve();
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => return Err(Closed::ByPeer),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Closed::Io(error)),
        }
        self.process_buffered().await
    }

    /// Room for the next read: at most as much again as has arrived of the frame, so that a peer pays
    /// with bytes of its own for every byte of ours. Between frames the whole buffer is used again from its
    /// start (`BytesMut` reclaims it once the last frame's slices are gone), which keeps it in the cache.
    fn reserve(&mut self) {
        if self.input.is_empty() {
            // Who has not sent a whole request yet gets little: a thousand of them must cost next to nothing.
            let usual = if self.frame_seen == 0 { READ_FIRST } else { self.frame_seen.max(READ_MIN) };
            self.input.reserve(usual);
            return;
        }
        let announced = match self.input.get(..4).map(|mut head| head.get_i32()) {
            Some(size) => (size as usize + 4).saturating_sub(self.input.len()),
            None => READ_MIN,
        };
        let want = announced.min(self.input.len()).max(READ_MIN);
        if self.input.capacity() - self.input.len() < self.input.len() / 4 {
            self.input.reserve(want);
        }
    }

    async fn process_buffered(&mut self) -> Result<(), Closed> {
        while self.answers.len() < ANSWERS_MAX && self.borrow_memory() {
            let Some(frame) = self.next_frame()? else { break };
            // Only records stay slices of the frame while the request is served (`requiresDelayedAllocation`); what
            // waits for other requests must hold nothing.
            let produce = frame.get(..2).is_some_and(|key| key == (ApiKey::Produce as i16).to_be_bytes());
            let _held = self.loan.take().filter(|_| produce);
            match api::dispatch(&self.broker, &self.caller, frame).await {
                Reply::Respond(frame) => self.answers.push_back(Answer::Ready(frame)),
                Reply::Later(future) => self.answers.push_back(Answer::Waiting(future)),
                Reply::Nothing => {}
                Reply::Close(why) => {
                    self.send_ready()?;
                    return Err(Closed::ByRequest(why));
                }
            }
        }
        Ok(())
    }

    /// Takes memory for the frame that has begun. False while there is none for it, or for one that may begin.
    fn borrow_memory(&mut self) -> bool {
        let Some(memory) = self.limits.memory.as_ref().filter(|_| self.loan.is_none()) else { return true };
        match self.input.get(..4).map(|mut head| head.get_i32()) {
            Some(size) if size > 0 && size <= self.limits.request_max_bytes => {
                self.loan = memory.lend(size.into());
                self.loan.is_some()
            }
            // An impossible size ends the connection, and needs no memory for that.
            Some(_) => true,
            None => memory.is_left(),
        }
    }

    /// Whether the next frame can be looked at without reading: it is there whole, or its size is impossible.
    fn has_frame(&self) -> bool {
        let size = self.input.get(..4).map(|mut head| head.get_i32());
        size.is_some_and(|size| size < 0 || self.input.len() - 4 >= size as usize)
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, Closed> {
        let Some(size) = self.input.get(..4).map(|mut head| head.get_i32()) else { return Ok(None) };
        let limit = self.limits.request_max_bytes;
        if size < 0 || size > limit {
            return Err(Closed::FrameSize { size, limit });
        }
        if self.input.len() - 4 < size as usize {
            return Ok(None);
        }
        self.frame_seen = self.frame_seen.max(size as usize + 4);
        self.input.advance(4);
        Ok(Some(self.input.split_to(size as usize).freeze()))
    }
}

async fn returned(memory: Option<&Memory>) {
    if let Some(memory) = memory {
        memory.returned().await;
    }
}

async fn until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
