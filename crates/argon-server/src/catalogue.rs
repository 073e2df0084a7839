//! What the server has, by name: the rows of its tables, for pages and tests that list them.

use argon_mql::ErrorCode;
use argon_mql::catalogue::Entry;

use crate::command::{self, ALL};

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// Its name and, if it is refused, with which error.
    pub entry: Entry,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// One sentence, as `listCommands` has it.
    pub help: &'static str,
}

/// The commands, sorted without regard to case.
pub fn commands() -> impl Iterator<Item = Command> {
    ALL.iter().map(|command| Command {
        entry: Entry {
            name: command.name,
            refused: command::is_refused(command.name).then_some(ErrorCode::CommandNotSupported),
        },
        aliases: command.aliases,
        help: command.help,
    })
}

pub use crate::command::parameters;
