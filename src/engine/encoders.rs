//! The encoders of this box in flesh: tries them at start, tells the log, and shows what is known of them.
//!
//! Which one is used is decided in `pure::rules::encoders`, what a trial shows in `…::encoders::trial`, and what FFmpeg is
//! told in `pure::model::recipe`. Starting FFmpeg is left to the caller, who has the permit for it.

use crate::clock;
use pure::limits::{EXCERPT_BYTES_MAX, TRIAL_WORDS_BYTES_MAX};
use pure::model::encoder::{Candidates, Encoder};
use pure::model::lineup::ChannelId;
use pure::model::profile::Profile;
use pure::model::recipe::{Recipe, trial};
use pure::rules::encoders::blame::Ended;
use pure::rules::encoders::trial::{Outcome, Trial, TrialEnd};
use pure::rules::encoders::{Cannot, Change, Choice, EncoderView, Encoders};
use pure::rules::pool::SlotIndex;
use serde::Serialize;
use std::cell::RefCell;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The encoders, as the engine and the doors see them.
#[derive(Clone, Debug)]
pub struct Encoding {
    encoders: Rc<RefCell<Encoders>>,
    has_device: fn(&str) -> bool,
    /// What the last good trial made.
    clip: Rc<RefCell<Vec<u8>>>,
}

/// FFmpeg, started for a trial.
#[derive(Debug)]
pub struct Started<O, W, E> {
    /// Its standard output.
    pub output: O,
    /// Its standard error.
    pub words: W,
    /// Resolves when it has ended; dropping it ends FFmpeg.
    pub end: E,
}

/// What is known of an encoder, for the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// `vaapi:renderD128`.
    pub name: String,
    /// FFmpeg's name of it.
    pub codec: &'static str,
    /// Whether a chip does it.
    pub hardware: bool,
    /// `untried`, `works`, `rests` or `fails`.
    pub state: &'static str,
    /// How much faster than it plays 720 lines are encoded, in percent.
    pub speed_percent: Option<u32>,
    /// From the start to the first packet.
    pub start_ms: Option<u32>,
    /// Why it does not work, or failed last.
    pub says: Option<String>,
    /// For how many seconds it still rests.
    pub rests_s: Option<u64>,
    /// Failures since it last worked for a minute.
    pub failures: u32,
    /// Streams that it makes now.
    pub streams: usize,
}

impl Encoding {
    /// What is to be tried, in order; software is always added. `has_device` tells of a device node: [`has_device`].
    pub fn new(candidates: &Candidates, has_device: fn(&str) -> bool) -> Self {
        Self { encoders: Rc::new(RefCell::new(Encoders::new(candidates))), has_device, clip: Rc::default() }
    }

    /// Tries all that were not tried yet, one after the other, and says whether none is left.
    ///
    /// `start` starts FFmpeg with these arguments; `None` means that it may not now. As soon as `busy` resolves, because
    /// somebody wants to watch, the running trial is given up; it can be made up for by calling this again.
    pub async fn try_all<O, W, E>(
        &self,
        mut start: impl AsyncFnMut(&Recipe) -> Option<io::Result<Started<O, W, E>>>,
        busy: impl Future<Output = ()>,
    ) -> bool
    where
        O: AsyncRead + Unpin,
        W: AsyncRead + Unpin,
        E: Future<Output = io::Result<ExitStatus>>,
    {
        tokio::pin!(busy);
        loop {
            let Some(encoder) = self.encoders.borrow().to_try() else {
                return true;
            };
            let outcome = tokio::select! {
                biased;
                () = &mut busy => return false,
                outcome = try_one(encoder, self.has_device, &mut start) => outcome,
            };
            let Some((outcome, made)) = outcome else { return false };
            tell(encoder, &outcome);
            if matches!(outcome, Outcome::Works { .. }) {
                *self.clip.borrow_mut() = made;
            }
            self.encoders.borrow_mut().tried(encoder, outcome);
        }
    }

