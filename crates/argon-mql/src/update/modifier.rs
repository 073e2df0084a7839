//! What every update operator offers, and the table of them.

use std::cell::Cell;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::array_filter::ArrayFilters;
use super::path::Path;
use super::{arithmetic, array, field, push};
use crate::value::{Doc, ValueRef};
use crate::{Env, Error, ErrorCode, ParseContext, Result, Value};

/// One operator applied to one path: decides what its field becomes.
pub(super) trait Modifier: Send + Sync + std::fmt::Debug {
    /// What becomes of the field, given its present value if it has one.
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>>;

    /// Whether it makes a field that is not there, or fails where there is none.
    fn creates(&self, _place: &Place<'_>) -> bool {
        true
    }

    /// What it says if a scalar (or an array, for a name) stands where the path has to pass.
    fn blocked(&self, _place: &Place<'_>) -> Result<Blocked> {
        Ok(Blocked::CannotCreate)
    }
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) enum Outcome<'v> {
    Keep,
    Remove,
    /// The new value. One identical to the present one counts as no change.
    Put(ValueRef<'v>),
    /// The new value, built for the purpose.
    Build(Value),
    /// The new value, which counts as a change even if it is identical to the present one.
    Force(Value),
    /// The array `.0` with `.1` at its end.
    Extend(Doc<'v>, &'v [Value]),
}

/// The complaint of a modifier whose path cannot be passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blocked {
    Ignore,
    CannotCreate,
    CannotTraverse,
}

/// A part of the path from the root to where a modifier works.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Name(&'a [u8]),
    Index(usize),
}

/// The path from the root to where a modifier works, as a chain of the walk's stack frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trail<'a> {
    pub(super) above: Option<&'a Trail<'a>>,
    pub(super) step: Step<'a>,
}

impl Trail<'_> {
    /// The path as dotted text.
    pub(super) fn text(&self) -> BString {
        let mut text = self.above.map(Trail::text).unwrap_or_default();
        if self.above.is_some() {
            text.push(b'.');
        }
        text.extend_from_slice(&self.field());
        text
    }

    /// The name of the field itself.
    pub(super) fn field(&self) -> BString {
        match self.step {
            Step::Name(name) => BString::from(name),
            Step::Index(index) => BString::from(index.to_string()),
        }
    }

    /// How many documents and arrays it passes, the root included.
    pub(super) fn depth(&self) -> usize {
        self.above.map_or(0, Trail::depth) + 1
    }

    /// The name of the top-level field it goes through.
    pub(super) fn top(&self) -> Step<'_> {
        self.above.map_or(self.step, Trail::top)
    }
}

/// The surroundings of a modifier: the document as it was, and the command.
pub(super) struct Place<'a> {
    pub(super) root: Doc<'a>,
    pub(super) env: &'a Env<'a>,
    pub(super) filters: &'a ArrayFilters,
    /// Index of the array element that the filter matched.
    pub(super) matched: Option<usize>,
    /// Whether the document is being made by an upsert.
    pub(super) inserting: bool,
    /// Whether `_id` must stay as it is.
    pub(super) id_is_fixed: bool,
    /// Timestamps handed out for this document, so that each is another.
    pub(super) stamps: Cell<u32>,
    /// Whether children are visited in the order of the update, not of the document; what is written is of no use then.
    pub(super) ordered: bool,
    /// Whether a field of a DBRef was set at the top level: what stands before and after it has to be checked.
    pub(super) sets_reference: Cell<bool>,
}

impl Place<'_> {
    /// `_id: <value>` of the document, for error texts.
    pub(super) fn id_text(&self) -> String {
        match self.root.element(b"_id") {
            Some(id) => super::show::element(&id),
            None => "no id".to_owned(),
        }
    }

    /// The next timestamp of this update.
    pub(super) fn next_timestamp(&self) -> u64 {
        let stamp = self.stamps.get();
        self.stamps.set(stamp.saturating_add(1));
        super::timestamp(self.env, stamp)
    }
}

/// One row of the table of update operators.
pub(super) struct UpdateOp {
    pub(super) name: &'static str,
    pub(super) parse: ParseModifier,
}

/// Parses the operand that stands at a path into modifiers and the paths they work at. Those it has added count even if
/// it fails: a path in conflict is reported before what else is wrong.
pub(super) type ParseModifier = fn(&Operand<'_>, &mut Parsed) -> Result<()>;

/// A path and the operand that stands there.
pub(super) struct Operand<'a> {
    pub(super) name: &'static str,
    pub(super) path: Path,
    pub(super) value: ValueRef<'a>,
    pub(super) cx: &'a ParseContext,
}

impl Operand<'_> {
    /// `path: value`, for error texts.
    pub(super) fn text(&self) -> String {
        format!(
            "{}: {}",
            self.path.text.as_bstr(),
            super::show::value(self.value)
        )
    }
}

/// What operands compile to: modifiers and the paths they work at.
pub(super) type Parsed = smallvec::SmallVec<[(Path, Arc<dyn Modifier>); 1]>;

impl Operand<'_> {
    /// Adds `modifier` at the operand's own path.
    pub(super) fn add(&self, modifier: impl Modifier + 'static, out: &mut Parsed) {
        out.push((self.path.clone(), Arc::new(modifier)));
    }
}

/// The update operators, sorted by name.
pub(super) const OPS: &[UpdateOp] = &[
    UpdateOp {
        name: "$addToSet",
        parse: array::add_to_set,
    },
    UpdateOp {
        name: "$bit",
        parse: arithmetic::bit,
    },
    UpdateOp {
        name: "$currentDate",
        parse: field::current_date,
    },
    UpdateOp {
        name: "$inc",
        parse: arithmetic::inc,
    },
    UpdateOp {
        name: "$max",
        parse: arithmetic::max,
    },
    UpdateOp {
        name: "$min",
        parse: arithmetic::min,
    },
    UpdateOp {
        name: "$mul",
        parse: arithmetic::mul,
    },
    UpdateOp {
        name: "$pop",
        parse: array::pop,
    },
    UpdateOp {
        name: "$pull",
        parse: array::pull,
    },
    UpdateOp {
        name: "$pullAll",
        parse: array::pull_all,
    },
    UpdateOp {
        name: "$push",
        parse: push::push,
    },
    UpdateOp {
        name: "$rename",
        parse: field::rename,
    },
    UpdateOp {
        name: "$set",
        parse: field::set,
    },
    UpdateOp {
        name: "$setOnInsert",
        parse: field::set_on_insert,
    },
    UpdateOp {
        name: "$unset",
        parse: field::unset,
    },
];

/// The version of an entry of the log, which mongod knows and takes from nobody.
pub(super) const INTERNAL: &str = "$v";

/// The row of the operator `name`.
///
/// # Errors
/// `FailedToParse` if there is none.
pub(super) fn find(name: &BStr) -> Result<&'static UpdateOp> {
    match OPS.binary_search_by(|op| op.name.as_bytes().cmp(name)) {
        Ok(at) => Ok(&OPS[at]),
        Err(_) if name == INTERNAL => Err(Error::new(
            ErrorCode::FailedToParse,
            "The $v update field is only recognized internally",
        )),
        Err(_) => Err(Error::new(
            ErrorCode::FailedToParse,
            format!(
                "Unknown modifier: {name}. Expected a valid update modifier or pipeline-style update specified as an array"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_sorted() {
        assert!(OPS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
