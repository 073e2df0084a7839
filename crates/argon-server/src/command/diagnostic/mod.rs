//! Commands that tell something about the server and change nothing.
//!
//! Source: MongoDB manual, "Diagnostic Commands".

mod build_info;
mod connection_status;
mod current_op;
mod data_size;
mod db_hash;
mod get_log;
mod host_info;
mod list_commands;
mod list_databases;
mod options;
mod server_status;
mod small;
mod validate;

pub(super) use build_info::COMMAND as BUILD_INFO;
pub(super) use connection_status::COMMAND as CONNECTION_STATUS;
pub(super) use current_op::{COMMAND as CURRENT_OP, documents as running_operations};
pub(super) use data_size::COMMAND as DATA_SIZE;
pub(super) use db_hash::COMMAND as DB_HASH;
pub(super) use get_log::COMMAND as GET_LOG;
pub(super) use host_info::{COMMAND as HOST_INFO, host};
pub(super) use list_commands::COMMAND as LIST_COMMANDS;
pub(super) use list_databases::COMMAND as LIST_DATABASES;
pub(super) use options::COMMAND as GET_CMD_LINE_OPTS;
pub(super) use server_status::COMMAND as SERVER_STATUS;
pub(super) use small::{
    AVAILABLE_QUERY_OPTIONS, CONN_POOL_STATS, CONN_POOL_SYNC, FEATURES, GET_FREE_MONITORING_STATUS,
    LOCK_INFO, WHATS_MY_URI,
};
pub(super) use validate::COMMAND as VALIDATE;
