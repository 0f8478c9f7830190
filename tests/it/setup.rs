//! `tunerd --setup` on a card that is a folder: what somebody writes is taken over and wiped, what is wrong is explained
//! where it was written, and nothing that is written leads anywhere else.
//!
//! What is at stake: a box that nobody can reach because one line was wrong, and passwords that stay on a card.

use crate::kit::{Daemon, Setup, TUNERD, http, run, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;
use tunerd::setup;

const TEMPLATE: &str = include_str!("../../board/image/setup.toml");
/// "correct horse battery", as `argon2 saltsaltsaltsalt -id -t 2 -k 19456 -p 1 -l 32 -e` writes it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$iPOQ5f2O21FsjnBvo1AiFcDuSXciCnKUrXFO+yfgNoM";
const FILLED: &str = "name = \"Attic $(reboot)\"
time_zone = \"Asia/Tokyo\"
playlist = \"http://127.0.0.1:9/list.m3u?login=SECRET42\"
password = \"violin otter cement\"
wifi_ssid = \"House 'of' \\\"$(reboot)\\\"\"
wifi_password = \"SECRET42 of the house\"
wifi_country = \"de\"
";

/// A box before its first start, and its card.
struct Card {
    setup: Setup,
}

impl Card {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let mut setup = Setup::new();
        setup.set("access", "open = false");
        setup.folder.write("setup.toml", text);
        Self { setup }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.setup.folder.path().join(name)
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        self.setup.folder.write("setup.toml", text);
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("setup.toml")).unwrap()
    }

    fn wifi(&self) -> Option<String> {
        fs::read_to_string(self.path("wifi.conf")).ok()
    }

    /// As the unit runs it: the exit status, and what it said.
    fn take_over(&self) -> (i32, String) {
        let settings = self.setup.write_settings();
        let (file, wifi) = (self.path("setup.toml"), self.path("wifi.conf"));
        let words = ["--config", settings.to_str().unwrap(), "--setup", file.to_str().unwrap()];
        let (done, said) = run(TUNERD, &[&words[..], &["--wifi", wifi.to_str().unwrap()]].concat());
        (done.code().unwrap(), said)
    }

    fn start(&self) -> Daemon {
        self.setup.clone().start()
    }

    /// Whether a word stands in any file of the box, but those named.
    fn is_anywhere(&self, word: &str, but: &[&str]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.setup.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let (kind, path) = (entry.file_type().unwrap(), entry.path());
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file()
                    && !but.iter().any(|but| path.file_name().unwrap().to_str().unwrap().starts_with(but))
                {
                    let bytes = fs::read(&path).unwrap();
                    found.extend(bytes.windows(word.len()).any(|part| part == word.as_bytes()).then_some(path));
                }
            }
        }
        found
    }
}

fn sign_in(daemon: &Daemon, password: &str) -> (u16, Option<String>) {
    let (address, body) = (daemon.address(), json!({ "password": password }).to_string());
    let head = format!("POST /api/v1/session HTTP/1.1\r\nHost: {address}:8080\r\nContent-Type: application/json\r\n");
    let answer =
        http::ask(address, 8080, &format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()));
    let cookie = answer.header("set-cookie").map(|cookie| cookie.split(';').next().unwrap().to_owned());
    (answer.status, cookie)
}

fn read(daemon: &Daemon, cookie: &str, target: &str) -> Value {
    let address = daemon.address();
    let head = format!("GET /api/v1{target} HTTP/1.1\r\nHost: {address}:8080\r\nCookie: {cookie}\r\n");
    serde_json::from_slice(&http::ask(address, 8080, &format!("{head}Connection: close\r\n\r\n")).body).unwrap()
}

