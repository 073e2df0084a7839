//! MongoDB's query language as pure functions over raw BSON.
