//! Argon: git for MongoDB data over MongoDB's own wire protocol.
//!
//! This package wires the crates together: it opens the store, builds the engine, starts the server, and has the
//! command line that talks to a running server.

mod cli;
mod config;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the end of a failed command")]
            {
                eprintln!("argon: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
