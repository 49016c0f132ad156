//! The directory tree of the faulty file system: what callers see, and what a crash leaves of it.
//!
//! Directories are nodes of their own, so renaming one moves everything below it at once. Every change is
//! applied to the visible names and queued; syncing a directory moves its queued changes (and those they
//! depend on) to the durable names. Knows nothing of planned faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::content::Content;
use crate::storage::fs::Entry;

/// Number of a file or directory, never used again.
pub type Node = u64;

const ROOT: Node = 0;
/// Queued changes beyond which the oldest reach the disk by themselves, as a journal's would.
const MAX_QUEUED: usize = 4096;

enum Inode {
    File { content: Content, handles: u32, locked: bool },
    Dir { seen: BTreeMap<String, Node>, durable: BTreeMap<String, Node> },
}

/// A change of names: at most one place loses a name, at most one gains one.
struct Change {
    remove: Option<(Node, String)>,
    insert: Option<(Node, String, Node)>,
}

impl Change {
    fn dirs(&self) -> impl Iterator<Item = Node> {
        let removed = self.remove.as_ref().map(|(dir, _)| *dir);
        let inserted = self.insert.as_ref().map(|(dir, _, _)| *dir);
        removed.into_iter().chain(inserted)
    }
}

/// See the module.
pub struct Names {
    nodes: BTreeMap<Node, Inode>,
    next: Node,
    queued: Vec<Change>,
}

impl Names {
    /// An empty root directory.
    pub fn new() -> Names {
        let root = Inode::Dir { seen: BTreeMap::new(), durable: BTreeMap::new() };
        Names { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, queued: Vec::new() }
    }

    /// The node a path names.
    pub fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for name in components(path)? {
            node = *self.dir(node)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The content of a file; `IsADirectory` for a directory.
    pub fn file_mut(&mut self, node: Node) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&node) {
            Some(Inode::File { content, .. }) => Ok(content),
            Some(Inode::Dir { .. }) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// All files, also those without a name.
    pub fn files(&self) -> impl Iterator<Item = &Content> {
        self.nodes.values().filter_map(|inode| match inode {
            Inode::File { content, .. } => Some(content),
            Inode::Dir { .. } => None,
        })
    }

    /// Creates an empty file whose directory exists and whose name is free.
    pub fn create_file(&mut self, path: &Path, now_ms: i64) -> io::Result<Node> {
        let (dir, name) = self.place(path)?;
        let inode = Inode::File { content: Content::new(now_ms), handles: 0, locked: false };
        self.add(dir, name, inode)
    }

    /// Creates a directory and those above it.
    pub fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        for name in components(path)? {
            dir = match self.dir(dir)?.get(name) {
                Some(node) => *node,
                None => {
                    let inode = Inode::Dir { seen: BTreeMap::new(), durable: BTreeMap::new() };
                    self.add(dir, name.to_owned(), inode)?
                }
            };
        }
        self.dir(dir).map(|_| ())
    }

