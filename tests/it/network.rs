//! The box in networks: two of them, with a neighbour in each, who searches as clients do. Real `hdhomerun_config`,
//! `gssdp-discover` and `avahi-browse` look from there.
//!
//! Each test has namespaces of its own: the box stands in one, with a cable to each neighbour's. Root makes them
//! directly, everybody else with a user namespace around them; where the kernel lets nobody else do that, the tests fail
//! and say so.

use crate::kit::hdhr::{SEARCHES, ask, bytes, get, receive, set, tag_text};
use crate::kit::media::inspect;
use crate::kit::{Daemon, SOON, Setup, fakeff::Fake, inside, run, wait_until};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For what must not come.
const NEVER: Duration = Duration::from_millis(400);
const SSDP_PORT: u16 = 1_900;
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// The box's two addresses; the neighbours have the next ones.
const HERE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 77, 1), Ipv4Addr::new(10, 78, 0, 1)];

fn sh(script: &str) {
    let (status, said) = run("sh", &["-ec", script]);
    assert!(status.success(), "{script}: {said}");
}

/// Another machine, at the other end of a cable.
struct Neighbour {
    machine: Child,
    number: usize,
}

impl Neighbour {
    /// Lays the cable, with addresses of both families at both ends.
    fn new(number: usize) -> Self {
        let machine = Command::new("unshare").args(["--net", "sleep", "300"]).spawn().unwrap();
        let neighbour = Self { machine, number };
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_until("there is another machine", SOON, || {
            std::fs::read_link(neighbour.namespace()).is_ok_and(|its| its != own)
        });
        // Nobody else can have these addresses, and looking for him takes seconds.
        let quick =
            "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad";
        let (pid, enter) = (neighbour.machine.id(), neighbour.enter());
        let [a, b, c, d] = HERE.get(number).copied().unwrap_or(Ipv4Addr::new(10, 79, 0, 1)).octets();
        sh(&format!(
            "{quick}; {enter} sh -ec '{quick}; ip link set lo up'
             ip link add lan{number} type veth peer name eth0 netns {pid}
             ip addr add {a}.{b}.{c}.{d}/24 brd + dev lan{number}
             ip addr add fd7{number}::1/64 dev lan{number} nodad; ip link set lan{number} up
             {enter} sh -ec 'ip addr add {a}.{b}.{c}.{}/24 brd + dev eth0
             ip addr add fd7{number}::2/64 dev eth0 nodad; ip link set eth0 up
             ip route add default via {a}.{b}.{c}.{d}'",
            d + 1
        ));
        // The address of the link comes by itself, a moment after the cable.
        let has_link = || {
            let here = run("ip", &["-6", "addr", "show", "dev", &format!("lan{number}"), "scope", "link"]).1;
            here.contains("fe80")
                && neighbour.run("ip", &["-6", "addr", "show", "dev", "eth0", "scope", "link"]).contains("fe80")
        };
        wait_until("the cable carries", SOON, has_link);
        neighbour
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.machine.id())
    }

    fn enter(&self) -> String {
        format!("nsenter --net={}", self.namespace())
    }

    /// Runs a program there.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let net = format!("--net={}", self.namespace());
        run("nsenter", &[&[net.as_str(), program], arguments].concat()).1
    }

    fn config(&self, arguments: &[&str]) -> String {
        self.run("hdhomerun_config", arguments).trim_end().to_owned()
    }

    /// Opens sockets there.
    fn there<T: Send>(&self, open: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.namespace()).unwrap();
        std::thread::scope(|scope| {
            let task = scope.spawn(move || {
                // Of this thread alone.
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                open()
            });
            task.join().unwrap()
        })
    }

    fn socket(&self) -> UdpSocket {
        let socket = self.there(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        socket.set_broadcast(true).unwrap();
        socket
    }

    fn address(&self) -> Ipv4Addr {
        let [a, b, c, d] = HERE[self.number].octets();
        Ipv4Addr::new(a, b, c, d + 1)
    }

    /// Sends a search over `IPv6` from an address of its own, and gives the answer and who sent it.
    fn search_v6(&self, from: Option<&str>, to: &str) -> Option<(Vec<u8>, SocketAddr)> {
        let (from, to): (Ipv6Addr, Ipv6Addr) = (from.unwrap_or("::").parse().unwrap(), to.parse().unwrap());
        let socket = self.there(|| {
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            let socket = UdpSocket::bind((from, 0)).unwrap();
            socket.send_to(&bytes(SEARCHES[2]), SocketAddrV6::new(to, 65_001, 0, index)).unwrap();
            socket
        });
        answer(&socket, Duration::from_secs(2))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        self.machine.wait().unwrap();
    }
}

