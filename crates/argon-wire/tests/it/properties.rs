//! Whatever is encoded is decoded to the same, and nothing else makes the decoder fall over.

use argon_wire::{
    Bytes, BytesMut, Compressor, Header, Limits, MAX_SEQUENCES, Message, MsgFlags, OpMsg, OpQuery,
    OpReply, Payload, Sequence, compress, decode, encode_msg, encode_query, encode_reply,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::invariants;

/// Bytes with the ends of a document and anything between them.
fn document() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..60).prop_map(|inside| {
        let length = i32::try_from(inside.len() + 5).unwrap();
        let mut document = length.to_le_bytes().to_vec();
        document.extend(inside);
        document.push(0);
        Bytes::from(document)
    })
}

fn header() -> impl Strategy<Value = Header> {
    (any::<i32>(), any::<i32>()).prop_map(|(request_id, response_to)| Header {
        request_id,
        response_to,
    })
}

fn compressor() -> impl Strategy<Value = Option<Compressor>> {
    use Compressor::{Noop, Snappy, Zlib, Zstd};
    option::of(prop::sample::select(vec![Noop, Snappy, Zlib, Zstd]))
}

fn msg() -> impl Strategy<Value = OpMsg> {
    let flags = (0u32..4, any::<u16>()).prop_map(|(low, high)| low | u32::from(high) << 16);
    let sequences = btree_set("[a-zé.]{0,12}", 0..=MAX_SEQUENCES).prop_flat_map(|names| {
        let each = |name| (Just(name), vec(document(), 0..8));
        names.into_iter().map(each).collect::<Vec<_>>()
    });
    (flags, document(), sequences).prop_map(|(flags, body, sequences)| OpMsg {
        flags: MsgFlags(flags),
        body,
        sequences: sequences
            .into_iter()
            .map(|(identifier, documents)| Sequence {
                identifier,
                documents,
            })
            .collect(),
    })
}

fn query() -> impl Strategy<Value = OpQuery> {
    let namespace = vec(1u8.., 0..40).prop_map(Bytes::from);
    let numbers = (any::<u32>(), any::<i32>(), any::<i32>());
    (numbers, namespace, document(), option::of(document())).prop_map(
        |((flags, number_to_skip, number_to_return), full_collection_name, query, selector)| {
            OpQuery {
                flags,
                full_collection_name,
                number_to_skip,
                number_to_return,
                query,
                return_fields_selector: selector,
            }
        },
    )
}

fn reply() -> impl Strategy<Value = OpReply> {
    (any::<u32>(), document()).prop_map(|(flags, document)| OpReply {
        flags,
        cursor_id: 0,
        starting_from: 0,
        documents: vec![document],
    })
}

fn message() -> impl Strategy<Value = Message> {
    let payload = prop_oneof![
        4 => msg().prop_map(Payload::Msg),
        1 => query().prop_map(Payload::Query),
        1 => reply().prop_map(Payload::Reply),
    ];
    (header(), compressor(), payload).prop_map(|(header, compressor, payload)| Message {
        header,
        compressor,
        payload,
    })
}

fn encode(message: &Message) -> Vec<u8> {
    let mut plain = Vec::new();
    match &message.payload {
        Payload::Msg(msg) => encode_msg(message.header, msg, &mut plain),
        Payload::Query(query) => encode_query(message.header, query, &mut plain),
        Payload::Reply(reply) => {
            encode_reply(message.header, reply.flags, &reply.documents[0], &mut plain)
        }
        Payload::Unsupported { op_code } => panic!("{op_code} is not generated"),
    }
    .unwrap();
    let Some(compressor) = message.compressor else {
        return plain;
    };
    let mut compressed = Vec::new();
    compress(&plain, compressor, &mut compressed).unwrap();
    compressed
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(message in message(), before in 0usize..3) {
        // Whatever stands in the buffer before a message is no part of it.
        let mut buf = BytesMut::from(&encode(&message)[..]);
        let mut stream = BytesMut::new();
        for _ in 0..before {
            stream.extend_from_slice(&buf);
        }
        stream.unsplit(buf.split());
        for _ in 0..=before {
            let decoded = decode(&mut stream, &Limits::default()).unwrap().unwrap();
            prop_assert_eq!(&decoded, &message);
        }
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn chunks_give_the_same_as_the_whole(
        messages in vec(message(), 1..5),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = messages.iter().flat_map(encode).collect::<Vec<_>>();
        let mut cuts = cuts.iter().map(|c| c.index(bytes.len())).collect::<Vec<_>>();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(invariants::outcomes(parts), invariants::outcomes([&bytes[..]]));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        invariants::check(&bytes);
    }

    #[test]
    fn any_bytes_in_a_good_frame_are_survived(
        op_code in prop::sample::select(vec![1i32, 2004, 2005, 2012, 2013]),
        mut rest in vec(any::<u8>(), 0..300),
    ) {
        // Keep OP_MSG's required flags known, so that it gets as far as the sections.
        if let (2013, [first, second, ..]) = (op_code, &mut rest[..]) {
            (*first, *second) = (*first & 2, 0);
        }
        let length = i32::try_from(16 + rest.len()).unwrap();
        let mut bytes = Vec::new();
        for field in [length, 1, 0, op_code] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(rest);
        invariants::check(&bytes);
    }

    #[test]
    fn an_inverted_bit_does_not_pass_a_checksum(mut msg in msg(), bit in any::<prop::sample::Index>()) {
        msg.flags = msg.flags | MsgFlags::CHECKSUM_PRESENT;
        let mut bytes = Vec::new();
        encode_msg(Header::default(), &msg, &mut bytes).unwrap();
        // The length and the flags decide whether there is a checksum; all other bits are covered by it.
        let bit = 20 * 8 + bit.index((bytes.len() - 20) * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut buf = BytesMut::from(&bytes[..]);
        prop_assert!(decode(&mut buf, &Limits::default()).is_err());
    }
}
