//! Commands in and out, replies in and out, by table. Replies are as mongod 6.0.5 gave them.

use argon_prefix::{Composed, Names, Refused, Rewritten, Shape, command, listing, reply};
use bson::{Document, rawdoc};

fn branch() -> Names {
    Names::new(
        "shop~feature-x",
        "shop",
        "branch_feature_x_",
        ["branch_feature_x_", "branch_feature_x_y_", "branch_b_"],
    )
}

fn main_branch() -> Names {
    Names::new("shop", "shop", "", ["branch_feature_x_"])
}

fn bytes(json: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(json).expect(json);
    let serde_json::Value::Object(object) = value else {
        panic!("{json}")
    };
    let document = Document::try_from(object).expect(json);
    document.to_vec().expect(json)
}

fn show(bytes: &[u8]) -> String {
    let document = Document::from_reader(bytes).expect("the library writes BSON");
    bson::Bson::Document(document)
        .into_relaxed_extjson()
        .to_string()
}

fn run(names: &Names, json: &str) -> Result<Rewritten, Refused> {
    command(names, &bytes(json))
}

/// What `json` becomes on the branch.
fn becomes(names: &Names, json: &str, expected: &str) {
    let Rewritten::Forward { body, .. } = run(names, json).expect(json) else {
        panic!("{json} is not forwarded")
    };
    let found = body.map_or_else(|| bytes(json), |body| body.to_vec());
    assert_eq!(show(&found), show(&bytes(expected)), "{json}");
}

fn check(json: &str, expected: &str) {
    becomes(&branch(), json, expected);
}

fn refused(names: &Names, json: &str, code: i32) {
    match run(names, json) {
        Err(refused) => assert_eq!(refused.code.number(), code, "{json}: {refused}"),
        Ok(rewritten) => panic!("{json} is {rewritten:?}"),
    }
}

#[test]
fn first_fields_name_the_collection() {
    for name in [
        "find",
        "insert",
        "update",
        "delete",
        "count",
        "distinct",
        "findAndModify",
        "findandmodify",
        "aggregate",
        "drop",
        "listIndexes",
        "createIndexes",
        "dropIndexes",
        "deleteIndexes",
        "collMod",
        "collStats",
        "collstats",
        "validate",
        "convertToCapped",
        "reIndex",
        "compact",
        "planCacheClear",
        "planCacheSetFilter",
        "create",
        "mapReduce",
        "killCursors",
    ] {
        check(
            &format!(
                r#"{{"{name}": "users", "q": {{"users": "branch_feature_x_users"}}, "$db": "shop~feature-x"}}"#
            ),
            &format!(
                r#"{{"{name}": "branch_feature_x_users", "q": {{"users": "branch_feature_x_users"}}, "$db": "shop"}}"#
            ),
        );
    }
}

