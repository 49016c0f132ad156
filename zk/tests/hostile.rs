//! Connections that do not play by the rules, over a plain socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use ottla_zk::jute::{
    ConnectRequest, ConnectResponse, ErrorCode, Field, OpCode, PathWatch, Reader, ReplyHeader, Request,
    Writer,
};
use ottla_zk::server::{Options, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn frame(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    let start = writer.begin_frame();
    write(&mut writer);
    writer.end_frame(start);
    writer.into_bytes()
}

fn hello(last_zxid_seen: i64, session_id: i64) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout_ms: 10_000,
        session_id,
        password: None,
        read_only: Some(false),
    };
    frame(|writer| request.write(writer))
}

fn request(xid: i32, op: i32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    frame(|writer| {
        xid.write(writer);
        op.write(writer);
        body(writer);
    })
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn session(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(&hello(0, 0)).unwrap();
    let response = ConnectResponse::read(&mut Reader::new(&receive(&mut stream))).unwrap();
    assert!(response.session_id != 0 && response.timeout_ms == 10_000);
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_))
}

fn error_of(bytes: &[u8]) -> i32 {
    ReplyHeader::read(&mut Reader::new(bytes)).unwrap().error
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs a check that uses blocking sockets beside the server.
async fn against_server(options: Options, check: impl FnOnce(&Server) + Send + 'static) {
    let server = Server::start(options).await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        check(&server);
        server
    });
    server.await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn lengths_beyond_the_limit_close_the_connection() {
    against_server(Options::default(), |server| {
        for length in [0x10_0000_u32, 0x7fff_ffff, 0xffff_ffff] {
            let mut stream = session(server);
            stream.write_all(&length.to_be_bytes()).unwrap();
            assert!(is_closed(&mut stream), "{length:#x}");
        }
        session(server);
    })
    .await;
}

#[tokio::test]
async fn promised_bytes_cost_nothing_until_they_come() {
    against_server(Options::default(), |server| {
        let before = resident_kib();
        let mut streams: Vec<TcpStream> = (0..200).map(|_| session(server)).collect();
        for stream in &mut streams {
            stream.write_all(&0xf_ffff_u32.to_be_bytes()).unwrap();
            stream.write_all(&[0; 100]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 40_000, "200 promises of 1 MiB cost {grown} KiB");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_and_the_connection_goes_on() {
    against_server(Options::default(), |server| {
        let mut stream = session(server);
        let lies = request(1, OpCode::Create.number(), |writer| writer.raw(&[0x7f; 20]));
        stream.write_all(&lies).unwrap();
        assert_eq!(error_of(&receive(&mut stream)), ErrorCode::MarshallingError.number());
        let exists = Request::Exists(PathWatch { path: "/".into(), watch: false });
        stream.write_all(&request(2, OpCode::Exists.number(), |writer| exists.encode(writer))).unwrap();
        assert_eq!(error_of(&receive(&mut stream)), 0);
        stream.write_all(&request(3, 4711, |_| {})).unwrap();
        assert_eq!(error_of(&receive(&mut stream)), ErrorCode::Unimplemented.number());
        assert!(is_closed(&mut stream));
    })
    .await;
}

#[tokio::test]
async fn sessions_cannot_be_guessed() {
    against_server(Options::default(), |server| {
        let mut stream = connect(server);
        stream.write_all(&hello(0, 0x0100_0000_0000_0001)).unwrap();
        let response = ConnectResponse::read(&mut Reader::new(&receive(&mut stream))).unwrap();
        assert_eq!((response.session_id, response.timeout_ms), (0, 0));
        assert!(is_closed(&mut stream));
        let mut from_the_future = connect(server);
        from_the_future.write_all(&hello(1 << 40, 0)).unwrap();
        assert!(is_closed(&mut from_the_future));
        let mut unproven = session(server);
        let auth = request(-4, OpCode::Auth.number(), |writer| {
            0i32.write(writer);
            writer.string("sasl");
            writer.string("x");
        });
        unproven.write_all(&auth).unwrap();
        assert_eq!(error_of(&receive(&mut unproven)), ErrorCode::AuthFailed.number());
        assert!(is_closed(&mut unproven));
    })
    .await;
}

#[tokio::test]
async fn random_bytes_do_not_stop_the_server() {
    against_server(Options::default(), |server| {
        let seed = 0x5eed_0002;
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..300 {
            let mut stream = if random.bool() { session(server) } else { connect(server) };
            let body: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
            let op = random.i32(-12..110);
            let bytes = if random.bool() { request(round, op, |writer| writer.raw(&body)) } else { body };
            // The server may have closed already.
            let _ = stream.write_all(&bytes);
        }
        session(server);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let options = Options { max_backlog_bytes: 1 << 20, ..Options::default() };
    against_server(options, |server| {
        let mut stream = session(server);
        let data = vec![7; 900_000];
        let create = request(1, OpCode::Create.number(), |writer| {
            writer.string("/big");
            writer.buffer(Some(&data));
            vec![ottla_zk::jute::Acl::open()].write(writer);
            0i32.write(writer);
        });
        stream.write_all(&create).unwrap();
        assert_eq!(error_of(&receive(&mut stream)), 0);
        let get = Request::GetData(PathWatch { path: "/big".into(), watch: false });
        let get = request(2, OpCode::GetData.number(), |writer| get.encode(writer));
        let before = resident_kib();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        // Until the connection is closed, or nothing more is taken from it.
        while stream.write_all(&get.repeat(100)).is_ok() {}
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 60_000, "unread answers cost {grown} KiB");
        session(server);
    })
    .await;
}

#[tokio::test]
async fn words_are_answered_as_zookeeper_does() {
    against_server(Options::default(), |server| {
        let _held = session(server);
        let ask = |word: &str| {
            let mut stream = connect(server);
            stream.write_all(word.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(ask("ruok"), "imok");
        assert_eq!(ask("isro"), "rw");
        assert!(ask("srvr").contains("\nMode: standalone\nNode count: 4\n"), "{}", ask("srvr"));
        assert!(ask("mntr").contains("zk_global_sessions\t1\n"));
        assert!(ask("cons").contains("sid=0x"));
        assert!(ask("stat").contains("Clients:\n /127.0.0.1:"));
        assert!(ask("conf").contains("tickTime=2000\n"));
        assert!(ask("dump").contains("Sessions (1):"));
        assert!(ask("envi").starts_with("Environment:\n"));
        assert_eq!(ask("srst"), "srst is not executed because it is not in the whitelist.\n");
    })
    .await;
}
