//! The null broker: the least a broker can do, and so the limit the others are held against.
//!
//! One thread, one epoll. It receives, checks the CRC of the batch, appends with one `writev` (base offset
//! patched on the way), answers; and sends batches back with `sendfile`. Nothing else: no validation, no
//! index file, no durability, no ZooKeeper, one file a partition. It answers just the requests the load
//! generator sends.

mod answers;
mod connection;
mod partition;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use connection::Connection;
use partition::Partition;

const LISTENER: u64 = u64::MAX;

/// What the null broker knows.
struct State {
    port: u16,
    dir: PathBuf,
    topics: HashMap<String, Vec<Partition>>,
}

/// Serves `port` of this machine from the empty directory `dir`, for ever.
pub fn run(port: u16, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut state = State { port, dir: dir.to_owned(), topics: HashMap::new() };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut last = 0;
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                last += 1;
                epoll::add(&poll, &socket, EventData::new_u64(last), EventFlags::IN)?;
                connections.insert(last, Connection::new(socket));
            } else if let Some(connection) = connections.get_mut(&token) {
                let waited = connection.waits_for_room();
                // A connection that ends or misbehaves takes only itself away.
                let Ok(true) = connection.run(&mut state) else {
                    connections.remove(&token);
                    continue;
                };
                if waited != connection.waits_for_room() {
                    let wanted = if waited { EventFlags::IN } else { EventFlags::OUT };
                    epoll::modify(&poll, connection.as_fd(), EventData::new_u64(token), wanted)?;
                }
            }
        }
    }
}
