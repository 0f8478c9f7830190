//! Brings a source to where it is wanted: straight into its ring, or to the child that makes a transport stream of it.
//!
//! One task for each attempt that needs no child. It reports as a child's task does, and ends at once when it is told
//! to. What is read stands in [`super::upstream`]; what a report leads to is decided in `pure::rules::pool`.

use super::relay::{Patience, Relay, Verdict};
use super::tend::{Alive, Exited, Living, Teller, What};
use super::upstream::{Broken, Piece, Remote, Upstream};
use crate::clock;
use crate::fetch::Rest;
use hyper::body::Bytes;
use pure::limits::{CLOCK_RETRY_MS, COALESCE_AFTER_MS, READ_BYTES_MAX};
use pure::model::recipe::Reader;
use pure::rules::admission::Work;
use pure::rules::failure::{End, Failure};
use pure::rules::gate::SpawnPermit;
use pure::time::Mono;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::Notify;

/// Pulls a source into the ring until there is no more, it is no use, or somebody says [`Alive::terminate`]. Spends the
/// permit on it.
pub(super) fn pull(
    permit: SpawnPermit,
    remote: Remote,
    relay: Rc<Relay>,
    living: Living,
    tell: Teller,
) -> impl Future<Output = ()> {
    drop(permit);
    let stop = Rc::new(Notify::new());
    // At once: it may be told to end before it has begun.
    living.set(Some(Alive::Task(Rc::clone(&stop))));
    run(stop, remote, relay, living, tell)
}

async fn run(stop: Rc<Notify>, remote: Remote, relay: Rc<Relay>, living: Living, tell: Teller) {
    let broken = tokio::select! {
        biased;
        () = stop.notified() => Broken::new(End::Plain, "it was ended"),
        broken = patient(&remote, &relay, &tell) => broken,
    };
    // The connection is closed by now: a provider counts it.
    living.set(None);
    tell.tell_end(Exited::over("its stream is over", broken.end, vec![broken.text])).await;
}

/// As [`read`]. Where nobody is to blame, nothing else keeps the next try from following at once.
async fn patient(remote: &Remote, relay: &Relay, tell: &Teller) -> Broken {
    let broken = read(remote, relay, tell).await;
    if broken.end == End::Clock {
        clock::pause(CLOCK_RETRY_MS).await;
    }
    broken
}

async fn read(remote: &Remote, relay: &Relay, tell: &Teller) -> Broken {
    let mut upstream = match Upstream::open(remote).await {
        Ok(upstream) => upstream,
        Err(broken) => return give_up(broken, tell).await,
    };
    let mut ring = IntoRing { relay, tell, verdict: Verdict::Open, since_pause: 0 };
    let mut first_at = None;
    let mut is_relaxed = false;
    loop {
        let bytes = match upstream.next().await {
            Ok(Piece::Bytes(bytes)) => bytes,
            Ok(Piece::Discontinuity) => {
                relay.splice();
                continue;
            }
            Ok(Piece::End) => return Broken::new(End::Finished, "its server ended the stream"),
            Err(broken) if ring.verdict == Verdict::Open => {
                drop(upstream);
                return give_up(broken, tell).await;
            }
            Err(broken) => return broken,
        };
        match ring.put(&bytes).await {
            Ok(()) => {}
            Err(Work::Pull) => return Broken::new(End::Failed(Failure::NotTs), "what it sends is no transport stream"),
            Err(needs) => {
                // Nobody needs this connection any more, and the next one must not be one too many.
                drop(upstream);
                tell.tell(What::Unsuited { needs }).await;
                return std::future::pending().await;
            }
        }
        if ring.verdict == Verdict::Suited && !is_relaxed {
            // A tune is quick.
            is_relaxed = clock::mono().ms_since(*first_at.get_or_insert_with(clock::mono)) > COALESCE_AFTER_MS;
            if is_relaxed {
                upstream = match upstream.relax() {
                    Ok(rest) => return pour(rest, relay).await,
                    Err(upstream) => upstream,
                };
            }
        }
    }
}

/// Lets the kernel put the rest of a stream straight into the ring; says why there is no more.
async fn pour(mut rest: Rest, relay: &Relay) -> Broken {
    let mut patience = Patience::default();
    let mut since_pause = 0;
    loop {
        relay.gate(&mut patience).await;
        let filling = poll_fn(|context| match relay.fill(|space| rest.try_read(context, space)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            filled => Poll::Ready(filled),
        });
        match filling.await {
            Ok(0) => return Broken::new(End::Finished, "its server ended the stream"),
            Ok(len) => since_pause += len,
            Err(error) => return Broken::new(End::Plain, format!("the connection broke in the middle ({error})")),
        }
        if since_pause >= 4 * READ_BYTES_MAX {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// What cannot be played like this: where FFmpeg can, it is told, and whoever is told ends this.
async fn give_up(broken: Broken, tell: &Teller) -> Broken {
    if let Some(reader) = broken.beyond {
        tell.tell(What::Alone { reader }).await;
        return std::future::pending().await;
    }
    broken
}

/// Where pieces are put, and what the first of them were.
struct IntoRing<'a> {
    relay: &'a Relay,
    tell: &'a Teller,
    verdict: Verdict,
    since_pause: usize,
}

impl IntoRing<'_> {
    /// Puts a piece into the ring at the pace of who watches. An error says what it takes to play this.
    async fn put(&mut self, bytes: &Bytes) -> Result<(), Work> {
        let mut patience = Patience::default();
        let mut rest: &[u8] = bytes;
        while !rest.is_empty() {
            self.relay.gate(&mut patience).await;
            let put = self.relay.fill(|space| {
                let len = space.len().min(rest.len());
                let (Some(space), Some((part, left))) = (space.get_mut(..len), rest.split_at_checked(len)) else {
                    return Ok(0);
                };
                space.copy_from_slice(part);
                rest = left;
                Ok(len)
            });
            self.since_pause += put.unwrap_or(0);
            if self.verdict == Verdict::Open {
                self.verdict = self.relay.verdict();
                match self.verdict {
                    Verdict::Open => {}
                    Verdict::Suited => self.tell.tell(What::Output).await,
                    Verdict::Unsuited(needs) => return Err(needs),
                    Verdict::NotTransportStream => return Err(Work::Pull),
                }
            }
            if self.since_pause >= 4 * READ_BYTES_MAX {
                self.since_pause = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Gives a child what it is to work on, at the child's pace, until there is no more; says why. `hungry`: since when the
/// source is waited for.
pub(super) async fn feed(remote: &Remote, mut stdin: ChildStdin, hungry: &Cell<Option<Mono>>, tell: &Teller) -> Broken {
    hungry.set(Some(clock::mono()));
    let mut upstream = match Upstream::open(remote).await {
        Ok(upstream) if upstream.is_playlist() => {
            drop(upstream);
            return give_up(Broken::beyond(Reader::Hls), tell).await;
        }
        Ok(upstream) => upstream,
        Err(broken) => return give_up(broken, tell).await,
    };
    loop {
        match upstream.next().await {
            Ok(Piece::Bytes(bytes)) => {
                hungry.set(None);
                if stdin.write_all(&bytes).await.is_err() {
                    return Broken::new(End::Plain, "FFmpeg takes no more");
                }
                hungry.set(Some(clock::mono()));
            }
            // FFmpeg sees for itself that clocks jump.
            Ok(Piece::Discontinuity) => {}
            Ok(Piece::End) => return Broken::new(End::Finished, "its server ended the stream"),
            Err(broken) => return broken,
        }
    }
}
