//! UDP 65001, asked by the real client and by hand.

use crate::kit::hdhr::{SEARCHES, bytes, tags};
use crate::kit::{Daemon, Setup, run};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// Requests that must not be answered: storage only, another device's id, a reply, a broken check sum, too short.
const STRANGERS: [&str; 6] = [
    "0002000c0104000000050204ffffffff5d7430c1",
    "0002000c010400000001020410aa5474f1d28de6",
    "0003000c010400000001020410aa54741909765f",
    "0002000c0104ffffffff0204ffffffff73cc7d8e",
    "0002000c0104ffffffff",
    "00",
];

fn ask(to: Ipv4Addr, request: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(request, (to, 65_001)).unwrap();
    let mut answer = vec![0; 2048];
    let (len, from) = socket.recv_from(&mut answer).ok()?;
    assert_eq!(from.ip(), to, "the answer comes from the address that was asked");
    answer.truncate(len);
    Some(answer)
}

/// The value of a tag in a reply.
fn tag(reply: &[u8], wanted: u8) -> Option<Vec<u8>> {
    tags(reply).into_iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| value)
}

#[test]
fn the_real_client_finds_the_box() {
    let daemon = Daemon::demo();
    let address = daemon.address().to_string();
    let id = daemon.status()["device_id"].as_str().unwrap().to_owned();
    let (status, said) = run("hdhomerun_config", &["discover", &address]);
    assert!(status.success(), "{said}");
    assert_eq!(said.trim(), format!("hdhomerun device {id} found at {address}"));
}

#[test]
fn old_and_new_requests_are_answered_with_addresses_that_the_asker_can_reach() {
    let daemon = Daemon::demo();
    let address = daemon.address();
    for request in SEARCHES {
        let reply = ask(address, &bytes(request), Duration::from_secs(5)).expect(request);
        assert_eq!(reply[..2], [0, 3], "{request}");
        assert_eq!(tag(&reply, 0x01), Some(vec![0, 0, 0, 1]));
        assert_eq!(tag(&reply, 0x10), Some(vec![4]), "four tuners");
        assert_eq!(tag(&reply, 0x2a), Some(format!("http://{address}:8080").into_bytes()));
        assert_eq!(tag(&reply, 0x27), Some(format!("http://{address}:8080/lineup.json").into_bytes()));
        assert_eq!(tag(&reply, 0x2b).map(|auth| auth.len()), Some(24));
    }
}

#[test]
fn what_is_not_for_us_is_not_answered() {
    let daemon = Daemon::demo();
    for request in STRANGERS {
        assert_eq!(ask(daemon.address(), &bytes(request), Duration::from_millis(300)), None, "{request}");
    }
    // It still lives, and has counted.
    assert!(ask(daemon.address(), &bytes(SEARCHES[0]), Duration::from_secs(5)).is_some());
    let metrics = daemon.get("/metrics");
    assert!(metrics.text().contains("tunerd_discovery_ignored_total 6"), "{}", metrics.text());
}

#[test]
fn the_device_id_is_valid_and_stays() {
    let folder_of = |daemon: &Daemon| daemon.setup.state_dir();
    let first = Daemon::demo();
    let id = first.status()["device_id"].as_str().unwrap().to_owned();
    // The rule of libhdhomerun: the nibbles, every other one through a table, cancel each other out.
    let table = [0xa, 0x5, 0xf, 0x6, 0x7, 0xc, 0x1, 0xb, 0x9, 0x2, 0x8, 0xd, 0x4, 0x3, 0xe, 0x0];
    let nibbles = id.chars().map(|digit| digit.to_digit(16).unwrap()).enumerate();
    let sum = nibbles.fold(0, |sum, (at, nibble)| sum ^ if at % 2 == 0 { table[nibble as usize] } else { nibble });
    assert_eq!(sum, 0, "{id}");
    let kept = std::fs::read(folder_of(&first).join("tunerd.db")).unwrap();
    let log = std::fs::read(folder_of(&first).join("tunerd.db-wal")).unwrap_or_default();
    drop(first);
    let again = Setup::new();
    std::fs::create_dir(again.state_dir()).unwrap();
    std::fs::write(again.state_dir().join("tunerd.db"), kept).unwrap();
    std::fs::write(again.state_dir().join("tunerd.db-wal"), log).unwrap();
    assert_eq!(again.start().status()["device_id"].as_str().unwrap(), id, "even after kill -9");
}

#[test]
fn discovery_can_be_switched_off() {
    let mut setup = Setup::new();
    setup.set("network", "discovery = false");
    let daemon = setup.start();
    assert_eq!(ask(daemon.address(), &bytes(SEARCHES[0]), Duration::from_millis(300)), None);
}
