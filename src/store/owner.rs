//! The owner's layer: subscriptions, ticked groups, channels with their numbers, names, order and sources.
//!
//! It reads the provider's layer, as the attached database `listings`, and never writes it. A channel is made once, when
//! an entry that the owner wants is seen for the first time ([`Adoption`]); from then on only he changes it (`edits`). Its row stays
//! for ever, so neither its id nor any number it ever had goes to another channel by itself.

use super::listing::{self, LIVE};
use super::{Database, EditError, StoreError};
use pure::limits::{CHANNELS_MAX, PAGE_LEN_MAX, ROWS_MAX, STAGE_LEN, SUBSCRIPTIONS_MAX};
use pure::model::guide_number::GuideNumber;
use pure::model::headers::Headers;
use pure::model::lineup::{Account, Channel, ChannelId, Lineup, Source};
use pure::model::provider::{ProxyUrl, hosts_from_words, hosts_to_words};
use pure::model::recipe::DEMO;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::{Facts, FieldError, Group, Kind, ListedEntry, Subscription, SubscriptionId};
use pure::rules::reach::Reach;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

pub(super) fn field(name: &'static str, why: impl Into<String>) -> EditError {
    EditError::Field(FieldError::new(name, why))
}

// ---- Subscriptions --------------------------------------------------------------------------------------------------

const COLUMNS: &str = "id, kind, name, address, username, password, user_agent, refresh_s, streams_max, held, \
                       ticked_only, from_settings, enabled, headers, proxy, hosts";

fn read_subscription(row: &Row<'_>) -> rusqlite::Result<Option<Subscription>> {
    // A kind of a later release stays for that release.
    let Some(kind) = Kind::find(&row.get::<_, String>(1)?) else { return Ok(None) };
    // So does a proxy: what should go through it must not go without.
    let proxy = match row.get::<_, Option<String>>(14)?.map(|proxy| proxy.parse()) {
        None => None,
        Some(Ok(proxy)) => Some(proxy),
        Some(Err(_)) => return Ok(None),
    };
    Ok(Some(Subscription {
        id: SubscriptionId(row.get(0)?),
        kind,
        name: row.get(2)?,
        address: row.get(3)?,
        username: row.get(4)?,
        password: row.get(5)?,
        user_agent: row.get(6)?,
        refresh_s: row.get(7)?,
        streams_max: row.get(8)?,
        held: row.get(9)?,
        ticked_only: row.get(10)?,
        from_settings: row.get(11)?,
        enabled: row.get(12)?,
        headers: Headers::from_lines(row.get_ref(13)?.as_str().unwrap_or_default()),
        proxy,
        hosts: hosts_from_words(row.get_ref(15)?.as_str().unwrap_or_default()).unwrap_or_default(),
    }))
}

