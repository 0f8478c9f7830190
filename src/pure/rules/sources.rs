//! A channel's sources, in the owner's order, as the pool is told of them.
//!
//! Which of them starts is for [`crate::rules::pool`] to choose. Here is what it must know of each: what a child for it
//! has to do, how it may be silent, and whose account it is paid with.

use crate::limits::SOURCES_MAX;
use crate::model::lineup::{Account, ChannelId, SourceClass};
use crate::model::profile::Profile;
use crate::rules::admission::Work;
use crate::rules::gate::Wish;

/// One source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// What it is, as far as silence goes.
    pub class: SourceClass,
    /// What a child for it has to do.
    pub work: Work,
    /// What it is paid with, if that has a limit.
    pub account: Option<Account>,
}

/// All sources of a channel; at least one, at most [`SOURCES_MAX`]. All make the same picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    channel: ChannelId,
    first: Supply,
    others: [Option<Supply>; SOURCES_MAX - 1],
}

impl Sources {
    /// The sources of a channel in their order; `None` when there are none. Those beyond [`SOURCES_MAX`] are left out.
    pub fn new(channel: ChannelId, supplies: impl IntoIterator<Item = Supply>) -> Option<Self> {
        let mut supplies = supplies.into_iter();
        let first = supplies.next()?;
        let mut others = [None; SOURCES_MAX - 1];
        for (place, supply) in others.iter_mut().zip(supplies) {
            *place = Some(supply);
        }
        Some(Self { channel, first, others })
    }

    /// A channel with one source, without a limit.
    pub const fn one(channel: ChannelId, work: Work, class: SourceClass) -> Self {
        let first = Supply { class, work, account: None };
        Self { channel, first, others: [None; SOURCES_MAX - 1] }
    }

    /// Whose they are.
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Which picture they make.
    pub const fn profile(&self) -> Profile {
        self.first.work.profile()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.others.iter().flatten().count()
    }

    /// To start the preferred one.
    pub const fn first(&self) -> Wish {
        self.wish(0, self.first)
    }

    /// To start each of them, in order.
    pub fn wishes(&self) -> impl Iterator<Item = Wish> + '_ {
        let supplies = core::iter::once(&self.first).chain(self.others.iter().flatten());
        (0..).zip(supplies).map(|(source, supply)| self.wish(source, *supply))
    }

    const fn wish(&self, source: u8, supply: Supply) -> Wish {
        let Supply { class, work, account } = supply;
        Wish { channel: self.channel, source, account, class, work }
    }

    /// This one is another than was thought.
    pub fn set(&mut self, source: u8, class: SourceClass, work: Work) {
        let supply = match usize::from(source).checked_sub(1) {
            None => Some(&mut self.first),
            Some(place) => self.others.get_mut(place).and_then(Option::as_mut),
        };
        if let Some(supply) = supply {
            (supply.class, supply.work) = (class, work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_keep_their_order_and_there_is_a_first_one() {
        let supply = |streams_max| Supply {
            class: SourceClass::Live,
            work: Work::Copy,
            account: Some(Account { id: 3, streams_max }),
        };
        assert!(Sources::new(ChannelId(7), []).is_none());
        let mut sources = Sources::new(ChannelId(7), (1..=20).map(supply)).unwrap();
        assert_eq!((sources.count(), sources.wishes().count()), (SOURCES_MAX, SOURCES_MAX));
        for (place, wish) in (0_u8..).zip(sources.wishes()) {
            assert_eq!((wish.channel, wish.source), (ChannelId(7), place));
            assert_eq!(wish.account.unwrap().streams_max, u16::from(place) + 1);
        }
        sources.set(2, SourceClass::File, Work::Encode);
        let encoded = sources.wishes().filter(|wish| wish.work == Work::Encode).map(|wish| wish.source);
        assert!(encoded.eq([2]));
    }
}
