//! Every bound and budget, with a sentence of reason. Sums and relations are checked while compiling.

// ---- Slots and viewers ------------------------------------------------------------------------------------------

/// Most slots that settings or a board may ask for: the pool's tables have this size.
pub const SLOTS_MAX: usize = 64;
/// Slots where neither settings nor board say otherwise: what a four-core board can carry.
pub const SLOTS_DEFAULT: usize = 4;
/// Most viewers, waiting ones included, over all slots: more connections than this are never accepted.
pub const VIEWERS_MAX: usize = 256;

/// Smallest ring of a slot: a second at 8 Mbit/s.
pub const RING_MIB_MIN: usize = 1;
/// Ring of a slot where settings do not say otherwise: a two-second group of pictures at 16 Mbit/s fits, so a
/// newcomer finds a key frame.
pub const RING_MIB_DEFAULT: usize = 4;
/// Largest ring of a slot: sixteen seconds at 32 Mbit/s; beyond that the memory is better spent otherwise.
pub const RING_MIB_MAX: usize = 64;

/// Most bytes taken from a child in one read: FFmpeg writes 32 KiB at most, coalesced reads see a few of these.
pub const READ_BYTES_MAX: usize = 128 * 1024;
/// Pipe between a child and its ring: 100 ms of slack at 20 Mbit/s. A megabyte was measured twice as slow, because
/// data leaves the cache before it is read.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Pause between two reads of a running child: writes of 1.3 KiB cost eight times those of 20 KiB, and this takes
/// most of that back, for a delay nobody sees.
pub const COALESCE_MS: u64 = 40;
/// The same for a pull, which the kernel keeps meanwhile: each look costs the same whatever it finds, and all pulls are
/// looked at together. At this pace a channel of 8 Mbit/s takes a third of a thousandth of a processor. A viewer's own
/// buffer is many times as long.
pub const PULL_COALESCE_MS: u64 = 250;
/// How long a child is read without pauses after its first packet, so that a tune is quick.
pub const COALESCE_AFTER_MS: u64 = 1_000;
/// How long the reader of a slot waits for its fastest viewer before it overwrites what he has not read. Longer would
/// back a live source up; shorter would skip through a file that is served faster than it plays.
pub const GATE_MS_MAX: u64 = 2_000;
/// Most consecutive packets that hold a PAT and PMT: one section of 1,024 bytes each, in 184-byte payloads.
pub const TABLE_PACKETS_MAX: usize = 12;
/// Places to join of a slot that are remembered, for excerpts: two seconds of those a quarter of a second apart.
pub const JOIN_MARKS: usize = 8;
/// How far apart they are at least: without a picture, every piece of sound is one.
pub const JOIN_MARK_MS: u64 = 250;
/// Stretches of a slot's ring that can be given out one by one, for previews: more than a ring of the usual size holds
/// of a small picture that does not move.
pub const SEGMENTS_MAX: usize = 128;
/// How long one is at least. Our encoders make a key frame each second; shorter ones would be asked for more often.
pub const SEGMENT_MS_MIN: u64 = 2_000;
/// How long at most: what is longer is left out, so that the longest, which playlists name, is no guess.
pub const SEGMENT_MS_MAX: u64 = 3_499;
/// How much an excerpt of a slot's output shows if it can: enough for ffprobe to know every stream.
pub const EXCERPT_MS_MIN: u64 = 1_000;
/// Bytes of an excerpt: a second at 16 Mbit/s.
pub const EXCERPT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A clock that has not moved for this long while packets came stands still; the standard wants it every 100 ms.
pub const CLOCK_STALL_MS: u64 = 2_000;
/// Segments that a preview lists ahead of what it has played, and behind it: players begin three of them before the end.
pub const PREVIEW_AHEAD: u64 = 4;
/// See [`PREVIEW_AHEAD`].
pub const PREVIEW_BEHIND: u64 = 4;
/// Segments that there must be before a preview can be shown: players stop at once with fewer.
pub const PREVIEW_SEGMENTS_MIN: usize = 2;
/// From its first packet until it has them; longer than an encoder that keeps up takes.
pub const PREVIEW_START_MS_MAX: u64 = 12_000;
/// A preview ends when its playlist is not asked for: a player asks every three seconds or so.
pub const PREVIEW_IDLE_MS: u64 = 10_000;
/// A preview ends in any case: it is for looking, not for watching.
pub const PREVIEW_MS_MAX: u64 = 120_000;
/// How long its playlist waits for a segment that was not in it before: Chrome 156 gives up where a reload brings nothing
/// new before it has begun to play. Two gaps of a slow encoder.
pub const PREVIEW_NEWS_MS_MAX: u64 = 8_000;
/// How often a preview moves on.
pub const PREVIEW_STEP_MS: u64 = 250;
const _: () = assert!(PREVIEW_START_MS_MAX + TUNE_DEADLINE_MS < CONVERSATION_MS_MAX);
/// A viewer whose socket takes nothing for this long is let go (S20).
pub const WRITE_STALL_MS: u64 = 10_000;

// ---- The gate ---------------------------------------------------------------------------------------------------

/// Spawns per second that the limiter lets through in the long run.
pub const SPAWN_PERIOD_MS: u64 = 200;
/// Spawns that may follow each other at once; for few slots twice their number is enough.
pub const SPAWN_BURST_MAX: u32 = 10;
/// Memory that admission sets aside for a child that copies.
pub const COPY_MEMORY_BYTES: u64 = 64 * MIB;
/// Memory that admission sets aside for a task that pulls: buffers of two connections, TLS, and a playlist of
/// [`HLS_BYTES_MAX`] as it comes and as it is kept.
pub const PULL_MEMORY_BYTES: u64 = 4 * MIB;
/// File descriptors that it may need at once: a connection for playlists, one for segments, and two that are tried.
pub const PULL_FDS: u32 = 4;
/// Memory that admission sets aside for a child that copies the picture and encodes the sound.
pub const SOUND_MEMORY_BYTES: u64 = 80 * MIB;
/// Memory that admission sets aside for a child that encodes.
pub const ENCODE_MEMORY_BYTES: u64 = 160 * MIB;
/// Memory that admission leaves to the rest of the box.
pub const RESERVE_MEMORY_BYTES: u64 = 96 * MIB;
/// How long after its first packet a child's memory is still counted as not yet taken.
pub const RESERVATION_MS: u64 = 10_000;
/// File descriptors one child may need at once: three pipes with both ends while it starts, its pidfd, and spare.
pub const CHILD_FDS: u32 = 12;
/// File descriptors that admission leaves to doors and store.
pub const RESERVE_FDS: u32 = 32;

// ---- Restarts -----------------------------------------------------------------------------------------------------

/// Failures within the window that open a channel's breaker.
pub const FAILURES_MAX: usize = 5;
/// The shortest window in which failures are counted together (B3).
pub const FAILURE_WINDOW_MS_MIN: u64 = 300_000;
/// How long an open breaker rests before one probe may be tried.
pub const BREAKER_OPEN_MS: u64 = 120_000;
/// Between two restarts of one channel.
pub const COOLDOWN_MS: u64 = 30_000;
/// Restarts of all channels together in any [`THROTTLE_WINDOW_MS`].
pub const RESTARTS_MAX: usize = 10;
/// The span in which restarts are counted together. A minute without a throttled restart also ends a storm.
pub const THROTTLE_WINDOW_MS: u64 = 60_000;
/// Channels whose failures, cooldowns and breakers are remembered. At 5 spawns a second, the limiter's most, 1,500
/// channels can fail within a live source's window.
pub const RECORDS_MAX: usize = 2_048;
/// One acquisition of a permit, from "only a slot and a token are missing" to the permit.
pub const ACQUIRE_MS_MAX: u64 = 90_000;
/// Attempts within one acquisition.
pub const ACQUIRE_ATTEMPTS_MAX: u8 = 5;
/// How long one of these attempts waits for slot and token.
pub const ACQUIRE_ATTEMPT_MS: u64 = 12_000;
/// How often a channel that waits for memory, descriptors or FFmpeg asks again.
pub const ADMISSION_RETRY_MS: u64 = 1_000;
/// The SoC's temperature above which nothing more is encoded, in thousandths of a degree Celsius: boards throttle
/// at 80 to 85.
pub const ENCODE_HEAT_MAX_MILLI_C: i32 = 82_000;
/// Channels whose last use is remembered, to tell an outage of everything from the failure of one.
pub const RECENT_CHANNELS_MAX: usize = 128;
/// How long a channel counts as used (B12).
pub const RECENT_MS: u64 = 600_000;
/// Channels that must have been used before an outage can be told (B12).
pub const OUTAGE_CHANNELS_MIN: usize = 3;

