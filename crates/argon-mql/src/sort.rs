//! Sorting: documents by the values at paths, as `sort` and `$sort` do.
//!
//! A document's sort key is bytes ([`value::key`](crate::value::key)), so that comparing is comparing memory. An array
//! counts by its least item, or its greatest in a descending field; with several fields, by the least combination of
//! items that an index on the same pattern would hold.

use std::cmp::Ordering;

use crate::collation::Collation;
use crate::index::{self, FIELDS_MAX};
use crate::path::{COMPONENTS_MAX, Path, may_name_field};
use crate::value::{Doc, Number, ValueRef, key};
use crate::{Error, ErrorCode, Result};

/// What `sort` of a find asks for.
#[derive(Clone, Debug)]
pub enum Order {
    /// Nothing.
    Any,
    /// `$natural`: the order of insertion, or its reverse.
    Natural {
        /// Whether it is the reverse.
        reverse: bool,
    },
    /// By values.
    By(Sort),
}

impl Order {
    /// Parses the `sort` of a find.
    ///
    /// # Errors
    /// As [`Sort::parse`]; `BadValue` for `$natural` beside other fields.
    pub fn parse(doc: Doc<'_>) -> Result<Order> {
        if doc.is_empty() {
            return Ok(Order::Any);
        }
        let Some(natural) = doc.get("$natural") else {
            return Sort::parse(doc).map(Order::By);
        };
        if doc.iter().count() > 1 {
            return Err(Error::bad_value(format!(
                "Cannot include '$natural' in compound sort: {doc}"
            )));
        }
        let reverse = Number::from_value(natural).is_some_and(Number::is_negative);
        Ok(Order::Natural { reverse })
    }
}

/// A parsed sort specification.
#[derive(Clone, Debug)]
pub struct Sort {
    fields: Vec<SortField>,
    collation: Option<Collation>,
}

/// One field of a sort specification.
#[derive(Clone, Debug)]
pub struct SortField {
    /// Where the value is. `None` for `{$meta: "randVal"}`, by which every order is right.
    pub path: Option<Path>,
    /// Whether greater values come first.
    pub descending: bool,
}

impl Sort {
    /// Parses a sort specification: fields with 1 or -1.
    ///
    /// # Errors
    /// MongoDB's own, such as Location15975 for another number and Location15974 for another type.
    pub fn parse(doc: Doc<'_>) -> Result<Sort> {
        let mut fields = Vec::new();
        for element in doc.iter() {
            let (name, value) = (element.key(), element.value());
            if let ValueRef::Document(meta) = value {
                parse_meta(meta)?;
                fields.push(SortField {
                    path: None,
                    descending: true,
                });
                continue;
            }
            let Some(number) = Number::from_value(value) else {
                return Err(Error::location(
                    15974,
                    format!("Illegal key in $sort specification: {name}: {value}"),
                ));
            };
            let descending = match number.to_i64_truncated() {
                Some(1) => false,
                Some(-1) => true,
                _ => {
                    return Err(Error::location(
                        15975,
                        "$sort key ordering must be 1 (for ascending) or -1 (for descending)",
                    ));
                }
            };
            check_path(name)?;
            fields.push(SortField {
                path: Some(Path::new(name)),
                descending,
            });
        }
        if fields.is_empty() {
            return Err(Error::location(
                15976,
                "$sort stage must have at least one sort key",
            ));
        }
        if fields.len() > FIELDS_MAX {
            return Err(Error::location(13103, "too many compound keys"));
        }
        Ok(Sort {
            fields,
            collation: None,
        })
    }

    /// The same sort with strings compared by `collation`.
    #[must_use]
    pub fn with_collation(mut self, collation: Option<Collation>) -> Sort {
        self.collation = collation;
        self
    }

    /// The fields in order; at least one.
    pub fn fields(&self) -> &[SortField] {
        &self.fields
    }

    /// The collation, unless it is the simple one.
    pub fn collation(&self) -> Option<&Collation> {
        self.collation.as_ref()
    }

