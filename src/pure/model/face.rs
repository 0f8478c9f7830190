//! Faces: one box that looks like several devices, each with a part of the channels and a share of the tuners.
//!
//! The box itself is the first face: it has everything, and its name stands in the settings. The others are in the
//! owner's layer of the store. Here: what a face is, and which channels it shows. Not here: where faces are kept (the
//! store), who may sit where (`rules::pool`), and which port each has (the doors).

use super::device_id::DeviceId;
use super::lineup::{ChannelId, Lineup, Mark};
use super::subscription::FieldError;
use crate::limits::{CHANNELS_MAX, FACE_GROUPS_MAX, FACE_NAME_CHARS_MAX, NAME_BYTES_MAX, SLOTS_MAX};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Names a face for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaceId(pub u32);

impl FaceId {
    /// The box itself.
    pub const BOX: Self = Self(0);
}

/// How many tuners the viewers of a face may occupy together. Whoever joins what one of them watches costs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub face: FaceId,
    /// So many.
    pub slots_max: u8,
}

impl Share {
    /// The box itself has all of them.
    pub const BOX: Self = Self { face: FaceId::BOX, slots_max: u8::MAX };
}

/// Which channels a face shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All that the box has.
    #[default]
    All,
    /// What the owner likes.
    Favorites,
    /// Those of these groups.
    Groups(Vec<String>),
}

/// A part of the lineup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// These channels.
    pub which: Which,
    /// Only the first ones of them; `None`: all.
    pub first: Option<u32>,
}

/// What the owner says of a face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What clients call it.
    pub name: String,
    /// Its share of the tuners.
    pub tuners: u8,
    /// Its channels.
    pub slice: Slice,
}

/// A device that the box looks like besides itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// For life.
    pub id: FaceId,
    /// Counts from 0; its port is so many above that of the first one. For life, because clients know it.
    pub place: u8,
    /// For life, and nobody else's.
    pub device_id: DeviceId,
    /// The rest.
    pub terms: Terms,
}

impl Face {
    /// What its viewers may occupy.
    pub const fn share(&self) -> Share {
        Share { face: self.id, slots_max: self.terms.tuners }
    }
}

impl Terms {
    /// Whether a face can be like that.
    ///
    /// # Errors
    /// Which field is wrong, and what would be right.
    pub fn check(&self) -> Result<(), FieldError> {
        let Self { name, tuners, slice: Slice { which, first } } = self;
        if name.trim().is_empty() || name.chars().count() > FACE_NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(FieldError::new("name", format!("1 to {FACE_NAME_CHARS_MAX} characters")));
        }
        if *tuners == 0 || usize::from(*tuners) > SLOTS_MAX {
            return Err(FieldError::new("tuners", format!("1 to {SLOTS_MAX}")));
        }
        if first.is_some_and(|first| first == 0 || usize::try_from(first).map_or(true, |first| first > CHANNELS_MAX)) {
            return Err(FieldError::new("first", format!("1 to {CHANNELS_MAX}, or null for all of them")));
        }
        match which {
            Which::Groups(groups) if groups.is_empty() || groups.len() > FACE_GROUPS_MAX => {
                Err(FieldError::new("groups", format!("1 to {FACE_GROUPS_MAX} groups of channels")))
            }
            Which::Groups(groups) if groups.iter().any(|group| group.len() > NAME_BYTES_MAX) => {
                Err(FieldError::new("groups", format!("names of at most {NAME_BYTES_MAX} bytes")))
            }
            Which::All | Which::Favorites | Which::Groups(_) => Ok(()),
        }
    }
}

impl Slice {
    /// The part of a lineup that this is, in the lineup's order.
    ///
    /// Hidden channels are not counted among the first ones; those before the last one that counts can be watched by
    /// who knows their number, as on the box itself.
    pub fn cut(&self, lineup: &Lineup, mark_of: impl Fn(ChannelId) -> Mark) -> Cut {
        let first = self.first.map_or(usize::MAX, |first| usize::try_from(first).unwrap_or(usize::MAX));
        let mut cut = Cut::default();
        for (position, channel) in (0..).zip(lineup.channels()) {
            if cut.listed_len >= first {
                break;
            }
            let mark = mark_of(channel.id);
            let is_in = match &self.which {
                Which::All => true,
                Which::Favorites => mark == Mark::Favorite,
                Which::Groups(groups) => groups.contains(&channel.group),
            };
            if is_in {
                cut.positions.push(position);
                cut.listed_len += usize::from(mark != Mark::Hidden);
            }
        }
        cut.positions.shrink_to_fit();
        cut
    }
}