// ---- Health -------------------------------------------------------------------------------------------------------

/// Silence after which a live source has stalled.
pub const SILENCE_LIVE_MS: u64 = 30_000;
/// Silence after which a file has stalled.
pub const SILENCE_FILE_MS: u64 = 180_000;
/// The same for a first failure while somebody watches, and for a probe: players leave after 6 to 15 seconds, and
/// one quick retry is cheap.
pub const SILENCE_FIRST_MS: u64 = 20_000;
/// The same where another source of the channel is ready: what a change costs is little, so that it may come soon. Those
/// who have shown for [`FAILOVER_LEARN_MS`] how long they are ever silent get three times that and a second.
pub const FAILOVER_SILENCE_MS: u64 = 1_500;
/// And those who have not: they may come in segments, of which those of ten seconds are the longest in common use.
pub const FAILOVER_SILENCE_NEW_MS: u64 = 12_000;
/// From the first packet until that is known: three of the longest segments.
pub const FAILOVER_LEARN_MS: u64 = 30_000;
/// No first packet, where another source of the channel is ready: half of what a viewer waits for his answer.
pub const FAILOVER_START_MS: u64 = 5_000;
/// A source that is so far behind its best is falling behind.
pub const BEHIND_MS: u64 = 3_000;
/// Falling behind for so long is too slow to be watched.
pub const SLOW_MS: u64 = 15_000;
/// Between two looks at that.
pub const PACE_LOOK_MS: u64 = 2_000;
/// From the end of a child until the provider's server knows of it (U19): so long its stream counts as one in use.
pub const ACCOUNT_REST_MS: u64 = 2_000;
/// Kinds of channels that are tried in thought, to say whether the next viewer would be refused: their accounts, and
/// what a child for them does.
pub const SAMPLES_MAX: usize = 64;
/// How often the sweep audits the timers.
pub const SWEEP_MS: u64 = 30_000;
/// How late a timer may be before the sweep calls it missed.
pub const SWEEP_GRACE_MS: u64 = 2_000;
/// From the first packet to a stable attempt.
pub const STABLE_MS: u64 = 30_000;
/// How old the last packet of a stable attempt may be.
pub const STABLE_FRESH_MS: u64 = 5_000;
/// From the end of one probe of a channel's output to the next.
pub const PROBE_EVERY_MS: u64 = 3_000;
/// A probe that has not answered by then is killed.
pub const PROBE_KILL_MS: u64 = 9_000;
/// What ffprobe may say about one stream; more is no answer (F19).
pub const PROBE_ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Probes at once, over all channels.
pub const PROBES_MAX: usize = 1;
/// How long the output must have been unwatchable before its child is restarted.
pub const UNHEALTHY_MS: u64 = 30_000;
/// And how often in a row it must have been found so.
pub const UNHEALTHY_PROBES_MIN: u8 = 3;
/// Probes in a row that could not say anything, before the health is shown as unknown.
pub const UNKNOWN_PROBES_MIN: u8 = 3;
/// From one glance at what a live channel shows to the next: one key frame is decoded for it, and a second of sound.
pub const GLANCE_EVERY_MS: u64 = 10_000;
/// A glance that has not answered by then is killed; it takes a tenth of a second as a rule.
pub const GLANCE_KILL_MS: u64 = 4_000;
/// After a look with a glance there is none for so many times as long as it took: all of them together have a fifth of
/// one processor, and less while others want it.
pub const GLANCE_REST_TIMES: u64 = 4;
/// A glance's picture, in pixels: a clock in a corner is still one of them.
pub const GLANCE_WIDTH: usize = 64;
/// See [`GLANCE_WIDTH`].
pub const GLANCE_HEIGHT: usize = 36;
/// See [`GLANCE_WIDTH`].
pub const GLANCE_PIXELS: usize = GLANCE_WIDTH * GLANCE_HEIGHT;
/// Bytes of a glance's sound that are listened to: a second of eight channels at 48 kHz, and some.
pub const GLANCE_SOUND_BYTES_MAX: u64 = 1024 * 1024;
/// How long a picture must have been black or still, without sound, to be called so.
pub const BLANK_MS: u64 = 30_000;
/// The same with sound: films have dark moments, and news show photographs while somebody speaks.
pub const BLANK_SOUND_MS: u64 = 60_000;
/// And how often in a row it must have been found so.
pub const GLANCES_MIN: u8 = 4;
/// Glances further apart than this are not in a row. A box that plays dozens of channels comes to each every few minutes.
pub const GLANCES_APART_MS_MAX: u64 = 300_000;
/// No pixel of a black picture is lighter, of 255; and a badly graded one is not quite black.
pub const BLACK_LUMA_MAX: u8 = 24;
/// Between its lightest and its darkest pixel: in the darkest scene of a film there is more to see.
pub const BLACK_SPREAD_MAX: u8 = 12;
/// How far coding a picture anew moves a pixel's shade, of 255; more is movement. Measured with x264 and MPEG-2 at low
/// rates: 3; a clock of 28 lines among 720 moves one by 5.
pub const STILL_LUMA_MAX: u8 = 3;
/// The loudest that silence is, of 32,768: 66 dB below the loudest there is. Digital silence is 0, or 1 once coded.
pub const SILENT_PEAK_MAX: u16 = 16;
/// For how long a stream's rate is learnt.
pub const STARVED_LEARN_MS: u64 = 60_000;
/// So long next to nothing must have come; segments of ten seconds are the longest in common use.
pub const RATE_STARVED_MS: u64 = 15_000;
/// Next to nothing is so many times less than what was learnt.
pub const STARVED_TIMES: u64 = 10;
/// Once a channel's source was left for what it showed, the next one is not for so long: if that shows the same, it is
/// the programme.
pub const BLANK_AGAIN_MS: u64 = 1_800_000;
/// A viewer is held without a living child for this long.
pub const GAP_MS: u64 = 60_000;
/// A ring keeps its memory for this long after what played there is over.
pub const RING_REST_MS: u64 = 60_000;
/// How often a held viewer gets a packet that carries nothing.
pub const NULL_EVERY_MS: u64 = 500;
/// With early headers: how long a viewer waits for his head at most. Channels gives up after six seconds.
pub const EARLY_HEADERS_MS: u64 = 2_000;
/// How long somebody must have waited for a starting child that is ended for another channel, for that to count.
pub const PREEMPTED_WAIT_MS: u64 = 5_000;
/// A child that ends within this time of its start with a complaint about its arguments will never do better (F02).
pub const USAGE_ERROR_MS: u64 = 500;

// ---- Slates -------------------------------------------------------------------------------------------------------

/// How long viewers hold on before they are shown why: a quick restart shows nothing.
pub const SLATE_AFTER_MS: u64 = 2_000;
/// From the beginning of a gap to the end of its slate. The rules send viewers away by then; should one of them fail,
/// a slate must not hide that for ever.
pub const SLATE_MS_MAX: u64 = 90_000;
/// One round of a slate: a key frame at its beginning and another one half-way.
pub const SLATE_MS: u64 = 4_000;
/// Pictures a second of a slate: nothing moves.
pub const SLATE_RATE: u64 = 25;
/// Bytes of one slate: text at 1,080 lines took 140 KiB.
pub const SLATE_BYTES_MAX: usize = 256 * 1024;
/// Slates in memory, those that are shown included; whoever finds no room gets packets that carry nothing.
pub const SLATES_MAX: usize = 8;
/// Lines of a slate's text below its title.
pub const SLATE_LINES_MAX: usize = 8;
/// From the start of the child that makes a slate to its end; with nobody to show it to by then, it was not worth it.
pub const SLATE_MAKE_MS_MAX: u64 = 8_000;
/// How long no slate is made after one could not be made: FFmpeg lacks an encoder, perhaps.
pub const SLATE_RETRY_MS: u64 = 30_000;
/// How often a slate's next packets are put where viewers read.
pub const SLATE_STEP_MS: u64 = 40;
/// A try that is nearer than this is "now" to people: nobody could read its time.
pub const SLATE_SOON_MS: u64 = 3_000;
const _: () = assert!(SLATE_AFTER_MS < GAP_MS, "there is something to see");
const _: () = assert!(
    GAP_MS + START_TIMEOUT_MS + TERM_MS + REAP_MS < SLATE_MS_MAX,
    "it outlasts any hold: a start may be on its way when a viewer's time is up"
);

// ---- Time -------------------------------------------------------------------------------------------------------

