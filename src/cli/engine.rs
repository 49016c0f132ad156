//! What a container asks the Docker engine about itself, over its socket: which port of the host leads to one of its own.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde_json::Value;

use crate::config::environment::mapped::Mapped;

/// How long the engine may take to be asked, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Its answer is at most this large.
const ANSWER_MAX: usize = 1 << 20;
/// Of what it says when it refuses, this much is told.
const TOLD_MAX: usize = 200;

/// The port of the host that leads to the TCP port `port` of the container with this name or id. The error ends with what to do.
pub fn mapped_port(socket: &Path, container: &str, port: u16) -> Result<Mapped, String> {
    if !std::fs::metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        return Ok(Mapped::NoEngine);
    }
    // No container has another name, and it becomes a part of a path.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !container.starts_with(|c: char| c.is_ascii_alphanumeric()) || !container.bytes().all(is_part) {
        return Ok(Mapped::Nowhere);
    }
    let at = socket.display();
    let answer = ask(socket, container).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "{at} does not let this process in, which runs as user {}: {error}; set `user: \"0\"` for the service",
            geteuid().as_raw()
        ),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{at} does not answer within {} s; do not mount it", PATIENCE.as_secs())
        }
        _ => format!("{at} does not answer: {error}; do not mount it"),
    })?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or("");
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match code {
        Some("404") => Ok(Mapped::Nowhere),
        Some("200") => {
            let all: Value = serde_json::from_str(body)
                .map_err(|error| format!("{at} answers what is no JSON: {error}; do not mount it"))?;
            Ok(published(&all, port).map_or(Mapped::Nowhere, Mapped::To))
        }
        _ => {
            let told: String = format!("{status} {}", body.trim()).chars().take(TOLD_MAX).collect();
            Err(format!("{at} answers {told:?}; do not mount it"))
        }
    }
}

/// The first port of the host, as `docker port` prints them.
fn published(all: &Value, port: u16) -> Option<u16> {
    let bound = all.get("NetworkSettings")?.get("Ports")?.get(format!("{port}/tcp"))?;
    bound.get(0)?.get("HostPort")?.as_str()?.parse().ok().filter(|port| *port != 0)
}

/// All that the engine answers; HTTP/1.0 ends it with the connection, and never in chunks.
fn ask(socket: &Path, container: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = format!("GET /containers/{container}/json HTTP/1.0\r\nHost: docker\r\n\r\n");
    stream.write_all(asked.as_bytes())?;
    let deadline = Instant::now() + PATIENCE;
    let (mut answer, mut part) = (Vec::new(), [0; 8192]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(answer),
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > ANSWER_MAX {
            return Err(io::Error::other(format!("more than {ANSWER_MAX} bytes are too much")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What comes of an engine that answers so, and what it was asked.
    fn with(answer: &[u8]) -> (Result<Mapped, String>, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let answer = answer.to_vec();
        let engine = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a question");
                asked.push(byte[0]);
            }
            // Who has read enough goes.
            let _ = stream.write_all(&answer);
            String::from_utf8(asked).expect("text")
        });
        let said = mapped_port(&socket, "0123abc", 9092);
        (said, engine.join().expect("it ends"))
    }

    fn answered(status: &str, body: &str) -> Result<Mapped, String> {
        with(format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}").as_bytes()).0
    }

    fn ports(ports: &str) -> Result<Mapped, String> {
        answered("200 OK", &format!("{{\"NetworkSettings\":{{\"Ports\":{ports}}}}}"))
    }

    #[test]
    fn the_engine_is_asked_for_the_container() {
        let (_, asked) = with(b"HTTP/1.0 404 Not Found\r\n\r\n{}");
        assert_eq!(asked, "GET /containers/0123abc/json HTTP/1.0\r\nHost: docker\r\n\r\n");
    }

    #[test]
    fn the_first_port_of_the_host_counts() {
        let two =
            r#"{"9092/tcp":[{"HostIp":"0.0.0.0","HostPort":"32768"},{"HostIp":"::","HostPort":"32769"}]}"#;
        assert_eq!(ports(two), Ok(Mapped::To(32768)));
    }

    #[test]
    fn what_is_not_mapped_is_no_error() {
        let unmapped = [
            "null",
            "{}",
            r#"{"9092/tcp":null}"#,
            r#"{"9092/tcp":[]}"#,
            r#"{"9093/tcp":[{"HostPort":"1"}]}"#,
            r#"{"9092/tcp":[{"HostPort":""}]}"#,
        ];
        for body in unmapped {
            assert_eq!(ports(body), Ok(Mapped::Nowhere), "{body}");
        }
        assert_eq!(answered("404 Not Found", r#"{"message":"No such container"}"#), Ok(Mapped::Nowhere));
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("docker.sock");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        assert_eq!(mapped_port(&socket, "a/../b\r\nX: y", 9092), Ok(Mapped::Nowhere));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let told = |answer: Result<Mapped, String>| answer.expect_err("no answer");
        assert!(told(answered("500 Oh", "no")).contains("docker.sock answers \"HTTP/1.0 500 Oh no\""));
        assert!(told(answered("200 OK", "{")).contains("answers what is no JSON"));
        assert!(told(with(b"").0).contains("docker.sock answers \""));
        let long = told(with(&vec![b'x'; ANSWER_MAX + 10_000]).0);
        assert!(long.contains("1048576 bytes are too much"), "{long}");
    }

    #[test]
    fn what_is_no_socket_is_no_engine() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("docker.sock");
        assert_eq!(mapped_port(&path, "a", 9092), Ok(Mapped::NoEngine));
        std::fs::write(&path, "").expect("a file");
        assert_eq!(mapped_port(&path, "a", 9092), Ok(Mapped::NoEngine));
        std::fs::remove_file(&path).expect("ours");
        drop(UnixListener::bind(&path).expect("a socket"));
        let refused = mapped_port(&path, "a", 9092).expect_err("nobody listens");
        assert!(refused.contains("docker.sock does not answer: Connection refused"), "{refused}");
    }
}
