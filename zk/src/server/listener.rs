//! Accepts connections, up to a limit.

use super::clients::{ClientId, Message};
use super::{Options, connection};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::warn;

/// After an accept that failed (mostly: no file descriptors left) the listener waits a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What went wrong at the door, for the four letter words.
#[derive(Default, Debug)]
pub(super) struct Counts {
    /// Connections beyond the limit.
    pub rejected: AtomicU64,
    /// Frames beyond `jute_maxbuffer`.
    pub oversized: AtomicU64,
}

/// What all connections share.
pub(super) struct Shared {
    pub options: Options,
    pub local_addr: SocketAddr,
    pub pipeline: Sender<Message>,
    /// Bytes that wait for all clients.
    pub backlog: Arc<AtomicUsize>,
    /// Bytes of requests that may be read ahead, over all connections.
    pub in_flight: Arc<Semaphore>,
    pub counts: Arc<Counts>,
    pub start: Instant,
    pub next_client: AtomicU64,
}

impl Shared {
    /// Gives the pipeline something to do.
    pub fn tell(&self, message: Message) -> io::Result<()> {
        let stopped = |_| io::Error::new(io::ErrorKind::ConnectionAborted, "the server has stopped");
        self.pipeline.send(message).map_err(stopped)
    }

    /// Milliseconds of a clock that never goes back, the pipeline's.
    pub fn steady_ms(&self) -> i64 {
        self.start.elapsed().as_millis() as i64
    }

    /// A number for a new connection.
    pub fn new_client(&self) -> ClientId {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// A frame was too long.
    pub fn note_oversized(&self) {
        self.counts.oversized.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accepts until it is aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.options.max_client_connections));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            shared.counts.rejected.fetch_add(1, Ordering::Relaxed);
            let most = shared.options.max_client_connections;
            warn!(client = %address, most, "too many connections, refusing one more");
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let id = shared.new_client();
            connection::serve(stream, address, id, shared).await;
            drop(place);
        });
    }
}