/// A viewer gets a picture or an honest refusal within this time.
pub const TUNE_DEADLINE_MS: u64 = 10_000;
/// A child that has made no packet by then is ended.
pub const START_TIMEOUT_MS: u64 = 20_000;
/// How long a slot keeps playing after its last viewer left: Kodi opens, closes and opens again.
pub const LINGER_MS: u64 = 5_000;
/// From SIGTERM to SIGKILL.
pub const TERM_MS: u64 = 2_000;
/// From SIGKILL to giving the slot up: the child is stuck in the kernel.
pub const REAP_MS: u64 = 5_000;
/// SIGTERM to the daemon: everything has ended by then, or is ended.
pub const DRAIN_MS: u64 = 5_000;

// ---- HTTP -------------------------------------------------------------------------------------------------------

/// Connections at once, over all ports, where settings do not say otherwise (S20).
pub const CONNECTIONS_DEFAULT: usize = 64;
/// Connections at once from one address, where settings do not say otherwise (S20).
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: usize = 16;
/// Of all connections: those that only who manages the box may keep busy (S20).
pub const OWNER_CONNECTIONS: usize = 4;
/// Most connections that settings may ask for.
pub const CONNECTIONS_MAX: usize = 512;
/// Header lines of a request (S20).
pub const HEADERS_MAX: usize = 64;
/// Bytes of a request's head (S20).
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's path and query (S20).
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a request's body (S20); nothing yet takes more than an empty one.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// From accepting a connection, or from its last answer, to the end of the next request's head (S20).
pub const HEAD_MS_MAX: u64 = 5_000;
/// The life of a connection that plays nothing: whoever needs longer for small answers is gone, or means harm (S20).
pub const CONVERSATION_MS_MAX: u64 = 60_000;
/// Between two times that a page is told how the box is: often enough to see a tuner start.
pub const EVENT_PERIOD_MS: u64 = 2_000;
/// How often within one answer; then the page asks again, before its conversation is over.
pub const EVENTS_PER_ANSWER: u32 = 25;
const _: () = assert!(EVENT_PERIOD_MS * (EVENTS_PER_ANSWER as u64) < CONVERSATION_MS_MAX);
/// Characters of what clients call the box.
pub const BOX_NAME_CHARS_MAX: usize = 32;
/// Minutes that the page's graphs show.
pub const HISTORY_MINUTES: usize = 60;
/// hyper's buffers of one connection.
pub const CONNECTION_BYTES: usize = 64 * 1024;

// ---- Fetching ---------------------------------------------------------------------------------------------------

/// Redirects that one fetch follows (S32).
pub const REDIRECTS_MAX: usize = 3;
/// The resolver's time for a name (U20).
pub const RESOLVE_MS_MAX: u64 = 5_000;
/// How long an answer of the resolver is good without asking again: a playlist's segments come every few seconds.
pub const NAME_FRESH_MS: u64 = 60_000;
/// How long it is good for want of a newer one (U20).
pub const NAME_STALE_MS: u64 = 600_000;
/// Names that are remembered; the oldest makes room.
pub const NAMES_MAX: usize = 64;
/// Addresses of one name that are tried.
pub const NAME_ADDRESSES_MAX: usize = 8;
/// Before the next address of a name is tried beside the one before it (U23). Source: RFC 8305.
pub const EYEBALLS_MS: u64 = 250;
/// From asking for a connection to having it, over all addresses; the same again for TLS.
pub const CONNECT_MS_MAX: u64 = 8_000;
/// From the request to the answer's head. Longer than a start may take: who waits for a picture hears of that first.
pub const ANSWER_MS_MAX: u64 = 25_000;
/// From one piece of a document to the next.
pub const PIECE_MS_MAX: u64 = 10_000;
/// The longest that a busy source may send us away for (U06).
pub const RETRY_AFTER_MS_MAX: u64 = 300_000;
/// Who had nothing from his source for so long is not to blame for his silence.
pub const STARVED_MS: u64 = 8_000;
/// How often a source is tried whose certificate cannot be checked before our clock is right (U21).
pub const CLOCK_RETRY_MS: u64 = 2_000;
/// Connections that a fetch keeps for its next question: one for playlists, one for segments.
pub const IDLE_CONNECTIONS_MAX: usize = 2;
/// Bytes of an HLS playlist (U17).
pub const HLS_BYTES_MAX: usize = 1024 * 1024;
/// Lines of one (U17).
pub const HLS_LINES_MAX: usize = 10_000;
/// Bytes of one of its segments: half a minute at 32 Mbit/s.
pub const HLS_SEGMENT_BYTES_MAX: u64 = 128 * MIB;
/// Segments in a row that may be missing before the source has failed.
pub const HLS_MISSES_MAX: u8 = 3;
/// The shortest pause between two looks at a live playlist, whatever it says.
pub const HLS_REFRESH_MS_MIN: u64 = 500;
/// The longest: a viewer hears from the source before it counts as silent.
pub const HLS_REFRESH_MS_MAX: u64 = 10_000;
/// hyper's buffer of one fetching connection. Four times as much was measured no cheaper.
pub const FETCH_BUFFER_BYTES: usize = 64 * 1024;
/// Connections of a child that fetches by itself; it opens all variants of a playlist side by side to look at them.
pub const PROXY_CONNECTIONS_MAX: usize = 12;
/// Bytes of the head of its requests: an address, and headers that a provider wants to see.
pub const PROXY_HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long what the system trusts is taken for what it still trusts.
pub const TRUST_MS: u64 = 600_000;

// ---- Control ----------------------------------------------------------------------------------------------------

/// Control connections at once: clients keep one for each tuner, and scanners another.
pub const CONTROL_CONNECTIONS_MAX: usize = 48;
/// Control connections at once from one address.
pub const CONTROL_CONNECTIONS_PER_ADDRESS_MAX: usize = 16;
/// Routers that a stream to a group may pass at most: those of one house, and not of a town.
pub const MULTICAST_TTL_MAX: u8 = 8;
/// Who stops in the middle of a frame for this long is hung up on.
pub const CONTROL_STALL_MS: u64 = 10_000;

// ---- Updates ----------------------------------------------------------------------------------------------------

/// The largest upload where the settings do not say otherwise: bundles of this system have some 100 MiB.
pub const UPLOAD_MIB_DEFAULT: usize = 512;
/// The largest upload that settings may allow: the protocol counts bytes in 32 bits.
pub const UPLOAD_MIB_MAX: usize = 2_048;
/// What is written to the disk in one go.
pub const UPLOAD_PIECE_BYTES: usize = 256 * 1024;
/// How many of these may wait for the disk; then the client has to.
pub const UPLOAD_PIECES: usize = 2;
/// What an upload leaves free on the disk: the database has to be written as well.
pub const UPLOAD_RESERVE_BYTES: u64 = 64 * MIB;
/// How long the check of a signature may take. Clients wait for 40 seconds.
pub const CHECK_MS_MAX: u64 = 30_000;
/// What is read of what it says.
pub const CHECK_WORDS_BYTES_MAX: usize = 64 * 1024;
/// The longest version: `20261122.1.2-rc1` has sixteen.
pub const VERSION_BYTES_MAX: usize = 32;
/// How long nobody must have watched: who changes the channel is gone for a moment.
pub const UPDATE_QUIET_MS: u64 = 5_000;
/// How long the hours of the night are in which updates may come by themselves.
pub const UPDATE_WINDOW_MIN: u32 = 120;
/// Over which of them boxes are spread; the rest is for who begins last.
pub const UPDATE_JITTER_MIN: u32 = 90;
/// When these hours begin, where the owner does not say otherwise: most people sleep, and no clock is changed later.
pub const UPDATE_HOUR: u8 = 3;
/// How long an automatic update may be put off because somebody always watches (S-UPD2).
pub const UPDATE_PUT_OFF_S: i64 = 7 * 86_400;
/// How often the channel is asked, and some minutes more.
pub const CHANNEL_PERIOD_S: u32 = 6 * 3_600;
/// The longest document of a channel: a line for each board.
pub const CHANNEL_BYTES_MAX: usize = 16 * 1024;
/// Boards in one.
pub const CHANNEL_BOARDS_MAX: usize = 64;
/// Bad versions in one.
pub const CHANNEL_VERSIONS_MAX: usize = 64;
/// How long RAUC may write: a slow card takes minutes for each hundred MiB, and RAUC cannot be stopped in the middle.
pub const INSTALL_MS_MAX: u64 = 3_600_000;
/// How often it is looked whether an update that waits may go on.
pub const UPDATE_LOOK_MS: u64 = 1_000;
/// How often RAUC is asked whether it still writes, after a fresh start of this program.
pub const UPDATE_RESUME_LOOK_MS: u64 = 5_000;
/// After so long RAUC is told again that an update was called back which it has written.
pub const UPDATE_TAKE_BACK_MS: u64 = 60_000;
/// How long a fresh start is waited for before it is said that there was none.
pub const REBOOT_MS_MAX: u64 = 120_000;
const _: () = assert!(UPDATE_JITTER_MIN + 30 <= UPDATE_WINDOW_MIN, "who begins last has time for it, too");
/// A system that nobody has begun to ask for a proof by then has given it at an earlier start.
pub const UPDATE_PROOF_MS_MAX: u64 = 120_000;
/// What still runs after that time without a proof, nobody has taken back.
pub const UPDATE_TRIAL_MS_MAX: u64 = 1_800_000;
const _: () = assert!(2 * PROVE_MS_MAX < UPDATE_TRIAL_MS_MAX, "a proof comes before that");
/// How long a system that has just started is given to prove itself, in which its programs are not in memory yet.
pub const PROVE_MS_MAX: u64 = 300_000;
/// How long one try of it may take, the ten seconds of the picture and its start included.
pub const PROVE_STEP_MS_MAX: u64 = 90_000;
/// Good answers in a row that prove that it answers.
pub const PROVE_ANSWERS: u32 = 5;
/// Between two of them.
pub const PROVE_PAUSE_MS: u64 = 1_000;
/// How much of a clean picture proves that it plays.
pub const PROVE_PICTURE_MS: u64 = 10_000;
/// How long the page tells of an upload that was refused.
pub const UPLOAD_NOTICE_MS: u64 = 3_600_000;

