//! What people read. One table has all the words; another language is another table.

use super::Identity;
use crate::clock;
use crate::engine;
use crate::subscriptions::View as SourceView;
use pure::limits::NOTICE_NAMES_MAX;
use pure::model::lineup::ChannelId;
use pure::model::notification::Event;
use pure::model::subscription::SubscriptionId;
use pure::rules::notices::{Notice, Subject};
use pure::time::Wall;

/// The words for an event. `{thing}` is its name, `{count}` how many, `{of}` whose channels, as ` of X` or nothing.
struct Words {
    event: Event,
    one: &'static str,
    many: &'static str,
    /// What the box does now, and what a person can do.
    next: &'static str,
}

/// All words of a language.
struct Language {
    events: [Words; Event::ALL.len()],
    of: &'static str,
    /// Behind the names that are listed.
    more: &'static str,
    because: &'static str,
    ends_on: &'static str,
    ended_on: &'static str,
    nobody_reached: &'static str,
    test_title: &'static str,
    test_text: &'static str,
    left_out: &'static str,
}

const ENGLISH: Language = Language {
    events: [
        Words {
            event: Event::ChannelIll,
            one: "{thing}{of} cannot be played",
            many: "{count} channels{of} cannot be played",
            next: "The box tries again by itself as soon as somebody wants to watch. Try now on its page tries at once.",
        },
        Words {
            event: Event::ChannelRecovered,
            one: "{thing}{of} plays again",
            many: "{count} channels{of} play again",
            next: "Nothing has to be done.",
        },
        Words {
            event: Event::SourceExpires,
            one: "The account of {thing} ends soon",
            many: "{count} accounts end soon",
            next: "Until then everything goes on. Renew it with the provider.",
        },
        Words {
            event: Event::SourceExpired,
            one: "The account of {thing} has ended",
            many: "{count} accounts have ended",
            next: "The channels stay in the list, and the box keeps trying. Renew it with the provider.",
        },
        Words {
            event: Event::SourceFailing,
            one: "{thing} cannot be refreshed",
            many: "{count} subscriptions cannot be refreshed",
            next: "The channels of the last good refresh stay, and the box tries again by itself.",
        },
        Words {
            event: Event::SourceRecovered,
            one: "{thing} can be refreshed again",
            many: "{count} subscriptions can be refreshed again",
            next: "Nothing has to be done.",
        },
        Words {
            event: Event::Storm,
            one: "So many channels fail at once that restarts have to wait",
            many: "",
            next: "The box restarts them one after the other. Look at the network and at the provider.",
        },
        Words {
            event: Event::Outage,
            one: "Most channels that were watched lately cannot be had",
            many: "",
            next: "The box keeps trying by itself. Look at the internet connection and at the provider.",
        },
        Words {
            event: Event::OutageOver,
            one: "The channels can be had again",
            many: "",
            next: "Nothing has to be done.",
        },
        Words {
            event: Event::UpdateAvailable,
            one: "Version {thing} is there",
            many: "",
            next: "Its page says when it is installed, and installs it now if you like.",
        },
        Words {
            event: Event::UpdateInstalled,
            one: "Version {thing} is installed",
            many: "",
            next: "Nothing has to be done.",
        },
        Words {
            event: Event::UpdateRolledBack,
            one: "Version {thing} did not work, so the one before is back",
            many: "",
            next: "Everything is as it was before. Its page says why.",
        },
    ],
    of: " of {of}",
    more: " and {count} more",
    because: "The source failed: {why}.",
    ends_on: "It ends on {date}.",
    ended_on: "It ended on {date}.",
    nobody_reached: "No provider can be reached, so the internet connection may be down.",
    test_title: "This is a test",
    test_text: "If you can read this, you are told here what happens on the box.",
    left_out: "{count} earlier messages could not be sent.",
};

/// A message, as it goes out.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// What it is about.
    pub(super) event: Event,
    /// Only somebody who tries.
    pub(super) is_test: bool,
    /// One line.
    pub(super) title: String,
    /// What happened, to what, and what is done now.
    pub(super) text: String,
    /// To what, as far as it is listed.
    pub(super) things: Vec<String>,
    /// To how many.
    pub(super) count: usize,
    /// When.
    pub(super) at: Wall,
    /// Which box.
    pub(super) identity: Identity,
}

impl Message {
    /// The text and what has to be added to it, for those who read.
    pub(super) fn full_text(&self, left_out: u32) -> String {
        let Identity { name, address } = &self.identity;
        let lost =
            if left_out == 0 { String::new() } else { format!("\n{}", fill(ENGLISH.left_out, "{count}", &left_out)) };
        format!("{}{lost}\n\n{name}, {address}/", self.text)
    }
}

/// Where names and reasons are found.
pub(super) struct Facts<'a> {
    pub(super) engine: &'a engine::Handle,
    pub(super) sources: &'a [SourceView],
    pub(super) identity: Identity,
}

