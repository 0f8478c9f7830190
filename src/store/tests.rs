//! Channels are for life, whatever providers do; and what the owner chose is his.

use super::*;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::Changes;

fn entry(name: &str, number: Option<&str>, url: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        number: number.map(|number| number.parse().unwrap()),
        tvg_id: String::new(),
        tvg_name: String::new(),
        tvg_shift_min: 0,
        group: String::new(),
        logo: String::new(),
        url: url.parse::<SourceUrl>().unwrap(),
        user_agent: None,
        headers: pure::model::headers::Headers::default(),
        catchup: pure::wire::m3u::Catchup::default(),
    }
}

fn database() -> Database {
    schema::open(Path::new("/dev/null/nowhere")).unwrap().0
}

/// One refresh, from beginning to end.
fn refresh(
    database: &mut Database,
    id: SubscriptionId,
    entries: &[Entry],
    held: bool,
) -> Result<Refreshed, StoreError> {
    refresh_from(database, id, entries, held, Reach::Public)
}

/// The same, of a list whose addresses may lead so far.
fn refresh_from(
    database: &mut Database,
    id: SubscriptionId,
    entries: &[Entry],
    held: bool,
    reach: Reach,
) -> Result<Refreshed, StoreError> {
    let mut after = Some(i64::MIN);
    while let Some(from) = after {
        after = listing::tidy(&mut database.listings, id, from)?;
    }
    let mut import = listing::begin(&mut database.listings, id, reach)?;
    for chunk in entries.chunks(100) {
        import.stage(&mut database.listings, chunk)?;
    }
    while import.search(&mut database.listings)? {}
    let owner = &database.owner;
    import.finish(&mut database.listings, &Facts::default(), held, |key| owner::is_known(owner, id, key))
}

fn adopt(database: &mut Database, id: SubscriptionId) -> Result<(), EditError> {
    let mut adoption = Adoption::new(&database.owner, id)?;
    while adoption.step(&mut database.owner)? {}
    Ok(())
}

/// A refresh of the settings' playlist, and what clients see then.
fn replace_playlist(database: &mut Database, entries: &[Entry]) -> Result<Lineup, EditError> {
    let id = settings(database);
    refresh(database, id, entries, false)?;
    adopt(database, id)?;
    Ok(owner::lineup(&database.owner)?)
}

fn settings(database: &mut Database) -> SubscriptionId {
    owner::follow_settings(database, Some("/list.m3u"), None).unwrap().unwrap()
}

fn shown_now(database: &Database) -> Lineup {
    owner::lineup(&database.owner).unwrap()
}

fn names(lineup: &Lineup) -> Vec<&str> {
    lineup.channels().iter().map(|channel| channel.name.as_str()).collect()
}

/// Another subscription.
fn another(database: &Database) -> SubscriptionId {
    let mut subscription = Subscription {
        name: "Another".to_owned(),
        address: "http://h/list.m3u".to_owned(),
        ..Subscription::new(pure::model::subscription::Kind::Playlist)
    };
    subscription.check().unwrap();
    owner::put(&database.owner, &subscription).unwrap()
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
    let demo = demo_lineup(&mut database.owner).unwrap();
    assert_eq!(numbers(&demo), ["1.1", "1.2", "1.3", "1.4"]);
    replace_playlist(&mut database, &[entry("A", Some("1.1"), "http://h/1")]).unwrap();
    assert_eq!(shown(&demo_lineup(&mut database.owner).unwrap()), shown(&demo));
    assert_eq!(numbers(&shown_now(&database)), ["1"]);
}

