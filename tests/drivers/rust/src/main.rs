//! A warehouse on the official Rust driver, run on main and two branches at once.
//!
//! `ARGON_URI` names the server. `ARGON_COMPARE_URI` may name a real mongod, which then plays all but the branches,
//! so that no expectation is a guess.

#![expect(clippy::print_stdout, reason = "a program that tells what it checked")]

mod application;
mod branches;
mod check;

use std::env;

use anyhow::Result;
use mongodb::Client;

#[tokio::main]
async fn main() -> Result<()> {
    println!("mongodb, the Rust driver");
    let uri = |name: &str| env::var(name).ok().filter(|uri| !uri.is_empty());
    if let Some(uri) = uri("ARGON_COMPARE_URI") {
        let client = Client::with_uri_str(&uri).await?;
        let db = client.database("rustapp");
        db.drop().await?;
        application::run(&client, &db).await?;
        application::compression(&uri, "rustapp").await?;
        db.drop().await?;
        println!("  the same on the real mongod: {} checks", check::count());
    }
    if let Some(uri) = uri("ARGON_URI") {
        branches::run(&uri).await?;
        println!("  branches: {} checks", check::count());
        application::compression(&uri, "rustapp~one").await?;
        println!("  compression: {} checks", check::count());
    }
    Ok(())
}
