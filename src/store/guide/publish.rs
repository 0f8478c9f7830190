//! The guide that clients get: made from the databases of all guides, checked, and only then put in the old one's place.
//! Each face of the box has one of its own, with the same programmes; all of them are replaced, or none.
//!
//! It is a file, plain and packed, so that a large one takes no memory. Whoever reads the old one when the new one takes
//! its place has the old one to the end.

use super::import::{HAS_TITLE, check_room, explain, explain_file, row_id, start_of};
use super::served::Document;
use super::{FaceWanted, Matched, Published, Wanted};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use pure::limits::{GUIDE_AHEAD_S, GUIDE_SERVED_PAST_S, GUIDE_SHIFT_CHANNELS_MAX};
use pure::model::face::FaceId;
use pure::model::guide::{Choice, Chosen, GuideId};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::Channel;
use pure::rules::guide_match::{Index, Match, Reason};
use pure::rules::guide_shift::Tally;
use pure::rules::timeline::{Placed, Repairs, Timeline};
use pure::time::Wall;
use pure::wire::xml::{XMLTV_HEAD, XMLTV_TAIL, write_channel, write_placeholders, write_programme};
use pure::wire::xmltv::check::{Checker, Report};
use pure::wire::xmltv::title_of;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file of the guide that is served through a face: all of it, or the packed part.
fn file_name(face: FaceId, is_packed: bool) -> String {
    let end = if is_packed { "deflate" } else { "xml" };
    if face == FaceId::BOX { format!("xmltv.{end}") } else { format!("xmltv-{}.{end}", face.0) }
}

/// What is written at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Where the programmes of a channel are. There may be some ten thousand of these: names stay in the databases.
#[derive(Clone, Copy)]
struct Found {
    guide: GuideId,
    channel: u32,
    reason: Reason,
    confidence: u8,
    offset_s: i64,
}

/// Makes the guide for `wanted` and puts it into `folder`.
pub(super) fn publish(
    folder: &Path,
    databases: &BTreeMap<GuideId, Connection>,
    wanted: &Wanted,
) -> Result<Published, String> {
    let index = index(databases, wanted)?;
    let found: Vec<Option<Found>> =
        wanted.channels().map(|channel| find(databases, wanted, &index, channel)).collect::<Result<_, _>>()?;
    let shifts = shifts(databases, wanted, &index, &found)?;
    drop(index);
    let mut documents = Documents::create(folder, &wanted.faces)?;
    documents.write(|out| out.write_str(XMLTV_HEAD))?;
    for (index, (channel, found)) in wanted.channels().zip(&found).enumerate() {
        let icon = found.map_or(Ok(String::new()), |found| icon(databases, found))?;
        documents.channel = Some(index);
        documents.write(|out| write_channel(out, channel, &icon))?;
    }
    documents.end_heads()?;
    let (mut matches, mut made) = (BTreeMap::new(), Made::default());
    for (index, (channel, found)) in wanted.channels().zip(found).enumerate() {
        documents.channel = Some(index);
        if let Some(matched) = write_one(&mut documents, databases, wanted, channel, found, &mut made)? {
            matches.insert(channel.id, matched);
        }
    }
    documents.channel = None;
    documents.write(|out| out.write_str(XMLTV_TAIL))?;
    let (bytes, documents) = documents.finish()?;
    let mut report = check(folder, FaceId::BOX, wanted.channels().map(|channel| channel.number))?;
    for face in &wanted.faces {
        let of_face = check(folder, face.face, face.numbers(wanted))?;
        if report.errors == 0 {
            (report.errors, report.first_error) = (of_face.errors, of_face.first_error);
        }
    }
    let mut published = Published {
        report,
        repairs: made.repairs,
        without_title: made.without_title,
        matches,
        numbers: numbers(wanted),
        bytes,
        documents,
        shifts,
    };
    // Placeholders are not meant: they are no episodes of anything.
    published.report.without_episode = report.without_episode.saturating_sub(made.placeholders);
    if report.errors == 0 && wanted.episodes_required && published.report.without_episode > 0 {
        published.report.errors = published.report.without_episode;
        published.report.first_error = Some("programmes have no episode number, and the settings require one");
    }
    if published.report.errors == 0 {
        for face in wanted.faces.iter().map(|face| face.face).chain([FaceId::BOX]) {
            for is_packed in [true, false] {
                let path = folder.join(file_name(face, is_packed));
                fs::rename(fresh(folder, face, is_packed), &path).map_err(|error| explain_file(&path, &error))?;
            }
        }
        forget_others(folder, &wanted.faces);
    }
    Ok(published)
}

