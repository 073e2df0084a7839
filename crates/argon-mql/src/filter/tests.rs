use super::*;

fn bytes(json: &str) -> Bytes {
    let doc: bson::Document = serde_json::from_str(json).unwrap();
    Bytes::from(doc.to_vec().unwrap())
}

fn filter(json: &str) -> Result<Filter> {
    Filter::parse(Doc::new(&bytes(json)), &ParseContext::new())
}

#[track_caller]
fn check(query: &str, matching: &[&str], others: &[&str]) {
    let filter = filter(query).unwrap();
    let passes = |doc: &&str| filter.matches(&bytes(doc), &Env::fixed()).unwrap();
    for doc in matching {
        assert!(passes(doc), "{query} should match {doc}");
    }
    for doc in others {
        assert!(!passes(doc), "{query} should not match {doc}");
    }
}

#[test]
fn one_pass_over_top_level_fields() {
    check(
        r#"{"a": {"$gt": 5}, "b": "x"}"#,
        &[
            r#"{"b": "x", "a": 6}"#,
            r#"{"a": [1, 7], "c": 1, "b": ["x"]}"#,
        ],
        &[r#"{"a": 6}"#, r#"{"a": 5, "b": "x"}"#, "{}"],
    );
    check(
        r#"{"a": null, "b": {"$ne": 1}}"#,
        &["{}", r#"{"a": null, "b": 2}"#, r#"{"a": [null]}"#],
        &[r#"{"b": [1, 2]}"#, r#"{"a": 1}"#],
    );
}

#[test]
fn paths_enter_documents_in_arrays() {
    check(
        r#"{"a.b": null}"#,
        &[
            "{}",
            r#"{"a": 5}"#,
            r#"{"a": [{}]}"#,
            r#"{"a": [1, {"c": 1}]}"#,
        ],
        &[r#"{"a": []}"#, r#"{"a": [1]}"#, r#"{"a": [{"b": 1}]}"#],
    );
    check(
        r#"{"a.0": 5}"#,
        &[
            r#"{"a": [5]}"#,
            r#"{"a": [{"0": 5}]}"#,
            r#"{"a": {"0": [5]}}"#,
        ],
        &[r#"{"a": [[5]]}"#],
    );
    check(
        r#"{"a.0.0.b": 5}"#,
        &[r#"{"a": [[{"b": 5}]]}"#, r#"{"a": [[[{"b": 5}]]]}"#],
        &[r#"{"a": [{"b": 5}]}"#],
    );
}

#[test]
fn arrays_match_item_by_item_or_whole() {
    check(
        r#"{"a": {"$elemMatch": {"$gte": 5, "$lt": 7}}}"#,
        &[r#"{"a": [1, 6]}"#],
        &[r#"{"a": [4, 8]}"#, r#"{"a": 6}"#, r#"{"a": [[6]]}"#],
    );
    check(
        r#"{"a": {"$all": [1, [2]]}}"#,
        &[r#"{"a": [1, [2]]}"#],
        &[r#"{"a": [1, 2]}"#],
    );
    check(r#"{"a": {"$all": []}}"#, &[], &[r#"{"a": []}"#]);
    check(
        r#"{"a": {"$size": 2}}"#,
        &[r#"{"a": [1, 2]}"#],
        &[r#"{"a": [[1, 2]]}"#],
    );
}

#[test]
fn positions_are_of_the_last_condition_on_an_array() {
    let position = |query: &str, doc: &str| {
        filter(query)
            .unwrap()
            .array_match(&bytes(doc), &Env::fixed())
            .unwrap()
    };
    assert_eq!(position(r#"{"a": 3}"#, r#"{"a": [1, 2, 3]}"#), Some(2));
    assert_eq!(
        position(r#"{"a.b": 3}"#, r#"{"a": [{}, {"b": [3]}]}"#),
        Some(1)
    );
    assert_eq!(
        position(
            r#"{"a": {"$elemMatch": {"b": 3}}}"#,
            r#"{"a": [{}, {"b": [3]}]}"#
        ),
        Some(1)
    );
    assert_eq!(position(r#"{"a": {"$ne": 3}}"#, r#"{"a": [1]}"#), None);
    assert_eq!(position(r#"{"b": 1}"#, r#"{"a": [1], "b": 1}"#), None);
}

#[test]
fn equalities_seed_an_upsert() {
    let filter = filter(
        r#"{"a": 1, "$and": [{"b.c": {"$eq": "x"}}, {"d": {"$gt": 1}}], "$or": [{"e": 2}], "f": {"$all": [3]}}"#,
    )
    .unwrap();
    let paths: Vec<_> = filter
        .equalities()
        .iter()
        .map(|row| row.0.to_string())
        .collect();
    assert_eq!(paths, ["a", "b.c", "e", "f"]);
}

#[test]
fn malformed_filters_get_mongods_codes() {
    for (query, code) in [
        (r#"{"$foo": 1}"#, 2),
        (r#"{"a": {"$foo": 1}}"#, 2),
        (r#"{"$and": []}"#, 2),
        (r#"{"a": {"$regex": "("}}"#, 51091),
        (r#"{"a": {"$regex": "a", "$options": "g"}}"#, 51108),
        (r#"{"a": {"$type": []}}"#, 9),
        (r#"{"a": {"$type": null}}"#, 14),
        (r#"{"a": {"$bitsAllSet": -1}}"#, 9),
        (r#"{"a": {"$bitsAllSet": [-1]}}"#, 2),
        (r#"{"$where": "1"}"#, 6108304),
        (r#"{"$text": {"$search": "x"}}"#, 27),
        (r#"{"a": {"$elemMatch": {"$expr": 1}}}"#, 2),
        (r#"{"a": {"$mod": [0, 1]}}"#, 2),
    ] {
        let error = filter(query).map(|_| ()).unwrap_err();
        assert_eq!(error.code().number(), code, "{query}: {error}");
    }
}

#[test]
fn an_expression_sees_the_document() {
    check(
        r#"{"$expr": "$a", "c": 1}"#,
        &[r#"{"a": 1, "c": 1}"#],
        &[r#"{"a": 0, "c": 1}"#, r#"{"c": 1}"#, r#"{"a": 1}"#],
    );
}

#[test]
fn schemas_speak_about_the_types_they_name() {
    check(
        r#"{"$jsonSchema": {"required": ["a"], "properties": {"a": {"bsonType": "int", "minimum": 2}, "b": {"items": {"type": "string"}, "uniqueItems": true}}}}"#,
        &[
            r#"{"a": 2}"#,
            r#"{"a": 3, "b": ["x", "y"]}"#,
            r#"{"a": 3, "b": 1}"#,
        ],
        &[
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": "x"}"#,
            r#"{"a": 2, "b": ["x", "x"]}"#,
            r#"{"a": 2, "b": [1]}"#,
        ],
    );
    check(
        r#"{"$jsonSchema": {"properties": {"a": {"enum": [{"x": 1, "y": [2]}, 3]}}, "additionalProperties": false}}"#,
        &["{}", r#"{"a": {"y": [2], "x": 1}}"#, r#"{"a": 3}"#],
        &[r#"{"a": 4}"#, r#"{"b": 1}"#],
    );
}

#[test]
fn malformed_schemas_get_mongods_codes() {
    for (schema, code) in [
        (r#"{"foo": 1}"#, 9),
        (r#"{"minimum": "x"}"#, 14),
        (r#"{"maxItems": -1}"#, 9),
        (r#"{"allOf": []}"#, 2),
        (r#"{"type": "int"}"#, 2),
        (r#"{"required": []}"#, 9),
        (r#"{"properties": {"a": {"pattern": "("}}}"#, 51091),
        (r#"{"format": "x"}"#, 9),
        (r#"{"properties": {"a": {"encrypt": {}}}}"#, 9),
    ] {
        let query = format!(r#"{{"$jsonSchema": {schema}}}"#);
        let error = filter(&query).map(|_| ()).unwrap_err();
        assert_eq!(error.code().number(), code, "{query}: {error}");
    }
}

#[test]
fn a_failure_is_explained() {
    let explain = |validator: &str, doc: &str| -> serde_json::Value {
        let details = failure(
            Doc::new(&bytes(validator)),
            &ParseContext::new(),
            &bytes(doc),
            &Env::fixed(),
        )
        .unwrap();
        let doc = bson::Document::from_reader(&*details).unwrap();
        serde_json::to_value(doc).unwrap()
    };
    assert_eq!(
        explain(r#"{"a": {"$gt": 9}}"#, r#"{"_id": 1, "a": 5}"#),
        serde_json::json!({
            "operatorName": "$gt",
            "specifiedAs": {"a": {"$gt": 9}},
            "reason": "comparison failed",
            "consideredValue": 5
        })
    );
    assert_eq!(
        explain(
            r#"{"$jsonSchema": {"title": "T", "properties": {"a": {"type": "string"}}}}"#,
            r#"{"a": 5}"#
        ),
        serde_json::json!({
            "operatorName": "$jsonSchema",
            "title": "T",
            "schemaRulesNotSatisfied": [{
                "operatorName": "properties",
                "propertiesNotSatisfied": [{
                    "propertyName": "a",
                    "details": [{
                        "operatorName": "type",
                        "specifiedAs": {"type": "string"},
                        "reason": "type did not match",
                        "consideredValue": 5,
                        "consideredType": "int"
                    }]
                }]
            }]
        })
    );
}

#[test]
fn validators_refuse_what_mongod_refuses_in_them() {
    for (validator, code) in [
        (r#"{"$where": "1"}"#, 2),
        (r#"{"$text": {"$search": "x"}}"#, 2),
        (r#"{"a": {"$near": [0, 0]}}"#, 5_626_500),
        (r#"{"$sampleRate": 0.5}"#, 3_040_500),
        (r#"{"$expr": {"$gt": [{"$rand": {}}, 0.5]}}"#, 3_040_500),
    ] {
        let result = Filter::parse_validator(Doc::new(&bytes(validator)), &ParseContext::new());
        assert_eq!(result.unwrap_err().code().number(), code, "{validator}");
    }
}
