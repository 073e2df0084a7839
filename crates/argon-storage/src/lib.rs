//! The durable log and catalogue of Argon.
