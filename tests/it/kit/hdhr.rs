//! The words of UDP and TCP 65001, written by hand: it shares no code with the daemon.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::http;

/// Discovery and control.
pub(crate) const PORT: u16 = 65_001;

/// Searches as clients send them: of the older library and Jellyfin for anything and for tuners, of the newer one for
/// tuners, for anything, and for tuners and storage.
pub(crate) const SEARCHES: [&str; 5] = [
    "0002000c0104ffffffff0204ffffffff73cc7d8f",
    "0002000c0104000000010204ffffffff4e507f35",
    "00020006010400000001393077e7",
    "000200060104ffffffff4c20cb4e",
    "0002000a2d0800000001000000054f63391f",
];

/// Bytes of a hex text with blanks.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn connect(address: Ipv4Addr) -> TcpStream {
    http::connect(address, PORT)
}

/// As zlib counts it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = value.len();
    let mut bytes = vec![tag];
    if len < 128 {
        bytes.push(u8::try_from(len).unwrap());
    } else {
        bytes.extend([u8::try_from(len & 0x7f).unwrap() | 0x80, u8::try_from(len >> 7).unwrap()]);
    }
    bytes.extend(value);
    bytes
}

pub(crate) fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    let crc = crc32(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), &[0]].concat()
}

pub(crate) fn get(name: &str) -> Vec<u8> {
    frame(4, &tlv(3, &text(name)))
}

pub(crate) fn set(name: &str, value: &str) -> Vec<u8> {
    frame(4, &[tlv(3, &text(name)), tlv(4, &text(value))].concat())
}

/// One read, as Jellyfin does it: the whole reply must be in it. Gives tag and text of the last part.
pub(crate) fn reply(stream: &mut TcpStream) -> (u8, String) {
    let mut bytes = [0; 4096];
    let len = stream.read(&mut bytes).unwrap();
    assert!(len >= 8, "one reply, in one piece, and not its end");
    let (tag, value) = tags(&bytes[..len]).pop().unwrap_or_default();
    assert_eq!(value.last(), Some(&0), "texts end with NUL, and the NUL counts");
    (tag, String::from_utf8(value[..value.len() - 1].to_vec()).unwrap())
}

pub(crate) fn ask(stream: &mut TcpStream, request: &[u8]) -> (u8, String) {
    stream.write_all(request).unwrap();
    reply(stream)
}

/// Receives datagrams for some time; each must have this size.
pub(crate) fn receive(socket: &UdpSocket, size: usize, time: Duration) -> Vec<u8> {
    let (end, mut bytes, mut datagram) = (Instant::now() + time, Vec::new(), [0; 2000]);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while Instant::now() < end {
        if let Ok(len) = socket.recv(&mut datagram) {
            assert_eq!(len, size, "receivers drop every other size");
            bytes.extend(&datagram[size - 1316..len]);
        }
    }
    bytes
}

pub(crate) fn receiver() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// A set that carries a key.
pub(crate) fn keyed(name: &str, value: &str, key: u32) -> Vec<u8> {
    frame(4, &[tlv(3, &text(name)), tlv(4, &text(value)), tlv(0x15, &key.to_be_bytes())].concat())
}

/// Tags and values of a frame, whose lengths and check sum must be right.
pub(crate) fn tags(frame: &[u8]) -> Vec<(u8, Vec<u8>)> {
    assert_eq!(usize::from(u16::from_be_bytes([frame[2], frame[3]])) + 8, frame.len());
    assert_eq!(crc32(&frame[..frame.len() - 4]).to_le_bytes(), frame[frame.len() - 4..]);
    let (mut rest, mut found) = (&frame[4..frame.len() - 4], Vec::new());
    while let [tag, first, more @ ..] = rest {
        let (value_len, more) = match (*first, more) {
            (first, [second, more @ ..]) if first & 0x80 != 0 => {
                (usize::from(first & 0x7f) | usize::from(*second) << 7, more)
            }
            (first, more) => (usize::from(first), more),
        };
        let (value, after) = more.split_at(value_len);
        found.push((*tag, value.to_vec()));
        rest = after;
    }
    found
}

/// The text behind a tag of a frame.
pub(crate) fn tag_text(frame: &[u8], tag: u8) -> String {
    let found = tags(frame).into_iter().find(|(found, _)| *found == tag);
    String::from_utf8(found.unwrap_or_else(|| panic!("there is no tag {tag:02x}")).1).unwrap()
}