    /// What the last good trial made, which is given away; nothing where there was none.
    pub fn take_clip(&self) -> Vec<u8> {
        self.clip.take()
    }

    /// See [`Encoders::try_again`].
    pub fn try_again(&self) {
        self.encoders.borrow_mut().try_again();
    }

    /// See [`Encoders::can_transcode`].
    pub fn can_transcode(&self) -> Option<bool> {
        self.encoders.borrow().can_transcode()
    }

    /// See [`Encoders::choose`].
    ///
    /// # Errors
    /// [`Cannot`], with words for the log.
    pub fn choose(&self, channel: ChannelId, asked: Profile) -> Result<Option<Choice>, Cannot> {
        self.encoders.borrow().choose(clock::mono(), channel, asked)
    }

    /// A child of this slot encodes as was chosen.
    pub fn started(&self, slot: SlotIndex, channel: ChannelId, asked: Profile, choice: Choice) {
        let (slot_index, encoder, given) = (slot.0, choice.encoder, choice.profile);
        if choice.reduced {
            tracing::info!(slot = slot_index, %asked, %given, %encoder, "this box cannot keep up: a smaller picture");
        } else {
            tracing::debug!(slot = slot_index, profile = %given, %encoder, "encoding");
        }
        self.encoders.borrow_mut().started(clock::mono(), slot, channel, choice);
    }

    /// The slot's child ended, whatever it did. Tells whether the next start of its channel may go better at once,
    /// because another encoder takes over.
    pub fn ended(&self, slot: SlotIndex, ended: &Ended<'_>) -> bool {
        let now = clock::mono();
        let change = self.encoders.borrow_mut().ended(now, slot, ended);
        match change {
            None => return false,
            Some(Change::RestsAlready) => {}
            Some(Change::Rests { encoder, until }) => {
                let rests_s = until.ms_since(now) / 1_000;
                let encoders = self.encoders.borrow();
                let why = encoders.views(now).find(|view| view.encoder == encoder).map_or("", |view| view.last_words);
                tracing::warn!(slot = slot.0, %encoder, why, rests_s, "encoder failed; it rests, and others take over");
            }
            Some(Change::SoftwareOnly { channel, until }) => {
                let for_s = until.ms_since(now) / 1_000;
                tracing::info!(
                    slot = slot.0,
                    channel = channel.0,
                    for_s,
                    "the channel gave nothing through a hardware encoder; it is left to software"
                );
            }
        }
        true
    }

    /// What the trials showed, in one sentence for people.
    pub fn sentence(&self) -> String {
        let told = |encoder: &Shown| {
            let percent = encoder.speed_percent?;
            Some(format!("{} at {}.{} times the speed of 720 lines", encoder.name, percent / 100, percent / 10 % 10))
        };
        let working: Vec<String> = self.shown().iter().filter_map(told).collect();
        let working = working.join(", ");
        match self.can_transcode() {
            Some(true) => format!("this box can make its channels smaller: {working}"),
            _ if working.is_empty() => "no encoder works on this box: its channels can be had as they are".to_owned(),
            _ => format!("this box is too slow to promise smaller pictures: {working}"),
        }
    }

    /// All of them, in order of preference.
    pub fn shown(&self) -> Vec<Shown> {
        let now = clock::mono();
        self.encoders.borrow().views(now).map(|view| show(&view, |until| until.ms_since(now).div_ceil(1_000))).collect()
    }
}

/// Whether this box has a device node.
pub fn has_device(node: &str) -> bool {
    std::fs::exists(node).unwrap_or(false)
}

