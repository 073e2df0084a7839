//! The network between a client and a server fails as told. Needs a `mongod` binary.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use argon_testkit::client::Client;
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::network::{Network, Weather};
use bson::rawdoc;

#[test]
fn links_rename_servers_and_fail_on_demand() {
    let mongod = Mongod::start(Options {
        replica_set: true,
        volatile: true,
    })
    .unwrap();
    let network = Network::around(&[mongod.addr()], "replicaSet=rs").unwrap();
    let link = network.link(0);
    let mut client = Client::connect(link.addr()).unwrap();
    let hello = client.run_ok("admin", &rawdoc! {"hello": 1}).unwrap();
    assert_eq!(hello.get_str("me").unwrap(), link.addr().to_string());

    network.set(Weather::Refused);
    let ping = rawdoc! {"ping": 1};
    client.run_ok("admin", &ping).unwrap_err();
    network.set(Weather::Slow(Duration::from_millis(1)));
    let mut client = Client::connect(link.addr()).unwrap();
    client.run_ok("admin", &ping).unwrap();

    network.set(Weather::Silent);
    let (sender, answered) = mpsc::channel();
    thread::spawn(move || {
        client.run_ok("admin", &rawdoc! {"ping": 1}).unwrap();
        sender.send(()).unwrap();
    });
    answered
        .recv_timeout(Duration::from_millis(50))
        .unwrap_err();
    network.set(Weather::Fine);
    answered.recv_timeout(Duration::from_secs(60)).unwrap();
}
