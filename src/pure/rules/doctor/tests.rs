use super::stream::Watch;
use super::*;
use crate::model::device_id::DeviceId;
use crate::wire::hdhr::{DISCOVER_REPLY, DiscoverReply, FrameWriter, REPLY_BYTES_MAX, TAG_BASE_URL, TAG_DEVICE_ID};
use crate::wire::ts::{NULL_PACKET, PACKET_BYTES};
use std::string::ToString as _;
use std::vec::Vec;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 5);

#[test]
fn every_check_can_be_told_from_others_and_comes_after_what_it_needs() {
    for (place, line) in CHECKS.iter().enumerate() {
        let before = &CHECKS[..place];
        assert!(before.iter().all(|other| other.check != line.check && other.id != line.id), "{}", line.id);
        for needed in line.needs {
            assert!(before.iter().any(|other| other.check == *needed), "{} comes before what it needs", line.id);
        }
        assert_eq!(line.check.line().id, line.id);
        assert!(line.fix.len() > 40 && !line.fix.ends_with('.'), "{}: a fix is a sentence, without its dot", line.id);
        assert!((1..DOCTOR_MS_MAX / 2).contains(&line.ms_max), "{}", line.id);
    }
}

#[test]
fn a_check_is_left_out_for_what_failed_for_people_and_for_want_of_time() {
    let (find, patience) = (Check::PlexFind.line(), Check::ChannelsPatience.line());
    let ready = [(Check::Ready, Outcome::Pass), (Check::PlexLineup, Outcome::Pass)];
    assert_eq!(skip(find, &[], Some(0), 0), None, "it needs no tuner");
    assert_eq!(skip(patience, &ready, Some(1), 0), None);
    assert_eq!(skip(patience, &ready, None, 0), None, "who does not know tries");
    assert!(skip(patience, &ready, Some(0), 0).unwrap().contains("people"));
    assert!(skip(find, &[], None, DOCTOR_MS_MAX).unwrap().contains("time"));
    for outcome in [Outcome::Fail, Outcome::Skip] {
        let why = skip(patience, &[(Check::Ready, outcome), ready[1]], Some(4), 0).unwrap();
        assert!(why.contains("The box: Is ready to play"), "{why}");
    }
}

fn reply(device_id: DeviceId, base_url: &str) -> Vec<u8> {
    let mut out = [0; REPLY_BYTES_MAX];
    let reply = DiscoverReply { device_id, tuner_count: 4, base_url, lineup_url: "x", auth: &device_id.auth() };
    reply.write(&mut out).unwrap().to_vec()
}

#[test]
fn who_answers_a_search_must_be_where_it_was_asked() {
    let id = DeviceId::from_random(7);
    let there = reply(id, "http://192.168.1.5:80");
    assert_eq!(found(&there, HOST, true).outcome, Outcome::Pass);
    for elsewhere in ["http://192.168.1.6:80", "http://tunerd.local", "", "https://192.168.1.5"] {
        assert_eq!(found(&reply(id, elsewhere), HOST, false).outcome, Outcome::Fail, "{elsewhere}");
    }
    let url = b"http://192.168.1.5:65535/0000000";
    let mut out = [0; 128];
    let long = FrameWriter::new(&mut out, DISCOVER_REPLY).tlv(TAG_DEVICE_ID, &id.get().to_be_bytes());
    let long = long.tlv(TAG_BASE_URL, url).finish().unwrap();
    assert_eq!((found(long, HOST, false).outcome, found(long, HOST, true).outcome), (Outcome::Pass, Outcome::Fail));
    let mut wrong = there.clone();
    wrong[12] ^= 1;
    assert_eq!(found(&wrong, HOST, false).outcome, Outcome::Fail, "the check sum");
    assert_eq!(found(b"", HOST, false).outcome, Outcome::Fail);
}

