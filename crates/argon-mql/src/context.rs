//! What a parse needs to know of the command it is part of.

use std::sync::Arc;

use crate::collation::Collation;
use crate::value::Places;

/// The surroundings of a parse: which variables may be named, and what the place allows.
///
/// One per command, or per sub-pipeline that defines variables of its own.
#[derive(Clone, Debug, Default)]
pub struct ParseContext {
    /// Names of the variables that [`Env::variables`](crate::Env::variables) will define, without `$$`.
    pub variables: Vec<String>,
    /// Whether `$$DESCEND`, `$$PRUNE` and `$$KEEP` exist, and `$$CURRENT` may differ from `$$ROOT`: inside `$redact`.
    pub redact: bool,
    /// How strings are compared; none is by bytes.
    pub collation: Option<Arc<Collation>>,
    /// Which fields leave a place where they are taken away, because a later stage of the pipeline sets them again.
    pub(crate) places: Option<Arc<Places>>,
}

impl ParseContext {
    /// A context without variables.
    pub fn new() -> ParseContext {
        ParseContext::default()
    }

    /// The same context with `names` defined besides.
    #[must_use]
    pub fn with_variables(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> ParseContext {
        let mut cx = self.clone();
        cx.variables.extend(names.into_iter().map(Into::into));
        cx
    }

    /// The same context with another collation.
    #[must_use]
    pub fn with_collation(&self, collation: Option<Arc<Collation>>) -> ParseContext {
        ParseContext {
            collation,
            ..self.clone()
        }
    }

    /// Whether a field called `name` leaves a place when it is taken away.
    pub(crate) fn keeps_place(&self, name: &[u8]) -> bool {
        self.places.as_ref().is_some_and(|places| places.keep(name))
    }
}
