//! The parsed form of a filter, readable by the planner.

use std::sync::Arc;

use crate::collation::Collation;
use crate::expr::Expr;
use crate::path::{LeafArray, Path};
use crate::regex::Regex;
use crate::value::{BsonType, Value, ValueRef};

use super::bitwise::Bits;
use super::comparison::{Compare, In};
use super::schema::Schema;

/// A condition on a document.
#[derive(Clone, Debug)]
pub enum Node {
    /// All hold; true if there is none.
    And(Vec<Node>),
    /// At least one holds.
    Or(Vec<Node>),
    /// None holds.
    Nor(Vec<Node>),
    /// The inner one does not hold. `$ne`, `$nin`, `{$exists: false}` and `$not` are this.
    Not(Box<Node>),
    /// A condition on the values at a path.
    Leaf(Leaf),
    /// `$expr`.
    Expr(Box<ExprNode>),
    /// `$jsonSchema`.
    Schema(Box<Schema>),
    /// `$sampleRate`: true for this share of the documents.
    SampleRate(f64),
    /// `$alwaysTrue`, `$alwaysFalse`, and what can never hold (`$all: []`).
    Always(bool),
}

/// `$expr`: an expression that has to come out true.
#[derive(Clone, Debug)]
pub struct ExprNode {
    /// The expression.
    pub expr: Expr,
    /// The expression as written.
    pub source: Value,
    /// How it compares strings; none is by bytes.
    pub collation: Option<Arc<Collation>>,
}

/// A condition on the values at a path.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Where the values are.
    pub path: Path,
    /// What one of them has to be.
    pub predicate: Predicate,
}

/// A condition on one value.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// `$eq`, `$lt`, `$lte`, `$gt`, `$gte`.
    Compare(Compare),
    /// `$in`.
    In(In),
    /// `$regex`: a string that matches, or the same regular expression as a value.
    Regex(Box<Regex>),
    /// `$exists: true`.
    Exists,
    /// `$type`.
    Type(TypeSet),
    /// `$mod`: the number, truncated, leaves `remainder` divided by `divisor`.
    Mod {
        /// Not zero.
        divisor: i64,
        /// With the sign of the number.
        remainder: i64,
    },
    /// `$bitsAllSet` and its like.
    Bits(Bits),
    /// `$size`: an array of that many items.
    Size(u32),
    /// `$elemMatch` with conditions on fields: an array of which one item, a document, meets them.
    ElemMatchObject(Box<Node>),
    /// `$elemMatch` with operators: an array of which one item meets them. The paths of its leaves say nothing.
    ElemMatchValue(Box<Node>),
}

impl Predicate {
    /// Whether the predicate looks at the items of an array at the end of its path, or only at the array.
    #[inline]
    pub fn leaf_array(&self) -> LeafArray {
        match self {
            Predicate::Compare(_)
            | Predicate::In(_)
            | Predicate::Regex(_)
            | Predicate::Exists
            | Predicate::Type(_)
            | Predicate::Mod { .. }
            | Predicate::Bits(_) => LeafArray::Items,
            Predicate::Size(_) | Predicate::ElemMatchObject(_) | Predicate::ElemMatchValue(_) => {
                LeafArray::Whole
            }
        }
    }
}

/// A set of BSON types.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TypeSet(u32);

impl TypeSet {
    /// The set of `types`.
    pub fn of(types: &[BsonType]) -> TypeSet {
        let mut set = TypeSet::default();
        for &kind in types {
            set.insert(kind);
        }
        set
    }

    /// Adds `kind`.
    pub fn insert(&mut self, kind: BsonType) {
        self.0 |= 1 << (kind as u32);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: TypeSet) {
        self.0 |= other.0;
    }

    /// Whether `kind` is in it.
    #[inline]
    pub fn contains(self, kind: BsonType) -> bool {
        self.0 & (1 << (kind as u32)) != 0
    }

    /// Whether `value` is of one of the types.
    #[inline]
    pub fn holds(self, value: &ValueRef<'_>) -> bool {
        self.contains(value.bson_type())
    }

    /// The types in it.
    pub fn iter(self) -> impl Iterator<Item = BsonType> {
        super::element::TYPES
            .iter()
            .map(|row| row.2)
            .filter(move |&kind| self.contains(kind))
    }

    /// Whether no type is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