#[test]
fn a_fault_in_the_middle_changes_nothing() {
    let mut database = database();
    let before = replace_playlist(&mut database, &[entry("A", None, "http://h/1")]).unwrap();
    database
        .listings
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON entry WHEN NEW.name = 'C' BEGIN SELECT RAISE (ABORT, 'no'); END",
        )
        .unwrap();
    let entries = [entry("B", None, "http://h/2"), entry("C", None, "http://h/3")];
    assert!(replace_playlist(&mut database, &entries).is_err());
    assert_eq!(shown(&shown_now(&database)), shown(&before));
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
    set_mark(&database.owner, news_id, Mark::Favorite).unwrap();
    set_mark(&database.owner, sport_id, Mark::Favorite).unwrap();
    set_mark(&database.owner, sport_id, Mark::Hidden).unwrap();
    let wanted = BTreeMap::from([(news_id, Mark::Favorite), (sport_id, Mark::Hidden)]);
    assert_eq!(marks(&database.owner).unwrap(), wanted);
    // Both go, and come back.
    replace_playlist(&mut database, &[entry("Film", None, "http://h/2")]).unwrap();
    replace_playlist(&mut database, &[sport, news]).unwrap();
    assert_eq!(marks(&database.owner).unwrap(), wanted);
    set_mark(&database.owner, news_id, Mark::Plain).unwrap();
    set_mark(&database.owner, news_id, Mark::Plain).unwrap();
    assert_eq!(marks(&database.owner).unwrap(), BTreeMap::from([(sport_id, Mark::Hidden)]));
    assert!(set_mark(&database.owner, ChannelId(99), Mark::Hidden).is_err(), "there is no such channel");
    database.owner.execute("INSERT INTO mark VALUES (?1, 'blue')", [news_id.0]).unwrap();
    assert_eq!(marks(&database.owner).unwrap().len(), 1, "a newer release's thoughts are left alone");
}

// ---- Two layers -----------------------------------------------------------------------------------------------------

fn list(names: &[&str]) -> Vec<Entry> {
    names.iter().map(|name| entry(name, None, &format!("http://h/{name}"))).collect()
}

fn grouped(name: &str, group: &str) -> Entry {
    Entry { group: group.to_owned(), ..entry(name, None, &format!("http://h/{name}")) }
}

fn ids(lineup: &Lineup) -> Vec<ChannelId> {
    lineup.channels().iter().map(|channel| channel.id).collect()
}

/// Everything in the tables of the owner, as text.
fn owners(database: &Database) -> String {
    let mut all = String::new();
    for table in [
        "meta",
        "channel",
        "source",
        "mark",
        "subscription",
        "tick",
        "number_range",
        "channel_source",
        "override",
        "retired",
    ] {
        let mut statement = database.owner.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let row: Vec<_> = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            all += &[table, " ", &row.join(","), "\n"].concat();
        }
    }
    all
}

#[test]
fn a_refresh_cannot_touch_what_the_owner_chose() {
    // At stake: an evening of editing three hundred channels. Edited in every way, refreshed in every way; the tables of
    // the owner stay as they are to the byte, and the connection that a refresh has does not even know them.
    let mut database = database();
    let lineup = replace_playlist(&mut database, &list(&["A", "B", "C", "D", "E"])).unwrap();
    let [a, b, c, d, fifth] = ids(&lineup)[..] else { panic!("{lineup:?}") };
    let owner = &mut database.owner;
    edits::edit(owner, &[a], &Edit::Name(Some("Mine".to_owned()))).unwrap();
    edits::edit(owner, &[b], &Edit::Group(Some("My group".to_owned()))).unwrap();
    edits::edit(owner, &[c, d], &Edit::NumberFrom("100".parse().unwrap())).unwrap();
    edits::edit(owner, &[d, fifth], &Edit::Merge).unwrap();
    edits::edit(owner, &[c], &Edit::MoveBehind(None)).unwrap();
    set_mark(owner, b, Mark::Favorite).unwrap();
    let id = settings(&mut database);
    let (before, seen) = (owners(&database), shown_now(&database));
    assert_eq!(names(&seen), ["C", "Mine", "B", "D"]);
    assert_eq!(numbers(&seen), ["100", "1", "2", "101"]);
    for entries in [
        list(&["A", "B", "C", "D", "E"]),
        list(&["E", "D", "C", "B", "A"]),
        list(&["X", "Y"]),
        list(&["A", "New", "B", "C", "D"]),
        vec![entry("A renamed", None, "http://h/A"), grouped("B", "Elsewhere")],
        list(&["A", "B", "C", "D", "E"]),
    ] {
        refresh(&mut database, id, &entries, false).unwrap();
        assert_eq!(owners(&database), before);
    }
    assert_eq!(shown(&shown_now(&database)), shown(&seen));
    assert!(database.listings.prepare("SELECT 1 FROM channel").is_err(), "it does not know the owner's tables");
    // Who makes channels of what is new changes nothing that is there either.
    refresh(&mut database, id, &list(&["A", "B", "C", "D", "E", "F"]), false).unwrap();
    for table in ["channel", "override", "channel_source", "mark", "retired", "subscription"] {
        for what in ["UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TEMP TRIGGER no_{what}_{table} BEFORE {what} ON main.{table}
                 BEGIN SELECT RAISE (ABORT, 'the owner has it'); END"
            );
            database.owner.execute_batch(&trigger).unwrap();
        }
    }
    adopt(&mut database, id).unwrap();
    assert_eq!(names(&shown_now(&database)), ["C", "Mine", "B", "D", "F"]);
}

