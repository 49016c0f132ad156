//! The observer: a thread that asks ZooKeeper for the cluster and the kernel for the brokers' memory.
//!
//! The last view stays when ZooKeeper is away; it says how old it is. Knows nothing of faults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::process::rss_mib;
use crate::zookeeper::{Reader, View};

const EVERY: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Seen {
    view: Option<(Instant, View)>,
    pids: BTreeMap<usize, u32>,
    rss_max: BTreeMap<usize, f64>,
    rss_last: BTreeMap<usize, f64>,
}

/// The thread's handle; the thread ends with it.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch the partitions of `topics`.
    pub fn start(servers: Vec<SocketAddr>, topics: Vec<String>) -> Watch {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (theirs, asked) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut reader: Option<Reader> = None;
            while !asked.load(Ordering::Relaxed) {
                if reader.is_none() {
                    reader = Reader::open(&servers).ok();
                }
                let asked_at = Instant::now();
                let view = reader.as_mut().map(|reader| reader.view(&topics));
                let mut seen = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                match view {
                    Some(Ok(view)) => seen.view = Some((asked_at, view)),
                    // The session is lost: the next round opens another.
                    Some(Err(_)) => reader = None,
                    None => {}
                }
                let now: Vec<_> =
                    seen.pids.iter().filter_map(|(id, pid)| Some((*id, rss_mib(*pid)?))).collect();
                for (id, rss) in now {
                    let max = seen.rss_max.entry(id).or_insert(rss);
                    *max = max.max(rss);
                    seen.rss_last.insert(id, rss);
                }
                drop(seen);
                thread::sleep(EVERY);
            }
        });
        Watch { seen, stop, thread: Some(thread) }
    }

    /// Tells it whose memory to look at, by broker id.
    pub fn processes(&self, pids: BTreeMap<usize, u32>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).pids = pids;
    }

    /// The cluster, unless what is known of it is older than `age`.
    pub fn view(&self, age: Duration) -> Option<View> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.view.as_ref().filter(|(at, _)| at.elapsed() <= age).map(|(_, view)| view.clone())
    }

    /// Greatest and last resident memory of each broker, in MiB.
    pub fn memory(&self) -> BTreeMap<usize, (f64, f64)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = |id: &usize| seen.rss_last.get(id).copied().unwrap_or(0.0);
        seen.rss_max.iter().map(|(id, max)| (*id, (*max, last(id)))).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}
