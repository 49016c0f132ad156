//! The same story told to every server we speak with: answers must be the same, line by line.

#![expect(clippy::unwrap_used, reason = "a test says what it expected by panicking")]

mod kafka;
mod proxy;
mod secured;
mod servers;
mod transcript;

use servers::AnyServer;
use transcript::Door;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_agree() {
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    for mut server in AnyServer::all().await {
        if let AnyServer::Embedded(embedded) = &server {
            let door = Door::Local(embedded.server.as_ref().unwrap().handle());
            told.push(("embedded, same process", transcript::tell(&door).await));
        }
        let door = Door::Tcp { port: server.port(), chroot: format!("/story-{}", fastrand::u64(..)) };
        let lines = transcript::tell(&door).await;
        server.kill();
        let server = server.restart().await;
        assert_eq!(transcript::what_was_kept(&door).await, lines[lines.len() - 2], "{}", server.name());
        told.push((server.name(), lines));
    }
    let (first, lines) = &told[0];
    assert!(lines.len() > 60, "the story is complete");
    for (other, other_lines) in &told[1..] {
        for (ours, theirs) in lines.iter().zip(other_lines) {
            assert_eq!(ours, theirs, "{first} (left) and {other} (right) differ");
        }
        assert_eq!(lines.len(), other_lines.len());
    }
    println!("{} lines agree: {:?}", lines.len(), told.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}
