//! Why a document does not pass a filter: the `details` that a failed document validation reports.
//!
//! The report repeats the filter as written, so it is made from the document, clause by clause, and not from the tree.
//! It is made for one refused document at a time, so nothing here is in a hurry.
//!
//! Source: MongoDB manual, "Schema Validation"; the shapes are mongod 6.0.5's.

use bstr::BStr;
use bytes::Bytes;

use crate::expr::Expr;
use crate::path::{LeafArray, Path};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Env, Error, ParseContext, Result, Scope};

use super::Filter;
use super::parse::is_operator_document;
use super::tree::Node;

/// Most values that a report quotes for one clause.
const VALUES_MAX: usize = 10;

/// Says why `doc` does not pass the filter `validator`.
///
/// # Errors
/// Those of parsing the filter. Where the report itself fails (`$alwaysFalse` has none), it is the failure.
pub fn failure(validator: Doc<'_>, cx: &ParseContext, doc: &Bytes, env: &Env<'_>) -> Result<Bytes> {
    let report = Report { cx, doc, env };
    let mut out = DocBuf::new();
    match report.filter(validator, false, &mut out) {
        Ok(()) => Ok(out.finish()),
        Err(Stop::Parse(error)) => Err(error),
        Err(Stop::Unexplained(error)) => Ok(of_error(&error)),
    }
}

/// Why a report is not made.
enum Stop {
    Parse(Error),
    /// No report exists for a clause of this kind.
    Unexplained(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Parse(error)
    }
}

struct Report<'a> {
    cx: &'a ParseContext,
    doc: &'a Bytes,
    env: &'a Env<'a>,
}

/// One condition of a filter.
struct Clause {
    /// The field it is about, if it is about one.
    path: Option<Path>,
    name: String,
    /// The condition alone, as a filter.
    alone: Bytes,
    /// The condition as it is quoted: like `alone`, but `$regex` drags along what stands beside it.
    specified: Bytes,
}

impl Clause {
    /// The operand of its operator.
    fn operand(&self) -> ValueRef<'_> {
        let whole = Doc::new(&self.alone);
        let value = whole.values().next().unwrap_or(ValueRef::Missing);
        match (&self.path, value) {
            (Some(_), ValueRef::Document(operators)) => operators.get(&self.name).unwrap_or(value),
            _ => value,
        }
    }
}

