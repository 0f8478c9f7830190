//! SSDP, by which `UPnP` control points find devices: reading searches, writing answers and announcements.
//!
//! A search that breaks a rule is not answered, and nothing in here grows with what a datagram holds. Not here:
//! sockets, waiting before an answer, and who may be answered how often ([`crate::rules::replies`]).
//!
//! Source: `UPnP` Device Architecture 1.0, sections 1.1.2 and 1.1.3 (announcing), 1.2.2 and 1.2.3 (searching).

use crate::limits::{SSDP_BYTES_MAX, SSDP_HEADERS_MAX, SSDP_WAIT_S_MAX};
use crate::time::{HttpDate, Wall};
use core::fmt::{self, Write as _};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str;

/// Where everybody listens.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// The same within a link, over IPv6.
pub const GROUP_V6_LINK: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xC);
/// The same within a site, over IPv6.
pub const GROUP_V6_SITE: Ipv6Addr = Ipv6Addr::new(0xFF05, 0, 0, 0, 0, 0, 0, 0xC);
/// And on which port.
pub const PORT: u16 = 1_900;
/// How long an announcement holds, in seconds; the shortest that the specification allows, so that whoever missed our
/// farewell forgets us soon.
pub const MAX_AGE_S: u32 = 1_800;

/// Bytes of the longest datagram that we write.
pub const MESSAGE_BYTES_MAX: usize = 640;
/// Bytes of the longest target that is read: an address of a type has 64.
pub const TARGET_BYTES_MAX: usize = 128;

/// The system with its version, which has to be there; which one it really is, is nobody's business (S24).
const SYSTEM: &str = "Linux/1";

const ALL: &str = "ssdp:all";
const ROOT: &str = "upnp:rootdevice";

// ---- Searches -----------------------------------------------------------------------------------------------------

/// Somebody looks for devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search<'a> {
    /// What is looked for.
    pub target: &'a str,
    /// How long to wait at most before the answer, in seconds, 1 to 5; nobody waits for an answer to himself alone, so
    /// such a search may leave it out.
    pub wait_s_max: Option<u8>,
}

/// Why a datagram is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// An announcement or an answer of another device.
    NotASearch,
    /// Longer, or with more lines, than any search.
    TooLong,
    /// Not the form of a HTTP request, or not its end.
    Malformed,
    /// A header that must be there once is not, or is there twice.
    Header,
    /// `MAN` is not `"ssdp:discover"`, quotes included.
    Man,
    /// `MX` is no number of seconds.
    Mx,
}

impl<'a> Search<'a> {
    /// Reads a datagram. `to_all` says that it came to a group and not to us alone: then it must say how long we may
    /// wait, or all devices would answer at once.
    ///
    /// # Errors
    /// [`Ignored`]: the datagram is not answered.
    pub fn parse(datagram: &'a [u8], to_all: bool) -> Result<Self, Ignored> {
        if datagram.len() > SSDP_BYTES_MAX {
            return Err(Ignored::TooLong);
        }
        let text = str::from_utf8(datagram).map_err(|_| Ignored::Malformed)?;
        let (first, mut rest) = text.split_once("\r\n").ok_or(Ignored::Malformed)?;
        match first {
            "M-SEARCH * HTTP/1.1" => {}
            "NOTIFY * HTTP/1.1" => return Err(Ignored::NotASearch),
            _ if first.starts_with("HTTP/1.") => return Err(Ignored::NotASearch),
            _ => return Err(Ignored::Malformed),
        }
        let [mut host, mut man, mut mx, mut st] = [None; 4];
        let mut lines = 0;
        loop {
            let (line, behind) = rest.split_once("\r\n").ok_or(Ignored::Malformed)?;
            rest = behind;
            if line.is_empty() {
                break;
            }
            lines += 1;
            if lines > SSDP_HEADERS_MAX {
                return Err(Ignored::TooLong);
            }
            let (name, value) = line.split_once(':').ok_or(Ignored::Malformed)?;
            // A name ends at its colon, and control bytes would travel on into logs and answers.
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) || line.bytes().any(is_control) {
                return Err(Ignored::Malformed);
            }
            let known = [("host", &mut host), ("man", &mut man), ("mx", &mut mx), ("st", &mut st)];
            if let Some((_, place)) = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
                if place.replace(value.trim_matches([' ', '\t'])).is_some() {
                    return Err(Ignored::Header);
                }
            }
        }
        if man.ok_or(Ignored::Header)? != "\"ssdp:discover\"" {
            return Err(Ignored::Man);
        }
        if host.is_none_or(str::is_empty) {
            return Err(Ignored::Header);
        }
        let target = st.filter(|st| is_target(st)).ok_or(Ignored::Header)?;
        let wait_s_max = match mx {
            Some(mx) => Some(seconds(mx).ok_or(Ignored::Mx)?),
            None if to_all => return Err(Ignored::Header),
            None => None,
        };
        Ok(Self { target, wait_s_max })
    }

    /// How long to wait before the answer, for a `random` number from anywhere: anything up to what was allowed.
    pub fn delay_ms(&self, random: u32) -> u64 {
        let most_ms = u64::from(self.wait_s_max.unwrap_or(0)) * 1_000;
        (u64::from(random) * most_ms) >> 32
    }
}