fn fresh(folder: &Path, face: FaceId, is_packed: bool) -> PathBuf {
    folder.join(format!("{}.new", file_name(face, is_packed)))
}

/// Removes what was made for faces that are gone. What cannot be removed now is removed another time.
fn forget_others(folder: &Path, faces: &[FaceWanted]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("xmltv-")?.split('.').next()?.parse().ok());
        if id.map(FaceId).is_some_and(|id| faces.iter().all(|face| face.face != id)) {
            fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}

fn numbers(wanted: &Wanted) -> BTreeMap<FaceId, Vec<GuideNumber>> {
    let faces = wanted.faces.iter().map(|face| (face.face, sorted(face.numbers(wanted))));
    faces.chain([(FaceId::BOX, sorted(wanted.channels().map(|channel| channel.number)))]).collect()
}

fn sorted(numbers: impl Iterator<Item = GuideNumber>) -> Vec<GuideNumber> {
    let mut numbers: Vec<GuideNumber> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// What was counted while writing.
#[derive(Default)]
struct Made {
    repairs: Repairs,
    without_title: u32,
    placeholders: u32,
}

fn index(databases: &BTreeMap<GuideId, Connection>, wanted: &Wanted) -> Result<Index, String> {
    let mut index = Index::default();
    for (place, (guide, _)) in (0..).zip(&wanted.guides) {
        let Some(database) = databases.get(guide) else { continue };
        let mut channels =
            database.prepare("SELECT id, key, names, programmes FROM channel ORDER BY id").map_err(explain)?;
        let mut rows = channels.query([]).map_err(explain)?;
        while let Some(row) = rows.next().map_err(explain)? {
            let id = row.get(0).map_err(explain)?;
            let key = row.get_ref(1).ok().and_then(|key| key.as_str().ok()).unwrap_or_default();
            let names = row.get_ref(2).ok().and_then(|names| names.as_str().ok()).unwrap_or_default();
            let names: heapless::Vec<&str, { pure::limits::GUIDE_NAMES_MAX }> = names.lines().collect();
            let programmes: u32 = row.get(3).map_err(explain)?;
            index.add(place, id, key, &names, programmes > 0);
        }
    }
    index.ready();
    Ok(index)
}

/// Whose programmes a channel shows: those that the owner chose, or the best match.
fn find(
    databases: &BTreeMap<GuideId, Connection>,
    wanted: &Wanted,
    index: &Index,
    channel: &Channel,
) -> Result<Option<Found>, String> {
    if channel.demo().is_some() {
        return Ok(None);
    }
    let choice = wanted.choices.get(&channel.id).cloned().unwrap_or_default();
    let offset_s = choice.offset_s_for(channel.tvg_shift_min);
    let Choice { guide: chosen, offset_s: _ } = choice;
    let (guide, row, reason, confidence) = match chosen {
        Chosen::Nothing => return Ok(None),
        Chosen::Channel(guide, key) => {
            // What the owner chose stays chosen, even while its guide does not have it.
            let Some(database) = databases.get(&guide) else { return Ok(None) };
            let row = database.query_row("SELECT id FROM channel WHERE key = ?1", [&key], |row| row.get(0));
            let Some(row) = row.optional().map_err(explain)? else { return Ok(None) };
            (guide, row, Reason::Owner, 100)
        }
        Chosen::Automatic => {
            let Some(Match { guide, channel, reason, confidence }) = index.find(&channel.tvg_id, &channel.name) else {
                return Ok(None);
            };
            let place = usize::try_from(guide).unwrap_or(usize::MAX);
            let Some((guide, _)) = wanted.guides.get(place) else { return Ok(None) };
            (*guide, channel, reason, confidence)
        }
    };
    let guide_offset_s = wanted.guides.iter().find(|(known, _)| *known == guide).map_or(0, |(_, offset_s)| *offset_s);
    Ok(Some(Found { guide, channel: row, reason, confidence, offset_s: guide_offset_s + offset_s }))
}

/// The logo that a guide knows.
fn icon(databases: &BTreeMap<GuideId, Connection>, found: Found) -> Result<String, String> {
    let mut channel =
        database(databases, found)?.prepare_cached("SELECT icon FROM channel WHERE id = ?1").map_err(explain)?;
    channel.query_row([found.channel], |columns| columns.get(0)).map_err(explain)
}

fn database(databases: &BTreeMap<GuideId, Connection>, found: Found) -> Result<&Connection, String> {
    databases.get(&found.guide).ok_or_else(|| "a guide has vanished".to_owned())
}

/// Compares the guides that know the same channels.
fn shifts(
    databases: &BTreeMap<GuideId, Connection>,
    wanted: &Wanted,
    index: &Index,
    found: &[Option<Found>],
) -> Result<Vec<(GuideId, GuideId, i64)>, String> {
    let mut tallies: BTreeMap<(GuideId, GuideId), Tally> = BTreeMap::new();
    let mut left = GUIDE_SHIFT_CHANNELS_MAX;
    for (channel, found) in wanted.channels().zip(found) {
        let Some(Found { guide, channel: row, .. }) = found else { continue };
        for (place, (other, other_offset_s)) in (0..).zip(&wanted.guides) {
            if other == guide || left == 0 {
                continue;
            }
            let matched = index.find_in(Some(place), &channel.tvg_id, &channel.name);
            let (Some(matched), Some(database), Some(others)) = (matched, databases.get(guide), databases.get(other))
            else {
                continue;
            };
            left -= 1;
            let offset_s = wanted.guides.iter().find(|(known, _)| known == guide).map_or(0, |(_, offset_s)| *offset_s);
            let ours = titles(database, *row, wanted.now, offset_s)?;
            let theirs = titles(others, matched.channel, wanted.now, *other_offset_s)?;
            let ours: Vec<(Wall, &str)> = ours.iter().map(|(at, title)| (*at, title.as_str())).collect();
            let theirs: Vec<(Wall, &str)> = theirs.iter().map(|(at, title)| (*at, title.as_str())).collect();
            tallies.entry((*guide, *other)).or_default().compare(&ours, &theirs);
        }
    }
    let shifted = tallies.into_iter().filter_map(|((guide, other), tally)| Some((guide, other, tally.shift_h()?)));
    Ok(shifted.collect())
}

/// What a channel of a guide shows for a day.
fn titles(database: &Connection, channel: u32, now: Wall, offset_s: i64) -> Result<Vec<(Wall, String)>, String> {
    let mut programmes = database
        .prepare_cached("SELECT id, details FROM programme WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 64")
        .map_err(explain)?;
    let ids = [row_id(channel, now.plus_s(-offset_s)), row_id(channel, now.plus_s(86_400 - offset_s))];
    let rows = programmes
        .query_map(ids, |row| Ok((start_of(row.get(0)?).plus_s(offset_s), title_of(&row.get::<_, String>(1)?))));
    rows.and_then(Iterator::collect).map_err(explain)
}

fn write_one(
    document: &mut Documents<'_>,
    databases: &BTreeMap<GuideId, Connection>,
    wanted: &Wanted,
    channel: &Channel,
    found: Option<Found>,
    made: &mut Made,
) -> Result<Option<Matched>, String> {
    let mut matched = None;
    if let Some(found) = found {
        let database = database(databases, found)?;
        let mut names = database.prepare_cached("SELECT key, names FROM channel WHERE id = ?1").map_err(explain)?;
        let names = names.query_row([found.channel], |columns| {
            let names: String = columns.get(1)?;
            Ok((columns.get(0)?, names.lines().next().unwrap_or_default().to_owned()))
        });
        let (guide_channel, guide_name) = names.map_err(explain)?;
        let Found { guide, reason, confidence, .. } = found;
        let matched =
            matched.insert(Matched { guide, guide_channel, guide_name, reason, confidence, now: None, programmes: 0 });
        write_found(document, database, wanted, channel, found, matched, made)?;
    }
    if matched.as_ref().is_none_or(|matched| matched.programmes == 0) {
        document.write(|out| {
            made.placeholders += write_placeholders(out, channel, wanted.now)?;
            Ok(())
        })?;
    }
    Ok(matched)
}

fn write_found(
    document: &mut Documents<'_>,
    database: &Connection,
    wanted: &Wanted,
    channel: &Channel,
    found: Found,
    matched: &mut Matched,
    made: &mut Made,
) -> Result<(), String> {
    let (from, to) = (wanted.now.plus_s(-GUIDE_SERVED_PAST_S), wanted.now.plus_s(GUIDE_AHEAD_S.min(wanted.ahead_s)));
    let offset_s = found.offset_s;
    let mut programmes = database
        .prepare_cached("SELECT id, stop, flags, details FROM programme WHERE id BETWEEN ?1 AND ?2 ORDER BY id")
        .map_err(explain)?;
    // One that began before and still goes on belongs to it, too.
    let first = row_id(found.channel, from.plus_s(-offset_s - pure::limits::PROGRAMME_S_MAX));
    let last = row_id(found.channel, to.plus_s(-offset_s));
    let mut rows = programmes.query(params![first, last]).map_err(explain)?;
    let mut timeline = Timeline::default();
    let mut show = |document: &mut Documents<'_>, placed: Option<Placed<(bool, String)>>| -> Result<(), String> {
        let Some(Placed { start, stop, what: (has_title, details) }) = placed else { return Ok(()) };
        if stop <= from || start >= to {
            return Ok(());
        }
        if start <= wanted.now && wanted.now < stop {
            matched.now = Some(title_of(&details)).filter(|title| !title.is_empty());
        }
        matched.programmes += 1;
        made.without_title += u32::from(!has_title);
        document.write(|out| write_programme(out, channel, start, stop, has_title, &details))
    };
    while let Some(row) = rows.next().map_err(explain)? {
        let start = start_of(row.get(0).map_err(explain)?).plus_s(offset_s);
        let stop: i64 = row.get(1).map_err(explain)?;
        let stop = (stop > 0).then_some(Wall(stop).plus_s(offset_s));
        let flags: i64 = row.get(2).map_err(explain)?;
        let details = row.get(3).map_err(explain)?;
        let placed = timeline.push(start, stop, (flags & HAS_TITLE != 0, details));
        show(document, placed)?;
    }
    let placed = timeline.finish();
    show(document, placed)?;
    made.repairs.add(timeline.repairs);
    Ok(())
}

