//! A filter's tree as a document: how an explanation shows what is left to be matched.
//!
//! Everything is spelled out, as in mongod: `{a: 1}` is `{a: {$eq: 1}}`.

use crate::filter::{BitTest, CompareOp, In, Node, Predicate, TypeSet};
use crate::path::Path;
use crate::regex::Regex;
use crate::value::{BsonType, Doc, DocBuf, Value, ValueRef};
use bytes::Bytes;

/// Type codes, as `$type` has them.
const TYPE_CODES: &[(BsonType, i32)] = &[
    (BsonType::Double, 1),
    (BsonType::String, 2),
    (BsonType::Document, 3),
    (BsonType::Array, 4),
    (BsonType::Binary, 5),
    (BsonType::Undefined, 6),
    (BsonType::ObjectId, 7),
    (BsonType::Bool, 8),
    (BsonType::DateTime, 9),
    (BsonType::Null, 10),
    (BsonType::Regex, 11),
    (BsonType::DbPointer, 12),
    (BsonType::JavaScript, 13),
    (BsonType::Symbol, 14),
    (BsonType::JavaScriptWithScope, 15),
    (BsonType::Int32, 16),
    (BsonType::Timestamp, 17),
    (BsonType::Int64, 18),
    (BsonType::Decimal128, 19),
    (BsonType::MinKey, -1),
    (BsonType::MaxKey, 127),
];

/// The document of the conjunction of `nodes`. `source` is the filter as the client wrote it, for what has no other form
/// than its text.
pub(super) fn conjunction(nodes: &[&Node], source: Doc<'_>) -> Bytes {
    let mut out = DocBuf::new();
    match nodes {
        [] => {}
        [only] => append(only, source, &mut out),
        many => list(
            "$and",
            sorted(many.iter().copied()).into_iter(),
            source,
            &mut out,
        ),
    }
    out.finish()
}

/// The `$in` that the branches of an `$or` are, if all are equalities of one path.
pub(super) fn as_list(branches: &[Node]) -> Option<(&Path, In)> {
    let mut path: Option<&Path> = None;
    let mut values = Vec::with_capacity(branches.len());
    for branch in branches {
        let Node::Leaf(leaf) = branch else {
            return None;
        };
        let Predicate::Compare(compare) = &leaf.predicate else {
            return None;
        };
        if compare.op() != CompareOp::Eq || path.is_some_and(|path| *path != leaf.path) {
            return None;
        }
        path = Some(&leaf.path);
        values.push(compare.operand().clone());
    }
    Some((path?, In::new(values, Vec::new())))
}

/// Conditions in the order in which mongod shows them: by kind, then path.
fn sorted<'n>(nodes: impl Iterator<Item = &'n Node>) -> Vec<&'n Node> {
    let mut nodes: Vec<&Node> = nodes.collect();
    nodes.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| path(a).cmp(path(b))));
    nodes
}

fn path(node: &Node) -> &[u8] {
    match node {
        Node::Leaf(leaf) => leaf.path.text(),
        Node::Not(inner) => path(inner),
        _ => b"",
    }
}

fn rank(node: &Node) -> u8 {
    match node {
        Node::And(_) => 0,
        Node::Or(_) => 1,
        Node::Leaf(leaf) => match &leaf.predicate {
            Predicate::ElemMatchObject(_) => 2,
            Predicate::ElemMatchValue(_) => 3,
            Predicate::Size(_) => 4,
            Predicate::Compare(compare) => match compare.op() {
                CompareOp::Eq => 5,
                CompareOp::Lte => 6,
                CompareOp::Lt => 7,
                CompareOp::Gt => 8,
                CompareOp::Gte => 9,
            },
            Predicate::Regex(_) => 10,
            Predicate::Mod { .. } => 11,
            Predicate::Exists => 12,
            Predicate::In(_) => 13,
            Predicate::Bits(_) => 14,
            Predicate::Type(_) => 17,
        },
        Node::Not(_) => 15,
        Node::Nor(_) => 16,
        Node::Expr(_) | Node::Schema(_) | Node::SampleRate(_) | Node::Always(_) => 18,
    }
}

fn list<'n>(name: &str, nodes: impl Iterator<Item = &'n Node>, source: Doc<'_>, out: &mut DocBuf) {
    let array = out.open_array(name);
    for (index, node) in nodes.enumerate() {
        let open = out.push_document(index);
        append(node, source, out);
        out.close(open);
    }
    out.close(array);
}

