//! What one connection uploads, on its way from the pieces of the wire to the update room.

use crate::update::{Handle, Incoming};
use pure::rules::control::upload::{Refusal, Step, Upload};
use pure::wire::hdhr::control::UpgradeRequest;

/// The upload of one connection; dropped with it.
pub(super) struct Receiving {
    room: Handle,
    upload: Upload,
    incoming: Option<Incoming>,
}

impl Receiving {
    /// Nothing was uploaded yet.
    pub(super) fn new(room: Handle) -> Self {
        Self { upload: Upload::new(room.upload_bytes_max()), room, incoming: None }
    }

    /// Takes a part; `Some` is the answer, which only the last one gets.
    pub(super) async fn on(&mut self, part: UpgradeRequest<'_>) -> Option<Refusal> {
        match self.upload.on(part) {
            Step::Ignore => None,
            Step::Write { data, .. } => {
                if let Err(refusal) = self.write(data).await {
                    self.upload.spoil(refusal);
                    self.discard().await;
                }
                None
            }
            Step::Discard => {
                self.discard().await;
                None
            }
            Step::Check { .. } => Some(match self.incoming.take() {
                Some(incoming) => self.room.take(incoming).await,
                None => Refusal::Incomplete,
            }),
            Step::Refuse(refusal) => Some(refusal),
        }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let incoming = match &mut self.incoming {
            Some(incoming) => incoming,
            none => none.insert(self.room.begin()?),
        };
        incoming.write(data).await
    }

    /// Nothing came for a while: whoever stops in the middle keeps others out.
    pub(super) async fn stalled(&mut self) {
        if self.upload.stalled() {
            self.discard().await;
        }
    }

    async fn discard(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            incoming.discard().await;
        }
    }
}
