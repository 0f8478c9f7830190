//! What strangers ask of us: discovery, SSDP, control, and the datagrams of a stream.

use crate::allocations;
use pure::model::channel_map::ChannelMap;
use pure::model::device_id::DeviceId;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Source};
use pure::model::pid_filter::PidFilter;
use pure::rules::clients::{Asked, Clients};
use pure::rules::control::{Board, By, Changes, ConnectionId, Control, Device, Policy, Scan, ScanState, Seen, World};
use pure::rules::pool::SlotIndex;
use pure::rules::replies::Replies;
use pure::time::{Mono, Wall};
use pure::wire::hdhr::control::{CONTROL_REPLY_BYTES_MAX, ControlRequest};
use pure::wire::hdhr::deframer::Deframer;
use pure::wire::hdhr::{DiscoverReply, DiscoverRequest, REPLY_BYTES_MAX, REQUEST_BYTES};
use pure::wire::rtp::{Framing, Packetiser};
use pure::wire::ssdp::{self, MESSAGE_BYTES_MAX, Search};
use pure::wire::ts::NULL_PACKET;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

struct Shelf(Lineup);

impl World for Shelf {
    fn lineup(&self) -> Option<&Lineup> {
        Some(&self.0)
    }
    fn seen(&self, _: SlotIndex) -> Seen<'_> {
        Seen::default()
    }
    fn device(&self) -> Device<'_> {
        Device { model: "hdhomerun5_atsc", hw_model: "HDHR5-4US", version: "20261101", copyright: "-" }
    }
    fn board(&self) -> Board {
        Board::default()
    }
    fn scan(&self) -> Scan {
        Scan { state: ScanState::Complete, progress: 100, found: 200 }
    }
}

fn shelf() -> Shelf {
    let channel = |id: u32| Channel {
        id: ChannelId(id),
        number: format!("{}.1", id + 1).parse().unwrap(),
        name: format!("Channel {id}"),
        group: String::new(),
        logo: String::new(),
        tvg_id: String::new(),
        tvg_shift_min: 0,
        sources: vec![Source::Demo(DemoIndex(0))],
    };
    Shelf(Lineup::new((0..200).map(channel).collect()).unwrap())
}

#[test]
fn a_request_allocates_nothing() {
    const NAMES: [&str; 14] = [
        "help",
        "/sys/debug",
        "/sys/features",
        "/lineup/scan",
        "/tuner0/channel",
        "/tuner1/vchannel",
        "/tuner2/filter",
        "/tuner0/program",
        "/tuner0/target",
        "/tuner0/lockkey",
        "/tuner0/status",
        "/tuner0/streaminfo",
        "/tuner0/debug",
        "/nothing",
    ];
    const VALUES: [&str; 8] =
        ["none", "auto:57000000", "9.1", "0x0000-0x0100", "2", "udp://192.0.2.20:5000", "12345", "force"];
    let shelf = shelf();
    let mut control = Control::new(4, ChannelMap::UsBcast, Policy::default());
    let mut deframer = Deframer::new();
    let mut changes = Changes::new();
    // The set of a channel, as clients send it.
    let frame =
        b"\x00\x04\x00\x29\x03\x10/tuner0/channel\0\x04\x0fauto:578000000\0\x15\x04\x00\x00\x30\x39\xc1\x4b\xd4\x2e";
    let before = allocations();
    let mut bytes = 0;
    for turn in 0..20_000_u64 {
        let pick = |len: u64| usize::try_from(turn * 7 % len).unwrap();
        let (name, value) = (NAMES[pick(14)], VALUES[pick(8)]);
        let now = Mono(turn * 100);
        let by = By { connection: ConnectionId(turn / 50), peer: ([192, 0, 2, 20], 40_000).into() };
        let request = match turn % 3 {
            0 => ControlRequest::Get { name },
            _ => ControlRequest::Set { name, value, lockkey: Some(12_345).filter(|_| turn % 2 == 0) },
        };
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        bytes += control.answer(now, &by, request, &shelf, &mut out).0.len();
        control.closed(now, ConnectionId(turn / 60));
        control.deadline(now, &mut changes);
        changes.clear();
        let space = deframer.space();
        space[..frame.len()].copy_from_slice(frame);
        deframer.filled(frame.len());
        while let Some(Ok(frame)) = deframer.next() {
            bytes += usize::from(matches!(ControlRequest::parse(frame), Some(ControlRequest::Set { .. })));
        }
        assert!(!deframer.is_amid());
    }
    assert_eq!(allocations() - before, 0);
    assert!(bytes > 20_000 * 40, "only {bytes} bytes: nothing was answered");
}

#[test]
fn finding_us_allocates_nothing() {
    let device_id = DeviceId::new(0x10AA_5474).unwrap();
    let udn = device_id.udn();
    let device = ssdp::Device {
        udn: &udn,
        kind: "urn:schemas-upnp-org:device:MediaServer:1",
        services: &[],
        product: "HDHomeRun/1.0",
    };
    let search =
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: ssdp:all\r\n\r\n";
    let (mut replies, mut clients) = (Replies::new(), Clients::new());
    let before = allocations();
    let mut answers = 0;
    for turn in 0..20_000_u32 {
        let now = Mono(u64::from(turn) * 20);
        let address = IpAddr::V4(Ipv4Addr::from(0xC000_0200 + turn % 999));
        clients.saw(now, address, Asked::Discovery, b"");
        clients.saw(now, address, Asked::Lineup, b"PlexMediaServer/1.41.2.9200-c6bbc1b53");
        let mut question = [0; REQUEST_BYTES];
        let request = DiscoverRequest::parse(DiscoverRequest::write(None, &mut question)).unwrap();
        if !request.matches(device_id) || !replies.ask(now, address, 3) {
            continue;
        }
        let mut out = [0; REPLY_BYTES_MAX];
        let reply = DiscoverReply {
            device_id,
            tuner_count: 4,
            base_url: "http://192.0.2.10:80",
            lineup_url: "http://192.0.2.10:80/lineup.json",
            auth: &device_id.auth(),
        };
        answers += usize::from(reply.write(&mut out).is_some());
        let search = Search::parse(search, true).unwrap();
        for target in device.found(&search) {
            let mut out = [0; MESSAGE_BYTES_MAX];
            answers += usize::from(
                device.write_answer(target, "http://192.0.2.10:80/device.xml", Wall(0), &mut out).is_some(),
            );
        }
    }
    assert_eq!(allocations() - before, 0);
    assert!(answers > 10_000, "only {answers} answers");
}

#[test]
fn a_datagram_allocates_nothing() {
    let wanted = PidFilter::ALL;
    let mut packetiser = Packetiser::new(Framing::Rtp { ssrc: 1 }, 0);
    let before = allocations();
    let datagrams =
        (0..700_000).filter(|now| black_box(packetiser.packet(&NULL_PACKET, &wanted, *now)).is_some()).count();
    assert_eq!((datagrams, allocations() - before), (100_000, 0));
}
