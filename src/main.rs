//! Argon: git for MongoDB data over MongoDB's own wire protocol.

fn main() {}