impl Report<'_> {
    /// Appends why `filter` does not hold, or, `inverted`, why it does.
    fn filter(&self, filter: Doc<'_>, inverted: bool, out: &mut DocBuf) -> Result<(), Stop> {
        let clauses = clauses(filter);
        if let [only] = clauses.as_slice() {
            return self.clause(only, inverted, out);
        }
        out.append("operatorName", ValueRef::String("$and".into()));
        let list = out.open_array(list_name(inverted));
        let mut count = 0;
        for (index, clause) in (0..).zip(&clauses) {
            if self.holds(Doc::new(&clause.alone))? != inverted {
                continue;
            }
            let one = out.push_document(count);
            count += 1;
            out.append("index", ValueRef::Int32(index));
            let details = out.open_document("details");
            self.clause(clause, inverted, out)?;
            out.close(details);
            out.close(one);
        }
        out.close(list);
        Ok(())
    }

    /// Whether a filter holds; one that fails does not.
    fn holds(&self, filter: Doc<'_>) -> Result<bool, Stop> {
        let filter = Filter::parse(filter, self.cx)?;
        Ok(filter.matches(self.doc, self.env).unwrap_or(false))
    }

    fn clause(&self, clause: &Clause, inverted: bool, out: &mut DocBuf) -> Result<(), Stop> {
        let name = clause.name.as_str();
        if name.starts_with("$always") {
            return Err(Stop::Unexplained(Error::location(
                4994600,
                format!(
                    "Cannot generate validation error details: no annotation found for expression {:?}",
                    Doc::new(&clause.specified)
                ),
            )));
        }
        out.append("operatorName", ValueRef::String(name.into()));
        match (&clause.path, name) {
            (None, "$and" | "$or" | "$nor") => {
                let listed = inverted != (name == "$nor");
                self.list(clause.operand(), listed, out)?;
            }
            (None, "$jsonSchema") => self.schema(clause, inverted, out)?,
            (None, _) => self.expression(clause, inverted, out)?,
            (Some(path), "$not") => {
                let mut inner = DocBuf::new();
                inner.append(path.text(), clause.operand());
                let details = out.open_document("details");
                self.filter(Doc::new(&inner.finish()), !inverted, out)?;
                out.close(details);
            }
            (Some(path), _) => self.field(path, clause, inverted, out),
        }
        Ok(())
    }

    /// Appends the filters of `$and` and its like that hold, if `satisfied`, or those that do not.
    fn list(&self, filters: ValueRef<'_>, satisfied: bool, out: &mut DocBuf) -> Result<(), Stop> {
        let list = out.open_array(list_name(satisfied));
        let mut count = 0;
        let filters = filters.as_array().unwrap_or(Doc::EMPTY);
        for (index, filter) in (0..).zip(filters.values().filter_map(|item| item.as_document())) {
            if self.holds(filter)? != satisfied {
                continue;
            }
            let one = out.push_document(count);
            count += 1;
            out.append("index", ValueRef::Int32(index));
            let details = out.open_document("details");
            self.filter(filter, satisfied, out)?;
            out.close(details);
            out.close(one);
        }
        out.close(list);
        Ok(())
    }

    fn schema(&self, clause: &Clause, inverted: bool, out: &mut DocBuf) -> Result<(), Stop> {
        let filter = Filter::parse(Doc::new(&clause.alone), self.cx)?;
        if let Node::Schema(schema) = filter.root() {
            if inverted {
                append_text(out, "reason", "schema matched");
            } else {
                schema.append_root_failures(Doc::new(self.doc), out);
            }
        }
        Ok(())
    }

    /// `$expr`, and what else stands on a document without a path.
    fn expression(&self, clause: &Clause, inverted: bool, out: &mut DocBuf) -> Result<(), Stop> {
        out.append(
            "specifiedAs",
            ValueRef::Document(Doc::new(&clause.specified)),
        );
        let result = if clause.name == "$expr" {
            let expr = Expr::parse(clause.operand(), self.cx)?;
            expr.eval(&Scope::new(self.doc, self.env))
        } else {
            Ok(crate::Value::Bool(inverted))
        };
        match result {
            Ok(value) => {
                let text = if inverted {
                    "expression did match"
                } else {
                    "expression did not match"
                };
                append_text(out, "reason", text);
                out.append("expressionResult", value.as_ref());
            }
            Err(error) => {
                append_text(out, "reason", "failed to evaluate aggregation expression");
                out.append("details", ValueRef::Document(Doc::new(&of_error(&error))));
            }
        }
        Ok(())
    }

    /// An operator on a field.
    fn field(&self, path: &Path, clause: &Clause, inverted: bool, out: &mut DocBuf) {
        let name = clause.name.as_str();
        out.append(
            "specifiedAs",
            ValueRef::Document(Doc::new(&clause.specified)),
        );
        if name == "$all" && clause.operand().as_array().is_some_and(Doc::is_empty) {
            append_text(out, "reason", "expression always evaluates to false");
            return;
        }
        let considered = Considered::of(path, Doc::new(self.doc), leaf_array(name));
        if name == "$exists" {
            let text = if considered.missing {
                "path does not exist"
            } else {
                "path does exist"
            };
            append_text(out, "reason", text);
            return;
        }
        if considered.missing {
            append_text(out, "reason", "field was missing");
            return;
        }
        let expected = match name {
            "$regex" => ["regex", "string", "symbol"].as_slice(),
            "$size" | "$elemMatch" => &["array"],
            "$mod" => &["decimal", "double", "int", "long"],
            name if name.starts_with("$bits") => &["binData", "decimal", "double", "int", "long"],
            _ => &[],
        };
        let suits = |value: &ValueRef<'_>| expected.contains(&value.type_name());
        if !expected.is_empty() && !inverted && !considered.values.iter().any(suits) {
            append_text(out, "reason", "type did not match");
            considered.append_types(out);
            if let [only] = expected {
                append_text(out, "expectedType", only);
            } else {
                append_texts(out, "expectedTypes", expected);
            }
            considered.append_values(out);
            return;
        }
        append_text(out, "reason", reason(name, inverted));
        considered.append_values(out);
        if name == "$type" {
            considered.append_types(out);
        }
    }
}

/// Takes a filter apart: each operator on each field is a clause.
fn clauses(filter: Doc<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for element in filter.iter() {
        let key = element.key();
        if key.starts_with(b"$") {
            if key != "$comment" {
                clauses.push(clause(None, key, key, element.value()));
            }
            continue;
        }
        let path = Path::new(key);
        match element.value() {
            ValueRef::Document(operators) if is_operator_document(operators) => {
                for operator in operators.iter().filter(|one| one.key() != "$options") {
                    let mut inner = DocBuf::new();
                    inner.append_element(&operator);
                    let quoted = if operator.key() == "$regex" {
                        inner.append(
                            "$options",
                            operators.get("$options").unwrap_or(ValueRef::Missing),
                        );
                        Some(element.value())
                    } else {
                        None
                    };
                    let inner = inner.finish();
                    let value = ValueRef::Document(Doc::new(&inner));
                    let mut clause = clause(Some(path.clone()), operator.key(), key, value);
                    if let Some(quoted) = quoted {
                        clause.specified = single(key, quoted);
                    }
                    clauses.push(clause);
                }
            }
            value @ ValueRef::Regex { .. } => {
                clauses.push(clause(Some(path), BStr::new("$regex"), key, value));
            }
            value => clauses.push(clause(Some(path), BStr::new("$eq"), key, value)),
        }
    }
    clauses
}