fn append(node: &Node, source: Doc<'_>, out: &mut DocBuf) {
    match node {
        Node::And(nodes) => match nodes.as_slice() {
            [] => {}
            [only] => append(only, source, out),
            many => list("$and", sorted(many.iter()).into_iter(), source, out),
        },
        Node::Or(nodes) => match (nodes.as_slice(), as_list(nodes)) {
            ([only], _) => append(only, source, out),
            (_, Some((path, values))) => {
                let open = out.open_document(path.text());
                in_list(&values, out);
                out.close(open);
            }
            _ => list("$or", nodes.iter(), source, out),
        },
        Node::Nor(nodes) if matches!(nodes.as_slice(), [Node::Leaf(_)]) => {
            append(&Node::Not(Box::new(nodes[0].clone())), source, out);
        }
        Node::Nor(nodes) => list("$nor", nodes.iter(), source, out),
        Node::Not(inner) => match &**inner {
            Node::Leaf(leaf) => {
                let open = out.open_document(leaf.path.text());
                let not = out.open_document("$not");
                predicate(&leaf.predicate, source, out);
                out.close(not);
                out.close(open);
            }
            other => list("$nor", std::iter::once(other), source, out),
        },
        Node::Leaf(leaf) => {
            let open = out.open_document(leaf.path.text());
            predicate(&leaf.predicate, source, out);
            out.close(open);
        }
        Node::Expr(_) => out.append("$expr", source.get("$expr").unwrap_or(ValueRef::Missing)),
        Node::SampleRate(rate) => out.append("$sampleRate", ValueRef::Double(*rate)),
        Node::Always(value) => {
            let name = if *value {
                "$alwaysTrue"
            } else {
                "$alwaysFalse"
            };
            out.append(name, ValueRef::Int32(1));
        }
        Node::Schema(_) => out.append(
            "$jsonSchema",
            source.get("$jsonSchema").unwrap_or(ValueRef::Missing),
        ),
    }
}

fn predicate(predicate: &Predicate, source: Doc<'_>, out: &mut DocBuf) {
    match predicate {
        Predicate::Compare(compare) => {
            let name = match compare.op() {
                CompareOp::Eq => "$eq",
                CompareOp::Gt => "$gt",
                CompareOp::Gte => "$gte",
                CompareOp::Lt => "$lt",
                CompareOp::Lte => "$lte",
            };
            out.append(name, compare.operand().as_ref());
        }
        Predicate::In(values) => in_list(values, out),
        Predicate::Regex(regex) => {
            out.append("$regex", ValueRef::String(regex.pattern().into()));
            if !regex.options().is_empty() {
                out.append("$options", ValueRef::String(regex.options().into()));
            }
        }
        Predicate::Exists => out.append("$exists", ValueRef::Bool(true)),
        Predicate::Type(types) => type_list(*types, out),
        Predicate::Mod { divisor, remainder } => {
            let array = out.open_array("$mod");
            out.push(0, ValueRef::Int64(*divisor));
            out.push(1, ValueRef::Int64(*remainder));
            out.close(array);
        }
        Predicate::Bits(bits) => {
            let array = out.open_array(match bits.test() {
                BitTest::AllClear => "$bitsAllClear",
                BitTest::AllSet => "$bitsAllSet",
                BitTest::AnyClear => "$bitsAnyClear",
                BitTest::AnySet => "$bitsAnySet",
            });
            for (index, &position) in bits.positions().iter().enumerate() {
                out.push(index, ValueRef::Int64(position.into()));
            }
            out.close(array);
        }
        Predicate::Size(size) => out.append("$size", ValueRef::Int64((*size).into())),
        Predicate::ElemMatchObject(node) => {
            let open = out.open_document("$elemMatch");
            append(node, source, out);
            out.close(open);
        }
        Predicate::ElemMatchValue(node) => {
            let open = out.open_document("$elemMatch");
            items(node, source, out);
            out.close(open);
        }
    }
}

/// The operators of an `$elemMatch` on values, whose leaves have no path of their own.
fn items(node: &Node, source: Doc<'_>, out: &mut DocBuf) {
    match node {
        Node::And(nodes) => {
            for node in sorted(nodes.iter()) {
                items(node, source, out);
            }
        }
        Node::Leaf(leaf) => predicate(&leaf.predicate, source, out),
        Node::Not(inner) => {
            let open = out.open_document("$not");
            items(inner, source, out);
            out.close(open);
        }
        _ => {}
    }
}

fn in_list(values: &In, out: &mut DocBuf) {
    let array = out.open_array("$in");
    let mut count = 0;
    for value in values.values() {
        out.push(count, value.as_ref());
        count += 1;
    }
    for regex in values.regexes() {
        out.push(count, regex_value(regex).as_ref());
        count += 1;
    }
    out.close(array);
}

fn regex_value(regex: &Regex) -> Value {
    Value::Regex(Box::new((
        regex.pattern().to_owned().into(),
        regex.options().to_owned().into(),
    )))
}

fn type_list(types: TypeSet, out: &mut DocBuf) {
    const NUMBERS: [BsonType; 4] = [
        BsonType::Double,
        BsonType::Int32,
        BsonType::Int64,
        BsonType::Decimal128,
    ];
    let array = out.open_array("$type");
    let number = NUMBERS.iter().all(|&kind| types.contains(kind));
    let mut count = 0;
    if number {
        out.push(count, ValueRef::String("number".into()));
        count += 1;
    }
    for &(kind, code) in TYPE_CODES {
        if types.contains(kind) && !(number && NUMBERS.contains(&kind)) {
            out.push(count, ValueRef::Int32(code));
            count += 1;
        }
    }
    out.close(array);
}
