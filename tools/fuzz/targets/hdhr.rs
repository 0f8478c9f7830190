//! Any datagram, and any bytes of a connection in any pieces: what is accepted holds, and what is written is read back
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::channel_map::ChannelMap;
use pure::model::device_id::DeviceId;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Source};
use pure::rules::control::upload::{Step, Upload};
use pure::rules::control::{
    Board, By, Change, Changes, ConnectionId, Control, Device, Policy, Scan, ScanState, Seen, World,
};
use pure::rules::pool::SlotIndex;
use pure::time::Mono;
use pure::wire::hdhr::control::{CONTROL_REPLY_BYTES_MAX, ControlRequest, UpgradeRequest};
use pure::wire::hdhr::deframer::{Broken, Deframer};
use pure::wire::hdhr::{
    DISCOVER_REPLY, DiscoverReply, DiscoverRequest, Frame, FrameError, FrameWriter, Neighbour, REPLY_BYTES_MAX, Tlv,
};
use std::sync::OnceLock;

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
    stream(bytes);
    session(bytes);
});

/// Bytes of a connection: where they are cut makes no difference.
fn stream(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = frames(bytes.chunks(4_096));
    let pieces = frames(bytes.chunks(usize::from(*cut) + 1));
    assert_eq!(whole, pieces);
    let (frames, broken) = whole;
    let taken: usize = frames.iter().map(|(_, payload)| payload.len() + 8).sum();
    assert!(taken <= bytes.len());
    assert!(frames.iter().all(|(kind, payload)| matches!(kind, 4 | 6) && payload.len() <= 1_452));
    if broken == Some(Broken::BadCrc) {
        assert_eq!(Frame::parse(&bytes[taken..]), Err(FrameError::BadCrc));
    }
}

/// The frames in these pieces, and how it ended.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<(u16, Vec<u8>)>, Option<Broken>) {
    let mut deframer = Deframer::new();
    let mut frames = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let space = deframer.space();
            let taken = piece.len().min(space.len());
            assert!(taken > 0, "there is always space");
            space[..taken].copy_from_slice(&piece[..taken]);
            deframer.filled(taken);
            piece = &piece[taken..];
            while let Some(frame) = deframer.next() {
                match frame {
                    Ok(frame) => frames.push((frame.kind, frame.payload.to_vec())),
                    Err(broken) => return (frames, Some(broken)),
                }
            }
        }
    }
    (frames, None)
}

/// Lines of the fuzzer's, as requests of two clients: every reply is one frame that clients can take.
fn session(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = Policy { multicast_ttl_max: Some(2), may_restart: true };
    let mut control = Control::new(2, ChannelMap::UsBcast, policy);
    let mut upload = Upload::new(Some(100));
    let mut playing = [false; 2];
    for (at, line) in (0..).zip(text.lines()) {
        let now = Mono(at * 997);
        let mut words = line.splitn(3, '\t');
        let (name, value, key) = (words.next().unwrap_or_default(), words.next(), words.next());
        let lockkey = key.and_then(|key| key.parse().ok());
        let request = match value {
            None => ControlRequest::Get { name },
            Some(value) => ControlRequest::Set { name, value, lockkey },
        };
        let peer = if line.len() % 3 == 0 { "192.0.2.21:4000" } else { "192.0.2.20:4000" };
        let by = By { connection: ConnectionId(at / 4), peer: peer.parse().expect("an address") };
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        let (reply, change) = control.answer(now, &by, request, &Box, &mut out);
        let frame = Frame::parse(reply).expect("every reply is a frame");
        assert_eq!((frame.kind, frame.payload.len() + 8), (5, reply.len()));
        let tags: Vec<u8> = frame.tlvs().map(|tlv| tlv.tag).collect();
        assert!(matches!(tags.as_slice(), [3, 4] | [5]));
        assert!(frame.tlvs().all(|tlv| tlv.value.ends_with(&[0])));
        let mut follow = |change: Change| match change {
            Change::Play(play) => playing[usize::from(play.tuner.0)] = true,
            Change::Stop { tuner } => playing[usize::from(tuner.0)] = false,
            Change::Filter { tuner } => assert!(playing[usize::from(tuner.0)]),
            Change::Nothing | Change::ScanStart | Change::ScanAbort | Change::Restart => {}
        };
        follow(change);
        if line.len() % 5 == 0 {
            control.closed(now, by.connection);
            let mut changes = Changes::new();
            control.deadline(now.plus_ms(1), &mut changes);
            changes.into_iter().for_each(&mut follow);
        }
        for tuner in 0..2 {
            assert_eq!(control.wanted(SlotIndex(tuner)).is_some(), playing[usize::from(tuner)]);
        }
        let piece = UpgradeRequest::Piece { offset: u32::try_from(at).unwrap_or(0), data: name.as_bytes() };
        assert!(!matches!(upload.on(piece), Step::Check { .. } | Step::Refuse(_)));
    }
}

/// A box with three channels, one of them with a name of the worst kind.
struct Box;

impl World for Box {
    fn lineup(&self) -> Option<&Lineup> {
        static LINEUP: OnceLock<Lineup> = OnceLock::new();
        Some(LINEUP.get_or_init(|| {
            let channel = |id: u32, number: &str, name: &str| Channel {
                id: ChannelId(id),
                number: number.parse().expect("a number"),
                name: name.into(),
                group: String::new(),
                logo: String::new(),
                tvg_id: String::new(),
                tvg_shift_min: 0,
                sources: vec![Source::Demo(DemoIndex(0))],
            };
            let channels = vec![channel(1, "1", "One"), channel(2, "2.1", " (no data)\n"), channel(3, "3.10", "")];
            Lineup::new(channels).expect("three channels")
        }))
    }
    fn seen(&self, tuner: SlotIndex) -> Seen<'_> {
        let http = (tuner.0 == 1).then(|| "192.0.2.30:1".parse().expect("an address"));
        Seen { channel: Some(ChannelId(2)), http, ..Seen::default() }
    }
    fn device(&self) -> Device<'_> {
        Device { model: "hdhomerun5_atsc", hw_model: "HDHR5-4US", version: "20261101", copyright: "-" }
    }
    fn board(&self) -> Board {
        Board::default()
    }
    fn scan(&self) -> Scan {
        Scan { state: ScanState::Running, progress: 255, found: u32::MAX }
    }
}

fn read(bytes: &[u8]) {
    let neighbour = Neighbour::parse(bytes);
    let request = DiscoverRequest::parse(bytes);
    let frame = match Frame::parse(bytes) {
        Ok(frame) => frame,
        Err(error) => {
            assert!((error == FrameError::TooShort) == (bytes.len() < 8));
            assert!(request.is_err() && neighbour.is_none());
            return;
        }
    };
    // The check sum once more, bit by bit.
    let covered = 4 + frame.payload.len();
    assert_eq!(crc32(&bytes[..covered]).to_le_bytes(), bytes[covered..covered + 4]);

    assert_eq!(ControlRequest::parse(frame).is_some(), matches!(frame.kind, 4 | 6));
    assert!(neighbour.is_none() || frame.kind == DISCOVER_REPLY);
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
    let base_url_bytes_max = if reply.base_url.starts_with("http://[") { 54 } else { 28 };
    let fits = reply.base_url.len() <= base_url_bytes_max && reply.lineup_url.len() <= 127 && reply.auth.len() <= 24;
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
