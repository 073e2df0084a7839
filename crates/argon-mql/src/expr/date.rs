//! Date operators.

mod civil;

use super::ops::Op;

pub(super) use civil::{Civil, MONTHS, format_iso};

pub(super) const OPS: &[Op] = &[];