fn clause(path: Option<Path>, name: &BStr, key: &BStr, value: ValueRef<'_>) -> Clause {
    let alone = single(key, value);
    Clause {
        path,
        name: name.to_string(),
        specified: alone.clone(),
        alone,
    }
}

fn single(key: &BStr, value: ValueRef<'_>) -> Bytes {
    let mut doc = DocBuf::new();
    doc.append(key, value);
    doc.finish()
}

/// The values that a condition on a field looked at.
struct Considered<'d> {
    values: Vec<ValueRef<'d>>,
    truncated: bool,
    /// Whether the path led nowhere.
    missing: bool,
}

impl<'d> Considered<'d> {
    fn of(path: &Path, doc: Doc<'d>, leaf: LeafArray) -> Considered<'d> {
        let mut considered = Considered {
            values: Vec::new(),
            truncated: false,
            missing: true,
        };
        path.any(doc, leaf, &mut |value, _| {
            // mongod quotes what comes before the first document that lacks the field.
            if matches!(value, ValueRef::Missing) {
                return true;
            }
            considered.missing = false;
            considered.truncated = considered.values.len() == VALUES_MAX;
            if !considered.truncated {
                considered.values.push(value);
            }
            considered.truncated
        });
        if leaf == LeafArray::ItemsOnly && considered.missing {
            // An empty array is there, though none of its items is.
            path.any(doc, LeafArray::Whole, &mut |value, _| {
                considered.missing = matches!(value, ValueRef::Missing);
                true
            });
        }
        considered
    }

    fn append_values(&self, out: &mut DocBuf) {
        if let [only] = self.values.as_slice() {
            out.append("consideredValue", *only);
            return;
        }
        let list = out.open_array("consideredValues");
        for (index, value) in self.values.iter().enumerate() {
            out.push(index, *value);
        }
        out.close(list);
        if self.truncated {
            out.append("consideredValuesTruncated", ValueRef::Bool(true));
        }
    }

    fn append_types(&self, out: &mut DocBuf) {
        let mut names: Vec<_> = self.values.iter().map(ValueRef::type_name).collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [] => {}
            [only] => append_text(out, "consideredType", only),
            _ => append_texts(out, "consideredTypes", &names),
        }
    }
}

fn leaf_array(name: &str) -> LeafArray {
    match name {
        "$all" | "$elemMatch" | "$exists" | "$size" => LeafArray::Whole,
        _ => LeafArray::ItemsOnly,
    }
}

/// Why the operator `name` does not hold, or, `inverted`, why it does.
fn reason(name: &str, inverted: bool) -> &'static str {
    let (fails, holds) = match name {
        "$all" => (
            "array did not contain all specified values",
            "array did contain all specified values",
        ),
        "$bitsAllClear" | "$bitsAllSet" | "$bitsAnyClear" | "$bitsAnySet" => (
            "bitwise operator failed to match",
            "bitwise operator matched successfully",
        ),
        "$elemMatch" => (
            "array did not satisfy the child predicate",
            "array did satisfy the child predicate",
        ),
        "$in" => (
            "no matching value found in array",
            "matching value found in array",
        ),
        "$mod" => (
            "$mod did not evaluate to expected remainder",
            "$mod did evaluate to expected remainder",
        ),
        "$ne" => ("comparison succeeded", "comparison failed"),
        "$nin" => (
            "matching value found in array",
            "no matching value found in array",
        ),
        "$regex" => (
            "regular expression did not match",
            "regular expression did match",
        ),
        "$size" => (
            "array length was not equal to given size",
            "array length was equal to given size",
        ),
        "$type" => ("type did not match", "type did match"),
        _ => ("comparison failed", "comparison succeeded"),
    };
    if inverted { holds } else { fails }
}

fn list_name(satisfied: bool) -> &'static str {
    if satisfied {
        "clausesSatisfied"
    } else {
        "clausesNotSatisfied"
    }
}

fn of_error(error: &Error) -> Bytes {
    let mut out = DocBuf::new();
    out.append("code", ValueRef::Int32(error.code().number()));
    append_text(&mut out, "codeName", &error.code().name());
    append_text(&mut out, "errmsg", error.message());
    out.finish()
}

fn append_text(out: &mut DocBuf, key: &str, text: &str) {
    out.append(key, ValueRef::String(text.into()));
}

fn append_texts(out: &mut DocBuf, key: &str, texts: &[&str]) {
    let list = out.open_array(key);
    for (index, text) in texts.iter().enumerate() {
        out.push(index, ValueRef::String((*text).into()));
    }
    out.close(list);
}
