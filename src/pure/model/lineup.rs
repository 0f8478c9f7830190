//! Channels and the lineup they stand in.
//!
//! A lineup is an immutable snapshot: a new one replaces the old one whole, so nobody ever sees half of it. Where it is
//! stored: the daemon's `store`; how a playlist becomes entries: [`crate::wire::m3u`].

use crate::model::fingerprint::Fingerprint;
use crate::model::guide_number::GuideNumber;
use crate::model::headers::Headers;
use crate::model::provider::Provider;
use crate::model::source_url::SourceUrl;
use crate::rules::reach::Reach;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Names a channel for life; never given to another one, even after the channel is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// One source of one channel: failures, cooldown and breaker are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Whose.
    pub channel: ChannelId,
    /// Its place in [`Channel::sources`].
    pub source: u8,
}

/// What a source is paid with, where that allows so many streams at once and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which subscription's.
    pub id: u32,
    /// Streams at once, at least 1.
    pub streams_max: u16,
}

/// One of the test channels that FFmpeg makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DemoIndex(pub u8);

/// Where a channel's pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A test picture with a clock and a tone.
    Demo(DemoIndex),
    /// A stream on the network.
    Url {
        /// Its address.
        url: SourceUrl,
        /// The user agent its provider wants to see, if any.
        user_agent: Option<String>,
        /// What else he wants to see.
        headers: Headers,
        /// What it is paid with, if that has a limit.
        account: Option<Account>,
        /// How far it may lead: no further than whoever named it.
        reach: Reach,
        /// How its subscription has everything fetched; shared by all that it lists.
        provider: Option<Arc<Provider>>,
    },
}

/// What a source is, as far as silence goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceClass {
    /// Never silent for long: broadcasts, streams, test pictures.
    Live,
    /// A file, which may be read in bursts.
    File,
}

/// A TV channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// For life.
    pub id: ChannelId,
    /// What a viewer types; unique in a lineup.
    pub number: GuideNumber,
    /// What a viewer reads.
    pub name: String,
    /// The group its playlist puts it in; empty when none.
    pub group: String,
    /// Address of its logo; empty when none.
    pub logo: String,
    /// Its id in its provider's guide; empty when none.
    pub tvg_id: String,
    /// How many minutes later than there its programmes come, as its playlist says.
    pub tvg_shift_min: i16,
    /// In order of preference; at least one.
    pub sources: Vec<Source>,
}

/// The channel that stands in no lineup and that every box can play: a start proves itself with it.
/// No channel of anybody's ever gets that id: they are counted from 1 on.
pub const TEST_CHANNEL: ChannelId = ChannelId(u32::MAX);

impl Channel {
    /// [`TEST_CHANNEL`].
    ///
    /// # Panics
    /// Never: "0" is a guide number.
    pub fn test() -> Self {
        Self {
            id: TEST_CHANNEL,
            number: "0".parse().expect("a digit is a guide number"),
            name: String::from("Test picture"),
            group: String::new(),
            logo: String::new(),
            tvg_id: String::new(),
            tvg_shift_min: 0,
            sources: Vec::from([Source::Demo(DemoIndex(0))]),
        }
    }

    /// The test picture that it shows, if it does.
    pub fn demo(&self) -> Option<DemoIndex> {
        match self.sources.first() {
            Some(Source::Demo(index)) => Some(*index),
            Some(Source::Url { .. }) | None => None,
        }
    }
}

/// Where we have a channel's logo, if clients get it from us: unless its own server can be asked over TLS, which pages
/// that came over TLS insist on. Another logo has another path, so that clients fetch it anew.
pub fn logo_path(channel: ChannelId, logo: &str) -> Option<String> {
    let is_ours = !logo.is_empty() && !logo.starts_with("https://");
    is_ours.then(|| format!("/logos/{}/{:016x}", channel.0, Fingerprint::EMPTY.with(logo).number()))
}

/// What the owner thinks of a channel. A client shows one star or one cross, so there is one thought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// A channel like any other.
    #[default]
    Plain,
    /// One of the favourites.
    Favorite,
    /// Not to be listed. Who knows its number can watch it.
    Hidden,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Plain, Self::Favorite, Self::Hidden];

    /// In the database and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Favorite => "favorite",
            Self::Hidden => "hidden",
        }
    }

    /// The mark of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.name() == name)
    }
}