/// The documents of the box itself and of its other faces, as they grow side by side.
struct Documents<'a> {
    own: Growing,
    faces: Vec<(&'a FaceWanted, Growing)>,
    /// Whom what is written is about; `None`: all of them have it.
    channel: Option<usize>,
}

impl<'a> Documents<'a> {
    fn create(folder: &Path, faces: &'a [FaceWanted]) -> Result<Self, String> {
        let of_face = |face: &'a FaceWanted| Ok((face, Growing::create(folder, face.face)?));
        let faces = faces.iter().map(of_face).collect::<Result<_, String>>()?;
        Ok(Self { own: Growing::create(folder, FaceId::BOX)?, faces, channel: None })
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn std::fmt::Write) -> std::fmt::Result) -> Result<(), String> {
        let from = self.own.text.len();
        write(&mut self.own.text).map_err(|_| "a programme could not be written")?;
        let written = self.own.text.get(from..).unwrap_or_default();
        for (face, document) in &mut self.faces {
            if self.channel.is_none_or(|channel| face.shows.get(channel) == Some(&true)) {
                document.text.push_str(written);
                document.flush_if_full()?;
            }
        }
        self.own.flush_if_full()
    }

    /// The channels are written, and the programmes come.
    fn end_heads(&mut self) -> Result<(), String> {
        let faces = self.faces.iter_mut().map(|(_, document)| document);
        faces.chain([&mut self.own]).try_for_each(Growing::end_head)
    }

    /// Gives the size of the box's own, and all of them.
    fn finish(self) -> Result<(u64, BTreeMap<FaceId, Document>), String> {
        let own = self.own.finish()?;
        let bytes = own.plain_bytes;
        let mut documents = BTreeMap::from([(FaceId::BOX, own)]);
        for (face, document) in self.faces {
            documents.insert(face.face, document.finish()?);
        }
        Ok((bytes, documents))
    }
}

