//! Channels are for life, and what is damaged is replaced.

use super::*;
use pure::model::source_url::SourceUrl;

fn entry(name: &str, number: Option<&str>, url: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        number: number.map(|number| number.parse().unwrap()),
        tvg_id: String::new(),
        group: String::new(),
        logo: String::new(),
        url: url.parse::<SourceUrl>().unwrap(),
        user_agent: None,
    }
}

/// As a playlist from the internet.
fn replace_playlist(database: &mut Connection, entries: &[Entry]) -> Result<Lineup, StoreError> {
    super::replace_playlist(database, entries, Reach::Public)
}

fn database() -> Connection {
    schema::open(Path::new("/dev/null/nowhere")).unwrap().0
}

/// Number, name and id of each channel.
fn shown(lineup: &Lineup) -> Vec<(String, String, u32)> {
    let show = |channel: &Channel| (channel.number.as_str().to_owned(), channel.name.clone(), channel.id.0);
    lineup.channels().iter().map(show).collect()
}

fn numbers(lineup: &Lineup) -> Vec<&str> {
    lineup.channels().iter().map(|channel| channel.number.as_str()).collect()
}

#[test]
fn a_channel_keeps_id_and_number_through_everything_its_provider_does() {
    let mut database = database();
    let [news, sport, film] = ["News", "Sport", "Film"].map(|name| entry(name, None, "http://h/1"));
    let first = replace_playlist(&mut database, &[news.clone(), sport.clone(), film.clone()]).unwrap();
    assert_eq!(numbers(&first), ["1", "2", "3"]);
    let ids: Vec<u32> = first.channels().iter().map(|channel| channel.id.0).collect();

    let moved = replace_playlist(&mut database, &[film.clone(), entry("News", None, "http://other/9")]).unwrap();
    assert_eq!(shown(&moved), [("3".into(), "Film".into(), ids[2]), ("1".into(), "News".into(), ids[0])]);
    assert!(matches!(&moved.channels()[1].sources[..], [Source::Url { url, .. }] if url.as_str() == "http://other/9"));

    let new = replace_playlist(&mut database, &[entry("Music", None, "http://h/4"), news]).unwrap();
    assert_eq!(numbers(&new), ["4", "1"], "the number of a channel that is gone is not given away");

    let back = replace_playlist(&mut database, &[sport]).unwrap();
    assert_eq!(shown(&back), [("2".into(), "Sport".into(), ids[1])]);
}

#[test]
fn numbers_are_unique_whatever_the_playlist_says() {
    let mut database = database();
    let lineup = replace_playlist(
        &mut database,
        &[
            entry("A", Some("5"), "http://h/1"),
            entry("B", Some("5"), "http://h/2"),
            entry("C", None, "http://h/3"),
            entry("D", Some("1"), "http://h/4"),
            entry("E", Some("1.1"), "http://h/5"),
            entry("F", Some("5.1"), "http://h/6"),
        ],
    )
    .unwrap();
    assert_eq!(numbers(&lineup), ["5", "1", "2", "3", "4", "5.1"], "1.1 is a demo channel's");
}

#[test]
fn channels_of_the_same_name_are_told_apart_by_their_order() {
    let mut database = database();
    let twins = [entry("Twin", None, "http://h/1"), entry("Twin", None, "http://h/2")];
    let first = replace_playlist(&mut database, &twins).unwrap();
    assert_eq!(shown(&first), shown(&replace_playlist(&mut database, &twins).unwrap()));
    assert_eq!(numbers(&first), ["1", "2"]);
}

#[test]
fn demo_and_playlist_do_not_disturb_each_other() {
    let mut database = database();
    let demo = lineup(&mut database, Origin::Demo).unwrap();
    assert_eq!(numbers(&demo), ["1.1", "1.2", "1.3", "1.4"]);
    replace_playlist(&mut database, &[entry("A", Some("1.1"), "http://h/1")]).unwrap();
    assert_eq!(shown(&lineup(&mut database, Origin::Demo).unwrap()), shown(&demo));
    assert_eq!(numbers(&lineup(&mut database, Origin::Playlist).unwrap()), ["1"]);
}

#[test]
fn a_fault_in_the_middle_changes_nothing() {
    let mut database = database();
    let before = replace_playlist(&mut database, &[entry("A", None, "http://h/1")]).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON channel WHEN NEW.name = 'C' BEGIN SELECT RAISE (ABORT, 'no'); END",
        )
        .unwrap();
    let entries = [entry("B", None, "http://h/2"), entry("C", None, "http://h/3")];
    assert!(replace_playlist(&mut database, &entries).is_err());
    assert_eq!(shown(&lineup(&mut database, Origin::Playlist).unwrap()), shown(&before));
}

#[test]
fn forty_thousand_entries_are_stored_in_linear_time() {
    let mut database = database();
    let entries: Vec<Entry> = (0..40_000).map(|n| entry(&format!("Channel {n}"), None, "http://h/1")).collect();
    let lineup = replace_playlist(&mut database, &entries).unwrap();
    assert_eq!(lineup.channels().len(), 40_000);
    assert_eq!(lineup.channels()[39_999].number.as_str(), "40000");
}

#[test]
fn what_the_owner_thinks_survives_whatever_the_playlist_does() {
    let mut database = database();
    let [news, sport] = ["News", "Sport"].map(|name| entry(name, None, "http://h/1"));
    let first = replace_playlist(&mut database, &[news.clone(), sport.clone()]).unwrap();
    let [news_id, sport_id] = [0, 1].map(|index: usize| first.channels()[index].id);
    set_mark(&database, news_id, Mark::Favorite).unwrap();
    set_mark(&database, sport_id, Mark::Favorite).unwrap();
    set_mark(&database, sport_id, Mark::Hidden).unwrap();
    let wanted = BTreeMap::from([(news_id, Mark::Favorite), (sport_id, Mark::Hidden)]);
    assert_eq!(marks(&database).unwrap(), wanted);
    // Both go, and come back.
    replace_playlist(&mut database, &[entry("Film", None, "http://h/2")]).unwrap();
    replace_playlist(&mut database, &[sport, news]).unwrap();
    assert_eq!(marks(&database).unwrap(), wanted);
    set_mark(&database, news_id, Mark::Plain).unwrap();
    set_mark(&database, news_id, Mark::Plain).unwrap();
    assert_eq!(marks(&database).unwrap(), BTreeMap::from([(sport_id, Mark::Hidden)]));
    assert!(set_mark(&database, ChannelId(99), Mark::Hidden).is_err(), "there is no such channel");
    database.execute("INSERT INTO mark VALUES (?1, 'blue')", [news_id.0]).unwrap();
    assert_eq!(marks(&database).unwrap().len(), 1, "a newer release's thoughts are left alone");
}
