//! The one loop: commands, child exits and timers go into the pool, and what it answers is done.
//!
//! It awaits nothing but its next event. Decisions are in `pure::rules::pool`.

use super::process;
use super::relay::Relay;
use super::tend::{LivingGroup, Report, Teller, What, tend};
use super::{Command, Options, Place, Shared, Watcher, facts};
use crate::clock;
use pure::limits::ENGINE_INBOX;
use pure::model::lineup::{Channel, ChannelId, Source};
use pure::model::recipe::{Treatment, recipe};
use pure::rules::admission::Work;
use pure::rules::gate::SpawnPermit;
use pure::rules::pool::{Effect, Effects, Event, Generation, Pool, Refusal, SlotIndex, ViewerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};

pub(super) struct Supervisor {
    pool: Pool,
    effects: Effects,
    shared: Rc<Shared>,
    inbox: mpsc::Receiver<Command>,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
    ffmpeg: PathBuf,
    groups: Vec<LivingGroup>,
    /// What the present or last child of each slot plays, as the lineup had it then.
    playing: Vec<Option<Channel>>,
    answers: BTreeMap<ViewerId, oneshot::Sender<Result<Place, Refusal>>>,
    /// Channels whose source has to be encoded, as was seen.
    to_encode: BTreeSet<ChannelId>,
    drained: Option<oneshot::Sender<()>>,
}

