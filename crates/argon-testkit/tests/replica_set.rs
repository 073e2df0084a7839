//! The replica set launcher does what it says. Needs a `mongod` binary, as the recordings do.

use argon_testkit::replica_set::ReplicaSet;
use bson::rawdoc;

#[test]
fn members_step_down_pause_and_come_back() {
    let mut set = ReplicaSet::start(3).unwrap();
    let first = set.step_down().unwrap();
    let second = set.primary().unwrap();
    assert_ne!(first, second, "it does not stand for election so soon");

    set.kill(second).unwrap();
    assert!(!set.is_running(second).unwrap());
    let third = set.primary().unwrap();
    set.restart(second).unwrap();

    set.pause(third).unwrap();
    let rest: Vec<usize> = (0..3).filter(|member| *member != third).collect();
    let fourth = set.primary_among(&rest).unwrap();
    set.resume(third).unwrap();
    let insert = rawdoc! {
        "insert": "c",
        "documents": [{"_id": 1}],
        "writeConcern": {"w": 3, "wtimeout": 60_000},
    };
    let mut client = set.connect(fourth).unwrap();
    client.run_ok("test", &insert).unwrap();
}