const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.len() <= TARGET_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number of seconds that is at least one, and not more than we take for one.
fn seconds(text: &str) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number beyond all bounds is a long wait, too.
    let seconds = text.parse().unwrap_or(SSDP_WAIT_S_MAX).min(SSDP_WAIT_S_MAX);
    (seconds > 0).then_some(seconds)
}

// ---- Answers and announcements ------------------------------------------------------------------------------------

/// What we are, in the words of SSDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Our UUID, without `uuid:`.
    pub udn: &'a str,
    /// Our type, such as `urn:schemas-upnp-org:device:MediaServer:1`.
    pub kind: &'a str,
    /// The types of our services.
    pub services: &'a [&'a str],
    /// Product and version behind `UPnP/1.0`, such as `HDHomeRun/1.0`.
    pub product: &'a str,
}

/// What a device can be found as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A device that is not part of another one.
    Root,
    /// This very device, by its UUID; whoever writes that in capitals is answered so.
    Uuid(&'a str),
    /// Its type.
    Kind(&'a str),
    /// The type of one of its services.
    Service(&'a str),
}

impl<'a> Device<'a> {
    /// All that we can be found as, three and one for each service.
    pub fn targets(&self) -> impl Iterator<Item = Target<'a>> + use<'a> {
        let own = [Target::Root, Target::Uuid(self.udn), Target::Kind(self.kind)];
        own.into_iter().chain(self.services.iter().map(|service| Target::Service(service)))
    }

    /// What we are of what is looked for; everything for `ssdp:all`, nothing for what we are not.
    ///
    /// A type of an older version is looked for with its number, and answered with that number: a newer version can
    /// do what the older one could.
    pub fn found(&self, search: &Search<'a>) -> impl Iterator<Item = Target<'a>> + use<'a> {
        let wanted = search.target;
        self.targets().filter_map(move |target| match target {
            _ if wanted == ALL => Some(target),
            Target::Root => (wanted == ROOT).then_some(target),
            Target::Uuid(udn) => {
                let uuid = wanted.strip_prefix("uuid:")?;
                uuid.eq_ignore_ascii_case(udn).then_some(Target::Uuid(uuid))
            }
            Target::Kind(kind) => covers(kind, wanted).then_some(Target::Kind(wanted)),
            Target::Service(service) => covers(service, wanted).then_some(Target::Service(wanted)),
        })
    }

    /// Writes the answer to a search: what was found, where our description is, and what time it is.
    ///
    /// None when it does not fit, or when a text of ours would break a line.
    pub fn write_answer<'o>(
        &self,
        target: Target<'_>,
        location: &str,
        now: Wall,
        out: &'o mut [u8; MESSAGE_BYTES_MAX],
    ) -> Option<&'o [u8]> {
        let mut message = Message::new(out);
        write!(message, "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age={MAX_AGE_S}\r\nDATE: {}\r\nEXT:\r\n", HttpDate(now))
            .ok()?;
        write!(message, "LOCATION: {}\r\nSERVER: {SYSTEM} UPnP/1.0 {}\r\n", Line(location), Line(self.product)).ok()?;
        write!(message, "ST: {}\r\nUSN: {}\r\nContent-Length: 0\r\n\r\n", self.name(target), self.usn(target)).ok()?;
        message.finish()
    }

    /// Writes that we are there. `host` is the group it goes to, with its port.
    ///
    /// None as for an answer.
    pub fn write_alive<'o>(
        &self,
        target: Target<'_>,
        location: &str,
        host: &str,
        out: &'o mut [u8; MESSAGE_BYTES_MAX],
    ) -> Option<&'o [u8]> {
        let mut message = Message::new(out);
        write!(message, "NOTIFY * HTTP/1.1\r\nHOST: {}\r\nCACHE-CONTROL: max-age={MAX_AGE_S}\r\n", Line(host)).ok()?;
        write!(message, "LOCATION: {}\r\nNT: {}\r\nNTS: ssdp:alive\r\n", Line(location), self.name(target)).ok()?;
        write!(message, "SERVER: {SYSTEM} UPnP/1.0 {}\r\nUSN: {}\r\n\r\n", Line(self.product), self.usn(target))
            .ok()?;
        message.finish()
    }

    /// Writes that we go. `host` as for [`Device::write_alive`].
    ///
    /// None as for an answer.
    pub fn write_byebye<'o>(
        &self,
        target: Target<'_>,
        host: &str,
        out: &'o mut [u8; MESSAGE_BYTES_MAX],
    ) -> Option<&'o [u8]> {
        let mut message = Message::new(out);
        write!(message, "NOTIFY * HTTP/1.1\r\nHOST: {}\r\nNT: {}\r\n", Line(host), self.name(target)).ok()?;
        write!(message, "NTS: ssdp:byebye\r\nUSN: {}\r\n\r\n", self.usn(target)).ok()?;
        message.finish()
    }

    /// The target's own name.
    const fn name(&self, target: Target<'a>) -> Name<'a> {
        Name { udn: self.udn, target, is_usn: false }
    }

    /// The target's name with our UUID in front of it.
    const fn usn(&self, target: Target<'a>) -> Name<'a> {
        Name { udn: self.udn, target, is_usn: true }
    }
}

/// Whether a type of ours is what is looked for: the same, or an older version of it.
fn covers(own: &str, wanted: &str) -> bool {
    fn versioned(text: &str) -> Option<(&str, u16)> {
        let (name, version) = text.rsplit_once(':')?;
        let is_plain = version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
        Some((name, version.parse().ok().filter(|_| is_plain)?))
    }
    match (versioned(own), versioned(wanted)) {
        (Some((own, own_version)), Some((wanted, version))) => own == wanted && version <= own_version,
        _ => own == wanted,
    }
}

struct Name<'a> {
    udn: &'a str,
    target: Target<'a>,
    is_usn: bool,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.target {
            Target::Uuid(_) if self.is_usn => return write!(f, "uuid:{}", Line(self.udn)),
            Target::Uuid(udn) => return write!(f, "uuid:{}", Line(udn)),
            Target::Root => ROOT,
            Target::Kind(name) | Target::Service(name) => name,
        };
        if self.is_usn {
            write!(f, "uuid:{}::", Line(self.udn))?;
        }
        write!(f, "{}", Line(name))
    }
}

