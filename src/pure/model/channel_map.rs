//! Channel maps, and where our channels stand in them as if they were broadcast.
//!
//! Clients that tune by frequency walk a channel map from end to end and ask at every step what is there. So the
//! lineup is laid onto the map: one channel for each frequency while there is room, several for each when there are
//! more channels than frequencies. Nothing is stored: the place of a channel follows from its position in the lineup,
//! so an unchanged lineup keeps every place, and both directions are a few divisions.
//!
//! Here: the maps, [`MuxPlan`], and the texts that name a frequency. Not here: the lineup, and who tunes
//! ([`crate::rules::control`], and the door for `/auto/ch…`).
//!
//! Source: `libhdhomerun`, `hdhomerun_channels.c` and `hdhomerun_channelscan.c`, release 20250506.

use core::fmt;

/// Clients list frequencies in steps of this.
const LIST_STEP_HZ: u32 = 125_000;
/// After a scan has found something, it goes on at least this much lower, so nothing may stand closer.
const MUX_DISTANCE_HZ: u32 = 5_500_000;
/// How far from a centre a request may be and still mean it: broadcasters shift theirs by a sixth of a megahertz, and
/// old scan tables are off by 28,615 Hz. The next map's centre is more than a megahertz away.
const TOLERANCE_HZ: u32 = 250_000;
/// Numbers below this are channel numbers, others are frequencies.
const FREQUENCY_HZ_MIN: u32 = 1_000_000;
/// Most programmes on one frequency: clients have room for as many.
pub const PROGRAMMES_MAX: usize = 64;

/// A table of channel numbers and frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelMap {
    /// Australia, antenna.
    AuBcast,
    /// Australia, cable.
    AuCable,
    /// Europe, antenna.
    EuBcast,
    /// Europe, cable.
    EuCable,
    /// Taiwan, antenna.
    TwBcast,
    /// Taiwan, cable.
    TwCable,
    /// Korea, antenna.
    KrBcast,
    /// Korea, cable.
    KrCable,
    /// United States, antenna.
    UsBcast,
    /// United States, cable.
    UsCable,
    /// United States, cable with harmonically related carriers.
    UsHrc,
    /// United States, cable with incrementally related carriers.
    UsIrc,
    /// Japan, antenna.
    JpBcast,
}

/// Channels first to last at a frequency, and every further one this much higher.
struct Range {
    first: u16,
    last: u16,
    hz: u32,
    spacing_hz: u32,
}

const fn range(first: u16, last: u16, hz: u32, spacing_hz: u32) -> Range {
    Range { first, last, hz, spacing_hz }
}

