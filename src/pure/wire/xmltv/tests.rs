use super::*;
use alloc::format;
use alloc::string::ToString;
use std::vec;

fn read(document: &str, piece_bytes: usize) -> Result<(Vec<Item>, Summary), GuideError> {
    let (mut items, mut reader) = (Vec::new(), Reader::new());
    for piece in document.as_bytes().chunks(piece_bytes) {
        reader.push(piece, &mut |item| items.push(item))?;
    }
    reader.finish().map(|summary| (items, summary))
}

fn programmes(document: &str) -> Vec<Programme> {
    let (items, _) = read(document, 4_096).unwrap();
    let programme = |item| if let Item::Programme(programme) = item { Some(programme) } else { None };
    items.into_iter().filter_map(programme).collect()
}

const ORDINARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tv SYSTEM "xmltv.dtd">
<tv source-info-name="x">
  <channel id="one.de"><display-name lang="de">Das Erste</display-name><display-name>ARD</display-name>
    <icon src="http://h/a.png"/><url>http://h</url></channel>
  <channel><display-name>nobody</display-name></channel>
  <programme start="20261121093000 +0100" stop="20261121100000 +0100" channel="one.de" showview="1">
    <star-rating><value>7 / 10</value></star-rating>
    <episode-num system="xmltv_ns">1.2.</episode-num>
    <title lang="de">R&amp;B  &lt;live&gt;</title><title lang="en">Other</title>
    <desc>Some
       text</desc>
    <credits><director>D</director><actor role="&quot;R&quot;">A</actor><composer>C</composer></credits>
    <category lang="x&quot;y">Show</category>
    <icon src="javascript:alert(1)"/><new/><previously-shown start="1"/><desc></desc>
    <unknown><title>no</title></unknown>
  </programme>
  <programme start="yesterday" channel="one.de"><title>no</title></programme>
  <programme start="20261121100000" stop="20261121100000" channel="one.de"></programme>
</tv>
"#;

#[test]
fn texts_are_found_by_the_name_of_their_element() {
    let details =
        "<title lang=\"de\">A</title><credits><director>D</director></credits><desc lang=\"de\">R&amp;B</desc>";
    for (name, text) in [("title", "A"), ("desc", "R&B"), ("director", "D"), ("dir", ""), ("sub-title", ""), ("", "")] {
        assert_eq!(text_in(details, name), text, "{name}");
    }
    for broken in ["", "<", "<desc", "<desc>", "<desc>x", "desc>x<"] {
        assert_eq!(text_in(broken, "desc"), "", "{broken}");
    }
}

#[test]
fn a_guide_is_read_however_it_is_cut() {
    let (items, summary) = read(ORDINARY, 4_096).unwrap();
    for piece_bytes in [1, 2, 7, 100] {
        assert_eq!(read(ORDINARY, piece_bytes).unwrap(), (items.clone(), summary));
    }
    let channel = GuideChannel {
        id: "one.de".to_string(),
        names: vec!["Das Erste".to_string(), "ARD".to_string()],
        icon: "http://h/a.png".to_string(),
    };
    let first = Programme {
        channel: "one.de".to_string(),
        start: Wall(1_795_249_800),
        stop: Some(Wall(1_795_251_600)),
        has_title: true,
        has_description: true,
        has_episode: true,
        details: "<title lang=\"de\">R&amp;B &lt;live&gt;</title><title lang=\"en\">Other</title><desc>Some text</desc><credits><director>D</director>\
                  <actor role=\"&quot;R&quot;\">A</actor></credits><category>Show</category>\
                  <episode-num system=\"xmltv_ns\">1.2.</episode-num><previously-shown/><new/>\
                  <star-rating><value>7 / 10</value></star-rating>"
            .to_string(),
    };
    assert_eq!(title_of(&first.details), "R&B <live>");
    let second = Programme {
        channel: "one.de".to_string(),
        start: Wall(1_795_255_200),
        stop: None,
        has_title: false,
        has_description: false,
        has_episode: false,
        details: String::new(),
    };
    assert_eq!(items, [Item::Channel(channel), Item::Programme(first), Item::Programme(second)]);
    let expected = Summary {
        channels: 1,
        programmes: 2,
        nameless: 1,
        times_broken: 1,
        stops_broken: 1,
        zoneless: 1,
        texts_cut: 0,
    };
    assert_eq!(summary, expected);
}

