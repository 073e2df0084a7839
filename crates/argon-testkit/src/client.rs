//! A blocking client that sends one command and returns one reply, as they are.
//!
//! No retries, no sessions, no pools, no server selection: tests want to see what the server does,
//! and benchmarks want the client to cost as little as it can. Messages are put together here and
//! not with `argon-wire`, so that a mistake in the codec under test cannot cancel itself out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bson::raw::{RawDocument, RawDocumentBuf};

/// How long a reply may take before the client gives up.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Specification OP_MSG: the message type of every modern command.
const OP_MSG: i32 = 2013;
const HEADER_BYTES: usize = 16;
/// Specification OP_MSG, "checksumPresent".
const FLAG_CHECKSUM_PRESENT: u32 = 1;
/// Larger than `maxMessageSizeBytes`; a longer reply is a broken one.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    last_request_id: i32,
}

impl Client {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// If the server refuses the connection.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        Self::connect_within(addr, REPLY_TIMEOUT)
    }

    /// Connects to a server that may take `timeout` to accept, and as long for each reply.
    ///
    /// # Errors
    /// If the server refuses the connection, or takes longer.
    pub fn connect_within(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)
            .with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        Ok(Self {
            stream,
            out: Vec::new(),
            input: vec![0; 64 * 1024],
            last_request_id: 0,
        })
    }

    /// Sends `command` to database `db` and returns the reply, be it `ok: 1` or `ok: 0`.
    ///
    /// # Errors
    /// If the connection breaks, the reply takes longer than [`REPLY_TIMEOUT`], or is not a
    /// well-formed OP_MSG.
    pub fn run_command(&mut self, db: &str, command: &RawDocument) -> Result<RawDocumentBuf> {
        Ok(self.call(db, command, None)?.to_owned())
    }

    /// Sends `command` as [`Client::run_command`] does and fails unless the reply says `ok: 1`.
    ///
    /// # Errors
    /// As [`Client::run_command`], and if the server answers with an error or write errors.
    pub fn run_ok(&mut self, db: &str, command: &RawDocument) -> Result<RawDocumentBuf> {
        let reply = self.run_command(db, command)?;
        ensure!(
            is_ok(&reply) && reply.get("writeErrors")?.is_none(),
            "{command:?} was answered with {}",
            crate::case::json::render_document(&reply)
        );
        Ok(reply)
    }

    /// Sends `command`, with `documents` as a document sequence if given, and lends the reply.
    ///
    /// The reply stays valid until the next call: nothing is copied, which is what benchmarks want.
    ///
    /// # Errors
    /// As [`Client::run_command`].
    pub fn call(
        &mut self,
        db: &str,
        command: &RawDocument,
        documents: Option<(&str, &[RawDocumentBuf])>,
    ) -> Result<&RawDocument> {
        self.write(db, command, documents)?;
        let length = self.read_message()?;
        self.decode(length)
    }

    /// Sends `command` and does not wait for the reply: for clients that go away before it comes.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn send(&mut self, db: &str, command: &RawDocument) -> Result<()> {
        self.write(db, command, None)
    }

    fn write(
        &mut self,
        db: &str,
        command: &RawDocument,
        documents: Option<(&str, &[RawDocumentBuf])>,
    ) -> Result<()> {
        self.last_request_id = self.last_request_id.wrapping_add(1);
        encode(&mut self.out, self.last_request_id, db, command, documents)?;
        self.stream
            .write_all(&self.out)
            .context("sending a command")
    }

    /// Reads one whole message into `self.input` and returns its length in bytes.
    fn read_message(&mut self) -> Result<usize> {
        let mut have = 0;
        let mut need = HEADER_BYTES;
        while have < need {
            let read = self
                .stream
                .read(&mut self.input[have..])
                .context("reading a reply")?;
            ensure!(
                read > 0,
                "the server closed the connection after {have} bytes of a reply"
            );
            have += read;
            if have >= HEADER_BYTES && need == HEADER_BYTES {
                need = usize::try_from(int32_at(&self.input, 0)).context("negative length")?;
                ensure!(
                    (HEADER_BYTES..=REPLY_BYTES_MAX).contains(&need),
                    "a reply of {need} bytes"
                );
                if self.input.len() < need {
                    self.input.resize(need, 0);
                }
            }
        }
        ensure!(
            have == need,
            "{} bytes follow the reply nobody asked for",
            have - need
        );
        Ok(need)
    }

    fn decode(&self, length: usize) -> Result<&RawDocument> {
        let message = &self.input[..length];
        ensure!(
            int32_at(message, 8) == self.last_request_id,
            "the reply is to another request"
        );
        ensure!(
            int32_at(message, 12) == OP_MSG,
            "the reply is not an OP_MSG"
        );
        ensure!(
            length > HEADER_BYTES + 5 && message[20] == 0,
            "the reply has no body section"
        );
        let flags = u32::from_le_bytes(message[16..20].try_into()?);
        let end = if flags & FLAG_CHECKSUM_PRESENT == 0 {
            length
        } else {
            length - 4
        };
        Ok(RawDocument::from_bytes(&message[21..end])?)
    }
}