#[test]
fn answers_of_ssdp_and_mdns_are_ours_or_not() {
    let answer = |location: &str| std::format!("HTTP/1.1 200 OK\r\nLocation: {location}\r\n\r\n").into_bytes();
    assert!(is_ssdp_answer_of(&answer("http://192.168.1.5:80/device.xml"), HOST));
    assert!(!is_ssdp_answer_of(&answer("http://192.168.1.6:80/device.xml"), HOST));
    assert!(!is_ssdp_answer_of(b"NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.5/\r\n\r\n", HOST));
    let mut says = b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x06TunerD\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x04".to_vec();
    says.extend(HOST.octets());
    assert_eq!(named(&says, HOST), Some(true));
    assert_eq!(named(&says, Ipv4Addr::new(192, 168, 1, 6)), Some(false));
    assert_eq!(named(NAME_QUESTION, HOST), None, "a question is no answer");
}

#[test]
fn a_description_is_complete_and_leads_back() {
    let text = |text: &str| text.to_owned();
    let good = Described {
        friendly_name: text("tunerd"),
        model_number: text("HDHR5-4US"),
        device_id: DeviceId::from_random(7).to_string(),
        device_auth: text("x"),
        base_url: text("http://192.168.1.5:80"),
        lineup_url: text("http://192.168.1.5:80/lineup.json"),
        tuner_count: 4,
    };
    assert_eq!(described(&good, HOST).outcome, Outcome::Pass);
    for wrong in [
        Described { friendly_name: text(""), ..good.clone() },
        Described { device_auth: text(""), ..good.clone() },
        Described { device_id: text("12345678"), ..good.clone() },
        Described { lineup_url: text("http://10.0.0.1/lineup.json"), ..good.clone() },
        Described { tuner_count: 0, ..good.clone() },
    ] {
        assert_eq!(described(&wrong, HOST).outcome, Outcome::Fail, "{wrong:?}");
    }
}

fn listed(rows: &[(&str, &str)]) -> Listed {
    let mut listed = Listed::new(HOST);
    for (number, url) in rows {
        listed.add(number, "name", url);
    }
    listed
}

#[test]
fn a_lineup_suits_each_client_or_says_why_not() {
    const URL: &str = "http://192.168.1.5:5004/auto/v1";
    let everybody = [Client::Plex, Client::Jellyfin, Client::Kodi];
    let outcomes = |rows: &[(&str, &str)]| everybody.map(|client| listed(rows).judge(client).outcome == Outcome::Pass);
    assert_eq!(outcomes(&[("1", URL), ("5.1", URL)]), [true; 3]);
    assert_eq!(outcomes(&[]), [false; 3]);
    assert_eq!(outcomes(&[("1", URL), ("1", URL)]), [false; 3]);
    assert_eq!(outcomes(&[("1", "http://192.168.1.6:5004/auto/v1")]), [false; 3]);
    assert_eq!(outcomes(&[("1", "http://192.168.1.5:5004/auto/v1?a=b")]), [false; 3]);
    assert_eq!(outcomes(&[("", URL)]), [false; 3]);
    let mut many = Listed::new(HOST);
    (1..=481).for_each(|number| many.add(&number.to_string(), "name", URL));
    assert_eq!(everybody.map(|client| many.judge(client).outcome), [Outcome::Pass; 3]);
    assert_eq!((many.limit().outcome, listed(&[("1", URL)]).limit().outcome), (Outcome::Fail, Outcome::Pass));
    assert_eq!(listed(&[("1", URL)]).ports(80).outcome, Outcome::Pass);
    assert_eq!(listed(&[("1", URL)]).ports(8080).outcome, Outcome::Fail);
    assert_eq!(listed(&[("1", "http://192.168.1.5/auto/v1")]).ports(80).outcome, Outcome::Fail);
    let (one, two) = (listed(&[("1", URL)]), listed(&[("1", URL), ("2", URL)]));
    assert_eq!(one.playlist(one.numbers()).outcome, Outcome::Pass);
    assert_eq!(one.playlist(two.numbers()).outcome, Outcome::Fail);
    assert_eq!(two.playlist(one.numbers()).outcome, Outcome::Fail);
}

#[test]
fn a_guide_fits_and_says_something() {
    let good = Report { channels: 2, programmes: 9, ..Report::default() };
    assert_eq!(guide(&good, 1).outcome, Outcome::Pass);
    assert_eq!(guide(&Report { mismatches: 1, ..good }, 1).outcome, Outcome::Fail);
    assert_eq!(guide(&Report { errors: 1, first_error: Some("x"), ..good }, 1).outcome, Outcome::Fail);
    assert_eq!(programmes(&good, 8).outcome, Outcome::Pass);
    assert_eq!(programmes(&good, 9).outcome, Outcome::Fail);
    for cut in 0..12 {
        let mut counter = Counter::new("Nono!");
        let (first, second) = b"NoNono!Nono!".split_at(cut);
        counter.push(first);
        counter.push(second);
        assert_eq!(counter.count, 2, "cut at {cut}");
    }
}

