//! What control says over TCP: reading and writing a variable, and uploading firmware.
//!
//! Here: requests in frames that were found by [`crate::wire::hdhr::deframer`], and the replies, each of which fits
//! into one array and so into one write. Not here: what a variable means ([`crate::rules::control`]).
//!
//! Source: `libhdhomerun`, `hdhomerun_control.c`, releases 20220303 and 20250506, and replies of a HDTC-2US and a
//! HDHR5-4DT.

use crate::wire::hdhr::{
    Frame, FrameWriter, GETSET_REPLY, GETSET_REQUEST, TAG_ERROR_MESSAGE, TAG_GETSET_LOCKKEY, TAG_GETSET_NAME,
    TAG_GETSET_VALUE, Tlv, UPGRADE_REPLY, UPGRADE_REQUEST,
};
use core::str;

/// Bytes of the longest reply. Clients have room for so much and not for one byte more, whatever their header says: a
/// longer one is a broken connection to them.
pub const CONTROL_REPLY_BYTES_MAX: usize = 2_046;

/// The place in the firmware that says: that was all.
const UPGRADE_END: u32 = 0xFFFF_FFFF;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRequest<'a> {
    /// The value of a variable.
    Get {
        /// Its name, such as `/sys/model`.
        name: &'a str,
    },
    /// A new value for a variable.
    Set {
        /// Its name.
        name: &'a str,
        /// The new value.
        value: &'a str,
        /// The key of the lock that the asker holds; never 0.
        lockkey: Option<u32>,
    },
    /// A get or set that cannot be read.
    Malformed,
    /// A part of an upload.
    Upgrade(UpgradeRequest<'a>),
}

/// A part of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeRequest<'a> {
    /// Bytes of the firmware. Not to be answered: what is sent now would be taken for the answer to the end.
    Piece {
        /// Where they belong.
        offset: u32,
        /// The bytes.
        data: &'a [u8],
    },
    /// That was all; to be answered with [`write_upgrade`].
    End,
    /// A part that has no place. Not to be answered either.
    Malformed,
}

impl<'a> ControlRequest<'a> {
    /// Reads a frame. None when it is of another type.
    ///
    /// Texts may have the NUL that they should have at their end, or not.
    pub fn parse(frame: Frame<'a>) -> Option<Self> {
        match frame.kind {
            GETSET_REQUEST => Some(getset(frame).unwrap_or(Self::Malformed)),
            UPGRADE_REQUEST => Some(Self::Upgrade(upgrade(frame.payload))),
            _ => None,
        }
    }
}

fn getset(frame: Frame<'_>) -> Option<ControlRequest<'_>> {
    let (mut name, mut value, mut lockkey) = (None, None, None);
    for Tlv { tag, value: bytes } in frame.tlvs() {
        // The first one counts, as for clients.
        match tag {
            TAG_GETSET_NAME if name.is_none() => name = Some(text(bytes)?),
            TAG_GETSET_VALUE if value.is_none() => value = Some(text(bytes)?),
            TAG_GETSET_LOCKKEY if lockkey.is_none() => lockkey = Some(u32::from_be_bytes(bytes.try_into().ok()?)),
            _ => {}
        }
    }
    let name = name?;
    Some(match value {
        // A key may come with a question, too, where it opens nothing.
        None => ControlRequest::Get { name },
        Some(value) => ControlRequest::Set { name, value, lockkey: lockkey.filter(|key| *key != 0) },
    })
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

fn upgrade(payload: &[u8]) -> UpgradeRequest<'_> {
    let Some((offset, data)) = payload.split_first_chunk::<4>() else { return UpgradeRequest::Malformed };
    match u32::from_be_bytes(*offset) {
        UPGRADE_END if data.is_empty() => UpgradeRequest::End,
        UPGRADE_END => UpgradeRequest::Malformed,
        offset => UpgradeRequest::Piece { offset, data },
    }
}

/// Writes a value: of a variable that was asked for, or in force after it was set. Name first, as Jellyfin insists.
///
/// None when it does not fit, which no value of ours comes near.
pub fn write_value<'o>(out: &'o mut [u8; CONTROL_REPLY_BYTES_MAX], name: &str, value: &str) -> Option<&'o [u8]> {
    FrameWriter::new(out, GETSET_REPLY).text(TAG_GETSET_NAME, name).text(TAG_GETSET_VALUE, value).finish()
}

/// Writes that it did not work, and nothing else: what comes before it would be taken for success.
pub fn write_error<'o>(out: &'o mut [u8; CONTROL_REPLY_BYTES_MAX], message: &str) -> Option<&'o [u8]> {
    FrameWriter::new(out, GETSET_REPLY).text(TAG_ERROR_MESSAGE, message).finish()
}

