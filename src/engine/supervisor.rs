//! The one loop: commands, child exits and timers go into the pool, and what it answers is done.
//!
//! It awaits nothing but its next event. Decisions are in `pure::rules::pool`, words in [`super::telling`].

use super::call::{Call, call};
use super::glance::{self, Glanced};
use super::preview::Over;
use super::probe::Found;
use super::process::{self, Child, Input, StartError};
use super::pull::pull;
use super::relay::Relay;
use super::slates::{About, Slates};
use super::snapshot::Snapshot;
use super::telling;
use super::tend::{self, Exited, Living, Report, Teller, What, tend};
use super::upstream;
use super::{Command, Formats, Options, Place, Shared, Watcher, facts, last_words, probe};
use crate::board::vitals;
use crate::clock;
use crate::fetch::Fetcher;
use crate::observe::metrics::Point;
use pure::limits::{ENCODERS_BUSY_MS, ENGINE_INBOX, RING_REST_MS, SAMPLES_MAX, SWEEP_MS};
use pure::model::lineup::{Channel, ChannelId, Lineup, Origin, Source, SourceClass, TEST_CHANNEL};
use pure::model::profile::Profile;
use pure::model::recipe::{Reader, Treatment, recipe, to_call};
use pure::rules::admission::Work;
use pure::rules::alarms::{Escalation, Sign};
use pure::rules::blank::Judge;
use pure::rules::constants::Rules;
use pure::rules::encoders::Cannot;
use pure::rules::encoders::blame::{Ended, How};
use pure::rules::failure::{End, Failure};
use pure::rules::gate::{GlancePermit, Kind, ProbePermit, SpawnPermit};
use pure::rules::health::ProbeResult;
use pure::rules::pool::outlook::Obstacle;
use pure::rules::pool::{
    Effect, Effects, Event, Generation, Needs, Note, Pool, Refusal, SlotIndex, SlotState, ViewerId,
};
use pure::rules::sources::{Sources, Supply};
use pure::time::Mono;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};

/// No channel is called that: ids are given from 1 up.
const NO_CHANNEL: ChannelId = ChannelId(u32::MAX);

pub(super) struct Supervisor {
    pool: Box<Pool>,
    effects: Effects,
    shared: Rc<Shared>,
    inbox: mpsc::Receiver<Command>,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    vitals: vitals::Sources,
    fetcher: Fetcher,
    /// Whether it may be seen what channels show.
    glances: bool,
    /// Where the excerpt of each slot's last glance began.
    glanced_from: Vec<Option<u64>>,
    living: Vec<Living>,
    /// What the present or last child of each slot plays.
    playing: Vec<Option<Playing>>,
    answers: BTreeMap<ViewerId, oneshot::Sender<Result<Place, Refusal>>>,
    /// What a viewer asks just now, to be asked again if a preview that is in his way gives way.
    asking: Option<Event>,
    /// Sources that take more than was thought, as was seen.
    needs: BTreeMap<Origin, Work>,
    /// Sources that are read otherwise than their address says, as was seen.
    found: BTreeMap<Origin, (Source, Reader)>,
    drained: Option<oneshot::Sender<()>>,
    /// Something was noted since the channels were last shown.
    channels_changed: bool,
    /// Only a fresh start can help.
    escalation: Option<Escalation>,
    /// What a child said last, for the failure that may follow in the same step.
    said: String,
    swept_at: Mono,
    /// It is time to see what stands in the next viewer's way.
    looks_ahead: bool,
    /// One channel of each kind in that lineup, as viewers could want it.
    samples: (Weak<Lineup>, Vec<Sources>),
    snapshot: Snapshot,
    slates: Slates,
    /// Room for events that follow each other.
    events: VecDeque<Event>,
}

/// What a child plays.
#[derive(Clone)]
struct Playing {
    /// As the lineup had it when the child was started.
    channel: Channel,
    source: u8,
    profile: Profile,
    /// Why we have it end, if we do.
    ending: Option<How>,
}

impl Playing {
    const fn origin(&self) -> Origin {
        Origin { channel: self.channel.id, source: self.source }
    }

    fn source(&self) -> Option<&Source> {
        self.channel.sources.get(usize::from(self.source))
    }
}

