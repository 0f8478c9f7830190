//! What comes back, and what must not come in.

use super::super::{Database, history, schema};
use super::*;
use crate::clock;
use std::io::Read as _;
use std::path::Path;

fn database() -> Database {
    schema::open(Path::new("/dev/null/nowhere")).unwrap().0
}

/// One subscription with two channels, and a choice of every kind.
fn furnished() -> Database {
    let database = database();
    database
        .owner
        .execute_batch(
            "INSERT INTO meta VALUES ('device_id', '10700001');
             INSERT INTO subscription (id, kind, name, address, username, password, refresh_s, held, ticked_only,
                 from_settings, enabled) VALUES (4, 'playlist', 'Eins', 'http://h/list.m3u', '', '', 7200, 0, 1, 0, 1);
             INSERT INTO channel (id, origin, key, number, name, grouping, logo) VALUES
                 (7, 'subscription:4', '70', '5.1', 'Seven', '', ''), (8, 'subscription:4', '80', '9', 'Eight', '', ''),
                 (9, 'subscription:2', '90', '10', 'Of a subscription that is gone', '', '');
             INSERT INTO channel_source VALUES (7, 0, 4, 70), (8, 0, 4, 80);
             INSERT INTO retired VALUES ('6', 8);
             INSERT INTO tick VALUES (4, 'News'); INSERT INTO number_range VALUES (4, 'News', 100);
             INSERT INTO override (channel_id, name, logo, moved_behind, moved_when)
                 VALUES (7, 'Sieben', 'http://h/logo.png', 8, 1);
             INSERT INTO mark VALUES (8, 'hidden');
             INSERT INTO guide (id, address, origin, present, offset_s) VALUES (3, 'http://h/tv.xml', 'owner', 1, 60);
             INSERT INTO guide_choice VALUES (7, 3, 'seven', 0, 0);
             INSERT INTO face (id, present, place, device_id, name, tuners, slice)
                 VALUES (2, 1, 0, '10700002', 'Klein', 1, 'groups');
             INSERT INTO face_group VALUES (2, 'News');",
        )
        .unwrap();
    database
}

fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &str) -> Vec<u8> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
    to.write_all(text.as_bytes()).unwrap();
    to.finish().unwrap()
}

/// What a backup makes of a database.
fn restore(database: &mut Database, packed: &[u8]) -> Result<Restored, EditError> {
    let transaction = database.owner.transaction()?;
    let restored = apply(&transaction, packed, Scope::Backup)?;
    transaction.commit()?;
    Ok(restored)
}

fn all_of(database: &Database) -> String {
    let text = unpacked(&pack(&database.owner, Scope::Backup).unwrap());
    // But for who wrote it, and the device ids of faces.
    text.lines().skip(1).map(|line| line.replace("\"10700002\"", "\"?\"") + "\n").collect()
}

#[test]
fn a_fresh_box_becomes_the_other_one_but_for_its_identity() {
    let first = furnished();
    let mut second = database();
    second.owner.execute("INSERT INTO meta VALUES ('device_id', '10700009')", []).unwrap();
    // It has shown its demo channels, which have the first ids.
    super::super::add_demo(&mut second.owner).unwrap();
    let restored = restore(&mut second, &pack(&first.owner, Scope::Backup).unwrap()).unwrap();
    assert_eq!(restored.ignored, Vec::<String>::new());
    assert_eq!((restored.subscriptions, restored.channels, restored.faces, restored.guides), (1, 3, 1, 1));
    let face: String = second.owner.query_row("SELECT device_id FROM face", [], |row| row.get(0)).unwrap();
    assert!(face != "10700002" && face != "10700009", "{face}");
    // Faces count anew here.
    let now = all_of(&second)
        .replace(&face, "?")
        .replace("[1,1,0,\"?\"", "[2,1,0,\"?\"")
        .replace("[1,\"News\"]", "[2,\"News\"]");
    assert_eq!(now, all_of(&first));
    // Neither the number of a channel that is gone nor that of a subscription is given away.
    super::super::add_demo(&mut second.owner).unwrap();
    let next = "SELECT seq FROM sqlite_sequence WHERE name = 'subscription'";
    assert_eq!(second.owner.query_row(next, [], |row| row.get::<_, i64>(0)), Ok(4));
}