#[test]
fn times_are_read_with_all_offsets_in_use() {
    for (text, at) in [
        ("20261121093000 +0000", "2026-11-21T09:30:00Z"),
        ("20261121093000 +0100", "2026-11-21T08:30:00Z"),
        ("20261121093000 -0330", "2026-11-21T13:00:00Z"),
        ("20261121093000 +1400", "2026-11-20T19:30:00Z"),
        ("20261121093000 +05:45", "2026-11-21T03:45:00Z"),
        ("20261121093000 +1", "2026-11-21T08:30:00Z"),
        ("20261121093000+0100", "2026-11-21T08:30:00Z"),
        ("20261121093000 UTC", "2026-11-21T09:30:00Z"),
        ("20261121093000 cest", "2026-11-21T07:30:00Z"),
        ("20261121093000Z", "2026-11-21T09:30:00Z"),
        (" 202611210930 EST ", "2026-11-21T14:30:00Z"),
        ("20261121093000", "2026-11-21T09:30:00Z"),
        ("20261121", "2026-11-21T00:00:00Z"),
        ("20261121240000 +0000", "2026-11-22T00:00:00Z"),
        ("20161231235960 +0000", "2017-01-01T00:00:00Z"),
        ("20240229000000 +0000", "2024-02-29T00:00:00Z"),
        ("2026-11-21T09:30:00+01:00", "2026-11-21T08:30:00Z"),
        ("2026-11-21T09:30:00.000Z", "2026-11-21T09:30:00Z"),
        ("2026-11-21 09:30:00 +0100", "2026-11-21T08:30:00Z"),
        ("19700101000000 +0000", "1970-01-01T00:00:00Z"),
        ("21001231235959 +0000", "2100-12-31T23:59:59Z"),
    ] {
        assert_eq!(parse_time(text).map(|moment| moment.at.to_string()).as_deref(), Some(at), "{text}");
    }
    for text in [
        "",
        "0",
        "2026",
        "00000000000000 +0000",
        "99991231235959 +0000",
        "19691231235959 +0000",
        "20261321000000",
        "20261100000000",
        "20260229000000",
        "20260431000000",
        "20261121250000",
        "20261121240001",
        "20261121096000",
        "20261121093061",
        "20261121093000 +1500",
        "20261121093000 +0160",
        "20261121093000 XYZ",
        "20261121093000 +",
        "20261121093000 +01000",
        "202611210930000",
        "2026112109300x",
        "-0261121093000",
        "20261121093000 +-100",
        "٢٠٢٦١١٢١",
        "19700101000000 +0100",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
    assert!(!parse_time("20261121093000").unwrap().has_zone && parse_time("20261121093000 GMT").unwrap().has_zone);
}

#[test]
fn other_documents_are_no_guides() {
    for (document, why) in [
        ("<html><body>Login</body></html>", GuideError::NotAGuide),
        ("<?xml version='1.0'?><rss/>", GuideError::NotAGuide),
        ("<!DOCTYPE html><html>", GuideError::NotAGuide),
        ("#EXTM3U\nhttp://h/x\n", GuideError::Markup(MarkupError::Broken)),
        ("<tv><programme>", GuideError::Markup(MarkupError::CutOff)),
    ] {
        assert_eq!(read(document, 5), Err(why), "{document}");
        assert!(why.to_string().starts_with("it "));
    }
}

#[test]
fn long_texts_are_cut_at_a_character_and_counted() {
    for (long, kept) in [
        ("ü".repeat(GUIDE_TEXT_BYTES_MAX), "ü".repeat(GUIDE_TEXT_BYTES_MAX / 2)),
        ("&amp;".repeat(GUIDE_TEXT_BYTES_MAX), "&".repeat(2 * GUIDE_TEXT_BYTES_MAX / 5)),
        ("📺".repeat(GUIDE_TEXT_BYTES_MAX), "📺".repeat(GUIDE_TEXT_BYTES_MAX / 4)),
        (format!("x{}", "📺".repeat(GUIDE_TEXT_BYTES_MAX)), format!("x{}", "📺".repeat(GUIDE_TEXT_BYTES_MAX / 4 - 1))),
    ] {
        let text = format!("<tv><programme start='20261121' channel='a'><desc>{long}</desc></programme></tv>");
        let (items, summary) = read(&text, 333).unwrap();
        let Some(Item::Programme(programme)) = items.first() else { panic!() };
        assert_eq!(summary.texts_cut, 1);
        assert_eq!(programme.details, format!("<desc>{}</desc>", Escaped(&kept)));
    }
}

#[test]
fn what_a_programme_may_have_once_it_has_once() {
    let twice = "<date>2020</date><date>2021</date><premiere/><premiere>x</premiere><new/><new/>";
    let text = format!("<tv><programme start='20261121' channel='a'>{twice}</programme></tv>");
    assert_eq!(programmes(&text)[0].details, "<date>2020</date><premiere/><new/>");
}
