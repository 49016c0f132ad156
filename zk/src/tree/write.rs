//! Writes: check, change, answer, tell the watchers; or apply a record that was decided before.

use super::change::Journal;
use super::txn::{Record, Txn, TxnHeader};
use super::{Caller, Fired, MisfitError, Session, Tree};
use crate::jute::{ErrorCode, OpResult, Reply, Request};
use std::collections::BTreeSet;

/// What came of a write.
#[derive(Debug)]
pub struct Outcome {
    /// The answer. A multi that was refused is an answer too: its results hold the errors.
    pub result: Result<Reply, ErrorCode>,
    /// What the log must keep before anybody learns of the answer; `None` when nothing changed.
    pub record: Option<Record>,
}

impl Outcome {
    fn unchanged(result: Result<Reply, ErrorCode>) -> Outcome {
        Outcome { result, record: None }
    }
}

impl Tree {
    /// Does a write at `time_ms` (milliseconds since the epoch). Watches that fire are appended to `fired`.
    /// A refused write uses no transaction number, unlike in ZooKeeper, so the log has no gaps.
    pub fn write(
        &mut self,
        caller: &Caller<'_>,
        time_ms: i64,
        request: &Request,
        fired: &mut Vec<Fired>,
    ) -> Outcome {
        if !self.sessions.contains_key(&caller.session) {
            return Outcome::unchanged(Err(ErrorCode::SessionExpired));
        }
        let header = TxnHeader { zxid: self.last_zxid + 1, time_ms, session: caller.session };
        match request {
            Request::Multi(ops) => self.write_multi(caller, header, ops, fired),
            _ => {
                let mut journal = Journal::default();
                match self.write_one(caller, &header, request, &mut journal) {
                    Err(error) => Outcome::unchanged(Err(error)),
                    Ok((None, result)) => Outcome::unchanged(Ok(result.into_reply())),
                    Ok((Some(txn), result)) => {
                        self.finish(&header, journal, fired);
                        let record = Some(Record { header, txn });
                        Outcome { result: Ok(result.into_reply()), record }
                    }
                }
            }
        }
    }

    /// Deletes what [`Tree::reapable`] named, if it still may go.
    pub fn reap(&mut self, path: &str, time_ms: i64, fired: &mut Vec<Fired>) -> Option<Record> {
        if !self.nodes.get(path)?.is_reapable(time_ms) {
            return None;
        }
        let header = TxnHeader { zxid: self.last_zxid + 1, time_ms, session: 0 };
        let txn = Txn::Delete { path: path.to_owned() };
        let mut journal = Journal::default();
        self.change(&header, &txn, &mut journal).ok()?;
        self.finish(&header, journal, fired);
        Some(Record { header, txn })
    }

    /// Begins a session. The caller has made sure that `id` is new and `password` unguessable.
    pub fn open_session(&mut self, id: i64, timeout_ms: i32, password: [u8; 16], time_ms: i64) -> Record {
        let header = TxnHeader { zxid: self.last_zxid + 1, time_ms, session: id };
        self.sessions.insert(id, Session { password, timeout_ms, ephemerals: BTreeSet::new() });
        self.last_zxid = header.zxid;
        Record { header, txn: Txn::CreateSession { timeout_ms, password } }
    }

    /// Ends a session and deletes its ephemeral nodes; `None` when there is no such session.
    pub fn close_session(&mut self, id: i64, time_ms: i64, fired: &mut Vec<Fired>) -> Option<Record> {
        let header = TxnHeader { zxid: self.last_zxid + 1, time_ms, session: id };
        let mut journal = Journal::default();
        self.end_session(&header, &mut journal)?;
        self.finish(&header, journal, fired);
        Some(Record { header, txn: Txn::CloseSession })
    }

