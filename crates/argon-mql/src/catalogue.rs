//! What the language has, by name: the rows of every room's table, for pages and tests that list them.

use crate::ErrorCode;

/// A name, and what happens to those who use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// As it is written in a command.
    pub name: &'static str,
    /// The error it is refused with, if Argon knows it without having it.
    pub refused: Option<ErrorCode>,
}

impl Entry {
    pub(crate) const fn known(name: &'static str) -> Entry {
        Entry {
            name,
            refused: None,
        }
    }
}

pub use crate::accumulator::entries as accumulators;
pub use crate::collation::entries as collation_options;
pub use crate::expr::entries as expressions;
pub use crate::filter::entries as query_operators;
pub use crate::filter::schema_entries as schema_keywords;
pub use crate::filter::type_aliases;
pub use crate::index::kinds as index_kinds;
pub use crate::index::options as index_options;
pub use crate::projection::entries as projection_operators;
pub use crate::stage::entries as stages;
pub use crate::stage::window_functions;
pub use crate::update::entries as update_operators;
pub use crate::update::push_clauses;
