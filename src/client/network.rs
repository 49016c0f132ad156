//! How this process reaches another: over TCP, or over what a simulator puts in its place, for its thread alone.
//!
//! Invariant: outside a simulator's thread every connection is a TCP connection. Knows nothing of Kafka.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// A connection that is being made.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<DuplexStream>> + Send>>;

/// A simulated network, as seen from one of its hosts.
pub trait Dial {
    /// Connects to `host:port`.
    fn dial(&self, host: &str, port: u16) -> Dialing;
}

thread_local! {
    static SIMULATED: RefCell<Option<Arc<dyn Dial>>> = const { RefCell::new(None) };
}

/// Puts a simulated network in the place of TCP for this thread; `None` takes it away.
pub fn simulate_here(network: Option<Arc<dyn Dial>>) {
    SIMULATED.set(network);
}

/// Two ways for bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Simulated(DuplexStream),
}

/// Connects.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<Stream> {
    let simulated = SIMULATED.with_borrow(|network| network.as_ref().map(|network| network.dial(host, port)));
    match simulated {
        Some(dialing) => Ok(Stream::Simulated(dialing.await?)),
        None => {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Simulated(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Simulated(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Simulated(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Simulated(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