/// Tells whether `reply` says `ok: 1`.
#[must_use]
pub fn is_ok(reply: &RawDocument) -> bool {
    matches!(reply.get("ok"), Ok(Some(ok)) if ok.as_f64() == Some(1.0) || ok.as_i32() == Some(1))
}

fn encode(
    out: &mut Vec<u8>,
    request_id: i32,
    db: &str,
    command: &RawDocument,
    documents: Option<(&str, &[RawDocumentBuf])>,
) -> Result<()> {
    out.clear();
    out.extend_from_slice(&0_i32.to_le_bytes()); // the length, known at the end
    out.extend_from_slice(&request_id.to_le_bytes());
    out.extend_from_slice(&0_i32.to_le_bytes()); // responseTo
    out.extend_from_slice(&OP_MSG.to_le_bytes());
    out.extend_from_slice(&0_u32.to_le_bytes()); // flags
    out.push(0); // section kind 0: the body
    append_body(out, db, command)?;
    if let Some((identifier, documents)) = documents {
        out.push(1); // section kind 1: a document sequence
        let start = out.len();
        out.extend_from_slice(&0_i32.to_le_bytes());
        out.extend_from_slice(identifier.as_bytes());
        out.push(0);
        for document in documents {
            out.extend_from_slice(document.as_bytes());
        }
        set_length(out, start)?;
    }
    set_length(out, 0)
}

/// Appends `command` with `$db` as its last field.
fn append_body(out: &mut Vec<u8>, db: &str, command: &RawDocument) -> Result<()> {
    let start = out.len();
    let bytes = command.as_bytes();
    out.extend_from_slice(&bytes[..bytes.len() - 1]);
    out.extend_from_slice(b"\x02$db\0");
    out.extend_from_slice(&i32::try_from(db.len() + 1)?.to_le_bytes());
    out.extend_from_slice(db.as_bytes());
    out.extend_from_slice(&[0, 0]);
    set_length(out, start)
}

/// Writes the number of bytes from `start` to the end into the four bytes at `start`.
fn set_length(out: &mut [u8], start: usize) -> Result<()> {
    let Ok(length) = i32::try_from(out.len() - start) else {
        bail!("the message is too long")
    };
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn int32_at(bytes: &[u8], at: usize) -> i32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    i32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::rawdoc;

    #[test]
    fn body_ends_with_db() {
        let mut out = Vec::new();
        append_body(&mut out, "shop", &rawdoc! {"ping": 1}).unwrap();
        assert_eq!(out, rawdoc! {"ping": 1, "$db": "shop"}.into_bytes());
    }

    #[test]
    fn ok_is_a_number_of_any_type() {
        assert!(is_ok(&rawdoc! {"ok": 1.0}));
        assert!(is_ok(&rawdoc! {"ok": 1}));
        assert!(!is_ok(&rawdoc! {"ok": 0.0}));
        assert!(!is_ok(&rawdoc! {}));
    }
}