/// The channels we offer, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineup {
    channels: Vec<Channel>,
    /// Where the channels stand, in the order of their numbers and of their ids: a tenth of what a map would take.
    by_number: Box<[u32]>,
    by_id: Box<[u32]>,
}

/// Two channels of a lineup share what must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineupError {
    /// The same guide number twice.
    DuplicateNumber(GuideNumber),
    /// The same id twice.
    DuplicateId(ChannelId),
    /// A channel that could never play.
    NoSource(ChannelId),
}

impl Lineup {
    /// Makes a lineup of channels in their order.
    ///
    /// # Errors
    /// [`LineupError`]: nothing is dropped silently; the caller keeps its old lineup.
    pub fn new(channels: Vec<Channel>) -> Result<Self, LineupError> {
        if let Some(silent) = channels.iter().find(|channel| channel.sources.is_empty()) {
            return Err(LineupError::NoSource(silent.id));
        }
        let by_number = index(&channels, |channel| channel.number).map_err(LineupError::DuplicateNumber)?;
        let by_id = index(&channels, |channel| channel.id).map_err(LineupError::DuplicateId)?;
        Ok(Self { channels, by_number, by_id })
    }

    /// All channels in order.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The channel that a viewer means by `number`.
    pub fn by_number(&self, number: &GuideNumber) -> Option<&Channel> {
        self.channels.get(self.find(&self.by_number, |channel| channel.number.cmp(number))?)
    }

    /// The channel with this id.
    pub fn by_id(&self, id: ChannelId) -> Option<&Channel> {
        self.position(id).and_then(|position| self.channels.get(position))
    }

    /// Where in the order the channel with this id stands.
    pub fn position(&self, id: ChannelId) -> Option<usize> {
        self.find(&self.by_id, |channel| channel.id.cmp(&id))
    }

    fn find(&self, index: &[u32], compare: impl Fn(&Channel) -> Ordering) -> Option<usize> {
        let at = |place: &u32| usize::try_from(*place).ok();
        let channel = |place| at(place).and_then(|at| self.channels.get(at));
        let found = index.binary_search_by(|place| channel(place).map_or(Ordering::Greater, &compare)).ok()?;
        index.get(found).and_then(at)
    }
}

/// Where the channels stand, in the order of what each has for itself; an error is what two of them share.
fn index<T: Ord + Copy>(channels: &[Channel], key: impl Fn(&Channel) -> T) -> Result<Box<[u32]>, T> {
    let mut keys: Vec<(T, u32)> = channels.iter().map(key).zip(0..).collect();
    keys.sort_unstable();
    match keys.iter().zip(keys.iter().skip(1)).find(|(one, next)| one.0 == next.0) {
        Some((shared, _)) => Err(shared.0),
        None => Ok(keys.into_iter().map(|(_, place)| place).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn channel(id: u32, number: &str) -> Channel {
        Channel {
            id: ChannelId(id),
            number: number.parse().unwrap(),
            name: number.to_string(),
            group: String::new(),
            logo: String::new(),
            tvg_id: String::new(),
            tvg_shift_min: 0,
            sources: vec![Source::Demo(DemoIndex(0))],
        }
    }

    #[test]
    fn channels_are_found_by_what_viewers_type() {
        let lineup = Lineup::new(vec![channel(7, "1.1"), channel(3, "1.10")]).unwrap();
        assert_eq!(lineup.by_number(&"1.10".parse().unwrap()).unwrap().id, ChannelId(3));
        assert_eq!(lineup.by_number(&"1.1".parse().unwrap()).unwrap().id, ChannelId(7));
        assert!(lineup.by_number(&"1".parse().unwrap()).is_none());
        assert_eq!(lineup.by_id(ChannelId(3)).unwrap().number.as_str(), "1.10");
        assert_eq!([7, 3, 1].map(|id| lineup.position(ChannelId(id))), [Some(0), Some(1), None]);
    }

    #[test]
    fn what_must_be_unique_is() {
        assert_eq!(
            Lineup::new(vec![channel(1, "5"), channel(3, "6"), channel(2, "5")]),
            Err(LineupError::DuplicateNumber("5".parse().unwrap()))
        );
        assert_eq!(Lineup::new(vec![channel(1, "5"), channel(1, "6")]), Err(LineupError::DuplicateId(ChannelId(1))));
        let silent = Channel { sources: vec![], ..channel(9, "9") };
        assert_eq!(Lineup::new(vec![silent]), Err(LineupError::NoSource(ChannelId(9))));
    }
}