#[test]
fn other_fields_name_more() {
    check(
        r#"{"getMore": 7, "collection": "users", "$db": "shop~feature-x"}"#,
        r#"{"getMore": 7, "collection": "branch_feature_x_users", "$db": "shop"}"#,
    );
    check(
        r#"{"getMore": 7, "collection": "$cmd.aggregate", "$db": "shop~feature-x"}"#,
        r#"{"getMore": 7, "collection": "$cmd.aggregate", "$db": "shop"}"#,
    );
    check(
        r#"{"renameCollection": "shop~feature-x.a", "to": "shop~feature-x.b.c", "$db": "admin"}"#,
        r#"{"renameCollection": "shop.branch_feature_x_a", "to": "shop.branch_feature_x_b.c", "$db": "admin"}"#,
    );
    check(
        r#"{"dataSize": "shop~feature-x.a", "$db": "shop~feature-x"}"#,
        r#"{"dataSize": "shop.branch_feature_x_a", "$db": "shop"}"#,
    );
    check(
        r#"{"cloneCollectionAsCapped": "a", "toCollection": "b", "size": 1}"#,
        r#"{"cloneCollectionAsCapped": "branch_feature_x_a", "toCollection": "branch_feature_x_b", "size": 1}"#,
    );
    check(
        r#"{"filemd5": {"$oid": "5f5e5a5b5c5d5e5f5a5b5c5d"}, "root": "fs"}"#,
        r#"{"filemd5": {"$oid": "5f5e5a5b5c5d5e5f5a5b5c5d"}, "root": "branch_feature_x_fs"}"#,
    );
    check(
        r#"{"createIndexes": "a", "indexes": [{"v": 2, "ns": "shop~feature-x.a", "key": {"x": 1}, "name": "x"}]}"#,
        r#"{"createIndexes": "branch_feature_x_a", "indexes": [{"v": 2, "key": {"x": 1}, "name": "x"}]}"#,
    );
    check(
        r#"{"create": "v", "viewOn": "a", "pipeline": [{"$lookup": {"from": "b", "as": "b"}}]}"#,
        r#"{"create": "branch_feature_x_v", "viewOn": "branch_feature_x_a",
            "pipeline": [{"$lookup": {"from": "branch_feature_x_b", "as": "b"}}]}"#,
    );
    check(
        r#"{"mapReduce": "a", "out": {"merge": "b", "db": "shop~feature-x"}}"#,
        r#"{"mapReduce": "branch_feature_x_a", "out": {"merge": "branch_feature_x_b", "db": "shop"}}"#,
    );
    check(
        r#"{"mapReduce": "a", "out": {"inline": 1}}"#,
        r#"{"mapReduce": "branch_feature_x_a", "out": {"inline": 1}}"#,
    );
    check(
        r#"{"mapReduce": "a", "out": {"replace": "b", "db": "reports"}}"#,
        r#"{"mapReduce": "branch_feature_x_a", "out": {"replace": "b", "db": "reports"}}"#,
    );
    check(
        r#"{"explain": {"find": "a", "$db": "shop~feature-x"}, "verbosity": "queryPlanner", "$db": "shop~feature-x"}"#,
        r#"{"explain": {"find": "branch_feature_x_a", "$db": "shop"}, "verbosity": "queryPlanner", "$db": "shop"}"#,
    );
}

#[test]
fn stages_name_collections() {
    fn stage(json: &str, expected: &str) {
        check(
            &format!(
                r#"{{"aggregate": "a", "pipeline": [{{"$match": {{"from": "b"}}}}, {json}]}}"#
            ),
            &format!(
                r#"{{"aggregate": "branch_feature_x_a", "pipeline": [{{"$match": {{"from": "b"}}}}, {expected}]}}"#
            ),
        );
    }
    stage(
        r#"{"$lookup": {"from": "b", "let": {"from": "b"}, "pipeline": [{"$unionWith": "c"},
            {"$lookup": {"from": "d", "pipeline": [], "as": "d"}}], "as": "from"}}"#,
        r#"{"$lookup": {"from": "branch_feature_x_b", "let": {"from": "b"}, "pipeline": [{"$unionWith": "branch_feature_x_c"},
            {"$lookup": {"from": "branch_feature_x_d", "pipeline": [], "as": "d"}}], "as": "from"}}"#,
    );
    stage(
        r#"{"$lookup": {"from": {"db": "shop~feature-x", "coll": "b"}, "as": "x"}}"#,
        r#"{"$lookup": {"from": {"db": "shop", "coll": "branch_feature_x_b"}, "as": "x"}}"#,
    );
    stage(
        r#"{"$unionWith": {"coll": "b", "pipeline": [{"$graphLookup": {"from": "c", "as": "c"}}]}}"#,
        r#"{"$unionWith": {"coll": "branch_feature_x_b",
            "pipeline": [{"$graphLookup": {"from": "branch_feature_x_c", "as": "c"}}]}}"#,
    );
    stage(
        r#"{"$facet": {"x": [{"$lookup": {"from": "b", "as": "b"}}], "y": []}}"#,
        r#"{"$facet": {"x": [{"$lookup": {"from": "branch_feature_x_b", "as": "b"}}], "y": []}}"#,
    );
    stage(r#"{"$out": "b"}"#, r#"{"$out": "branch_feature_x_b"}"#);
    stage(
        r#"{"$out": {"db": "shop~feature-x", "coll": "b"}}"#,
        r#"{"$out": {"db": "shop", "coll": "branch_feature_x_b"}}"#,
    );
    stage(
        r#"{"$out": {"db": "reports", "coll": "b"}}"#,
        r#"{"$out": {"db": "reports", "coll": "b"}}"#,
    );
    stage(r#"{"$merge": "b"}"#, r#"{"$merge": "branch_feature_x_b"}"#);
    stage(
        r#"{"$merge": {"into": "b", "whenMatched": [{"$set": {"into": "b"}}]}}"#,
        r#"{"$merge": {"into": "branch_feature_x_b", "whenMatched": [{"$set": {"into": "b"}}]}}"#,
    );
    stage(
        r#"{"$merge": {"into": {"coll": "b"}}}"#,
        r#"{"$merge": {"into": {"coll": "branch_feature_x_b"}}}"#,
    );
    stage(
        r#"{"$collStats": {"count": {}}}"#,
        r#"{"$collStats": {"count": {}}}, {"$set": {"ns": {"$concat": ["shop~feature-x.",
            {"$substrBytes": ["$ns", {"$numberLong": "22"}, -1]}]}}}"#,
    );
    // Of the wrong type: the upstream says so.
    stage(r#"{"$lookup": {"from": 1}}"#, r#"{"$lookup": {"from": 1}}"#);
}