#[test]
fn what_no_box_wrote_changes_nothing() {
    let first = furnished();
    let text = unpacked(&pack(&first.owner, Scope::Backup).unwrap());
    let swapped = text.replace("\"table\":\"retired\"", "\"table\":\"tick\"");
    let endless = format!("{text}{{\"table\":\"x\",\"columns\":[\"a\"]}}\n[\"{}\"]\n", "a".repeat(70_000));
    let whole = packed(&text);
    let mut second = furnished();
    second.owner.execute("UPDATE override SET name = 'Mine'", []).unwrap();
    let before = all_of(&second);
    let bomb = {
        let row = format!("[\"{}\"]\n", "a".repeat(60_000));
        let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
        to.write_all(text.as_bytes()).unwrap();
        to.write_all(b"{\"table\":\"x\",\"columns\":[\"a\"]}\n").unwrap();
        for _ in 0..2_300 {
            to.write_all(row.as_bytes()).unwrap();
        }
        to.finish().unwrap()
    };
    assert!(bomb.len() < 2 * 1024 * 1024, "a bomb is small: {}", bomb.len());
    let cases = [
        ("nothing", packed("")),
        ("no JSON", packed("hello\n")),
        ("another format", packed(&text.replacen("\"format\":1", "\"format\":2", 1))),
        ("a table twice", packed(&swapped)),
        ("a row of another length", packed(&text.replacen("[4,\"News\"]", "[4]", 1))),
        ("the end is missing", packed(&text[..text.find("{\"table\":\"face\"").unwrap()])),
        ("broken off", whole[..whole.len() - 9].to_vec()),
        ("a row without end", packed(&endless)),
        ("a bomb", bomb),
        ("rubbish", vec![7; 100]),
    ];
    for (what, document) in cases {
        let refused = restore(&mut second, &document);
        assert!(matches!(&refused, Err(EditError::Field(error)) if error.field == "body"), "{what}: {refused:?}");
        assert_eq!(all_of(&second), before, "{what}");
    }
    restore(&mut second, &whole).unwrap();
    assert_eq!(all_of(&second), all_of(&first));
}

#[test]
fn what_an_owner_could_not_have_typed_stays_outside() {
    let first = furnished();
    let text = unpacked(&pack(&first.owner, Scope::Backup).unwrap());
    let restored = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let mut second = database();
        let restored = restore(&mut second, &packed(&text.replacen(from, to, 1))).unwrap();
        (second, restored)
    };
    let one = |database: &Database, query: &str| -> Option<String> {
        database.owner.query_row(query, [], |row| row.get(0)).optional().unwrap().flatten()
    };
    for (from, to) in
        [("http://h/list.m3u", "file:///etc/passwd"), ("\"playlist\"", "\"carrier pigeon\""), ("7200", "1")]
    {
        let (second, told) = restored(from, to);
        assert_eq!(one(&second, "SELECT name FROM subscription"), None, "{to}");
        assert!(told.ignored.iter().any(|what| what.contains("Eins")) && told.to_fetch().count() == 0, "{told:?}");
    }
    let (second, told) = restored("http://h/tv.xml", "/etc/passwd");
    assert_eq!((one(&second, "SELECT address FROM guide"), told.guides), (None, 0));
    let (second, _) = restored("http://h/logo.png", "file:///etc/passwd");
    assert_eq!(one(&second, "SELECT logo FROM override"), None);
    let (second, _) = restored("Sieben", "Sie\\u0007ben");
    assert_eq!(one(&second, "SELECT name FROM override"), None);
    for number in ["x", "5.1.1", "#1", ""] {
        let (second, told) = restored("\"5.1\"", &format!("\"{number}\""));
        let given = one(&second, "SELECT number FROM channel WHERE key = '70'").unwrap();
        assert!(given.parse::<pure::model::guide_number::GuideNumber>().is_ok(), "{given}");
        assert_eq!(told.ignored.len(), 1, "{told:?}");
    }
    let (second, told) = restored("[2,1,0,\"10700002\"", "[2,1,77,\"10700002\"");
    assert_eq!((one(&second, "SELECT name FROM face"), told.faces), (None, 0));
    let (second, told) = restored("\"Klein\",1,", "\"Klein\",0,");
    assert_eq!((one(&second, "SELECT name FROM face WHERE present"), told.faces), (None, 0));
}

#[test]
fn a_large_box_weighs_little() {
    let large = database();
    let owner = &large.owner;
    owner
        .execute_batch(
            "INSERT INTO subscription (id, kind, name, address, username, password, refresh_s, held, ticked_only,
                 from_settings, enabled) VALUES (1, 'playlist', 'Large', 'http://h/list.m3u', '', '', 7200, 0, 0, 0, 1);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 40000)
             INSERT INTO channel (id, origin, key, number, name, grouping, logo)
                 SELECT n, 'subscription:1', random(), n, 'Channel ' || n, 'Group ' || n % 100, '' FROM n;
             INSERT INTO channel_source SELECT id, 0, 1, CAST(key AS INTEGER) FROM channel;",
        )
        .unwrap();
    for channel in 1..=100 {
        history::touch(owner, channel).unwrap();
        owner.execute("INSERT INTO mark VALUES (?1, 'hidden')", [channel]).unwrap();
    }
    let began = clock::mono();
    let revision = pack(owner, Scope::Revision).unwrap();
    let took_ms = clock::mono().ms_since(began);
    assert!(revision.len() < 8 * 1024, "{} bytes", revision.len());
    let backup = pack(owner, Scope::Backup).unwrap();
    println!("a revision has {} bytes and took {took_ms} ms; a backup has {} bytes", revision.len(), backup.len());
    assert!(backup.len() < 2 * 1024 * 1024, "{} bytes", backup.len());
    let mut other = database();
    let began = clock::mono();
    assert_eq!(restore(&mut other, &backup).unwrap().channels, 40_000);
    println!("it came back in {} ms", clock::mono().ms_since(began));
}