    /// Applies what was decided before: a record of the log. A record that does not fit leaves the tree unusable.
    pub fn apply(&mut self, record: &Record) -> Result<(), MisfitError> {
        let header = &record.header;
        let misfit =
            |tree: &Tree, why: String| MisfitError { zxid: header.zxid, tree_zxid: tree.last_zxid, why };
        if header.zxid != self.last_zxid + 1 {
            return Err(misfit(self, "it is not the next one".into()));
        }
        let mut journal = Journal::default();
        match &record.txn {
            Txn::CreateSession { timeout_ms, password } => {
                let session =
                    Session { password: *password, timeout_ms: *timeout_ms, ephemerals: BTreeSet::new() };
                self.sessions.insert(header.session, session);
            }
            Txn::CloseSession => {
                if self.end_session(header, &mut journal).is_none() {
                    return Err(misfit(self, format!("there is no session {:#x}", header.session)));
                }
            }
            Txn::Multi(txns) => {
                for txn in txns {
                    self.change(header, txn, &mut journal)
                        .map_err(|error| misfit(self, format!("{error:?} at {txn:?}")))?;
                }
            }
            txn => self
                .change(header, txn, &mut journal)
                .map_err(|error| misfit(self, format!("{error:?} at {txn:?}")))?,
        }
        self.finish(header, journal, &mut Vec::new());
        Ok(())
    }

    fn end_session(&mut self, header: &TxnHeader, journal: &mut Journal) -> Option<()> {
        let session = self.sessions.remove(&header.session)?;
        for path in session.ephemerals {
            let deleted = self.change(header, &Txn::Delete { path: path.into() }, journal);
            debug_assert_eq!(deleted, Ok(()), "an ephemeral node is there and has no children");
        }
        Some(())
    }

    fn write_one(
        &mut self,
        caller: &Caller<'_>,
        header: &TxnHeader,
        request: &Request,
        journal: &mut Journal,
    ) -> Result<(Option<Txn>, OpResult), ErrorCode> {
        let Some(txn) = self.check(caller, request)? else { return Ok((None, OpResult::Checked)) };
        self.change(header, &txn, journal)?;
        let stat_of = |path: &str| self.node(path).map(|node| node.stat());
        let result = match (&txn, request) {
            (Txn::Create { path, .. }, Request::Create(_)) => OpResult::Path(path.clone()),
            (Txn::Create { path, .. }, _) => OpResult::Created(path.clone(), stat_of(path)?),
            (Txn::SetData { path, .. } | Txn::SetAcl { path, .. }, _) => OpResult::Stat(stat_of(path)?),
            _ => OpResult::Deleted,
        };
        Ok((Some(txn), result))
    }

    fn write_multi(
        &mut self,
        caller: &Caller<'_>,
        header: TxnHeader,
        ops: &[Request],
        fired: &mut Vec<Fired>,
    ) -> Outcome {
        let mut journal = Journal::default();
        let (mut txns, mut results) = (Vec::new(), Vec::with_capacity(ops.len()));
        for (index, op) in ops.iter().enumerate() {
            match self.write_one(caller, &header, op, &mut journal) {
                Ok((txn, result)) => {
                    txns.extend(txn);
                    results.push(result);
                }
                Err(error) => {
                    self.undo(journal);
                    return Outcome::unchanged(Ok(Reply::Multi(refused(ops.len(), index, error))));
                }
            }
        }
        let result = Ok(Reply::Multi(results));
        if txns.is_empty() {
            return Outcome::unchanged(result);
        }
        self.finish(&header, journal, fired);
        Outcome { result, record: Some(Record { header, txn: Txn::Multi(txns) }) }
    }

    fn finish(&mut self, header: &TxnHeader, journal: Journal, fired: &mut Vec<Fired>) {
        self.last_zxid = header.zxid;
        for change in &journal.changes {
            self.watches.fire(change, header.zxid, fired);
        }
    }
}

/// The results of a multi whose operation `failed` was refused: 0 before it, the error, and "runtime
/// inconsistency" after it.
fn refused(count: usize, failed: usize, error: ErrorCode) -> Vec<OpResult> {
    let code_of = |index: usize| match index.cmp(&failed) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => error.number(),
        std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency.number(),
    };
    (0..count).map(|index| OpResult::Error(code_of(index))).collect()
}

impl OpResult {
    /// The same answer outside a multi.
    fn into_reply(self) -> Reply {
        match self {
            OpResult::Path(path) => Reply::Path(path),
            OpResult::Created(path, stat) => Reply::Created(path, stat),
            OpResult::Stat(stat) => Reply::Stat(stat),
            OpResult::Data(data, stat) => Reply::Data(data, stat),
            OpResult::Children(names) => Reply::Children(names),
            OpResult::Checked | OpResult::Deleted | OpResult::Error(_) => Reply::Empty,
        }
    }
}
