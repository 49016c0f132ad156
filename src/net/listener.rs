//! Accepts connections of one listener and spreads them over the data-plane threads.
//!
//! Each data-plane thread runs its own single-threaded runtime; a connection is given to one of them in turn
//! and stays there, so a request never crosses a core (dependencies.md, section 3).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::connection::{Closed, Connection, ConnectionLimits};
use super::limits::{Refused, Slots};
use crate::api::Caller;
use crate::broker::Broker;
use crate::shutdown::Stop;

/// How long to wait after a failed `accept` (out of descriptors, usually) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The data-plane threads' runtimes, in turn.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// At least one handle is needed.
    pub fn new(handles: Vec<Handle>) -> Workers {
        assert!(!handles.is_empty(), "a broker has at least one data-plane thread");
        Workers { handles, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

/// What every connection of a listener shares.
pub struct Listener {
    /// Name in `listeners`, for example `PLAINTEXT`.
    pub name: Arc<str>,
    /// The bound socket.
    pub socket: TcpListener,
    /// The broker that answers.
    pub broker: Arc<Broker>,
    /// Connection places, shared by all listeners.
    pub slots: Arc<Slots>,
    /// This listener's place among their limits.
    pub place: usize,
    /// Limits of each connection.
    pub limits: ConnectionLimits,
    /// Where connections run.
    pub workers: Arc<Workers>,
    /// Ends accepting, and the connections.
    pub stop: Stop,
    /// Socket buffers, when configured otherwise than "as the system likes" (-1).
    pub buffers: SocketBuffers,
}

/// `socket.send.buffer.bytes` and `socket.receive.buffer.bytes`; `None` leaves the size to the system, which
/// adapts it to the connection.
#[derive(Copy, Clone, Debug, Default)]
pub struct SocketBuffers {
    /// SO_SNDBUF.
    pub send: Option<usize>,
    /// SO_RCVBUF.
    pub receive: Option<usize>,
}

impl Listener {
    /// Accepts until the stop is asked for.
    pub async fn run(mut self) {
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = self.stop.requested() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer).await,
                Err(error) => {
                    tracing::warn!(listener = %self.name, %error,
                        "could not accept a connection; trying again (raise the open-file limit if this persists)");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let wait = self.slots.arrived(self.place, self.broker.clock.now());
        if wait > 0 {
            tracing::debug!(listener = %self.name, %peer, wait, "max.connection.creation.rate is exceeded; waiting");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait as u64)) => {}
                _ = self.stop.requested() => return,
            }
        }
        let permit = loop {
            match self.slots.take(self.place, peer.ip().to_canonical()) {
                Ok(permit) => break permit,
                Err(Refused::Address { limit }) => {
                    tracing::info!(%peer, limit, "refused a connection: max.connections.per.ip is reached");
                    return;
                }
                Err(Refused::Full) => tokio::select! {
                    _ = self.slots.freed(self.place) => {}
                    _ = self.stop.requested() => return,
                },
            }
        };
        let socket = match self.prepare(stream) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection ended before it was served");
                return;
            }
        };
        let caller = Caller::new(self.name.clone(), peer);
        let (broker, limits, stop) = (self.broker.clone(), self.limits.clone(), self.stop.clone());
        self.workers.next().spawn(async move {
            let _permit = permit;
            let closed = match TcpStream::from_std(socket) {
                Ok(stream) => Connection::new(stream, broker, caller, limits, stop).run().await,
                Err(error) => Closed::Io(error),
            };
            report(peer, &closed);
        });
    }

    fn prepare(&self, stream: TcpStream) -> io::Result<std::net::TcpStream> {
        let socket = socket2::Socket::from(stream.into_std()?);
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        if let Some(bytes) = self.buffers.send {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.buffers.receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(socket.into())
    }
}

fn report(peer: SocketAddr, closed: &Closed) {
    match closed {
        Closed::ByPeer | Closed::Stopping | Closed::Idle => {
            tracing::debug!(%peer, "connection closed: {closed}")
        }
        Closed::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            tracing::debug!(%peer, "connection closed: {closed}");
        }
        closed => tracing::warn!(%peer, "connection closed: {closed}"),
    }
}
