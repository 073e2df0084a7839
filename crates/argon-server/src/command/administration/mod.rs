//! Commands that administer the server.
//!
//! Source: MongoDB manual, "Administration Commands".

mod config;
mod fsync;
mod kill_op;
mod parameters;
mod plan_cache;
mod profile;
mod rebuild;
mod shutdown;
mod small;

pub(super) use config::{GET_CONFIG, SET_CONFIG};
pub(super) use fsync::COMMAND as FSYNC;
pub(super) use kill_op::COMMAND as KILL_OP;
pub use parameters::entries as parameters;
pub(super) use parameters::{GET_PARAMETER, SET_PARAMETER};
pub(super) use plan_cache::{PLAN_CACHE_CLEAR, PLAN_CACHE_CLEAR_FILTERS, PLAN_CACHE_LIST_FILTERS};
pub(super) use profile::COMMAND as PROFILE;
pub(super) use rebuild::{COMPACT, RE_INDEX};
pub(super) use shutdown::COMMAND as SHUTDOWN;
pub(super) use small::{GET_DEFAULT_RW_CONCERN, INVALIDATE_USER_CACHE, LOG_ROTATE};
