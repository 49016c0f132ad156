//! Runs the embedded server on its own, so that ZooKeeper's tools can be held against it:
//! `cargo run -p ottla-zk --example server -- 127.0.0.1:2181 [data directory]`, then
//! `zkCli.sh -server 127.0.0.1:2181`. Prints the address it listens on; ends at Ctrl-C.

use ottla_zk::server::{Options, Server};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:2181".into()).parse()?;
    let data_dir = arguments.next().map(Into::into);
    let server = Server::start(Options { listen, data_dir, ..Options::default() }).await?;
    println!("listening on {}", server.local_addr());
    tokio::signal::ctrl_c().await?;
    server.stop().await?;
    Ok(())
}
