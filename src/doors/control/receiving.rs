//! What one connection uploads, on its way from the pieces of the wire to the update room.

use crate::update::{Handle, Incoming};
use pure::rules::control::upload::{Step, Upload};
use pure::rules::updating::{Haste, Refusal};
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

    /// Takes a part; `Some` is the answer, which only the last one gets: it will be installed, or not.
    pub(super) async fn on(&mut self, part: UpgradeRequest<'_>) -> Option<Result<(), Refusal>> {
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
                Some(incoming) => self.room.take(incoming).await.map(drop),
                None => Err(Refusal::Incomplete),
            }),
            Step::Refuse(refusal) => Some(Err(refusal)),
        }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let incoming = match &mut self.incoming {
            Some(incoming) => incoming,
            none => none.insert(self.room.begin(Haste::Quiet)?),
        };
        incoming.write(data, None).await
    }

    /// Nothing came for a while: whoever stops in the middle keeps others out.
    pub(super) async fn stalled(&mut self) {
        if self.upload.stalled() {
            self.discard().await;
        }
    }

    async fn discard(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            drop(incoming.discard().await);
        }
    }
}
