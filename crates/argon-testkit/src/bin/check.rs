//! Compares case files with a live server:
//! `check mongod|argon|argon-mongodb|upstream|prefix [part of a path]`.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use argon_testkit::case::suite::{self, Subject};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::{case, server};

fn main() -> Result<ExitCode> {
    let mut args = env::args().skip(1);
    let subject = args.next().unwrap_or_default();
    let filter = args.next().unwrap_or_default();
    let root = case::root();
    let files = suite::find(&root, &filter)?;
    ensure!(!files.is_empty(), "no case file has {filter:?} in its path");
    let report = match subject.as_str() {
        "mongod" => {
            let mongod = Mongod::start(Options {
                replica_set: true,
                volatile: true,
            })?;
            suite::check(mongod.addr(), Subject::Mongod, &root, &files)?
        }
        "argon" => {
            let argon = server::Argon::start(&server::binary()?)?;
            suite::check(argon.addr(), Subject::Argon, &root, &files)?
        }
        // Argon with its log in a MongoDB.
        "argon-mongodb" => {
            let (_mongod, argon) = argon_on_mongod(&[])?;
            suite::check(argon.addr(), Subject::Argon, &root, &files)?
        }
        // mongod again, seen through Argon: its own databases, or a branch among its collections.
        "upstream" => {
            let (_mongod, argon) = argon_on_mongod(&["--new-databases", "upstream"])?;
            suite::check(argon.addr(), Subject::Mongod, &root, &files)?
        }
        "prefix" => {
            let (_mongod, argon) = argon_on_mongod(&[])?;
            suite::check(argon.addr(), Subject::Prefix, &root, &files)?
        }
        _ => bail!("usage: check mongod|argon|argon-mongodb|upstream|prefix [part of a path]"),
    };
    eprintln!("{report}");
    Ok(if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An argon in front of a mongod of its own.
fn argon_on_mongod(args: &[&str]) -> Result<(Mongod, server::Argon)> {
    let mongod = Mongod::start(Options {
        replica_set: true,
        volatile: true,
    })?;
    let uri = format!("mongodb://{}/", mongod.addr());
    let mut all = vec!["--mongodb-uri", &uri];
    all.extend(args);
    let argon = server::Argon::start_with(&server::binary()?, None, &all)?;
    Ok((mongod, argon))
}