/// Where the channels of a slice stand in the lineup that it was cut from: the channels themselves are there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    positions: Vec<u32>,
    listed_len: usize,
}

impl Cut {
    /// Positions in the lineup, in order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions.iter().filter_map(|position| usize::try_from(*position).ok())
    }

    /// Whether the channel at this position is in it.
    pub fn has(&self, position: usize) -> bool {
        u32::try_from(position).is_ok_and(|position| self.positions.binary_search(&position).is_ok())
    }

    /// How many of its channels are listed.
    pub const fn listed_len(&self) -> usize {
        self.listed_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lineup::{Channel, DemoIndex, Source};
    use alloc::string::ToString;
    use alloc::vec;

    /// Channels 0 to 9 in the groups "even" and "odd"; 2 and 7 are favourites, 4 is hidden.
    fn lineup() -> Lineup {
        let channel = |id: u32| Channel {
            id: ChannelId(id),
            number: (id + 1).to_string().parse().unwrap(),
            name: id.to_string(),
            group: if id % 2 == 0 { "even" } else { "odd" }.to_string(),
            logo: String::new(),
            tvg_id: String::new(),
            tvg_shift_min: 0,
            sources: vec![Source::Demo(DemoIndex(0))],
        };
        Lineup::new((0..10).map(channel).collect()).unwrap()
    }

    fn mark(id: ChannelId) -> Mark {
        match id.0 {
            2 | 7 => Mark::Favorite,
            4 => Mark::Hidden,
            _ => Mark::Plain,
        }
    }

    #[test]
    fn a_slice_keeps_the_order_and_counts_what_is_listed() {
        let groups = |names: &[&str]| Which::Groups(names.iter().map(ToString::to_string).collect());
        for (which, first, positions, listed_len) in [
            (Which::All, None, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], 9),
            (Which::All, Some(4), &[0, 1, 2, 3], 4),
            (Which::All, Some(5), &[0, 1, 2, 3, 4, 5], 5),
            (Which::All, Some(100), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 9),
            (Which::Favorites, None, &[2, 7], 2),
            (Which::Favorites, Some(1), &[2], 1),
            (groups(&["even"]), None, &[0, 2, 4, 6, 8], 4),
            (groups(&["even"]), Some(3), &[0, 2, 4, 6], 3),
            (groups(&["odd", "even"]), Some(2), &[0, 1], 2),
            (groups(&["none"]), None, &[], 0),
        ] {
            let cut = Slice { which: which.clone(), first }.cut(&lineup(), mark);
            assert_eq!(cut.positions().collect::<Vec<_>>(), positions, "{which:?} {first:?}");
            assert_eq!(cut.listed_len(), listed_len, "{which:?} {first:?}");
            for position in 0..11 {
                assert_eq!(cut.has(position), positions.contains(&position), "{which:?} {first:?} {position}");
            }
        }
    }

    #[test]
    fn what_no_face_can_be_is_said_with_its_field() {
        let good = Terms { name: "Plex".to_string(), tuners: 2, slice: Slice::default() };
        assert_eq!(good.check(), Ok(()));
        let slice = |which, first| Slice { which, first };
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (terms, field) in [
            (Terms { name: " ".to_string(), ..good.clone() }, "name"),
            (Terms { name: "x".repeat(FACE_NAME_CHARS_MAX + 1), ..good.clone() }, "name"),
            (Terms { name: "a\nb".to_string(), ..good.clone() }, "name"),
            (Terms { tuners: 0, ..good.clone() }, "tuners"),
            (Terms { tuners: 65, ..good.clone() }, "tuners"),
            (Terms { slice: slice(Which::All, Some(0)), ..good.clone() }, "first"),
            (Terms { slice: slice(Which::All, Some(65_537)), ..good.clone() }, "first"),
            (Terms { slice: slice(Which::Groups(vec![]), None), ..good.clone() }, "groups"),
            (Terms { slice: slice(Which::Groups(vec![long]), None), ..good.clone() }, "groups"),
            (Terms { slice: slice(Which::Groups(vec![String::new(); 257]), None), ..good.clone() }, "groups"),
        ] {
            assert_eq!(terms.check().map_err(|error| error.field), Err(field), "{terms:?}");
        }
        let all = Terms { slice: slice(Which::Groups(vec![String::new()]), Some(65_536)), tuners: 64, ..good };
        assert_eq!(all.check(), Ok(()), "channels without a group are a group");
    }
}