impl Facts<'_> {
    fn source(&self, id: SubscriptionId) -> Option<&SourceView> {
        self.sources.iter().find(|view| view.subscription.id == id)
    }

    fn source_name(&self, id: SubscriptionId) -> Option<String> {
        self.source(id).map(|view| {
            let name = &view.subscription.name;
            if name.is_empty() { view.subscription.shown() } else { name.clone() }
        })
    }

    fn channel_name(&self, id: ChannelId) -> Option<String> {
        let lineup = self.engine.lineup()?;
        lineup.by_id(id).map(|channel| format!("{} {}", channel.number.as_str(), channel.name))
    }

    fn name(&self, subject: Subject) -> Option<String> {
        match subject {
            Subject::Channel(id) => self.channel_name(id),
            Subject::Expires(id) | Subject::Expired(id) | Subject::Failing(id) => self.source_name(id),
            Subject::Storm | Subject::Outage => None,
        }
    }

    /// More about a thing that stands alone.
    fn detail(&self, event: Event, subject: Subject) -> Option<String> {
        match subject {
            Subject::Channel(id) if event == Event::ChannelIll => {
                let failures = self.engine.channels().into_iter().filter(|view| view.channel == id);
                let why = failures.filter_map(|view| view.last_failure).next_back()?;
                Some(fill(ENGLISH.because, "{why}", &why.words()))
            }
            Subject::Expires(id) | Subject::Expired(id) => {
                let ends = self.source(id)?.listing.account.expires_at?.to_string();
                let words = if event == Event::SourceExpires { ENGLISH.ends_on } else { ENGLISH.ended_on };
                Some(fill(words, "{date}", &ends.get(..10)?))
            }
            Subject::Failing(id) if event == Event::SourceFailing => {
                self.source(id)?.error.as_ref().map(|why| fill(ENGLISH.because, "{why}", &why.trim_end_matches('.')))
            }
            Subject::Outage if event == Event::Outage => {
                let is_fetched = |view: &&SourceView| view.subscription.enabled && view.listing.loaded_at.is_some();
                let mut fetched = self.sources.iter().filter(is_fetched).peekable();
                (fetched.peek().is_some() && fetched.all(|view| view.error.is_some()))
                    .then(|| ENGLISH.nobody_reached.to_owned())
            }
            _ => None,
        }
    }
}

fn fill(words: &str, place: &str, with: &dyn ToString) -> String {
    words.replace(place, &with.to_string())
}

/// One line without control characters, and not longer than anybody reads.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
}

/// The message for a notice.
pub(super) fn of_notice(notice: &Notice, facts: &Facts<'_>) -> Message {
    let Notice { event, of, subjects } = notice;
    let names: Vec<String> = subjects
        .iter()
        .filter_map(|subject| facts.name(*subject))
        .take(NOTICE_NAMES_MAX)
        .map(|name| plain(&name))
        .collect();
    let detail = if let [one] = &subjects[..] { facts.detail(*event, *one) } else { None };
    let of = of.and_then(|id| facts.source_name(id)).map(|name| plain(&name));
    compose(*event, names, subjects.len(), of.as_deref(), detail, facts.identity.clone())
}

/// The message for what happens once.
pub(super) fn of_news(event: Event, thing: &str, facts: &Facts<'_>) -> Message {
    compose(event, vec![plain(thing)], 1, None, None, facts.identity.clone())
}

fn compose(
    event: Event,
    things: Vec<String>,
    count: usize,
    of: Option<&str>,
    detail: Option<String>,
    identity: Identity,
) -> Message {
    let Words { one, many, next, .. } =
        ENGLISH.events.iter().find(|words| words.event == event).unwrap_or(&ENGLISH.events[0]);
    let of = of.map(|of| fill(ENGLISH.of, "{of}", &of)).unwrap_or_default();
    let words = if count > 1 { many } else { one };
    let thing = things.first().map_or("", String::as_str);
    // Names last: what stands in them is no place to be filled.
    let title = words.replace("{count}", &count.to_string()).replace("{of}", &of).replace("{thing}", thing);
    let list = if count > 1 && !things.is_empty() {
        let more = count - things.len();
        let more = if more > 0 { fill(ENGLISH.more, "{count}", &more) } else { String::new() };
        format!(": {}{more}", things.join(", "))
    } else {
        String::new()
    };
    let detail = detail.map(|detail| format!(" {}", plain(&detail))).unwrap_or_default();
    let text = format!("{title}{list}.{detail}\n{next}");
    Message { event, is_test: false, title, text, things, count, at: clock::wall(), identity }
}

/// What somebody gets who tries.
pub(super) fn test(identity: &Identity) -> Message {
    Message {
        event: Event::ChannelRecovered,
        is_test: true,
        title: ENGLISH.test_title.to_owned(),
        text: ENGLISH.test_text.to_owned(),
        things: Vec::new(),
        count: 0,
        at: clock::wall(),
        identity: identity.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { name: "Attic".to_owned(), address: "http://192.168.1.9".to_owned() }
    }

    #[test]
    fn every_event_has_words_in_the_order_of_the_names() {
        for (event, words) in Event::ALL.iter().zip(&ENGLISH.events) {
            assert_eq!(*event, words.event);
            assert!(!words.one.is_empty() && !words.next.is_empty());
        }
    }

    #[test]
    fn a_message_says_what_happened_to_what_and_what_is_next() {
        let things = vec!["1 One".to_owned(), "2 Two".to_owned()];
        let many = compose(Event::ChannelIll, things.clone(), 40, Some("X"), None, identity());
        assert_eq!(many.title, "40 channels of X cannot be played");
        assert!(many.text.starts_with("40 channels of X cannot be played: 1 One, 2 Two and 38 more.\nThe box tries"));
        let one = compose(Event::ChannelIll, things, 1, None, Some("The source failed: gone.".to_owned()), identity());
        assert!(
            one.text.starts_with("1 One cannot be played. The source failed: gone.\nThe box tries"),
            "{}",
            one.text
        );
        assert!(one.full_text(0).ends_with("\n\nAttic, http://192.168.1.9/"));
        assert!(one.full_text(3).contains("\n3 earlier messages could not be sent.\n"));
    }

    #[test]
    fn a_name_fills_no_place_and_breaks_no_line() {
        let things = vec![plain("{count}\r\nBcc: x")];
        let message = compose(Event::ChannelIll, things, 1, Some("{thing}"), None, identity());
        assert_eq!(message.title.lines().count(), 1);
        assert!(message.title.starts_with("{count}  Bcc: x"), "{}", message.title);
    }
}