pub(super) fn subscriptions(owner: &Connection) -> Result<Vec<Subscription>, StoreError> {
    let mut statement = owner.prepare_cached(&format!("SELECT {COLUMNS} FROM subscription ORDER BY id"))?;
    let rows = statement.query_map([], read_subscription)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

pub(super) fn subscription(owner: &Connection, id: SubscriptionId) -> Result<Subscription, EditError> {
    let mut statement = owner.prepare_cached(&format!("SELECT {COLUMNS} FROM subscription WHERE id = ?1"))?;
    statement.query_row([id.0], read_subscription).optional()?.flatten().ok_or(EditError::NotFound)
}

/// Keeps a subscription that was checked: a new one gets its id, another one must be there.
pub(super) fn put(owner: &Connection, subscription: &Subscription) -> Result<SubscriptionId, EditError> {
    let is_new = subscription.id.0 == 0;
    if is_new {
        let count: usize =
            owner.query_row("SELECT count(*) FROM subscription", [], |row| row.get::<_, u32>(0))? as usize;
        if count >= SUBSCRIPTIONS_MAX {
            return Err(field("kind", format!("there are {SUBSCRIPTIONS_MAX} subscriptions, and no room for more")));
        }
    }
    let mut statement = owner.prepare_cached(
        "INSERT INTO subscription (id, kind, name, address, username, password, user_agent, refresh_s, streams_max, held,
         ticked_only, from_settings, enabled, headers, proxy, hosts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO UPDATE SET name = ?3, address = ?4, username = ?5, password = ?6, user_agent = ?7,
         refresh_s = ?8, streams_max = ?9, held = ?10, ticked_only = ?11, enabled = ?13, headers = ?14, proxy = ?15,
         hosts = ?16 RETURNING id",
    )?;
    let id = statement.query_row(
        params![
            (!is_new).then_some(subscription.id.0),
            subscription.kind.name(),
            subscription.name,
            subscription.address,
            subscription.username,
            subscription.password,
            subscription.user_agent,
            subscription.refresh_s,
            subscription.streams_max,
            subscription.held,
            subscription.ticked_only,
            subscription.from_settings,
            subscription.enabled,
            subscription.headers.to_lines(),
            subscription.proxy.as_ref().map(ProxyUrl::written),
            hosts_to_words(&subscription.hosts),
        ],
        |row| row.get(0),
    )?;
    Ok(SubscriptionId(id))
}

/// Removes a subscription. Its channels stay known, without this source.
pub(super) fn remove(owner: &mut Connection, id: SubscriptionId) -> Result<(), EditError> {
    let transaction = owner.transaction()?;
    for table in ["channel_source", "tick", "number_range"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE subscription_id = ?1"), [id.0])?;
    }
    if transaction.execute("DELETE FROM subscription WHERE id = ?1", [id.0])? == 0 {
        return Err(EditError::NotFound);
    }
    Ok(transaction.commit()?)
}

/// Ticks exactly these groups, or says that all entries are wanted.
pub(super) fn tick(owner: &mut Connection, id: SubscriptionId, groups: Option<&[String]>) -> Result<(), EditError> {
    subscription(owner, id)?;
    let transaction = owner.transaction()?;
    write_ticks(&transaction, id, groups)?;
    let wanted = wanted(&transaction)?;
    if groups.is_some() && wanted > CHANNELS_MAX {
        return Err(field(
            "groups",
            format!("these would make {wanted} channels, and this box offers at most {CHANNELS_MAX}"),
        ));
    }
    Ok(transaction.commit()?)
}

fn write_ticks(owner: &Connection, id: SubscriptionId, groups: Option<&[String]>) -> Result<(), StoreError> {
    owner.execute("UPDATE subscription SET ticked_only = ?2 WHERE id = ?1", params![id.0, groups.is_some()])?;
    owner.execute("DELETE FROM tick WHERE subscription_id = ?1", [id.0])?;
    for group in groups.unwrap_or_default() {
        owner.execute("INSERT OR IGNORE INTO tick VALUES (?1, ?2)", params![id.0, group])?;
    }
    Ok(())
}

/// From which number on new channels of a group are numbered.
pub(super) fn set_range(
    owner: &Connection,
    id: SubscriptionId,
    group: &str,
    number_from: Option<u32>,
) -> Result<(), EditError> {
    subscription(owner, id)?;
    match number_from {
        None => owner
            .execute("DELETE FROM number_range WHERE subscription_id = ?1 AND grouping = ?2", params![id.0, group])?,
        Some(from) => owner.execute(
            "INSERT INTO number_range VALUES (?1, ?2, ?3)
             ON CONFLICT (subscription_id, grouping) DO UPDATE SET number_from = ?3",
            params![id.0, group, from],
        )?,
    };
    Ok(())
}

/// How many entries the owner wants as channels, over all subscriptions.
pub(super) fn wanted(owner: &Connection) -> Result<usize, StoreError> {
    let count: i64 = owner.query_row(
        "SELECT coalesce(sum(CASE WHEN u.ticked_only THEN (SELECT coalesce(sum(g.entries), 0) FROM tick t
             JOIN listings.entry_group g ON g.subscription_id = u.id AND g.batch = l.batch AND g.name = t.grouping
             WHERE t.subscription_id = u.id) ELSE l.entries END), 0)
         FROM subscription u JOIN listings.listing l ON l.subscription_id = u.id WHERE u.enabled",
        [],
        |row| row.get(0),
    )?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The groups that a subscription lists.
