//! A filter's tree printed as a filter, the way mongod's explanations do.

use bytes::Bytes;

use crate::value::{BsonType, DocBuf, ValueRef};

use super::bitwise::BitTest;
use super::comparison::CompareOp;
use super::element::{NUMBERS, TYPES};
use super::tree::{Leaf, Node, Predicate, TypeSet};

/// `node` as a filter.
pub(super) fn filter(node: &Node) -> Bytes {
    let mut out = DocBuf::new();
    append(node, &mut out);
    out.finish()
}

fn append(node: &Node, out: &mut DocBuf) {
    match node {
        Node::And(nodes) if nodes.is_empty() => {}
        Node::And(nodes) => append_list("$and", nodes, out),
        Node::Or(nodes) => append_list("$or", nodes, out),
        Node::Nor(nodes) => append_list("$nor", nodes, out),
        Node::Not(inner) => match &**inner {
            Node::Leaf(leaf) => {
                let field = out.open_document(leaf.path.text());
                let not = out.open_document("$not");
                append_predicate(&leaf.predicate, out);
                out.close(not);
                out.close(field);
            }
            node => append_list("$nor", std::slice::from_ref(node), out),
        },
        Node::Leaf(leaf) => append_leaf(leaf, out),
        Node::Expr(expr) => out.append("$expr", expr.source.as_ref()),
        Node::Schema(schema) => out.append("$jsonSchema", ValueRef::Document(schema.source())),
        Node::SampleRate(rate) => append_sample_rate(*rate, out),
        Node::Always(true) => out.append("$alwaysTrue", ValueRef::Int32(1)),
        Node::Always(false) => out.append("$alwaysFalse", ValueRef::Int32(1)),
    }
}

fn append_list(name: &str, nodes: &[Node], out: &mut DocBuf) {
    let list = out.open_array(name);
    for (index, node) in nodes.iter().enumerate() {
        let item = out.push_document(index);
        append(node, out);
        out.close(item);
    }
    out.close(list);
}

fn append_leaf(leaf: &Leaf, out: &mut DocBuf) {
    let field = out.open_document(leaf.path.text());
    append_predicate(&leaf.predicate, out);
    out.close(field);
}

/// mongod turns it into an expression.
fn append_sample_rate(rate: f64, out: &mut DocBuf) {
    let expr = out.open_document("$expr");
    let less = out.open_array("$lt");
    let random = out.push_document(0);
    let rand = out.open_document("$rand");
    out.close(rand);
    out.close(random);
    let constant = out.push_document(1);
    out.append("$const", ValueRef::Double(rate));
    out.close(constant);
    out.close(less);
    out.close(expr);
}

/// Appends the operator and its operand.
fn append_predicate(predicate: &Predicate, out: &mut DocBuf) {
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
        Predicate::In(list) => {
            let array = out.open_array("$in");
            let values = list.values().iter().map(|value| value.as_ref());
            let regexes = list.regexes().iter().map(|regex| ValueRef::Regex {
                pattern: regex.pattern().into(),
                options: regex.options().into(),
            });
            for (index, value) in values.chain(regexes).enumerate() {
                out.push(index, value);
            }
            out.close(array);
        }
        Predicate::Regex(regex) => {
            out.append("$regex", ValueRef::String(regex.pattern().into()));
            if !regex.options().is_empty() {
                out.append("$options", ValueRef::String(regex.options().into()));
            }
        }
        Predicate::Exists => out.append("$exists", ValueRef::Bool(true)),
        Predicate::Type(types) => append_types(*types, out),
        Predicate::Mod { divisor, remainder } => {
            let array = out.open_array("$mod");
            for (index, number) in [*divisor, *remainder].into_iter().enumerate() {
                out.push(index, ValueRef::Int64(number));
            }
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
                out.push(
                    index,
                    ValueRef::Int32(i32::try_from(position).unwrap_or(i32::MAX)),
                );
            }
            out.close(array);
        }
        Predicate::Size(size) => out.append(
            "$size",
            ValueRef::Int32(i32::try_from(*size).unwrap_or(i32::MAX)),
        ),
        Predicate::ElemMatchObject(inner) => {
            let open = out.open_document("$elemMatch");
            append(inner, out);
            out.close(open);
        }
        Predicate::ElemMatchValue(inner) => {
            let open = out.open_document("$elemMatch");
            append_operators(inner, out);
            out.close(open);
        }
    }
}