#[test]
fn numbers_are_never_given_to_somebody_else() {
    let mut database = database();
    let lineup = replace_playlist(&mut database, &list(&["A", "B", "C"])).unwrap();
    let [a, b, c] = ids(&lineup)[..] else { panic!("{lineup:?}") };
    let owner = &mut database.owner;
    let number = |owner: &mut Connection, channels: &[ChannelId], from: &str| {
        edits::edit(owner, channels, &Edit::NumberFrom(from.parse().unwrap()))
    };
    number(owner, &[a], "50").unwrap();
    // 1 was the number of A, 2 is that of B: nobody else gets them, not even on request.
    for taken in ["1", "2", "50", "1.1"] {
        assert!(
            matches!(number(owner, &[c], taken), Err(EditError::Field(error)) if error.field == "number_from"),
            "{taken}"
        );
    }
    assert!(number(owner, &[a, b], "65535.999999").is_err() && number(owner, &[a, b], "4294967295").is_err());
    number(owner, &[a], "1").unwrap();
    number(owner, &[b, a], "1").unwrap();
    assert_eq!(numbers(&shown_now(&database)), ["2", "1", "3"], "among themselves they may swap");
    // Neither does a new entry that asks for one.
    let mut entries = list(&["A", "B"]);
    entries.push(entry("D", Some("50"), "http://h/D"));
    entries.push(entry("E", Some("3"), "http://h/E"));
    let lineup = replace_playlist(&mut database, &entries).unwrap();
    assert_eq!(numbers(&lineup), ["2", "1", "4", "5"]);
}