impl Supervisor {
    pub(super) fn new(options: &Options, shared: Rc<Shared>, inbox: mpsc::Receiver<Command>) -> Self {
        let (reporter, reports) = mpsc::channel(ENGINE_INBOX);
        let supervisor = Self {
            pool: Pool::new(options.slots_len),
            effects: Effects::default(),
            shared,
            inbox,
            reports,
            reporter,
            ffmpeg: options.ffmpeg.clone(),
            playing: vec![None; options.slots_len],
            groups: (0..options.slots_len).map(|_| LivingGroup::default()).collect(),
            answers: BTreeMap::new(),
            to_encode: BTreeSet::new(),
            drained: None,
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
            }
            self.show();
            if self.pool.is_idle() {
                if let Some(done) = self.drained.take() {
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
            Command::Ask { viewer, channel, tuner, peer, answer } => {
                let Some(work) = self.channel(channel).map(|channel| self.work_of(&channel)) else {
                    answer.send(Err(Refusal::TuneFailed)).unwrap_or_default();
                    return;
                };
                self.answers.insert(viewer, answer);
                let since = clock::mono();
                self.shared.watchers.borrow_mut().push(Watcher { viewer, slot: None, peer, since });
                self.dispatch(Event::Ask { viewer, channel, tuner, work });
            }
            Command::Drain { done } => {
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
        let name = playing.as_ref().map_or("", |channel| channel.name.as_str());
        let event = match what {
            What::Output => {
                tracing::info!(slot = slot.0, generation = generation.0, channel = name, "channel started");
                Event::Output { slot, generation }
            }
            What::Unsuited => {
                tracing::info!(
                    slot = slot.0,
                    channel = name,
                    "source has formats that clients do not play; starting it again, encoding"
                );
                self.to_encode.extend(playing.map(|channel| channel.id));
                Event::Unsuited { slot, generation }
            }
            What::Useless(why) => {
                tracing::warn!(slot = slot.0, generation = generation.0, channel = name, why, "child ended as useless");
                Event::Useless { slot, generation }
            }
            What::Exited { status, last_words } => {
                self.log_exit(slot, generation, name, status, &last_words);
                Event::Exited { slot, generation }
            }
        };
        self.dispatch(event);
    }

    fn log_exit(
        &self,
        slot: SlotIndex,
        generation: Generation,
        channel: &str,
        status: io::Result<ExitStatus>,
        said: &str,
    ) {
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let (slot_index, generation_number) = (slot.0, generation.0);
        if self.is_watched(slot) {
            self.shared.metrics.ffmpeg_deaths.add(1);
            tracing::warn!(
                slot = slot_index,
                generation = generation_number,
                channel,
                status,
                said,
                "FFmpeg ended while somebody watched or waited; their streams end, the slot is free"
            );
        } else {
            tracing::info!(slot = slot_index, generation = generation_number, channel, status, "FFmpeg ended");
        }
    }

    /// Whether the pool has viewers on a slot whose child was not told to end.
    fn is_watched(&self, slot: SlotIndex) -> bool {
        use pure::rules::pool::SlotState::{Playing, Starting};
        self.pool.slots().any(|view| view.slot == slot && view.viewers > 0 && matches!(view.state, Starting | Playing))
    }

    /// Gives one event to the pool and does what it answers.
    fn dispatch(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if matches!(event, Event::Ask { .. }) || self.pool.wants_facts() {
                self.on_pool(Event::Facts(facts::look(&self.ffmpeg)), &mut events);
            }
            self.on_pool(event, &mut events);
        }
    }

    fn on_pool(&mut self, event: Event, more: &mut VecDeque<Event>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.pool.on(clock::mono(), event, &mut effects);
        for effect in effects.drain() {
            self.perform(effect, more);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect, more: &mut VecDeque<Event>) {
        match effect {
            Effect::Start { slot, generation, channel, work, permit } => {
                if !self.start(slot, generation, channel, work, permit) {
                    more.push_back(Event::SpawnFailed { slot, generation });
                }
            }
            Effect::Terminate { slot, .. } => {
                self.relay(slot).end();
                if let Some(group) = self.group(slot).get() {
                    group.terminate();
                }
            }
            Effect::Kill { slot, generation } => {
                tracing::warn!(slot = slot.0, generation = generation.0, "FFmpeg ignored SIGTERM; killed it");
                if let Some(group) = self.group(slot).get() {
                    group.kill();
                }
            }
            Effect::Quarantine { slot, generation } => {
                tracing::error!(
                    slot = slot.0,
                    generation = generation.0,
                    "FFmpeg cannot be ended, it hangs in the kernel; its tuner is lost until it ends or the box restarts"
                );
            }
            Effect::Admit { viewer, slot, from_start } => {
                for watcher in self.shared.watchers.borrow_mut().iter_mut().filter(|entry| entry.viewer == viewer) {
                    watcher.slot = Some(slot);
                }
                if let Some(answer) = self.answers.remove(&viewer) {
                    // Who has hung up meanwhile leaves by his dropped seat.
                    answer.send(Ok(Place { slot, from_start })).unwrap_or_default();
                }
            }
            Effect::Refuse { viewer, refusal } => {
                if let Some(answer) = self.answers.remove(&viewer) {
                    answer.send(Err(refusal)).unwrap_or_default();
                }
            }
            // A feed ends for all of its viewers at once; they see it in the relay.
            Effect::Close { slot, .. } => self.relay(slot).end(),
        }
    }

    fn start(
        &mut self,
        slot: SlotIndex,
        generation: Generation,
        id: ChannelId,
        work: Work,
        permit: SpawnPermit,
    ) -> bool {
        let Some(channel) = self.channel(id) else {
            tracing::warn!(slot = slot.0, "the channel left the lineup before it could start");
            return false;
        };
        let Some(source) = channel.sources.first() else { return false };
        let treatment = match work {
            Work::Copy => Treatment::Copy,
            Work::Encode => Treatment::Encode,
        };
        let recipe = recipe(source, &channel.name, treatment);
        match process::start(permit, &self.ffmpeg, recipe.args()) {
            Ok(child) => {
                self.shared.metrics.ffmpeg_starts.add(1);
                let group = Rc::clone(self.group(slot));
                group.set(Some(child.group()));
                let relay = Rc::clone(self.relay(slot));
                if let Some(playing) = self.playing.get_mut(usize::from(slot.0)) {
                    *playing = Some(channel);
                }
                relay.begin(generation);
                let tell = Teller { slot, generation, reporter: self.reporter.clone() };
                tokio::task::spawn_local(tend(child, relay, group, tell));
                true
            }
            Err(error) => {
                self.shared.metrics.ffmpeg_start_failures.add(1);
                tracing::error!(
                    slot = slot.0,
                    program = %self.ffmpeg.display(),
                    %error,
                    "FFmpeg could not be started; check that it is installed and that the box has memory left"
                );
                false
            }
        }
    }

    /// Lets others see what the pool looks like now.
    fn show(&self) {
        let mut slots = self.shared.slots.borrow_mut();
        slots.clear();
        slots.extend(self.pool.slots());
    }

    fn channel(&self, id: ChannelId) -> Option<Channel> {
        self.shared.lineup.borrow().as_ref()?.by_id(id).cloned()
    }

    fn work_of(&self, channel: &Channel) -> Work {
        match channel.sources.first() {
            Some(Source::Url { .. }) if !self.to_encode.contains(&channel.id) => Work::Copy,
            _ => Work::Encode,
        }
    }

    fn relay(&self, slot: SlotIndex) -> &Rc<Relay> {
        self.shared.relays.get(usize::from(slot.0)).expect("the pool names only slots that it has")
    }

    fn group(&self, slot: SlotIndex) -> &LivingGroup {
        self.groups.get(usize::from(slot.0)).expect("the pool names only slots that it has")
    }
}
