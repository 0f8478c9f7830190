//! S32: where addresses may lead. Each test asks whoever must not be reached how often he was.

use crate::faults::upstream::with_sources;
use crate::kit::source::{Manner, Source};
use crate::kit::{Setup, http, inside, run, wait_until};
use pure::rules::failure::{End, Failure};
use pure::rules::reach::Reach;
use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tunerd::fetch::{Ask, Fetcher, Kind};

/// Fetches as the daemon does, with nothing remembered.
fn fetch(url: &str, reach: Reach, this_box: bool) -> Result<Vec<u8>, Kind> {
    fetch_with(&Fetcher::new(this_box), url, reach)
}

fn fetch_with(fetcher: &Fetcher, url: &str, reach: Reach) -> Result<Vec<u8>, Kind> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let url = url.parse().map_err(|_| Kind::Policy)?;
        let mut answer = fetcher.session().get(Ask::new(&url, reach)).await.map_err(|error| error.kind)?;
        let mut body = Vec::new();
        while let Some(piece) = answer.piece().await.map_err(|error| error.kind)? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    })
}

/// A network of its own with somebody in it: the world, 93.184.216.34, and the house, 192.168.77.2. We are the box,
/// 93.184.216.1 and 192.168.77.1.
struct World {
    /// Runs something in the world's network.
    ask: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

const SHELL: [&str; 2] = ["sh", "-ec"];

fn shell(script: &str) {
    let (status, said) = run(SHELL[0], &[SHELL[1], script]);
    assert!(status.success(), "{script}: {said}");
}

impl World {
    fn new() -> Self {
        shell("ip link set lo up; ip link add here type veth peer name there");
        let (ask, asked) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid()).unwrap();
            for job in asked {
                job();
            }
        });
        let thread = told.recv_timeout(Duration::from_secs(5)).unwrap();
        shell(&format!("ip link set there netns {thread}"));
        let world = Self { ask };
        world.run(|| {
            shell(
                "ip link set lo up; ip addr add 93.184.216.34/24 dev there; ip addr add 192.168.77.2/24 dev there
                 ip -6 addr add 2600::34/64 dev there nodad; ip link set there up",
            );
        });
        shell(
            "ip addr add 93.184.216.1/24 dev here; ip addr add 192.168.77.1/24 dev here
             ip -6 addr add 2600::1/64 dev here nodad; ip link set here up; sleep 0.3",
        );
        world
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.ask.send(Box::new(move || tell.send(job()).unwrap())).unwrap();
        told.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn serve(&self, address: &str, manner: Manner) -> Source {
        let address = address.to_owned();
        self.run(move || Source::at(address, manner))
    }
}

#[test]
fn this_box_is_reached_under_none_of_its_names() {
    let victim = Source::document("secret");
    let port = victim.port();
    let spellings = [
        "127.0.0.1",
        "localhost",
        "127.1.2.3",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fe80::1]",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fd00:ec2::254]",
    ];
    for spelling in spellings {
        for reach in [Reach::Public, Reach::Private, Reach::ThisBox] {
            let begun = Instant::now();
            assert_eq!(fetch(&format!("http://{spelling}:{port}/"), reach, false), Err(Kind::Policy), "{spelling}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{spelling}: {:?}", begun.elapsed());
        }
    }
    assert_eq!(victim.connections(), 0);
    // Where the settings allow it, what the owner typed may lead here, and nothing else.
    let url = victim.url("/");
    assert_eq!(fetch(&url, Reach::Public, true), Err(Kind::Policy));
    assert_eq!(fetch(&url, Reach::ThisBox, true), Ok(b"secret".to_vec()));
    assert_eq!(victim.connections(), 1);
}

