//! Any text as where messages go: what is taken reads back as itself, breaks no line anywhere, and is not shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::notification::{Target, Way};
use pure::time::Wall;
use pure::wire::smtp::Mail;

fuzz_target!(|text: &str| {
    let (text, password) = text.split_once('\n').map_or((text, None), |(text, password)| (text, Some(password)));
    let Ok(target) = Target::read(text, password) else { return };
    let kept = Target::read(target.as_str(), None).expect("what is kept reads back");
    assert!(kept == target && kept.as_str() == target.as_str() && kept.to_string() == target.to_string());
    for shown in [target.to_string(), format!("{target:?}"), target.as_str().to_owned()] {
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
    }
    if let Way::Mail(route) = target.way() {
        assert!(!route.to.is_empty() && !route.host.contains(['\r', '\n', ' ']));
        for address in route.to.iter().chain([&route.from]) {
            assert!(address.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,:;\"\\".contains(&byte)));
        }
        let (name, subject, at) = (text, password.unwrap_or("none"), Wall(0));
        let (from, to) = (&route.from, &route.to[..]);
        let wire = Mail { name, from, to, subject, text: subject, at, id: 0 }.to_wire();
        let (head, _) = wire.split_once("\r\n\r\n").expect("a head ends");
        assert!(wire.is_ascii() && wire.ends_with("\r\n.\r\n") && wire.matches("\r\n.\r\n").count() == 1);
        assert_eq!(head.matches("\r\nTo: ").count(), 1);
        assert_eq!(wire.matches('\n').count(), wire.matches("\r\n").count());
    }
});
