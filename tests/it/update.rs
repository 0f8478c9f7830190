//! Updates over the network: what `hdhomerun_config upgrade` sends, with the real client and the real RAUC.

use crate::faults::{as_strs, mounting};
use crate::kit::hdhr::{self, ask, bytes, frame, get, reply};
use crate::kit::{Daemon, Folder, SOON, Setup, run, wait_until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const GENUINE: &str = "the bundle is genuine; this box was not installed from our image";
const NOT_GENUINE: &str = "it is no whole bundle with a signature that the keyring of this box trusts";

/// A certificate that signs bundles, and the bundles that it has signed.
struct Signer {
    folder: Folder,
}

impl Signer {
    fn new() -> Self {
        let folder = Folder::new();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (status, said) = run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=tunerd development",
                "-keyout",
                &file("key.pem"),
                "-out",
                &file("certificate.pem"),
            ],
        );
        assert!(status.success(), "{said}");
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// A bundle with so many KiB that cannot be compressed.
    fn bundle(&self, kib: usize) -> PathBuf {
        let (content, bundle) = (self.file("content"), self.file(&format!("bundle-{kib}.raucb")));
        fs::create_dir_all(&content).unwrap();
        let mut seed = 1_u64;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33).to_le_bytes()[0]
        });
        fs::write(content.join("root.img"), noise.take(kib * 1024).collect::<Vec<u8>>()).unwrap();
        let manifest = "[update]\ncompatible=tunerd-test\nversion=1\n[bundle]\nformat=verity\n\
                        [image.rootfs]\nfilename=root.img\n";
        fs::write(content.join("manifest.raucm"), manifest).unwrap();
        let argument = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let (status, said) = run(
            "rauc",
            &[
                &argument("cert", self.certificate()),
                &argument("key", self.file("key.pem")),
                "bundle",
                content.to_str().unwrap(),
                bundle.to_str().unwrap(),
            ],
        );
        assert!(status.success(), "{said}");
        bundle
    }
}

/// A box whose owner lets this one sign.
fn trusting(signer: &Signer) -> Setup {
    let mut setup = Setup::new();
    setup.set("update", "hdhomerun_upload = true");
    setup.set("update", &format!("keyring = {:?}", signer.certificate().to_str().unwrap()));
    setup
}

/// Sends a file with the real client, and gives what the page says then.
fn upgrade(daemon: &Daemon, file: &Path) -> String {
    let arguments = [&daemon.address().to_string(), "upgrade", file.to_str().unwrap()];
    let (_, said) = run("hdhomerun_config", &arguments);
    assert!(said.contains("error sending upgrade file to hdhomerun device"), "{said}");
    assert_eq!(stored(daemon), None, "the file is gone");
    daemon.problem("update").unwrap()
}

/// The size of the file that is kept, if there is any.
fn stored(daemon: &Daemon) -> Option<u64> {
    let folder = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), daemon.setup.state_dir().display()));
    fs::metadata(folder.join("upload.raucb")).ok().map(|file| file.len())
}

fn connect(daemon: &Daemon) -> TcpStream {
    hdhr::connect(daemon.address())
}

fn send(stream: &mut TcpStream, from: usize, data: &[u8]) {
    for (index, piece) in data.chunks(1_024).enumerate() {
        let offset = u32::try_from(from + index * 1_024).unwrap().to_be_bytes();
        stream.write_all(&frame(6, &[&offset[..], piece].concat())).unwrap();
    }
}

/// Says that this was all, and gives the answer, which must be a refusal.
fn end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(SOON * 4)).unwrap();
    stream.write_all(&bytes("00060004ffffffff706cc92d")).unwrap();
    let (tag, text) = reply(stream);
    assert_eq!(tag, 5, "{text}");
    text
}

