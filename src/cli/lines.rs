//! Standard input in blocks of whole lines, read ahead by a thread of its own.
//!
//! At most a few blocks wait, and a line has a limit: memory is bounded. Knows nothing of records.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// Bytes read at once.
const BLOCK: usize = 256 << 10;
/// Blocks read ahead.
const AHEAD: usize = 4;
/// The longest line taken.
const LINE_MAX: usize = 64 << 20;

/// Reads standard input on a thread of its own: blocks that end with a line's end, the last perhaps without.
pub fn read_ahead() -> mpsc::Receiver<Result<Bytes, String>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut rest = BytesMut::new();
        loop {
            let start = rest.len();
            if start > LINE_MAX {
                let text = format!("a line is longer than {LINE_MAX} bytes; split it");
                return drop(sender.blocking_send(Err(text)));
            }
            rest.resize(start + BLOCK, 0);
            let block = match input.read(&mut rest[start..]) {
                Ok(0) => {
                    rest.truncate(start);
                    if !rest.is_empty() {
                        drop(sender.blocking_send(Ok(rest.freeze())));
                    }
                    return;
                }
                Ok(count) => {
                    rest.truncate(start + count);
                    match rest[start..].iter().rposition(|byte| *byte == b'\n') {
                        Some(end) => rest.split_to(start + end + 1).freeze(),
                        None => continue,
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                    rest.truncate(start);
                    continue;
                }
                Err(error) => {
                    let text = format!("cannot read standard input: {error}; check what is piped in");
                    return drop(sender.blocking_send(Err(text)));
                }
            };
            if sender.blocking_send(Ok(block)).is_err() {
                return;
            }
        }
    });
    receiver
}