pub(super) fn groups(owner: &Connection, id: SubscriptionId) -> Result<Vec<Group>, EditError> {
    subscription(owner, id)?;
    let mut statement = owner.prepare_cached(
        "SELECT g.name, g.entries, t.grouping IS NOT NULL, r.number_from FROM listings.listing l
         JOIN listings.entry_group g ON g.subscription_id = l.subscription_id AND g.batch = l.batch
         LEFT JOIN tick t ON t.subscription_id = l.subscription_id AND t.grouping = g.name
         LEFT JOIN number_range r ON r.subscription_id = l.subscription_id AND r.grouping = g.name
         WHERE l.subscription_id = ?1 ORDER BY g.name",
    )?;
    let rows = statement.query_map([id.0], |row| {
        Ok(Group { name: row.get(0)?, entries: row.get(1)?, ticked: row.get(2)?, number_from: row.get(3)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Entries after a position whose name holds `search`, among the next rows; and where to go on.
pub(super) fn entries(
    owner: &Connection,
    id: SubscriptionId,
    group: Option<&str>,
    search: &str,
    after: i64,
) -> Result<(Vec<ListedEntry>, Option<i64>), EditError> {
    subscription(owner, id)?;
    let mut statement = owner.prepare_cached(&format!(
        "SELECT e.key, e.position, e.name, e.grouping, e.tvg_id, s.channel_id, {LIVE}, ?3 IS NULL OR e.grouping = ?3
         FROM listings.listing l JOIN listings.entry e ON e.subscription_id = l.subscription_id
         LEFT JOIN channel_source s ON s.subscription_id = e.subscription_id AND s.key = e.key
         WHERE l.subscription_id = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?4"
    ))?;
    let mut rows = statement.query(params![id.0, after, group, ROWS_MAX])?;
    let (mut found, mut looked_at, mut last) = (Vec::new(), 0u32, after);
    let wanted = search.to_lowercase();
    while let Some(row) = rows.next()? {
        let position = row.get(1)?;
        // A full page ends between two positions.
        if found.len() >= PAGE_LEN_MAX && position != last {
            return Ok((found, Some(last)));
        }
        (looked_at, last) = (looked_at + 1, position);
        if !row.get::<_, bool>(6)? || !row.get::<_, bool>(7)? {
            continue;
        }
        let name: String = row.get(2)?;
        if wanted.is_empty() || name.to_lowercase().contains(&wanted) {
            let (key, group, tvg_id, channel) = (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?);
            found.push(ListedEntry { key, position, name, group, tvg_id, channel });
        }
    }
    Ok((found, (looked_at >= ROWS_MAX).then_some(last)))
}

// ---- Channels -------------------------------------------------------------------------------------------------------

/// What names a channel to its origin. That of the settings' playlist is what the previous release wrote.
fn origin_and_key(subscription: &Subscription, tvg_id: &str, name: &str, twin: u32, key: i64) -> (String, String) {
    if subscription.from_settings {
        ("playlist".to_owned(), format!("{tvg_id}\u{1f}{name}\u{1f}{twin}"))
    } else {
        (format!("subscription:{}", subscription.id.0), key.to_string())
    }
}

/// Entries that become channels, in steps.
pub(super) struct Adoption {
    subscription: Subscription,
    after: i64,
    ranges: BTreeMap<String, u32>,
    next_free: u32,
    /// Channels that were made.
    pub(super) made: u32,
}

impl Adoption {
    pub(super) fn new(owner: &Connection, id: SubscriptionId) -> Result<Self, EditError> {
        let subscription = subscription(owner, id)?;
        let mut statement =
            owner.prepare_cached("SELECT grouping, number_from FROM number_range WHERE subscription_id = ?1")?;
        let ranges = statement.query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(Self { subscription, after: i64::MIN, ranges, next_free: 1, made: 0 })
    }

    /// Makes channels of the next entries that the owner wants and that no channel has as a source. Nothing that is
    /// there is changed. Whether there may be more.
    pub(super) fn step(&mut self, owner: &mut Connection) -> Result<bool, StoreError> {
        let id = self.subscription.id;
        let transaction = owner.transaction()?;
        let (mut looked_at, mut last) = (0u32, self.after);
        let mut wanted = Vec::new();
        {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT e.position, {LIVE} AND NOT EXISTS (SELECT 1 FROM channel_source s
                     WHERE s.subscription_id = e.subscription_id AND s.key = e.key)
                     AND (NOT ?3 OR EXISTS (SELECT 1 FROM tick t WHERE t.subscription_id = e.subscription_id
                     AND t.grouping = e.grouping)), e.key, e.number, e.tvg_id, e.name, e.twin, e.grouping
                 FROM listings.listing l JOIN listings.entry e ON e.subscription_id = l.subscription_id
                 WHERE l.subscription_id = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?4"
            ))?;
            let mut rows = statement.query(params![id.0, self.after, self.subscription.ticked_only, ROWS_MAX])?;
            while let Some(row) = rows.next()? {
                (looked_at, last) = (looked_at + 1, row.get(0)?);
                if row.get(1)? {
                    wanted.push((
                        row.get::<_, i64>(2)?,
                        row.get::<_, Option<String>>(3)?,
                        row.get::<_, String>(4)?,
                        row.get::<_, String>(5)?,
                        row.get::<_, u32>(6)?,
                        row.get::<_, String>(7)?,
                    ));
                }
            }
        }
        for (key, number, tvg_id, name, twin, group) in wanted {
            let channel = self.channel(&transaction, key, number, &tvg_id, &name, twin, &group)?;
            transaction
                .prepare_cached("INSERT OR IGNORE INTO channel_source VALUES (?1, 0, ?2, ?3)")?
                .execute(params![channel, id.0, key])?;
        }
        transaction.commit()?;
        // Rows of one position are not torn apart: they are looked at again, and have their channel already.
        let is_end = looked_at < ROWS_MAX;
        self.after = if last == self.after + 1 || is_end { last } else { last - 1 };
        Ok(!is_end)
    }

    /// The channel of an entry: the one that it had before, or a new one.
    #[expect(clippy::too_many_arguments, reason = "they are the columns of one row")]
    fn channel(
        &mut self,
        transaction: &Transaction<'_>,
        key: i64,
        number: Option<String>,
        tvg_id: &str,
        name: &str,
        twin: u32,
        group: &str,
    ) -> Result<i64, StoreError> {
        let (origin, mut text) = origin_and_key(&self.subscription, tvg_id, name, twin, key);
        let known: Option<(i64, bool)> = transaction
            .prepare_cached(
                "SELECT id, EXISTS (SELECT 1 FROM channel_source s WHERE s.channel_id = channel.id) FROM channel
                 WHERE origin = ?1 AND key = ?2",
            )?
            .query_row(params![origin, text], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            Some((channel, false)) => return Ok(channel),
            // It is another entry's now, which was renamed.
            Some((_, true)) => text = format!("{text}\u{1f}{key}"),
            None => {}
        }
        let number = self.number(transaction, number.and_then(|number| number.parse().ok()), group)?;
        transaction
            .prepare_cached(
                "INSERT INTO channel (origin, key, number, name, grouping, logo) VALUES (?1, ?2, ?3, ?4, ?5, '')
                 ON CONFLICT (origin, key) DO UPDATE SET key = key",
            )?
            .execute(params![origin, text, number.as_str(), name, group])?;
        self.made += 1;
        let mut statement = transaction.prepare_cached("SELECT id FROM channel WHERE origin = ?1 AND key = ?2")?;
        Ok(statement.query_row(params![origin, text], |row| row.get(0))?)
    }

    /// The owner's range for the group, else the provider's number, else the next that never was anybody's.
    fn number(
        &mut self,
        transaction: &Transaction<'_>,
        listed: Option<GuideNumber>,
        group: &str,
    ) -> Result<GuideNumber, StoreError> {
        if let Some(next) = self.ranges.get_mut(group) {
            return next_number(transaction, next);
        }
        match listed {
            Some(number) if is_free(transaction, &number)? => Ok(number),
            _ => next_number(transaction, &mut self.next_free),
        }
    }
}

pub(super) fn next_number(owner: &Connection, next: &mut u32) -> Result<GuideNumber, StoreError> {
    loop {
        let number = GuideNumber::whole(*next);
        *next = next.saturating_add(1);
        if *next == u32::MAX || is_free(owner, &number)? {
            return Ok(number);
        }
    }
}

/// Whether no channel has a number, or ever had it.
fn is_free(owner: &Connection, number: &GuideNumber) -> Result<bool, StoreError> {
    // The demo channels may come back one day.
    if DEMO.iter().any(|demo| demo.number == *number) {
        return Ok(false);
    }
    let mut statement = owner.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM channel WHERE number = ?1) OR EXISTS (SELECT 1 FROM retired WHERE number = ?1)",
    )?;
    Ok(!statement.query_row([number.as_str()], |row| row.get::<_, bool>(0))?)
}

/// Whether an entry is or was a channel's source.
pub(super) fn is_known(owner: &Connection, id: SubscriptionId, key: i64) -> Result<bool, StoreError> {
    let mut statement = owner.prepare_cached("SELECT 1 FROM channel_source WHERE subscription_id = ?1 AND key = ?2")?;
    Ok(statement.exists(params![id.0, key])?)
}

/// Whether the logo of a channel is one that the owner chose.
pub(super) fn has_own_logo(owner: &Connection, channel: ChannelId) -> Result<bool, StoreError> {
    let mut statement = owner.prepare_cached("SELECT 1 FROM override WHERE channel_id = ?1 AND logo IS NOT NULL")?;
    Ok(statement.exists([channel.0])?)
}

/// Where a channel stands: in its list, or behind another one.
struct Place {
    /// Subscription and position there.
    order: (u32, i64),
    /// The channel that it stands behind, and when the owner said so; `Some((0, _))`: at the top.
    moved: Option<(u32, i64)>,
}

/// The channels that the owner wants and that are listed, in their order.
pub(super) fn lineup(owner: &Connection) -> Result<Lineup, StoreError> {
    let mut statement = owner.prepare_cached(&format!(
        "SELECT s.channel_id, c.number, coalesce(o.name, e.name), coalesce(o.grouping, e.grouping),
             coalesce(o.logo, e.logo), e.address, coalesce(u.user_agent, e.user_agent), e.headers, u.id, e.position,
             NOT u.ticked_only OR EXISTS (SELECT 1 FROM tick t WHERE t.subscription_id = u.id
             AND t.grouping = e.grouping), o.moved_behind, o.moved_when, e.tvg_id, e.reach,
             nullif(coalesce(min(u.streams_max, l.connections_max), u.streams_max, l.connections_max), 0), e.tvg_shift_min,
             u.proxy IS NOT NULL
         FROM channel_source s JOIN channel c ON c.id = s.channel_id
         JOIN subscription u ON u.id = s.subscription_id AND u.enabled
         JOIN listings.listing l ON l.subscription_id = u.id
         JOIN listings.entry e ON e.subscription_id = s.subscription_id AND e.key = s.key AND {LIVE}
         LEFT JOIN override o ON o.channel_id = s.channel_id
         ORDER BY s.channel_id, s.position"
    ))?;
    let most: u32 = owner.query_row("SELECT count(DISTINCT channel_id) FROM channel_source", [], |row| row.get(0))?;
    let providers: BTreeMap<u32, _> =
        subscriptions(owner)?.into_iter().map(|subscription| (subscription.id.0, subscription.provider())).collect();
    let mut rows = statement.query([])?;
    // At once: a vector that grows is there twice at the end.
    let mut channels: Vec<Channel> = Vec::with_capacity(CHANNELS_MAX.min(most as usize + 1));
    let mut places: Vec<Place> = Vec::with_capacity(channels.capacity());
    let mut last_is_chosen = true;
    while let Some(row) = rows.next()? {
        let id = ChannelId(row.get(0)?);
        // A row that this release cannot read stays for the release that can.
        let Ok(url) = row.get_ref(5)?.as_str().unwrap_or_default().parse::<SourceUrl>() else { continue };
        let headers = Headers::from_lines(row.get_ref(7)?.as_str().unwrap_or_default());
        let reach = Reach::from_name(row.get_ref(14)?.as_str().unwrap_or_default());
        // The owner's limit and the provider's: the lower one counts.
        let streams_max: Option<u16> = row.get(15)?;
        let (subscription, position): (u32, i64) = (row.get(8)?, row.get(9)?);
        // Unread, with a proxy: nothing of it may go without.
        let provider = match providers.get(&subscription) {
            None if row.get::<_, bool>(17)? => continue,
            provider => provider.cloned().flatten(),
        };
        let account = streams_max.map(|streams_max| Account { id: subscription, streams_max });
        let source = Source::Url { url, user_agent: row.get(6)?, headers, account, reach, provider };
        let chosen: bool = row.get(10)?;
        if let Some(channel) = channels.last_mut().filter(|channel| channel.id == id) {
            channel.sources.push(source);
            last_is_chosen |= chosen;
            continue;
        }
        // Who is not wanted costs no memory.
        if !last_is_chosen {
            drop((channels.pop(), places.pop()));
        }
        let Ok(number) = GuideNumber::from_str(row.get_ref(1)?.as_str().unwrap_or_default()) else { continue };
        let moved = row.get::<_, Option<u32>>(11)?.zip(row.get::<_, Option<i64>>(12)?);
        if channels.len() >= CHANNELS_MAX {
            return Err(StoreError(format!("there are more than {CHANNELS_MAX} channels, and no more are possible")));
        }
        let (name, group, logo, tvg_id) = (row.get(2)?, row.get(3)?, row.get(4)?, row.get(13)?);
        let tvg_shift_min = row.get(16)?;
        channels.push(Channel { id, number, name, group, logo, tvg_id, tvg_shift_min, sources: vec![source] });
        places.push(Place { order: (subscription, position), moved });
        last_is_chosen = chosen;
    }
    if !last_is_chosen {
        drop((channels.pop(), places.pop()));
    }
    put_in_order(&mut channels, &places);
    Lineup::new(channels).map_err(|error| StoreError(format!("the stored lineup is contradictory: {error:?}")))
}

/// The order of the lists, with what the owner moved behind where he wants it, the last moved nearest.
fn put_in_order(channels: &mut [Channel], places: &[Place]) {
    let order_of = |at: &usize| places.get(*at).map(|place| place.order);
    let mut listed: Vec<usize> = (0..channels.len()).collect();
    listed.sort_by_key(order_of);
    let mut ordered = Vec::with_capacity(listed.len());
    if places.iter().all(|place| place.moved.is_none()) {
        ordered = listed;
    } else {
        let present: BTreeSet<u32> = channels.iter().map(|channel| channel.id.0).chain([0]).collect();
        let mut behind: BTreeMap<u32, Vec<(i64, usize)>> = BTreeMap::new();
        let mut rest = Vec::new();
        for at in listed {
            match places.get(at).and_then(|place| place.moved) {
                Some((anchor, when)) if present.contains(&anchor) => behind.entry(anchor).or_default().push((when, at)),
                _ => rest.push(at),
            }
        }
        for moved in behind.values_mut() {
            // Taken from the end: the last moved first.
            moved.sort_unstable();
        }
        let mut waiting = behind.remove(&0).unwrap_or_default();
        let mut rest = rest.into_iter();
        while let Some(at) = waiting.pop().map(|(_, at)| at).or_else(|| rest.next()) {
            let id = channels.get(at).map_or(0, |channel| channel.id.0);
            waiting.extend(behind.remove(&id).unwrap_or_default());
            ordered.push(at);
        }
        // Channels that stand behind each other stand at the end.
        ordered.extend(behind.into_values().flatten().map(|(_, at)| at));
    }
    // In place: a second list of all channels would be as large as the first.
    let mut goes_to = vec![0; ordered.len()];
    for (to, from) in ordered.into_iter().enumerate() {
        if let Some(place) = goes_to.get_mut(from) {
            *place = to;
        }
    }
    for at in 0..channels.len() {
        while let Some(to) = goes_to.get(at).copied().filter(|to| *to != at) {
            channels.swap(at, to);
            goes_to.swap(at, to);
        }
    }
}

// ---- The previous release -------------------------------------------------------------------------------------------

/// Makes the settings' subscription what the settings say. Channels that the previous release stored become its first
/// listing, so that they are there before the network is.
pub(super) fn follow_settings(
    database: &mut Database,
    playlist: Option<&str>,
    groups: Option<&[String]>,
) -> Result<Option<SubscriptionId>, EditError> {
    let stored = subscriptions(&database.owner)?.into_iter().find(|subscription| subscription.from_settings);
    let Some(playlist) = playlist else {
        // It is kept, and its channels with it: the line in the settings may come back.
        database.owner.execute("UPDATE subscription SET enabled = 0 WHERE from_settings", [])?;
        return Ok(None);
    };
    let new = || Subscription { from_settings: true, ..Subscription::new(Kind::Playlist) };
    let mut wanted = stored.clone().unwrap_or_else(new);
    (wanted.address, wanted.enabled) = (playlist.to_owned(), true);
    wanted.check()?;
    let id = if stored.as_ref() == Some(&wanted) { wanted.id } else { put(&database.owner, &wanted)? };
    if stored.is_none() {
        // A database that was begun anew counts from 1 again; what is listed under that number is another's.
        while listing::forget(&mut database.listings, id)? {}
        adopt_previous(database, id)?;
    } else if stored.is_some_and(|stored| stored.address != wanted.address) {
        listing::forget_version(&database.listings, id)?;
    }
    // Without the key, what the owner ticked elsewhere stays.
    if groups.is_some() {
        write_ticks(&database.owner, id, groups)?;
    }
    Ok(Some(id))
}

/// What the previous release stored of an entry.
struct Previous {
    channel: u32,
    key: i64,
}

fn adopt_previous(database: &mut Database, id: SubscriptionId) -> Result<(), EditError> {
    let mut linked = Vec::new();
    {
        let mut statement = database.owner.prepare(
            "SELECT c.id, c.key, c.name, c.grouping, c.logo, s.address, s.user_agent FROM channel c
             JOIN source s ON s.channel_id = c.id AND s.position = 0
             WHERE c.origin = 'playlist' AND c.position IS NOT NULL ORDER BY c.position",
        )?;
        let mut rows = statement.query([])?;
        let mut import = listing::begin(&mut database.listings, id, Reach::default())?;
        let mut chunk = Vec::new();
        while let Some(row) = rows.next()? {
            let key: String = row.get(1)?;
            let mut parts = key.split('\u{1f}');
            let (tvg_id, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let twin = parts.next().and_then(|twin| twin.parse().ok()).unwrap_or(0);
            let Ok(url) = row.get::<_, String>(5)?.parse::<SourceUrl>() else { continue };
            chunk.push(pure::wire::m3u::Entry {
                name: name.to_owned(),
                number: None,
                tvg_id: tvg_id.to_owned(),
                tvg_name: String::new(),
                tvg_shift_min: 0,
                group: row.get(3)?,
                logo: row.get(4)?,
                url,
                user_agent: row.get(6)?,
                headers: Headers::default(),
                catchup: pure::wire::m3u::Catchup::default(),
            });
            linked.push(Previous { channel: row.get(0)?, key: listing::name_key(tvg_id, name, twin) });
            if chunk.len() >= STAGE_LEN {
                import.stage(&mut database.listings, &chunk)?;
                chunk.clear();
            }
        }
        if !linked.is_empty() {
            import.stage(&mut database.listings, &chunk)?;
            import.finish(&mut database.listings, &Facts::default(), false, |_| Ok(false))?;
        }
    }
    let transaction = database.owner.transaction()?;
    for Previous { channel, key } in linked {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO channel_source VALUES (?1, 0, ?2, ?3)")?
            .execute(params![channel, id.0, key])?;
    }
    Ok(transaction.commit()?)
}