    /// Names in a directory.
    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let names = self.dir(self.find(path)?)?.iter();
        let is_dir = |node| matches!(self.nodes.get(node), Some(Inode::Dir { .. }));
        Ok(names.map(|(name, node)| Entry { name: name.clone(), is_dir: is_dir(node) }).collect())
    }

    /// Renames a file or directory over a file, an empty directory or a free name; gives the bytes this freed.
    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<u64> {
        let node = self.find(from)?;
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        if to.starts_with(from) {
            return if to == from { Ok(0) } else { Err(io::ErrorKind::InvalidInput.into()) };
        }
        let mut freed = 0;
        if let Ok(target) = self.find(to) {
            match (self.dir(node).is_ok(), self.dir(target)) {
                (true, Err(error)) => return Err(error),
                (true, Ok(names)) if !names.is_empty() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
                (false, Ok(_)) => return Err(io::ErrorKind::IsADirectory.into()),
                (true, Ok(_)) => {}
                (false, Err(_)) => freed = self.file_mut(target)?.used(),
            }
        }
        self.change(Change { remove: Some((from_dir, from_name)), insert: Some((to_dir, to_name, node)) });
        Ok(freed)
    }

    /// Removes a file's name; gives the bytes this freed.
    pub fn remove_file(&mut self, path: &Path) -> io::Result<u64> {
        let node = self.find(path)?;
        let freed = self.file_mut(node)?.used();
        let place = self.place(path)?;
        self.change(Change { remove: Some(place), insert: None });
        Ok(freed)
    }

    /// Removes a directory and what it holds; gives the bytes this freed.
    pub fn remove_dir_all(&mut self, path: &Path) -> io::Result<u64> {
        let mut freed = 0;
        for entry in self.list(path)? {
            let child = path.join(entry.name);
            freed += if entry.is_dir { self.remove_dir_all(&child)? } else { self.remove_file(&child)? };
        }
        let place = self.place(path)?;
        self.change(Change { remove: Some(place), insert: None });
        Ok(freed)
    }

    /// Makes the changes to a directory durable, and the earlier ones of directories it shares a rename with.
    pub fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find(path)?;
        self.dir(dir)?;
        let mut needed = BTreeSet::from([dir]);
        let mut kept = Vec::new();
        let mut due = Vec::new();
        for change in std::mem::take(&mut self.queued).into_iter().rev() {
            if change.dirs().any(|dir| needed.contains(&dir)) {
                needed.extend(change.dirs());
                due.push(change);
            } else {
                kept.push(change);
            }
        }
        kept.reverse();
        self.queued = kept;
        for change in due.into_iter().rev() {
            self.commit(change);
        }
        Ok(())
    }

    /// Makes all names and contents durable; if that fails, what was dirty is lost for good.
    pub fn sync_all(&mut self, works: bool) {
        if works {
            for change in std::mem::take(&mut self.queued) {
                self.commit(change);
            }
        }
        for inode in self.nodes.values_mut() {
            match inode {
                Inode::File { content, .. } if works => content.sync(),
                Inode::File { content, .. } => content.fail_sync(),
                Inode::Dir { .. } => {}
            }
        }
    }

    /// Becomes what the disk would have after a power loss, names and contents.
    pub fn crash(&mut self, random: &mut fastrand::Rng) {
        // Mostly many or few changes survive, so that both ends are met.
        let survival = [0.0, 0.5, 0.9, 1.0][random.usize(0..4)];
        let mut cut_off = BTreeSet::new();
        for change in std::mem::take(&mut self.queued) {
            if change.dirs().any(|dir| cut_off.contains(&dir)) || random.f64() >= survival {
                cut_off.extend(change.dirs());
            } else {
                self.commit(change);
            }
        }
        for inode in self.nodes.values_mut() {
            match inode {
                Inode::File { content, handles, locked } => {
                    content.crash(random);
                    (*handles, *locked) = (0, false);
                }
                Inode::Dir { seen, durable } => seen.clone_from(durable),
            }
        }
        self.collect();
    }

    /// Counts an open handle.
    pub fn hold(&mut self, node: Node) {
        if let Some(Inode::File { handles, .. }) = self.nodes.get_mut(&node) {
            *handles += 1;
        }
    }

    /// Takes a file's lock if it is free.
    pub fn try_lock(&mut self, node: Node) -> bool {
        match self.nodes.get_mut(&node) {
            Some(Inode::File { locked, .. }) => !std::mem::replace(locked, true),
            _ => false,
        }
    }

    /// A handle is gone, and with it the lock it held.
    pub fn release(&mut self, node: Node, held_lock: bool) {
        if let Some(Inode::File { handles, locked, .. }) = self.nodes.get_mut(&node) {
            *handles -= 1;
            *locked &= !held_lock;
        }
    }

    /// All handles are gone, and all locks.
    pub fn release_all(&mut self) {
        for inode in self.nodes.values_mut() {
            if let Inode::File { handles, locked, .. } = inode {
                (*handles, *locked) = (0, false);
            }
        }
    }

    fn dir(&self, node: Node) -> io::Result<&BTreeMap<String, Node>> {
        match self.nodes.get(&node) {
            Some(Inode::Dir { seen, .. }) => Ok(seen),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The directory and the name a path stands for.
    fn place(&self, path: &Path) -> io::Result<(Node, String)> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut dir = ROOT;
        for name in names {
            dir = *self.dir(dir)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        self.dir(dir)?;
        Ok((dir, name.to_owned()))
    }

    fn add(&mut self, dir: Node, name: String, inode: Inode) -> io::Result<Node> {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, inode);
        self.change(Change { remove: None, insert: Some((dir, name, node)) });
        Ok(node)
    }

    /// Applies a change to what is seen, and queues it for the disk.
    fn change(&mut self, change: Change) {
        self.apply(&change, |inode| match inode {
            Inode::Dir { seen, .. } => Some(seen),
            Inode::File { .. } => None,
        });
        self.queued.push(change);
        if self.queued.len() > MAX_QUEUED {
            let rest = self.queued.split_off(MAX_QUEUED / 2);
            for change in std::mem::replace(&mut self.queued, rest) {
                self.commit(change);
            }
            self.collect();
        }
    }

    /// Applies a change to the disk's names.
    fn commit(&mut self, change: Change) {
        self.apply(&change, |inode| match inode {
            Inode::Dir { durable, .. } => Some(durable),
            Inode::File { .. } => None,
        });
    }

    fn apply(&mut self, change: &Change, names: impl Fn(&mut Inode) -> Option<&mut BTreeMap<String, Node>>) {
        if let Some((dir, name)) = &change.remove
            && let Some(names) = self.nodes.get_mut(dir).and_then(&names)
        {
            names.remove(name);
        }
        if let Some((dir, name, node)) = &change.insert
            && let Some(names) = self.nodes.get_mut(dir).and_then(&names)
        {
            names.insert(name.clone(), *node);
        }
    }

    /// Forgets nodes that nothing leads to.
    fn collect(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut to_visit = vec![ROOT];
        to_visit.extend(self.queued.iter().filter_map(|change| Some(change.insert.as_ref()?.2)));
        to_visit.extend(self.queued.iter().flat_map(Change::dirs));
        while let Some(node) = to_visit.pop() {
            reached.insert(node);
            if let Some(Inode::Dir { seen, durable }) = self.nodes.get(&node) {
                to_visit.extend(seen.values().chain(durable.values()).filter(|next| !reached.contains(next)));
            }
        }
        self.nodes.retain(|node, inode| {
            reached.contains(node) || matches!(inode, Inode::File { handles, .. } if *handles > 0)
        });
    }
}

/// The names along a path, from the root.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}