/// A document, as it grows.
struct Growing {
    text: String,
    plain: File,
    /// What follows the head only: see [`Document`].
    packed: DeflateEncoder<File>,
    crc: Crc,
    bytes: u64,
    head_bytes: Option<u64>,
    path: PathBuf,
}

impl Growing {
    fn create(folder: &Path, face: FaceId) -> Result<Self, String> {
        let create = |is_packed| {
            let path = fresh(folder, face, is_packed);
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
            file.map_err(|error| explain_file(&path, &error))
        };
        Ok(Self {
            text: String::with_capacity(2 * PIECE_BYTES),
            plain: create(false)?,
            packed: DeflateEncoder::new(create(true)?, Compression::fast()),
            crc: Crc::new(),
            bytes: 0,
            head_bytes: None,
            path: folder.join(file_name(face, false)),
        })
    }

    fn flush_if_full(&mut self) -> Result<(), String> {
        if self.text.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        check_room(self.path.parent().unwrap_or(&self.path))?;
        let text = self.text.as_bytes();
        let mut written = self.plain.write_all(text);
        if self.head_bytes.is_some() {
            self.crc.update(text);
            written = written.and_then(|()| self.packed.write_all(text));
        }
        self.bytes += text.len() as u64;
        self.text.clear();
        written.map_err(|error| explain_file(&self.path, &error))
    }

    fn end_head(&mut self) -> Result<(), String> {
        self.flush()?;
        self.head_bytes = Some(self.bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<Document, String> {
        self.flush()?;
        let explain = |error: io::Error| explain_file(&self.path, &error);
        let packed = self.packed.finish().map_err(explain)?;
        let packed_bytes = packed.metadata().map_err(explain)?.len();
        Ok(Document {
            plain: Arc::new(self.plain),
            plain_bytes: self.bytes,
            head_bytes: self.head_bytes.unwrap_or(0),
            packed: Arc::new(packed),
            packed_bytes,
            tail: Arc::new(self.crc),
        })
    }
}

fn check(folder: &Path, face: FaceId, channels: impl Iterator<Item = GuideNumber>) -> Result<Report, String> {
    let path = fresh(folder, face, false);
    let mut checker = Checker::new(channels);
    let explain = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut file = File::open(&path).map_err(explain)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let len = file.read(&mut piece).map_err(explain)?;
        let read = checker.push(piece.get(..len).unwrap_or_default());
        if len == 0 || read.is_err() {
            let checked = read.and_then(|()| checker.finish());
            return checked.map_err(|error| format!("the guide that was made is no good: {error}"));
        }
    }
}
