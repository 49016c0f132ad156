//! The wires: what hosts hand to the world, connections as byte pipes, and a broker's door.
//!
//! Bytes of one connection arrive in order; connections know no order among each other. How long they take, and
//! whether they arrive, is the world's to say. Frames are whole: the pipe's end here cuts the stream into them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla::api::{Caller, Reply as Answer, dispatch};
use ottla::broker::Broker;
use ottla::client::network::{Dial, Dialing};
use ottla_zk::jute::{ErrorCode, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, split};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// Port of broker `id`: this plus the id.
pub const PORTS: u16 = 9_000;
/// Listener of all brokers.
pub const LISTENER: &str = "PLAINTEXT";
/// Bytes that a pipe holds.
const PIPE: usize = 1 << 20;
/// No frame here is longer.
const FRAME_MAX: usize = 64 << 20;

/// What a host wants of the world.
pub enum Out {
    /// A request to ZooKeeper.
    Zk {
        session: i64,
        watcher: u64,
        request: Box<Request>,
        answer: oneshot::Sender<Result<Reply, ErrorCode>>,
    },
    /// A connection.
    Dial { port: u16, answer: oneshot::Sender<io::Result<DuplexStream>> },
    /// A request on a connection.
    Frame { conn: u64, bytes: Bytes },
    /// The dialling side let a connection go.
    Hangup { conn: u64 },
    /// The answer to a request; none closes the connection.
    Served { conn: u64, bytes: Option<Bytes> },
}

/// Where a host's tasks put it.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<Out>>>);

impl Outbox {
    pub fn push(&self, out: Out) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(out);
    }

    pub fn drain(&self) -> Vec<Out> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The network as a host sees it.
pub struct Dialer(pub Outbox);

impl Dial for Dialer {
    fn dial(&self, _host: &str, port: u16) -> Dialing {
        let (answer, waiting) = oneshot::channel();
        self.0.push(Out::Dial { port, answer });
        Box::pin(
            async move { waiting.await.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionRefused.into())) },
        )
    }
}

/// Makes a connection's pipe on the dialling host: gives the end for its client, and where answers go.
pub fn attach(runtime: &Runtime, conn: u64, outbox: &Outbox) -> (DuplexStream, mpsc::UnboundedSender<Bytes>) {
    let (near, far) = tokio::io::duplex(PIPE);
    let (from_client, mut to_client) = split(far);
    let (answers, mut arrived) = mpsc::unbounded_channel::<Bytes>();
    let outbox = outbox.clone();
    runtime.spawn(async move {
        let mut from_client = from_client;
        while let Ok(bytes) = read_frame(&mut from_client).await {
            outbox.push(Out::Frame { conn, bytes });
        }
        outbox.push(Out::Hangup { conn });
    });
    runtime.spawn(async move {
        while let Some(bytes) = arrived.recv().await {
            if to_client.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The client may be gone already.
        let _gone = to_client.shutdown().await;
    });
    (near, answers)
}

async fn read_frame(from: &mut ReadHalf<DuplexStream>) -> io::Result<Bytes> {
    let size = from.read_i32().await?;
    let size = usize::try_from(size).ok().filter(|size| *size <= FRAME_MAX);
    let mut bytes = vec![0; size.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut bytes).await?;
    Ok(Bytes::from(bytes))
}

/// Serves one request as a broker's connection does.
pub async fn serve(broker: Arc<Broker>, conn: u64, frame: Bytes, outbox: Outbox) {
    let caller = Caller::new(LISTENER.into(), SocketAddr::from(([127, 0, 0, 1], 1)));
    let frame = match dispatch(&broker, &caller, frame).await {
        Answer::Respond(frame) => Some(frame),
        Answer::Later(later) => later.await,
        Answer::Nothing => return,
        Answer::Close(_) => None,
    };
    let bytes = frame.and_then(|frame| frame.to_bytes().ok());
    outbox.push(Out::Served { conn, bytes });
}