    /// The sort key of `doc`: keys compare as the documents sort.
    ///
    /// # Errors
    /// As [`append_key`](Sort::append_key).
    pub fn key(&self, doc: Doc<'_>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(16 * self.fields.len());
        self.append_key(&mut out, doc)?;
        Ok(out)
    }

    /// Appends the sort key of `doc`.
    ///
    /// # Errors
    /// `BadValue` if two fields lead to different arrays.
    pub fn append_key(&self, out: &mut Vec<u8>, doc: Doc<'_>) -> Result<()> {
        let from = out.len();
        for field in &self.fields {
            let Some(path) = &field.path else {
                continue;
            };
            let Some(value) = index::plain_value(doc, path) else {
                out.truncate(from);
                return self.append_array_key(out, doc);
            };
            key::append_with(out, or_null(value), field.descending, self.collation());
        }
        Ok(())
    }

    /// The least of the combinations of items that the arrays of `doc` make.
    fn append_array_key(&self, out: &mut Vec<u8>, doc: Doc<'_>) -> Result<()> {
        let fields: Vec<(&Path, bool)> = self
            .fields
            .iter()
            .filter_map(|field| field.path.as_ref().map(|path| (path, field.descending)))
            .collect();
        let mut least: Option<Vec<u8>> = None;
        let mut current = Vec::new();
        index::combinations(doc, &|index| fields[index].0, fields.len(), &mut |values| {
            current.clear();
            for (&value, &(_, descending)) in values.iter().zip(&fields) {
                key::append_with(&mut current, value, descending, self.collation());
            }
            match &mut least {
                Some(least) if *least <= current => {}
                Some(least) => least.clone_from(&current),
                None => least = Some(current.clone()),
            }
        })
        .map_err(|error| match error.code() {
            ErrorCode::CannotIndexParallelArrays => {
                Error::bad_value("cannot sort with keys that are parallel arrays")
            }
            _ => error,
        })?;
        out.extend_from_slice(least.as_deref().unwrap_or_default());
        Ok(())
    }

    /// The order of two documents.
    ///
    /// # Errors
    /// As [`append_key`](Sort::append_key).
    pub fn compare(&self, a: Doc<'_>, b: Doc<'_>) -> Result<Ordering> {
        Ok(self.key(a)?.cmp(&self.key(b)?))
    }
}

