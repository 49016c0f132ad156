//! One connection of the null broker: a reused buffer of what came, a queue of what must go.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Buf;
use ottla::protocol::frame::Chunk;

use super::State;
use super::answers;
use crate::client::failed;

/// Read at once when nothing is known of the next frame.
const READ_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: usize = 16 << 20;
const PIECES: usize = 64;

/// A client.
pub struct Connection {
    socket: TcpStream,
    /// Bytes received and not yet handled are `inbox[start..end]`.
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    out: VecDeque<Chunk>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// A new client.
    pub fn new(socket: TcpStream) -> Connection {
        Connection { socket, inbox: vec![0; READ_BYTES], start: 0, end: 0, out: VecDeque::new() }
    }

    /// Whether the socket must take more before the client is read again.
    pub fn waits_for_room(&self) -> bool {
        !self.out.is_empty()
    }

    /// Writes what waits; if nothing does, reads once, answers all whole requests. `false` at the end.
    pub fn run(&mut self, state: &mut State) -> io::Result<bool> {
        if self.waits_for_room() {
            self.flush()?;
            return Ok(true);
        }
        let want = self.make_room()?;
        match self.socket.read(&mut self.inbox[self.end..self.end + want]) {
            Ok(0) => return Ok(false),
            Ok(count) => self.end += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
        while let Some(size) = self.frame_size()? {
            if self.end - self.start < size {
                break;
            }
            let frame = &self.inbox[self.start + 4..self.start + size];
            self.out.extend(answers::answer(state, frame)?);
            self.start += size;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        self.flush()?;
        Ok(true)
    }

    /// Size of the frame at the start, prefix included, once its prefix is there.
    fn frame_size(&self) -> io::Result<Option<usize>> {
        let Some(prefix) = self.inbox[self.start..self.end].first_chunk() else { return Ok(None) };
        match u32::from_be_bytes(*prefix) as usize {
            size if size <= FRAME_BYTES_MAX => Ok(Some(size + 4)),
            size => Err(failed(format!("a frame of {size} bytes"))),
        }
    }

    /// Makes room behind `end` and tells how much to read: the rest of the frame if that is known.
    fn make_room(&mut self) -> io::Result<usize> {
        let have = self.end - self.start;
        let want =
            self.frame_size()?.map_or(0, |size| size - have).max(READ_BYTES - have.min(READ_BYTES / 2));
        if self.end + want > self.inbox.len() {
            self.inbox.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, have);
            if have + want > self.inbox.len() {
                self.inbox.resize(have + want, 0);
            }
        }
        Ok(want)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.write_some() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_some(&mut self) -> io::Result<()> {
        let mut written = match self.out.front() {
            Some(Chunk::File(region)) => {
                let fd = region.source.fd().ok_or_else(|| failed("a region without a file"))?;
                let mut position = region.position;
                rustix::fs::sendfile(&self.socket, fd, Some(&mut position), region.len)?
            }
            _ => {
                let bytes = self.out.iter().take(PIECES).map_while(|chunk| match chunk {
                    Chunk::Bytes(bytes) => Some(IoSlice::new(bytes)),
                    Chunk::File(_) => None,
                });
                self.socket.write_vectored(&bytes.collect::<Vec<_>>())?
            }
        };
        while let Some(chunk) = self.out.front_mut() {
            let part = written.min(chunk.len());
            match chunk {
                Chunk::Bytes(bytes) => bytes.advance(part),
                Chunk::File(region) => {
                    region.position += part as u64;
                    region.len -= part;
                }
            }
            written -= part;
            if !chunk.is_empty() {
                break;
            }
            self.out.pop_front();
        }
        Ok(())
    }
}
