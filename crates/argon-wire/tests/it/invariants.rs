//! What has to hold for any bytes whatsoever. The fuzz target `wire_message` includes this file.

use argon_wire::{
    BytesMut, Error, Limits, Message, MsgFlags, Payload, decode, encode_msg, encode_query,
};

/// Small enough that a compressed message cannot make a run slow.
pub(crate) const LIMITS: Limits = Limits {
    message_bytes: 1 << 20,
    document_bytes: 1 << 19,
    sequence_documents: 1_000,
};

/// Decodes `bytes` whole and in two parts, and what comes of it once more. Returns how many messages there were.
pub(crate) fn check(bytes: &[u8]) -> usize {
    let whole = outcomes([bytes]);
    let middle = bytes
        .first()
        .map_or(0, |&b| usize::from(b) * bytes.len() / 256);
    let (head, tail) = bytes.split_at(middle);
    assert_eq!(outcomes([head, tail]), whole, "parts give another answer");
    whole
        .iter()
        .filter(|outcome| outcome.starts_with("Message"))
        .count()
}

/// Every message and error that `parts` give, one after the other, as text.
pub(crate) fn outcomes<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut buf = BytesMut::new();
    for part in parts {
        buf.extend_from_slice(part);
        loop {
            let before = buf.len();
            match decode(&mut buf, &LIMITS) {
                Ok(None) => {
                    assert_eq!(buf.len(), before, "took bytes and gave nothing");
                    break;
                }
                Ok(Some(message)) => {
                    assert!(buf.len() < before, "gave a message and took nothing");
                    again(&message);
                    outcomes.push(format!("{message:?}"));
                }
                Err(Error::Refused(refused)) => {
                    assert!(buf.len() < before, "refused a message and left it");
                    outcomes.push(format!("{refused:?}"));
                }
                Err(error) => {
                    outcomes.push(format!("{error:?}"));
                    return outcomes;
                }
            }
        }
    }
    outcomes
}

/// Encodes `message` and decodes that.
fn again(message: &Message) {
    let mut out = BytesMut::new();
    match &message.payload {
        Payload::Msg(msg) => {
            // A message that was valid compressed may be longer than the limit with its header.
            encode_msg(message.header, msg, &mut out).expect("it was decoded");
            assert_eq!(
                msg.flags.contains(MsgFlags::CHECKSUM_PRESENT),
                msg.flags.0 & 1 == 1
            );
        }
        Payload::Query(query) => {
            encode_query(message.header, query, &mut out).expect("it was decoded");
        }
        Payload::Reply(_) | Payload::Unsupported { .. } => return,
    }
    let decoded = decode(&mut out, &LIMITS)
        .expect("it is valid")
        .expect("it is whole");
    assert_eq!(decoded.payload, message.payload);
    assert_eq!(decoded.header, message.header);
    assert!(out.is_empty());
}
