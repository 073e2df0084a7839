//! The projection document, read once.

use bstr::ByteSlice;

use super::tree::{Child, Meta, Node, Slice, enter, insert};
use super::{Flavor, Needs, Projection};
use crate::catalogue::Entry;
use crate::expr::{self, Expr};
use crate::filter::Filter;
use crate::path::may_name_field;
use crate::sort::Sort;
use crate::update::{self, show};
use crate::value::{Doc, DocBuf, Element, Number, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

/// Most components in a path, all levels together.
///
/// Source: mongod 6.0.5, "FieldPath is too long".
const PATH_PARTS_MAX: usize = 200;

/// What a projection turns out to be as its fields are read.
struct Reader<'a> {
    flavor: Flavor,
    cx: &'a ParseContext,
    root: Node,
    inclusive: Option<bool>,
    /// What `_id` at the top level is set to.
    id: Option<bool>,
    has_elem_match: bool,
    has_meta: bool,
    needs: Needs,
    has_slice: bool,
    has_sort_key: bool,
    has_expression: bool,
    positional: bool,
    /// What the first constant that cannot be computed fails with. mongod folds constants once the
    /// whole projection is read, so any other mistake in it comes first.
    constant_error: Option<Error>,
}

pub(super) fn parse(
    spec: Doc<'_>,
    flavor: Flavor,
    sort: Option<&Sort>,
    cx: &ParseContext,
) -> Result<Projection> {
    if spec.is_empty() && flavor == Flavor::Aggregate {
        return Err(Error::location(
            51272,
            "projection specification must have at least one field",
        ));
    }
    let mut reader = Reader {
        flavor,
        cx,
        root: Node::default(),
        inclusive: None,
        id: None,
        has_elem_match: false,
        has_meta: false,
        needs: Needs::default(),
        has_slice: false,
        has_sort_key: false,
        has_expression: false,
        positional: false,
        constant_error: None,
    };
    for element in spec.iter() {
        reader.field(&[], &element)?;
    }
    let constant_error = reader.constant_error.take();
    let projection = reader.finish(sort)?;
    constant_error.map_or(Ok(projection), Err)
}

