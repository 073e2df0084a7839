//! The command line: one file per subcommand.

mod branches;
mod client;
mod completions;
mod config;
mod import;
mod projects;
mod serve;
mod table;

use clap::{Parser, Subcommand};

/// git for MongoDB data, over MongoDB's own wire protocol.
#[derive(Debug, Parser)]
#[command(name = "argon", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(Box<serve::Args>),
    /// List, create and drop projects
    Projects(projects::Args),
    /// List, create and delete branches
    Branches(branches::Args),
    /// Make a project out of a database of an existing MongoDB
    Import(import::Args),
    /// Show and change settings while servers run
    Config(config::Args),
    /// Print a script that completes argon's commands in a shell
    Completions(completions::Args),
}

/// Runs the command that was given.
///
/// # Errors
/// Why it failed, for the person who gave it.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Projects(args) => client::block_on(projects::run(args)),
        Command::Branches(args) => client::block_on(branches::run(args)),
        Command::Import(args) => import::run(args),
        Command::Config(args) => client::block_on(config::run(args)),
        Command::Completions(args) => completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