#[test]
fn a_box_with_its_defaults_knocks_at_no_door_of_its_own() {
    let victim = Source::document("#EXTM3U\n#EXTINF:-1,x\nhttp://127.0.0.1:9/x\n");
    let mut setup = Setup::new();
    setup.set("lineup", "this_box = false");
    setup.playlist(format!(
        "#EXTM3U\n#EXTINF:-1,Own\n{}\n#EXTINF:-1,List\n{}\n",
        victim.url("/1.ts"),
        victim.url("/1.m3u8")
    ));
    let mut daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    for channel in [1, 2] {
        assert_eq!(http::open(daemon.address(), 5004, &format!("/auto/v{channel}")).0.status, 503);
    }
    assert_eq!(daemon.status()["channels_ill"][0]["last_failure"], "policy");
    daemon.setup.set("lineup", &format!("playlist = {:?}", victim.url("/list.m3u")));
    daemon.hang_up();
    wait_until("the playlist is refused", Duration::from_secs(10), || {
        daemon.problem("playlist").is_some_and(|problem| problem.contains("this box itself"))
    });
    assert_eq!(victim.connections(), 0);
}

#[test]
fn nobody_on_the_internet_leads_into_the_house() {
    if !inside(&["--net"], "reach::nobody_on_the_internet_leads_into_the_house") {
        return;
    }
    let world = World::new();
    let house = world.serve("192.168.77.2:80", Manner::document("private"));
    let own = Source::at("0.0.0.0:8000", Manner::document("own"));
    let public = world.serve("93.184.216.34:80", Manner::document("public"));
    let (typed, url) = (Reach::typed(true), "http://93.184.216.34/");
    assert_eq!(fetch(url, typed, true), Ok(b"public".to_vec()));
    assert_eq!(fetch("http://192.168.77.2/", Reach::Private, false), Ok(b"private".to_vec()), "he typed it");
    assert_eq!(fetch("http://192.168.77.2/", Reach::Public, false), Err(Kind::Policy));
    assert_eq!(house.connections(), 1);
    for target in [
        "http://192.168.77.2/",
        "//192.168.77.2/",
        "http://[::ffff:192.168.77.2]/",
        "http://192.168.77.1:8000/",
        "http://93.184.216.1:8000/",
        "http://127.0.0.1:8000/",
        "http://localhost:8000/",
        "http://[::ffff:127.0.0.1]:8000/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "udp://239.0.0.1:1234",
    ] {
        public.turn(Source::redirecting(target));
        assert_eq!(fetch(url, typed, true), Err(Kind::Policy), "{target}");
    }
    // A chain that goes through others ends at the same place.
    let second = world.serve("93.184.216.34:81", Source::redirecting("http://192.168.77.2/"));
    public.turn(Source::redirecting("http://93.184.216.34:81/"));
    assert_eq!(fetch(url, typed, true), Err(Kind::Policy));
    assert_eq!((house.connections(), own.connections(), second.connections()), (1, 0, 1));

    // The same for everything that a stream's playlist names, and for the playlist of channels.
    let part = "#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n";
    let bodies = [
        format!("#EXTM3U\n{part}http://192.168.77.2/a.ts\n"),
        format!("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"http://192.168.77.2/key\"\n{part}/a.ts\n"),
        format!("#EXTM3U\n#EXT-X-MAP:URI=\"http://192.168.77.2/init\"\n{part}/a.ts\n"),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://192.168.77.2/index.m3u8\n".to_owned(),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:8000/index.m3u8\n".to_owned(),
    ];
    let lists: Vec<Source> = bodies
        .iter()
        .zip(90..)
        .map(|(body, port)| world.serve(&format!("93.184.216.34:{port}"), Manner::document(body)))
        .collect();
    let urls: Vec<String> = lists.iter().map(|list| list.url("/index.m3u8")).collect();
    let daemon = with_sources(&urls);
    for channel in 1..=urls.len() {
        assert_eq!(http::open(daemon.address(), 5004, &format!("/auto/v{channel}")).0.status, 503);
    }
    let ill = daemon.status()["channels_ill"].clone();
    let failures: Vec<&str> = ill.as_array().unwrap().iter().map(|one| one["last_failure"].as_str().unwrap()).collect();
    assert_eq!(failures, ["policy"; 5], "{ill}");
    drop(daemon);
    let entries = "#EXTM3U x-tvg-url=\"http://192.168.77.2/guide.xml,http://127.0.0.1:8000/guide.xml\"\n\
                   #EXTINF:-1,a\nhttp://192.168.77.2/a.ts\n#EXTINF:-1,b\nhttp://127.0.0.1:8000/b.ts\n";
    public.turn(Manner::document(entries));
    let mut setup = Setup::new();
    setup.set("lineup", "playlist = \"http://93.184.216.34/list.m3u\"");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    for channel in [1, 2] {
        assert_eq!(http::open(daemon.address(), 5004, &format!("/auto/v{channel}")).0.status, 503);
    }
    // And for the guides that it names, until the owner types the same address.
    let problems = || {
        let answer: serde_json::Value = serde_json::from_slice(&daemon.get("/api/v1/guides").body).unwrap();
        let guides = answer["guides"].as_array().unwrap().clone();
        guides.iter().map(|guide| guide["problem"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    wait_until("both are refused", Duration::from_secs(10), || {
        let problems = problems();
        problems.len() == 2 && problems.iter().all(|problem| !problem.is_empty())
    });
    assert_eq!((house.connections(), own.connections()), (1, 0), "{:?}", problems());
    let typed = serde_json::json!({"address": "http://192.168.77.2/guide.xml"});
    assert_eq!(daemon.call("/api/v1/guides", &typed).status, 204);
    wait_until("his own is fetched", Duration::from_secs(10), || house.connections() == 2);
    assert_eq!(own.connections(), 0);
}

/// What the resolver of a test says: one line for each kind of question, by turns.
#[derive(Clone, Copy)]
enum Says {
    /// These IPv4 addresses by turns, and no others.
    ByTurns(&'static [[u8; 4]]),
    /// This IPv4 and this IPv6 address.
    Both([u8; 4], [u16; 8]),
    Nothing,
}

/// A resolver of our own; `switch` tells which of `says` holds. Needs namespaces for network and mounts.
fn resolver(says: &'static [Says], switch: &Arc<AtomicUsize>) {
    let folder = crate::kit::Folder::new();
    let conf = folder.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:10\n");
    let switch_conf = folder.write("nsswitch.conf", "hosts: files dns\n");
    shell(&format!(
        "mount --bind {} \"$(readlink -f /etc/resolv.conf)\"; touch /etc/nsswitch.conf; mount --bind {} /etc/nsswitch.conf",
        conf.display(),
        switch_conf.display()
    ));
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let switch = Arc::clone(switch);
    std::thread::spawn(move || {
        // The files are mounted as long as somebody asks.
        let _folder = folder;
        let mut turn = 0;
        let mut bytes = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut bytes) {
            let question_end = 12 + bytes[12..len].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_v6 = bytes[question_end - 3] == 28;
            let data: Vec<u8> = match says[switch.load(Ordering::SeqCst)] {
                Says::Nothing => continue,
                Says::Both(_, v6) if is_v6 => v6.iter().flat_map(|part| part.to_be_bytes()).collect(),
                Says::ByTurns(_) if is_v6 => Vec::new(),
                Says::Both(v4, _) => v4.to_vec(),
                Says::ByTurns(addresses) => {
                    turn += 1;
                    addresses[turn % addresses.len()].to_vec()
                }
            };
            let mut answer = [&bytes[..2], &[0x81, 0x80, 0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]].concat();
            answer.extend(&bytes[12..question_end]);
            if !data.is_empty() {
                let len = u8::try_from(data.len()).unwrap();
                answer.extend([0xC0, 12, 0, if is_v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 0, 0, len]);
                answer.extend(data);
            }
            socket.send_to(&answer, peer).unwrap();
        }
    });
}

#[test]
fn a_name_that_changes_its_address_never_leads_here() {
    if !inside(&["--net", "--mount"], "reach::a_name_that_changes_its_address_never_leads_here") {
        return;
    }
    let world = World::new();
    let switch = Arc::default();
    resolver(&[Says::ByTurns(&[[93, 184, 216, 34], [127, 0, 0, 1], [192, 168, 77, 1]])], &switch);
    let public = world.serve("93.184.216.34:8000", Manner::document("public"));
    let own = Source::at("0.0.0.0:8000", Manner::document("own"));
    let (mut good, mut refused) = (0, 0);
    for _ in 0..1_000 {
        match fetch("http://rebinding.example:8000/", Reach::typed(false), false) {
            Ok(body) => good += usize::from(body == b"public"),
            Err(Kind::Policy) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((good + refused, own.connections(), public.connections()), (1_000, 0, good));
    assert!(good > 200 && refused > 200, "{good} and {refused}");
}

#[test]
fn u20_a_resolver_that_hangs_stops_nothing_that_was_known() {
    if !inside(&["--net", "--mount"], "reach::u20_a_resolver_that_hangs_stops_nothing_that_was_known") {
        return;
    }
    let world = World::new();
    let switch = Arc::<AtomicUsize>::default();
    resolver(&[Says::ByTurns(&[[93, 184, 216, 34]]), Says::Nothing], &switch);
    let fetcher = Fetcher::new(false);
    let public = world.serve("93.184.216.34:8000", Manner::document("public"));
    let ask = |name: &str| fetch_with(&fetcher, &format!("http://{name}:8000/"), Reach::Public);
    assert_eq!(ask("known.example"), Ok(b"public".to_vec()));
    switch.store(1, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(ask("unknown.example"), Err(Kind::Dns));
    let took = begun.elapsed();
    assert!((4_500..6_500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(ask("known.example"), Ok(b"public".to_vec()), "asked a moment ago");
    // It does not answer, so its name is asked for again; nobody knows better than before.
    assert_eq!(fetch_with(&fetcher, "http://known.example:8001/", Reach::Public), Err(Kind::Connect));
    assert_eq!(ask("known.example"), Ok(b"public".to_vec()));
    assert_eq!(public.connections(), 3);
}

#[test]
fn u23_a_dead_address_family_costs_a_moment() {
    if !inside(&["--net", "--mount"], "reach::u23_a_dead_address_family_costs_a_moment") {
        return;
    }
    let world = World::new();
    let switch = Arc::<AtomicUsize>::default();
    // Nobody is at the first of these IPv6 addresses; the second one has no way at all.
    let dead = [0x2600, 0, 0, 0, 0, 0, 0, 0x99];
    let nowhere = [0x2700, 0, 0, 0, 0, 0, 0, 1];
    let alive = [0x2600, 0, 0, 0, 0, 0, 0, 0x34];
    let says = [dead, nowhere, alive].map(|v6| Says::Both([93, 184, 216, 34], v6));
    resolver(Box::leak(Box::new(says)), &switch);
    shell("ip -6 neigh add 2600::99 lladdr 02:00:00:00:00:99 nud permanent dev here");
    let _v4 = world.serve("93.184.216.34:8000", Manner::document("v4"));
    for (turn, at_least_ms) in [(0, 200), (1, 0)] {
        switch.store(turn, Ordering::SeqCst);
        let begun = Instant::now();
        assert_eq!(fetch("http://both.example:8000/", Reach::Public, false), Ok(b"v4".to_vec()));
        let took = begun.elapsed();
        assert!((at_least_ms..1_500).contains(&took.as_millis()), "{turn}: {took:?}");
    }
    let _v6 = world.serve("[2600::34]:8000", Manner::document("v6"));
    switch.store(2, Ordering::SeqCst);
    assert_eq!(fetch("http://both.example:8000/", Reach::Public, false), Ok(b"v6".to_vec()), "first where it works");
}

#[test]
fn what_went_wrong_is_told_in_the_words_of_failures() {
    // One word for each kind: the guard counts with them.
    for (status, failure) in [
        ("401 x", Failure::Auth),
        ("403 x", Failure::Auth),
        ("404 x", Failure::Http),
        ("500 x", Failure::Http),
        ("503 x", Failure::Http),
    ] {
        let source = Source::fixed(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let url = source.url("/").parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        let end = runtime.block_on(async {
            let asked = Fetcher::new(true).session().get(Ask::new(&url, Reach::ThisBox)).await;
            asked.map(|_| ()).unwrap_err().end()
        });
        assert_eq!(end, End::Failed(failure), "{status}");
    }
    assert!(fs::exists("/proc/self/ns/net").unwrap());
}