#[test]
fn what_a_refresh_changed_is_told_and_can_be_taken_back() {
    let mut database = database();
    let id = settings(&mut database);
    let mut first = list(&["A", "B", "C", "D"]);
    replace_playlist(&mut database, &first).unwrap();
    assert_eq!(refresh(&mut database, id, &first, false).unwrap(), Refreshed::Same);
    let before = shown_now(&database);
    // B is renamed, C moves to a group, D goes, N comes.
    first[1].name = "B two".to_owned();
    first[2].group = "G".to_owned();
    first.pop();
    first.insert(1, entry("N", None, "http://h/N"));
    let changes = Changes { new: 1, gone: 1, renamed: 1, moved: 1, changed: 0 };
    assert_eq!(refresh(&mut database, id, &first, false).unwrap(), Refreshed::Applied(changes));
    adopt(&mut database, id).unwrap();
    let after = shown_now(&database);
    assert_eq!(names(&after), ["A", "N", "B two", "C"]);
    assert_eq!(numbers(&after), ["1", "5", "2", "3"], "who is renamed keeps his number");
    let sets = listing::change_sets(&database.listings, id).unwrap();
    let (found, _) = listing::differences(&database.listings, id, sets[0].batch, i64::MIN).unwrap();
    let told: Vec<_> = found.iter().map(|d| (d.before.as_deref(), d.after.as_deref())).collect();
    for difference in [(None, Some("N")), (Some("B"), Some("B two")), (Some("C"), Some("C")), (Some("D"), None)] {
        assert!(told.contains(&difference), "{difference:?} {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    // Back, and not again by itself.
    assert!(listing::decide(&mut database.listings, id, Decision::Undo).unwrap());
    assert_eq!(shown(&shown_now(&database)), shown(&before));
    assert!(!listing::decide(&mut database.listings, id, Decision::Undo).unwrap(), "there is one step back only");
    assert_eq!(refresh(&mut database, id, &first, false).unwrap(), Refreshed::Refused);
    assert_eq!(shown(&shown_now(&database)), shown(&before));
    // What comes next is compared with what there is.
    assert_eq!(refresh(&mut database, id, &list(&["A", "B", "C", "D"]), false).unwrap(), Refreshed::Same);
    assert_eq!(shown(&shown_now(&database)), shown(&before));
}

#[test]
fn changes_wait_where_the_owner_wants_it() {
    let mut database = database();
    let id = another(&database);
    let (one, two, three) = (list(&["A", "B"]), list(&["B", "C"]), list(&["A", "B", "Z"]));
    assert!(matches!(refresh(&mut database, id, &one, true).unwrap(), Refreshed::Applied(_)), "the first has no rival");
    adopt(&mut database, id).unwrap();
    assert!(matches!(refresh(&mut database, id, &two, true).unwrap(), Refreshed::Waiting(_)));
    assert_eq!(names(&shown_now(&database)), ["A", "B"]);
    // A refresh that fails in the middle leaves it waiting or drops it, and shows nothing of itself.
    assert!(listing::decide(&mut database.listings, id, Decision::Approve).unwrap());
    adopt(&mut database, id).unwrap();
    assert_eq!(names(&shown_now(&database)), ["B", "C"]);
    assert!(matches!(refresh(&mut database, id, &three, true).unwrap(), Refreshed::Waiting(_)));
    assert!(!listing::decide(&mut database.listings, id, Decision::Undo).unwrap(), "what waits is decided on first");
    assert!(listing::decide(&mut database.listings, id, Decision::Refuse).unwrap());
    assert!(!listing::decide(&mut database.listings, id, Decision::Approve).unwrap());
    assert_eq!(refresh(&mut database, id, &three, true).unwrap(), Refreshed::Refused);
    assert_eq!(names(&shown_now(&database)), ["B", "C"]);
    let states: Vec<_> =
        listing::change_sets(&database.listings, id).unwrap().iter().map(|set| set.state.name()).collect();
    assert_eq!(states, ["refused", "applied", "applied"]);
    // One that is cut off, and another one after it.
    let mut import = listing::begin(&mut database.listings, id, Reach::Public).unwrap();
    import.stage(&mut database.listings, &list(&["Q", "B"])).unwrap();
    drop(import);
    assert_eq!(names(&shown_now(&database)), ["B", "C"]);
    assert_eq!(refresh(&mut database, id, &two, false).unwrap(), Refreshed::Same);
    assert_eq!(names(&shown_now(&database)), ["B", "C"]);
}

#[test]
fn only_ticked_groups_become_channels_and_numbers_keep_to_their_range() {
    let mut database = database();
    let id = another(&database);
    let entries = [grouped("A", "UK"), grouped("B", "DE"), grouped("C", "UK"), grouped("D", "")];
    refresh(&mut database, id, &entries, false).unwrap();
    owner::tick(&mut database.owner, id, Some(&["UK".to_owned()])).unwrap();
    owner::set_range(&database.owner, id, "UK", Some(200)).unwrap();
    adopt(&mut database, id).unwrap();
    assert_eq!(
        shown(&shown_now(&database)).iter().map(|(n, name, _)| (n.as_str(), name.as_str())).collect::<Vec<_>>(),
        [("200", "A"), ("201", "C")]
    );
    let groups = owner::groups(&database.owner, id).unwrap();
    let groups: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.entries, g.ticked, g.number_from)).collect();
    assert_eq!(groups, [("", 1, false, None), ("DE", 1, false, None), ("UK", 2, true, Some(200))]);
    owner::tick(&mut database.owner, id, Some(&["DE".to_owned(), String::new()])).unwrap();
    adopt(&mut database, id).unwrap();
    assert_eq!(names(&shown_now(&database)), ["B", "D"]);
    owner::tick(&mut database.owner, id, None).unwrap();
    assert_eq!(numbers(&shown_now(&database)), ["200", "1", "201", "2"], "everybody keeps his number");
    assert_eq!(owner::wanted(&database.owner).unwrap(), 4);
}