/// Writes the answer to the end of an upload: taken, or not and why.
pub fn write_upgrade<'o>(out: &'o mut [u8; CONTROL_REPLY_BYTES_MAX], refusal: Option<&str>) -> Option<&'o [u8]> {
    let writer = FrameWriter::new(out, UPGRADE_REPLY);
    match refusal {
        None => writer,
        Some(refusal) => writer.text(TAG_ERROR_MESSAGE, refusal),
    }
    .finish()
}

/// The key in a keepalive: what a receiver sends every second to where it takes a stream from, UDP port 5004. 0 when
/// it holds no key. None for whatever else comes to that port.
pub fn keepalive(datagram: &[u8]) -> Option<u32> {
    datagram.try_into().map(u32::from_be_bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdhr::{DISCOVER_REQUEST, tests::hex};
    use std::string::String;

    fn parse(text: &str) -> String {
        let bytes = hex(text);
        std::format!("{:?}", ControlRequest::parse(Frame::parse(&bytes).unwrap()).unwrap())
    }

    fn request(payload: &[u8]) -> Option<ControlRequest<'_>> {
        ControlRequest::parse(Frame { kind: GETSET_REQUEST, payload })
    }

    #[test]
    fn requests_are_those_of_clients() {
        for (bytes, expected) in [
            ("0004000d 030b2f7379732f6d6f64656c00 8f5b54b5", ControlRequest::Get { name: "/sys/model" }),
            ("0004000f030d2f7379732f76657273696f6e00170ebc4e", ControlRequest::Get { name: "/sys/version" }),
            ("00040011030f2f74756e6572302f7374617475730067fa12dc", ControlRequest::Get { name: "/tuner0/status" }),
            (
                "00040029 03102f74756e6572302f6368616e6e656c00 040f6175746f3a35373830303030303000 150400003039 c14bd42e",
                ControlRequest::Set { name: "/tuner0/channel", value: "auto:578000000", lockkey: Some(12_345) },
            ),
            ("00060004ffffffff706cc92d", ControlRequest::Upgrade(UpgradeRequest::End)),
            (
                "0006000c 00000000 0102030405060708 f071130e",
                ControlRequest::Upgrade(UpgradeRequest::Piece { offset: 0, data: &[1, 2, 3, 4, 5, 6, 7, 8] }),
            ),
        ] {
            assert_eq!(parse(bytes), std::format!("{expected:?}"));
        }
    }

    #[test]
    fn replies_are_those_of_real_devices() {
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        for (name, value, golden) in [
            (
                "/sys/model",
                "hdhomerun4_atsc",
                "0005001f 030b2f7379732f6d6f64656c00 0410 6864686f6d6572756e345f6174736300 aa54a687",
            ),
            ("/sys/version", "20250623", "0005001a030d2f7379732f76657273696f6e000409323032353036323300053b1257"),
            (
                "/tuner0/status",
                "ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0",
                "00050042 030f2f74756e6572302f73746174757300 042f 63683d6e6f6e65206c6f636b3d6e6f6e652073733d3020
                 736e713d30207365713d30206270733d30207070733d3000 5c99727d",
            ),
        ] {
            assert_eq!(write_value(&mut out, name, value).unwrap(), hex(golden));
        }
        for (message, golden) in [
            (
                "ERROR: unknown getset variable",
                "00050021 051f 4552524f523a20756e6b6e6f776e20676574736574207661726961626c6500 a7b780f0",
            ),
            (
                "ERROR: malformed getset request",
                "00050022 0520 4552524f523a206d616c666f726d6564206765747365742072657175657374 00 37494141",
            ),
            (
                "ERROR: resource locked by 192.0.2.20",
                "00050027 0525 4552524f523a207265736f75726365206c6f636b6564206279203139322e302e322e323000 92e3a982",
            ),
        ] {
            assert_eq!(write_error(&mut out, message).unwrap(), hex(golden));
        }
        assert_eq!(write_upgrade(&mut out, None).unwrap(), hex("0007000099c90b24"));
        assert_eq!(
            write_upgrade(&mut out, Some("ERROR: invalid firmware")).unwrap(),
            hex("0007001a 0518 4552524f523a20696e76616c6964206669726d7761726500 544e61ca")
        );
    }

    #[test]
    fn a_long_value_is_that_of_a_real_device() {
        // `/tuner1/debug` of an idle unit with current firmware: the first length of two bytes in the wild.
        let value = "tun: ch=none lock=none ss=0 snq=0 seq=0 dbg=0\ndev: bps=0 resync=0 overflow=0\n\
                     ts:  bps=0 te=0 crc=0\nnet: bps=0 pps=0 err=0 stop=0\n";
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        let written = write_value(&mut out, "/tuner1/debug", value).unwrap();
        assert_eq!(value.len() + 1, 130);
        assert!(written.starts_with(&hex("00050095030e2f74756e6572312f646562756700 048201 74756e3a")));
        assert!(written.ends_with(&hex("0a00 89e38c80")), "the check sum covers all of it");
    }

    #[test]
    fn trap_07_texts_leave_with_a_nul_and_come_with_or_without() {
        let with_nul = request(b"\x03\x0b/sys/model\0\x04\x02x\0");
        let without = request(b"\x03\x0a/sys/model\x04\x01x");
        let behind = request(b"\x03\x0d/sys/model\0ab\x04\x04x\0y\0");
        let expected = ControlRequest::Set { name: "/sys/model", value: "x", lockkey: None };
        assert_eq!([with_nul, without, behind], [Some(expected); 3]);
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        for written in
            [write_value(&mut out, "a", "").map(<[u8]>::to_vec), write_error(&mut out, "E").map(<[u8]>::to_vec)]
        {
            let written = written.unwrap();
            let frame = Frame::parse(&written).unwrap();
            assert!(frame.tlvs().all(|tlv| tlv.value.ends_with(&[0])));
        }
    }

    #[test]
    fn what_cannot_be_read_is_malformed() {
        for payload in [
            b"".as_slice(),
            b"\x04\x02x\0",
            b"\x03\x01\xFF",
            b"\x03\x02a\0\x04\x01\xFF",
            b"\x03\x02a\0\x04\x02x\0\x15\x03\0\0\0",
            b"\x03\x05a\0",
        ] {
            assert_eq!(request(payload), Some(ControlRequest::Malformed), "{payload:?}");
        }
        assert_eq!(request(b"\x03\0"), Some(ControlRequest::Get { name: "" }));
        let unlocked = ControlRequest::Set { name: "a", value: "b", lockkey: None };
        assert_eq!(request(b"\x03\x01a\x04\x01b\x15\x04\0\0\0\0"), Some(unlocked), "no key is written as 0, too");
        assert_eq!(request(b"\x03\x01a\x15\x04\0\0\0\x01"), Some(ControlRequest::Get { name: "a" }));
        assert_eq!(request(b"\x03\x01a\x03\x01b\x77\x01c"), Some(ControlRequest::Get { name: "a" }));
        assert_eq!(ControlRequest::parse(Frame { kind: DISCOVER_REQUEST, payload: b"" }), None);
    }

    #[test]
    fn uploads_have_a_place_or_none() {
        let upload = |payload| ControlRequest::parse(Frame { kind: UPGRADE_REQUEST, payload });
        for payload in [b"".as_slice(), b"\0\0\0", b"\xFF\xFF\xFF\xFFx"] {
            assert_eq!(upload(payload), Some(ControlRequest::Upgrade(UpgradeRequest::Malformed)));
        }
        let empty = UpgradeRequest::Piece { offset: 7, data: b"" };
        assert_eq!(upload(b"\0\0\0\x07"), Some(ControlRequest::Upgrade(empty)));
    }

    #[test]
    fn trap_09_an_error_stands_alone() {
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        let written = write_error(&mut out, "ERROR: unknown getset variable").unwrap();
        assert!(Frame::parse(written).unwrap().tlvs().map(|tlv| tlv.tag).eq([TAG_ERROR_MESSAGE]));
    }

    #[test]
    fn trap_14_no_reply_is_longer_than_clients_can_take() {
        // Measured with both libraries: with a name of 13 bytes, 2,019 characters arrive and 2,020 do not.
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        let name = "/tuner0/xxxx";
        let longest = "v".repeat(2_019);
        assert_eq!(write_value(&mut out, name, &longest).unwrap().len(), CONTROL_REPLY_BYTES_MAX);
        assert_eq!(write_value(&mut out, name, &"v".repeat(2_020)), None);
    }

    #[test]
    fn keepalives_are_four_bytes() {
        assert_eq!(keepalive(&[0, 0, 0x30, 0x39]), Some(12_345));
        assert_eq!(keepalive(&[0; 4]), Some(0));
        for other in [b"".as_slice(), b"123", b"12345"] {
            assert_eq!(keepalive(other), None);
        }
    }
}
