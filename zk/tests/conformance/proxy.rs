//! A TCP relay between a client and its server that can be cut, or made to swallow answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the relay does with its connections.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hands everything on.
    Pass,
    /// Closes and refuses connections.
    Cut,
    /// Hands requests on, and drops the answers.
    Mute,
    /// As [`Mode::Pass`] until a multi was sent, then as [`Mode::Mute`].
    MuteMulti,
}

/// The relay. Ends with the test's runtime.
pub struct Proxy {
    pub port: u16,
    mode: Arc<watch::Sender<Mode>>,
    swallowed: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", crate::servers::free_port())).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let swallowed = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (mode.clone(), swallowed.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *shared.borrow() != Mode::Cut {
                    tokio::spawn(relay(client, server, shared.subscribe(), count.clone()));
                }
            }
        });
        Proxy { port, mode, swallowed }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Swallows answers (`mode`), and cuts the connection after `after`. Fails if there was no answer to swallow.
    pub async fn lose(&self, mode: Mode, after: Duration) {
        let before = self.swallowed.load(Ordering::SeqCst);
        self.set(mode);
        tokio::time::sleep(after).await;
        self.set(Mode::Cut);
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.set(Mode::Pass);
        assert!(self.swallowed.load(Ordering::SeqCst) > before, "no answer was lost");
    }
}

async fn relay(
    mut client: TcpStream,
    server: u16,
    mut mode: watch::Receiver<Mode>,
    swallowed: Arc<AtomicUsize>,
) {
    let now = mode.clone();
    let mut multi_sent = false;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(count) if count > 0 && server.write_all(&up[..count]).await.is_ok() => {
                    // Frame length, xid, then the kind of request: 14 is a multi.
                    multi_sent |= *now.borrow() == Mode::MuteMulti && up[8..12] == 14i32.to_be_bytes();
                }
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    let pass = match *now.borrow() {
                        Mode::Pass => true,
                        Mode::MuteMulti => !multi_sent,
                        Mode::Mute | Mode::Cut => false,
                    };
                    swallowed.fetch_add(usize::from(!pass), Ordering::SeqCst);
                    if pass && client.write_all(&down[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            () = cut(&mut mode) => return,
        }
    }
}

async fn cut(mode: &mut watch::Receiver<Mode>) {
    // An error means that the test is over.
    let _over = mode.wait_for(|mode| *mode == Mode::Cut).await;
}
