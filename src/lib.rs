//! The guidebook of tunerd, for whoever takes the code over. Ten minutes.
//!
//! tunerd makes a small box look like an HDHomeRun network tuner. Clients find it, read its lineup, and tune; FFmpeg
//! makes the pictures; one thread with one executor holds it all together.
//!
//! # The map
//!
//! ```text
//!         main.rs                      puts it together, reads like a script
//!    ┌───────────────┐
//!    │     doors     │  http · control · discovery · ssdp · mdns    (listening sockets)
//!    ├───────────────┤
//!    │    notices    │  tells people elsewhere what happens
//!    ├───────────────┤
//!    │ subscriptions │  keeps playlists, logins, other boxes and guides fresh; has the guide for clients made
//!    │ update access │  installs signed bundles, goes back, tells what became of it · passwords, sessions, tokens
//!    │    doctor     │  does with the box what clients do, over real sockets, and says what to do
//!    ├───────────────┤
//!    │ engine  store │  slots, pulls, children, rings · SQLite on a thread of its own, guides on another
//!    ├───────────────┤
//!    │     fetch     │  outgoing HTTP, and where it may go
//!    ├───────────────┤
//!    │    observe    │  log lines, metrics, problems
//!    ├───────────────┤
//!    │     clock     │  the one place that reads a clock
//!    ├───────────────┤
//!    │     pure      │  model · wire · rules: decides; never touches the world (a crate of its own, no_std)
//!    └───────────────┘
//!    imports point downwards only; tests/it/house.rs holds the exact table
//! ```
//!
//! [`settings`] and [`board`] say how to start and are read once, and [`capacity`] how many slots that makes. [`ctl`] is another program in the same file: a client of
//! the API, for people in a shell. Each room shows the others one small `Handle`.
//!
//! # Words
//!
//! | word | means |
//! |---|---|
//! | device | what we are on the network: an HDHomeRun with an id |
//! | board | the hardware |
//! | capacity | how many slots the box has, and what of it is tightest; measured once, counts from the next start on |
//! | lineup | the channels we offer, in order; an immutable snapshot |
//! | face | a device that the box looks like: itself, or a further one with an id, a name and a port of its own |
//! | slice, cut | which channels a face shows, and where they stand in the lineup |
//! | share | how many slots the viewers of a face may have together |
//! | mark | what the owner thinks of a channel: a favourite, hidden, or neither |
//! | guide number | `5.1`, what a viewer types; always text |
//! | subscription | a playlist, a login or another box that the owner takes channels from |
//! | provider | who stands behind a subscription, and how he is reached: what he wants to see, a proxy, hosts that stand in |
//! | entry, listing | what a subscription lists, one by one and as a whole: the provider's layer |
//! | change set | what one refresh changed in a listing |
//! | adopt | make a channel, with an id and a number for life, of an entry that the owner wants |
//! | source, spare | where a channel's pictures come from; another one that could take over now |
//! | account | what sources are paid with, and how many streams it allows at once |
//! | bundle, boot slot | RAUC's words: a signed version of the whole system; one of the two places that it is started from |
//! | update channel | where new versions are announced; a TV channel it is not |
//! | proof | what a start of the box must do before its version is kept |
//! | recipe | FFmpeg's arguments for a source |
//! | guide, programme | what is on, as somebody tells it in XMLTV; the one for clients is made of all of them |
//! | match, choice | whose programmes a channel shows: as found, with a reason and a confidence; as the owner said |
//! | profile | a smaller picture that clients ask for by name |
//! | encoder, trial | who makes pictures smaller, and the second of test picture that shows whether he can |
//! | picture | a channel in a profile; whoever wants the same one shares a child |
//! | slot | our preallocated seat for one running child or pull; clients call it a tuner |
//! | pull | a task that takes a source's packets from the network into the ring; no child is needed then |
//! | reach, zone | how far an address may lead, and where on the network it lies |
//! | attempt, generation | one spawned child or pull, and its number that is never used again |
//! | failure, verdict | why an attempt was no good; it gets one verdict at most, and only while it lives |
//! | breaker | CLOSED, OPEN or HALF_OPEN, for each source of a channel |
//! | restart, probe | a spawn while the channel has failures in its window; the spawn that leaves OPEN |
//! | look | ffprobe on our own output |
//! | glance, sight | one key frame of it decoded, small and grey; what there is to be seen: something, black, frozen |
//! | hold, gap | a viewer keeps his connection without a picture; that time |
//! | slate, card | what is shown to viewers who hold on: why they have no picture; and the words on it |
//! | feed, seam | what a viewer sees: the output of one child or of several, and where two of them are joined |
//! | ring, cursor | a slot's newest packets, and how far a viewer has read them |
//! | segment | a stretch of a ring, from tables and a key frame to the next ones |
//! | preview | a channel in the page itself, of segments: a viewer who gives way to all others |
//! | sandbox, proof | what a child may do at most, whatever a stream makes of it; what became of one that tried more |
//! | gate, permit | what every spawn passes, and the value it gets there |
//! | refusal | a polite no, with an HDHomeRun code in the door |
//! | claim | give a box without a password its first one; for half an hour after its start |
//! | scope | what somebody may: none, look, or change everything |
//! | revision | what the owner chose, as it was after one of his writes; the last fifty can be had back |
//! | backup | the same with all channels, in a file that only a password opens |
//! | wish | what the owner says of the box as a whole, in place of its settings |
//! | problem | what stays wrong until somebody does something; the page shows it |
//! | examination, check | what the doctor does with the box, as clients would; one of its steps, which passes, fails or is skipped |
//! | alarm | what is wrong with the box as a whole, comes and goes by itself, and has a level and a count |
//! | event, notice | what happens that somebody elsewhere may want to know; one event of several things, worth a message |
//! | target, notification | where messages go, as one address; a target with a name and the events that it is told |
//!
//! # Walks
//!
//! **I am a TS packet.** FFmpeg made me, or a provider did. `engine::tend` lets the kernel put me straight into my slot's
//! ring (`engine::relay`), or `engine::pull` puts me there; whole packets are published, `pure::wire::ts` notes whether a
//! newcomer may join at me. Each viewer has a cursor; `doors::http::media` writes from the ring into his socket without
//! another copy. Whoever falls behind is moved to the newest key frame, after the packet he had begun.
//!
//! **I am `GET /auto/v5.1`.** hyper reads me, `doors::http::route` knows what I mean, and
//! [`engine::Handle::watch`] asks for a place. `pure::rules::pool` answers: a slot that plays my channel, a free one,
//! one that nobody watches any more, or a refusal. If a child must start, `pure::rules::gate` asks draining, breaker,
//! cooldown, throttle, memory, descriptors and the limiter, and mints the permit that `engine::process` spends. Once I
//! am admitted, the door takes the socket back from hyper and feeds it.
//!
//! **I am `srt://host:9000?streamid=one`.** `pure::model::source_url` keeps of my options those that it knows, and refuses
//! me if one of the others would open a door. `engine::call` has [`fetch`] find out where my host is, and whether he may be
//! called; only then `pure::model::recipe` makes FFmpeg's arguments of me, with the address that was judged. So it goes with
//! RTSP and RTMP. Nobody is called for UDP and RTP: groups are open to all, ports of this box to what the owner typed.
//!
//! **I am a segment of a playlist.** `engine::upstream` knows that I am next, because `pure::rules::window` says so of the
//! playlist that `pure::wire::hls` has read. [`fetch`] resolves my host, lets `pure::rules::reach` judge every address of
//! it, and connects to one that passed, or asks my provider's proxy to (`fetch/via.rs`); what my playlist's server names
//! may lead no further than to where it is itself. I am decrypted and go into the ring. If my playlist is of a kind that
//! FFmpeg reads better, the attempt ends without a verdict, and an FFmpeg fetches me by itself; each connection that it
//! wants it asks of [`fetch::proxy`], which judges as strictly. `pure::rules::pool` sees an attempt like any other.
//!
//! **I am `?transcode=mobile`.** `doors::http::route` knows my name or says 802, and I become part of the picture that
//! a slot plays. At each start of my child `pure::rules::encoders` chooses an encoder among those whose trial went
//! well, and a smaller size where none keeps up; when a chip fails under me it rests, and the next start, through the
//! same seam as any restart, has another one. `engine::encoders` makes the trials, while nobody needs the board, with a
//! permit from the gate.
//!
//! **I am a preview.** Somebody presses a button; `doors::http::preview` asks `engine::preview`, and that asks the pool
//! for a place in a small profile, as for any viewer. `engine::relay` knows where my segments lie in the ring; my playlist
//! names them, and each is copied out when the browser wants it. Would somebody else be refused because of me,
//! `engine::supervisor` has me leave and asks again for him. Asked for nothing for ten seconds, or after two minutes, I end.
//!
//! **I am a restart.** A child died, went silent, or made what nobody can decode: `engine::tend` and the clock report,
//! `pure::rules::pool` gives the attempt its one verdict and tells the viewers' ring to hold them with empty packets.
//! If that lasts, `pure::rules::slate` has them shown a picture that says why; `engine::slates` has it made. Only the
//! reaped child's slot asks `pure::rules::gate` again: breaker, cooldown, throttle, admission, token. The new child's
//! packets pass `pure::wire::ts::seam`, so that counters and clocks go on where the last ones stopped. If the channel has
//! another source, `pool/failover.rs` may have chosen that one. The fifth failure of a source opens its breaker; when all
//! of the channel's are open, the viewers are told when to come back, and the slot is free.
//!
//! **I am `hdhomerun_config set /tuner0/channel auto:57000000`.** `pure::wire::hdhr` finds my frame in whatever pieces I
//! came, `pure::rules::control` keeps my words, because old clients compare them, and says what follows. Nothing plays
//! before somebody names a target; then `doors::control` asks the engine as any viewer does, keeps the tuner from others,
//! and sends datagrams of seven packets to who asked, and to nobody else, with the number of the programme that he was
//! told (`pure::wire::ts::renumber`).
//!
//! **I am `hdhomerun_config upgrade`.** `pure::rules::control::upload` wants my pieces from the first to the last, on one
//! connection and without a gap, and says nothing before my end. Switched off, which is the default, I go nowhere; switched
//! on, [`update`] pours me into a file, and RAUC, as a child of the engine's with a permit from the gate, verifies who has
//! signed me. From there on I am a bundle.
//!
//! **I am a bundle.** I come from the page, from that command, from an address, or from a channel, which `update/channel.rs`
//! believes only if two keys have signed it and `pure::rules::updating::rollout` knows nothing newer. RAUC tells which
//! version I am and for which board; `pure::rules::updating` says whether I may be written, and waits until nobody watches.
//! RAUC's service writes me to the other boot slot, a root unit starts the box anew, and `tunerd --prove` finds out whether
//! what is in me plays. If it does not, the boot loader goes back, and `update/memory.rs` still knows what to tell.
//!
//! **I am `PUT /api/v1/password`.** `doors::http::access` looks whether I call the box by a name of its own, whether a page
//! of somebody else sent me, and what my cookie or token is good for; so it judges whatever no device is asked. Then
//! [`access`] has the old password hashed on a thread of its own, if `pure::rules::access` says that it was not guessed too
//! often, compares digests, keeps the new hash in the store, and ends all sessions.
//!
//! **I am a discovery datagram.** I land in a fixed array, `pure::wire::hdhr` checks me, and the answer leaves from the
//! address I came in on, with addresses built from it. I never meet the engine. My cousins of SSDP wait in a queue of
//! fixed size for a time of their own; `doors::interfaces` tells all of us when links and addresses change.
//!
//! **I am the page.** `doors::http::page` gives me out, joined and packed, as a few small files that a test weighs.
//! `index.html` is my frame and says the most without scripts; `app.js` finds out who looks and shows one of my views;
//! `status.js` listens to `/api/v1/events`, and a view describes itself anew at each of them, while `dom.js` keeps what
//! somebody has focused or typed. My words are in `texts-en.js` and `texts-de.js`. `tests/browser` drives me, over a
//! made-up box and a real one.
//!
//! **I am a click on the page.** `web/api.js` sends me below `/api/v1`. `doors::http::access` asks whether I call the box by
//! a name of its own, whether I come from its own page, and who I am: [`access`] knows the session or the token.
//! `doors::http::v1` holds the one table of all operations, with what each takes, and a test holds that and `openapi.json`
//! together. What I want written goes to the room whose it is; the [`store`] writes it, and keeps what the owner chose as a
//! revision to go back to. Who has seen an older revision than he says is told so first. `doors::http::live` tells every
//! page that listens how the box is now.
//!
//! **I am a face.** Somebody posts my name to `/api/v1/faces`; the store gives me an id, a device id and a place for
//! life. `doors::http` opens the port of my place, discovery and SSDP speak for me from then on, and whoever asks there is
//! told my name, my tuners, and of the lineup what `pure::model::face` cuts for me. My viewers are asked for my share in
//! `pure::rules::pool`; my guide is written beside the box's. TCP 65001 knows nothing of me.
//!
//! **I am a playlist.** When `pure::rules::timetable` says so, [`subscriptions`] reads me in pieces into
//! `pure::wire::m3u`, and hands a few hundred entries at a time to the [`store`], which compares them with those it has
//! and writes what differs into the provider's layer, for nobody to see yet. At my end one small transaction makes that
//! count, or it waits for the owner. Entries he wants that have no channel yet are adopted; what he named, numbered,
//! moved or merged stands in the other layer, which I cannot reach. The new lineup replaces the old one in one step. If
//! I am no good, the old one stays.
//!
//! **I am a guide.** A playlist named me, or the owner. [`subscriptions::guides`] fetches me twice a day, if I have
//! changed, and hands my bytes on as they come; it waits when the guides' thread ([`store::guide`]) has enough of them.
//! There I am unpacked within bounds, `pure::wire::markup` refuses what defines or nests too much, `pure::wire::xmltv`
//! finds channels and programmes, and each goes into a database of my own. When my last byte was good, that database
//! takes the old one's place; otherwise nothing has changed. Then the guide for clients is made:
//! `pure::rules::guide_match` says which of my channels is whose, unless the owner did, `pure::rules::timeline` leaves no
//! overlap, and `pure::wire::xmltv::check` reads the document with other eyes than wrote it. Only then does
//! `doors::http::guide` give it out, from a file, to whoever asks.
//!
//! **I am a notice.** A channel's sources all rest. [`notices`] shows `pure::rules::notices` everything that is wrong, each
//! second; when I have been wrong for a minute, with others of my provider, I am taken out once. `notices/texts.rs` finds
//! words for me, each place that wants to hear of me gets me into its outbox, and `notices/deliver.rs` or `smtp.rs` takes
//! me there, through [`fetch::post`], where the owner's addresses are judged as all others.
//!
//! # Reading order
//!
//! `main.rs` · `pure/limits.rs` · `pure/rules/pool.rs` with its `tests.rs` · `engine/supervisor.rs` ·
//! `engine/tend.rs` · `engine/pull.rs` · `engine/relay.rs` · `fetch/mod.rs` · `doors/http/mod.rs`, `route.rs`, `media.rs` ·
//! `store/mod.rs` · `tests/it/play.rs`.

pub mod access;
pub mod board;
pub mod capacity;
pub mod clock;
pub mod ctl;
pub mod doctor;
pub mod doors;
pub mod engine;
pub mod fetch;
pub mod guardian;
pub mod ladder;
pub mod notices;
pub mod observe;
pub mod settings;
pub mod store;
pub mod subscriptions;
pub mod update;