// ---- The doctor -----------------------------------------------------------------------------------------------------

/// The longest examination: nobody looks at a page for longer.
pub const DOCTOR_MS_MAX: u64 = 90_000;
/// How long a client waits for a picture. Source: Channels gives up after six seconds (truecharts' issue 10071).
pub const DOCTOR_PATIENCE_MS: u64 = 6_000;
/// Subscriptions of which the doctor plays a channel: each takes a stream of its account for some seconds.
pub const DOCTOR_SOURCES_MAX: usize = 3;
/// The longest document that the doctor reads, unpacked; a lineup of all channels has some 16 MiB.
pub const DOCTOR_DOCUMENT_BYTES_MAX: u64 = 64 * MIB;
/// The longest refusal that it reads: there should be no text at all.
pub const DOCTOR_BODY_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(CHECK_MS_MAX + CONTROL_STALL_MS <= 40_000, "the answer comes while somebody waits for it");
const _: () = assert!(UPLOAD_MIB_DEFAULT <= UPLOAD_MIB_MAX && UPLOAD_MIB_MAX < 4_096, "offsets have 32 bits");

// ---- Backup and undo --------------------------------------------------------------------------------------------

/// What the owner did that can be taken back: more steps than anybody remembers.
pub const REVISIONS_MAX: u32 = 50;
/// Bytes of all these: who changed little has some kilobytes, and the copy of the database has them as well.
pub const REVISIONS_BYTES_MAX: u64 = 2 * MIB;
/// Bytes of a backup: 250,000 channels.
pub const BACKUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of what is packed in it; it is never in memory as a whole.
pub const BACKUP_UNPACKED_BYTES_MAX: u64 = 128 * MIB;
/// Bytes of one row of it: the longest have an address and headers.
pub const BACKUP_ROW_BYTES_MAX: u64 = 64 * 1024;
/// Ignored things that are told one by one.
pub const BACKUP_IGNORED_MAX: usize = 50;
/// Characters of the password of a backup.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// And at most.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Memory that making the key of a password may take; we ask for half of it.
pub const BACKUP_KIB_MAX: u32 = 40 * 1024;
/// How often it may be gone through.
pub const BACKUP_PASSES_MAX: u32 = 8;
/// And in how many lanes.
pub const BACKUP_LANES_MAX: u32 = 4;

// ---- Lineup -----------------------------------------------------------------------------------------------------

/// Channels of one lineup: the largest that clients were seen to take have a tenth of it.
pub const CHANNELS_MAX: usize = 65_536;
/// Channels that Plex takes from one device; whoever has more is told. Source: xTeVe's issues 52, 63, 133 and 244.
pub const PLEX_CHANNELS_MAX: usize = 480;
/// Devices that the box looks like besides itself: one for each kind of client that wants other channels.
pub const FACES_MAX: usize = 4;
/// Groups that a face may name.
pub const FACE_GROUPS_MAX: usize = 256;
/// Characters of a face's name; the box's own may have as many.
pub const FACE_NAME_CHARS_MAX: usize = 32;
/// Entries that one subscription may list: the largest playlists seen, with films and series, have 200,000.
pub const ENTRIES_MAX: usize = 262_144;
/// Groups that one subscription may list: playlists of 200,000 entries have two thousand.
pub const GROUPS_MAX: usize = 16_384;
/// Subscriptions: homes have one to five.
pub const SUBSCRIPTIONS_MAX: usize = 32;
/// Sources of one channel: more providers of the same channel than anybody pays for.
pub const SOURCES_MAX: usize = 8;
/// Bytes of a playlist (M01): 250,000 entries with logo and guide id. It is never in memory as a whole.
pub const PLAYLIST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries that are given to the store at once: a few milliseconds of its work.
pub const STAGE_LEN: usize = 512;
/// Rows that the store looks at before others get their turn.
pub const ROWS_MAX: u32 = 4_096;
/// Entries or channels in one answer.
pub const PAGE_LEN_MAX: usize = 500;
/// Channels that one request may change.
pub const BULK_MAX: usize = 5_000;
/// Change sets that are remembered of each subscription.
pub const CHANGE_SETS_MAX: i64 = 20;
/// Bytes of one logo: pictures for a television's list are a tenth of it.
pub const LOGO_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all logos that are kept: a thousand as they usually are.
pub const LOGOS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Logos that are fetched at once: clients ask for hundreds, and providers count.
pub const LOGO_FETCHES_MAX: usize = 2;
/// Logos that are remembered as not to be had.
pub const LOGO_FAILURES_MAX: usize = 1_024;
/// For how long.
pub const LOGO_FAILURE_MS: u64 = 3_600_000;
/// Hosts that stand in for a provider's: resellers name three or four.
pub const HOSTS_MAX: usize = 8;
/// Bytes of a name or a password at a proxy. Source: RFC 1929, one byte counts them.
pub const PROXY_LOGIN_BYTES_MAX: usize = 255;
/// Bytes of an HTTP proxy's answer to `CONNECT`.
pub const PROXY_ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one header that a provider wants to see: cookies are the longest.
pub const HEADER_VALUE_BYTES_MAX: usize = 1_024;
/// Bytes of one string or number in a provider's JSON; more is no answer.
pub const JSON_ITEM_BYTES_MAX: usize = 16 * 1024;
/// From one refresh of a subscription to the next, at least: providers count how often they are asked.
pub const REFRESH_S_MIN: u32 = 900;
/// The same where nobody says: lists change about once a day.
pub const REFRESH_S_DEFAULT: u32 = 43_200;
/// The same at most: a month.
pub const REFRESH_S_MAX: u32 = 2_592_000;
/// From a failed refresh to the next try; doubled each time.
pub const REFRESH_RETRY_MS_MIN: u64 = 15_000;
/// The longest pause between two tries.
pub const REFRESH_RETRY_MS_MAX: u64 = 900_000;
/// Bytes of one line of a playlist (M01).
pub const PLAYLIST_LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a name, group or guide id; longer ones are cut at a character.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of an address (S30).
pub const URL_BYTES_MAX: usize = 2_048;
/// Bytes of a guide number.
pub const GUIDE_NUMBER_BYTES_MAX: usize = 12;
/// From asking for a playlist to having all of it in the store: 64 MiB take two minutes at 4 Mbit/s.
pub const FETCH_MS_MAX: u64 = 180_000;
/// Hours of guide that we serve for a channel of our own.
pub const GUIDE_HOURS: i64 = 24;

// ---- Guides -----------------------------------------------------------------------------------------------------