#[test]
fn what_the_tables_do_not_know_is_refused() {
    let x = &branch();
    refused(
        x,
        r#"{"aggregate": "a", "pipeline": [{"$listCatalog": {}}]}"#,
        40324,
    );
    refused(
        x,
        r#"{"aggregate": "a", "pipeline": [{"$facet": {"a": [{"$mergeCursors": {}}]}}]}"#,
        40324,
    );
    refused(
        x,
        r#"{"aggregate": "a", "pipeline": [{"$match": {}, "$out": "b"}]}"#,
        40323,
    );
    refused(
        x,
        r#"{"renameCollection": "shop~feature-x.a", "to": "shop.a"}"#,
        115,
    );
    refused(x, r#"{"find": "a", "encryptionInformation": {}}"#, 115);
    refused(x, r#"{"create": "a", "encryptedFields": {}}"#, 115);
    refused(x, r#"{"splitVector": "shop~feature-x.a"}"#, 115);
    refused(x, r#"{"dbHash": 1}"#, 115);
    refused(x, r#"{"profile": 2}"#, 115);
    refused(
        x,
        r#"{"find": {"$uuid": "73ffd264-44b3-4c69-90e8-e7d1dfc035d4"}}"#,
        73,
    );
    refused(x, r#"{"find": "system.views"}"#, 73);
    refused(x, r#"{"find": "$cmd.aggregate"}"#, 73);
    refused(x, r#"{"find": "y_users"}"#, 73);
    refused(x, r#"{"explain": {"nothing": 1}}"#, 59);
    refused(x, r#"{"explain": {"listCollections": 1}}"#, 59);
    assert_eq!(run(x, r#"{"ping": 1}"#), Ok(Rewritten::Unknown));
    assert_eq!(run(x, "{}"), Ok(Rewritten::Unknown));
}

#[test]
fn main_is_kept_from_branches() {
    let main = &main_branch();
    for json in [
        r#"{"find": "branch_feature_x_users"}"#,
        r#"{"insert": "branch_feature_x_new"}"#,
        r#"{"aggregate": "a", "pipeline": [{"$lookup": {"from": "branch_feature_x_users"}}]}"#,
        r#"{"aggregate": "a", "pipeline": [{"$out": {"db": "shop", "coll": "branch_feature_x_users"}}]}"#,
        r#"{"renameCollection": "shop.a", "to": "shop.branch_feature_x_a"}"#,
        r#"{"explain": {"count": "branch_feature_x_users"}}"#,
        r#"{"drop": "system.views"}"#,
        r#"{"find": {"$uuid": "73ffd264-44b3-4c69-90e8-e7d1dfc035d4"}}"#,
    ] {
        refused(main, json, 73);
    }
    for json in [
        r#"{"find": "users", "$db": "shop"}"#,
        r#"{"find": "branch_offices", "$db": "shop"}"#,
        r#"{"profile": 0, "$db": "shop"}"#,
        r#"{"aggregate": "a", "pipeline": [{"$merge": {"into": {"db": "reports", "coll": "b"}}}]}"#,
        r#"{"aggregate": "a", "pipeline": [{"$changeStream": {}}]}"#,
        r#"{"aggregate": "a", "pipeline": [{"$collStats": {"count": {}}}]}"#,
    ] {
        assert!(
            matches!(run(main, json), Ok(Rewritten::Forward { body: None, .. })),
            "{json}"
        );
    }
    becomes(
        main,
        r#"{"aggregate": 1, "pipeline": [{"$changeStream": {}}], "cursor": {}}"#,
        r#"{"aggregate": 1, "pipeline": [{"$changeStream": {}}, {"$match": {"$and": [
            {"ns.coll": {"$not": {"$gte": "branch_feature_x_", "$lt": "branch_feature_x`"}}},
            {"to.coll": {"$not": {"$gte": "branch_feature_x_", "$lt": "branch_feature_x`"}}}
        ]}}], "cursor": {}}"#,
    );
}

#[test]
fn change_streams_are_filtered_and_renamed_by_the_upstream() {
    let collection =
        r#"{"aggregate": "a", "pipeline": [{"$changeStream": {}}, {"$match": {"ns.coll": "a"}}]}"#;
    let whole = collection.replace(r#""a", "pipeline"#, r#"1, "pipeline"#);
    let stages = |json: &str| -> Vec<String> {
        let Ok(Rewritten::Forward {
            body: Some(body), ..
        }) = run(&branch(), json)
        else {
            panic!("{json}")
        };
        let document = Document::from_reader(&*body).unwrap();
        let pipeline = document.get_array("pipeline").unwrap();
        let key = |stage: &bson::Bson| stage.as_document().unwrap().keys().next().unwrap().clone();
        pipeline.iter().map(key).collect()
    };
    assert_eq!(stages(collection), ["$changeStream", "$set", "$match"]);
    assert_eq!(
        stages(&whole),
        ["$changeStream", "$match", "$set", "$match"]
    );
}

#[test]
fn several_commands_answer_some() {
    for (json, composed) in [
        (r#"{"listCollections": 1}"#, Composed::ListCollections),
        (r#"{"dbStats": 1}"#, Composed::DbStats),
        (r#"{"dropDatabase": 1}"#, Composed::DropDatabase),
    ] {
        assert_eq!(run(&branch(), json), Ok(Rewritten::Composed(composed)));
    }
}

#[test]
fn replies_name_what_the_client_knows() {
    fn check(shape: Shape, upstream: &str, expected: &str) {
        let upstream = bytes(upstream);
        let found = reply(&branch(), shape, &upstream).map_or(upstream, |found| found.to_vec());
        assert_eq!(show(&found), show(&bytes(expected)));
        assert_eq!(reply(&main_branch(), shape, &found), None);
    }
    check(
        Shape::Cursor,
        r#"{"cursor": {"firstBatch": [{"ns": "shop.branch_feature_x_a"}], "id": 0, "ns": "shop.branch_feature_x_a"}, "ok": 1.0}"#,
        r#"{"cursor": {"firstBatch": [{"ns": "shop.branch_feature_x_a"}], "id": 0, "ns": "shop~feature-x.a"}, "ok": 1.0}"#,
    );
    check(
        Shape::Cursor,
        r#"{"cursor": {"nextBatch": [], "id": 5, "ns": "shop.$cmd.aggregate"}, "ok": 1.0}"#,
        r#"{"cursor": {"nextBatch": [], "id": 5, "ns": "shop~feature-x.$cmd.aggregate"}, "ok": 1.0}"#,
    );
    check(
        Shape::Plain,
        r#"{"n": 0, "writeErrors": [{"index": 0, "code": 11000,
            "errmsg": "E11000 duplicate key error collection: shop.branch_feature_x_users index: e_1 dup key: { e: 3 }",
            "keyPattern": {"e": 1}, "keyValue": {"e": "branch_feature_x_users"}}], "ok": 1.0}"#,
        r#"{"n": 0, "writeErrors": [{"index": 0, "code": 11000,
            "errmsg": "E11000 duplicate key error collection: shop~feature-x.users index: e_1 dup key: { e: 3 }",
            "keyPattern": {"e": 1}, "keyValue": {"e": "branch_feature_x_users"}}], "ok": 1.0}"#,
    );
    check(
        Shape::Cursor,
        r#"{"ok": 0.0, "errmsg": "Requested getMore on namespace 'shop.branch_feature_x_orders', but cursor belongs to a different namespace shop.branch_feature_x_users", "code": 13}"#,
        r#"{"ok": 0.0, "errmsg": "Requested getMore on namespace 'shop~feature-x.orders', but cursor belongs to a different namespace shop~feature-x.users", "code": 13}"#,
    );
    check(
        Shape::Namespace,
        r#"{"nIndexesWas": 1, "ns": "shop.branch_feature_x_a", "ok": 1.0}"#,
        r#"{"nIndexesWas": 1, "ns": "shop~feature-x.a", "ok": 1.0}"#,
    );
    check(
        Shape::Namespace,
        r#"{"ns": "shop.branch_feature_x_a", "valid": false, "warnings": ["branch_feature_x_a"], "errors": ["in shop.branch_feature_x_a"]}"#,
        r#"{"ns": "shop~feature-x.a", "valid": false, "warnings": ["a"], "errors": ["in shop~feature-x.a"]}"#,
    );
    check(
        Shape::ReduceResult,
        r#"{"result": {"db": "shop", "collection": "branch_feature_x_a"}, "ok": 1.0}"#,
        r#"{"result": {"db": "shop~feature-x", "collection": "a"}, "ok": 1.0}"#,
    );
    check(
        Shape::ReduceResult,
        r#"{"result": "branch_feature_x_a", "ok": 1.0}"#,
        r#"{"result": "a", "ok": 1.0}"#,
    );
    check(
        Shape::Explain,
        r#"{"stages": [{"$cursor": {"queryPlanner": {"namespace": "shop.branch_feature_x_a",
              "parsedQuery": {"namespace": {"$eq": "shop.branch_feature_x_a"}},
              "winningPlan": {"queryPlan": {"stage": "EQ_LOOKUP", "foreignCollection": "shop.branch_feature_x_b"}}}}},
            {"$merge": {"into": {"db": "shop", "coll": "branch_feature_x_z"}}, "nReturned": 0}],
            "command": {"aggregate": "branch_feature_x_a", "pipeline": [{"$unionWith": "branch_feature_x_b"}], "$db": "shop"},
            "ok": 1.0}"#,
        r#"{"stages": [{"$cursor": {"queryPlanner": {"namespace": "shop~feature-x.a",
              "parsedQuery": {"namespace": {"$eq": "shop.branch_feature_x_a"}},
              "winningPlan": {"queryPlan": {"stage": "EQ_LOOKUP", "foreignCollection": "shop~feature-x.b"}}}}},
            {"$merge": {"into": {"db": "shop~feature-x", "coll": "z"}}, "nReturned": 0}],
            "command": {"aggregate": "a", "pipeline": [{"$unionWith": "b"}], "$db": "shop~feature-x"},
            "ok": 1.0}"#,
    );
}

#[test]
fn lists_show_the_branchs_own() {
    let item = bytes(
        r#"{"name": "branch_feature_x_v", "type": "view", "options": {"viewOn": "branch_feature_x_a",
            "pipeline": [{"$lookup": {"from": "branch_feature_x_b"}}]}, "info": {"readOnly": true}}"#,
    );
    assert_eq!(
        show(&listing::listed(&branch(), &item).unwrap()),
        show(&bytes(
            r#"{"name": "v", "type": "view", "options": {"viewOn": "a",
                "pipeline": [{"$lookup": {"from": "b"}}]}, "info": {"readOnly": true}}"#
        )),
    );
    assert_eq!(listing::listed(&main_branch(), &item), None);
    let users = bytes(r#"{"name": "users"}"#);
    assert_eq!(listing::listed(&branch(), &users), None);
    assert!(listing::listed(&main_branch(), &users).is_some());
    assert_eq!(
        listing::filter(&branch()),
        rawdoc! { "$or": [
            { "name": { "$gte": "branch_feature_x_", "$lt": "branch_feature_x`" } },
            { "name": "system.views" },
        ] }
    );
}