fn answer(socket: &UdpSocket, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut datagram = vec![0; 2048];
    let (len, from) = socket.recv_from(&mut datagram).ok()?;
    datagram.truncate(len);
    Some((datagram, from))
}

/// A box in all networks, with its usual ports.
fn boxed(mut setup: Setup) -> Setup {
    sh("ip link set lo up");
    setup.address = HERE[0];
    setup.set("network", "address = \"0.0.0.0\"");
    setup.default_page_port();
    setup
}

fn id_of(daemon: &Daemon) -> String {
    let log = daemon.log();
    log.split(" is ready as device ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

// ---- Discovery and control --------------------------------------------------------------------------------------------

#[test]
fn trap_16_the_box_is_found_in_every_network_at_the_address_that_it_has_there() {
    if !inside(&["--net"], "network::trap_16_the_box_is_found_in_every_network_at_the_address_that_it_has_there") {
        return;
    }
    let neighbours = [Neighbour::new(0), Neighbour::new(1)];
    let daemon = boxed(Setup::new()).start();
    let id = id_of(&daemon);
    for (neighbour, here) in neighbours.iter().zip(HERE) {
        assert_eq!(neighbour.config(&["discover"]), format!("hdhomerun device {id} found at {here}"));
        assert_eq!(
            neighbour.config(&["discover", &here.to_string()]),
            format!("hdhomerun device {id} found at {here}")
        );
        assert_eq!(neighbour.config(&[&id, "get", "/sys/hwmodel"]), "HDHR5-4US", "by its id");
        std::thread::sleep(Duration::from_secs(1));
        let socket = neighbour.socket();
        let everybody = Ipv4Addr::from(u32::from(here) | 0xFF);
        for (request, to) in SEARCHES.iter().zip([everybody, Ipv4Addr::BROADCAST, here, everybody, here]) {
            socket.send_to(&bytes(request), (to, 65_001)).unwrap();
            let (reply, from) = answer(&socket, SOON).unwrap();
            assert_eq!(from, SocketAddr::from((here, 65_001)), "{request}");
            assert_eq!(tag_text(&reply, 0x2A), format!("http://{here}:80"));
            assert_eq!(tag_text(&reply, 0x27), format!("http://{here}:80/lineup.json"));
        }
        let fetched = neighbour.run("curl", &["-s", &format!("http://{here}/discover.json")]);
        assert!(fetched.contains(&format!("\"BaseURL\":\"http://{here}:80\"")), "{fetched}");
        let fetched = neighbour.run("curl", &["-s", "--retry", "3", &format!("http://{here}/lineup.json")]);
        assert!(fetched.contains(&format!("\"URL\":\"http://{here}:5004/auto/v1.1\"")), "{fetched}");
        // Over IPv6: on the link from an address of the link, in the site from one of the site, and directly.
        let (number, v4) = (neighbour.number, format!("http://{here}:80"));
        let v6 = format!("http://[fd7{number}::1]:80");
        let own = format!("fd7{number}::2");
        let direct = format!("fd7{number}::1");
        for (from, to, base) in [
            (None, "ff02::176", &v4),
            (Some(own.as_str()), "ff05::176", &v6),
            (Some(own.as_str()), direct.as_str(), &v6),
        ] {
            let (reply, _) = neighbour.search_v6(from, to).unwrap_or_else(|| panic!("no answer from {to}"));
            let said = tag_text(&reply, 0x2A);
            assert!(said == *base || from.is_none() && said == v6, "{to}: {said}");
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    // Who is told twice is one box: the library takes the better address.
    assert_eq!(neighbours[0].config(&["discover"]).lines().count(), 1);
}

#[test]
fn two_boxes_in_one_network_name_each_other_as_neighbours() {
    if !inside(&["--net"], "network::two_boxes_in_one_network_name_each_other_as_neighbours") {
        return;
    }
    // The other box stands at the far end of the cable; whoever asks is there as well.
    let neighbour = Neighbour::new(0);
    let daemon = boxed(Setup::new()).start();
    let mut other = Setup::new();
    other.set("network", "address = \"0.0.0.0\"").default_page_port();
    other.wrapper(&["nsenter", &format!("--net={}", neighbour.namespace())]);
    let other = other.start();
    let ids = [id_of(&daemon), id_of(&other)];
    assert_ne!(ids[0], ids[1]);
    let there = neighbour.address();
    let asked = |box_address: Ipv4Addr| {
        let told = neighbour.run("curl", &["-s", &format!("http://{box_address}/api/v1/neighbours")]);
        serde_json::from_str::<serde_json::Value>(&told).unwrap_or_else(|_| panic!("{told}"))
    };
    let found = |id: &str, at: Ipv4Addr| serde_json::json!([{"device_id": id, "address": format!("http://{at}")}]);
    wait_until("this one finds that one, and not itself", SOON, || asked(HERE[0]) == found(&ids[1], there));
    wait_until("and that one this one", SOON, || asked(there) == found(&ids[0], HERE[0]));
    drop(other);
    wait_until("who is gone is not named", SOON, || asked(HERE[0]) == serde_json::json!([]));
}

#[test]
fn changed_links_are_followed_by_every_search() {
    if !inside(&["--net"], "network::changed_links_are_followed_by_every_search") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let daemon = boxed(Setup::new()).start();
    assert!(neighbour.search_v6(None, "ff02::176").is_some());
    // Another network comes.
    let later = Neighbour::new(1);
    wait_until("it is found there, too", SOON, || later.search_v6(None, "ff02::176").is_some());
    wait_until("in its site as well", SOON, || later.search_v6(Some("fd71::2"), "ff05::176").is_some());
    // The cable is pulled and plugged in again.
    sh("ip link set lan1 down; sleep 1; ip link set lan1 up; ip addr add fd71::1/64 dev lan1 nodad");
    wait_until("it is found again", SOON, || later.search_v6(None, "ff02::176").is_some());
    // The router gives out another address.
    sh("ip addr del 10.78.0.1/24 dev lan1; ip addr add 10.78.0.77/24 brd + dev lan1");
    std::thread::sleep(Duration::from_secs(2));
    let socket = later.socket();
    socket.send_to(&bytes(SEARCHES[0]), ("10.78.0.255", 65_001)).unwrap();
    let (reply, from) = answer(&socket, SOON).unwrap();
    assert_eq!(from.ip(), IpAddr::from([10, 78, 0, 77]));
    assert_eq!(tag_text(&reply, 0x2A), "http://10.78.0.77:80");
    assert!(!daemon.has_ended());
}

#[test]
fn hdhomerun_config_does_all_it_can_from_another_machine() {
    if !inside(&["--net"], "network::hdhomerun_config_does_all_it_can_from_another_machine") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let (_fake, setup) = Fake::setup(&[("one", "live"), ("two", "live"), ("three", "live")]);
    let daemon = boxed(setup).start();
    daemon.wait_for_log("playlist loaded");
    let id = id_of(&daemon);
    let config = |arguments: &[&str]| neighbour.config(&[&[id.as_str()], arguments].concat());
    // Every variable that help names.
    let help = config(&["get", "help"]);
    let names: Vec<String> =
        help.lines().skip(1).map(|line| line.split(' ').next().unwrap().replace("<n>", "1")).collect();
    assert!(names.len() >= 20, "{help}");
    for name in &names {
        let said = config(&["get", name]);
        assert!(!said.is_empty() && (!said.starts_with("ERROR") || name == "/sys/restart"), "{name}: {said}");
    }
    assert_eq!(config(&["get", "/tuner9/status"]), "ERROR: unknown getset variable");
    // The test picture is for who is on the box itself.
    let asked = format!("http://{}/test.ts", HERE[0]);
    let said = neighbour.run("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", &asked]);
    assert_eq!(said, "404");
    // Set, and a key that keeps others out.
    for (name, value) in
        [("channelmap", "us-cable"), ("channelmap", "us-bcast"), ("channel", "auto:57000000"), ("program", "1")]
    {
        let name = format!("/tuner0/{name}");
        assert_eq!(config(&["set", &name, value]), "");
        assert_eq!(config(&["get", &name]), value);
    }
    assert_eq!(config(&["set", "/tuner1/lockkey", "4711"]), "");
    assert_eq!(config(&["get", "/tuner1/lockkey"]), neighbour.address().to_string());
    let locked = format!("ERROR: resource locked by {}", neighbour.address());
    assert_eq!(config(&["set", "/tuner1/channel", "auto:57000000"]), locked);
    assert_eq!(config(&["key", "4711", "set", "/tuner1/channel", "auto:57000000"]), "");
    assert_eq!(config(&["key", "4711", "set", "/tuner1/lockkey", "none"]), "");
    // A scan walks all frequencies and finds all channels.
    let began = Instant::now();
    let scanned = config(&["scan", "/tuner2"]);
    for (number, name) in [(1, "one"), (2, "two"), (3, "three")] {
        assert!(scanned.contains(&format!("PROGRAM 1: {number} {name}")), "{scanned}");
    }
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    // Saved over RTP, which the library asks for first.
    assert_eq!(config(&["set", "/tuner0/vchannel", "2"]), "");
    let file = daemon.setup.folder.path().join("saved.ts");
    let save = ["-s", "INT", "4", "hdhomerun_config", &id, "save", "/tuner0", file.to_str().unwrap()];
    let said = neighbour.run("timeout", &save);
    assert!(said.contains(" 0 network errors, 0 transport errors, 0 sequence errors"), "{said}");
    assert!(inspect(&std::fs::read(&file).unwrap()).gaps.is_empty());
    assert_eq!(config(&["get", "/tuner0/target"]), "none");
    // And over UDP, to a receiver of its own.
    let socket = neighbour.there(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let target = format!("udp://{}:{}", neighbour.address(), socket.local_addr().unwrap().port());
    assert_eq!(config(&["set", "/tuner0/vchannel", "2"]), "");
    assert_eq!(config(&["set", "/tuner0/target", &target]), "");
    let packets = receive(&socket, 1_316, Duration::from_secs(3));
    let report = inspect(&packets);
    assert!(report.packets > 500 && report.gaps.is_empty(), "{report:?}");
    assert_eq!(config(&["set", "/tuner0/target", "none"]), "");
    assert_eq!(
        config(&["set", "/tuner0/target", &format!("udp://{}:9", HERE[0])]).get(..7),
        Some("ERROR: "),
        "nobody else"
    );
    let image = daemon.setup.folder.write("image", vec![7; 3_000]);
    let said = config(&["upgrade", image.to_str().unwrap()]);
    assert!(said.contains("error sending upgrade file to hdhomerun device"), "{said}");
}

#[test]
fn nobody_can_be_flooded_with_our_answers() {
    if !inside(&["--net"], "network::nobody_can_be_flooded_with_our_answers") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let daemon = boxed(Setup::new()).start();
    wait_until("there are channels", SOON, || {
        neighbour.run("curl", &["-s", "http://192.168.77.1/lineup.json"]).contains("v1.1")
    });
    let socket = neighbour.socket();
    let (mut bytes_out, mut answers) = (0, 0);
    let mut take = |patience| {
        while let Some((reply, _)) = answer(&socket, patience) {
            bytes_out += reply.len();
            answers += 1;
        }
    };
    let began = Instant::now();
    for _ in 0..300 {
        for request in [SEARCHES[0], SEARCHES[1]] {
            socket.send_to(&bytes(request), (HERE[0], 65_001)).unwrap();
        }
        take(Duration::from_millis(5));
    }
    let seconds = began.elapsed().as_secs() + 1;
    take(Duration::from_millis(300));
    // Ten at once, and five a second.
    assert!(answers >= 10 && answers <= 10 + 5 * seconds + 1, "{answers} in {seconds} s");
    assert!(bytes_out <= 600 * 20, "less comes out than was put in: {bytes_out}");
    // Whoever is not of our networks gets none, wherever he says that he is.
    let stranger = neighbour.there(|| {
        sh("ip addr add 203.0.113.9/32 dev lo");
        UdpSocket::bind("203.0.113.9:0").unwrap()
    });
    sh("ip route add 203.0.113.9 via 192.168.77.2");
    stranger.send_to(&bytes(SEARCHES[0]), (HERE[0], 65_001)).unwrap();
    assert!(answer(&stranger, NEVER).is_none());
    assert!(!daemon.has_ended());
}

#[test]
fn trap_26_over_ipv6_a_target_of_nowhere_is_refused_at_once() {
    if !inside(&["--net"], "network::trap_26_over_ipv6_a_target_of_nowhere_is_refused_at_once") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let _daemon = boxed(Setup::new()).start();
    let mut stream = neighbour.there(|| TcpStream::connect("[fd70::1]:65001").unwrap());
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(ask(&mut stream, &get("/sys/model")).1, "hdhomerun5_atsc");
    for target in ["rtp://0.0.0.0:5000", "udp://0.0.0.0:5000"] {
        let (tag, said) = ask(&mut stream, &set("/tuner0/target", target));
        assert!(tag == 5 && said.starts_with("ERROR: "), "{target}: {said}");
    }
    assert_eq!(ask(&mut stream, &get("/tuner0/target")).1, "none");
}

#[test]
fn a_group_gets_packets_where_the_owner_allows_it() {
    if !inside(&["--net"], "network::a_group_gets_packets_where_the_owner_allows_it") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let (_fake, setup) = Fake::setup(&[("good", "live")]);
    let mut setup = boxed(setup);
    setup.set("network", "multicast_ttl_max = 2");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let group = Ipv4Addr::new(239, 255, 1, 1);
    let (socket, mut control) = neighbour.there(|| {
        let socket = UdpSocket::bind((group, 59_001)).unwrap();
        socket.join_multicast_v4(&group, &neighbour.address()).unwrap();
        (socket, TcpStream::connect((HERE[0], 65_001)).unwrap())
    });
    assert_eq!(ask(&mut control, &set("/tuner0/vchannel", "1")).0, 4);
    assert_eq!(ask(&mut control, &set("/tuner0/target", "rtp://239.255.1.1:59001 ttl=3")).0, 5, "too far");
    let target = "rtp://239.255.1.1:59001 ttl=2";
    assert_eq!(ask(&mut control, &set("/tuner0/target", target)), (4, target.to_owned()));
    // Nobody of a group sends keepalives, nor has to keep a connection.
    drop(control);
    receive(&socket, 1_328, Duration::from_secs(12));
    let packets = receive(&socket, 1_328, Duration::from_secs(2));
    assert!(inspect(&packets).packets > 200, "{}", packets.len());
}

#[test]
fn l04_a_twin_in_the_network_is_noticed() {
    if !inside(&["--net"], "network::l04_a_twin_in_the_network_is_noticed") {
        return;
    }
    // A card was copied: two boxes with the same id, and clients take both for one.
    let neighbour = Neighbour::new(0);
    let first = boxed(Setup::new()).start();
    let id = id_of(&first);
    let mut twin = boxed(Setup::new());
    std::fs::create_dir(twin.state_dir()).unwrap();
    for file in ["tunerd.db", "tunerd.db-wal"] {
        std::fs::copy(first.setup.state_dir().join(file), twin.state_dir().join(file)).unwrap_or_default();
    }
    let net = format!("--net={}", neighbour.namespace());
    twin.wrapper(&["nsenter", &net]);
    let twin = twin.start();
    assert_eq!(id_of(&twin), id);
    twin.wait_for_log("has the same device id");
    assert!(twin.log().contains(&format!("at {}, has the same device id {id}", HERE[0])), "{}", twin.log());
}

// ---- SSDP and mDNS ----------------------------------------------------------------------------------------------------

/// The head lines of a datagram, with names in capitals; the first line is under the empty name.
fn lines(datagram: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(datagram).unwrap();
    let text = text.strip_suffix("\r\n\r\n").expect("it ends with an empty line");
    let (first, rest) = text.split_once("\r\n").unwrap();
    let line = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_uppercase(), value.trim().to_owned())
    };
    [(String::new(), first.to_owned())].into_iter().chain(rest.split("\r\n").map(line)).collect()
}

/// Everything that comes within a time.
fn all(socket: &UdpSocket, time: Duration) -> Vec<BTreeMap<String, String>> {
    let end = Instant::now() + time;
    let mut found = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        found.extend(answer(socket, left).map(|(datagram, _)| lines(&datagram)));
    }
    found
}

fn m_search(target: &str, more: &str) -> String {
    format!("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n{more}ST: {target}\r\n\r\n")
}

/// A socket on the port of SSDP, which others may have, too.
fn shared() -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, SSDP_PORT)).into()).unwrap();
    socket.into()
}

