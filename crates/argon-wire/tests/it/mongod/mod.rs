//! What mongod 6.0.5 does with messages that are not as they should be, and that the codec does the same.

mod cases;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use argon_testkit::mongod::{self, Mongod, Options};
use argon_wire::{
    BytesMut, DocumentError, Error, Header, Limits, MsgFlags, MsgWriter, OpCode, Payload,
    SectionError, decode,
};
use bson::RawDocumentBuf;

use cases::Outcome::{self, Answers, Closes, Served, Silent, Varies, Waits};
use cases::{cases, ping};

/// What a server that uses the codec as told does.
fn ours(bytes: &[u8]) -> Outcome {
    let mut buf = BytesMut::from(bytes);
    match decode(&mut buf, &Limits::default()) {
        Ok(None) => Waits,
        Ok(Some(message)) => match message.payload {
            Payload::Msg(msg) if msg.flags.contains(MsgFlags::MORE_TO_COME) => Silent,
            Payload::Msg(_) | Payload::Query(_) => Served,
            Payload::Unsupported {
                op_code: OpCode::GET_MORE,
            } => Answers(5_739_101),
            Payload::Reply(_) | Payload::Unsupported { .. } => Closes,
        },
        Err(Error::Refused(refused)) if !refused.wants_reply() => Silent,
        Err(Error::Refused(refused)) => Answers(code(&refused.reason)),
        Err(_) => Closes,
    }
}

/// The code with which mongod answers, as the variants' documentation has it.
fn code(reason: &SectionError) -> i32 {
    match reason {
        SectionError::MissingBody => 40587,
        SectionError::DuplicateBody { .. } => 40430,
        SectionError::UnknownKind { kind: 2, .. } => 13,
        SectionError::UnknownKind { .. } => 40432,
        SectionError::DuplicateSequence { .. } => 40431,
        SectionError::SequenceSize { .. } => 15,
        SectionError::IdentifierEncoding { .. } => 40415,
        SectionError::TooManyDocuments { .. } => 16,
        SectionError::ChecksumMissing => 51252,
        SectionError::Document {
            error: DocumentError::TooLarge { .. },
            ..
        } => 10334,
        SectionError::Document { .. } => 22,
        SectionError::ReplyCount { .. } => panic!("a request has no count"),
    }
}

#[test]
fn bad_messages_fare_as_with_mongod() {
    for case in cases() {
        let expected = case.differs.map_or(case.mongod, |(ours, _)| ours);
        assert_eq!(ours(&case.bytes), expected, "{}", case.name);
        if let Some((ours, reason)) = case.differs {
            assert_ne!(
                ours, case.mongod,
                "{} does not differ any more: {reason}",
                case.name
            );
        }
    }
}

/// How long a server may take to answer, and how long it has to be quiet to be [`Waits`].
const ANSWER_MS_MAX: u64 = 20_000;
const QUIET_MS: u64 = 300;

/// Sends `bytes`, then a ping with a request id of its own unless the server is to wait, and watches.
fn theirs(address: SocketAddr, bytes: &[u8], waits: bool) -> Outcome {
    let mut socket = TcpStream::connect(address).unwrap();
    let timeout = Duration::from_millis(if waits { QUIET_MS } else { ANSWER_MS_MAX });
    socket.set_read_timeout(Some(timeout)).unwrap();
    let mut sent = bytes.to_vec();
    if !waits {
        let header = Header {
            request_id: 1_000,
            response_to: 0,
        };
        let mut writer = MsgWriter::new(&mut sent, header, MsgFlags::NONE);
        writer.body(ping().as_bytes());
        writer.finish().unwrap();
    }
    // A server that closes early may reset the connection while we write.
    if socket.write_all(&sent).is_err() {
        return Closes;
    }
    let mut buf = BytesMut::new();
    let mut outcome = Silent;
    loop {
        // Replies are decoded by the codec too, checksums and compression included.
        while let Some(reply) = decode(&mut buf, &Limits::default()).unwrap() {
            if reply.header.response_to == 1_000 {
                return outcome;
            }
            let document = match reply.payload {
                Payload::Msg(msg) => msg.body,
                Payload::Reply(reply) => reply.documents[0].clone(),
                other => panic!("{other:?}"),
            };
            let document = RawDocumentBuf::from_bytes(document.to_vec()).unwrap();
            outcome = document.get_i32("code").map_or(Served, Answers);
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk) {
            Ok(0) => return Closes,
            Ok(n) => buf.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Closes,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Waits,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Where there is no mongod the recorded outcomes have to do; `scripts/setup` installs one.
#[test]
fn mongod_still_does_so() {
    if mongod::binary().is_err() && std::env::var_os("ARGON_MONGOD").is_none() {
        return;
    }
    let mongod = Mongod::start(Options {
        replica_set: false,
        volatile: true,
    })
    .unwrap();
    let mut changed = Vec::new();
    for case in cases() {
        let seen = theirs(mongod.addr(), &case.bytes, case.mongod == Waits);
        let agrees = match case.mongod {
            // The command's own error does not matter here.
            Served => matches!(seen, Served | Answers(_)),
            Varies => true,
            expected => seen == expected,
        };
        if !agrees {
            changed.push(format!(
                "{}: {seen:?}, recorded {:?}",
                case.name, case.mongod
            ));
        }
    }
    assert!(changed.is_empty(), "{changed:#?}");
}