// Ranges rise in frequency, not in number.
const AU_BCAST: &[Range] = &[range(5, 12, 177_500_000, 7_000_000), range(21, 69, 480_500_000, 7_000_000)];
const EU_BCAST: &[Range] = &[range(5, 12, 177_500_000, 7_000_000), range(21, 69, 474_000_000, 8_000_000)];
const EU_CABLE: &[Range] = &[range(108, 862, 108_000_000, 1_000_000)];
const TW_BCAST: &[Range] = &[range(7, 13, 177_000_000, 6_000_000), range(14, 69, 473_000_000, 6_000_000)];
const JP_BCAST: &[Range] = &[range(13, 62, 473_000_000, 6_000_000)];
const US_BCAST: &[Range] = &[
    range(2, 4, 57_000_000, 6_000_000),
    range(5, 6, 79_000_000, 6_000_000),
    range(7, 13, 177_000_000, 6_000_000),
    range(14, 36, 473_000_000, 6_000_000),
    range(38, 51, 617_000_000, 6_000_000),
];
const KR_CABLE: &[Range] = &[
    range(2, 4, 57_000_000, 6_000_000),
    range(5, 6, 79_000_000, 6_000_000),
    range(14, 22, 123_000_000, 6_000_000),
    range(7, 13, 177_000_000, 6_000_000),
    range(23, 153, 219_000_000, 6_000_000),
];
const US_CABLE: &[Range] = &[
    range(2, 4, 57_000_000, 6_000_000),
    range(5, 6, 79_000_000, 6_000_000),
    range(95, 99, 93_000_000, 6_000_000),
    range(14, 22, 123_000_000, 6_000_000),
    range(7, 13, 177_000_000, 6_000_000),
    range(23, 94, 219_000_000, 6_000_000),
    range(100, 158, 651_000_000, 6_000_000),
];
const US_HRC: &[Range] = &[
    range(2, 4, 55_752_700, 6_000_300),
    range(5, 6, 79_753_900, 6_000_300),
    range(95, 99, 91_754_500, 6_000_300),
    range(14, 22, 121_756_000, 6_000_300),
    range(7, 13, 175_758_700, 6_000_300),
    range(23, 94, 217_760_800, 6_000_300),
    range(100, 158, 649_782_400, 6_000_300),
];
const US_IRC: &[Range] = &[
    range(2, 4, 57_012_500, 6_000_000),
    range(5, 6, 81_012_500, 6_000_000),
    range(95, 97, 93_012_500, 6_000_000),
    range(98, 99, 111_025_000, 6_000_000),
    range(14, 22, 123_012_500, 6_000_000),
    range(7, 13, 177_012_500, 6_000_000),
    range(23, 41, 219_012_500, 6_000_000),
    range(42, 42, 333_025_000, 6_000_000),
    range(43, 94, 339_012_500, 6_000_000),
    range(100, 158, 651_012_500, 6_000_000),
];

impl Range {
    /// The frequency of a channel of this range.
    const fn frequency(&self, number: u16) -> u32 {
        self.hz + (number - self.first) as u32 * self.spacing_hz
    }

    /// Every how many channels a mux may stand.
    const fn mux_step(&self) -> u16 {
        // One but where channels are a megahertz apart.
        let step = MUX_DISTANCE_HZ.div_ceil(self.spacing_hz).to_le_bytes();
        u16::from_le_bytes([step[0], step[1]])
    }

    /// How many muxes there is room for.
    const fn muxes_len(&self) -> usize {
        ((self.last - self.first) / self.mux_step()) as usize + 1
    }
}

/// A frequency as clients list it.
pub const fn listed(frequency_hz: u32) -> u32 {
    frequency_hz.saturating_add(LIST_STEP_HZ / 2) / LIST_STEP_HZ * LIST_STEP_HZ
}