/// A text that must not break its line: then nothing is written at all.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().any(|byte| byte.is_ascii_control()) { Err(fmt::Error) } else { f.write_str(self.0) }
    }
}

/// Writes into a fixed array.
struct Message<'o> {
    out: &'o mut [u8],
    bytes: usize,
}

impl<'o> Message<'o> {
    fn new(out: &'o mut [u8; MESSAGE_BYTES_MAX]) -> Self {
        Self { out, bytes: 0 }
    }

    fn finish(self) -> Option<&'o [u8]> {
        let Self { out, bytes } = self;
        out.get(..bytes)
    }
}

impl fmt::Write for Message<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.bytes + text.len();
        self.out.get_mut(self.bytes..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.bytes = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const UDN: &str = "74756e65-7264-8000-8000-000010aa5474";
    const KIND: &str = "urn:schemas-upnp-org:device:MediaServer:1";
    const CONNECTIONS: &str = "urn:schemas-upnp-org:service:ConnectionManager:1";
    const CONTENTS: &str = "urn:schemas-upnp-org:service:ContentDirectory:2";
    const DEVICE: Device<'static> =
        Device { udn: UDN, kind: KIND, services: &[CONNECTIONS, CONTENTS], product: "HDHomeRun/1.0" };
    const LOCATION: &str = "http://192.0.2.10:80/device.xml";
    const NOW: Wall = Wall(784_111_777);

    fn search(target: &str, extra: &str) -> String {
        std::format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: {target}\r\n{extra}\r\n"
        )
    }

    fn found<'a>(device: &Device<'a>, target: &'a str) -> Vec<Target<'a>> {
        device.found(&Search { target, wait_s_max: None }).collect()
    }

    #[test]
    fn searches_of_real_clients_are_read() {
        // gssdp-discover, Home Assistant, a Windows box, and one of the newer kind that asks us alone.
        for (datagram, target, wait_s_max, to_all) in [
            (search(ALL, "USER-AGENT: gssdp-discover GSSDP/1.6\r\n"), ALL, Some(2), true),
            (
                "M-SEARCH * HTTP/1.1\r\nHOST:239.255.255.250:1900\r\nMAN:\"ssdp:discover\"\r\nMX:4\r\nST:ssdp:all\r\n\r\n"
                    .to_string(),
                ALL,
                Some(4),
                true,
            ),
            (
                "M-SEARCH * HTTP/1.1\r\nHost:[FF02::C]:1900\r\nST:upnp:rootdevice\r\nMan:\"ssdp:discover\"\r\nMX:3\r\n\r\n"
                    .to_string(),
                ROOT,
                Some(3),
                true,
            ),
            (
                "M-SEARCH * HTTP/1.1\r\nHOST: 192.0.2.10:1900\r\nMAN: \"ssdp:discover\"\r\nST: upnp:rootdevice\r\n\r\n"
                    .to_string(),
                ROOT,
                None,
                false,
            ),
        ] {
            assert_eq!(Search::parse(datagram.as_bytes(), to_all), Ok(Search { target, wait_s_max }));
        }
    }

    #[test]
    fn searches_that_break_a_rule_are_ignored() {
        let good = search(KIND, "");
        for (from, to, why) in [
            ("\"ssdp:discover\"", "ssdp:discover", Ignored::Man),
            ("\"ssdp:discover\"", "\"ssdp:byebye\"", Ignored::Man),
            ("MAN: \"ssdp:discover\"\r\n", "", Ignored::Header),
            ("HOST: 239.255.255.250:1900\r\n", "", Ignored::Header),
            ("HOST: 239.255.255.250:1900", "HOST: ", Ignored::Header),
            ("MX: 2\r\n", "", Ignored::Header),
            ("MX: 2", "MX: 0", Ignored::Mx),
            ("MX: 2", "MX: -1", Ignored::Mx),
            ("MX: 2", "MX: +1", Ignored::Mx),
            ("MX: 2", "MX: 1.5", Ignored::Mx),
            ("MX: 2", "MX:", Ignored::Mx),
            ("MX: 2", "MX: 2\r\nmx: 3", Ignored::Header),
            (KIND, "", Ignored::Header),
            (KIND, "two words", Ignored::Header),
            ("ST: ", "ST: a\r\nST: ", Ignored::Header),
            ("ST: ", "ST: a\x0b", Ignored::Malformed),
            ("ST: ", " ST: ", Ignored::Malformed),
            ("ST: ", "ST : ", Ignored::Malformed),
            ("ST: ", "ST\r\n", Ignored::Malformed),
            ("ST: ", ": ", Ignored::Malformed),
            ("* HTTP/1.1", "* HTTP/1.0", Ignored::Malformed),
            ("* HTTP/1.1", "/ HTTP/1.1", Ignored::Malformed),
            ("M-SEARCH", "m-search", Ignored::Malformed),
            ("M-SEARCH * HTTP/1.1", "NOTIFY * HTTP/1.1", Ignored::NotASearch),
            ("M-SEARCH * HTTP/1.1", "HTTP/1.1 200 OK", Ignored::NotASearch),
            ("\r\n", "\n", Ignored::Malformed),
            ("\r\n\r\n", "\r\n", Ignored::Malformed),
        ] {
            let broken = good.replace(from, to);
            assert_ne!(broken, good, "{from:?}");
            assert_eq!(Search::parse(broken.as_bytes(), true), Err(why), "{broken:?}");
        }
        assert_eq!(Search::parse(b"", true), Err(Ignored::Malformed));
        assert_eq!(Search::parse(b"\xFF\r\n\r\n", true), Err(Ignored::Malformed));
        for end in 0..good.len() {
            assert!(Search::parse(&good.as_bytes()[..end], true).is_err());
        }
    }

    #[test]
    fn header_bombs_are_bounded() {
        let many = |count| search(ALL, &"X: y\r\n".repeat(count));
        assert!(Search::parse(many(SSDP_HEADERS_MAX - 4).as_bytes(), true).is_ok());
        assert_eq!(Search::parse(many(SSDP_HEADERS_MAX - 3).as_bytes(), true), Err(Ignored::TooLong));
        let long = search(ALL, &std::format!("X: {}\r\n", "y".repeat(1_500)));
        assert_eq!(Search::parse(long.as_bytes(), true), Err(Ignored::TooLong));
        let target = search(&"u".repeat(129), "");
        assert_eq!(Search::parse(target.as_bytes(), true), Err(Ignored::Header));
    }

    #[test]
    fn waits_are_clamped_and_spread() {
        for (mx, expected) in [("1", 1), ("5", 5), ("6", 5), ("120", 5), ("99999999999999999999", 5), ("007", 5)] {
            let datagram = search(ALL, "").replace("MX: 2", &std::format!("MX: {mx}"));
            assert_eq!(Search::parse(datagram.as_bytes(), true).unwrap().wait_s_max, Some(expected), "{mx}");
        }
        let search = Search { target: ALL, wait_s_max: Some(2) };
        assert_eq!([0, u32::MAX / 2 + 1, u32::MAX].map(|random| search.delay_ms(random)), [0, 1_000, 1_999]);
        assert_eq!(Search { wait_s_max: None, ..search }.delay_ms(u32::MAX), 0);
    }

    #[test]
    fn every_target_is_found() {
        let every = [
            Target::Root,
            Target::Uuid(UDN),
            Target::Kind(KIND),
            Target::Service(CONNECTIONS),
            Target::Service(CONTENTS),
        ];
        assert_eq!(found(&DEVICE, ALL), every);
        assert_eq!(found(&DEVICE, ROOT), [Target::Root]);
        let capitals = "74756E65-7264-8000-8000-000010AA5474";
        assert_eq!(found(&DEVICE, "uuid:74756E65-7264-8000-8000-000010AA5474"), [Target::Uuid(capitals)]);
        assert_eq!(found(&DEVICE, KIND), [Target::Kind(KIND)]);
        assert_eq!(found(&DEVICE, CONTENTS), [Target::Service(CONTENTS)]);
        let older = "urn:schemas-upnp-org:service:ContentDirectory:1";
        assert_eq!(found(&DEVICE, older), [Target::Service(older)], "answered with the number asked for");
        for nothing in [
            "ssdp:All",
            "upnp:rootdevic",
            "uuid:74756e65-7264-8000-8000-000010aa5475",
            "uuid:",
            UDN,
            "urn:schemas-upnp-org:device:MediaServer:2",
            "urn:schemas-upnp-org:device:MediaServer:0",
            "urn:schemas-upnp-org:device:MediaServer:+1",
            "urn:schemas-upnp-org:device:MediaServer:01",
            "urn:schemas-upnp-org:device:MediaServer:",
            "urn:schemas-upnp-org:device:MediaServer",
            "urn:schemas-upnp-org:device:MediaRenderer:1",
        ] {
            assert_eq!(found(&DEVICE, nothing), [], "{nothing}");
        }
    }

    #[test]
    fn trap_48_answers_are_whole_and_echo_what_was_looked_for() {
        let mut out = [0; MESSAGE_BYTES_MAX];
        let answer = DEVICE.write_answer(Target::Kind(KIND), LOCATION, NOW, &mut out).unwrap();
        assert_eq!(
            str::from_utf8(answer).unwrap(),
            "HTTP/1.1 200 OK\r\n\
             CACHE-CONTROL: max-age=1800\r\n\
             DATE: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             EXT:\r\n\
             LOCATION: http://192.0.2.10:80/device.xml\r\n\
             SERVER: Linux/1 UPnP/1.0 HDHomeRun/1.0\r\n\
             ST: urn:schemas-upnp-org:device:MediaServer:1\r\n\
             USN: uuid:74756e65-7264-8000-8000-000010aa5474::urn:schemas-upnp-org:device:MediaServer:1\r\n\
             Content-Length: 0\r\n\
             \r\n"
        );
        // The search as it was written, and our name as it is.
        let capitals = "74756E65-7264-8000-8000-000010AA5474";
        let answer = DEVICE.write_answer(Target::Uuid(capitals), LOCATION, NOW, &mut out).unwrap();
        let answer = str::from_utf8(answer).unwrap();
        assert!(answer.contains("\r\nST: uuid:74756E65-7264-8000-8000-000010AA5474\r\n"));
        assert!(answer.contains("\r\nUSN: uuid:74756e65-7264-8000-8000-000010aa5474\r\n"));
    }

    #[test]
    fn announcements_and_farewells_are_whole() {
        let mut out = [0; MESSAGE_BYTES_MAX];
        let alive = DEVICE.write_alive(Target::Root, LOCATION, "239.255.255.250:1900", &mut out).unwrap();
        assert_eq!(
            str::from_utf8(alive).unwrap(),
            "NOTIFY * HTTP/1.1\r\n\
             HOST: 239.255.255.250:1900\r\n\
             CACHE-CONTROL: max-age=1800\r\n\
             LOCATION: http://192.0.2.10:80/device.xml\r\n\
             NT: upnp:rootdevice\r\n\
             NTS: ssdp:alive\r\n\
             SERVER: Linux/1 UPnP/1.0 HDHomeRun/1.0\r\n\
             USN: uuid:74756e65-7264-8000-8000-000010aa5474::upnp:rootdevice\r\n\
             \r\n"
        );
        let byebye = DEVICE.write_byebye(Target::Uuid(UDN), "[FF02::C]:1900", &mut out).unwrap();
        assert_eq!(
            str::from_utf8(byebye).unwrap(),
            "NOTIFY * HTTP/1.1\r\n\
             HOST: [FF02::C]:1900\r\n\
             NT: uuid:74756e65-7264-8000-8000-000010aa5474\r\n\
             NTS: ssdp:byebye\r\n\
             USN: uuid:74756e65-7264-8000-8000-000010aa5474\r\n\
             \r\n"
        );
        // None of them is a search.
        for target in DEVICE.targets() {
            let alive = DEVICE.write_alive(target, LOCATION, "239.255.255.250:1900", &mut out).unwrap();
            assert_eq!(Search::parse(alive, true), Err(Ignored::NotASearch));
        }
    }

    #[test]
    fn nothing_of_ours_breaks_a_line_or_runs_over() {
        let mut out = [0; MESSAGE_BYTES_MAX];
        for location in ["http://x/\r\nX: y", "http://x/\0", &"l".repeat(MESSAGE_BYTES_MAX)] {
            assert_eq!(DEVICE.write_answer(Target::Root, location, NOW, &mut out), None);
            assert_eq!(DEVICE.write_alive(Target::Root, location, "h", &mut out), None);
        }
        assert_eq!(DEVICE.write_byebye(Target::Kind("a\nb"), "h", &mut out), None);
        // The longest that can be looked for still fits.
        let longest = "u".repeat(TARGET_BYTES_MAX);
        assert!(DEVICE.write_answer(Target::Kind(&longest), LOCATION, NOW, &mut out).is_some());
    }

    #[test]
    fn dates_are_those_of_http() {
        for (wall, text) in [
            (Wall(0), "Thu, 01 Jan 1970 00:00:00 GMT"),
            (NOW, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (Wall(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT"),
            (Wall(-1), "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate(wall).to_string(), text);
        }
    }
}