/// Appends the operators of which `node`, parsed for one value, consists.
fn append_operators(node: &Node, out: &mut DocBuf) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| append_operators(node, out)),
        Node::Leaf(leaf) => append_predicate(&leaf.predicate, out),
        Node::Not(inner) => {
            let open = out.open_document("$not");
            append_operators(inner, out);
            out.close(open);
        }
        node => append(node, out),
    }
}

fn append_types(types: TypeSet, out: &mut DocBuf) {
    let array = out.open_array("$type");
    let all_numbers = NUMBERS.iter().all(|&kind| types.contains(kind));
    let mut index = 0;
    if all_numbers {
        out.push(index, ValueRef::String("number".into()));
        index += 1;
    }
    let code = |kind: BsonType| {
        TYPES
            .iter()
            .find(|row| row.2 == kind)
            .map_or(0, |row| row.1)
    };
    let mut codes: Vec<i32> = types
        .iter()
        .filter(|kind| !(all_numbers && NUMBERS.contains(kind)))
        .map(code)
        .collect();
    codes.sort_unstable();
    for code in codes {
        out.push(index, ValueRef::Int32(code));
        index += 1;
    }
    out.close(array);
}

#[cfg(test)]
mod tests {
    use crate::{Doc, Filter, ParseContext};

    #[test]
    fn prints_what_mongod_prints() {
        let show = |query: serde_json::Value| -> serde_json::Value {
            let doc: bson::Document = serde_json::from_value(query).unwrap();
            let bytes = doc.to_vec().unwrap();
            let filter = Filter::parse(Doc::new(&bytes), &ParseContext::new()).unwrap();
            let shown = bson::Document::from_reader(&*filter.to_doc()).unwrap();
            serde_json::to_value(shown).unwrap()
        };
        for (query, shown) in [
            (r#"{}"#, r#"{}"#),
            (
                r#"{"a": {"$gt": 1, "$lt": 5}, "b": 1}"#,
                r#"{"$and": [{"b": {"$eq": 1}}, {"a": {"$lt": 5}}, {"a": {"$gt": 1}}]}"#,
            ),
            (r#"{"a": {"$nin": [1]}}"#, r#"{"a": {"$not": {"$eq": 1}}}"#),
            (r#"{"a": {"$in": [2, 1, 2]}}"#, r#"{"a": {"$in": [1, 2]}}"#),
            (
                r#"{"$or": [{"a": 1}, {"a": 2}, {"b": 1}]}"#,
                r#"{"$or": [{"b": {"$eq": 1}}, {"a": {"$in": [1, 2]}}]}"#,
            ),
            (r#"{"$nor": [{"a": 1}]}"#, r#"{"a": {"$not": {"$eq": 1}}}"#),
            (
                r#"{"a": {"$not": {"$gt": 1, "$lt": 5}}}"#,
                r#"{"$nor": [{"$and": [{"a": {"$lt": 5}}, {"a": {"$gt": 1}}]}]}"#,
            ),
            (r#"{"a": {"$all": []}}"#, r#"{"$alwaysFalse": 1}"#),
            (r#"{"$or": [{}, {"a": 1}]}"#, r#"{"$alwaysTrue": 1}"#),
            (
                r#"{"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}"#,
                r#"{"a": {"$elemMatch": {"$lt": 5, "$gt": 1}}}"#,
            ),
            (
                r#"{"a": {"$type": ["int", "string"]}}"#,
                r#"{"a": {"$type": [2, 16]}}"#,
            ),
            (
                r#"{"a": {"$type": "number"}}"#,
                r#"{"a": {"$type": ["number"]}}"#,
            ),
        ] {
            let parse = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
            assert_eq!(show(parse(query)), parse(shown), "{query}");
        }
    }
}
