//! MongoDB's manners: the only place with sockets, sessions, cursors and `ok: 1`.
//!
//! ```text
//! server      bind, accept, drain            session, cursor, operation   what outlives a command
//! scratch     temporary files                slow_log, latency             what is noted of each command
//! connection  bytes ⇄ messages               request, reply, error        a command in, an answer out
//! command     the table of commands, a file each         upstream                     passes on what another MongoDB keeps
//! prefix      branches kept as prefixed collections of another MongoDB
//! ```
//!
//! A request, start to finish: `connection` reads bytes and has `argon-wire` make a message of them; `request` reads what
//! every command may carry; `command` finds the row and runs it; its failure becomes a code in `error` and nowhere else.

pub mod catalogue;
mod command;
mod connection;
mod cursor;
mod error;
mod latency;
mod legacy;
mod operation;
mod prefix;
mod recent_log;
mod reply;
mod request;
mod scratch;
mod server;
mod session;
mod slow_log;
mod upstream;

pub use recent_log::RecentLog;
pub use server::{Config, Server, StartError};
pub use upstream::{NewDatabases, UpstreamConfig};
