//! Any datagram: what is accepted holds, and what is written is read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::device_id::DeviceId;
use pure::wire::hdhr::{
    DISCOVER_REPLY, DiscoverReply, DiscoverRequest, Frame, FrameError, FrameWriter, REPLY_BYTES_MAX, Tlv,
};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // A check sum is hard to guess: so the fuzzer's bytes are taken as a payload, too.
    if let Some((kind, payload)) = bytes.split_first_chunk::<2>() {
        let sealed = seal(u16::from_be_bytes(*kind), payload);
        if let Some(sealed) = &sealed {
            assert!(Frame::parse(sealed).is_ok_and(|frame| frame.payload == payload));
            read(sealed);
        }
    }
    reply(bytes);
});

fn read(bytes: &[u8]) {
    let request = DiscoverRequest::parse(bytes);
    let frame = match Frame::parse(bytes) {
        Ok(frame) => frame,
        Err(error) => {
            assert!((error == FrameError::TooShort) == (bytes.len() < 8));
            assert!(request.is_err());
            return;
        }
    };
    // The check sum once more, bit by bit.
    let covered = 4 + frame.payload.len();
    assert_eq!(crc32(&bytes[..covered]).to_le_bytes(), bytes[covered..covered + 4]);

    let tlvs: Vec<Tlv<'_>> = frame.tlvs().collect();
    assert!(tlvs.iter().map(|tlv| tlv.value.len() + 2).sum::<usize>() <= frame.payload.len());
    let mut out = vec![0; 2 * bytes.len()];
    let writer = FrameWriter::new(&mut out, frame.kind);
    let written = tlvs.iter().fold(writer, |writer, tlv| writer.tlv(tlv.tag, tlv.value)).finish();
    let written = written.expect("no longer than what was read");
    assert!(written.len() <= covered + 4);
    let again = Frame::parse(written).expect("what we write is a frame");
    assert!(again.kind == frame.kind && again.tlvs().eq(tlvs));

    if let Ok(request) = request {
        assert_eq!(frame.kind, 2);
        for id in [0x10AA_5474, 0x1251_129F].into_iter().chain(request.device_id) {
            let Some(id) = DeviceId::new(id) else { continue };
            assert_eq!(
                request.matches(id),
                request.wants_tuner && request.device_id.is_none_or(|wanted| wanted == id.get())
            );
        }
    }
}

/// Three texts and a number of the fuzzer's, as a reply.
fn reply(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut texts = text.splitn(3, '\n');
    let (base_url, lineup_url, auth) = (texts.next(), texts.next(), texts.next());
    let reply = DiscoverReply {
        device_id: DeviceId::from_random(crc32(bytes)),
        tuner_count: bytes.len().to_le_bytes()[0],
        base_url: base_url.unwrap_or_default(),
        lineup_url: lineup_url.unwrap_or_default(),
        auth: auth.unwrap_or_default(),
    };
    let fits = reply.base_url.len() <= 28 && reply.lineup_url.len() <= 127 && reply.auth.len() <= 24;
    let mut out = [0; REPLY_BYTES_MAX];
    let written = reply.write(&mut out);
    assert_eq!(written.is_some(), fits);
    let Some(written) = written else { return };
    let frame = Frame::parse(written).expect("what we write is a frame");
    assert_eq!((frame.kind, frame.payload.len() + 8), (DISCOVER_REPLY, written.len()));
    let id = reply.device_id.get().to_be_bytes();
    let expected: [(u8, &[u8]); 6] = [
        (0x01, &[0, 0, 0, 1]),
        (0x02, &id),
        (0x2B, reply.auth.as_bytes()),
        (0x2A, reply.base_url.as_bytes()),
        (0x10, &[reply.tuner_count]),
        (0x27, reply.lineup_url.as_bytes()),
    ];
    assert!(frame.tlvs().map(|tlv| (tlv.tag, tlv.value)).eq(expected));
}

/// A frame with exactly this payload, well formed or not.
fn seal(kind: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    let mut bytes = [&kind.to_be_bytes(), &length.to_be_bytes(), payload].concat();
    bytes.extend(crc32(&bytes).to_le_bytes());
    Some(bytes)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}