/// Hears what is told to the group.
fn listener(neighbour: &Neighbour) -> UdpSocket {
    neighbour.there(|| {
        let socket = shared();
        socket.join_multicast_v4(&SSDP_GROUP, &neighbour.address()).unwrap();
        socket
    })
}

const KIND: &str = "urn:schemas-upnp-org:device:MediaServer:1";

#[test]
fn trap_48_49_and_50_ssdp_is_spoken_to_the_letter() {
    if !inside(&["--net"], "network::trap_48_49_and_50_ssdp_is_spoken_to_the_letter") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let heard = listener(&neighbour);
    // Somebody else on this machine has the port already, and shares it.
    let other = shared();
    let mut setup = boxed(Setup::new());
    setup.set("network", "ssdp = true");
    let daemon = setup.start();
    let (here, id) = (HERE[0], id_of(&daemon).to_lowercase());
    let location = format!("http://{here}:80/device.xml");
    let udn = format!("uuid:74756e65-7264-8000-8000-0000{id}");
    let targets = ["upnp:rootdevice", udn.as_str(), KIND];
    let usn = |target: &str| if target == udn { udn.clone() } else { format!("{udn}::{target}") };

    // It comes: for each target several times, because datagrams get lost.
    let alive = all(&heard, Duration::from_secs(2));
    for target in targets {
        let told: Vec<_> = alive.iter().filter(|lines| lines.get("NT").is_some_and(|nt| nt == target)).collect();
        assert!((2..=3).contains(&told.len()), "{target}: {alive:?}");
        for lines in told {
            assert_eq!(lines[""], "NOTIFY * HTTP/1.1");
            assert_eq!((lines["NTS"].as_str(), lines["HOST"].as_str()), ("ssdp:alive", "239.255.255.250:1900"));
            assert_eq!((&lines["LOCATION"], &lines["USN"]), (&location, &usn(target)));
            let age: u32 = lines["CACHE-CONTROL"].strip_prefix("max-age=").unwrap().parse().unwrap();
            assert!(age >= 1_800 && lines["SERVER"].contains("UPnP/1.0"));
        }
    }

    // It is searched for, by everything that it is, and by nothing that it is not.
    let socket = neighbour.socket();
    let to_all = SocketAddr::from((SSDP_GROUP, SSDP_PORT));
    for (target, found) in [
        ("upnp:rootdevice", &targets[..1]),
        (udn.as_str(), &targets[1..2]),
        (KIND, &targets[2..]),
        ("ssdp:all", &targets[..]),
        ("urn:schemas-upnp-org:device:MediaServer:2", &[]),
        ("urn:schemas-upnp-org:service:ContentDirectory:1", &[]),
        ("uuid:74756e65-7264-8000-8000-000000000000", &[]),
    ] {
        socket.send_to(m_search(target, "MX: 1\r\n").as_bytes(), to_all).unwrap();
        let replies = all(&socket, Duration::from_millis(1_300));
        assert_eq!(replies.len(), found.len(), "{target}: {replies:?}");
        for (lines, found) in replies.iter().zip(found) {
            assert_eq!((lines[""].as_str(), lines["EXT"].as_str()), ("HTTP/1.1 200 OK", ""));
            assert_eq!(
                (&lines["ST"], &lines["USN"], &lines["LOCATION"]),
                (&(*found).to_owned(), &usn(found), &location)
            );
            assert!(lines["DATE"].ends_with(" GMT") && lines["CACHE-CONTROL"].starts_with("max-age="));
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    for wrong in [
        m_search("ssdp:all", ""),
        m_search("ssdp:all", "MX: x\r\n"),
        m_search("ssdp:all", "MX: 1\r\n").replace("\"ssdp:discover\"", "ssdp:discover"),
        m_search("ssdp:all", "MX: 1\r\n").replace("MAN", "NAM"),
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: x\r\nNTS: ssdp:alive\r\nUSN: y\r\n\r\n".to_owned(),
    ] {
        socket.send_to(wrong.as_bytes(), to_all).unwrap();
    }
    assert_eq!(all(&socket, Duration::from_millis(1_300)), []);

    // What is sent to us alone goes to one of those who share a port.
    drop(other);
    // Who may wait long is answered at some time; who asks us alone, at once. Nobody waits for the others.
    let slow = neighbour.socket();
    let asked = Instant::now();
    for _ in 0..4 {
        slow.send_to(m_search("upnp:rootdevice", "MX: 5\r\n").as_bytes(), to_all).unwrap();
    }
    socket.send_to(m_search("upnp:rootdevice", "").as_bytes(), (here, SSDP_PORT)).unwrap();
    assert!(answer(&socket, SOON).is_some() && asked.elapsed() < NEVER, "{:?}", asked.elapsed());
    let at_once = all(&slow, Duration::from_millis(300)).len();
    assert!(at_once < 4, "each waits for a time of its own");
    assert_eq!(at_once + all(&slow, Duration::from_secs(5)).len(), 4);

    // The description is what it was announced as, and has nothing to browse.
    let description = neighbour.run("curl", &["-s", &location]);
    assert!(description.contains(&format!("<UDN>{udn}</UDN>")) && !description.contains("service"), "{description}");

    // A real control point.
    let said = neighbour.run("gssdp-discover", &["-i", "eth0", "-n", "3", "-m", "available"]);
    for found in targets.map(usn) {
        assert!(said.contains(&found), "{found}: {said}");
    }
    assert!(said.contains(&location), "{said}");
    let clients = neighbour.run("curl", &["-s", &format!("http://{here}/api/v1/clients")]);
    assert!(clients.contains("\"discovery\""), "{clients}");

    // It moves: what was said before is taken back first.
    all(&heard, Duration::from_millis(100));
    sh("ip addr del 192.168.77.1/24 dev lan0; ip addr add 192.168.77.9/24 brd + dev lan0");
    let told = all(&heard, Duration::from_secs(4));
    let byebye = told.iter().rposition(|lines| lines["NTS"] == "ssdp:byebye").expect("it takes its leave");
    let moved =
        |lines: &BTreeMap<String, String>| lines.get("LOCATION").is_some_and(|at| at.contains("192.168.77.9:80"));
    let alive = told.iter().position(moved).expect("it comes again");
    assert!(byebye < alive, "{told:?}");

    // It goes, and says so for each.
    daemon.signal(Signal::SIGTERM);
    let told = all(&heard, Duration::from_secs(2));
    for target in targets {
        let is_farewell = |lines: &&BTreeMap<String, String>| lines["NT"] == target && lines["NTS"] == "ssdp:byebye";
        let farewells: Vec<_> = told.iter().filter(is_farewell).collect();
        assert!(!farewells.is_empty() && farewells.iter().all(|lines| lines["USN"] == usn(target)), "{told:?}");
    }
}

#[test]
fn ssdp_can_be_switched_off() {
    if !inside(&["--net"], "network::ssdp_can_be_switched_off") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let heard = listener(&neighbour);
    let _daemon = boxed(Setup::new()).start();
    let socket = neighbour.socket();
    for to in [SSDP_GROUP, HERE[0]] {
        socket.send_to(m_search("ssdp:all", "MX: 1\r\n").as_bytes(), (to, SSDP_PORT)).unwrap();
    }
    assert_eq!(all(&socket, Duration::from_millis(1_300)), []);
    let own = |lines: &BTreeMap<String, String>| lines[""].starts_with("NOTIFY");
    assert!(!all(&heard, NEVER).iter().any(own));
}

/// A program that is ended with the test.
struct Running(Child);

impl Running {
    fn start(neighbour: &Neighbour, program: &[&str], bus: &str) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", neighbour.namespace())).args(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn l02_avahi_finds_name_and_page_when_the_link_comes_back_too() {
    if !inside(&["--net", "--mount"], "network::l02_avahi_finds_name_and_page_when_the_link_comes_back_too") {
        return;
    }
    // The neighbour's own avahi, with a bus of its own; the machine's stays out of it.
    sh("mount -t tmpfs none /run");
    let neighbour = Neighbour::new(0);
    let mut setup = boxed(Setup::new());
    setup.set("network", "mdns = true");
    let bus = format!("unix:path={}", setup.folder.path().join("bus").display());
    let bus_settings = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
         <busconfig><type>session</type><listen>{bus}</listen><auth>EXTERNAL</auth><policy context=\"default\">
         <allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>
         </policy></busconfig>"
    );
    let bus_file = setup.folder.write("bus.conf", bus_settings);
    let avahi_file = setup.folder.write("avahi.conf", "[server]\nuse-ipv6=no\n[rlimits]\n");
    let daemon = setup.start();
    let config = format!("--config-file={}", bus_file.display());
    let _bus = Running::start(&neighbour, &["dbus-daemon", "--nofork", "--nopidfile", &config], &bus);
    let path = bus.strip_prefix("unix:path=").unwrap();
    wait_until("there is a bus", SOON, || std::path::Path::new(path).exists());
    let avahi = ["avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f", avahi_file.to_str().unwrap()];
    let _avahi = Running::start(&neighbour, &avahi, &bus);
    let browse = || {
        let bus = format!("DBUS_SYSTEM_BUS_ADDRESS={bus}");
        neighbour
            .run("env", &[&bus, "timeout", "8", "avahi-browse", "--resolve", "--parsable", "--terminate", "_http._tcp"])
    };
    let mut said = String::new();
    wait_until("it is found", Duration::from_secs(30), || {
        said = browse();
        said.contains("tunerd.local;192.168.77.1;80;")
    });
    assert!(said.contains(&format!("\"id={}\"", id_of(&daemon))) && said.contains("\"path=/\""), "{said}");
    // The cable is pulled for a while, which the thread behind this has died of in other programs.
    sh("ip link set lan0 down");
    neighbour.run("ip", &["link", "set", "eth0", "down"]);
    wait_until("nobody is found", SOON, || !browse().contains("tunerd.local"));
    sh("ip link set lan0 up");
    neighbour.run("ip", &["link", "set", "eth0", "up"]);
    wait_until("it is found again", Duration::from_secs(30), || browse().contains("tunerd.local;192.168.77.1;80;"));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended(SOON).success());
    wait_until("it is gone", SOON, || !browse().contains("tunerd.local"));
}