/// Elements in elements of a guide (M03); those of XMLTV need four.
pub const XML_DEPTH_MAX: usize = 16;
/// Bytes of one attribute of a guide (M03).
pub const XML_ATTRIBUTE_BYTES_MAX: usize = 8 * 1024;
/// Attributes of one tag of a guide (M03); those of XMLTV have eight at most.
pub const XML_ATTRIBUTES_MAX: usize = 32;
/// Bytes of one tag of a guide.
pub const XML_TAG_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a guide as it comes over the network (M04): a plain one is as large as an unpacked one.
pub const GUIDE_BYTES_MAX: u64 = 256 * MIB;
/// How much larger than its packed form a guide may be (M04). Real ones reach 15; a bomb has 1,000.
pub const GUIDE_RATIO_MAX: u64 = 200;
/// What may come out before that ratio counts: a few bytes may well hold a few thousand equal ones.
pub const GUIDE_RATIO_FROM_BYTES: u64 = MIB;
/// Window of a guide that is packed by xz, which has to be held in memory; `xz -8` has this one.
pub const XZ_WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Processor time for reading one guide (M04).
pub const GUIDE_CPU_MS_MAX: u64 = 60_000;
/// From asking for a guide to having all of it.
pub const GUIDE_FETCH_MS_MAX: u64 = 900_000;
/// Channels of one guide. The largest public ones have 20,000.
pub const GUIDE_CHANNELS_MAX: usize = 32_768;
/// Programmes of one guide that are kept, of those near enough in time; the others are counted (M03). A guide as large as
/// [`GUIDE_BYTES_MAX`] has half a million.
pub const GUIDE_PROGRAMMES_MAX: u32 = 1_000_000;
/// Bytes of a text of a programme; longer ones are cut at a character and counted.
pub const GUIDE_TEXT_BYTES_MAX: usize = 2_048;
/// Texts of one programme that are kept.
pub const GUIDE_DETAILS_MAX: usize = 32;
/// Names of one channel of a guide that are kept.
pub const GUIDE_NAMES_MAX: usize = 6;
/// The longest programme; one that claims to be longer has a broken end.
pub const PROGRAMME_S_MAX: i64 = 24 * 3_600;
/// The longest programme without an end of its own, which lasts until the next one begins.
pub const PROGRAMME_OPEN_S_MAX: i64 = 6 * 3_600;
/// How far back programmes are kept: offsets may bring them back, and players show what was on before.
pub const GUIDE_PAST_S: i64 = 2 * 86_400;
/// How far ahead programmes are kept and served; Plex shows two weeks.
pub const GUIDE_AHEAD_S: i64 = 14 * 86_400;
/// How far back programmes are served.
pub const GUIDE_SERVED_PAST_S: i64 = 4 * 3_600;
/// How far a guide or a channel may be moved by hand.
pub const GUIDE_OFFSET_S_MAX: i64 = 24 * 3_600;
/// By how many hours a guide may seem to be shifted: so many are time zones apart.
pub const GUIDE_SHIFT_HOURS_MAX: i64 = 12;
/// Programmes that must agree for that.
pub const GUIDE_SHIFT_AGREE_MIN: u32 = 8;
/// Channels on which guides are compared.
pub const GUIDE_SHIFT_CHANNELS_MAX: usize = 50;
/// What must stay free where guides are kept: the settings' database is there, too.
pub const GUIDE_DISK_FREE_BYTES_MIN: u64 = 64 * MIB;
/// Guides at once.
pub const GUIDES_MAX: usize = 16;
/// Guide addresses that are taken from one playlist.
pub const PLAYLIST_GUIDES_MAX: usize = 8;
/// Pieces of a guide that wait to be read: what comes faster waits in the kernel.
pub const GUIDE_PIECES_MAX: usize = 4;
/// Questions waiting for the guides' thread.
pub const GUIDE_INBOX: usize = 16;
/// From one fetch of a guide to the next.
pub const GUIDE_EVERY_MS: u64 = 12 * 3_600_000;
/// By up to how much that is put off, so that boxes do not all come at once.
pub const GUIDE_JITTER_MS: u64 = 1_800_000;
/// From a failed fetch to the next try; doubled each time.
pub const GUIDE_RETRY_MS_MIN: u64 = 60_000;
/// The longest pause between two tries.
pub const GUIDE_RETRY_MS_MAX: u64 = 3 * 3_600_000;
/// The served guide is made anew after this time, whatever happens.
pub const GUIDE_REMAKE_MS: u64 = 6 * 3_600_000;
/// From one making of the served guide to the next, however much changes.
pub const GUIDE_PAUSE_MS: u64 = 1_000;
/// How long a client waits for a guide that is just being made, before he is told to come back.
pub const GUIDE_WAIT_MS: u64 = 5_000;
/// Channels in one answer about matches, and guide channels in one answer about them.
pub const GUIDE_ROWS_MAX: usize = 500;
/// Channels in one answer about what is on: some screens full.
pub const WINDOW_ROWS_MAX: usize = 100;
/// Hours of it.
pub const WINDOW_S_MAX: i64 = 24 * 3_600;
/// Programmes of a channel in it: news every five minutes are more than anybody looks at.
pub const WINDOW_PROGRAMMES_MAX: usize = 64;

// ---- Logs and notes -----------------------------------------------------------------------------------------------

/// Last log lines kept for the API: two answers of the largest kind, and half a megabyte. The plan thought of 4 MiB;
/// a third of what the whole daemon may hold is too much for that.
pub const LOG_LINES_MAX: usize = 1_024;
/// Log lines in one answer.
pub const LOG_ANSWER_MAX: usize = 500;
/// Log lines in one answer where nobody says how many.
pub const LOG_ANSWER_DEFAULT: usize = 100;
/// Log lines about one channel in any minute; the rest are counted (I17).
pub const CHANNEL_LINES_PER_MINUTE: usize = 6;
/// Channels whose log lines are counted at once: many more than can be restarted in a minute.
pub const CHANNEL_LINES_TABLE: usize = 128;
/// Bytes of one kept log line; longer ones are cut.
pub const LOG_LINE_BYTES_MAX: usize = 400;
/// Bytes of one line of a child's stderr; the rest of a longer one is left out (F10). More would not fit into a log
/// line, and a second part could begin in the middle of a password.
pub const STDERR_LINE_BYTES_MAX: usize = 1_024;
/// Lines of a child's stderr that are logged a minute; the rest are counted (F09, I17).
pub const STDERR_LINES_PER_MINUTE: u32 = 6;

// ---- Alarms -------------------------------------------------------------------------------------------------------

/// The span in which restarts are counted for the alarm about their number.
pub const VELOCITY_WINDOW_MS: u64 = 300_000;
/// Restarts in that span that warn: half a restart a minute.
pub const VELOCITY_WARNING: usize = 3;
/// Restarts in that span that are critical: two a minute.
pub const VELOCITY_CRITICAL: usize = 10;
/// Restarts in that span that keep a warning up; fewer must last for [`ALARM_FALL_MS`] to clear it.
pub const VELOCITY_WARNING_KEEP: usize = 2;
/// Restarts in that span that keep it critical.
pub const VELOCITY_CRITICAL_KEEP: usize = 8;
/// How long the number of restarts must be low before that alarm falls.
pub const ALARM_FALL_MS: u64 = 60_000;
/// How long a storm's alarm stays after the last restart that was held back: what it was about is then out of every
/// channel's window.
pub const STORM_ALARM_MS: u64 = 300_000;
/// The span in which storms are counted.
pub const STORM_WINDOW_MS: u64 = 3_600_000;
/// Storms in that span that are critical: a soak fails at as many.
pub const STORMS_CRITICAL: usize = 3;
/// Taken slots, of all, that raise the alarm about them.
pub const PRESSURE_PERCENT: usize = 90;
/// Taken slots, of all, that keep it up.
pub const PRESSURE_KEEP_PERCENT: usize = 80;
/// How long slots must be taken or free for that: whoever zaps takes a second one for a moment.
pub const PRESSURE_HOLD_MS: u64 = 10_000;
/// Crashes of FFmpeg within [`CRASH_WINDOW_MS`] that are FFmpeg's own trouble (F03).
pub const CRASHES_MAX: usize = 3;
/// Channels on which these happen at least: one alone may have a source that FFmpeg cannot stand.
pub const CRASH_CHANNELS_MIN: usize = 2;
/// The span in which crashes are counted, and how long the alarm stays after the last one.
pub const CRASH_WINDOW_MS: u64 = 600_000;
/// How often FFmpeg is found unhealthy within [`ESCALATION_WINDOW_MS`] before the daemon starts anew (E1).
pub const ESCALATIONS_MAX: usize = 3;
/// The span in which these are counted.
pub const ESCALATION_WINDOW_MS: u64 = 3_600_000;
/// How long the alarm stays after a child was ended for want of memory (F04).
pub const OOM_ALARM_MS: u64 = 300_000;
/// How long the alarms about memory and descriptors stay after they last were short.
pub const BOARD_ALARM_MS: u64 = 60_000;
/// A delay of the executor that warns: five times the longest that we promise.
pub const STALL_WARNING_MS: u64 = 500;
/// A delay of the executor that is critical (K12).
pub const STALL_CRITICAL_MS: u64 = 2_000;
/// How long a stall's alarm stays.
pub const STALL_ALARM_MS: u64 = 300_000;
/// An alarm that is raised again within this time of its last sign is the same one.
pub const ALARM_CLUSTER_MS: u64 = 1_800_000;

