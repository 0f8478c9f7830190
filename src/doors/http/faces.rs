//! The further faces of the box: what the owner says of them, and a port for each.
//!
//! Clients know a device by host and port, so each face answers on a port of its own. It opens and closes with the
//! face; one that is taken is told, tried again, and costs nothing else. What a face answers: [`super::route`].

use super::api::{fresh, json};
use super::owner::{Answer, Given, done, read, wrong};
use super::v1::Call;
use super::{App, Connections, listen, serve};
use crate::clock;
use crate::observe::problems::Topic;
use crate::subscriptions::Error;
use hyper::StatusCode;
use hyper::body::Incoming;
use pure::limits::{PORT_RETRY_MS_MAX, PORT_RETRY_MS_MIN};
use pure::model::face::{Face, FaceId, Slice, Terms, Which};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use tokio::task::JoinHandle;

// ---- What the owner asks --------------------------------------------------------------------------------------------

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Add,
    Edit,
    Remove,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    match ask {
        Ask::List => Ok(fresh(&list(app))),
        Ask::Add => add(app, body).await,
        Ask::Edit => edit(app, id(call)?, body).await,
        Ask::Remove => app.subscriptions.remove_face(id(call)?).await.map(|()| done()),
    }
}

#[derive(Serialize)]
struct FaceView {
    /// 0: the box itself.
    id: u32,
    name: String,
    device_id: String,
    tuners: usize,
    /// all, favorites or groups.
    channels: &'static str,
    groups: Vec<String>,
    first: Option<u32>,
    /// Where it answers; null while its port cannot be had.
    port: Option<u16>,
    /// How many channels clients see; null while there is no lineup.
    listed: Option<usize>,
}

fn list(app: &App) -> Vec<FaceView> {
    let (lineup, marks) = (app.engine.lineup(), app.subscriptions.marks());
    let own = FaceView {
        id: FaceId::BOX.0,
        name: app.name(),
        device_id: app.device_id.to_string(),
        tuners: app.engine.tuners_len(),
        channels: "all",
        groups: Vec::new(),
        first: None,
        port: app.page_port.get().or(app.stream_port.get()),
        listed: lineup.as_ref().map(|lineup| Slice::default().cut(lineup, |id| marks.of(id)).listed_len()),
    };
    let view = |face: Rc<Face>| {
        let Terms { name, tuners, slice: Slice { which, first } } = face.terms.clone();
        let (channels, groups) = match which {
            Which::All => ("all", Vec::new()),
            Which::Favorites => ("favorites", Vec::new()),
            Which::Groups(groups) => ("groups", groups),
        };
        FaceView {
            id: face.id.0,
            name,
            device_id: face.device_id.to_string(),
            tuners: usize::from(tuners),
            channels,
            groups,
            first,
            port: app.face_ports.borrow().get(&face.id).copied(),
            listed: lineup.as_ref().map(|lineup| app.subscriptions.cut(&face, lineup, &marks).listed_len()),
        }
    };
    [own].into_iter().chain(app.subscriptions.faces().into_iter().map(view)).collect()
}

/// What is written of a face; what is not written stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    tuners: Option<u8>,
    /// all, favorites or groups.
    channels: Option<String>,
    groups: Option<Vec<String>>,
    /// Only so many of them; null or 0: all.
    #[serde(default)]
    first: Given<u32>,
}