fn show(view: &EncoderView<'_>, seconds: impl Fn(pure::time::Mono) -> u64) -> Shown {
    let (state, speed_percent, start_ms, says) = match view.outcome {
        Outcome::Untried => ("untried", None, None, None),
        Outcome::Fails(words) => ("fails", None, None, Some(words.clone())),
        Outcome::Works { percent, start_ms } => {
            let state = if view.rests_until.is_some() { "rests" } else { "works" };
            let says = Some(view.last_words.to_owned()).filter(|words| !words.is_empty());
            (state, Some(*percent), Some(*start_ms), says)
        }
    };
    Shown {
        name: view.encoder.to_string(),
        codec: view.encoder.codec(),
        hardware: view.encoder.is_hardware(),
        state,
        speed_percent,
        start_ms,
        says,
        rests_s: view.rests_until.map(seconds),
        failures: view.failures,
        streams: view.streams,
    }
}

fn tell(encoder: Encoder, outcome: &Outcome) {
    match outcome {
        Outcome::Works { percent, start_ms } => {
            tracing::info!(%encoder, speed_percent = percent, start_ms, "encoder works");
        }
        Outcome::Fails(why) => tracing::info!(%encoder, why, "encoder does not work"),
        Outcome::Untried => {}
    }
}

/// What came of it, and what it made. `None`: not now.
async fn try_one<O, W, E>(
    encoder: Encoder,
    has_device: fn(&str) -> bool,
    start: &mut impl AsyncFnMut(&Recipe) -> Option<io::Result<Started<O, W, E>>>,
) -> Option<(Outcome, Vec<u8>)>
where
    O: AsyncRead + Unpin,
    W: AsyncRead + Unpin,
    E: Future<Output = io::Result<ExitStatus>>,
{
    let mut missing = String::new();
    let there = encoder.is_there(|node| {
        missing = node.to_string();
        has_device(&missing)
    });
    if !there {
        return Some((Outcome::Fails(format!("{missing} is not there")), Vec::new()));
    }
    match start(&trial(encoder)).await? {
        Ok(started) => Some(watch(encoder, started).await),
        Err(error) => Some((Outcome::Fails(format!("FFmpeg could not be started: {error}")), Vec::new())),
    }
}

/// Watches a trial to its end, at most as long as it may take.
async fn watch<O, W, E>(encoder: Encoder, started: Started<O, W, E>) -> (Outcome, Vec<u8>)
where
    O: AsyncRead + Unpin,
    W: AsyncRead + Unpin,
    E: Future<Output = io::Result<ExitStatus>>,
{
    let Started { mut output, mut words, end } = started;
    let mut trial = Trial::new(clock::mono(), encoder);
    let (mut said, mut made) = (Vec::new(), Vec::new());
    let deadline = trial.deadline();
    let status = {
        let reading = async {
            let mut piece = vec![0; 16 * 1024];
            while let Ok(len @ 1..) = output.read(&mut piece).await {
                trial.output(clock::mono(), piece.get(..len).unwrap_or_default());
                let room = EXCERPT_BYTES_MAX - made.len();
                made.extend_from_slice(piece.get(..len.min(room)).unwrap_or_default());
            }
        };
        let hearing = async {
            let mut piece = [0; 1024];
            while let Ok(len @ 1..) = words.read(&mut piece).await {
                let room = TRIAL_WORDS_BYTES_MAX - said.len();
                said.extend(piece.iter().take(len.min(room)));
            }
        };
        tokio::select! {
            // Its pipes end with it, or before.
            (status, (), ()) = async { tokio::join!(end, reading, hearing) } => Some(status),
            () = clock::until(Some(deadline)) => None,
        }
    };
    let said = printable(&said);
    let outcome = match status {
        None => trial.end(TrialEnd::TooLong),
        Some(Ok(status)) if status.success() => trial.end(TrialEnd::Done),
        Some(Ok(status)) if said.trim().is_empty() => Outcome::Fails(format!("FFmpeg ended with {status}")),
        Some(_) => trial.end(TrialEnd::Failed(&said)),
    };
    (outcome, made)
}

/// Lines as people may see them.
fn printable(said: &[u8]) -> String {
    String::from_utf8_lossy(said).chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
