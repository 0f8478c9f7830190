//! Firmware that `hdhomerun_config upgrade` sends, in pieces of 1 KiB and a last word.
//!
//! An upload belongs to its connection: a client whose connection breaks goes on with the next piece on another one
//! and would be told that all is well. So pieces must begin at 0 and follow each other, and the last word is answered
//! with a refusal when anything is missing. Nothing is said before it, because clients would take that for the answer.
//!
//! Not here: the file, and the signature, which the daemon's update room checks before anything else. The protocol
//! itself knows neither length nor check sum nor password.

use crate::rules::updating::Refusal;
use crate::wire::hdhr::control::UpgradeRequest;

/// The upload of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The most that is taken; none when uploads are switched off.
    bytes_max: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No piece has come, or the last word has.
    Idle,
    /// As many bytes have come.
    Receiving(u32),
    /// The rest is of no use, because of this.
    Spoiled(Refusal),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing, and say nothing.
    Ignore,
    /// Write the bytes behind those before; begin a new file where `offset` is 0. Say nothing.
    Write {
        /// How many came before.
        offset: u32,
        /// The bytes.
        data: &'a [u8],
    },
    /// Throw away what was written. Say nothing.
    Discard,
    /// All is there: check it, and then answer. Clients wait for 40 seconds.
    Check {
        /// How many bytes were written.
        bytes: u32,
    },
    /// Answer with this refusal.
    Refuse(Refusal),
}

impl Upload {
    /// A connection on which nothing was uploaded yet. `bytes_max` is none when uploads are switched off.
    pub const fn new(bytes_max: Option<u32>) -> Self {
        Self { bytes_max, state: State::Idle }
    }

