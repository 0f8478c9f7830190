//! Faces and their shares of the slots.

use super::*;
use crate::model::face::FaceId;

const PLEX: Share = Share { face: FaceId(1), slots_max: 2 };
const KODI: Share = Share { face: FaceId(2), slots_max: 1 };

impl Story {
    fn ask_through(&mut self, share: Share, viewer: u64, channel: u32) -> Vec<Effect> {
        let sources = Sources::one(ChannelId(channel), Work::Copy, SourceClass::Live);
        self.on(Event::Ask { viewer: ViewerId(viewer), tuner: None, share, sources })
    }
}

#[test]
fn a_face_has_no_more_slots_than_its_share() {
    let mut story = Story::new(4);
    assert!(is_start(&story.ask_through(PLEX, 1, 7), 0, 7));
    assert!(is_start(&story.ask_through(PLEX, 2, 8), 1, 8));
    assert_eq!(refusal(&story.ask_through(PLEX, 3, 9)), Some(Refusal::ShareInUse), "two slots are free");
    assert!(is_start(&story.ask_through(KODI, 4, 9), 2, 9), "they are for others");
    assert!(is_start(&story.ask(5, 10), 3, 10), "and for the box itself");
    assert_eq!(refusal(&story.ask(6, 11)), Some(Refusal::AllTunersInUse));
    assert_eq!(refusal(&story.ask_through(KODI, 7, 11)), Some(Refusal::AllTunersInUse), "that is the nearer reason");
}

#[test]
fn who_joins_what_his_face_watches_costs_nothing_and_who_joins_others_counts() {
    let mut story = Story::new(4);
    assert!(is_start(&story.ask_through(KODI, 1, 7), 0, 7));
    assert_eq!(story.output(0, 1).len(), 1);
    assert!(is_admit(&story.ask_through(KODI, 2, 7), 2), "the same channel, over and over");
    assert!(is_admit(&story.ask_through(PLEX, 3, 7), 3), "the first of the other face");
    assert!(is_start(&story.ask_through(PLEX, 4, 8), 1, 8));
    assert_eq!(refusal(&story.ask_through(PLEX, 5, 9)), Some(Refusal::ShareInUse), "what others play counts");
    assert!(is_admit(&story.ask_through(PLEX, 6, 7), 6));
    // His face watches it no more.
    story.leave(3);
    assert_eq!(story.leave(6).len(), 0);
    assert!(is_start(&story.ask_through(PLEX, 7, 9), 2, 9));
    assert_eq!(refusal(&story.ask_through(PLEX, 8, 7)), Some(Refusal::ShareInUse));
}

#[test]
fn what_nobody_watches_any_more_costs_nobody_a_share() {
    let mut story = Story::new(2);
    story.ask_through(KODI, 1, 7);
    story.output(0, 1);
    story.leave(1);
    assert!(is_start(&story.ask_through(KODI, 2, 8), 1, 8), "the first one lingers");
    // A share that was lowered sends nobody away, and lets nobody in.
    let lowered = Share { slots_max: 0, ..KODI };
    assert!(story.ask_through(lowered, 3, 8).is_empty(), "with his own he may wait");
    assert_eq!(refusal(&story.ask_through(lowered, 4, 7)), Some(Refusal::ShareInUse));
}
