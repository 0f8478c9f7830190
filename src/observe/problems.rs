//! What is wrong and stays wrong until somebody does something: one line each, for the page and the log.

use crate::clock;
use pure::time::Wall;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a problem is about; each topic has at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// FFmpeg is missing.
    Ffmpeg,
    /// State cannot be kept, or was lost, since the start.
    Store,
    /// A port is taken.
    PagePort,
    /// A port is taken.
    StreamPort,
    /// A port is taken.
    DiscoveryPort,
    /// The playlist cannot be had.
    Playlist,
    /// The channels cannot be stored or read.
    Lineup,
}

impl Topic {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Store => "store",
            Self::PagePort => "page-port",
            Self::StreamPort => "stream-port",
            Self::DiscoveryPort => "discovery-port",
            Self::Playlist => "playlist",
            Self::Lineup => "lineup",
        }
    }
}

/// A problem.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What happened, to which thing, and what to do.
    pub text: String,
    /// Since when.
    pub since: Wall,
}

/// All present problems.
#[derive(Clone, Default)]
pub struct Problems(Rc<RefCell<BTreeMap<Topic, Problem>>>);

impl Problems {
    /// Notes a problem, and logs it unless it is already known with these words.
    pub fn set(&self, topic: Topic, text: String) {
        let mut problems = self.0.borrow_mut();
        let since = match problems.get(&topic) {
            Some(known) if known.text == text => return,
            Some(known) => known.since,
            None => clock::wall(),
        };
        tracing::warn!(topic = topic.name(), "{text}");
        problems.insert(topic, Problem { text, since });
    }

    /// Notes that a problem is over.
    pub fn clear(&self, topic: Topic) {
        if self.0.borrow_mut().remove(&topic).is_some() {
            tracing::info!(topic = topic.name(), "problem solved");
        }
    }

    /// Whether there is one on this topic.
    pub fn has(&self, topic: Topic) -> bool {
        self.0.borrow().contains_key(&topic)
    }

    /// All present problems, by topic.
    pub fn list(&self) -> Vec<(Topic, Problem)> {
        self.0.borrow().iter().map(|(topic, problem)| (*topic, problem.clone())).collect()
    }
}