#[test]
fn what_is_written_on_the_card_is_so_at_the_first_start_and_is_wiped() {
    let card = Card::new(FILLED);
    let place = fs::metadata(card.path("setup.toml")).unwrap().ino();
    assert_eq!(card.take_over().0, 0);
    assert_eq!(card.text(), TEMPLATE);
    assert_eq!(fs::metadata(card.path("setup.toml")).unwrap().ino(), place, "it was written over, not replaced");
    // As `wpa_passphrase` makes the key of these words.
    let wifi = card.wifi().unwrap();
    let ssid = "House 'of' \"$(reboot)\"".bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert!(wifi.contains("country=DE\n") && wifi.contains(&format!("    ssid={ssid}\n")), "{wifi}");
    assert!(wifi.contains("    psk=1f355d8fcbbb5e1b1c72d028e88494364442e3b973288b98eb96872f434494b6\n"), "{wifi}");
    assert_eq!(fs::metadata(card.path("wifi.conf")).unwrap().permissions().mode() & 0o777, 0o600);
    // The passphrase is nowhere any more, and the owner's password never was.
    assert_eq!(card.is_anywhere("SECRET42 of the house", &[]), Vec::<PathBuf>::new());
    assert_eq!(card.is_anywhere("violin otter cement", &[]), Vec::<PathBuf>::new());

    let daemon = card.start();
    // It is ready before it has read what the owner says of it.
    wait_until("it is called as was written", Duration::from_secs(20), || {
        String::from_utf8_lossy(&daemon.get("/discover.json").body).contains("\"Attic $(reboot)\"")
    });
    assert_eq!(daemon.get("/api/v1/status").status, 401, "a password is wanted");
    assert_eq!(sign_in(&daemon, "another password").0, 401);
    let (status, cookie) = sign_in(&daemon, "violin otter cement");
    assert!(matches!(status, 200..=204), "{status}");
    let cookie = cookie.unwrap();
    assert_eq!(read(&daemon, &cookie, "/settings")["time_zone"], "Asia/Tokyo");
    // A provider who is down is no reason to go back to another version.
    let settings = card.setup.write_settings();
    let (proved, said) = run(TUNERD, &["--prove", "--config", settings.to_str().unwrap()]);
    assert!(proved.success() && daemon.get("/lineup.json").status == 503, "{said}");
    let sources = read(&daemon, &cookie, "/subscriptions");
    assert_eq!((sources[0]["kind"].as_str(), sources[0]["from_settings"].as_bool()), (Some("playlist"), Some(false)));
    drop(daemon);

    // Nothing more is to be done, and the card is not written to.
    let before = fs::metadata(card.path("setup.toml")).unwrap();
    assert_eq!(card.take_over(), (0, String::new()));
    let after = fs::metadata(card.path("setup.toml")).unwrap();
    assert_eq!((before.mtime_nsec(), before.ctime_nsec()), (after.mtime_nsec(), after.ctime_nsec()));

    // Filled again, it is taken over again; what is not named stays, and no playlist comes twice.
    let playlist = FILLED.lines().nth(2).unwrap();
    let open = "wifi_ssid = \"Other\"\r\nwifi_password = \"\"\r\n";
    card.write(format!("{TEMPLATE}\n{open}{playlist}\npassword_hash = \"{HASH}\""));
    assert_eq!(card.take_over().0, 0);
    assert!(card.wifi().unwrap().contains("key_mgmt=NONE") && card.text() == TEMPLATE);
    let daemon = card.start();
    assert_eq!(sign_in(&daemon, "violin otter cement").0, 401);
    let (status, cookie) = sign_in(&daemon, "correct horse battery");
    assert!(matches!(status, 200..=204), "{status}");
    let cookie = cookie.unwrap();
    assert_eq!(read(&daemon, &cookie, "/settings")["name"], "Attic $(reboot)");
    assert_eq!(read(&daemon, &cookie, "/subscriptions").as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_is_explained_on_the_card_and_on_the_page_and_nothing_is_lost() {
    let wrong = FILLED.replace("\"de\"", "\"Germany\"");
    let mut card = Card::new(&wrong);
    card.setup.set("access", "open = true");
    let (status, said) = card.take_over();
    assert_eq!(status, 65, "{said}");
    let text = card.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("#! This was not taken over: wifi_country: two letters"), "{}", lines[0]);
    assert_eq!(text.splitn(3, '\n').nth(2), Some(wrong.as_str()), "what somebody wrote is still there");
    assert!(!said.contains("SECRET42") && !lines[0].contains("SECRET42") && !lines[0].contains("Germany"), "{said}");
    assert_eq!(card.wifi(), None, "nothing was taken over");
    // The next start says the same, and does not write on the card again.
    let before = fs::metadata(card.path("setup.toml")).unwrap();
    assert_eq!(card.take_over().0, 65);
    let after = fs::metadata(card.path("setup.toml")).unwrap();
    assert_eq!((before.mtime_nsec(), text.as_str()), (after.mtime_nsec(), card.text().as_str()));
    let daemon = card.start();
    let told = daemon.problem("setup").unwrap();
    assert!(told.contains("wifi_country: two letters") && told.contains("setup.toml"), "{told}");
    assert!(daemon.has_logged("wifi_country: two letters"));
    let discovered: Value = serde_json::from_slice(&daemon.get("/discover.json").body).unwrap();
    assert_ne!(discovered["FriendlyName"], "Attic $(reboot)");
    drop(daemon);
    // Corrected below the explanation.
    card.write(text.replace("Germany", "DE"));
    assert_eq!(card.take_over().0, 0);
    assert_eq!(card.text(), TEMPLATE);
    assert!(card.wifi().is_some() && card.start().problem("setup").is_none());
}

#[test]
fn whatever_stands_there_is_refused_with_a_reason_and_without_its_words() {
    let good = "wifi_ssid = \"House\"\nwifi_password = \"SECRET42 SECRET42\"\n";
    for (text, part) in [
        ("pasword = \"SECRET42\"", "line 3: there is no such setting"),
        ("\n\nname = SECRET42", "line 5: this is not written as"),
        ("name = \"SECRET42", "line 3: this is not written as"),
        ("name = 42", "line 3: a text in quotation marks"),
        ("name = \"a\"\nname = \"SECRET42\"", "line 4: this setting stands twice"),
        ("[wifi]\nssid = \"SECRET42\"", "there is no such setting"),
        ("name = \"SECRET42\\nSECRET42\"", "name: 1 to 32"),
        ("time_zone = \"Europe/SECRET42\"", "time_zone: there is none"),
        ("time_zone = \"../../SECRET42\"", "time_zone: a name such as"),
        ("playlist = \"/etc/SECRET42\"", "playlist: "),
        ("playlist = \"ftp://SECRET42/\"", "playlist: "),
        ("password = \"SECRET42\"", "password: 10 to 128"),
        ("name = \"secret42secret42\"\npassword = \"secret42secret42\"", "password: this "),
        ("password_hash = \"SECRET42\"", "password_hash: what this prints"),
        ("wifi_ssid = \"SECRET42\"", "wifi_password: is missing"),
        ("wifi_ssid = \"SECRET42\\nnetwork={\"\nwifi_password = \"\"", "wifi_ssid: the name"),
        ("wifi_ssid = \"House\"\nwifi_password = \"SECRET\"", "wifi_password: 8 to 63"),
    ] {
        let card = Card::new(text);
        let (status, said) = card.take_over();
        assert_eq!(status, 65, "{text}: {said}");
        let explained = card.text().lines().next().unwrap().to_owned();
        assert!(said.contains(part) && explained.contains(part), "{text}: {said} {explained}");
        let is_quiet = |told: &str| !told.to_lowercase().contains("secret");
        assert!(is_quiet(&said) && is_quiet(&explained), "{text}: {said}");
        assert!(card.text().ends_with(text) && card.wifi().is_none(), "{text}");
    }
    // What nothing can be written into is put aside, whole.
    for bytes in [vec![b'#'; 1024 * 1024], vec![0xFF, 0xFE, b'n', 0]] {
        let card = Card::new(&bytes);
        assert_eq!(card.take_over().0, 65);
        assert!(fs::read(card.path("setup-refused.toml")).unwrap() == bytes);
        assert!(card.text().starts_with("#! This was not taken over: it ") && card.text().ends_with(TEMPLATE));
        assert_eq!(card.take_over(), (0, String::new()), "it can be filled");
    }
    // Without a place for it, a network is nothing that we could set up; and what stood there stays.
    let card = Card::new(good);
    let (settings, file) = (card.setup.write_settings(), card.path("setup.toml"));
    let (done, said) = run(TUNERD, &["--config", settings.to_str().unwrap(), "--setup", file.to_str().unwrap()]);
    assert!(done.code() == Some(65) && said.contains("set up elsewhere"), "{said}");
}

#[test]
fn the_clock_of_the_box_goes_by_the_zone_that_was_written() {
    let mut card = Card::new("time_zone = \"Asia/Tokyo\"\n");
    let zone = card.path("zone");
    card.setup.fake_ffmpeg(&format!("echo \"$TZ\" >>{}\nexit 1", zone.display()));
    assert_eq!(card.take_over().0, 0);
    let daemon = card.start();
    daemon.wait_for_lineup();
    let (number, _) = daemon.channels().remove(0);
    http::get(daemon.address(), 5004, &format!("/auto/v{number}"));
    wait_until("a child was started", Duration::from_secs(20), || zone.exists());
    assert_eq!(fs::read_to_string(&zone).unwrap().lines().next(), Some("Asia/Tokyo"));
}

#[test]
fn no_bytes_make_it_fall_over_or_tell_a_word_or_say_more_to_the_supplicant() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let bits =
        ["\"", "\\", "\n", "=", "[", "\\u0000", "}", "{", "#", "\u{fffd}", " = 4\n", "wifi_ssid = \"x\"\n", "", "x"];
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let mut text: Vec<char> = FILLED.chars().collect();
        for _ in 0..=random(4) {
            let from = random(text.len());
            let until = (from + random(12)).min(text.len());
            text.splice(from..until, bits[random(bits.len())].chars());
        }
        let text: String = text.into_iter().collect();
        let judged = setup::read(&text)
            .and_then(|written| written.judge().map_err(|error| format!("{}: {}", error.field, error.why)));
        match judged {
            Ok(judged) => {
                good += 1;
                let Some(network) = judged.network else { continue };
                let told = network.for_supplicant(Some(&[7; 32]));
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_= -:.#{}\n".contains(&byte);
                assert!(told.bytes().all(is_plain) && told.lines().count() <= 9, "{text} makes {told}");
            }
            Err(why) => {
                bad += 1;
                let words = ["SECRET", "violin", "otter", "cement", "House", "reboot", "Attic", "127.0"];
                assert!(words.iter().all(|word| !why.contains(word)), "{text} gave {why}");
            }
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} good ones and {bad} bad ones");
}

