//! What a branch remembers of retryable writes, folded from the log like everything else.

use std::sync::Arc;

use argon_mql::{Doc, ValueRef};
use argon_storage::{SessionStamp, Statement};
use bytes::Bytes;
use imbl::HashMap;

/// The retryable writes of each session that wrote to the branch.
#[derive(Clone, Default)]
pub struct SessionTable {
    sessions: HashMap<Bytes, Arc<Session>>,
    /// Size at which sessions that nobody can retry any more are dropped.
    prune_at: usize,
}

#[derive(Clone)]
struct Session {
    txn_number: i64,
    statements: Vec<Statement>,
    last_used_ms: i64,
}

/// What the table knows about a transaction number.
#[derive(Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing, or only older numbers: the write is new.
    New,
    /// The session has moved on to this higher number: the write must be refused.
    TooOld(i64),
    /// The write was made; this was its outcome.
    Done(Bytes),
}

/// The field of an outcome that says for how many statements it stands: the inserts of a bulk load have one outcome,
/// not a hundred thousand.
pub const SPAN: &str = "span";

/// How long after its last write a session can still be retried, in milliseconds of the log's clock.
///
/// Source: MongoDB manual, "Server Sessions": `localLogicalSessionTimeoutMinutes` is 30.
const RETRY_WINDOW_MS: i64 = 30 * 60 * 1000;

/// Below this many sessions nothing is pruned.
const PRUNE_MIN: usize = 1024;

impl SessionTable {
    /// Looks up statement `stmt_id` of write `txn_number` in session `lsid`.
    pub fn look_up(&self, lsid: &[u8], txn_number: i64, stmt_id: i32) -> Remembered {
        let Some(session) = self.sessions.get(lsid) else {
            return Remembered::New;
        };
        if txn_number < session.txn_number {
            return Remembered::TooOld(session.txn_number);
        }
        if txn_number > session.txn_number {
            return Remembered::New;
        }
        let done = session.statements.iter().find(|statement| {
            let span = match Doc::new(&statement.outcome).get(SPAN) {
                Some(ValueRef::Int32(span)) => span,
                _ => 1,
            };
            (statement.stmt_id..statement.stmt_id.saturating_add(span)).contains(&stmt_id)
        });
        done.map_or(Remembered::New, |statement| {
            Remembered::Done(statement.outcome.clone())
        })
    }

    /// Folds in what a record remembers. `now_ms` is the record's own time, so that replay prunes the same sessions.
    pub fn remember(&mut self, stamp: &SessionStamp, now_ms: i64) {
        let mut session = Session {
            txn_number: stamp.txn_number,
            statements: stamp.statements.clone(),
            last_used_ms: now_ms,
        };
        if let Some(known) = self.sessions.get(&stamp.lsid)
            && known.txn_number == stamp.txn_number
        {
            session.statements = [&known.statements[..], &stamp.statements].concat();
        }
        self.sessions.insert(stamp.lsid.clone(), Arc::new(session));
        if self.sessions.len() > self.prune_at.max(PRUNE_MIN) {
            self.sessions
                .retain(|_, session| now_ms - session.last_used_ms <= RETRY_WINDOW_MS);
            self.prune_at = self.sessions.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(txn_number: i64, stmt_id: i32) -> SessionStamp {
        SessionStamp {
            lsid: Bytes::from_static(b"s"),
            txn_number,
            statements: vec![Statement {
                stmt_id,
                outcome: done(),
            }],
        }
    }

    fn done() -> Bytes {
        Bytes::from_static(b"\x05\0\0\0\0")
    }

    #[test]
    fn a_retry_gets_the_first_outcome_and_an_old_number_is_refused() {
        let mut table = SessionTable::default();
        table.remember(&stamp(2, 0), 0);
        table.remember(&stamp(2, 1), 0);
        assert_eq!(table.look_up(b"s", 2, 0), Remembered::Done(done()));
        assert_eq!(table.look_up(b"s", 2, 1), Remembered::Done(done()));
        assert_eq!(table.look_up(b"s", 2, 2), Remembered::New);
        assert_eq!(table.look_up(b"s", 1, 0), Remembered::TooOld(2));
        assert_eq!(table.look_up(b"s", 3, 0), Remembered::New);
        assert_eq!(table.look_up(b"t", 1, 0), Remembered::New);
    }
}
