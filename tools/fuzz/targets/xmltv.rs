//! Any bytes as a guide: how they are cut into reads changes nothing, and what is kept of them may be served.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::lineup::{Channel, ChannelId};
use pure::rules::timeline::Timeline;
use pure::wire::xml::{XMLTV_HEAD, XMLTV_TAIL, write_channel, write_programme};
use pure::wire::xmltv::check::Checker;
use pure::wire::xmltv::{Item, Programme, Reader, title_of};

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((cut, guide)) = bytes.split_first() else { return };
    let whole = read(guide, guide.len().max(1));
    assert_eq!(read(guide, usize::from(*cut) + 1), whole);
    assert_eq!(read(guide, 1), whole);
    if let Ok(items) = whole {
        serve(items);
    }
});

/// Everything that a reader finds in a guide in pieces of `piece_bytes`, or why it refuses it.
fn read(guide: &[u8], piece_bytes: usize) -> Result<Vec<Item>, String> {
    let (mut items, mut reader) = (Vec::new(), Reader::new());
    for piece in guide.chunks(piece_bytes) {
        reader.push(piece, &mut |item| items.push(item)).map_err(|error| error.to_string())?;
    }
    reader.finish().map_err(|error| error.to_string())?;
    Ok(items)
}

/// Puts all programmes on one channel, as the daemon does, and checks the document.
fn serve(items: Vec<Item>) {
    let channel = Channel {
        id: ChannelId(1),
        number: "5.1".parse().unwrap(),
        name: "Five".to_owned(),
        group: String::new(),
        logo: String::new(),
        tvg_id: String::new(),
        tvg_shift_min: 0,
        sources: Vec::new(),
    };
    let mut programmes: Vec<Programme> = Vec::new();
    let mut icon = String::new();
    for item in items {
        match item {
            Item::Channel(found) => icon = found.icon,
            Item::Programme(programme) => programmes.push(programme),
        }
    }
    programmes.sort_by_key(|programme| programme.start);
    let mut document = XMLTV_HEAD.to_owned();
    write_channel(&mut document, &channel, &icon).unwrap();
    let mut timeline = Timeline::default();
    let mut placed = Vec::new();
    for programme in &programmes {
        assert_eq!(programme.has_title, !title_of(&programme.details).is_empty());
        placed.extend(timeline.push(programme.start, programme.stop, programme));
    }
    placed.extend(timeline.finish());
    for placed in placed {
        let Programme { has_title, details, .. } = placed.what;
        // Beyond 2100 the daemon serves nothing: it is more than two weeks ahead.
        if placed.stop.civil().year <= 2_100 {
            write_programme(&mut document, &channel, placed.start, placed.stop, *has_title, details).unwrap();
        }
    }
    document.push_str(XMLTV_TAIL);
    let mut checker = Checker::new([channel.number].into_iter());
    checker.push(document.as_bytes()).unwrap();
    let report = checker.finish().unwrap();
    assert_eq!((report.errors, report.mismatches), (0, 0), "{:?}\n{document}", report.first_error);
}
