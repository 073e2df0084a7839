//! Branches of the engine `prefix`, in a real mongod behind Argon.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use argon_testkit::case;
use argon_testkit::case::suite::{self, Subject};
use argon_testkit::client::{Client, is_ok};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server::Argon;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use bson::{Document, doc, rawdoc};
use futures::StreamExt as _;
use mongodb::options::{ChangeStreamOptions, FullDocumentType};

const BINARY: &str = env!("CARGO_BIN_EXE_argon");
/// How long what runs in the background may take.
const PATIENCE: Duration = Duration::from_secs(180);

struct Pair {
    mongod: Mongod,
    argon: Argon,
}

impl Pair {
    fn start() -> Pair {
        Self::start_on(Options {
            replica_set: true,
            volatile: true,
        })
    }

    fn start_on(options: Options) -> Pair {
        let mongod = Mongod::start(options).unwrap();
        let uri = format!("mongodb://{}/", mongod.addr());
        let args = ["--mongodb-uri", &uri];
        let argon = Argon::start_with(Path::new(BINARY), None, &args).unwrap();
        Pair { mongod, argon }
    }

    /// Another server before the same mongod.
    fn another(&self) -> Argon {
        let uri = format!("mongodb://{}/", self.mongod.addr());
        Argon::start_with(Path::new(BINARY), None, &["--mongodb-uri", &uri]).unwrap()
    }

    /// Connections to Argon and to the mongod behind it.
    fn connect(&self) -> (Client, Client) {
        (
            self.argon.connect().unwrap(),
            self.mongod.connect().unwrap(),
        )
    }
}

fn insert(client: &mut Client, db: &str, collection: &str, documents: Vec<RawDocumentBuf>) {
    let documents: RawArrayBuf = documents.into_iter().collect();
    let command = rawdoc! {"insert": collection, "documents": documents};
    client.run_ok(db, &command).unwrap();
}

fn create(client: &mut Client, name: &str) -> RawDocumentBuf {
    client
        .run_ok("shop", &rawdoc! {"createBranch": name, "engine": "prefix"})
        .unwrap()
}

fn code(client: &mut Client, db: &str, command: &RawDocument) -> i32 {
    let reply = client.run_command(db, command).unwrap();
    assert!(!is_ok(&reply), "{command:?} was answered with {reply:?}");
    reply.get_i32("code").unwrap()
}

fn batch(client: &mut Client, db: &str, command: &RawDocument) -> Vec<Document> {
    let reply = client.run_ok(db, command).unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_i64("id").unwrap(), 0);
    let batch = cursor.get_array("firstBatch").unwrap();
    batch
        .into_iter()
        .map(|item| item.unwrap().as_document().unwrap().try_into().unwrap())
        .collect()
}

/// What is known upstream of copies that are not complete.
fn jobs(mongod: &mut Client) -> Vec<Document> {
    batch(mongod, "argon", &rawdoc! {"find": "prefix_jobs"})
}