// ---- Metrics ------------------------------------------------------------------------------------------------------

/// The text that Prometheus gets: one buffer, taken at start.
pub const EXPOSITION_BYTES_MAX: usize = 72 * 1024;
/// Channels whose restarts are counted one by one; the newest are kept.
pub const CHANNEL_ROWS_MAX: usize = 96;
/// Channels and classes whose failures are counted one by one; the newest are kept.
pub const FAILURE_ROWS_MAX: usize = 128;
/// Breakers that are shown one by one, open ones first.
pub const BREAKER_ROWS_MAX: usize = 128;
/// Channels in trouble that the page lists, the worst first.
pub const ILL_CHANNELS_MAX: usize = 32;

// ---- Encoders -----------------------------------------------------------------------------------------------------

/// Encoders that are tried on one box: a chip with two interfaces, two graphics cards, and software.
pub const ENCODERS_MAX: usize = 8;
/// From the start of an encoder's trial to its end; one that is not done by then is too slow, or hangs.
pub const TRIAL_MS_MAX: u64 = 10_000;
/// Pictures of a trial, at 25 a second: a second after those that an encoder may hold back, so that two key frames
/// come.
pub const TRIAL_PICTURES: u32 = 30;
/// From the start of the daemon to the first trial: a board that has just been switched on is busy with that.
pub const TRIALS_AFTER_MS: u64 = 2_000;
/// How long trials wait that somebody has interrupted, who wants to watch, or that the board could not carry.
pub const TRIALS_RETRY_MS: u64 = 10_000;
/// When it is worth asking again for a picture that no encoder has time for.
pub const ENCODERS_BUSY_MS: u64 = 10_000;
/// What is read of FFmpeg's words during a trial; the cause stands in the first lines.
pub const TRIAL_WORDS_BYTES_MAX: usize = 4 * 1024;
/// What is kept of the words of a failed encoder.
pub const ENCODER_WORDS_BYTES_MAX: usize = 240;
/// How much faster than the picture plays an encoder must be, in percent: a tenth to spare for what its trial did not
/// show, decoding above all.
pub const REAL_TIME_PERCENT_MIN: u64 = 110;
/// How long a hardware encoder rests after its first failure: what it lacked, memory of the chip perhaps, is back when
/// another stream ends.
pub const ENCODER_REST_MS_MIN: u64 = 60_000;
/// And at most, after one failure upon the other.
pub const ENCODER_REST_MS_MAX: u64 = 3_600_000;
/// How long it must have worked for its failures to be forgotten.
pub const ENCODER_GOOD_MS: u64 = 60_000;
/// How long a channel is encoded by software that a hardware encoder did not get through, for reasons unknown.
pub const SOFTWARE_ONLY_MS: u64 = 600_000;
/// Channels of that kind; of more, the oldest is forgotten.
pub const SOFTWARE_ONLY_MAX: usize = 16;

// ---- What HDHomeRun clients ask -----------------------------------------------------------------------------------

/// Bytes of a PID filter's text, which is given back as it was set: as much as fits into a request.
pub const FILTER_BYTES_MAX: usize = 1_400;
/// A lock whose owner is gone from the control port is dropped when its key was not seen for this long.
pub const LOCK_IDLE_MS: u64 = 30_000;
/// A receiver that has sent keepalives every second, and none for this long, is gone.
pub const KEEPALIVE_MS: u64 = 30_000;
/// A receiver whose control connection is gone, and that sends no keepalives, is gone after this time: the library
/// comes back with a new connection sooner.
pub const ORPHAN_MS: u64 = 10_000;
/// A datagram was refused by the receiver's machine this often before the stream ends: one refusal may be about a
/// stream before this one.
pub const REFUSALS_MIN: u8 = 3;
/// And for at least this long.
pub const REFUSED_MS: u64 = 1_000;
/// A refusal that comes this long after the last one begins a new count.
pub const REFUSAL_GAP_MS: u64 = 5_000;

/// Sources whose share of answers is remembered (S40).
pub const REPLY_SOURCES_MAX: usize = 256;
/// Between two answers to one source in the long run (S40).
pub const SOURCE_REPLIES_PERIOD_MS: u64 = 200;
/// Answers that one source may get at once: a search for everything over SSDP takes six.
pub const SOURCE_REPLIES_BURST: u32 = 10;
/// Between two answers to all sources together in the long run (S40).
pub const REPLIES_PERIOD_MS: u64 = 10;
/// Answers that all together may get at once.
pub const REPLIES_BURST: u32 = 100;

/// Clients that are remembered for the page; a home has fewer.
pub const CLIENTS_MAX: usize = 64;
/// Bytes kept of a client's user agent.
pub const USER_AGENT_BYTES_MAX: usize = 96;

/// Bytes of an SSDP datagram that is read: real ones have 150.
pub const SSDP_BYTES_MAX: usize = 1_500;
/// Header lines of an SSDP datagram.
pub const SSDP_HEADERS_MAX: usize = 24;
/// The longest that a search may ask us to wait before we answer, in seconds; longer ones mean this.
pub const SSDP_WAIT_S_MAX: u8 = 5;

// ---- Children -----------------------------------------------------------------------------------------------------

/// Most data one child may hold, on boards with plenty: half of the board's memory, within these two. Encoding 4K
/// pictures took 500 MiB on two cores, 1080p 240 MiB, and more cores take more. A child that grows by 50 MiB a minute
/// ends within the hour instead of taking the board down (F16).
pub const CHILD_DATA_BYTES_MAX: u64 = 2_048 * MIB;
/// The same on small boards, whose kernel runs out of memory first.
pub const CHILD_DATA_BYTES_MIN: u64 = 512 * MIB;
/// File descriptors one child may open: a playlist of segments over TLS needs some twenty.
pub const CHILD_FDS_MAX: u64 = 256;
/// Largest file one child may write. FFmpeg writes to its pipe; fontconfig keeps a cache of a few megabytes.
pub const CHILD_FILE_BYTES_MAX: u64 = 64 * MIB;
/// How much lower than ours the priority of an encoding child is (F17).
pub const ENCODE_NICE: i32 = 10;
/// How much sooner than others a child is chosen when the kernel has no memory left: it is replaced in a second.
pub const CHILD_OOM_SCORE: i32 = 500;
/// Bytes of a child's stderr that are taken at once, before others get their turn (F09).
pub const STDERR_READ_BYTES: usize = 8 * 1024;
/// The end of what a child said, which is kept to tell why it ended.
pub const STDERR_TAIL_BYTES: usize = 8 * 1024;
/// What a child may say within [`STDERR_PAUSE_MS`]; then it is read on after that time only: 16 MB/s at most (F09).
pub const STDERR_BURST_BYTES: usize = 64 * 1024;
/// See [`STDERR_BURST_BYTES`].
pub const STDERR_PAUSE_MS: u64 = 4;
/// Last lines of a child that are looked at for a reason.
pub const LAST_WORDS_LINES_MAX: usize = 24;
/// Last lines of a child that people are shown.
pub const LAST_WORDS_SHOWN: usize = 2;
/// The least time between two looks for children that nobody looks after, however many of ours end.
pub const STRAYS_PAUSE_MS: u64 = 100;
/// From when on the wall clock can be right: this release did not exist before (2026-01-01).
pub const WALL_S_MIN: i64 = 1_767_225_600;

// ---- The guardian -------------------------------------------------------------------------------------------------

/// How often the guardian looks whether supervisor and store answer; a quarter of systemd's watchdog, if that is less.
pub const BEAT_MS: u64 = 5_000;
/// How often the executor's lateness is measured while a slot is taken; a free box is woken by the beat only.
pub const LAG_EVERY_MS: u64 = 250;
/// How long the store may be silent where no watchdog says: a playlist of 65,536 channels on a slow card.
pub const STORE_SILENCE_MS: u64 = 30_000;
/// Panics within [`PANIC_WINDOW_MS`] after which only a fresh start is safe (E2).
pub const PANICS_MAX: usize = 3;
/// See [`PANICS_MAX`].
pub const PANIC_WINDOW_MS: u64 = 60_000;
/// Reboots that may be asked for within [`REBOOT_WINDOW_MS`], because the daemon fails again and again (E5).
pub const REBOOTS_MAX: usize = 3;
/// See [`REBOOTS_MAX`].
pub const REBOOT_WINDOW_MS: u64 = 3_600_000;
/// Bytes that are read of what is written about reboots; there should be a few hundred.
pub const REBOOTS_BYTES_MAX: u64 = 64 * 1024;
/// Least time between two writes of the snapshot.
pub const SNAPSHOT_EVERY_MS: u64 = 1_000;
/// Bytes of a snapshot: every record with every failure is a third of it.
pub const SNAPSHOT_BYTES_MAX: usize = 1_024 * 1_024;
/// Last events that are kept to explain a crash.
pub const BLACK_BOX_LINES: usize = 256;
/// Bytes of one of them; longer ones are cut.
pub const BLACK_BOX_LINE_BYTES: usize = 120;