/// Puts a script in RAUC's place.
fn fake_rauc(setup: &mut Setup, script: &str) {
    let folder = setup.folder.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let rauc = folder.join("rauc");
    fs::write(&rauc, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&rauc, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    setup.environment("PATH", &path);
}

#[test]
fn a_genuine_bundle_is_verified_and_the_box_says_what_to_do_with_it() {
    let signer = Signer::new();
    let daemon = trusting(&signer).start();
    let said = upgrade(&daemon, &signer.bundle(3_000));
    assert!(said.contains("127.0.0.1") && said.contains(GENUINE) && said.contains("new build"), "{said}");
    assert!(daemon.has_logged(&said) && daemon.get("/healthz").status == 200);
    assert!(daemon.children().is_empty());
}

#[test]
fn where_rauc_has_no_service_nothing_is_installed() {
    let signer = Signer::new();
    let mut setup = trusting(&signer);
    let system = "[system]\\ncompatible=tunerd-test\\nbootloader=noop\\n";
    let wrapper =
        mounting(&format!("mount -t tmpfs tmpfs /etc; mkdir /etc/rauc; printf '{system}' >/etc/rauc/system.conf"));
    setup.wrapper(&as_strs(&wrapper));
    let daemon = setup.start();
    let said = upgrade(&daemon, &signer.bundle(300));
    assert!(said.contains("RAUC's service does not answer"), "{said}");
}

#[test]
fn whatever_is_not_signed_by_the_keyring_is_refused() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let daemon = trusting(&signer).start();
    let good = fs::read(signer.bundle(300)).unwrap();
    let truncated = signer.file("truncated");
    fs::write(&truncated, &good[..good.len() - 1_000]).unwrap();
    let unsigned = signer.file("unsigned");
    fs::write(&unsigned, vec![7; 300_000]).unwrap();
    // Another manifest, and so another hash of what is inside, under a good signature.
    let changed = signer.file("changed");
    let mut bytes = good.clone();
    let at = bytes.windows(11).rposition(|part| part == b"tunerd-test").unwrap();
    bytes[at] = b'T';
    fs::write(&changed, bytes).unwrap();
    for file in [stranger.bundle(300), truncated, unsigned, changed] {
        let said = upgrade(&daemon, &file);
        assert!(said.contains(NOT_GENUINE), "{}: {said}", file.display());
    }
    daemon.wait_for_log("RAUC refuses");
}

#[test]
fn without_a_keyring_or_rauc_nothing_is_trusted() {
    let signer = Signer::new();
    let bundle = signer.bundle(300);
    let mut setup = trusting(&signer);
    setup.set("update", "keyring = \"/no/such/keyring.pem\"");
    let said = upgrade(&setup.start(), &bundle);
    assert!(said.contains("no keyring says who may sign"), "{said}");
    let mut setup = trusting(&signer);
    let empty = setup.folder.path().join("empty");
    fs::create_dir_all(&empty).unwrap();
    setup.environment("PATH", empty.to_str().unwrap());
    let said = upgrade(&setup.start(), &bundle);
    assert!(said.contains("without RAUC nobody can check its signature; install the package rauc"), "{said}");
}

#[test]
fn what_is_too_large_is_refused_and_takes_no_disk() {
    let signer = Signer::new();
    let mut setup = trusting(&signer);
    setup.set("update", "upload_mib_max = 1");
    let daemon = setup.start();
    let said = upgrade(&daemon, &signer.bundle(1_500));
    assert!(said.contains("it is larger than upload_mib_max under [update] allows"), "{said}");
    let said = upgrade(&daemon, &signer.bundle(300));
    assert!(said.contains(GENUINE), "{said}");
}

#[test]
fn trap_24_and_25_pieces_belong_to_their_connection_and_are_not_answered() {
    let signer = Signer::new();
    let bundle = fs::read(signer.bundle(600)).unwrap();
    let daemon = trusting(&signer).start();
    // A gap; a piece that comes twice; the middle first.
    for (first, second) in [(0..300_000, 301_056..600_000), (0..1_024, 0..600_000), (1_024..2_048, 2_048..600_000)] {
        let mut stream = connect(&daemon);
        send(&mut stream, first.start, &bundle[first.clone()]);
        send(&mut stream, second.start, &bundle[second.clone()]);
        assert_eq!(end(&mut stream), "ERROR: a part of it is missing; send it again", "{first:?} {second:?}");
        assert_eq!(stored(&daemon), None);
    }
    // The connection breaks, and the library goes on with the next piece on another one.
    let mut stream = connect(&daemon);
    send(&mut stream, 0, &bundle[..307_200]);
    wait_until("it is being written", SOON, || stored(&daemon) > Some(200_000));
    let file = fs::metadata(daemon.setup.state_dir().join("upload.raucb")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600, "nobody else's business");
    drop(stream);
    wait_until("the file is gone", SOON, || stored(&daemon).is_none());
    let mut stream = connect(&daemon);
    send(&mut stream, 307_200, &bundle[307_200..]);
    assert_eq!(end(&mut stream), "ERROR: a part of it is missing; send it again");
    // All of it, on one connection, which may say other things in between.
    send(&mut stream, 0, &bundle[..307_200]);
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.read(&mut [0; 100]).is_err(), "no word before the end");
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(ask(&mut stream, &get("/sys/model")).0, 4);
    send(&mut stream, 307_200, &bundle[307_200..]);
    assert!(end(&mut stream).starts_with(&format!("ERROR: {GENUINE}")));
}

