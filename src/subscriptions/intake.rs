//! What a refresh reads, on its way to the store: a few hundred entries at a time, never all of them.

use super::Progress;
use crate::store::{self, StoreError};
use pure::limits::STAGE_LEN;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::SubscriptionId;
use pure::rules::reach::Reach;
use pure::wire::m3u::{Entry, Parser, Skipped, Summary};

/// Entries on their way.
pub(super) struct Intake<'a> {
    store: &'a store::Handle,
    id: SubscriptionId,
    progress: &'a Progress,
    /// How far its entries may lead; to be said before the first is taken.
    pub(super) reach: Reach,
    chunk: Vec<Entry>,
    has_begun: bool,
    entries: u32,
    pub(super) skipped: u32,
    pub(super) first_skipped: Option<String>,
    /// Bytes that came so far.
    bytes: u64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(store: &'a store::Handle, id: SubscriptionId, progress: &'a Progress) -> Self {
        let chunk = Vec::with_capacity(STAGE_LEN);
        Self {
            store,
            id,
            progress,
            reach: Reach::default(),
            chunk,
            has_begun: false,
            entries: 0,
            skipped: 0,
            first_skipped: None,
            bytes: 0,
        }
    }

    /// Takes one entry; [`Intake::settle`] must follow from time to time.
    pub(super) fn take(&mut self, entry: Entry) {
        self.entries += 1;
        self.chunk.push(entry);
    }

    /// Takes one that is no channel for us, and why.
    pub(super) fn skip(&mut self, why: &impl ToString) {
        self.skipped += 1;
        self.first_skipped.get_or_insert_with(|| why.to_string());
    }

    /// Gives the store what there is, once that is enough.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        while self.chunk.len() >= STAGE_LEN {
            let rest = self.chunk.split_off(STAGE_LEN);
            let full = std::mem::replace(&mut self.chunk, rest);
            self.stage(full).await?;
        }
        Ok(())
    }

    /// So many more bytes came, of so many as a whole, if that is known.
    pub(super) fn count(&mut self, bytes: usize, whole: Option<u64>) {
        self.bytes += bytes as u64;
        self.progress.note(self.entries, self.bytes, whole);
    }

    /// Gives the store the rest.
    pub(super) async fn end(&mut self) -> Result<u32, String> {
        self.settle().await?;
        let rest = std::mem::take(&mut self.chunk);
        self.stage(rest).await?;
        Ok(self.entries)
    }

    async fn stage(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        if !self.has_begun {
            // Only now: a server that does not answer must not cost what waits for the owner.
            self.store.begin(self.id, self.reach).await.map_err(|error: StoreError| error.to_string())?;
            self.has_begun = true;
        }
        self.store.stage(entries).await.map_err(|error: StoreError| error.to_string())
    }
}

/// A playlist on its way.
pub(super) struct M3u<'a, 'b> {
    intake: &'b mut Intake<'a>,
    parser: Parser,
}

impl<'a, 'b> M3u<'a, 'b> {
    pub(super) fn new(intake: &'b mut Intake<'a>) -> Self {
        Self { intake, parser: Parser::new() }
    }

    pub(super) async fn push(&mut self, bytes: &[u8], whole: Option<u64>) -> Result<(), String> {
        let Self { intake, parser } = self;
        let pushed = parser.push(bytes, &mut |result| sort(intake, result));
        intake.count(bytes.len(), whole);
        pushed.map_err(|error| error.to_string())?;
        intake.settle().await
    }

    /// The guides that it names, and what it came to.
    pub(super) async fn finish(self) -> Result<(Vec<SourceUrl>, Summary), String> {
        let Self { intake, parser } = self;
        let guides = parser.guides().to_vec();
        let summary = parser.finish(&mut |result| sort(intake, result)).map_err(|error| error.to_string())?;
        intake.end().await?;
        Ok((guides, summary))
    }
}

fn sort(intake: &mut Intake<'_>, result: Result<Entry, Skipped>) {
    match result {
        Ok(entry) => intake.take(entry),
        Err(skipped) => intake.skip(&skipped),
    }
}
