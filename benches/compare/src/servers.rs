//! The two servers.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use argon_testkit::client::Client;
use argon_testkit::{mongod, server};

/// One of the two.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    addr: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) data_dir: PathBuf,
}

impl Side {
    pub(crate) const MONGOD: &'static str = "mongod";
    pub(crate) const ARGON: &'static str = "argon";

    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Whether it is mongod, which has to be asked for the durability that Argon gives by itself.
    pub(crate) fn is_mongod(&self) -> bool {
        self.name == Side::MONGOD
    }
}

/// Both, running; dropping it ends them.
pub(crate) struct Pair {
    pub(crate) mongod: Side,
    pub(crate) argon: Side,
    _mongod: mongod::Mongod,
    _argon: server::Argon,
}

impl Pair {
    pub(crate) fn start() -> Result<Pair> {
        let mongod = mongod::Mongod::start(mongod::Options::default())?;
        let argon = server::Argon::start(&server::binary()?)?;
        Ok(Pair {
            mongod: Side {
                name: Side::MONGOD,
                addr: mongod.addr(),
                pid: mongod.pid(),
                data_dir: mongod.data_dir(),
            },
            argon: Side {
                name: Side::ARGON,
                addr: argon.addr(),
                pid: argon.pid(),
                data_dir: argon.data_dir().to_owned(),
            },
            _mongod: mongod,
            _argon: argon,
        })
    }
}