impl Supervisor {
    pub(super) fn new(options: &Options, shared: Rc<Shared>, inbox: mpsc::Receiver<Command>) -> Self {
        let (reporter, reports) = mpsc::channel(ENGINE_INBOX);
        let probe_every_ms = Rules::DEFAULT.probe_every_ms.filter(|_| options.probe);
        let rules = Rules { probe_every_ms, early_headers: options.early_headers, ..Rules::DEFAULT };
        let folder = options.runtime_dir.as_deref().filter(|_| !options.safe_mode);
        let (snapshot, recalled) = Snapshot::open(folder, Rc::clone(&shared.metrics));
        let mut pool = Box::new(Pool::with_rules(options.slots_len, rules));
        if let Some(recalled) = recalled {
            let strangers = process::end_strangers(recalled.run);
            if strangers > 0 {
                tracing::warn!(strangers, "processes that an earlier run had left behind were ended");
            }
            pool.recall(clock::mono(), &recalled.text, recalled.clean);
        }
        let mut supervisor = Self {
            pool,
            effects: Effects::default(),
            shared,
            inbox,
            reports,
            reporter,
            ffmpeg: options.ffmpeg.clone(),
            ffprobe: options.ffprobe.clone(),
            vitals: options.vitals.clone(),
            glances: options.glance,
            glanced_from: vec![None; options.slots_len],
            playing: vec![None; options.slots_len],
            fetcher: options.fetcher.clone(),
            living: (0..options.slots_len).map(|_| Living::default()).collect(),
            answers: BTreeMap::new(),
            asking: None,
            needs: BTreeMap::new(),
            found: BTreeMap::new(),
            drained: None,
            // What was recalled is shown as well.
            channels_changed: true,
            escalation: None,
            said: String::new(),
            swept_at: clock::mono(),
            looks_ahead: true,
            samples: (Weak::new(), Vec::new()),
            snapshot,
            slates: Slates::new(if options.slates { options.slots_len } else { 0 }),
            events: VecDeque::with_capacity(16),
        };
        supervisor.show();
        supervisor
    }