#[test]
fn sources_are_merged_and_split_again() {
    let mut database = database();
    let (one, two) = (settings(&mut database), another(&database));
    replace_playlist(&mut database, &list(&["A", "B"])).unwrap();
    refresh(&mut database, two, &[entry("A HD", None, "http://second/A")], false).unwrap();
    adopt(&mut database, two).unwrap();
    let before = shown_now(&database);
    let [a, b, hd] = ids(&before)[..] else { panic!("{before:?}") };
    edits::edit(&mut database.owner, &[a, hd], &Edit::Merge).unwrap();
    let merged = shown_now(&database);
    assert_eq!((names(&merged), merged.channels()[0].sources.len()), (vec!["A", "B"], 2));
    // Nobody makes it a channel again, and when the first is gone the second is there.
    adopt(&mut database, two).unwrap();
    refresh(&mut database, one, &list(&["B"]), false).unwrap();
    let alone = shown_now(&database);
    assert_eq!((numbers(&alone), alone.by_id(a).unwrap().sources.len()), (vec!["2", "1"], 1));
    refresh(&mut database, one, &list(&["A", "B"]), false).unwrap();
    edits::edit(&mut database.owner, &[a], &Edit::SourceOrder(vec![1, 0])).unwrap();
    assert_eq!(shown_now(&database).by_id(a).unwrap().name, "A HD");
    edits::edit(&mut database.owner, &[a], &Edit::SourceOrder(vec![1, 0])).unwrap();
    assert!(edits::edit(&mut database.owner, &[a], &Edit::SourceOrder(vec![1, 1])).is_err());
    edits::edit(&mut database.owner, &[a], &Edit::Split).unwrap();
    adopt(&mut database, two).unwrap();
    assert_eq!(shown(&shown_now(&database)), shown(&before), "everybody is who he was");
    assert!(edits::edit(&mut database.owner, &[b], &Edit::Merge).is_err());
    assert!(edits::edit(&mut database.owner, &[b, b], &Edit::Merge).is_err());
    assert!(edits::edit(&mut database.owner, &[ChannelId(999)], &Edit::Split).is_err());
}

#[test]
fn what_is_moved_stands_where_it_was_put() {
    let mut database = database();
    let lineup = replace_playlist(&mut database, &list(&["A", "B", "C", "D"])).unwrap();
    let [a, b, c, d] = ids(&lineup)[..] else { panic!("{lineup:?}") };
    let owner = &mut database.owner;
    edits::edit(owner, &[d, c], &Edit::MoveBehind(None)).unwrap();
    assert_eq!(names(&owner::lineup(owner).unwrap()), ["D", "C", "A", "B"]);
    edits::edit(owner, &[c], &Edit::MoveBehind(Some(a))).unwrap();
    assert_eq!(names(&owner::lineup(owner).unwrap()), ["D", "A", "C", "B"]);
    edits::edit(owner, &[b], &Edit::MoveBehind(Some(a))).unwrap();
    assert_eq!(names(&owner::lineup(owner).unwrap()), ["D", "A", "B", "C"]);
    // Behind each other is nowhere; nobody is lost.
    edits::edit(owner, &[a], &Edit::MoveBehind(Some(b))).unwrap();
    assert_eq!(owner::lineup(owner).unwrap().channels().len(), 4);
    assert!(edits::edit(owner, &[a], &Edit::MoveBehind(Some(a))).is_err());
    edits::edit(owner, &[a, b, c, d], &Edit::MoveBack).unwrap();
    assert_eq!(names(&owner::lineup(owner).unwrap()), ["A", "B", "C", "D"]);
    edits::edit(owner, &[a, b], &Edit::Replace { part: "A".to_owned(), with: "Z".to_owned() }).unwrap();
    assert_eq!(names(&owner::lineup(owner).unwrap()), ["Z", "B", "C", "D"]);
}

