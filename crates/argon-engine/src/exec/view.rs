//! Views: a name resolved to the collection below and the stages on top of it.

use std::sync::Arc;

use argon_mql::{Error, ErrorCode, Result};
use bytes::Bytes;

use crate::state::{Collection, State};

/// Most views on top of each other. Source: MongoDB manual, "Views"; mongod 6.0.5, `ViewDepthLimitExceeded`.
const DEPTH_MAX: usize = 20;

/// What a name stands for.
pub struct Resolved {
    /// The collection below; `None` if there is none, which is an empty one.
    pub collection: Option<Arc<Collection>>,
    /// The stages on top of it, the lowest view's first. Empty for a collection.
    pub stages: Vec<Bytes>,
}

/// Resolves `name`: follows views down to the collection that they are made of.
///
/// # Errors
/// [`ErrorCode::ViewDepthLimitExceeded`].
pub fn resolve(state: &State, name: &str) -> Result<Resolved> {
    let mut stages: Vec<Bytes> = Vec::new();
    let mut name = name;
    for _ in 0..=DEPTH_MAX {
        let collection = state.collection(name);
        let Some(view) = collection.and_then(|collection| collection.options.view.as_ref()) else {
            return Ok(Resolved {
                collection: collection.cloned(),
                stages,
            });
        };
        stages.splice(0..0, view.stages.iter().cloned());
        name = &view.on;
    }
    Err(Error::new(
        ErrorCode::ViewDepthLimitExceeded,
        format!("View depth too deep or view cycle detected; maximum depth is {DEPTH_MAX}"),
    ))
}