// ---- Being found ----------------------------------------------------------------------------------------------------

/// Interfaces that are looked at; a box with more has the first ones announced.
pub const INTERFACES_MAX: usize = 32;
/// Addresses of one family that are remembered of an interface.
pub const ADDRESSES_MAX: usize = 16;
/// Subnets that the owner may name besides those that the box is in.
pub const SUBNETS_MAX: usize = 16;
/// How long links are left to settle after the kernel said that something changed: an address comes in several steps.
pub const LINKS_SETTLE_MS: u64 = 300;
/// How often groups are joined anew, whatever happens: a switch may have forgotten that we are in them (L09).
pub const LINKS_EVERY_MS: u64 = 120_000;
/// The same where the kernel does not tell of changes.
pub const LINKS_POLL_MS: u64 = 5_000;
/// How many routers an announcement or an answer may pass, and one less: this is meant for the house (S40, L07).
pub const DATAGRAM_TTL: u32 = 2;
/// From a port that could not be opened to the next try; doubled each time (L03).
pub const PORT_RETRY_MS_MIN: u64 = 5_000;
/// The longest pause between two tries.
pub const PORT_RETRY_MS_MAX: u64 = 60_000;
/// Datagrams that are looked at before others get their turn.
pub const DATAGRAM_BATCH: usize = 32;

/// Answers to searches that wait for their time: a second of as many as may be given at all.
pub const SSDP_PENDING_MAX: usize = 100;
/// The longest wait before the first announcement, so that a house that gets its power back does not speak at once.
pub const SSDP_FIRST_MS_MAX: u32 = 100;
/// From one announcement of a burst to the next.
pub const SSDP_BURST_MS: u64 = 200;
/// How often an announcement is repeated: datagrams get lost.
pub const SSDP_BURST_LEN: u8 = 3;
/// From one burst to the next, at least; its announcements hold for [`crate::wire::ssdp::MAX_AGE_S`].
pub const SSDP_ALIVE_MS_MIN: u64 = 600_000;
/// From one burst to the next, at most.
pub const SSDP_ALIVE_MS_MAX: u64 = 850_000;
const _: () = assert!(SSDP_ALIVE_MS_MAX < crate::wire::ssdp::MAX_AGE_S as u64 * 1_000 / 2, "it must not run out");

/// How often the thread of mDNS is asked whether it lives (L02).
pub const MDNS_CHECK_MS: u64 = 60_000;
/// How long it may take to answer that.
pub const MDNS_ANSWER_MS: u64 = 5_000;
/// How often mDNS may be started anew within [`MDNS_RESTART_WINDOW_MS`] (L02).
pub const MDNS_RESTARTS_MAX: usize = 3;
/// See [`MDNS_RESTARTS_MAX`].
pub const MDNS_RESTART_WINDOW_MS: u64 = 3_600_000;
/// How long farewells may take at the end.
pub const FAREWELL_MS: u64 = 1_000;

/// How often the network is asked whether another box has our device id.
pub const TWIN_EVERY_MS: u64 = 3_600_000;
/// How long an answer to that is waited for.
pub const TWIN_WAIT_MS: u64 = 1_000;
/// Other tuners that the page offers as sources: more are no home.
pub const NEIGHBOURS_MAX: usize = 16;

/// Documents for clients that are kept as they went out: a few clients ask for the same few again and again.
pub const DOCUMENTS_MAX: usize = 8;
/// Bytes of all of them together; a lineup of 10,000 channels has 1.5 MiB.
pub const DOCUMENTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Searches for channels that anybody may start at once.
pub const SCANS_BURST: u32 = 10;
/// And one more in this time: each of them asks the provider.
pub const SCANS_PERIOD_MS: u64 = 10_000;
/// Clients that the page names; the API has all.
pub const CLIENTS_SHOWN: usize = 8;

// ---- Access -----------------------------------------------------------------------------------------------------

/// How long a box without a password may be given one, after its start or a press of its button (S01).
pub const CLAIM_MS: u64 = 1_800_000;
/// A session ends when its owner was not seen for this long (S02).
pub const SESSION_IDLE_MS: u64 = 1_800_000;
/// And after this time whatever he does.
pub const SESSION_MS_MAX: u64 = 43_200_000;
/// Browsers that are signed in at once: those of a household.
pub const SESSIONS_MAX: usize = 16;
/// Guesses of a password that one address has before it must pause (S03).
pub const GUESSES_FREE: u32 = 5;
/// The first pause; each is twice as long as the one before.
pub const GUESS_PAUSE_MS_MIN: u64 = 60_000;
/// The longest.
pub const GUESS_PAUSE_MS_MAX: u64 = 900_000;
/// After this time without a guess an address starts over.
pub const GUESS_FORGET_MS: u64 = 3_600_000;
/// Guesses of all addresses together in any [`GUESS_WINDOW_MS`].
pub const GUESSES_MAX: usize = 30;
/// See [`GUESSES_MAX`].
pub const GUESS_WINDOW_MS: u64 = 60_000;
/// Addresses whose guesses are remembered: more than can guess within two minutes.
pub const GUESSERS_MAX: usize = 64;
/// Passwords that wait for being hashed: one takes the memory below and some hundred milliseconds.
pub const PASSWORD_INBOX: usize = 4;
/// What hashing one password takes: Argon2id with 19 MiB and two passes (S01; OWASP's first choice for small memory).
pub const PASSWORD_MEMORY_KIB: u32 = 19 * 1_024;
/// See [`PASSWORD_MEMORY_KIB`].
pub const PASSWORD_PASSES: u32 = 2;
/// What a password may come in, when anybody near can send it.
pub const PASSWORD_BODY_BYTES_MAX: usize = 4_096;
/// Tokens for programs.
pub const TOKENS_MAX: u32 = 32;
/// Characters of a token's name.
pub const TOKEN_NAME_CHARS_MAX: usize = 64;
/// A token's last use is written down when the one that is written is older than this: the card must not wear out.
pub const TOKEN_USED_S: i64 = 86_400;
/// Further names by which the box may be asked.
pub const ACCESS_NAMES_MAX: usize = 16;
/// Of an address behind `Contact:`; RFC 9116 knows no bound, and addresses of people are shorter.
pub const SECURITY_CONTACT_BYTES_MAX: usize = 256;
/// How long a security.txt says that it holds. RFC 9116 wants less than a year; this is what we promise to need at most.
pub const SECURITY_TXT_LASTS_S: i64 = 90 * 86_400;

// ---- Setup ------------------------------------------------------------------------------------------------------

/// Of setup.toml: what comes with the box has two thousand, and each value fits in a line.
pub const SETUP_BYTES_MAX: u64 = 16 * 1024;
/// Of what is told of one that was refused.
pub const SETUP_REFUSED_BYTES_MAX: u64 = 4 * 1024;
/// Of the name of a wireless network (IEEE 802.11).
pub const SSID_BYTES_MAX: usize = 32;
/// Of its passphrase (IEEE 802.11, annex J.4).
pub const PASSPHRASE_BYTES_MIN: usize = 8;
/// See [`PASSPHRASE_BYTES_MIN`].
pub const PASSPHRASE_BYTES_MAX: usize = 63;
/// How often a passphrase is hashed for the key (IEEE 802.11, annex J.4).
pub const PASSPHRASE_ROUNDS: u32 = 4_096;

// ---- Notifications ----------------------------------------------------------------------------------------------

