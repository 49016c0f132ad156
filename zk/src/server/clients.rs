//! Who is connected, and what is on its way to them.
//!
//! The pipeline owns the [`Client`]s. Answers leave through an unbounded channel whose weight is counted: a client
//! that asks for more while too much waits for it is cut off, so a slow reader costs a bounded amount of memory.

use super::local::ZkError;
use crate::jute::{ConnectRequest, ConnectResponse, ErrorCode, Id, OpResult, Reply, Request, WatchEvent};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A connection's number; also its watcher number in the tree.
pub(super) type ClientId = u64;

/// To whom an answer goes.
pub(super) enum Ticket {
    /// A request over TCP. The permit bounds what is read ahead; it is given back when the request is done.
    Remote { xid: i32, _permit: OwnedSemaphorePermit },
    /// A request of this process.
    Local(oneshot::Sender<Result<Reply, ZkError>>),
}

/// What leaves for a client, in this order.
pub(super) enum Out {
    /// The session is there, or is not.
    Connected(ConnectResponse),
    /// An answer over TCP.
    Reply { xid: i32, zxid: i64, result: Result<Reply, ErrorCode> },
    /// A watch that fired.
    Event(WatchEvent),
}

impl Out {
    /// About how many bytes it keeps in memory.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 160;
        match self {
            Out::Connected(_) => FIXED,
            Out::Event(event) => FIXED + event.path.len(),
            Out::Reply { result, .. } => FIXED + result.as_ref().map_or(0, reply_weight),
        }
    }
}

fn names_weight(names: &[String]) -> usize {
    names.iter().map(|name| name.len() + size_of::<String>()).sum()
}

fn reply_weight(reply: &Reply) -> usize {
    match reply {
        Reply::Data(data, _) => data.as_ref().map_or(0, |data| data.len()),
        Reply::Children(names) | Reply::Children2(names, _) => names_weight(names),
        Reply::Multi(results) => results.iter().map(result_weight).sum(),
        _ => 0,
    }
}

fn result_weight(result: &OpResult) -> usize {
    size_of::<OpResult>()
        + match result {
            OpResult::Data(data, _) => data.as_ref().map_or(0, |data| data.len()),
            OpResult::Children(names) => names_weight(names),
            _ => 0,
        }
}

/// Bytes that wait for one client and for all.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Backlog {
    /// The backlog of a new client.
    pub fn new(all: &Arc<AtomicUsize>) -> Backlog {
        Backlog { own: Arc::default(), all: all.clone() }
    }

    /// Something was queued.
    pub fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Something was sent, or thrown away.
    pub fn sub(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes waiting for this client.
    pub fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }

    /// Bytes waiting for all clients.
    pub fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

/// Where a client hears from the server. Dropping it closes the connection.
pub(super) enum Outbox {
    /// The task of a TCP connection.
    Remote { sender: UnboundedSender<Out>, backlog: Backlog },
    /// A session of this process: its answers go through tickets.
    Local {
        connected: Option<oneshot::Sender<Result<ConnectResponse, ZkError>>>,
        events: UnboundedSender<WatchEvent>,
    },
}

/// A connection.
pub(super) struct Client {
    /// Its session, 0 before there is one.
    pub session: i64,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it has proven.
    pub identities: Vec<Id>,
    /// Where it hears from us.
    pub outbox: Outbox,
    /// Requests received.
    pub received: u64,
    /// Answers and events sent.
    pub sent: u64,
}

impl Client {
    /// Queues something for the client.
    pub fn send(&mut self, out: Out) {
        self.sent += 1;
        match (&mut self.outbox, out) {
            (Outbox::Remote { sender, backlog }, out) => {
                let weight = out.weight();
                backlog.add(weight);
                if sender.send(out).is_err() {
                    backlog.sub(weight);
                }
            }
            (Outbox::Local { connected, .. }, Out::Connected(response)) => {
                if let Some(connected) = connected.take() {
                    // The caller may have given up waiting.
                    let _ = connected.send(Ok(response));
                }
            }
            (Outbox::Local { events, .. }, Out::Event(event)) => {
                // Nobody has to listen.
                let _ = events.send(event);
            }
            (Outbox::Local { .. }, Out::Reply { .. }) => {}
        }
    }

    /// Whether it lives in this process; such a client needs no pings.
    pub fn is_local(&self) -> bool {
        matches!(self.outbox, Outbox::Local { .. })
    }
}

/// What reaches the pipeline.
pub(super) enum Message {
    /// A connection wants a session.
    Connect { id: ClientId, client: Box<Client>, request: ConnectRequest },
    /// A connection asks for something, or for something that cannot be read.
    Request { id: ClientId, ticket: Ticket, request: Result<Request, ErrorCode>, received_ms: i64 },
    /// A connection is gone.
    Gone { id: ClientId },
    /// A four letter word that needs the pipeline.
    Word { word: super::admin_words::Word, answer: oneshot::Sender<String> },
    /// A snapshot was written, or was not.
    SnapshotDone(std::io::Result<()>),
    /// Finish what is queued, then end.
    Stop,
    /// End.
    Halt,
}
