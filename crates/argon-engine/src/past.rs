//! States of the past that were read lately: a client that looks at one point makes more than one command of it.

use std::collections::VecDeque;
use std::sync::Arc;

use argon_storage::{BranchId, Lsn};
use parking_lot::Mutex;

use crate::state::State;

/// Points remembered. They share what they have in common with the branches' own states.
const POINTS_MAX: usize = 8;

/// States of the past, the one used last in front.
#[derive(Default)]
pub(crate) struct Past {
    points: Mutex<VecDeque<(BranchId, Arc<State>)>>,
}

impl Past {
    /// The latest remembered state of `branch` up to `lsn`.
    pub(crate) fn find(&self, branch: BranchId, lsn: Lsn) -> Option<Arc<State>> {
        let mut points = self.points.lock();
        let (at, _) = points
            .iter()
            .enumerate()
            .filter(|(_, (known, state))| *known == branch && state.lsn <= lsn)
            .max_by_key(|(_, (_, state))| state.lsn)?;
        let found = points.remove(at)?;
        let state = Arc::clone(&found.1);
        points.push_front(found);
        Some(state)
    }

    /// Remembers a state of `branch`.
    pub(crate) fn remember(&self, branch: BranchId, state: &Arc<State>) {
        let mut points = self.points.lock();
        points.push_front((branch, Arc::clone(state)));
        points.truncate(POINTS_MAX);
    }

    /// Forgets them all; whether there were any.
    pub(crate) fn clear(&self) -> bool {
        let mut points = self.points.lock();
        let any = !points.is_empty();
        points.clear();
        any
    }
}