fn or_null(value: ValueRef<'_>) -> ValueRef<'_> {
    match value {
        ValueRef::Missing => ValueRef::Null,
        value => value,
    }
}

fn parse_meta(meta: Doc<'_>) -> Result<()> {
    let mut elements = meta.iter();
    let Some(first) = elements.next().filter(|element| element.key() == "$meta") else {
        return Err(Error::location(
            17312,
            "$meta is the only expression supported by $sort right now",
        ));
    };
    if elements.next().is_some() {
        return Err(Error::failed_to_parse(
            "Cannot have additional keys in a $meta sort specification",
        ));
    }
    let value = first.value();
    match value {
        ValueRef::String(name) => match name.as_ref() as &[u8] {
            b"randVal" => Ok(()),
            b"textScore" => Err(Error::location(
                40218,
                "query requires text score metadata, but it is not available",
            )),
            b"searchScore" => Err(Error::location(
                31218,
                "$meta sort by 'searchScore' metadata is not supported",
            )),
            _ => Err(illegal_meta(value)),
        },
        _ => Err(illegal_meta(value)),
    }
}

#[cold]
fn illegal_meta(value: ValueRef<'_>) -> Error {
    Error::location(31138, format!("Illegal $meta sort: $meta: {value}"))
}

fn check_path(path: &[u8]) -> Result<()> {
    if path.is_empty() {
        return Err(Error::location(
            40352,
            "FieldPath cannot be constructed with empty string",
        ));
    }
    if path.ends_with(b".") {
        return Err(Error::location(40353, "FieldPath must not end with a '.'."));
    }
    if path.split(|&byte| byte == b'.').count() > COMPONENTS_MAX {
        return Err(Error::new(ErrorCode::Overflow, "FieldPath is too long"));
    }
    for name in path.split(|&byte| byte == b'.') {
        if name.is_empty() {
            return Err(Error::location(
                15998,
                "FieldPath field names may not be empty strings.",
            ));
        }
        if !may_name_field(name) {
            return Err(Error::location(
                16410,
                "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn parse(spec: &bson::Document) -> Result<Sort> {
        Sort::parse(Doc::new(&spec.to_vec().unwrap()))
    }

    #[test]
    fn arrays_sort_as_in_mongod() {
        let documents = [
            doc! {"_id": 1, "a": [{"b": 1, "c": 9}, {"b": 5, "c": 1}]},
            doc! {"_id": 2, "a": [{"b": 1, "c": 3}]},
            doc! {"_id": 3, "a": []},
            doc! {"_id": 4},
            doc! {"_id": 5, "a": null},
            doc! {"_id": 6, "a": [[]]},
            doc! {"_id": 7, "a": [{}]},
            doc! {"_id": 8, "a": [null]},
            doc! {"_id": 9, "a": [{"b": 2}, {"c": 4}]},
            doc! {"_id": 10, "a": {"b": [3, 0], "c": 2}},
        ];
        for (spec, expected) in [
            (doc! {"a": 1}, [3, 4, 5, 8, 7, 2, 1, 9, 10, 6]),
            (doc! {"a": -1}, [6, 10, 9, 1, 2, 7, 4, 5, 8, 3]),
            (doc! {"a.b": 1}, [3, 4, 5, 6, 7, 8, 9, 10, 1, 2]),
            (doc! {"a.b": -1}, [1, 10, 9, 2, 3, 4, 5, 6, 7, 8]),
            (doc! {"a.b": 1, "a.c": 1}, [3, 4, 5, 6, 7, 8, 9, 10, 2, 1]),
            (doc! {"a.b": -1, "a.c": 1}, [1, 10, 9, 2, 3, 4, 5, 6, 7, 8]),
            (doc! {"a.b": 1, "a.c": -1}, [9, 3, 4, 5, 6, 7, 8, 10, 1, 2]),
            (doc! {"a.0": 1}, [6, 3, 4, 5, 8, 10, 7, 2, 1, 9]),
            (doc! {"a.0.b": 1}, [3, 4, 5, 6, 7, 8, 10, 1, 2, 9]),
        ] {
            let sort = parse(&spec).unwrap();
            let mut sorted = documents.clone();
            sorted.sort_by_cached_key(|doc| sort.key(Doc::new(&doc.to_vec().unwrap())).unwrap());
            let sorted: Vec<i32> = sorted
                .iter()
                .map(|doc| doc.get_i32("_id").unwrap())
                .collect();
            assert_eq!(sorted, expected, "{spec}");
        }
    }

    #[test]
    fn refuses_what_mongod_refuses() {
        for (spec, code) in [
            (doc! {}, 15976),
            (doc! {"a": 2}, 15975),
            (doc! {"a": f64::NAN}, 15975),
            (doc! {"a": "x"}, 15974),
            (doc! {"a": {}}, 17312),
            (doc! {"a": {"$meta": "textScore"}}, 40218),
            (doc! {"a": {"$meta": "x"}}, 31138),
            (doc! {"a": {"$meta": "textScore", "b": 1}}, 9),
            (doc! {"": 1}, 40352),
            (doc! {"a.": 1}, 40353),
            (doc! {"a..b": 1}, 15998),
            (doc! {"$a": 1}, 16410),
            (doc! {"$natural": 1}, 16410),
        ] {
            assert_eq!(parse(&spec).unwrap_err().code().number(), code, "{spec}");
        }
        parse(&doc! {"a": 1.5, "b.$id": -1}).unwrap();
        let parallel = doc! {"a": [1], "b": [2]}.to_vec().unwrap();
        let error = parse(&doc! {"a": 1, "b": 1})
            .unwrap()
            .key(Doc::new(&parallel))
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::BadValue);
    }
}