impl Reader<'_> {
    /// Reads `element`, which stands inside the field `above`.
    fn field(&mut self, above: &[&[u8]], element: &Element<'_>) -> Result<()> {
        let key: &[u8] = element.key();
        let value = element.value();
        let (key, positional) = match key.strip_suffix(b".$") {
            Some(path) if !path.is_empty() => (path, true),
            _ => (key, false),
        };
        let path = self.path(above, key)?;
        if positional {
            return self.positional(&path, element);
        }
        match value {
            ValueRef::Document(inner) => self.document(&path, element, inner),
            ValueRef::Bool(include) => self.flag(&path, element, include),
            value => match Number::from_value(value) {
                Some(number) => self.flag(&path, element, !number.is_zero()),
                None => self.expression(&path, element),
            },
        }
    }

    /// The components of `key`, below those `above`.
    fn path<'k>(&self, above: &[&'k [u8]], key: &'k [u8]) -> Result<Vec<&'k [u8]>> {
        if key.is_empty() {
            return Err(Error::location(
                40352,
                "FieldPath cannot be constructed with empty string",
            ));
        }
        let parts = key.split_str(".");
        if parts.clone().count() > 1 && parts.clone().skip(1).any(|part| part == b"$") {
            return Err(Error::location(
                31394,
                "As of 4.4, it's illegal to specify positional operator in the middle of a path.Positional projection may only be used at the end, for example: a.b.$. If the query previously used a form like a.b.$.d, remove the parts following the '$' and the results will be equivalent.",
            ));
        }
        if key.ends_with(b".") {
            return Err(Error::location(40353, "FieldPath must not end with a '.'."));
        }
        let mut path = above.to_vec();
        for part in parts {
            if part.is_empty() {
                return Err(Error::location(
                    15998,
                    "FieldPath field names may not be empty strings.",
                ));
            }
            if !may_name_field(part) {
                return Err(dollar_name());
            }
            path.push(part);
        }
        if path.len() > PATH_PARTS_MAX {
            return Err(Error::new(ErrorCode::Overflow, "FieldPath is too long"));
        }
        Ok(path)
    }

    /// `field: 1` or `field: 0`.
    fn flag(&mut self, path: &[&[u8]], element: &Element<'_>, include: bool) -> Result<()> {
        let child = if include {
            Child::Include
        } else {
            Child::Exclude
        };
        insert(&mut self.root, path, child)?;
        if path == [b"_id"] {
            self.id = Some(include);
            Ok(())
        } else if include {
            self.include(element)
        } else {
            self.exclude(element)
        }
    }

    fn include(&mut self, element: &Element<'_>) -> Result<()> {
        if self.inclusive == Some(false) {
            return Err(Error::location(
                31253,
                format!(
                    "Cannot do inclusion on field {} in exclusion projection",
                    element.key()
                ),
            ));
        }
        self.inclusive = Some(true);
        Ok(())
    }

    fn exclude(&mut self, element: &Element<'_>) -> Result<()> {
        if self.inclusive == Some(true) {
            return Err(Error::location(
                31254,
                format!(
                    "Cannot do exclusion on field {} in inclusion projection",
                    element.key()
                ),
            ));
        }
        self.inclusive = Some(false);
        Ok(())
    }

    /// `field: <expression>`, a literal included.
    fn expression(&mut self, path: &[&[u8]], element: &Element<'_>) -> Result<()> {
        let excludes = self.inclusive == Some(false);
        if excludes && matches!(element.value(), ValueRef::Document(_)) {
            return Err(Error::location(
                31252,
                "Cannot use expression other than $meta in exclusion projection",
            ));
        }
        let mut expr = Expr::read(element.value(), self.cx)?;
        if let Err(error) = expr.fold() {
            self.constant_error.get_or_insert(error);
        }
        insert(&mut self.root, path, Child::Computed(expr))?;
        if excludes {
            return Err(Error::location(
                31310,
                format!(
                    "Cannot use an expression {} in an exclusion projection",
                    show::element(element)
                ),
            ));
        }
        self.inclusive = Some(true);
        self.has_expression = true;
        Ok(())
    }

    fn document(&mut self, path: &[&[u8]], element: &Element<'_>, inner: Doc<'_>) -> Result<()> {
        let Some(first) = inner.iter().next() else {
            return Err(Error::location(
                51270,
                "An empty sub-projection is not a valid value. Found empty object at path",
            ));
        };
        if !may_name_field(first.key()) && inner.iter().nth(1).is_none() {
            return self.operator(path, element, &first);
        }
        if inner.iter().any(|field| !may_name_field(field.key())) {
            return Err(dollar_name());
        }
        enter(&self.root, path)?;
        for field in inner.iter() {
            self.field(path, &field)?;
        }
        Ok(())
    }

    /// `field: {$operator: argument}`.
    fn operator(
        &mut self,
        path: &[&[u8]],
        element: &Element<'_>,
        operator: &Element<'_>,
    ) -> Result<()> {
        let name: &[u8] = operator.key();
        match (name, self.flavor) {
            (b"$meta", _) => self.meta(path, operator.value()),
            (b"$slice", Flavor::Find) => self.slice(path, element, operator.value()),
            (b"$elemMatch", Flavor::Find) => self.elem_match(path, operator),
            (b"$elemMatch", Flavor::Aggregate) => Err(Error::new(
                ErrorCode::InvalidPipelineOperator,
                "Cannot use $elemMatch in this context",
            )),
            _ if !expr::is_known(name) => Err(Error::location(
                31325,
                format!("Unknown expression {}", operator.key()),
            )),
            _ => self.expression(path, element),
        }
    }

    fn meta(&mut self, path: &[&[u8]], argument: ValueRef<'_>) -> Result<()> {
        let ValueRef::String(name) = argument else {
            return Err(Error::location(
                17307,
                "$meta only supports string arguments",
            ));
        };
        let unavailable = |what: &str| {
            Err(Error::location(
                40218,
                format!("query requires {what} metadata, but it is not available"),
            ))
        };
        let meta = match name.as_bytes() {
            b"indexKey" => Meta::IndexKey,
            b"recordId" => Meta::RecordId,
            b"sortKey" => Meta::SortKey,
            b"textScore" => return unavailable("text score"),
            b"geoNearDistance" => return unavailable("$geoNear distance"),
            b"geoNearPoint" => return unavailable("$geoNear point"),
            b"randVal"
            | b"searchHighlights"
            | b"searchScore"
            | b"searchScoreDetails"
            | b"timeseriesBucketMaxTime"
            | b"timeseriesBucketMinTime" => Meta::Absent,
            _ => {
                return Err(Error::location(
                    17308,
                    format!("Unsupported argument to $meta: {name}"),
                ));
            }
        };
        self.has_meta = true;
        self.has_sort_key |= meta == Meta::SortKey;
        self.needs.index_key |= meta == Meta::IndexKey;
        self.needs.record_id |= meta == Meta::RecordId;
        insert(&mut self.root, path, Child::Meta(meta))
    }

    /// `$slice` is the projection operator if its argument fits that, else the expression of the same name.
    fn slice(
        &mut self,
        path: &[&[u8]],
        element: &Element<'_>,
        argument: ValueRef<'_>,
    ) -> Result<()> {
        let refused = match slice(argument) {
            Ok(slice) => match insert(&mut self.root, path, Child::Slice(slice)) {
                Ok(()) => {
                    self.has_slice = true;
                    return Ok(());
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        self.expression(path, element).map_err(|error| {
            // That the constants of a well-formed expression cannot be sliced, mongod finds out last of all.
            let late = error.code() == ErrorCode::location(28724);
            let error = match (late, refused.code().number()) {
                (true, 31249 | 31250) => refused.clone(),
                (true, _) => return error,
                (false, _) => error,
            };
            error.context(&format!(
                "Invalid $slice syntax. The given syntax {} did not match the find() syntax because :: {}: {} :: The given syntax did not match the expression $slice syntax. :: caused by :: ",
                show::value(element.value()),
                refused.code().name(),
                refused.message()
            ))
        })
    }

    fn elem_match(&mut self, path: &[&[u8]], operator: &Element<'_>) -> Result<()> {
        if !matches!(operator.value(), ValueRef::Document(_)) {
            return Err(Error::location(
                31274,
                format!(
                    "elemMatch: Invalid argument, object required, but got {}",
                    operator.value().type_name()
                ),
            ));
        }
        if self.positional {
            return Err(positional_and_elem_match(31255));
        }
        let [name] = path else {
            return Err(Error::location(
                31275,
                "Cannot use $elemMatch projection on a nested field.",
            ));
        };
        let mut filter = DocBuf::new();
        let condition = filter.open_document(name);
        filter.append_element(operator);
        filter.close(condition);
        let filter = Filter::parse(Doc::new(&filter.finish()), self.cx)?;
        if let ValueRef::Document(condition) = operator.value() {
            update::refuse_outside_queries(condition)?;
        }
        self.has_elem_match = true;
        insert(&mut self.root, path, Child::ElemMatch(filter))
    }

    /// `field.$: 1`.
    fn positional(&mut self, path: &[&[u8]], element: &Element<'_>) -> Result<()> {
        if self.flavor == Flavor::Aggregate {
            return Err(Error::location(
                31324,
                "Cannot use positional projection in aggregation projection",
            ));
        }
        let include = match element.value() {
            ValueRef::Document(_) => {
                return Err(Error::location(
                    31271,
                    "positional projection cannot be used with an expression or sub object",
                ));
            }
            ValueRef::Bool(include) => include,
            value => match Number::from_value(value) {
                Some(number) => !number.is_zero(),
                None => {
                    return Err(Error::location(
                        31308,
                        "positional projection cannot be used with a literal",
                    ));
                }
            },
        };
        if !include {
            return Err(Error::location(
                31395,
                "positional projection cannot be used with exclusion",
            ));
        }
        if self.positional {
            return Err(Error::location(
                31276,
                "Cannot specify more than one positional projection per query.",
            ));
        }
        if self.has_elem_match {
            return Err(positional_and_elem_match(31256));
        }
        insert(&mut self.root, path, Child::Positional)?;
        self.positional = true;
        self.include(element)
    }

    fn finish(mut self, sort: Option<&Sort>) -> Result<Projection> {
        if self.has_sort_key && sort.is_none() {
            return Err(Error::bad_value(
                "cannot use sortKey $meta projection without a sort",
            ));
        }
        let inclusive = self.inclusive.unwrap_or(match self.id {
            Some(true) => true,
            _ => match self.flavor {
                Flavor::Find => self.has_elem_match && !self.has_slice,
                Flavor::Aggregate => self.has_meta,
            },
        });
        if inclusive && self.root.find(b"_id").is_none() {
            self.root
                .children
                .insert(0, (b"_id".to_vec(), Child::Include));
        }
        // `_id` alone may be set against the rest.
        self.root
            .children
            .retain(|(_, child)| !matches!(child, Child::Exclude if inclusive));
        self.root
            .children
            .retain(|(_, child)| !matches!(child, Child::Include if !inclusive));
        let simple = self
            .root
            .children
            .iter()
            .all(|(_, child)| matches!(child, Child::Include | Child::Exclude));
        self.root.settle();
        Ok(Projection {
            root: self.root,
            inclusive,
            needs: Needs {
                matched: self.positional,
                ..self.needs
            },
            sort: sort.filter(|_| self.has_sort_key).cloned(),
            grows: self.has_expression || self.has_meta,
            simple,
            places: self.cx.places.clone(),
        })
    }
}

/// What a projection's field may be besides 0, 1 and an expression.
pub fn entries() -> impl Iterator<Item = Entry> {
    ["$", "$elemMatch", "$meta", "$slice"]
        .into_iter()
        .map(Entry::known)
}

/// Reads the argument of `$slice`: a count, or skip and limit.
fn slice(argument: ValueRef<'_>) -> Result<Slice> {
    let number = |value| Number::from_value(value).map(Number::to_i64_saturated);
    match argument {
        ValueRef::Array(pair) => {
            let mut values = pair.values();
            match (values.next(), values.next(), values.next()) {
                (Some(skip), Some(limit), None) => match (number(skip), number(limit)) {
                    (Some(skip), Some(limit @ 1..)) => Ok(Slice {
                        skip,
                        limit: usize::try_from(limit).unwrap_or(usize::MAX),
                    }),
                    (Some(_), Some(_)) => {
                        Err(Error::location(28724, "$slice limit must be positive"))
                    }
                    _ => Err(Error::location(
                        31257,
                        "$slice only supports numbers as skip and limit",
                    )),
                },
                _ => Err(Error::location(
                    31272,
                    "$slice array argument should be of form [skip, limit]",
                )),
            }
        }
        argument => match number(argument) {
            Some(count @ 0..) => Ok(Slice {
                skip: 0,
                limit: usize::try_from(count).unwrap_or(usize::MAX),
            }),
            Some(from_end) => Ok(Slice {
                skip: from_end,
                limit: usize::MAX,
            }),
            None => Err(Error::location(
                31273,
                "$slice only supports numbers and [skip, limit] arrays",
            )),
        },
    }
}

#[cold]
fn dollar_name() -> Error {
    Error::location(
        16410,
        "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
    )
}

#[cold]
fn positional_and_elem_match(code: i32) -> Error {
    Error::location(code, "Cannot specify positional operator and $elemMatch.")
}
