//! What FFmpeg cannot do, whatever a stream makes of it: tried by a fake one that wants to.

use crate::kit::fakeff::Fake;
use crate::kit::{Setup, http, wait_until};
use std::time::Duration;

/// What needs a rule about files, or about whom signals reach.
const OF_LANDLOCK: [&str; 7] = ["memory", "signal", "shadow", "list", "read", "write", "temporary"];

/// What a fake FFmpeg got at, as its witness says.
fn got(fake: &Fake, key: &str) -> Vec<String> {
    let mut found = None;
    wait_until("it has tried", Duration::from_secs(10), || {
        found = fake.log().into_iter().find(|line| line.event == "escape" && line.key == key);
        found.is_some()
    });
    let more = found.unwrap().more;
    more.strip_prefix("got=").unwrap().split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

#[test]
fn s34_a_child_gets_at_nothing_but_what_it_is_for() {
    // At stake: a decoder that a stream has taken over must find neither the house's network nor the owner's secrets. One
    // child makes its picture by itself and may call nobody, the other one has to hear the network.
    let mut setup = Setup::new();
    let fake = Fake::install(&mut setup);
    fake.script("lavfi: escape\n");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    drop(http::open(daemon.address(), 5004, "/auto/v1.1"));
    let (hearing, hears) = Fake::daemon(&[("One", "escape")]);
    drop(http::open(hears.address(), 5004, "/auto/v1"));
    // The kernels of some boards have no Landlock, and the daemon says so.
    let has_landlock = daemon.has_logged("it may use no files of ours");
    assert!(has_landlock || daemon.has_logged("this kernel has no Landlock"), "{}", daemon.log());
    let refused = |one: &String| has_landlock || !OF_LANDLOCK.contains(&one.as_str());
    let mut made = got(&fake, "lavfi");
    made.retain(refused);
    assert!(made.is_empty(), "{made:?}");
    let key = crate::kit::fakeff::key_of("One");
    let mut heard = got(&hearing, &key);
    heard.retain(refused);
    assert_eq!(heard, ["socket"]);
    assert!(daemon.problem("sandbox").is_none());
}