fn names(client: &mut Client, db: &str) -> Vec<String> {
    let list = rawdoc! {"listCollections": 1, "nameOnly": true};
    let mut names: Vec<String> = batch(client, db, &list)
        .iter()
        .map(|item| item.get_str("name").unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Every collection with its options, indexes and documents.
fn contents(
    client: &mut Client,
    db: &str,
) -> BTreeMap<String, (Document, Vec<Document>, Vec<Document>)> {
    let mut contents = BTreeMap::new();
    for mut item in batch(client, db, &rawdoc! {"listCollections": 1}) {
        let name = item.get_str("name").unwrap().to_owned();
        if name == "system.views" {
            continue;
        }
        item.get_document_mut("info").unwrap().remove("uuid");
        let indexes = match item.get_str("type").unwrap() {
            "view" => Vec::new(),
            _ => batch(client, db, &rawdoc! {"listIndexes": name.as_str()}),
        };
        let find = rawdoc! {"find": name.as_str(), "batchSize": 100_000};
        let documents = batch(client, db, &find);
        contents.insert(name, (item, indexes, documents));
    }
    contents
}

/// One of each kind of collection, index and view.
fn define(client: &mut Client) {
    let users =
        (0..2_000).map(|id| rawdoc! {"_id": id, "mail": format!("{id}@x"), "n": {"b": 1, "a": id}});
    insert(client, "shop", "users", users.collect());
    for command in [
        rawdoc! {"createIndexes": "users", "indexes": [
            {"key": {"mail": 1}, "name": "mail", "unique": true},
            {"key": {"n.a": -1, "_id": 1}, "name": "partial", "partialFilterExpression": {"n.a": {"$gt": 5}}},
            {"key": {"$**": 1}, "name": "all", "wildcardProjection": {"n": 1}},
            {"key": {"t": "text", "u": "text"}, "name": "words", "weights": {"t": 3}},
            {"key": {"place": "2dsphere"}, "name": "place", "sparse": true},
            {"key": {"h": "hashed"}, "name": "h"},
            {"key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 3600, "hidden": true},
        ]},
        rawdoc! {"create": "capped", "capped": true, "size": 65_536, "max": 20},
        rawdoc! {"create": "clustered", "clusteredIndex": {"key": {"_id": 1}, "unique": true, "name": "by id"}},
        rawdoc! {"create": "french", "collation": {"locale": "fr"}},
        rawdoc! {"createIndexes": "french", "indexes": [
            {"key": {"x": 1}, "name": "as the collection"},
            {"key": {"y": 1}, "name": "simple", "collation": {"locale": "simple"}},
        ]},
        rawdoc! {"insert": "ruled", "documents": [{"_id": 1}]},
        rawdoc! {"collMod": "ruled", "validator": {"x": {"$exists": true}}, "validationLevel": "moderate"},
        rawdoc! {"create": "empty"},
        rawdoc! {"create": "a view", "viewOn": "users", "pipeline": [
            {"$match": {"_id": {"$lt": 3}}},
            {"$lookup": {"from": "ruled", "pipeline": [{"$unionWith": "french"}], "as": "all"}},
        ]},
        rawdoc! {"create": "view of the view", "viewOn": "a view", "pipeline": [{"$count": "n"}]},
    ] {
        client.run_ok("shop", &command).unwrap();
    }
    insert(
        client,
        "shop",
        "capped",
        (0..30).map(|id| rawdoc! {"_id": id}).collect(),
    );
    insert(client, "shop", "french", vec![rawdoc! {"_id": "é", "x": 1}]);
    insert(
        client,
        "shop",
        "clustered",
        vec![rawdoc! {"_id": 2}, rawdoc! {"_id": 1}],
    );
}

#[test]
fn cases_agree_on_a_prefix_branch() {
    let pair = Pair::start();
    let root = case::root();
    let files = suite::find(&root, "").unwrap();
    let report = suite::check(pair.argon.addr(), Subject::Prefix, &root, &files).unwrap();
    assert!(report.failures.is_empty(), "{report}");
}

#[test]
fn a_copy_is_like_its_original() {
    for replica_set in [true, false] {
        let pair = Pair::start_on(Options {
            replica_set,
            volatile: true,
        });
        let (mut argon, mut mongod) = pair.connect();
        define(&mut mongod);
        let original = contents(&mut mongod, "shop");
        let created = create(&mut argon, "feature/x");
        let copied = created.get_document("copied").unwrap();
        assert_eq!(copied.get_i64("collections").unwrap(), 8);
        assert_eq!(copied.get_i64("documents").unwrap(), 2_024);
        // A capped collection cannot be read at a point in time.
        assert!(!copied.get_bool("atOneTime").unwrap());

        assert_eq!(contents(&mut argon, "shop~feature-x"), original);
        assert_eq!(contents(&mut argon, "shop"), original);
        let upstream = names(&mut mongod, "shop");
        assert!(upstream.contains(&"branch_feature_x_users".to_owned()));
        assert_eq!(upstream.len(), 2 * original.len() + 1, "{upstream:?}");

        // A branch of the branch, without what was changed on main meanwhile.
        insert(
            &mut argon,
            "shop",
            "users",
            vec![rawdoc! {"_id": "main", "mail": "main"}],
        );
        argon
            .run_ok("shop~feature-x", &rawdoc! {"drop": "capped"})
            .unwrap();
        let fork = rawdoc! {"createBranch": "y", "from": "feature/x"};
        let forked = argon.run_ok("shop", &fork).unwrap();
        let copied = forked.get_document("copied").unwrap();
        assert_eq!(copied.get_bool("atOneTime").unwrap(), replica_set);
        assert_eq!(
            contents(&mut argon, "shop~y"),
            contents(&mut argon, "shop~feature-x")
        );

        argon
            .run_ok("shop~y", &rawdoc! {"dropDatabase": 1})
            .unwrap();
        assert_eq!(names(&mut argon, "shop~y"), [""; 0]);
        let parent = rawdoc! {"dropBranch": "feature/x"};
        assert_eq!(code(&mut argon, "shop", &parent), 20);
        argon.run_ok("shop", &rawdoc! {"dropBranch": "y"}).unwrap();
        argon.run_ok("shop", &parent).unwrap();
        assert_eq!(names(&mut mongod, "shop").len(), original.len() + 1);
        assert_eq!(code(&mut argon, "shop~y", &rawdoc! {"find": "users"}), 26);
        assert!(jobs(&mut mongod).is_empty());
    }
}

#[test]
fn names_in_the_way_are_refused() {
    let pair = Pair::start();
    let (mut argon, mut mongod) = pair.connect();
    insert(&mut mongod, "shop", "branch_offices_x", vec![rawdoc! {}]);
    let branch = |name: &str| rawdoc! {"createBranch": name, "engine": "prefix"};
    assert_eq!(code(&mut argon, "shop", &branch("offices")), 73);
    create(&mut argon, "a-b");
    // The same prefix, the same branch.
    assert_eq!(code(&mut argon, "shop", &branch("a_b")), 48);
    assert_eq!(code(&mut argon, "shop", &branch("a-b")), 48);
    // Names of one branch that would be the other's.
    create(&mut argon, "a");
    insert(&mut argon, "shop~a", "bc", vec![rawdoc! {}]);
    assert_eq!(code(&mut argon, "shop~a", &rawdoc! {"create": "b_c"}), 73);
    for command in [
        rawdoc! {"find": "branch_a_b_branch_offices_x"},
        rawdoc! {"create": "branch_a_new"},
        rawdoc! {"aggregate": "branch_offices_x", "pipeline": [{"$out": "branch_a_new"}], "cursor": {}},
    ] {
        assert_eq!(code(&mut argon, "shop", &command), 73, "{command:?}");
    }
    let across = rawdoc! {"renameCollection": "shop~a.bc", "to": "shop.bc"};
    assert_eq!(code(&mut argon, "admin", &across), 115);
    let out = rawdoc! {"aggregate": "bc", "pipeline": [{"$out": {"db": "shop", "coll": "x"}}], "cursor": {}};
    assert_eq!(code(&mut argon, "shop~a", &out), 115);
    // Another database of the upstream is nobody's branch.
    let out = rawdoc! {"aggregate": "bc", "pipeline": [{"$out": {"db": "reports", "coll": "x"}}], "cursor": {}};
    argon.run_ok("shop~a", &out).unwrap();
    assert_eq!(names(&mut mongod, "reports"), ["x"]);
    // A name that has room, and with the prefix has none.
    insert(&mut mongod, "shop", &"n".repeat(245), vec![rawdoc! {}]);
    assert_eq!(code(&mut argon, "shop", &branch("long")), 73);
    // Nothing is left of what was refused.
    let listed = batch(&mut argon, "shop", &rawdoc! {"listBranches": 1});
    assert_eq!(listed.len(), 3, "{listed:?}");
    // The history of such branches is not kept, nor can the log take a branch of theirs.
    assert_eq!(code(&mut argon, "shop~a~12", &rawdoc! {"find": "bc"}), 73);
    let in_log = rawdoc! {"createBranch": "w", "engine": "wal"};
    assert_eq!(code(&mut argon, "shop", &in_log), 115);
    let at = rawdoc! {"createBranch": "w", "at": 3};
    assert_eq!(code(&mut argon, "shop", &at), 2);
    // Time series are copied by nobody.
    let series = rawdoc! {"create": "series", "timeseries": {"timeField": "t"}};
    mongod.run_ok("shop", &series).unwrap();
    mongod
        .run_ok("shop", &rawdoc! {"drop": "n".repeat(245)})
        .unwrap();
    assert_eq!(code(&mut argon, "shop", &branch("t")), 115);
}

/// Begins to make branch `x` of `shop`, which has six collections, and kills the server in the midst of it.
fn copy_half(argon: &mut Argon, mongod: &mut Client) {
    let padding = "x".repeat(400);
    for collection in 0..6 {
        for from in (0..30_000).step_by(10_000) {
            let documents = (from..from + 10_000)
                .map(|id| rawdoc! {"_id": id, "p": padding.as_str()})
                .collect();
            insert(mongod, "shop", &format!("c{collection}"), documents);
        }
    }
    let mut client = argon.connect().unwrap();
    let addr = argon.addr();
    let creating = thread::spawn(move || {
        let mut client = Client::connect(addr).unwrap();
        client.run_command("shop", &rawdoc! {"createBranch": "x", "engine": "prefix"})
    });
    let deadline = Instant::now() + PATIENCE;
    let mut progress = false;
    while copied(mongod) < 2 {
        assert!(Instant::now() < deadline, "nothing is copied");
        let running = client.run_ok("admin", &rawdoc! {"currentOp": 1}).unwrap();
        progress |= case::json::render_document(&running).contains("Copying documents");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(progress);
    argon.kill().unwrap();
    assert!(
        creating.join().unwrap().is_err(),
        "it was over before it was killed"
    );
}

/// How many collections branch `x` has upstream.
fn copied(mongod: &mut Client) -> usize {
    let names = names(mongod, "shop");
    let of_branch = |name: &&String| name.starts_with("branch_x_");
    names.iter().filter(of_branch).count()
}

/// Waits until somebody has finished what [`copy_half`] began, and looks at all of it.
fn finished(argon: &mut Client, mongod: &mut Client) {
    let deadline = Instant::now() + PATIENCE;
    let count = rawdoc! {"count": "c0", "query": {}};
    let mut waited = false;
    let counted = loop {
        let reply = argon.run_command("shop~x", &count).unwrap();
        if is_ok(&reply) {
            break reply;
        }
        // Half of it is not shown.
        assert_eq!(reply.get_i32("code").unwrap(), 117, "{reply:?}");
        assert!(Instant::now() < deadline, "{reply:?}");
        waited = true;
        thread::sleep(Duration::from_millis(50));
    };
    assert!(waited);
    assert_eq!(counted.get_i32("n").unwrap(), 30_000);
    for collection in 1..6 {
        let count = rawdoc! {"count": format!("c{collection}"), "query": {}};
        let counted = argon.run_ok("shop~x", &count).unwrap();
        assert_eq!(counted.get_i32("n").unwrap(), 30_000);
    }
    assert!(jobs(mongod).is_empty());
    argon.run_ok("shop", &rawdoc! {"dropBranch": "x"}).unwrap();
    assert_eq!(copied(mongod), 0);
}

#[test]
fn a_copy_that_was_killed_is_finished_by_the_next_start() {
    let mut pair = Pair::start();
    let mut mongod = pair.mongod.connect().unwrap();
    copy_half(&mut pair.argon, &mut mongod);
    pair.argon.restart().unwrap();
    finished(&mut pair.argon.connect().unwrap(), &mut mongod);
}

#[test]
fn a_copy_whose_server_is_gone_for_good_is_finished_or_dropped_by_another() {
    let mut pair = Pair::start();
    let other = pair.another();
    let (mut other, mut mongod) = (other.connect().unwrap(), pair.mongod.connect().unwrap());
    copy_half(&mut pair.argon, &mut mongod);
    // Whoever does not want to wait for it may have it dropped, and begin anew.
    other.run_ok("shop", &rawdoc! {"dropBranch": "x"}).unwrap();
    assert_eq!(copied(&mut mongod), 0);
    assert!(jobs(&mut mongod).is_empty());

    for collection in 0..6 {
        let drop = rawdoc! {"drop": format!("c{collection}")};
        other.run_ok("shop", &drop).unwrap();
    }
    pair.argon.restart().unwrap();
    copy_half(&mut pair.argon, &mut mongod);
    finished(&mut other, &mut mongod);
}

/// What a process leaves that is killed before its branch is in the catalogue, or after it is gone from there.
#[test]
fn a_job_without_a_branch_is_forgotten_after_a_while() {
    let pair = Pair::start();
    let mut mongod = pair.mongod.connect().unwrap();
    let now = bson::DateTime::now().timestamp_millis();
    for (id, beat) in [("old", now - 660_000), ("young", now)] {
        let beat = bson::DateTime::from_millis(beat);
        let job = rawdoc! {"_id": id, "branch": "shop~x", "kind": "copy", "owner": "", "done": [], "beat": beat};
        insert(&mut mongod, "argon", "prefix_jobs", vec![job]);
    }
    let deadline = Instant::now() + PATIENCE;
    while jobs(&mut mongod).len() > 1 {
        assert!(Instant::now() < deadline, "it is not forgotten");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(jobs(&mut mongod)[0].get_str("_id").unwrap(), "young");
}

#[test]
fn a_branch_is_dropped_while_another_server_reads_it() {
    let pair = Pair::start();
    let other = pair.another();
    let (mut argon, mut mongod) = pair.connect();
    let documents = || (0..100).map(|id| rawdoc! {"_id": id}).collect();
    insert(&mut mongod, "shop", "c", documents());
    for _ in 0..3 {
        create(&mut argon, "x");
        let mut reader = other.connect().unwrap();
        let reading = thread::spawn(move || {
            let mut whole = 0;
            loop {
                let reply = reader
                    .run_command("shop~x", &rawdoc! {"count": "c"})
                    .unwrap();
                match reply.get_i32("code") {
                    Err(_) => {
                        // All of it, or nothing any more.
                        let count = reply.get_i32("n").unwrap();
                        assert!(count == 100 || count == 0, "{reply:?}");
                        whole += i32::from(count == 100);
                    }
                    // Being dropped, or interrupted by that; then it is gone.
                    Ok(117 | 175) => {}
                    Ok(code) => {
                        assert_eq!(code, 26, "{reply:?}");
                        return whole;
                    }
                }
            }
        });
        let mut second = other.connect().unwrap();
        second.run_ok("shop~x", &rawdoc! {"count": "c"}).unwrap();
        argon.run_ok("shop", &rawdoc! {"dropBranch": "x"}).unwrap();
        assert!(reading.join().unwrap() > 0);
        assert_eq!(code(&mut second, "shop~x", &rawdoc! {"count": "c"}), 26);
        assert_eq!(copied(&mut mongod), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_change_streams_go_over_two_servers() {
    let pair = Pair::start();
    let other = pair.another();
    let uri = format!("mongodb://{},{}/", pair.argon.addr(), other.addr());
    let client = mongodb::Client::with_uri_str(uri).await.unwrap();
    let shop = client.database("shop");
    let direct = format!("mongodb://{}/?directConnection=true", pair.mongod.addr());
    let direct = mongodb::Client::with_uri_str(direct).await.unwrap();
    let items = direct.database("shop").collection::<Document>("items");
    items.insert_one(doc! {"_id": 0}).await.unwrap();
    let create = doc! {"createBranch": "x", "engine": "prefix"};
    shop.run_command(create).await.unwrap();
    let branch = client.database("shop~x");
    let items = branch.collection::<Document>("items");

    // A stream that is opened here goes on there.
    let one = mongodb::Client::with_uri_str(pair.argon.uri())
        .await
        .unwrap();
    let two = mongodb::Client::with_uri_str(other.uri()).await.unwrap();
    let mut events = one.database("shop~x").watch().await.unwrap();
    for id in 1..6 {
        items.insert_one(doc! {"_id": id}).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.ns.unwrap().db, "shop~x");
        seen.push(event.document_key.unwrap().get_i32("_id").unwrap());
    }
    let token = events.resume_token().unwrap();
    drop(events);
    let there = two.database("shop~x");
    let mut events = there.watch().resume_after(token).await.unwrap();
    for _ in 0..2 {
        let event = events.next().await.unwrap().unwrap();
        seen.push(event.document_key.unwrap().get_i32("_id").unwrap());
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);

    // Transactions, each on the server where it begins; and one that the other server is asked to commit.
    for id in 10..20 {
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        for id in [id, -id] {
            let insert = items.insert_one(doc! {"_id": id});
            insert.session(&mut session).await.unwrap();
        }
        session.commit_transaction().await.unwrap();
    }
    assert_eq!(items.count_documents(doc! {}).await.unwrap(), 26);
    let (mut a, mut b) = (pair.argon.connect().unwrap(), other.connect().unwrap());
    let lsid = bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: vec![9; 16],
    };
    let begin = rawdoc! {
        "insert": "items", "documents": [{"_id": "kept"}], "lsid": {"id": lsid.clone()}, "txnNumber": 1_i64,
        "startTransaction": true, "autocommit": false,
    };
    let commit = rawdoc! {
        "commitTransaction": 1, "lsid": {"id": lsid}, "txnNumber": 1_i64, "autocommit": false,
        "writeConcern": {"w": "majority"},
    };
    a.run_ok("shop~x", &begin).unwrap();
    b.run_ok("admin", &commit).unwrap();
    a.run_ok("admin", &commit).unwrap();
    let kept = items.find_one(doc! {"_id": "kept"}).await.unwrap();
    assert!(kept.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_sees_its_own_branch_only() {
    let pair = Pair::start();
    let client = mongodb::Client::with_uri_str(pair.argon.uri())
        .await
        .unwrap();
    let (main, branch) = (client.database("shop"), client.database("shop~feature-x"));
    let upstream = format!("mongodb://{}/?directConnection=true", pair.mongod.addr());
    let upstream = mongodb::Client::with_uri_str(upstream).await.unwrap();
    let items = upstream.database("shop").collection::<Document>("items");
    let documents = (0..10).map(|id| doc! {"_id": id, "n": id});
    items.insert_many(documents).await.unwrap();
    let create = doc! {"createBranch": "feature/x", "engine": "prefix"};
    main.run_command(create).await.unwrap();

    let here = branch.collection::<Document>("items");
    let there = main.collection::<Document>("items");
    let before = there.count_documents(doc! {}).await.unwrap();
    let options = ChangeStreamOptions::builder()
        .full_document(Some(FullDocumentType::UpdateLookup))
        .build();
    let mut events = branch.watch().with_options(options).await.unwrap();
    let mut main_events = main.watch().await.unwrap();

    here.insert_one(doc! {"_id": "new"}).await.unwrap();
    here.update_many(doc! {"n": {"$lt": 5}}, doc! {"$inc": {"n": 100}})
        .await
        .unwrap();
    here.replace_one(doc! {"_id": 9}, doc! {"replaced": true})
        .await
        .unwrap();
    here.delete_one(doc! {"_id": 8}).await.unwrap();
    let found = here
        .find_one_and_update(doc! {"_id": 7}, doc! {"$set": {"m": 1}})
        .await
        .unwrap();
    assert_eq!(found.unwrap(), doc! {"_id": 7, "n": 7});
    here.create_index(mongodb::IndexModel::builder().keys(doc! {"n": 1}).build())
        .await
        .unwrap();
    let duplicate = here.insert_one(doc! {"_id": "new"}).await.unwrap_err();
    assert!(
        duplicate
            .to_string()
            .contains("collection: shop~feature-x.items index"),
        "{duplicate}"
    );

    assert_eq!(there.count_documents(doc! {}).await.unwrap(), before);
    assert_eq!(there.distinct("n", doc! {}).await.unwrap().len(), 10);
    assert_eq!(there.list_index_names().await.unwrap(), ["_id_"]);
    assert_eq!(here.list_index_names().await.unwrap(), ["_id_", "n_1"]);
    there.insert_one(doc! {"_id": "mains"}).await.unwrap();
    assert_eq!(here.find_one(doc! {"_id": "mains"}).await.unwrap(), None);

    // Cursors over several batches, sessions, transactions.
    let mut cursor = here.find(doc! {}).batch_size(2).await.unwrap();
    let mut count = 0;
    while cursor.advance().await.unwrap() {
        count += 1;
    }
    assert_eq!(count, 10);
    let mut session = client.start_session().await.unwrap();
    for commit in [false, true] {
        session.start_transaction().await.unwrap();
        here.insert_one(doc! {"_id": "both"})
            .session(&mut session)
            .await
            .unwrap();
        there
            .insert_one(doc! {"_id": "both"})
            .session(&mut session)
            .await
            .unwrap();
        if commit {
            session.commit_transaction().await.unwrap();
        } else {
            session.abort_transaction().await.unwrap();
        }
        let seen = here.find_one(doc! {"_id": "both"}).await.unwrap();
        assert_eq!(seen.is_some(), commit);
    }

    // Pipelines that read and write other collections.
    let pipeline = [
        doc! {"$match": {"_id": 1}},
        doc! {"$lookup": {"from": "items", "pipeline": [{"$match": {"_id": "new"}}], "as": "o"}},
        doc! {"$unionWith": {"coll": "items", "pipeline": [{"$limit": 1}]}},
        doc! {"$merge": {"into": "merged"}},
    ];
    here.aggregate(pipeline).await.unwrap();
    let rename = doc! {"renameCollection": "shop~feature-x.merged", "to": "shop~feature-x.renamed"};
    client.database("admin").run_command(rename).await.unwrap();
    let mut listed = branch.list_collection_names().await.unwrap();
    listed.sort();
    assert_eq!(listed, ["items", "renamed"]);
    assert_eq!(main.list_collection_names().await.unwrap(), ["items"]);
    let named = branch
        .list_collection_names()
        .filter(doc! {"name": {"$regex": "^re"}})
        .await
        .unwrap();
    assert_eq!(named, ["renamed"]);
    let stats = branch.run_command(doc! {"dbStats": 1}).await.unwrap();
    assert_eq!(stats.get_i32("collections").unwrap(), 2);
    assert_eq!(stats.get_i32("objects").unwrap(), 13);
    branch
        .collection::<Document>("renamed")
        .drop()
        .await
        .unwrap();

    // Each sees the changes of its own branch, by its own names.
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{seen:?}");
        let event = events.next_if_any().await.unwrap();
        let Some(event) = event else { continue };
        let place = event.ns.unwrap();
        assert_eq!(place.db, "shop~feature-x");
        seen.push(format!(
            "{:?} {}",
            event.operation_type,
            place.coll.unwrap()
        ));
        if let Some(to) = event.to {
            assert_eq!(
                (to.db.as_str(), to.coll.as_deref()),
                ("shop~feature-x", Some("renamed"))
            );
        }
        if seen.last().unwrap() == "Drop renamed" {
            break;
        }
    }
    assert!(seen.contains(&"Insert items".to_owned()), "{seen:?}");
    assert!(seen.contains(&"Rename merged".to_owned()), "{seen:?}");
    let mut keys = Vec::new();
    while keys.len() < 2 {
        assert!(Instant::now() < deadline, "{keys:?}");
        if let Some(event) = main_events.next_if_any().await.unwrap() {
            keys.push(event.document_key.unwrap());
        }
    }
    assert_eq!(keys, [doc! {"_id": "mains"}, doc! {"_id": "both"}]);
}

#[test]
fn the_command_line_says_what_keeps_a_branch() {
    let pair = Pair::start();
    let (_, mut mongod) = pair.connect();
    insert(&mut mongod, "shop", "items", vec![rawdoc! {"_id": 1}]);
    let run = |args: &[&str]| {
        let output = Command::new(BINARY)
            .args(args)
            .args(["--uri", &pair.argon.uri(), "--project", "shop"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run(&["branches", "create", "x", "--engine", "prefix"]);
    assert!(said.contains("shop~x"), "{said}");
    let listed = run(&["branches", "list", "--show-type"]);
    assert_eq!(listed.matches("[Prefix]").count(), 2, "{listed}");
    run(&["branches", "delete", "x"]);
    assert_eq!(names(&mut mongod, "shop"), ["items"]);
}
