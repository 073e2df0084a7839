//! Branches, state and history: the WAL engine.