/// Places that are told what happens: each member of a large family, and some machines.
pub const NOTIFICATIONS_MAX: usize = 16;
/// To how many addresses one mail goes.
pub const MAIL_RECIPIENTS_MAX: usize = 8;
/// Things that are ill, or were told to be, which are remembered one by one: more are counted.
pub const NOTICE_SUBJECTS_MAX: usize = 1_024;
/// Names that a message lists; of the others it says how many there are.
pub const NOTICE_NAMES_MAX: usize = 10;
/// How long something must be ill before anybody is told, where the settings do not say otherwise: a source that comes
/// back by itself is nobody's business.
pub const NOTICE_AFTER_S: usize = 60;
/// The longest that settings may ask for, of each of these.
pub const NOTICE_S_MAX: usize = 86_400;
/// How long others are waited for that fall ill together, likewise: sources of one provider fail within seconds.
pub const NOTICE_COLLECT_S: usize = 15;
/// For how long nobody is told anything after a start, likewise: routers take two minutes to come back with the box.
pub const NOTICE_QUIET_S: usize = 120;
/// How many times longer a refresh may fail before that is told: the channels of the last one are there.
pub const NOTICE_REFRESH_TIMES: u64 = 10;
/// From one message about a thing to the next that says the same of it.
pub const NOTICE_REPEAT_MS: u64 = 3_600_000;
/// From one message to the next of its kind about the same provider.
pub const NOTICE_GROUP_MS: u64 = 300_000;
/// Messages that may be made at once.
pub const NOTICES_BURST: u32 = 10;
/// And one more in this time.
pub const NOTICES_PERIOD_MS: u64 = 60_000;
/// Messages that one place may get at once, and then one each [`NOTICES_PERIOD_MS`].
pub const NOTICES_TARGET_BURST: u32 = 5;
/// Messages that wait for one place; the oldest are left out, and the next one says how many.
pub const NOTICE_QUEUE_MAX: usize = 16;
/// How often a message is tried. With the pauses between them that is half an hour.
pub const NOTICE_TRIES_MAX: u8 = 6;
/// The pause after the first try; each is three times as long as the one before.
pub const NOTICE_RETRY_MS_MIN: u64 = 15_000;
/// The longest one.
pub const NOTICE_RETRY_MS_MAX: u64 = 900_000;
/// How long one try may take, from the name to the answer.
pub const NOTICE_SEND_MS: u64 = 15_000;
/// How often the box is looked at for what to tell.
pub const NOTICE_LOOK_MS: u64 = 1_000;
/// An account that ends sooner than this is told.
pub const EXPIRES_SOON_S: i64 = 7 * 86_400;
/// Bytes of a line that a mail server says (RFC 5321, 4.5.3.1.5), with room for those who do not count.
pub const SMTP_LINE_BYTES_MAX: usize = 1_000;
/// Lines of one answer of a mail server: those that list all they can have some twenty.
pub const SMTP_LINES_MAX: usize = 64;

// ---- Inboxes ----------------------------------------------------------------------------------------------------

/// Questions waiting for the supervisor: one for each viewer, and as many again from people.
pub const ENGINE_INBOX: usize = 2 * VIEWERS_MAX;
/// Questions waiting for the store.
pub const STORE_INBOX: usize = 64;

// ---- Sums -------------------------------------------------------------------------------------------------------

const MIB: u64 = 1024 * 1024;

/// File descriptors that the daemon holds with every default slot and connection in use.
pub const FDS_DEFAULT: usize = 16 // listeners, epoll, signal pipes, database with log and index
    + SLOTS_DEFAULT * (CHILD_FDS as usize + 2 * PROXY_CONNECTIONS_MAX)
    + CONNECTIONS_DEFAULT
    + 2 * FACES_MAX // a port over both families each
    + 4 * (FACES_MAX + 1) // guides, while new ones take their place
    + RESERVE_FDS as usize;
const _: () = assert!(FDS_DEFAULT <= 384, "the common soft limit of 1,024 must stay far away");

/// Memory of the system around us: 115 to 130 MiB were measured on a machine of 1 GiB.
pub const SYSTEM_MEMORY_BYTES: u64 = 130 * MIB;
/// Memory of the idle daemon, as promised, without the rings.
pub const DAEMON_MEMORY_BYTES: u64 = 12 * MIB;
/// What a slot takes of the network, each way: a channel of 16 Mbit/s, and what Ethernet, IP and TCP put around it.
pub const SLOT_LINK_KBIT: u64 = 17_000;
/// What a slot takes of the processor, in packets that are looked into: a channel of 16 Mbit/s, and as much again for
/// whoever takes them to viewers.
pub const SLOT_PACKETS_PER_S: u64 = 16_000_000 / (8 * 188) * 2;
/// How long it is measured how many packets are looked into: four times so long, and the best counts.
pub const LOOK_MEASURE_MS: u64 = 20;
/// And how many at most, should a clock stand still.
pub const LOOK_MEASURE_PACKETS_MAX: u64 = 10_000_000;
/// How often the same second of picture is decoded to see how fast that goes; the beginning does not count.
pub const DECODE_ROUNDS: usize = 4;

/// Memory that the daemon itself may come to hold with every default slot and connection in use.
pub const DAEMON_BYTES_DEFAULT: u64 = DAEMON_MEMORY_BYTES
    + (SLOTS_DEFAULT * RING_MIB_DEFAULT) as u64 * MIB
    + (CONNECTIONS_DEFAULT * CONNECTION_BYTES) as u64
    + (LOG_LINES_MAX * LOG_LINE_BYTES_MAX) as u64
    + (SLATES_MAX * SLATE_BYTES_MAX) as u64;
const _: () = assert!(DAEMON_BYTES_DEFAULT <= 48 * MIB, "a tenth of a 512 MB board");

const _: () =
    assert!(READ_BYTES_MAX * 4 <= RING_MIB_MIN * 1024 * 1024, "a read must leave most of the ring to viewers");
const _: () = assert!(GUESS_FORGET_MS > GUESS_PAUSE_MS_MAX, "no pause ends by being forgotten");
const _: () = assert!(RING_MIB_MIN <= RING_MIB_DEFAULT && RING_MIB_DEFAULT <= RING_MIB_MAX, "the default is in range");
const _: () = assert!(SLOTS_DEFAULT <= SLOTS_MAX && SLOTS_MAX <= u8::MAX as usize, "a slot index is one byte");
const _: () = assert!(CONNECTIONS_DEFAULT <= CONNECTIONS_MAX, "the default is in range");
const _: () = assert!(TUNE_DEADLINE_MS < START_TIMEOUT_MS, "a viewer who comes back joins the same attempt");
const _: () = assert!(START_TIMEOUT_MS < ANSWER_MS_MAX, "a source that never answers is told as such (U03)");
const _: () = assert!(TERM_MS < DRAIN_MS, "a drain leaves room for SIGKILL");
const _: () = assert!(GATE_MS_MAX < WRITE_STALL_MS, "a stalled viewer is overtaken before it is let go");
const _: () = assert!(SILENCE_FIRST_MS <= SILENCE_LIVE_MS && SILENCE_LIVE_MS <= SILENCE_FILE_MS, "shorter is first");
const _: () = assert!(
    FAILURES_MAX as u64 * (SILENCE_LIVE_MS + SWEEP_MS) <= FAILURE_WINDOW_MS_MIN,
    "five silences of a live source fall into one window; for files the window grows (B3)"
);
const _: () = assert!(
    ACQUIRE_ATTEMPTS_MAX as u64 * ACQUIRE_ATTEMPT_MS + (2 + 4 + 8 + 16) * 1_000 == ACQUIRE_MS_MAX,
    "five attempts and the pauses between them fill one acquisition"
);
const _: () = assert!(
    2 * (FACES_MAX + 1) <= SOURCE_REPLIES_BURST as usize,
    "a client that searches in both dialects at once hears of all faces"
);
const _: () = assert!(LOGO_BYTES_MAX * 8 <= LOGOS_BYTES_MAX, "one logo does not drive all others out");
const _: () = assert!(REFUSAL_GAP_MS > REFUSED_MS, "a count can grow old enough");
const _: () = assert!(STRAYS_PAUSE_MS < BEAT_MS && LAG_EVERY_MS < BEAT_MS, "beats are the slow ones");
const _: () = assert!(GLANCES_APART_MS_MAX > 4 * GLANCE_EVERY_MS, "a glance that found no room ends no row");
const _: () = assert!(BLANK_MS >= (GLANCES_MIN as u64 - 1) * GLANCE_EVERY_MS, "so many glances fit in");
const _: () = assert!(PROBE_EVERY_MS * (UNHEALTHY_PROBES_MIN as u64) < UNHEALTHY_MS, "three probes fit in");
const _: () = assert!(
    2 * VELOCITY_WARNING as u64 * 60_000 >= VELOCITY_WINDOW_MS
        && 2 * (VELOCITY_WARNING as u64 - 1) * 60_000 < VELOCITY_WINDOW_MS,
    "the fewest that are half a restart a minute"
);
const _: () = assert!(VELOCITY_CRITICAL as u64 * 60_000 == 2 * VELOCITY_WINDOW_MS, "two restarts a minute");
const _: () = assert!(
    VELOCITY_WARNING_KEEP < VELOCITY_WARNING
        && VELOCITY_CRITICAL_KEEP < VELOCITY_CRITICAL
        && PRESSURE_KEEP_PERCENT < PRESSURE_PERCENT,
    "an alarm falls below where it rises"
);