#[test]
fn links_lead_nowhere() {
    // In place of the file.
    let card = Card::new("");
    let target = card.setup.folder.write("target", FILLED);
    fs::remove_file(card.path("setup.toml")).unwrap();
    symlink(&target, card.path("setup.toml")).unwrap();
    assert_eq!(card.take_over().0, 65);
    assert_eq!(fs::read_to_string(&target).unwrap(), FILLED);
    // In place of what is made of it.
    let card = Card::new("wifi_ssid = \"House\"\nwifi_password = \"eight888\"\n");
    let target = card.setup.folder.write("target", "is not ours");
    symlink(&target, card.path("wifi.conf")).unwrap();
    symlink(&target, card.path("wifi.new")).unwrap();
    let (status, said) = card.take_over();
    assert_eq!(status, 0, "{said}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "is not ours");
    assert!(fs::symlink_metadata(card.path("wifi.conf")).unwrap().is_file() && card.wifi().unwrap().contains("psk="));
}

#[test]
fn what_cannot_be_kept_is_not_wiped() {
    let card = Card::new(FILLED);
    // A folder where a file should be.
    fs::create_dir_all(card.path("wifi.conf/x")).unwrap();
    let (status, said) = card.take_over();
    assert!(status == 65 && said.contains("tries again at its next start"), "{said}");
    assert!(card.text().ends_with(FILLED));
    fs::remove_dir_all(card.path("wifi.conf")).unwrap();
    assert_eq!(card.take_over().0, 0);
    assert!(card.text() == TEMPLATE && card.wifi().is_some());
}

#[test]
fn a_card_without_the_file_gets_one_and_the_template_says_nothing() {
    let card = Card::new(TEMPLATE);
    assert_eq!(card.take_over(), (0, String::new()));
    fs::remove_file(card.path("setup.toml")).unwrap();
    assert_eq!(card.take_over(), (0, String::new()));
    assert_eq!(card.text(), TEMPLATE);
    assert!(!card.setup.state_dir().join("tunerd.db").exists(), "nothing was opened");
    // What it shows can be written, and is refused only for the dots in it.
    let shown: String = TEMPLATE
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.contains(" = \""))
        .fold(String::new(), |all, line| all + line + "\n");
    let known =
        ["name", "time_zone", "playlist", "password", "password_hash", "wifi_ssid", "wifi_password", "wifi_country"];
    let keys: Vec<&str> = shown.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(keys, known);
}
