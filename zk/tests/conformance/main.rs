//! The same story told to every server we speak with: answers must be the same, line by line.

mod kafka;
mod servers;
mod transcript;

use servers::JavaServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_agree() {
    let Some(java) = JavaServer::start() else { return };
    let real = transcript::tell(java.port).await;
    for line in &real {
        println!("{line}");
    }
}