#[test]
fn what_the_previous_release_stored_is_there_before_the_network() {
    let mut database = database();
    // As it wrote it.
    database
        .owner
        .execute_batch(
            "INSERT INTO channel (origin, key, number, name, grouping, logo, position) VALUES
             ('playlist', 'ard.de' || char(31) || 'Das Erste' || char(31) || '0', '7', 'Das Erste', 'DE', '', 1),
             ('playlist', '' || char(31) || 'Gone' || char(31) || '0', '8', 'Gone', '', '', NULL),
             ('playlist', '' || char(31) || 'First' || char(31) || '0', '9.1', 'First', '', '', 0);
             INSERT INTO source VALUES (1, 0, 'http://h/1', 'VLC'), (2, 0, 'http://h/2', NULL), (3, 0, 'http://h/3', NULL);
             INSERT INTO mark VALUES (1, 'favorite');",
        )
        .unwrap();
    let id = settings(&mut database);
    let lineup = shown_now(&database);
    assert_eq!(shown(&lineup), [("9.1".into(), "First".into(), 3), ("7".into(), "Das Erste".into(), 1)]);
    assert!(
        matches!(&lineup.channels()[1].sources[..], [Source::Url { user_agent: Some(agent), .. }] if agent == "VLC")
    );
    let ard = Entry { tvg_id: "ard.de".to_owned(), ..entry("Das Erste", None, "http://h/1") };
    refresh(&mut database, id, &[ard, entry("Gone", Some("1"), "http://h/2")], false).unwrap();
    adopt(&mut database, id).unwrap();
    assert_eq!(numbers(&shown_now(&database)), ["7", "8"]);
}

#[test]
fn what_is_searched_comes_in_pages() {
    let mut database = database();
    let id = another(&database);
    let entries: Vec<Entry> = (0..10_000).map(|n| entry(&format!("Ch\u{e4}nnel {n}"), None, "http://h/1")).collect();
    refresh(&mut database, id, &entries, false).unwrap();
    let (mut found, mut next) = (0, Some(i64::MIN));
    while let Some(after) = next {
        let (more, then) = owner::entries(&database.owner, id, None, "CH\u{c4}NNEL 99", after).unwrap();
        (found, next) = (found + more.len(), then);
    }
    assert_eq!(found, 111);
    assert!(matches!(owner::entries(&database.owner, SubscriptionId(9), None, "", 0), Err(EditError::NotFound)));
}

#[test]
fn logos_that_nobody_asks_for_make_room() {
    let mut database = database().listings;
    let logo = vec![7; pure::limits::LOGO_BYTES_MAX];
    let room = i64::try_from(pure::limits::LOGOS_BYTES_MAX / logo.len()).unwrap();
    for fingerprint in 0..room {
        logos::keep(&mut database, fingerprint, 100, &logo).unwrap();
    }
    assert_eq!(logos::find(&database, 0, 101).unwrap().as_ref(), Some(&logo), "it is used, and so not the oldest");
    logos::keep(&mut database, room, 101, &logo).unwrap();
    let kept = |fingerprint| logos::find(&database, fingerprint, 101).unwrap().is_some();
    assert!(kept(0) && !kept(1) && kept(2) && kept(room));
}

