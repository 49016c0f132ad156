//! The first session with ZooKeeper, and while there is none a word on why: which server, what is wrong with it, how long it is still
//! waited for, and what to look at. A start that waits in silence cannot be told from one that hangs.
//!
//! The session itself is the store's. What is wrong is found by asking each server beside it, with the admin word `srvr`.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use ottla_zk::store::{Options, Remote, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// A healthy ensemble lets a broker in well before.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// Between words.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a server may take to say something.
const ANSWER: Duration = Duration::from_secs(2);
/// Where a connect string names no port.
const PORT: &str = "2181";
/// An answer to `srvr` is shorter; of anything else the beginning will do.
const ANSWER_MAX: usize = 4096;

/// Opens a session. `named` is where the operator wrote the connect string, for the words.
pub async fn connect(options: Options, named: &str) -> Result<Remote, String> {
    let servers: Vec<String> = options.servers().into_iter().map(str::to_owned).collect();
    let begun = Instant::now();
    let end = begun + options.connection_timeout;
    let connected = tokio::select! {
        connected = Remote::connect(options) => connected,
        never = tell(&servers, end, named) => match never {},
    };
    match connected {
        Ok(store) => {
            if begun.elapsed() > FIRST_WORD {
                tracing::info!("connected to ZooKeeper after {} s", begun.elapsed().as_secs());
            }
            Ok(store)
        }
        Err(error @ StoreError::Unreachable { .. }) => Err(format!("{error}: {}", states(&servers).await)),
        Err(error) => Err(error.to_string()),
    }
}

async fn tell(servers: &[String], end: Instant, named: &str) -> Infallible {
    tokio::time::sleep(FIRST_WORD).await;
    loop {
        let states = states(servers).await;
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        tracing::warn!(
            "ZooKeeper does not let this broker in: {states}; trying for {left} s more; look at {named}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is wrong with each, in their order.
async fn states(servers: &[String]) -> String {
    let asked: Vec<_> = servers
        .iter()
        .map(|server| {
            let server = server.clone();
            tokio::spawn(async move { format!("{server} {}", state(&server).await) })
        })
        .collect();
    let mut told = Vec::new();
    for asked in asked {
        told.extend(asked.await);
    }
    told.join(", ")
}

async fn state(server: &str) -> String {
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { server.to_owned() } else { format!("{server}:{PORT}") };
    let address = match timeout(ANSWER, lookup_host(&place)).await {
        Ok(Ok(mut addresses)) => addresses.next(),
        Ok(Err(error)) => return format!("is a name that does not resolve ({error})"),
        Err(_) => return "is a name that no name server tells the address of".to_owned(),
    };
    let Some(address) = address else { return "is a name without an address".to_owned() };
    let mut stream = match timeout(ANSWER, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            return format!("refuses connections (at {address}: nothing listens there)");
        }
        Ok(Err(error)) => return format!("cannot be reached at {address} ({error})"),
        Err(_) => return format!("is silent (at {address}: no such machine, or a firewall)"),
    };
    match timeout(ANSWER, word(&mut stream)).await {
        Ok(answer) => meaning(&answer).to_owned(),
        Err(_) => format!("takes connections at {address} and says nothing"),
    }
}

/// What it answers to `srvr`; empty if it hangs up.
async fn word(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    if stream.write_all(b"srvr").await.is_ok() {
        // An answer that is cut off says as much as the part that came.
        let _cut_off = stream.take(ANSWER_MAX as u64).read_to_end(&mut answer).await;
    }
    answer
}

fn meaning(answer: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(answer);
    if answer.is_empty() {
        "hangs up"
    } else if text.contains("not currently serving requests") {
        "is up and serves nobody yet (a majority of its ensemble is missing)"
    } else if text.starts_with("Zookeeper version") || text.contains("not in the whitelist") {
        "is up, but gave no session yet"
    } else {
        "answers, but not as ZooKeeper does"
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.expect("a word");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        });
        at
    }

    #[tokio::test]
    async fn each_server_is_told_by_what_is_wrong_with_it() {
        let refusing = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let refused = refusing.local_addr().expect("an address").to_string();
        drop(refusing);
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let silent = mute.local_addr().expect("an address").to_string();
        let alone = server("This ZooKeeper instance is not currently serving requests\n").await;
        let up = server("Zookeeper version: 3.9.3\n").await;
        let other = server("HTTP/1.1 400 Bad Request\r\n").await;
        let nowhere = "nowhere.invalid:2181".to_owned();
        let servers = [nowhere, refused.clone(), silent.clone(), alone.clone(), up.clone(), other.clone()];
        let told = states(&servers).await;
        for expected in [
            "nowhere.invalid:2181 is a name that ".to_owned(),
            format!("{refused} refuses connections"),
            format!("{silent} takes connections at {silent} and says nothing"),
            format!("{alone} is up and serves nobody yet"),
            format!("{up} is up, but gave no session yet"),
            format!("{other} answers, but not as ZooKeeper does"),
        ] {
            assert!(told.contains(&expected), "{expected}: {told}");
        }
    }
}
