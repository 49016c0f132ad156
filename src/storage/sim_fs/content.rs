//! One file's bytes: what readers see, and what the disk would still have after a crash.
//!
//! Invariant: `undo` and `doomed` hold the disk's version of exactly those pages that differ from it, and share
//! no page. Knows nothing of names or of planned faults.

use std::collections::BTreeMap;

/// Bytes in a page, the unit of allocation and of loss.
pub const PAGE: u64 = 4096;
/// Bytes a disk writes wholly or not at all.
const SECTOR: usize = 512;

type Page = Box<[u8; PAGE as usize]>;

/// See the module.
pub struct Content {
    pages: BTreeMap<u64, Page>,
    len: u64,
    /// Time of the last modification, milliseconds since the epoch.
    pub modified_ms: i64,
    /// The disk's length.
    synced_len: u64,
    /// The shortest the file was since the last sync.
    low_len: u64,
    /// The disk's version of pages written since the last sync; `None` is a hole.
    undo: BTreeMap<u64, Option<Page>>,
    /// The disk's version of pages whose sync failed: no later sync writes them.
    doomed: BTreeMap<u64, Option<Page>>,
}

impl Content {
    /// An empty file.
    pub fn new(now_ms: i64) -> Content {
        Content {
            pages: BTreeMap::new(),
            len: 0,
            modified_ms: now_ms,
            synced_len: 0,
            low_len: 0,
            undo: BTreeMap::new(),
            doomed: BTreeMap::new(),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes allocated.
    pub fn used(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// Whether page `page` is allocated.
    pub fn has_page(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// Copies what there is from `position` on; holes read as zeros.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> usize {
        let count = (buffer.len() as u64).min(self.len.saturating_sub(position)) as usize;
        let mut done = 0;
        while done < count {
            let at = position + done as u64;
            let start = (at % PAGE) as usize;
            let part = (count - done).min(PAGE as usize - start);
            let target = &mut buffer[done..done + part];
            match self.pages.get(&(at / PAGE)) {
                Some(page) => target.copy_from_slice(&page[start..start + part]),
                None => target.fill(0),
            }
            done += part;
        }
        count
    }

    /// Writes bytes that lie within one page.
    pub fn write_page(&mut self, bytes: &[u8], position: u64, now_ms: i64) {
        let number = position / PAGE;
        self.mark(number);
        let start = (position % PAGE) as usize;
        let page = self.pages.entry(number).or_insert_with(|| Box::new([0; PAGE as usize]));
        page[start..start + bytes.len()].copy_from_slice(bytes);
        self.len = self.len.max(position + bytes.len() as u64);
        self.modified_ms = now_ms;
    }

    /// Cuts or extends.
    pub fn set_len(&mut self, len: u64, now_ms: i64) {
        if len < self.len {
            let first_gone = len.div_ceil(PAGE);
            let gone: Vec<u64> = self.pages.range(first_gone..).map(|(number, _)| *number).collect();
            for number in gone {
                self.mark(number);
                self.pages.remove(&number);
            }
            if !len.is_multiple_of(PAGE) && self.has_page(len / PAGE) {
                self.mark(len / PAGE);
                cut(&mut self.pages, len);
            }
        }
        self.len = len;
        self.low_len = self.low_len.min(len);
        self.modified_ms = now_ms;
    }

    /// Everything not doomed reaches the disk.
    pub fn sync(&mut self) {
        self.undo.clear();
        self.synced_len = self.len;
        self.low_len = self.len;
    }

    /// A sync failed: what was dirty is lost for good, though it still reads well.
    pub fn fail_sync(&mut self) {
        self.doomed.append(&mut self.undo);
    }

    /// Notes the disk's version of a page before its first change.
    fn mark(&mut self, number: u64) {
        if self.undo.contains_key(&number) {
            return;
        }
        let on_disk = self.doomed.remove(&number).unwrap_or_else(|| self.pages.get(&number).cloned());
        self.undo.insert(number, on_disk);
    }

    /// Becomes what the disk would have after a power loss.
    pub fn crash(&mut self, random: &mut fastrand::Rng) {
        for (number, on_disk) in std::mem::take(&mut self.doomed) {
            restore(&mut self.pages, number, on_disk);
        }
        let was_cut = self.low_len < self.synced_len;
        let cut_is_lost = was_cut && random.bool();
        // Pages wholly beyond the cut got new blocks: their old content comes back only if the cut is lost.
        let renewed = if was_cut { self.low_len.div_ceil(PAGE) } else { u64::MAX };
        for (number, on_disk) in std::mem::take(&mut self.undo) {
            if number >= renewed && cut_is_lost {
                restore(&mut self.pages, number, on_disk);
                continue;
            }
            let old = if number >= renewed { None } else { on_disk };
            match random.u8(0..4) {
                0 | 1 => {}
                2 => restore(&mut self.pages, number, old),
                _ => tear(&mut self.pages, number, old, random),
            }
        }
        let least = if was_cut { self.low_len } else { self.synced_len };
        self.len = match random.u8(0..3) {
            _ if cut_is_lost => self.synced_len,
            0 => least,
            1 => self.len,
            _ => random.u64(least..=self.len),
        };
        let first_gone = self.len.div_ceil(PAGE);
        self.pages.split_off(&first_gone);
        cut(&mut self.pages, self.len);
        self.synced_len = self.len;
        self.low_len = self.len;
    }
}

fn restore(pages: &mut BTreeMap<u64, Page>, number: u64, old: Option<Page>) {
    match old {
        Some(page) => pages.insert(number, page),
        None => pages.remove(&number),
    };
}

/// Some sectors of the page are the old ones.
fn tear(pages: &mut BTreeMap<u64, Page>, number: u64, old: Option<Page>, random: &mut fastrand::Rng) {
    let Some(page) = pages.get_mut(&number) else { return };
    let old = old.unwrap_or_else(|| Box::new([0; PAGE as usize]));
    for (new, old) in page.chunks_exact_mut(SECTOR).zip(old.chunks_exact(SECTOR)) {
        if random.bool() {
            new.copy_from_slice(old);
        }
    }
}

/// Zeros what the last page holds beyond `len`.
fn cut(pages: &mut BTreeMap<u64, Page>, len: u64) {
    if let Some(page) = pages.get_mut(&(len / PAGE)) {
        page[(len % PAGE) as usize..].fill(0);
    }
}
