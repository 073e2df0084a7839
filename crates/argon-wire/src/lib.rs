//! The MongoDB wire protocol: bytes to messages and back, without I/O.