    pub(super) async fn run(mut self) {
        loop {
            let leavers = Rc::clone(&self.shared.leavers);
            tokio::select! {
                Some(report) = self.reports.recv() => self.on_report(report),
                () = leavers.some.notified() => self.on_leavers(),
                Some(command) = self.inbox.recv() => self.on_command(command),
                () = clock::until(self.pool.next_deadline()) => self.dispatch(Event::Deadline),
                () = clock::until(self.snapshot.next_deadline()) => {}
                () = self.slates.due() => {}
            }
            self.play_slates();
            self.snapshot.keep(clock::mono(), |out| self.pool.remember(out));
            self.show();
            if let Some(escalation) = self.escalation {
                tracing::error!(?escalation, "only a fresh start can help");
                return;
            }
            if self.pool.is_idle() {
                if let Some(done) = self.drained.take() {
                    self.snapshot.close(clock::mono(), |out| self.pool.remember(out));
                    done.send(()).unwrap_or_default();
                    return;
                }
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            // Who has hung up meanwhile has no way to leave later.
            Command::Ask { answer, .. } if answer.is_closed() => {}
            Command::Ask { viewer, channel, profile, tuner, share, peer, is_preview, answer } => {
                self.shared.wanted.notify_waiters();
                if is_preview {
                    // There is one at a time.
                    self.end_preview();
                }
                let found = self.channel(channel).ok_or(Refusal::TuneFailed { retry_ms: 0 });
                let mut sources = found.clone().and_then(|channel| self.sources(&channel, profile));
                if matches!(sources, Err(Refusal::Busy { .. })) && self.is_preview_alone() && self.end_preview() {
                    // Its encoder is free.
                    sources = found.and_then(|channel| self.sources(&channel, profile));
                }
                let sources = match sources {
                    Ok(sources) => sources,
                    Err(refusal) => {
                        answer.send(Err(refusal)).unwrap_or_default();
                        return;
                    }
                };
                self.answers.insert(viewer, answer);
                let (since, closed, face) = (clock::mono(), Rc::default(), share.face);
                let watcher = Watcher { viewer, slot: None, peer, face, since, is_preview, closed };
                self.shared.watchers.borrow_mut().push(watcher);
                let event = Event::Ask { viewer, tuner, share, sources };
                self.asking = (!is_preview).then_some(event);
                self.dispatch(event);
                self.asking = None;
            }
            Command::Pulse { done } => {
                let now = clock::mono();
                if now.ms_since(self.swept_at) >= SWEEP_MS {
                    self.swept_at = now;
                    self.dispatch(Event::Sweep);
                    // Failures leave their window without a word.
                    self.channels_changed = true;
                }
                Self::sweep_strays();
                self.looks_ahead = true;
                done.send(()).unwrap_or_default();
            }
            Command::Retry { channel } => {
                tracing::info!(channel_id = channel.0, "somebody wants this channel tried again");
                self.dispatch(Event::Reset { channel });
                self.channels_changed = true;
            }
            Command::Trial { answer } => {
                self.dispatch(Event::Facts(facts::look(&self.ffmpeg, &self.vitals)));
                if let Some(permit) = self.pool.permit_trial(clock::mono()) {
                    // Who has given up meanwhile does not start it.
                    answer.send(permit).map_err(drop).unwrap_or_default();
                }
            }
            Command::Check { answer } => {
                self.dispatch(Event::Facts(facts::look(&self.ffmpeg, &self.vitals)));
                if let Some(permit) = self.pool.permit_check(clock::mono()) {
                    answer.send(permit).map_err(drop).unwrap_or_default();
                }
            }
            Command::Free { slot } => {
                tracing::info!(tuner = slot.0, "somebody wants this tuner given back");
                self.dispatch(Event::Free { slot });
            }
            Command::Hold { slot, is_held } => self.dispatch(Event::Hold { slot, is_held }),
            Command::Drain { done } => {
                self.shared.wanted.notify_waiters();
                self.drained = Some(done);
                self.dispatch(Event::Drain);
            }
        }
    }

    fn on_leavers(&mut self) {
        loop {
            let next = self.shared.leavers.gone.borrow_mut().pop_front();
            let Some(viewer) = next else { return };
            self.answers.remove(&viewer);
            self.shared.watchers.borrow_mut().retain(|watcher| watcher.viewer != viewer);
            self.dispatch(Event::Leave { viewer });
        }
    }

    fn on_report(&mut self, Report { slot, generation, what }: Report) {
        let playing = self.playing.get(usize::from(slot.0)).cloned().flatten();
        let name = playing.as_ref().map_or("", |playing| playing.channel.name.as_str());
        let channel_id = playing.as_ref().map_or(0, |playing| playing.channel.id.0);
        // The channel's own picture is what others are told of.
        let own = playing.as_ref().filter(|playing| playing.profile == Profile::None).map(|playing| playing.channel.id);
        let (slot_index, attempt) = (slot.0, generation.0);
        // And which of its sources was seen to need something.
        let seen = playing.as_ref().filter(|_| own.is_some()).map(Playing::origin);
        self.said.clear();
        let mut blank = None;
        let event = match what {
            What::Output => {
                tracing::info!(slot = slot_index, generation = attempt, channel_id, "{name} plays");
                if let Some(channel) = own {
                    let (video, audio) = self.relay(slot).codecs();
                    // Another picture may have another width.
                    self.shared.known.borrow_mut().note(channel, |formats| {
                        let width = formats.width.filter(|_| formats.video == video);
                        *formats = Formats { video, audio, width };
                    });
                }
                Event::Output { slot, generation }
            }
            What::Unsuited { needs } => {
                let how = match needs {
                    Work::Encode | Work::Transcode(_) => {
                        "formats that clients do not play; starting it again, encoding"
                    }
                    Work::Sound => "a sound that clients do not play; starting it again, encoding the sound alone",
                    Work::Pull | Work::Copy => "a wrapping that clients do not know; starting it again with FFmpeg",
                };
                tracing::info!(slot = slot_index, channel_id, "{name} has {how}");
                self.needs.extend(seen.map(|origin| (origin, needs)));
                Event::Unsuited { slot, generation, needs: Needs::Work(needs) }
            }
            What::Alone { reader } => {
                tracing::info!(
                    slot = slot_index,
                    channel_id,
                    "{name} is of a kind that FFmpeg fetches by itself; starting it again with FFmpeg"
                );
                let source = playing.as_ref().and_then(|playing| playing.source().cloned());
                self.found.extend(seen.zip(source).map(|(origin, source)| (origin, (source, reader))));
                Event::Unsuited { slot, generation, needs: Needs::Alone(reader.class()) }
            }
            What::Useless { failure, why } => {
                self.said.push_str(why);
                Event::Useless { slot, generation, failure }
            }
            What::Exited(Exited { status, signal, is_starved, had_output, end, words }) => {
                let how = how(playing.and_then(|playing| playing.ending), signal, is_starved);
                let ended = Ended { how, had_output, words: &words.join("\n") };
                let has_other = self.shared.encoding.as_ref().is_some_and(|encoding| encoding.ended(slot, &ended));
                let end = if has_other { End::Encoder } else { end };
                // What it means, if anything, is told by the guard.
                tracing::debug!(slot = slot_index, generation = attempt, channel_id, status, "it ended");
                Self::sweep_strays();
                self.said = last_words::shown(&words);
                if self.said.is_empty() {
                    self.said = status;
                }
                Event::Exited { slot, generation, end }
            }
            What::Unstarted { error } => {
                self.tell_unstarted(slot, &error);
                Event::SpawnFailed { slot, generation }
            }
            What::Probed { found, glanced } => {
                let is_present = self.relay(slot).generation() == generation;
                if let Some((channel, width)) = own.zip(found.width).filter(|_| is_present) {
                    self.shared.known.borrow_mut().note(channel, |formats| formats.width = Some(width));
                }
                if is_present {
                    blank = self.judge(slot, |judge, now| judge.glanced(now, glanced.picture.as_deref(), glanced.peak));
                }
                Event::Probed { slot, generation, result: found.result }
            }
        };
        self.dispatch(event);
        if let Some(blank) = blank {
            self.dispatch(blank);
        }
        if let Event::Exited { .. } | Event::SpawnFailed { .. } = event {
            // It may have made a packet or two since the viewers were told to hold on; and what nobody watches must not
            // be taken for what comes next.
            if self.has_viewers(slot) {
                self.relay(slot).gap();
            } else {
                self.end_feed(slot);
            }
        }
    }

    /// Gives one event to the pool and does what it answers.
    fn dispatch(&mut self, event: Event) {
        let mut events = std::mem::take(&mut self.events);
        events.push_back(event);
        while let Some(event) = events.pop_front() {
            self.hear_children(&event, &mut events);
            if matches!(event, Event::Ask { .. }) || self.pool.wants_facts(clock::mono()) {
                let facts = facts::look(&self.ffmpeg, &self.vitals);
                self.shared.problems.sign(Sign::Board(facts));
                self.on_pool(Event::Facts(facts), &mut events);
            }
            if let Event::Probed { result, .. } = event {
                self.shared.metrics.probed(result);
            }
            self.on_pool(event, &mut events);
        }
        self.events = events;
    }

    /// Before the clock judges children: when each was last heard.
    fn hear_children(&mut self, event: &Event, more: &mut VecDeque<Event>) {
        if !matches!(event, Event::Deadline | Event::Sweep) {
            return;
        }
        let shared = Rc::clone(&self.shared);
        for (slot, relay) in (0..).map(SlotIndex).zip(&shared.relays) {
            let (generation, stats) = (relay.generation(), relay.stats());
            if let Some(output_at) = stats.last_packet_at {
                let picture_at = stats.last_picture_at.unwrap_or(Mono(0));
                let (played_ms, silent_ms_max) = (stats.played_ms, stats.silent_ms_max);
                let heard = Event::Heard { slot, generation, output_at, picture_at, played_ms, silent_ms_max };
                self.on_pool(heard, more);
                let plays = shared.slots.borrow().iter().any(|it| it.slot == slot && it.state == SlotState::Playing);
                if plays {
                    let mut is_new = false;
                    let blank = self.judge(slot, |judge, now| is_new = judge.received(now, stats.bytes));
                    more.extend(blank.filter(|_| is_new));
                }
            }
        }
    }

    fn on_pool(&mut self, event: Event, more: &mut VecDeque<Event>) {
        let mut effects = std::mem::replace(&mut self.effects, Effects::none());
        let now = clock::mono();
        if !matches!(event, Event::Heard { .. } | Event::Facts(_)) {
            // Before it is decided: a decision that fails is the last line.
            self.shared.black_box.note(now, format_args!("{event:?}"));
        }
        let revision = self.pool.revision();
        self.pool.on(now, event, &mut effects);
        if self.pool.revision() != revision {
            self.snapshot.note(now);
        }
        for effect in effects.drain() {
            self.perform(effect, more);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect, more: &mut VecDeque<Event>) {
        match effect {
            Effect::Start { slot, generation, channel, source, work, kind, continues, permit } => {
                let (attempt, origin) = ((slot, generation), Origin { channel, source });
                if !self.start(attempt, origin, work, kind, continues, permit) {
                    more.push_back(Event::SpawnFailed { slot, generation });
                }
            }
            Effect::Terminate { slot, .. } => {
                self.note_ending(slot, How::Asked);
                if !self.has_viewers(slot) {
                    // What it still makes is for nobody, and must not wait for anybody.
                    self.end_feed(slot);
                }
                self.living(slot).terminate();
            }
            Effect::Kill { slot, generation } => {
                self.shared.metrics.sometimes(Point::Killed);
                tracing::warn!(slot = slot.0, generation = generation.0, "FFmpeg ignored SIGTERM; killed it");
                self.living(slot).kill();
            }
            Effect::Quarantine { slot, generation } => {
                self.shared.metrics.sometimes(Point::Quarantined);
                tracing::error!(
                    slot = slot.0,
                    generation = generation.0,
                    "FFmpeg cannot be ended, it hangs in the kernel; its tuner is lost until it ends or the box restarts"
                );
            }
            Effect::Admit { viewer, slot, from_start } => {
                let closed = Rc::<Cell<bool>>::default();
                for watcher in self.shared.watchers.borrow_mut().iter_mut().filter(|entry| entry.viewer == viewer) {
                    watcher.slot = Some(slot);
                    watcher.closed = Rc::clone(&closed);
                }
                if let Some(answer) = self.answers.remove(&viewer) {
                    // Who has hung up meanwhile leaves by his dropped seat.
                    answer.send(Ok(Place { slot, from_start, closed })).unwrap_or_default();
                }
            }
            Effect::Refuse { viewer, refusal } if self.is_in_the_way(viewer, refusal) => {
                more.extend(self.preview().map(|(viewer, _)| Event::Leave { viewer }));
                more.extend(self.asking.take());
                self.dismiss_preview();
            }
            Effect::Refuse { viewer, refusal } => {
                if let Some(answer) = self.answers.remove(&viewer) {
                    answer.send(Err(refusal)).unwrap_or_default();
                }
            }
            Effect::Close { viewer, slot } => {
                for watcher in self.shared.watchers.borrow().iter().filter(|entry| entry.viewer == viewer) {
                    watcher.closed.set(true);
                }
                self.relay(slot).wake();
            }
            Effect::Gap { slot } => {
                self.shared.metrics.sometimes(Point::GapHeld);
                let streams = self.relay(slot).streams();
                self.slates.gap(slot, streams);
                self.relay(slot).gap();
            }
            Effect::Probe { slot, generation, permit, glance } => self.look(slot, generation, permit, glance),
            Effect::Note(note) => self.tell(note),
        }
    }

    /// What played on a slot is over. Its ring's memory is given back once it is not wanted again soon: whoever zaps on
    /// would only have to have it filled with pages anew.
    fn end_feed(&self, slot: SlotIndex) {
        let relay = Rc::clone(self.relay(slot));
        relay.end();
        let feed = relay.feed();
        tokio::task::spawn_local(async move {
            clock::pause(RING_REST_MS).await;
            relay.rest(feed);
        });
    }

    /// Who looks at a preview and on which slot; on none yet while he waits.
    fn preview(&self) -> Option<(ViewerId, Option<SlotIndex>)> {
        let watchers = self.shared.watchers.borrow();
        watchers.iter().find(|watcher| watcher.is_preview).map(|watcher| (watcher.viewer, watcher.slot))
    }

    /// Whether nobody else watches what the preview shows, if there is one.
    fn is_preview_alone(&self) -> bool {
        let slot = self.preview().and_then(|(_, slot)| slot);
        slot.is_none() || self.pool.slots(clock::mono()).any(|view| Some(view.slot) == slot && view.viewers == 1)
    }

    /// Whether who is asking just now is refused for want of something that a preview has.
    fn is_in_the_way(&self, viewer: ViewerId, refusal: Refusal) -> bool {
        let Some(Event::Ask { viewer: asking, tuner, .. }) = self.asking else { return false };
        let Some((_, slot)) = self.preview() else { return false };
        let may_help = match refusal {
            Refusal::AllTunersInUse | Refusal::AccountFull | Refusal::Short(_) => self.is_preview_alone(),
            Refusal::TunerInUse => slot.is_none_or(|slot| Some(slot) == tuner) && self.is_preview_alone(),
            Refusal::ViewersFull => true,
            _ => false,
        };
        asking == viewer && may_help
    }

    /// Ends the preview, if there is one.
    fn end_preview(&mut self) -> bool {
        let Some((viewer, _)) = self.preview() else { return false };
        self.dismiss_preview();
        self.dispatch(Event::Leave { viewer });
        true
    }

    /// Tells who looks at a preview that it is over, or that there is none. The pool is to be told that he has left.
    fn dismiss_preview(&mut self) {
        let Some((viewer, _)) = self.preview() else { return };
        tracing::info!("a preview gives way");
        self.shared.watchers.borrow_mut().retain(|watcher| watcher.viewer != viewer);
        if let Some(answer) = self.answers.remove(&viewer) {
            answer.send(Err(Refusal::AllTunersInUse)).unwrap_or_default();
        }
        let preview = self.shared.preview.borrow().clone().filter(|preview| preview.id == viewer.0);
        if let Some(preview) = preview {
            preview.end(Over::GaveWay);
        }
    }

    fn start(
        &mut self,
        (slot, generation): (SlotIndex, Generation),
        Origin { channel: id, source }: Origin,
        work: Work,
        kind: Kind,
        continues: bool,
        permit: SpawnPermit,
    ) -> bool {
        let Some(channel) = self.channel(id) else {
            tracing::warn!(slot = slot.0, "the channel left the lineup before it could start");
            return false;
        };
        let place = source;
        let Some(source) = channel.sources.get(usize::from(place)) else {
            tracing::warn!(slot = slot.0, "the source left its channel before it could start");
            return false;
        };
        let encoding = self.shared.encoding.clone();
        let (treatment, choice) = match work {
            Work::Pull | Work::Copy => (Treatment::Copy, None),
            Work::Sound => (Treatment::Sound, None),
            Work::Encode => (Treatment::Encode, None),
            Work::Transcode(profile) => match encoding.as_ref().map(|encoding| encoding.choose(id, profile)) {
                Some(Ok(Some(choice))) => (choice.treatment(), Some(choice)),
                Some(Ok(None)) | None => (Treatment::Copy, None),
                Some(Err(cannot)) => {
                    let (name, why) = (&channel.name, cannot.words());
                    tracing::warn!(slot = slot.0, channel_id = id.0, %profile, "{name} cannot play now: {why}");
                    return false;
                }
            },
        };
        let reader = self.reader(Origin { channel: id, source: place }, source);
        let is_live = reader.class() == SourceClass::Live;
        let living = self.living(slot).clone();
        let started = match (work, upstream::Remote::of(&self.fetcher, source)) {
            (Work::Pull, Some(origin)) => Ok(Started::Task(origin, permit)),
            _ if to_call(source).is_some() => {
                let (fetcher, ffmpeg, source) = (self.fetcher.clone(), self.ffmpeg.clone(), source.clone());
                let channel_name = channel.name.clone();
                let call = Call { fetcher, ffmpeg, source, channel_name, treatment, work };
                Ok(Started::Call(Box::new(call), permit))
            }
            (_, origin) => supply(reader, origin.clone()).and_then(|(supply, input)| {
                let found = origin.map(|origin| origin.found(source));
                let recipe = recipe(found.as_ref().unwrap_or(source), reader, &channel.name, treatment);
                let child = process::start(permit, &self.ffmpeg, recipe.args(), work, input)?;
                Ok(Started::Child(Box::new(child), supply))
            }),
        };
        match started {
            Ok(started) => {
                match &started {
                    Started::Task(..) => self.shared.metrics.pulled(kind, id),
                    Started::Child(..) | Started::Call(..) => self.shared.metrics.started(kind, id),
                }
                if continues {
                    self.shared.metrics.sometimes(Point::SeamJoined);
                }
                self.shared.problems.started(kind);
                telling::tell_start(kind, id, &channel.name);
                let relay = Rc::clone(self.relay(slot));
                if let Some(playing) = self.playing.get_mut(usize::from(slot.0)) {
                    *playing = Some(Playing { channel, source: place, profile: work.profile(), ending: None });
                }
                if let Some((encoding, choice)) = encoding.zip(choice) {
                    encoding.started(slot, id, work.profile(), choice);
                }
                relay.begin(generation, continues);
                // What is encoded here is as much as its picture needs; a file comes as fast as it is watched.
                let has_rate = matches!(work, Work::Pull | Work::Copy) && is_live;
                self.judge(slot, |judge, now| judge.begin(now, id, has_rate));
                let tell = Teller::new(slot, generation, self.reporter.clone());
                match started {
                    Started::Task(origin, permit) => {
                        tokio::task::spawn_local(pull(permit, origin, relay, living, tell));
                    }
                    Started::Call(child, permit) => {
                        tokio::task::spawn_local(call(permit, *child, relay, living, tell));
                    }
                    Started::Child(child, supply) => {
                        tokio::task::spawn_local(tend(*child, supply, relay, living, tell));
                    }
                }
                true
            }
            Err(error) => {
                self.tell_unstarted(slot, &error);
                false
            }
        }
    }

    fn tell_unstarted(&self, slot: SlotIndex, error: &StartError) {
        self.shared.metrics.ffmpeg_start_failures.add(1);
        tracing::error!(slot = slot.0, program = %self.ffmpeg.display(), %error, "FFmpeg could not be started");
    }

    /// Looks at what a slot makes, in a task of its own that always answers.
    fn look(&mut self, slot: SlotIndex, generation: Generation, permit: ProbePermit, glance: Option<GlancePermit>) {
        let relay = self.relay(slot);
        let (mut excerpt, expect) = (Vec::new(), relay.expects());
        let from = relay.excerpt(&mut excerpt);
        let mut glance = glance.filter(|_| self.glances);
        if let Some(last) = self.glanced_from.get_mut(usize::from(slot.0)).filter(|_| glance.is_some()) {
            // In the same key frame nothing can have moved.
            glance = glance.filter(|_| last.replace(from) != Some(from));
        }
        let (reporter, nothing) = (self.reporter.clone(), (Found::NOTHING, Glanced::default()));
        let answer = Answer { slot, generation, reporter, found: nothing };
        let (ffprobe, ffmpeg) = (self.ffprobe.clone(), self.ffmpeg.clone());
        tokio::task::spawn_local(async move {
            let found = probe::probe(permit, &ffprobe, &excerpt, expect).await;
            let glanced = match glance {
                Some(permit) if found.result == ProbeResult::Healthy => {
                    glance::glance(permit, &ffmpeg, &excerpt, expect).await
                }
                _ => Glanced::default(),
            };
            answer.give(found, glanced);
        });
    }

    /// Shows slates where viewers hold on, and has them made.
    fn play_slates(&mut self) {
        let (now, mut slates) = (clock::mono(), std::mem::take(&mut self.slates));
        for view in self.pool.slots(now) {
            let about = || {
                let channel = self.channel(view.channel?)?;
                let known = self.shared.known.borrow().formats.get(&channel.id).and_then(|formats| formats.width);
                let width = view.profile.target().map_or(known, |target| Some(target.width_max()));
                Some(About { channel, width })
            };
            slates.tend(now, &view, || self.pool.trouble(now, view.slot), about, self.relay(view.slot));
        }
        if slates.wants_to_make(now) {
            self.dispatch(Event::Facts(facts::look(&self.ffmpeg, &self.vitals)));
            slates.make(now, self.pool.permit_slate(now), &self.ffmpeg);
        }
        self.slates = slates;
    }

    /// Lets the judge of a slot take something in, and tells what has changed. Gives what the pool is to know: that
    /// another source would be better.
    fn judge(&mut self, slot: SlotIndex, take_in: impl FnOnce(&mut Judge, Mono)) -> Option<Event> {
        let now = clock::mono();
        let mut sights = self.shared.sights.borrow_mut();
        let judge = sights.get_mut(usize::from(slot.0))?;
        let (before, _) = judge.sight();
        take_in(judge, now);
        let (sight, since) = judge.sight();
        if sight != before {
            let playing = self.playing.get(usize::from(slot.0))?.as_ref()?;
            telling::tell_sight(
                now,
                (before, sight),
                since,
                (slot, playing.channel.id, playing.source),
                &playing.channel.name,
            );
            self.shared.metrics.sighted(sight);
        }
        let generation = self.relay(slot).generation();
        judge.is_reason(now).then_some(Event::Blank { slot, generation })
    }

    /// Ends what dead children have left behind.
    fn sweep_strays() {
        let strays = process::sweep_strays();
        if strays.killed > 0 {
            tracing::info!(strays.killed, "processes that FFmpeg had left behind were ended");
        }
    }

    /// Tells people, metrics and alarms what the pool noted.
    fn tell(&mut self, note: Note) {
        match note {
            Note::Failed { slot, failure: Failure::Blank, channel, .. } => {
                // That is no fault of who encodes it.
                self.note_ending(slot, How::Asked);
                if let Some(judge) = self.shared.sights.borrow_mut().get_mut(usize::from(slot.0)) {
                    self.said.clear();
                    self.said.push_str(judge.sight().0.words());
                    judge.left(clock::mono(), channel);
                }
            }
            // If it lives, that is: it made nothing, or nothing that is of use.
            Note::Failed { slot, .. } => self.note_ending(slot, How::Silent),
            _ => {}
        }
        let channel = note.channel().and_then(|id| self.channel(id));
        telling::tell(clock::mono(), note, channel.as_ref().map_or("A channel", |channel| &channel.name), &self.said);
        self.shared.metrics.note(&note);
        self.escalation = self.shared.problems.note(&note).or(self.escalation);
        self.channels_changed = true;
    }

    /// Lets others see what the pool looks like now.
    fn show(&mut self) {
        let now = clock::mono();
        {
            let mut slots = self.shared.slots.borrow_mut();
            self.looks_ahead |= !self.pool.slots(now).eq(slots.iter().copied());
            slots.clear();
            slots.extend(self.pool.slots(now));
        }
        if std::mem::take(&mut self.looks_ahead) {
            self.look_ahead(now);
        }
        if std::mem::take(&mut self.channels_changed) {
            let mut channels = self.shared.channels.borrow_mut();
            channels.clear();
            channels.extend(self.pool.channels(now));
        }
        self.escalation = self.shared.problems.slots(self.pool.slots(now)).or(self.escalation);
    }

    /// Sees what stands in the next viewer's way, wherever he goes.
    fn look_ahead(&mut self, now: Mono) {
        let lineup = self.shared.lineup.borrow().clone();
        if let Some(lineup) = lineup.filter(|lineup| self.samples.0.as_ptr() != Arc::as_ptr(lineup)) {
            let mut samples: Vec<Sources> = Vec::new();
            for channel in lineup.channels() {
                // As it would be had it never failed: what is wrong with a single channel is told elsewhere.
                let Some(sample) = self.supplies(channel, None, NO_CHANNEL) else { continue };
                if samples.len() < SAMPLES_MAX && !samples.contains(&sample) {
                    samples.push(sample);
                }
            }
            self.samples = (Arc::downgrade(&lineup), samples);
        }
        let facts = facts::look(&self.ffmpeg, &self.vitals);
        let mut obstacles = self.shared.obstacles.borrow_mut();
        for (slot, obstacle) in (0..).map(SlotIndex).zip(obstacles.iter_mut()) {
            *obstacle = if self.shared.safe_mode {
                Some(Obstacle::SafeMode)
            } else {
                self.pool.obstacle(now, &facts, slot, &self.samples.1)
            };
        }
    }

    fn channel(&self, id: ChannelId) -> Option<Channel> {
        if id == TEST_CHANNEL {
            return Some(Channel::test());
        }
        self.shared.lineup.borrow().as_ref()?.by_id(id).cloned()
    }

    /// Why a slot's child is to end; the first reason counts.
    fn note_ending(&mut self, slot: SlotIndex, how: How) {
        if let Some(Some(playing)) = self.playing.get_mut(usize::from(slot.0)) {
            playing.ending.get_or_insert(how);
        }
    }

    /// Where a channel's picture in a profile can come from.
    fn sources(&self, channel: &Channel, profile: Profile) -> Result<Sources, Refusal> {
        let transcode = self.transcode(channel, profile)?;
        self.supplies(channel, transcode, channel.id).ok_or(Refusal::TuneFailed { retry_ms: 0 })
    }

    /// The same, for who is called `id`.
    fn supplies(&self, channel: &Channel, transcode: Option<Work>, id: ChannelId) -> Option<Sources> {
        let supplies = (0..).zip(&channel.sources).map(|(source, of)| {
            let origin = Origin { channel: channel.id, source };
            let reader = self.reader(origin, of);
            let least = reader.least_work();
            let work = self.needs.get(&origin).map_or(least, |needs| least.max(*needs));
            let account = match of {
                Source::Url { account, .. } => *account,
                Source::Demo(_) => None,
            };
            Supply { class: reader.class(), work: transcode.unwrap_or(work), account }
        });
        Sources::new(id, supplies)
    }

    /// What a child has to do that plays a channel in a profile; `None`: whatever its source needs.
    fn transcode(&self, channel: &Channel, profile: Profile) -> Result<Option<Work>, Refusal> {
        let Some(encoding) = &self.shared.encoding else { return Ok(None) };
        let (now, channel_id, name) = (clock::mono(), channel.id.0, &channel.name);
        // Who joins needs no encoder, and what encodes for nobody gives its own away.
        let plays = self.pool.slots(now).any(|slot| slot.channel == Some(channel.id) && slot.profile == profile);
        let gives_away = || self.pool.slots(now).any(|slot| slot.profile != Profile::None && slot.viewers == 0);
        match encoding.choose(channel.id, profile) {
            Ok(None) => Ok(None),
            Ok(Some(_)) => Ok(Some(Work::Transcode(profile))),
            Err(_) if plays => Ok(Some(Work::Transcode(profile))),
            Err(Cannot::Busy) if gives_away() => Ok(Some(Work::Transcode(profile))),
            Err(Cannot::Busy) => {
                tracing::info!(channel_id, %profile, "{name} was refused: {}", Cannot::Busy.words());
                Err(Refusal::Busy { retry_ms: ENCODERS_BUSY_MS })
            }
            Err(cannot @ (Cannot::NoEncoder | Cannot::TooSlow)) => {
                tracing::info!(channel_id, %profile, "{name} plays as it is: {}", cannot.words());
                Ok(None)
            }
        }
    }

    /// How a source is read.
    fn reader(&self, origin: Origin, source: &Source) -> Reader {
        let found = self.found.get(&origin).filter(|(seen, _)| seen == source);
        found.map_or_else(|| Reader::of(source), |(_, reader)| *reader)
    }

    fn has_viewers(&self, slot: SlotIndex) -> bool {
        self.pool.slots(clock::mono()).any(|view| view.slot == slot && view.viewers > 0)
    }

    fn relay(&self, slot: SlotIndex) -> &Rc<Relay> {
        self.shared.relays.get(usize::from(slot.0)).expect("the pool names only slots that it has")
    }

    fn living(&self, slot: SlotIndex) -> &Living {
        self.living.get(usize::from(slot.0)).expect("the pool names only slots that it has")
    }
}

/// An attempt that has begun.
enum Started {
    /// To be pulled by a task, on which the permit is spent.
    Task(upstream::Remote, SpawnPermit),
    /// A child that is started once it is known whom it may call; the permit is spent on it.
    Call(Box<Call>, SpawnPermit),
    /// A child, and what it gets from us.
    Child(Box<Child>, tend::Supply),
}

/// What a child gets from us, and how.
fn supply(reader: Reader, origin: Option<upstream::Remote>) -> Result<(tend::Supply, Input), StartError> {
    Ok(match (reader, origin) {
        (Reader::TransportStream, Some(origin)) => (tend::Supply::Fed(origin), Input::Fed),
        (Reader::File | Reader::Hls, Some(origin)) => {
            let proxy = origin.proxy().map_err(StartError::Resource)?;
            let address = proxy.address().map_err(StartError::Resource)?;
            (tend::Supply::Proxy(proxy), Input::Proxy(address))
        }
        _ => (tend::Supply::None, Input::Made),
    })
}

/// How a child ended. `ending` is why we had it end, if we did.
fn how(ending: Option<How>, signal: Option<i32>, is_starved: bool) -> How {
    match ending.unwrap_or(signal.map_or(How::Exit, How::Signal)) {
        How::Exit | How::Silent if is_starved => How::Starved,
        how => how,
    }
}

/// A look's answer; it is given when this is dropped, so that there is always one.
struct Answer {
    slot: SlotIndex,
    generation: Generation,
    reporter: mpsc::Sender<Report>,
    found: (Found, Glanced),
}

impl Answer {
    fn give(mut self, found: Found, glanced: Glanced) {
        self.found = (found, glanced);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let (slot, generation) = (self.slot, self.generation);
        let (found, glanced) = std::mem::replace(&mut self.found, (Found::NOTHING, Glanced::default()));
        // An error says that the daemon is ending: there is room for as many reports as there can be.
        self.reporter.try_send(Report { slot, generation, what: What::Probed { found, glanced } }).unwrap_or_default();
    }
}