impl Written {
    /// These terms, with what is written in their place.
    fn apply(self, terms: &mut Terms) -> Result<(), Error> {
        let Self { name, tuners, channels, groups, first } = self;
        if let Some(name) = name {
            name.trim().clone_into(&mut terms.name);
        }
        terms.tuners = tuners.unwrap_or(terms.tuners);
        let Slice { which, first: known } = &mut terms.slice;
        match first {
            Given::Nothing => {}
            Given::Null | Given::Value(0) => *known = None,
            Given::Value(first) => *known = Some(first),
        }
        let is_groups = matches!(which, Which::Groups(_));
        match (channels.as_deref(), groups) {
            (Some("groups"), None) if is_groups => {}
            (Some("groups"), None) => return Err(wrong("groups", "the groups of channels that it shows")),
            (Some("groups"), Some(groups)) => *which = Which::Groups(groups),
            (None, Some(groups)) if is_groups => *which = Which::Groups(groups),
            (_, Some(_)) => return Err(wrong("groups", "they go with channels = groups only")),
            (Some("all"), None) => *which = Which::All,
            (Some("favorites"), None) => *which = Which::Favorites,
            (Some(_), None) => return Err(wrong("channels", "all, favorites or groups")),
            (None, None) => {}
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Added {
    id: u32,
}

async fn add(app: &App, body: Incoming) -> Answer {
    let written: Written = read(body).await?;
    // Half of the tuners, so that the others have some as well.
    let tuners = u8::try_from(app.engine.tuners_len().div_ceil(2)).unwrap_or(u8::MAX);
    let mut terms = Terms { name: String::new(), tuners, slice: Slice::default() };
    written.apply(&mut terms)?;
    let id = app.subscriptions.add_face(terms).await?;
    Ok(json(StatusCode::CREATED, &Added { id: id.0 }))
}

async fn edit(app: &App, id: FaceId, body: Incoming) -> Answer {
    let face = app.subscriptions.face(id).ok_or(Error::NotFound)?;
    let mut terms = face.terms.clone();
    read::<Written>(body).await?.apply(&mut terms)?;
    app.subscriptions.change_face(face.id, terms).await?;
    Ok(done())
}

fn id(call: &Call<'_>) -> Result<FaceId, Error> {
    match FaceId(call.id()?) {
        FaceId::BOX => Err(wrong("id", "the box itself has everything; its name is in the settings")),
        id => Ok(id),
    }
}

// ---- Ports ----------------------------------------------------------------------------------------------------------

/// Keeps a port open for each face, from `first_port` on; never ends.
pub async fn keep_ports(app: Rc<App>, address: Ipv4Addr, first_port: u16, connections: Rc<Connections>) {
    let mut changes = app.subscriptions.face_changes();
    let mut ports = Ports { app, address, first_port, connections, open: BTreeMap::new() };
    let mut pause_ms = PORT_RETRY_MS_MIN;
    loop {
        ports.close().await;
        let failed = ports.open();
        let app = &ports.app;
        app.device_changes.send_replace(());
        if failed.is_empty() {
            app.problems.clear(Topic::FacePort);
            pause_ms = PORT_RETRY_MS_MIN;
        } else {
            let what_to_do = "Stop the program that holds it, or choose another face_port";
            app.problems.set(Topic::FacePort, format!("{} {what_to_do}", failed.join(" ")));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = clock::pause(pause_ms), if !failed.is_empty() => pause_ms = (pause_ms * 2).min(PORT_RETRY_MS_MAX),
        }
    }
}

/// The ports of faces, and the tasks that answer there.
struct Ports {
    app: Rc<App>,
    address: Ipv4Addr,
    first_port: u16,
    connections: Rc<Connections>,
    open: BTreeMap<FaceId, Vec<JoinHandle<()>>>,
}

impl Ports {
    /// Closes those of faces that are gone.
    async fn close(&mut self) {
        let faces = self.app.subscriptions.faces();
        let is_gone = |id: &FaceId| faces.iter().all(|face| face.id != *id);
        let gone: Vec<FaceId> = self.open.keys().copied().filter(is_gone).collect();
        for id in gone {
            self.app.face_ports.borrow_mut().remove(&id);
            for task in self.open.remove(&id).unwrap_or_default() {
                task.abort();
                // The port is closed once the task is gone, and another face may want it.
                task.await.unwrap_or_default();
            }
        }
    }

    /// Opens those that are not open, and says which cannot be had.
    fn open(&mut self) -> Vec<String> {
        let mut failed = Vec::new();
        for face in self.app.subscriptions.faces() {
            if self.open.contains_key(&face.id) {
                continue;
            }
            let (name, port) = (&face.terms.name, u32::from(self.first_port) + u32::from(face.place));
            match self.open_one(face.id, port) {
                Ok((port, tasks)) => {
                    tracing::info!(device = %face.device_id, "the face {name} is on port {port}");
                    self.open.insert(face.id, tasks);
                    self.app.face_ports.borrow_mut().insert(face.id, port);
                }
                Err(why) => failed.push(format!("Port {port} for the face {name} cannot be opened: {why}.")),
            }
        }
        failed
    }

    /// Opens one over the families that the box has.
    fn open_one(&self, face: FaceId, port: u32) -> Result<(u16, Vec<JoinHandle<()>>), String> {
        let port = u16::try_from(port).map_err(|_| "there is no such port".to_owned())?;
        let v4 = [IpAddr::V4(self.address)].into_iter();
        let v6 = self.app.has_v6.get().then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let listeners = v4.chain(v6).map(|address| listen(address, port)).collect::<std::io::Result<Vec<_>>>();
        let tasks = listeners.map_err(|error| error.to_string())?.into_iter().map(|listener| {
            let (app, connections) = (Rc::clone(&self.app), Rc::clone(&self.connections));
            tokio::task::spawn_local(serve(listener, app, connections, Some(face)))
        });
        Ok((port, tasks.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_changes_what_it_names() {
        let groups = |names: &[&str]| Which::Groups(names.iter().map(|name| (*name).to_owned()).collect());
        let before = Terms { name: "A".to_owned(), tuners: 2, slice: Slice { which: groups(&["x"]), first: Some(9) } };
        let apply = |text: &str| {
            let mut terms = before.clone();
            serde_json::from_str::<Written>(text).unwrap().apply(&mut terms).map(|()| terms)
        };
        let slice = |which, first| Slice { which, first };
        for (text, after) in [
            ("{}", before.clone()),
            (r#"{"name":" B "}"#, Terms { name: "B".to_owned(), ..before.clone() }),
            (r#"{"tuners":1,"channels":"groups"}"#, Terms { tuners: 1, ..before.clone() }),
            (r#"{"first":null}"#, Terms { slice: slice(groups(&["x"]), None), ..before.clone() }),
            (r#"{"first":0}"#, Terms { slice: slice(groups(&["x"]), None), ..before.clone() }),
            (r#"{"channels":"all"}"#, Terms { slice: slice(Which::All, Some(9)), ..before.clone() }),
            (r#"{"groups":["y"]}"#, Terms { slice: slice(groups(&["y"]), Some(9)), ..before.clone() }),
        ] {
            assert_eq!(apply(text), Ok(after), "{text}");
        }
        for (text, field) in [
            (r#"{"channels":"some"}"#, "channels"),
            (r#"{"channels":"all","groups":["x"]}"#, "groups"),
            (r#"{"channels":"favorites","groups":[]}"#, "groups"),
        ] {
            assert!(matches!(apply(text), Err(Error::Field(error)) if error.field == field), "{text}");
        }
        assert!(serde_json::from_str::<Written>(r#"{"device_id":"10700000"}"#).is_err(), "that is for life");
    }
}