#[test]
fn refusals_are_told_apart() {
    for (error, outcome) in [
        ("801 Unknown Channel", Outcome::Fail),
        ("803 System Busy", Outcome::Fail),
        ("804 Tuner In Use", Outcome::Skip),
        ("805 All Tuners In Use", Outcome::Skip),
        ("807 No Video Data", Outcome::Fail),
        ("", Outcome::Fail),
    ] {
        assert_eq!(refused("1", 503, error).outcome, outcome, "{error}");
    }
    let pass =
        |code, status, error, has_retry, bytes| refusal(code, status, error, has_retry, bytes).outcome == Outcome::Pass;
    assert!(pass(804, 503, "804 Tuner In Use", true, 0) && pass(801, 404, "801 Unknown Channel", false, 0));
    assert!(!pass(804, 503, "805 All Tuners In Use", true, 0));
    assert!(!pass(804, 200, "", true, 0));
    assert_eq!(refusal(804, 503, "806 Tune Failed", true, 0).outcome, Outcome::Skip, "it is ill, not busy");
    assert!(!pass(804, 503, "804 Tuner In Use", false, 0), "when to come back");
    assert!(!pass(804, 503, "804 Tuner In Use", true, 9), "a body");
    assert_eq!((head(200, "video/mpeg").outcome, head(200, "text/html").outcome), (Outcome::Pass, Outcome::Fail));
    assert_eq!(head(503, "video/mpeg").outcome, Outcome::Fail);
    assert_eq!(
        [Some(2_000), Some(90), Some(5_900), None].map(|ms| lasted(ms).outcome == Outcome::Pass),
        [true, false, false, false]
    );
    assert_eq!((left(Some(9)).outcome, left(None).outcome), (Outcome::Pass, Outcome::Fail));
}

// ---- Streams --------------------------------------------------------------------------------------------------------

/// PAT and PMT, then key frames of H.264 with a clock.
fn stream(pictures: u8) -> Vec<u8> {
    crate::wire::ts::sample(pictures)
}

fn judged(pieces: &[(u64, &[u8])]) -> Judged {
    let mut watch = Watch::default();
    for (ms, bytes) in pieces {
        watch.push(*ms, bytes);
    }
    watch.judge("1")
}

#[test]
fn a_stream_is_good_when_a_picture_comes_in_time() {
    let good = stream(4);
    assert_eq!(judged(&[(900, &good)]).outcome, Outcome::Pass, "{:?}", judged(&[(900, &good)]));
    for cut in [1, 187, 188, 400] {
        let (first, second) = good.split_at(cut);
        assert_eq!(judged(&[(100, first), (900, second)]).outcome, Outcome::Pass, "cut at {cut}");
    }
    let fails = |pieces: &[(u64, &[u8])], why: &str| {
        let Judged { outcome, detail, .. } = judged(pieces);
        assert!(outcome == Outcome::Fail && detail.contains(why), "{why}: {detail}");
    };
    fails(&[], "sent nothing");
    fails(&[(100, &NULL_PACKET)], "nothing but filling");
    fails(&[(6_001, &good)], "took 6001 ms");
    fails(&[(100, b"<html>no picture</html>".repeat(20).as_slice())], "no clean transport stream");
    fails(&[(100, &good[2 * PACKET_BYTES..])], "PAT and PMT");
    fails(&[(100, &good[..2 * PACKET_BYTES])], "no key frame");
    fails(&[(100, &good[..3 * PACKET_BYTES])], "clock");
    let mut lost = good.clone();
    lost.drain(3 * PACKET_BYTES..4 * PACKET_BYTES);
    fails(&[(100, &lost)], "lost 1 packets");
    let mut watch = Watch::default();
    assert!(!watch.has_begun() && !watch.is_enough());
    watch.push(0, &good);
    assert!(watch.has_begun() && watch.is_enough());
}