#[test]
fn a_face_is_a_device_of_its_own_in_the_network() {
    if !inside(&["--net"], "network::a_face_is_a_device_of_its_own_in_the_network") {
        return;
    }
    let neighbour = Neighbour::new(0);
    let heard = listener(&neighbour);
    let mut setup = boxed(Setup::new());
    setup.set("network", "ssdp = true");
    let daemon = setup.start();
    let here = HERE[0];
    let call = |method: &str, target: &str, body: &str| {
        let (url, json) = (format!("http://{here}:80{target}"), "Content-Type: application/json");
        let retry = ["-s", "--retry", "3", "--retry-all-errors"];
        neighbour.run("curl", &[&retry[..], &["-X", method, "-H", json, "-d", body, &url]].concat())
    };
    assert_eq!(call("POST", "/api/v1/faces", "{\"name\":\"Second\",\"tuners\":1}"), "{\"id\":1}");
    daemon.wait_for_log("the face Second is on port 5005");
    let discover = neighbour.run("curl", &["-s", &format!("http://{here}:5005/discover.json")]);
    assert!(discover.contains(&format!("\"BaseURL\":\"http://{here}:5005\"")), "{discover}");
    let face = discover.split("\"DeviceID\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_ne!(face, id_of(&daemon));
    // The real client finds both by broadcast, however often it asks.
    for _ in 0..3 {
        let found = neighbour.config(&["discover"]);
        let mut lines: Vec<&str> = found.lines().collect();
        lines.sort_unstable();
        let line = |id: &str| format!("hdhomerun device {id} found at {here}");
        let mut expected = [line(&face), line(&id_of(&daemon))];
        expected.sort_unstable();
        assert_eq!(lines, expected);
        std::thread::sleep(Duration::from_secs(2));
    }
    // It comes and goes over SSDP, while the box stays.
    let udn = |id: &str| format!("uuid:74756e65-7264-8000-8000-0000{}", id.to_lowercase());
    let told = all(&heard, Duration::from_secs(2));
    let location = format!("http://{here}:5005/device.xml");
    let says = |lines: &BTreeMap<String, String>, id: &str, word: &str| {
        // What others search for is heard, too.
        lines.get("NT").is_some_and(|target| *target == udn(id)) && lines["NTS"] == word
    };
    assert!(
        told.iter().find(|lines| says(lines, &face, "ssdp:alive")).is_some_and(|lines| lines["LOCATION"] == location),
        "{told:?}"
    );
    let socket = neighbour.socket();
    let answers = neighbour.there(|| {
        let search = m_search(&udn(&face), "MX: 1\r\n");
        socket.send_to(search.as_bytes(), SocketAddr::from((SSDP_GROUP, SSDP_PORT))).unwrap();
        all(&socket, Duration::from_secs(2))
    });
    assert_eq!(answers.iter().map(|lines| &lines["LOCATION"]).collect::<Vec<_>>(), [&location]);
    assert_eq!(call("DELETE", "/api/v1/faces/1", ""), "");
    let told = all(&heard, Duration::from_secs(2));
    let goes = |id: &str| told.iter().any(|lines| says(lines, id, "ssdp:byebye"));
    assert!(goes(&face) && !goes(&id_of(&daemon)), "{told:?}");
    assert_eq!(neighbour.config(&["discover"]).lines().count(), 1);
}