impl ChannelMap {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AuBcast,
        Self::AuCable,
        Self::EuBcast,
        Self::EuCable,
        Self::TwBcast,
        Self::TwCable,
        Self::KrBcast,
        Self::KrCable,
        Self::UsBcast,
        Self::UsCable,
        Self::UsHrc,
        Self::UsIrc,
        Self::JpBcast,
    ];

    /// As clients know it; `hdhomerun_config scan` gives up on any other name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuBcast => "au-bcast",
            Self::AuCable => "au-cable",
            Self::EuBcast => "eu-bcast",
            Self::EuCable => "eu-cable",
            Self::TwBcast => "tw-bcast",
            Self::TwCable => "tw-cable",
            Self::KrBcast => "kr-bcast",
            Self::KrCable => "kr-cable",
            Self::UsBcast => "us-bcast",
            Self::UsCable => "us-cable",
            Self::UsHrc => "us-hrc",
            Self::UsIrc => "us-irc",
            Self::JpBcast => "jp-bcast",
        }
    }

    /// The map with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|map| map.name() == name)
    }

    const fn ranges(self) -> &'static [Range] {
        match self {
            Self::AuBcast => AU_BCAST,
            Self::EuBcast => EU_BCAST,
            Self::AuCable | Self::EuCable => EU_CABLE,
            Self::TwBcast => TW_BCAST,
            Self::JpBcast => JP_BCAST,
            Self::UsBcast | Self::KrBcast => US_BCAST,
            Self::KrCable => KR_CABLE,
            Self::UsCable | Self::TwCable => US_CABLE,
            Self::UsHrc => US_HRC,
            Self::UsIrc => US_IRC,
        }
    }

    /// The frequency of a channel number, as clients list it.
    pub fn frequency(self, number: u16) -> Option<u32> {
        let range = self.ranges().iter().find(|range| (range.first..=range.last).contains(&number))?;
        Some(listed(range.frequency(number)))
    }

    /// The channel number at a frequency, give or take a little.
    pub fn number(self, frequency_hz: u32) -> Option<u16> {
        self.ranges().iter().find_map(|range| {
            (range.first..=range.last)
                .find(|number| is_near(listed(range.frequency(*number)), frequency_hz, range.spacing_hz))
        })
    }

    /// How a receiver that found everything by itself would call what it locked on.
    pub const fn auto_lock(self) -> &'static str {
        match self {
            Self::UsBcast | Self::KrBcast => "8vsb",
            Self::UsCable | Self::UsHrc | Self::UsIrc | Self::KrCable | Self::TwCable => "qam256",
            Self::EuBcast => "t8qam64",
            Self::AuBcast => "t7qam64",
            Self::TwBcast | Self::JpBcast => "t6qam64",
            Self::EuCable | Self::AuCable => "a8qam256-6900",
        }
    }

    /// Whether its broadcasts name their network, too.
    pub const fn is_dvb(self) -> bool {
        matches!(self, Self::EuBcast | Self::EuCable | Self::AuBcast | Self::AuCable | Self::TwBcast)
    }

    /// Frequencies that a mux may stand at.
    pub fn muxes_len(self) -> usize {
        self.ranges().iter().map(Range::muxes_len).sum()
    }

    /// The frequency of a mux, lowest first, as clients list it.
    fn mux_frequency(self, mut index: usize) -> Option<u32> {
        for range in self.ranges() {
            if index < range.muxes_len() {
                let number = range.first + u16::try_from(index).ok()? * range.mux_step();
                return Some(listed(range.frequency(number)));
            }
            index -= range.muxes_len();
        }
        None
    }

    /// Which mux stands at a frequency, give or take a little.
    fn mux_index(self, frequency_hz: u32) -> Option<usize> {
        let mut before = 0;
        for range in self.ranges() {
            let step = usize::from(range.mux_step());
            let found = (range.first..=range.last)
                .step_by(step)
                .position(|number| is_near(listed(range.frequency(number)), frequency_hz, range.spacing_hz));
            if let Some(found) = found {
                return Some(before + found);
            }
            before += range.muxes_len();
        }
        None
    }
}

fn is_near(centre_hz: u32, frequency_hz: u32, spacing_hz: u32) -> bool {
    centre_hz.abs_diff(frequency_hz) <= TOLERANCE_HZ.min(spacing_hz / 2)
}

impl fmt::Display for ChannelMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// ---- Where our channels are -----------------------------------------------------------------------------------------

/// How a lineup of so many channels lies on a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxPlan {
    map: ChannelMap,
    channels_len: usize,
}

/// Where a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The frequency of its mux, as clients list it.
    pub frequency_hz: u32,
    /// Its number within the mux; the first is 1.
    pub programme: u16,
    /// The mux's own number, different for each.
    pub tsid: u16,
}

/// What is at a frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mux {
    /// Its frequency, as clients list it.
    pub frequency_hz: u32,
    /// Its own number, different for each.
    pub tsid: u16,
    /// Position in the lineup of its first channel.
    pub first: usize,
    /// How many channels it has: at least one, at most [`PROGRAMMES_MAX`].
    pub len: usize,
}

impl Mux {
    /// Position in the lineup of a programme; of the first one where none is named.
    pub fn channel(&self, programme: Option<u16>) -> Option<usize> {
        let index = match programme {
            None => 0,
            Some(programme) => usize::from(programme.checked_sub(1)?),
        };
        (index < self.len).then_some(self.first + index)
    }
}

impl MuxPlan {
    /// The plan for this many channels on this map.
    pub const fn new(map: ChannelMap, channels_len: usize) -> Self {
        Self { map, channels_len }
    }