    /// Takes a part.
    pub fn on<'a>(&mut self, request: UpgradeRequest<'a>) -> Step<'a> {
        let Some(bytes_max) = self.bytes_max else {
            return match request {
                UpgradeRequest::End => Step::Refuse(Refusal::Off),
                UpgradeRequest::Piece { .. } | UpgradeRequest::Malformed => Step::Ignore,
            };
        };
        match (request, self.state) {
            (UpgradeRequest::Piece { offset, data }, State::Idle | State::Receiving(_)) => {
                let bytes = if let State::Receiving(bytes) = self.state { bytes } else { 0 };
                let end = u32::try_from(data.len()).ok().and_then(|len| bytes.checked_add(len));
                match end.filter(|end| *end <= bytes_max) {
                    _ if offset != bytes => self.spoil(Refusal::Incomplete),
                    Some(end) => {
                        self.state = State::Receiving(end);
                        Step::Write { offset, data }
                    }
                    None => self.spoil(Refusal::TooLarge),
                }
            }
            (UpgradeRequest::Malformed, State::Idle | State::Receiving(_)) => self.spoil(Refusal::Incomplete),
            (UpgradeRequest::Piece { .. } | UpgradeRequest::Malformed, State::Spoiled(_)) => Step::Ignore,
            (UpgradeRequest::End, state) => {
                self.state = State::Idle;
                match state {
                    State::Receiving(bytes) if bytes > 0 => Step::Check { bytes },
                    State::Spoiled(why) => Step::Refuse(why),
                    _ => Step::Refuse(Refusal::Incomplete),
                }
            }
        }
    }

    /// Says why the bytes could not be written: the disk is full, for one.
    pub const fn spoil(&mut self, why: Refusal) -> Step<'static> {
        self.state = State::Spoiled(why);
        Step::Discard
    }

    /// Nothing came for too long. Says whether there was an upload, which is spoiled now.
    pub const fn stalled(&mut self) -> bool {
        let is_amid = matches!(self.state, State::Receiving(_));
        if is_amid {
            self.state = State::Spoiled(Refusal::Incomplete);
        }
        is_amid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: &[u8] = &[7; 1_024];

    fn piece(offset: u32, data: &[u8]) -> UpgradeRequest<'_> {
        UpgradeRequest::Piece { offset, data }
    }

    fn is_refused(step: Step<'_>) -> bool {
        matches!(step, Step::Refuse(_))
    }

    #[test]
    fn a_file_of_2500_bytes_arrives_as_the_library_sends_it() {
        let mut upload = Upload::new(Some(1_000_000));
        for (offset, data) in [(0, KIB), (0x400, KIB), (0x800, &KIB[..452])] {
            assert_eq!(upload.on(piece(offset, data)), Step::Write { offset, data });
        }
        assert_eq!(upload.on(UpgradeRequest::End), Step::Check { bytes: 2_500 });
        assert!(is_refused(upload.on(UpgradeRequest::End)), "the word alone is nothing");
        // And once more on the same connection.
        assert_eq!(upload.on(piece(0, KIB)), Step::Write { offset: 0, data: KIB });
    }

    #[test]
    fn trap_24_whatever_is_missing_is_refused_at_the_end() {
        let stories: [&[UpgradeRequest<'_>]; 8] = [
            &[],
            &[piece(0x400, KIB)],
            &[piece(0, KIB), piece(0x800, KIB)],
            &[piece(0, KIB), piece(0, KIB)],
            &[piece(0, KIB), piece(0x3FF, KIB)],
            &[piece(0, KIB), UpgradeRequest::Malformed],
            &[piece(0, KIB), piece(0x400, KIB), piece(0x800, KIB)],
            &[piece(0, &[])],
        ];
        for story in stories {
            let mut upload = Upload::new(Some(2_047 + 1_024));
            for request in story {
                assert!(!matches!(upload.on(*request), Step::Check { .. } | Step::Refuse(_)), "trap 25");
            }
            assert!(is_refused(upload.on(UpgradeRequest::End)), "{story:?}");
        }
    }

    #[test]
    fn trap_24_the_last_word_on_a_new_connection_is_refused() {
        let mut first = Upload::new(Some(10_000));
        assert_eq!(first.on(piece(0, KIB)), Step::Write { offset: 0, data: KIB });
        assert!(is_refused(Upload::new(Some(10_000)).on(UpgradeRequest::End)));
    }

    #[test]
    fn trap_25_no_piece_is_answered_even_when_all_is_refused() {
        for bytes_max in [None, Some(0), Some(1_024), Some(u32::MAX)] {
            let mut upload = Upload::new(bytes_max);
            let mut kept = 0;
            for index in 0..8 {
                match upload.on(piece(index * 1_024, KIB)) {
                    Step::Write { .. } => kept += 1_024,
                    Step::Discard | Step::Ignore => kept = 0,
                    step => panic!("{step:?}"),
                }
            }
            assert_eq!(kept, if bytes_max == Some(u32::MAX) { 8_192 } else { 0 });
            let end = upload.on(UpgradeRequest::End);
            assert_eq!(is_refused(end), bytes_max != Some(u32::MAX));
        }
    }

    #[test]
    fn nothing_is_written_where_uploads_are_switched_off() {
        let mut upload = Upload::new(None);
        assert_eq!(upload.on(piece(0, KIB)), Step::Ignore);
        assert_eq!(upload.on(UpgradeRequest::Malformed), Step::Ignore);
        assert!(is_refused(upload.on(UpgradeRequest::End)));
    }

    #[test]
    fn a_full_disk_spoils_it() {
        let mut upload = Upload::new(Some(u32::MAX));
        upload.on(piece(0, KIB));
        assert_eq!(upload.spoil(Refusal::DiskFull), Step::Discard);
        assert_eq!(upload.on(piece(0x400, KIB)), Step::Ignore);
        assert_eq!(upload.on(UpgradeRequest::End), Step::Refuse(Refusal::DiskFull));
        assert_eq!(upload.on(UpgradeRequest::End), Step::Refuse(Refusal::Incomplete), "that was told");
    }

    #[test]
    fn whoever_stops_in_the_middle_is_given_up() {
        let mut upload = Upload::new(Some(u32::MAX));
        assert!(!upload.stalled(), "a client that only keeps its connection");
        upload.on(piece(0, KIB));
        assert!(upload.stalled() && !upload.stalled());
        assert_eq!(upload.on(piece(0x400, KIB)), Step::Ignore);
        assert_eq!(upload.on(UpgradeRequest::End), Step::Refuse(Refusal::Incomplete));
    }

    #[test]
    fn the_reason_is_what_went_wrong_first() {
        let refusal = |pieces: &[(u32, &[u8])]| {
            let mut upload = Upload::new(Some(2_048));
            for (offset, data) in pieces {
                upload.on(piece(*offset, data));
            }
            upload.on(UpgradeRequest::End)
        };
        assert_eq!(refusal(&[(0, KIB), (0x400, KIB), (0x800, KIB)]), Step::Refuse(Refusal::TooLarge));
        assert_eq!(refusal(&[(0, KIB), (0x800, KIB)]), Step::Refuse(Refusal::Incomplete));
        assert_eq!(refusal(&[(0, KIB), (0x400, KIB), (0x800, KIB), (0xC00, KIB)]), Step::Refuse(Refusal::TooLarge));
    }
}
