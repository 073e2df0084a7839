//! The commands that are running: what `currentOp` shows and `killOp` ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Instant;

use argon_mql::{Error, ErrorCode};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::connection::Connection;
use crate::prefix::Progress;
use crate::request::Request;

/// The commands that are running.
#[derive(Default)]
pub(crate) struct Operations {
    next: AtomicI32,
    running: Mutex<HashMap<i32, Arc<Operation>>>,
}

/// One running command.
pub(crate) struct Operation {
    pub(crate) id: i32,
    pub(crate) connection: Arc<Connection>,
    /// The command document.
    pub(crate) command: Bytes,
    pub(crate) database: String,
    pub(crate) lsid: Option<Bytes>,
    pub(crate) started: Instant,
    /// How far it is, where it takes long enough to ask.
    pub(crate) progress: Mutex<Option<Arc<Progress>>>,
    deadline: Option<Instant>,
    killed: AtomicBool,
}

/// A running command; dropping it takes it off the list.
pub(crate) struct Running<'a> {
    operations: &'a Operations,
    pub(crate) operation: Arc<Operation>,
}

impl Operations {
    /// Puts a command on the list.
    pub(crate) fn start(&self, connection: &Arc<Connection>, request: &Request) -> Running<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let operation = Arc::new(Operation {
            id,
            connection: Arc::clone(connection),
            command: request.body.clone(),
            database: request.database.clone(),
            lsid: request.lsid.clone(),
            started: Instant::now(),
            // There it is how long to wait for documents, not how long to work.
            deadline: request.deadline.filter(|_| request.name() != "getMore"),
            progress: Mutex::new(None),
            killed: AtomicBool::new(false),
        });
        self.running.lock().insert(id, Arc::clone(&operation));
        Running {
            operations: self,
            operation,
        }
    }

    /// Has the command numbered `id` end with `Interrupted`, if it is running.
    pub(crate) fn kill(&self, id: i32) {
        if let Some(operation) = self.running.lock().get(&id) {
            operation.killed.store(true, Ordering::Release);
        }
    }

    /// Has every command of the session end.
    pub(crate) fn kill_session(&self, lsid: &[u8]) {
        for operation in self.running.lock().values() {
            if operation.lsid.as_deref() == Some(lsid) {
                operation.killed.store(true, Ordering::Release);
            }
        }
    }

    /// Has every command end: the server is stopping.
    pub(crate) fn kill_all(&self) {
        for operation in self.running.lock().values() {
            operation.killed.store(true, Ordering::Release);
        }
    }

    /// The commands running now.
    pub(crate) fn list(&self) -> Vec<Arc<Operation>> {
        let mut list: Vec<_> = self.running.lock().values().cloned().collect();
        list.sort_by_key(|operation| operation.id);
        list
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.operations.running.lock().remove(&self.operation.id);
    }
}

impl Operation {
    /// Waits for `future`, but not beyond the command's deadline.
    ///
    /// # Errors
    /// [`ErrorCode::MaxTimeMSExpired`]; `future` is dropped then.
    pub(crate) async fn until_deadline<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> argon_mql::Result<T> {
        match self.deadline {
            None => Ok(future.await),
            Some(deadline) => tokio::time::timeout_at(deadline.into(), future)
                .await
                .map_err(|_| out_of_time()),
        }
    }

    /// Answers an error once the command has to end.
    pub(crate) fn check(&self) -> argon_mql::Result<()> {
        if self.killed.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorCode::Interrupted,
                "operation was interrupted",
            ));
        }
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(out_of_time());
        }
        Ok(())
    }
}

fn out_of_time() -> Error {
    Error::new(ErrorCode::MaxTimeMSExpired, "operation exceeded time limit")
}