    /// Channels on one frequency: one while there is room.
    fn programmes(&self) -> usize {
        self.channels_len.div_ceil(self.map.muxes_len()).clamp(1, PROGRAMMES_MAX)
    }

    /// How many channels have no place: those at the end of a lineup that is larger than the map can carry. They can
    /// be tuned by number only.
    pub fn left_out(&self) -> usize {
        self.channels_len.saturating_sub(self.map.muxes_len() * PROGRAMMES_MAX)
    }

    /// Where the channel at this position of the lineup is.
    pub fn place(&self, channel: usize) -> Option<Place> {
        if channel >= self.channels_len {
            return None;
        }
        let mux = channel / self.programmes();
        let programme = u16::try_from(channel % self.programmes() + 1).ok()?;
        Some(Place { frequency_hz: self.map.mux_frequency(mux)?, programme, tsid: tsid(mux)? })
    }

    /// What is at a frequency, give or take a little.
    pub fn mux(&self, frequency_hz: u32) -> Option<Mux> {
        let index = self.map.mux_index(frequency_hz)?;
        let first = index * self.programmes();
        let len = self.channels_len.checked_sub(first)?.min(self.programmes());
        let frequency_hz = self.map.mux_frequency(index)?;
        (len > 0).then_some(Mux { frequency_hz, tsid: tsid(index)?, first, len })
    }
}

fn tsid(mux: usize) -> Option<u16> {
    u16::try_from(mux + 1).ok()
}

// ---- Texts ----------------------------------------------------------------------------------------------------------

/// A frequency or a channel number, as people and clients write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rf {
    /// In Hz.
    Frequency(u32),
    /// A number of the channel map.
    Number(u16),
}

impl Rf {
    /// Reads digits: small numbers are channels, large ones are in Hz.
    pub fn parse(text: &str) -> Option<Self> {
        let number = decimal(text)?;
        if number >= FREQUENCY_HZ_MIN {
            return Some(Self::Frequency(number));
        }
        u16::try_from(number).ok().filter(|number| *number < 1_000).map(Self::Number)
    }

    /// The frequency. None for a number that the map has not.
    pub fn frequency(self, map: ChannelMap) -> Option<u32> {
        match self {
            Self::Frequency(hz) => Some(hz),
            Self::Number(number) => map.frequency(number),
        }
    }
}

/// What stands behind `/auto/ch`: a frequency or channel number, and maybe a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RfProgramme {
    /// Where.
    pub rf: Rf,
    /// Which of those there; the whole mux when none.
    pub programme: Option<u16>,
}

impl RfProgramme {
    /// Reads `578000000`, `578000000-3`, `27` or `27-3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (rf, programme) = match text.split_once('-') {
            Some((rf, programme)) => (rf, Some(u16::try_from(decimal(programme)?).ok()?)),
            None => (text, None),
        };
        Some(Self { rf: Rf::parse(rf)?, programme })
    }

    /// The position in the lineup of the channel that is meant.
    pub fn channel(self, plan: &MuxPlan) -> Option<usize> {
        plan.mux(self.rf.frequency(plan.map)?)?.channel(self.programme)
    }
}

