//! Starts a replica set of three real `mongod` processes for scripts: prints its URI, and ends it, data and all, when
//! standard input ends, which it does however the script ends.

use std::io::{Read, Write, stdin, stdout};

use anyhow::Result;
use argon_testkit::replica_set::ReplicaSet;

const MEMBERS: usize = 3;

fn main() -> Result<()> {
    let set = ReplicaSet::start(MEMBERS)?;
    writeln!(stdout(), "{}", set.uri())?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
