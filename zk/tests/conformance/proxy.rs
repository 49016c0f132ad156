//! A TCP relay between a client and its server that can be cut, or made to swallow answers.

use std::sync::Arc;
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
}

/// The relay. Ends with the test's runtime.
pub struct Proxy {
    pub port: u16,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub async fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", crate::servers::free_port())).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let shared = mode.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *shared.borrow() != Mode::Cut {
                    tokio::spawn(relay(client, server, shared.subscribe()));
                }
            }
        });
        Proxy { port, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Runs `work` while answers are swallowed, and cuts the connection after `after`.
    pub async fn mute_then_cut(&self, after: Duration) {
        self.set(Mode::Mute);
        tokio::time::sleep(after).await;
        self.set(Mode::Cut);
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.set(Mode::Pass);
    }
}

async fn relay(mut client: TcpStream, server: u16, mut mode: watch::Receiver<Mode>) {
    let now = mode.clone();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(count) if count > 0 && server.write_all(&up[..count]).await.is_ok() => {}
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    if *now.borrow() == Mode::Pass && client.write_all(&down[..count]).await.is_err() {
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