/// Digits only: no sign.
fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::string::ToString;
    use std::vec::Vec;

    /// All channel numbers with their frequencies.
    fn entries(map: ChannelMap) -> Vec<(u16, u32)> {
        (0..1_000).filter_map(|number| Some((number, map.frequency(number)?))).collect()
    }

    #[test]
    fn maps_are_those_of_the_library() {
        for (map, name, len, samples) in [
            (ChannelMap::AuBcast, "au-bcast", 57, [(5, 177_500_000), (12, 226_500_000), (69, 816_500_000)]),
            (ChannelMap::EuBcast, "eu-bcast", 57, [(5, 177_500_000), (21, 474_000_000), (69, 858_000_000)]),
            (ChannelMap::EuCable, "eu-cable", 755, [(108, 108_000_000), (578, 578_000_000), (862, 862_000_000)]),
            (ChannelMap::AuCable, "au-cable", 755, [(108, 108_000_000), (109, 109_000_000), (862, 862_000_000)]),
            (ChannelMap::TwBcast, "tw-bcast", 63, [(7, 177_000_000), (14, 473_000_000), (69, 803_000_000)]),
            (ChannelMap::JpBcast, "jp-bcast", 50, [(13, 473_000_000), (14, 479_000_000), (62, 767_000_000)]),
            (ChannelMap::UsBcast, "us-bcast", 49, [(2, 57_000_000), (36, 605_000_000), (51, 695_000_000)]),
            (ChannelMap::KrBcast, "kr-bcast", 49, [(5, 79_000_000), (38, 617_000_000), (13, 213_000_000)]),
            (ChannelMap::UsCable, "us-cable", 157, [(95, 93_000_000), (94, 645_000_000), (158, 999_000_000)]),
            (ChannelMap::TwCable, "tw-cable", 157, [(14, 123_000_000), (22, 171_000_000), (100, 651_000_000)]),
            (ChannelMap::KrCable, "kr-cable", 152, [(23, 219_000_000), (153, 999_000_000), (4, 69_000_000)]),
            // As listed: rounded to an eighth of a megahertz.
            (ChannelMap::UsHrc, "us-hrc", 157, [(2, 55_750_000), (100, 649_750_000), (158, 997_750_000)]),
            (ChannelMap::UsIrc, "us-irc", 157, [(5, 81_000_000), (42, 333_000_000), (99, 117_000_000)]),
        ] {
            assert_eq!((map.name(), map.to_string().as_str()), (name, name));
            assert_eq!(ChannelMap::parse(name), Some(map));
            let entries = entries(map);
            assert_eq!(entries.len(), len, "{map}");
            for sample in samples {
                assert!(entries.contains(&sample), "{map} {sample:?}");
            }
            for (number, frequency) in entries {
                assert_eq!(map.number(frequency), Some(number), "{map}");
            }
        }
        assert_eq!(ChannelMap::parse("us"), None);
        assert_eq!(ChannelMap::UsBcast.frequency(37), None);
    }

    #[test]
    fn no_mux_hides_another_one_from_a_scan() {
        for map in ChannelMap::ALL {
            let muxes: Vec<u32> = (0..map.muxes_len()).map(|index| map.mux_frequency(index).unwrap()).collect();
            assert_eq!(map.mux_frequency(muxes.len()), None);
            assert!(muxes.windows(2).all(|pair| pair[0] + MUX_DISTANCE_HZ <= pair[1]), "{map} {muxes:?}");
            // A scan asks only for what its own map lists.
            let listed: BTreeSet<u32> = entries(map).into_iter().map(|(_, frequency)| frequency).collect();
            for (index, frequency) in muxes.iter().enumerate() {
                assert!(listed.contains(frequency));
                assert_eq!(map.mux_index(*frequency), Some(index));
            }
        }
        assert_eq!(ChannelMap::UsBcast.muxes_len(), 49);
        assert_eq!(ChannelMap::EuCable.muxes_len(), 126);
    }

    /// As `channelscan_advance` and `channelscan_detect` of the library walk: from the highest frequency down, and
    /// after something was found at least 5.5 MHz down.
    /// Maps of one group are walked together.
    fn scan(plan: &MuxPlan) -> Vec<usize> {
        const GROUP: [ChannelMap; 3] = [ChannelMap::UsCable, ChannelMap::UsHrc, ChannelMap::UsIrc];
        let maps: &[ChannelMap] = if GROUP.contains(&plan.map) { &GROUP } else { &[plan.map] };
        let mut frequencies: Vec<u32> =
            maps.iter().flat_map(|map| entries(*map)).map(|(_, frequency)| frequency).collect();
        frequencies.sort_unstable();
        frequencies.dedup();
        let mut found = Vec::new();
        while let Some(frequency) = frequencies.pop() {
            let Some(mux) = plan.mux(frequency) else { continue };
            found.extend((1..=mux.len).map(|programme| mux.channel(u16::try_from(programme).ok()).unwrap()));
            frequencies.retain(|next| *next <= frequency - MUX_DISTANCE_HZ);
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn a_scan_finds_every_channel_once() {
        for map in ChannelMap::ALL {
            for channels_len in [0, 1, 4, 48, 49, 50, 57, 58, 100, 157, 158, 500, 3_000] {
                let plan = MuxPlan::new(map, channels_len);
                assert_eq!(plan.left_out(), 0);
                assert!(scan(&plan).into_iter().eq(0..channels_len), "{map} {channels_len}");
            }
        }
    }

    #[test]
    fn places_lead_both_ways() {
        for map in ChannelMap::ALL {
            for channels_len in [1, 49, 50, 158, 2_000, 9_000] {
                let plan = MuxPlan::new(map, channels_len);
                let mut tsids = BTreeSet::new();
                for channel in 0..channels_len {
                    let Some(place) = plan.place(channel) else {
                        assert!(channel >= channels_len - plan.left_out());
                        continue;
                    };
                    assert!(channel < channels_len - plan.left_out());
                    let mux = plan.mux(place.frequency_hz).unwrap();
                    assert_eq!(mux.channel(Some(place.programme)), Some(channel));
                    assert_eq!((mux.tsid, mux.frequency_hz), (place.tsid, place.frequency_hz));
                    assert!(mux.len <= PROGRAMMES_MAX);
                    tsids.insert((place.tsid, place.frequency_hz));
                }
                assert!(tsids.len() <= map.muxes_len());
                assert_eq!(plan.place(channels_len), None);
            }
        }
        assert_eq!(MuxPlan::new(ChannelMap::UsBcast, 65_536).left_out(), 65_536 - 49 * 64);
    }

    #[test]
    fn one_channel_for_each_frequency_while_there_is_room() {
        let plan = MuxPlan::new(ChannelMap::UsBcast, 49);
        for channel in 0..49 {
            assert_eq!(plan.place(channel).unwrap().programme, 1);
        }
        let plan = MuxPlan::new(ChannelMap::UsBcast, 50);
        assert_eq!(plan.place(1), Some(Place { frequency_hz: 57_000_000, programme: 2, tsid: 1 }));
        assert_eq!(plan.place(2), Some(Place { frequency_hz: 63_000_000, programme: 1, tsid: 2 }));
        assert_eq!(plan.mux(213_000_000).unwrap(), Mux { frequency_hz: 213_000_000, tsid: 12, first: 22, len: 2 });
        let last = plan.mux(473_000_000 + 12 * 6_000_000).unwrap();
        assert_eq!((last.first, last.len), (48, 2));
        assert_eq!(plan.mux(473_000_000 + 13 * 6_000_000), None, "nothing is left for it");
    }

    #[test]
    fn a_little_off_is_still_there() {
        let plan = MuxPlan::new(ChannelMap::EuBcast, 20);
        let centre = plan.place(8).unwrap().frequency_hz;
        assert_eq!(centre, 474_000_000);
        for off in [centre - 250_000, centre - 166_670, centre, centre + 28_615, centre + 250_000] {
            assert_eq!(plan.mux(off).unwrap().first, 8);
        }
        for elsewhere in [0, centre - 250_001, centre + 250_001, centre + 4_000_000, u32::MAX] {
            assert_eq!(plan.mux(elsewhere), None);
        }
    }

    #[test]
    fn frequencies_are_read_as_clients_write_them() {
        let plan = MuxPlan::new(ChannelMap::UsBcast, 60);
        for (text, channel) in [
            ("57000000", Some(0)),
            ("57000000-2", Some(1)),
            ("3", Some(2)),
            ("3-2", Some(3)),
            ("3-3", None),
            ("3-0", None),
            ("37", None),
            ("58000000", None),
        ] {
            assert_eq!(RfProgramme::parse(text).unwrap().channel(&plan), channel, "{text}");
        }
        for nothing in ["", "-", "3-", "-3", "+3", "3-+1", "3-1-1", "1000", "999999", "4294967296", "3-65536", "x"] {
            assert_eq!(RfProgramme::parse(nothing), None, "{nothing:?}");
        }
    }
}
