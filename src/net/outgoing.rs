//! The bytes a connection still has to send: slices of memory and regions of files, in order.
//!
//! Memory goes out by `writev`, many answers in one call. Regions of at least [`SENDFILE_MIN`] bytes go from the
//! page cache to the socket by `sendfile`; smaller ones are read into memory when they are queued, because
//! below that size the copy is cheaper than the extra call (performance.md, section 3).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::protocol::frame::{Chunk, FileRegion};

/// Regions smaller than this are copied.
const SENDFILE_MIN: usize = 64 * 1024;
/// Slices in one `writev`.
const SLICES_MAX: usize = 64;

/// Bytes waiting for the socket.
#[derive(Default)]
pub struct Outgoing {
    chunks: VecDeque<Chunk>,
}

impl Outgoing {
    /// Nothing queued?
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Queues a chunk. A small file region is read now; a failing read is the caller's to report, because a
    /// frame whose head is already queued cannot be taken back: the connection must close.
    pub fn push(&mut self, chunk: Chunk) -> io::Result<()> {
        match chunk {
            Chunk::Bytes(bytes) if bytes.is_empty() => {}
            Chunk::File(region) if region.len == 0 => {}
            Chunk::File(region) if region.len < SENDFILE_MIN || region.source.fd().is_none() => {
                let mut copy = BytesMut::zeroed(region.len);
                region.source.read_exact_at(&mut copy, region.position)?;
                self.chunks.push_back(Chunk::Bytes(copy.freeze()));
            }
            chunk => self.chunks.push_back(chunk),
        }
        Ok(())
    }

    /// Sends as much as the socket takes now. `Ok(true)` when nothing is left.
    pub fn try_send(&mut self, stream: &TcpStream) -> io::Result<bool> {
        loop {
            match self.chunks.front_mut() {
                None => return Ok(true),
                Some(Chunk::Bytes(_)) => match self.send_memory(stream) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                },
                Some(Chunk::File(region)) => match send_region(stream, region) {
                    Ok(()) if region.len == 0 => {
                        self.chunks.pop_front();
                    }
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    fn send_memory(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for chunk in self.chunks.iter().take(SLICES_MAX) {
            let Chunk::Bytes(bytes) = chunk else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let mut sent = stream.try_write_vectored(&slices[..count])?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while sent > 0 {
            let Some(Chunk::Bytes(bytes)) = self.chunks.front_mut() else { break };
            let step = sent.min(bytes.len());
            bytes.advance(step);
            sent -= step;
            if bytes.is_empty() {
                self.chunks.pop_front();
            }
        }
        Ok(())
    }
}

fn send_region(stream: &TcpStream, region: &mut FileRegion) -> io::Result<()> {
    let sent = stream.try_io(Interest::WRITABLE, || {
        let file = region.source.fd().ok_or(io::ErrorKind::Unsupported)?;
        let mut position = region.position;
        Ok(rustix::fs::sendfile(stream.as_fd(), file, Some(&mut position), region.len)?)
    })?;
    if sent == 0 {
        // The file is shorter than the log said: sending less would shift every later answer.
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a log segment ended before its size"));
    }
    region.position += sent as u64;
    region.len -= sent;
    Ok(())
}
