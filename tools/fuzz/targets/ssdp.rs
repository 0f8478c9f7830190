//! Any datagram as a search: what is accepted keeps the rules, and what is answered breaks none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::time::Wall;
use pure::wire::ssdp::{Device, Ignored, MESSAGE_BYTES_MAX, Search, Target};

const DEVICE: Device<'static> = Device {
    udn: "74756e65-7264-8000-8000-000010aa5474",
    kind: "urn:schemas-upnp-org:device:MediaServer:1",
    services: &["urn:schemas-upnp-org:service:ConnectionManager:1", "urn:schemas-upnp-org:service:ContentDirectory:2"],
    product: "HDHomeRun/1.0",
};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // A head that is right, so that the rest is looked at.
    let whole =
        [b"M-SEARCH * HTTP/1.1\r\nHOST: h\r\nMAN: \"ssdp:discover\"\r\n".as_slice(), bytes, b"\r\n\r\n"].concat();
    read(&whole);
    let target =
        [b"M-SEARCH * HTTP/1.1\r\nHOST: h\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ", bytes, b"\r\n\r\n"].concat();
    read(&target);
    // A text of ours never breaks a line, whatever somebody named the box.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut out = [0; MESSAGE_BYTES_MAX];
        let device = Device { udn: text, ..DEVICE };
        if let Some(alive) = device.write_alive(Target::Root, text, "239.255.255.250:1900", &mut out) {
            assert!(!text.chars().any(|c| c.is_ascii_control()));
            whole_message(alive, 7);
        }
    }
});

fn read(datagram: &[u8]) {
    let alone = Search::parse(datagram, false);
    let search = match Search::parse(datagram, true) {
        Ok(search) => search,
        Err(why) => {
            // Only the time to wait may be left out.
            if let Ok(search) = alone {
                assert!(why == Ignored::Header && search.wait_s_max.is_none());
                answer(&search);
            }
            return;
        }
    };
    assert_eq!(alone, Ok(search));
    assert!(datagram.starts_with(b"M-SEARCH * HTTP/1.1\r\n") && datagram.len() <= 1_500);
    assert!(search.wait_s_max.is_some_and(|seconds| (1..=5).contains(&seconds)));
    for random in [0, 1 << 31, u32::MAX] {
        assert!(search.delay_ms(random) < 5_000);
    }
    answer(&search);
}

fn answer(search: &Search<'_>) {
    assert!(!search.target.is_empty() && search.target.bytes().all(|byte| byte.is_ascii_graphic()));
    let found: Vec<Target<'_>> = DEVICE.found(search).collect();
    assert!(found.len() <= if search.target == "ssdp:all" { 5 } else { 1 });
    for target in found {
        let mut out = [0; MESSAGE_BYTES_MAX];
        let answer = DEVICE.write_answer(target, "http://192.0.2.10:80/device.xml", Wall(0), &mut out);
        let answer = answer.expect("whatever can be found fits");
        let text = whole_message(answer, 8);
        assert!(search.target == "ssdp:all" || text.contains(&format!("\r\nST: {}\r\n", search.target)));
        assert_eq!(Search::parse(answer, false), Err(Ignored::NotASearch));
    }
}

/// So many lines behind the first one, and nothing behind the empty one.
fn whole_message(message: &[u8], lines: usize) -> &str {
    let text = std::str::from_utf8(message).expect("we write text");
    assert!(text.ends_with("\r\n\r\n"));
    assert_eq!(text.matches("\r\n\r\n").count(), 1);
    assert_eq!(text.matches('\n').count(), lines + 2);
    assert_eq!(text.matches('\r').count(), lines + 2);
    text
}
