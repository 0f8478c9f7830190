//! Starts a child that calls somebody by itself, or listens, once it is known where that is and that it may (S32).
//!
//! Not here: whom FFmpeg calls (`pure::model::recipe`), how far a channel may lead (`pure::rules::reach`), and names
//! ([`crate::fetch`]). The child gets the address that was judged, so that the resolver has no second say.

use super::process::{self, Input};
use super::relay::Relay;
use super::tend::{Alive, Exited, Living, Supply, Teller, tend};
use crate::fetch::{FetchError, Fetcher};
use pure::model::lineup::Source;
use pure::model::recipe::{Reader, Treatment, recipe_at, to_call};
use pure::rules::admission::Work;
use pure::rules::failure::End;
use pure::rules::gate::SpawnPermit;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::sync::Notify;

/// A child that is to be started.
pub(super) struct Call {
    pub(super) fetcher: Fetcher,
    pub(super) ffmpeg: PathBuf,
    pub(super) source: Source,
    pub(super) channel_name: String,
    pub(super) treatment: Treatment,
    pub(super) work: Work,
}

/// Starts the child and looks after it to its end. Spends the permit on it.
pub(super) fn call(
    permit: SpawnPermit,
    call: Call,
    relay: Rc<Relay>,
    living: Living,
    tell: Teller,
) -> impl Future<Output = ()> {
    let stop = Rc::new(Notify::new());
    // At once: it may be told to end before it has begun.
    living.set(Some(Alive::Task(Rc::clone(&stop))));
    async move {
        let Call { fetcher, ffmpeg, source, channel_name, treatment, work } = call;
        let finding = async {
            match to_call(&source) {
                Some((url, reach)) => {
                    let Source::Url { provider, .. } = &source else { return Ok(None) };
                    fetcher.find(url, reach, provider.as_deref()).await.map(Some)
                }
                None => Ok(None),
            }
        };
        let found: Option<Result<_, FetchError>> = tokio::select! {
            biased;
            () = stop.notified() => None,
            found = finding => Some(found),
        };
        let at = match found {
            Some(Ok(at)) => at,
            Some(Err(error)) => {
                living.set(None);
                return tell.tell_end(Exited::over("it was not called", error.end(), vec![error.to_string()])).await;
            }
            None => {
                living.set(None);
                return tell.tell_end(Exited::over("it was ended", End::Plain, Vec::new())).await;
            }
        };
        let recipe = recipe_at(&source, Reader::of(&source), at, &channel_name, treatment);
        match process::start(permit, &ffmpeg, recipe.args(), work, Input::Own) {
            Ok(child) => {
                Box::pin(tend(child, Supply::None, relay, living, tell)).await;
            }
            Err(error) => {
                living.set(None);
                tell.tell_unstarted(error).await;
            }
        }
    }
}
