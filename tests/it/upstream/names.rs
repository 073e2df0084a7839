//! Which database goes where.

use bson::rawdoc;

use super::{Rig, code, count, fill, import};

/// The databases that there are, without the one in which Argon keeps its log.
fn databases(client: &mut argon_testkit::client::Client) -> Vec<String> {
    let command = rawdoc! {"listDatabases": 1, "nameOnly": true};
    let reply = client.run_ok("admin", &command).unwrap();
    let names = reply
        .get_array("databases")
        .unwrap()
        .into_iter()
        .map(|database| {
            let database = database.unwrap().as_document().unwrap();
            database.get_str("name").unwrap().to_owned()
        });
    names.filter(|name| name != "argon").collect()
}

#[test]
fn a_name_goes_to_a_project_then_upstream_then_where_new_ones_go() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    let insert = |id: i32| rawdoc! {"insert": "c", "documents": [{"_id": id}]};
    direct.run_ok("old", &insert(1)).unwrap();
    // Reading a name that is nowhere makes nothing of it.
    assert_eq!(count(&mut through, "new", "c"), 0);
    through.run_ok("new", &insert(1)).unwrap();
    through.run_ok("old", &insert(2)).unwrap();
    assert_eq!(databases(&mut direct), ["admin", "config", "local", "old"]);
    assert_eq!(databases(&mut through), ["admin", "config", "new", "old"]);

    // What somebody else creates upstream is found at once, even if it was not there a moment ago.
    assert_eq!(count(&mut through, "late", "c"), 0);
    direct.run_ok("late", &insert(1)).unwrap();
    assert_eq!(count(&mut through, "late", "c"), 1);

    // A project wins over a database of its name.
    direct.run_ok("new", &insert(7)).unwrap();
    direct.run_ok("new", &insert(8)).unwrap();
    assert_eq!(count(&mut through, "new", "c"), 1);
    let twice = databases(&mut through)
        .iter()
        .filter(|name| *name == "new")
        .count();
    assert_eq!(twice, 1);

    // Dropped through Argon, the name is new again.
    through.run_ok("old", &rawdoc! {"dropDatabase": 1}).unwrap();
    through.run_ok("old", &insert(1)).unwrap();
    assert!(!databases(&mut direct).contains(&"old".to_owned()));
    assert!(databases(&mut through).contains(&"old".to_owned()));
}

#[test]
fn new_databases_may_go_upstream() {
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut through, "shop", 3);
    assert_eq!(count(&mut direct, "shop", "c"), 3);
    // A project has to be asked for.
    through
        .run_ok("project", &rawdoc! {"createProject": 1})
        .unwrap();
    through
        .run_ok(
            "project",
            &rawdoc! {"insert": "c", "documents": [{"_id": 1}]},
        )
        .unwrap();
    assert!(!databases(&mut direct).contains(&"project".to_owned()));
}

#[test]
fn commands_of_admin_go_where_their_databases_are() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "old", 3);
    through
        .run_ok(
            "admin",
            &rawdoc! {"renameCollection": "old.c", "to": "old.d"},
        )
        .unwrap();
    assert_eq!(count(&mut direct, "old", "d"), 3);
    let hello = through.run_ok("old", &rawdoc! {"hello": 1}).unwrap();
    assert_eq!(hello.get_str("msg").unwrap(), "isdbgrid");
    assert!(hello.get("setName").unwrap().is_none());
}

#[test]
fn a_database_is_imported_into_the_project_of_its_name() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "old", 3);
    assert_eq!(count(&mut through, "old", "c"), 3);
    let source = format!("mongodb://{}/", rig.mongod.addr());
    import(&source, "old", &rig.argon, "old");
    through
        .run_ok("old", &rawdoc! {"insert": "c", "documents": [{"_id": 7}]})
        .unwrap();
    through
        .run_ok("old", &rawdoc! {"createBranch": "x"})
        .unwrap();
    assert_eq!(count(&mut through, "old~x", "c"), 4);
    assert_eq!(count(&mut direct, "old", "c"), 3);
}

#[test]
fn argons_own_database_is_not_to_be_touched() {
    let rig = Rig::start("", &[]);
    let (_, mut through) = rig.connect();
    let refused = through
        .run_command("argon", &rawdoc! {"find": "wal_entries"})
        .unwrap();
    assert_eq!(code(&refused), Some(13));
}

#[test]
fn the_status_says_how_the_upstream_is() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    direct
        .run_ok("old", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    through.run_ok("old", &rawdoc! {"count": "c"}).unwrap();
    let status = through
        .run_ok("admin", &rawdoc! {"serverStatus": 1})
        .unwrap();
    let upstream = status
        .get_document("argon")
        .unwrap()
        .get_document("upstream")
        .unwrap();
    assert!(upstream.get_bool("healthy").unwrap());
    let current = through.run_ok("admin", &rawdoc! {"currentOp": 1}).unwrap();
    let upstream = current.get_document("upstream").unwrap();
    assert_eq!(
        upstream.get_str("topology").unwrap(),
        "ReplicaSetWithPrimary"
    );
    drop(rig.mongod);
    super::wait_until("the status shows that the upstream is gone", || {
        let status = through
            .run_ok("admin", &rawdoc! {"serverStatus": 1})
            .unwrap();
        let upstream = status
            .get_document("argon")
            .unwrap()
            .get_document("upstream")
            .unwrap();
        !upstream.get_bool("healthy").unwrap() && upstream.get_str("problem").is_ok()
    });
    // What Argon keeps itself goes on; without the upstream it cannot tell whose a new name is.
    let argon = through.run_ok("admin", &rawdoc! {"ping": 1}).unwrap();
    assert!(argon_testkit::client::is_ok(&argon));
}