#[test]
fn the_order_is_that_of_the_list_and_costs_what_moved() {
    let mut database = database();
    let id = settings(&mut database);
    let refreshed = |database: &mut Database, entries: &[&str]| {
        let refreshed = refresh(database, id, &list(entries), false).unwrap();
        adopt(database, id).unwrap();
        assert_eq!(names(&shown_now(database)), entries);
        match refreshed {
            Refreshed::Applied(changes) => (changes.new, changes.gone, changes.changed),
            _ => (0, 0, 0),
        }
    };
    assert_eq!(refreshed(&mut database, &["A", "B", "C", "D"]), (4, 0, 0));
    assert_eq!(refreshed(&mut database, &["A", "N", "B", "C", "D"]), (1, 0, 0), "there is room between two");
    assert_eq!(refreshed(&mut database, &["A", "N", "C", "B", "D"]), (0, 0, 1), "one has moved");
    assert_eq!(refreshed(&mut database, &["D", "C", "B", "N", "A"]), (0, 0, 4));
    assert_eq!(refreshed(&mut database, &["D", "B", "N", "A"]), (0, 1, 0));
}

/// What is at stake: an entry that the internet listed knocks at a door of the house (S32). It keeps the reach of the list
/// that it stood in, also while a newer list of the same entries waits for the owner.
#[test]
fn an_entry_leads_as_far_as_the_list_it_stood_in() {
    let mut database = database();
    let id = settings(&mut database);
    let listed = [entry("A", None, "http://192.168.1.1/a"), entry("B", None, "http://a/b")];
    let reaches = |database: &Database| -> Vec<Reach> {
        let lineup = owner::lineup(&database.owner).unwrap();
        let sources = lineup.channels().iter().flat_map(|channel| &channel.sources);
        let reach = |source: &Source| if let Source::Url { reach, .. } = source { *reach } else { Reach::Public };
        sources.map(reach).collect()
    };
    refresh(&mut database, id, &listed, false).unwrap();
    adopt(&mut database, id).unwrap();
    assert_eq!(reaches(&database), [Reach::Public; 2]);
    let waits = refresh_from(&mut database, id, &listed, true, Reach::Private).unwrap();
    assert!(matches!(waits, Refreshed::Waiting(Changes { new: 0, gone: 0, changed: 2, .. })), "{waits:?}");
    assert_eq!(reaches(&database), [Reach::Public; 2]);
    assert!(listing::decide(&mut database.listings, id, Decision::Approve).unwrap());
    assert_eq!(reaches(&database), [Reach::Private; 2]);
    refresh(&mut database, id, &listed, false).unwrap();
    assert_eq!(reaches(&database), [Reach::Public; 2], "and the way back");
}

/// What is at stake: an address that must not be seen. A proxy that this release cannot read is none to be left out.
#[test]
fn a_way_to_a_provider_is_kept_and_shared_and_never_left_out() {
    let mut database = database();
    let id = settings(&mut database);
    refresh(&mut database, id, &[entry("A", None, "http://a/1"), entry("B", None, "http://a/2")], false).unwrap();
    adopt(&mut database, id).unwrap();
    let mut wanted = owner::subscription(&database.owner, id).unwrap();
    assert_eq!(wanted.provider(), None);
    wanted.headers.set(pure::model::headers::HeaderName::Cookie, "a=1; b=2");
    wanted.proxy = Some("socks5://me:p%40ss@[fd00::1]:1080".parse().unwrap());
    wanted.hosts = vec!["b.example".parse().unwrap(), "[2600::1]:81".parse().unwrap()];
    owner::put(&database.owner, &wanted).unwrap();
    assert!(owner::subscription(&database.owner, id).unwrap() == wanted);
    let lineup = owner::lineup(&database.owner).unwrap();
    let sources = lineup.channels().iter().flat_map(|channel| &channel.sources);
    let providers: Vec<_> = sources
        .filter_map(|source| if let Source::Url { provider, .. } = source { provider.as_ref() } else { None })
        .collect();
    assert_eq!(providers.len(), 2);
    assert!(Arc::ptr_eq(providers[0], providers[1]), "once, and not once for each channel");
    assert_eq!((&providers[0].proxy, &providers[0].hosts), (&wanted.proxy, &wanted.hosts));
    database.owner.execute("UPDATE subscription SET proxy = 'quic://a:1'", []).unwrap();
    assert_eq!(owner::lineup(&database.owner).unwrap().channels().len(), 0);
    assert!(owner::subscriptions(&database.owner).unwrap().is_empty());
}