#[test]
fn one_upload_at_a_time_and_nobody_keeps_others_out() {
    let signer = Signer::new();
    let bundle = fs::read(signer.bundle(600)).unwrap();
    let daemon = trusting(&signer).start();
    let (mut first, mut second) = (connect(&daemon), connect(&daemon));
    send(&mut first, 0, &bundle[..307_200]);
    wait_until("it is being written", SOON, || stored(&daemon).is_some());
    send(&mut second, 0, &bundle);
    assert_eq!(end(&mut second), "ERROR: another upload is going on; send it again when that is done");
    send(&mut first, 307_200, &bundle[307_200..]);
    assert!(end(&mut first).contains(GENUINE), "the first one never noticed");
    send(&mut second, 0, &bundle);
    assert!(end(&mut second).contains(GENUINE));
    // One that stops in the middle loses its place.
    send(&mut first, 0, &bundle[..307_200]);
    wait_until("it is being written", SOON, || stored(&daemon).is_some());
    wait_until("it is given up", 2 * SOON, || stored(&daemon).is_none());
    send(&mut first, 307_200, &bundle[307_200..]);
    assert_eq!(end(&mut first), "ERROR: a part of it is missing; send it again");
}

#[test]
fn a_disk_that_is_nearly_full_is_left_to_the_database() {
    let signer = Signer::new();
    let mut setup = trusting(&signer);
    let state = setup.state_dir();
    fs::create_dir_all(&state).unwrap();
    let wrapper = mounting(&format!("mount -t tmpfs -o size=68m,mode=700 tmpfs '{}'", state.display()));
    setup.wrapper(&as_strs(&wrapper));
    let daemon = setup.start();
    let said = upgrade(&daemon, &signer.bundle(6_000));
    assert!(said.contains("there is too little room on the disk of state_dir"), "{said}");
    assert!(upgrade(&daemon, &signer.bundle(300)).contains(GENUINE));
}

#[test]
fn what_a_crash_left_is_removed_at_the_next_start() {
    let signer = Signer::new();
    let bundle = fs::read(signer.bundle(600)).unwrap();
    let daemon = trusting(&signer).start();
    let mut stream = connect(&daemon);
    send(&mut stream, 0, &bundle[..307_200]);
    wait_until("it is being written", SOON, || stored(&daemon).is_some());
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.ended(SOON);
    let left = daemon.setup.state_dir().join("upload.raucb");
    assert!(left.exists());
    let again = daemon.setup.clone().start();
    assert!(!left.exists());
    again.wait_for_log("removed what was left of an upload");
}

#[test]
fn a_check_gets_what_it_needs_and_holds_up_nobody() {
    let signer = Signer::new();
    let mut setup = trusting(&signer);
    let log = setup.folder.path().join("rauc.log");
    fake_rauc(&mut setup, &format!("echo \"$@\" >'{}'; sleep 3; echo 'no, thank you' >&2; exit 1", log.display()));
    let daemon = setup.start();
    let mut stream = connect(&daemon);
    send(&mut stream, 0, &[7; 5_000]);
    stream.write_all(&bytes("00060004ffffffff706cc92d")).unwrap();
    wait_until("it is checked", SOON, || !daemon.children().is_empty());
    let (mut other, started) = (connect(&daemon), Instant::now());
    assert_eq!(ask(&mut other, &get("/sys/model")).0, 4);
    send(&mut other, 0, &[7; 5_000]);
    assert!(end(&mut other).contains("another upload is going on"));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(reply(&mut stream), (5, format!("ERROR: {NOT_GENUINE}")));
    let file = daemon.setup.state_dir().join("upload.raucb");
    let arguments =
        format!("info --output-format=json --keyring={} {}\n", signer.certificate().display(), file.display());
    assert_eq!(fs::read_to_string(log).unwrap(), arguments);
    daemon.wait_for_log("no, thank you");
    assert_eq!(stored(&daemon), None);
}
