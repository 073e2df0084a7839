//! Whether an index that is to be created is there already, or contradicts one that is.

use super::IndexSpec;
use crate::value::{Doc, ValueRef, compare_documents};
use crate::{Error, ErrorCode, Result};

/// How a new specification relates to an index that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Nothing like it is there: it is to be built.
    New,
    /// It is there: nothing to do.
    Same,
}

impl IndexSpec {
    /// Compares the specification of an index to be created with those that are there.
    ///
    /// # Errors
    /// `IndexOptionsConflict` if the index is there under another name or with other options; `IndexKeySpecsConflict` if
    /// another index has the name.
    pub fn check_existing<'a>(
        &self,
        indexes: impl IntoIterator<Item = &'a IndexSpec> + Clone,
    ) -> Result<Existing> {
        for other in indexes.clone() {
            if !self.is_equivalent(other) {
                continue;
            }
            let same_name = self.name == other.name;
            let same_options = self.expire_after_seconds == other.expire_after_seconds;
            let reason = match (same_name, same_options) {
                (true, true) => return Ok(Existing::Same),
                (false, true) => {
                    format!("Index already exists with a different name: {}", other.name)
                }
                (true, false) => format!(
                    "An equivalent index already exists with the same name but different options. {}",
                    self.both(other)
                ),
                (false, false) => format!(
                    "An equivalent index already exists with a different name and options. {}",
                    self.both(other)
                ),
            };
            return Err(Error::new(ErrorCode::IndexOptionsConflict, reason));
        }
        match indexes.into_iter().find(|other| other.name == self.name) {
            None => Ok(Existing::New),
            Some(other) => Err(Error::new(
                ErrorCode::IndexKeySpecsConflict,
                format!(
                    "An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. {}",
                    self.both(other)
                ),
            )),
        }
    }

    /// Whether both are the same index but for name, visibility and expiry: same pattern, uniqueness, sparseness,
    /// partial filter, collation and wildcard projection.
    fn is_equivalent(&self, other: &IndexSpec) -> bool {
        self.has_pattern(other.key_pattern())
            && self.unique == other.unique
            && self.sparse == other.sparse
            && ["partialFilterExpression", "collation", "wildcardProjection"]
                .iter()
                .all(|option| self.option_equals(other, option))
    }

    fn option_equals(&self, other: &IndexSpec, name: &str) -> bool {
        let of = |spec: &IndexSpec| Doc::new(&spec.document).get(name).is_some();
        match (
            Doc::new(&self.document).get(name),
            Doc::new(&other.document).get(name),
        ) {
            (Some(ValueRef::Document(a)), Some(ValueRef::Document(b))) => {
                compare_documents(a, b, None).is_eq()
            }
            _ => of(self) == of(other),
        }
    }

    fn both(&self, other: &IndexSpec) -> String {
        format!(
            "Requested index: {}, existing index: {}",
            Doc::new(&self.document),
            Doc::new(&other.document)
        )
    }
}
