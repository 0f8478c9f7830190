//! The faces of the box besides itself, and the channels that each of them shows.
//!
//! A face's channels are cut from the lineup whenever lineup, marks or faces change: positions only, so the channels are
//! in memory once. A cut that was made for something else is never used. Which port a face has, and what it says there:
//! `doors`.

use super::desk::to_the_end;
use super::{Error, Handle, Marks};
use crate::observe::problems::Topic;
use pure::limits::PLEX_CHANNELS_MAX;
use pure::model::face::{Cut, Face, FaceId, Terms, Which};
use pure::model::lineup::Lineup;
use pure::model::subscription::FieldError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// A cut, and everything that it was made of.
struct Kept {
    face: Rc<Face>,
    lineup: Weak<Lineup>,
    marks: u64,
    cut: Rc<Cut>,
}

/// The faces as they are.
pub(super) struct Faces {
    all: RefCell<Vec<Rc<Face>>>,
    cuts: RefCell<BTreeMap<FaceId, Kept>>,
    changed: watch::Sender<()>,
}

impl Faces {
    pub(super) fn new() -> Self {
        Self { all: RefCell::default(), cuts: RefCell::default(), changed: watch::Sender::new(()) }
    }
}

impl Handle {
    /// All faces but the box itself.
    pub fn faces(&self) -> Vec<Rc<Face>> {
        self.0.faces.all.borrow().clone()
    }

    /// The same, without a copy.
    pub fn with_faces<T>(&self, look: impl FnOnce(&[Rc<Face>]) -> T) -> T {
        look(&self.0.faces.all.borrow())
    }

    /// One of them, while it is there.
    pub fn face(&self, id: FaceId) -> Option<Rc<Face>> {
        self.0.faces.all.borrow().iter().find(|face| face.id == id).cloned()
    }

    /// Tells when a face came, went, or changed.
    pub fn face_changes(&self) -> watch::Receiver<()> {
        self.0.faces.changed.subscribe()
    }

    /// The channels of a face.
    pub fn cut(&self, face: &Rc<Face>, lineup: &Arc<Lineup>, marks: &Marks) -> Rc<Cut> {
        let mut cuts = self.0.faces.cuts.borrow_mut();
        let kept = cuts.get(&face.id).filter(|kept| {
            Rc::ptr_eq(&kept.face, face)
                && Weak::as_ptr(&kept.lineup) == Arc::as_ptr(lineup)
                && kept.marks == marks.revision
        });
        if let Some(kept) = kept {
            return Rc::clone(&kept.cut);
        }
        let cut = Rc::new(face.terms.slice.cut(lineup, |id| marks.of(id)));
        let (face, lineup) = (Rc::clone(face), Arc::downgrade(lineup));
        cuts.insert(face.id, Kept { face, lineup, marks: marks.revision, cut: Rc::clone(&cut) });
        cut
    }

    /// Makes a face on these terms; its port opens at once.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn add_face(&self, terms: Terms) -> Result<FaceId, Error> {
        self.check_face(&terms)?;
        let handle = self.clone();
        to_the_end(async move {
            let id = handle.0.rooms.store.add_face(terms).await?;
            recall(&handle).await;
            Ok(id)
        })
        .await
    }

    /// Changes the terms of a face; its ids and its port stay.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn change_face(&self, id: FaceId, terms: Terms) -> Result<(), Error> {
        self.check_face(&terms)?;
        let handle = self.clone();
        to_the_end(async move {
            handle.0.rooms.store.change_face(id, terms).await?;
            recall(&handle).await;
            Ok(())
        })
        .await
    }

    /// Removes a face, and closes its port. Who watches through it goes on.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn remove_face(&self, id: FaceId) -> Result<(), Error> {
        let handle = self.clone();
        to_the_end(async move {
            handle.0.rooms.store.remove_face(id).await?;
            recall(&handle).await;
            Ok(())
        })
        .await
    }

    fn check_face(&self, terms: &Terms) -> Result<(), Error> {
        terms.check().map_err(Error::Field)?;
        let (Which::Groups(groups), Some(lineup)) = (&terms.slice.which, self.0.rooms.engine.lineup()) else {
            return Ok(());
        };
        let is_there = |group: &&String| lineup.channels().iter().any(|channel| channel.group == **group);
        match groups.iter().find(|group| !is_there(group)) {
            Some(group) => Err(Error::Field(FieldError::new("groups", format!("no channel is in a group {group:?}")))),
            None => Ok(()),
        }
    }
}

/// Takes the faces as they are stored, and has everybody know.
pub(super) async fn recall(handle: &Handle) {
    match handle.0.rooms.store.faces().await {
        Ok(stored) => {
            let before = handle.faces();
            // One that is as it was stays itself, with its cut.
            let faces = stored.into_iter().map(|face| {
                let same = before.iter().find(|before| ***before == face);
                same.map_or_else(|| Rc::new(face), Rc::clone)
            });
            *handle.0.faces.all.borrow_mut() = faces.collect();
            show(handle);
            handle.0.guides.bump();
            handle.0.faces.changed.send_replace(());
        }
        Err(error) => handle.0.rooms.problems.set(Topic::Faces, format!("The faces could not be read: {error}")),
    }
}

/// Cuts what changed anew, and says what clients will stumble over.
pub(super) fn show(handle: &Handle) {
    let faces = handle.faces();
    let before: BTreeMap<FaceId, usize> = {
        let mut cuts = handle.0.faces.cuts.borrow_mut();
        cuts.retain(|id, _| faces.iter().any(|face| face.id == *id));
        cuts.iter().map(|(id, kept)| (*id, kept.cut.listed_len())).collect()
    };
    let Some(lineup) = handle.0.rooms.engine.lineup() else { return };
    let marks = handle.marks();
    let mut empty = Vec::new();
    for face in &faces {
        let (name, len) = (&face.terms.name, handle.cut(face, &lineup, &marks).listed_len());
        if len == 0 {
            empty.push(format!("The face {name} has no channels now, so its clients get none."));
        }
        if len > PLEX_CHANNELS_MAX && before.get(&face.id) != Some(&len) {
            tracing::warn!(
                "Plex takes {PLEX_CHANNELS_MAX} channels of one box, and the face {name} has {len}; let Plex have a face \
                 with fewer"
            );
        }
    }
    let problems = &handle.0.rooms.problems;
    if empty.is_empty() {
        problems.clear(Topic::Faces);
    } else {
        problems.set(Topic::Faces, empty.join(" ") + " Choose other channels for it on the page, below Sources.");
    }
}
