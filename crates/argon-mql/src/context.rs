//! What a parse needs to know of the command it is part of.

use std::sync::Arc;

use crate::collation::Collation;

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
}
