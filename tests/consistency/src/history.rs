//! What clients did, when, and what they were told.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

/// What a client asked for. Keys name documents, values are unique in the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Action {
    /// Append `value` to a list.
    Append { key: i32, value: i64 },
    /// Add 1 to a counter, and say what it is then.
    Increment { key: i32 },
    /// Give a register the value `new` if it has `expected`.
    CompareAndSet { key: i32, expected: i64, new: i64 },
    /// Insert documents of which nobody has any, and with them one that is there already.
    Insert { ids: Vec<i64>, taken: Option<i64> },
    /// Delete documents that this client inserted, all with one command.
    Delete { ids: Vec<i64> },
    /// Append `value` to every list, each by a statement of its own.
    AppendToAll { value: i64 },
    /// Append `value` to two accounts, to both or neither.
    Transfer { from: i32, to: i32, value: i64 },
    /// Read a list.
    ReadList { key: i32 },
    /// Read a counter.
    ReadCounter { key: i32 },
    /// Read a register.
    ReadRegister { key: i32 },
    /// Read all accounts as they are at one moment.
    ReadAccounts,
    /// Fork a branch; what is read on it, a list, is what its parent had at that moment.
    Fork { name: String, key: i32 },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Outcome {
    /// It was done: a write without an answer of its own.
    Done,
    /// It was done: a number that was read, or made.
    Number(i64),
    /// It was done: a list that was read.
    List(Vec<i64>),
    /// It was done: the lists of all accounts.
    Lists(BTreeMap<i32, Vec<i64>>),
    /// It was not done, and will not be.
    Refused(String),
    /// Nobody told: it may be done, now or later, or not.
    Unknown(String),
    /// What no server may answer.
    Wrong(String),
}

/// One thing that a client did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) client: usize,
    pub(crate) database: String,
    pub(crate) action: Action,
    /// Nanoseconds since the run began.
    pub(crate) start: u64,
    /// The same; when the answer was there, or the client gave up.
    pub(crate) end: u64,
    pub(crate) outcome: Outcome,
}

impl Event {
    /// Until when it may have had its effect.
    pub(crate) fn end_of_effect(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown(_) => u64::MAX,
            _ => self.end,
        }
    }
}

/// The one clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
