//! To come.
use super::ops::Op;
pub(super) const OPS: &[Op] = &[];
