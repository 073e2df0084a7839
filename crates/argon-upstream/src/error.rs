//! What can go wrong on the way to the deployment and back.

use std::io;
use std::time::Duration;

/// The result of a call to the deployment.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer. Only [`Error::Lost`] and [`Error::Slow`] leave open whether the command was run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection string cannot be used.
    #[error("the connection string cannot be used: {0}")]
    Uri(String),
    /// No server fit in time; the command was not sent.
    #[error("Could not find host matching read preference {wanted} within {waited:?}: {known}")]
    NoServer {
        /// The read preference.
        wanted: String,
        /// How long was waited (`serverSelectionTimeoutMS`).
        waited: Duration,
        /// What is known of the servers.
        known: String,
    },
    /// All connections to the server were in use for too long; the command was not sent.
    #[error("all {max} connections to {address} were in use for {waited:?}")]
    Busy {
        /// The server.
        address: String,
        /// How many connections there may be (`maxPoolSize`).
        max: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// The server refused the user's name or password.
    #[error("{address} refused the login: {message}")]
    Login {
        /// The server.
        address: String,
        /// What it said.
        message: String,
    },
    /// The connection ended before the answer came: the command may have been run, or not.
    #[error("connection to {address} lost before the answer: {source}")]
    Lost {
        /// The server.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The answer took longer than `socketTimeoutMS`: the command may have been run, or not.
    #[error("{address} did not answer within {waited:?}")]
    Slow {
        /// The server.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A message that is none.
    #[error(transparent)]
    Frame(#[from] argon_wire::Error),
    /// A message whose document is not what it should be.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
}
