//! Decisions over time. Each machine takes what happened and the time, and answers with what to do.
//!
//! [`pool`] is the one that the daemon talks to. It asks [`gate`] before every spawn, and the gate asks [`breaker`],
//! [`throttle`], [`admission`] and [`bucket`]; [`acquire`], [`health`] and [`failure`] are what it counts with. [`blank`]
//! judges what a channel shows.
//! [`alarms`] watches them all and decides nothing for them. [`escalation`] is asked when the daemon itself fails, and
//! [`encoders`] by whom pictures are encoded.
//!
//! [`timetable`] says when a subscription is refreshed, [`updating`] what is installed and when.
//! [`reach`] says how far an address may lead, [`window`] which segment of a playlist is next.
//!
//! For the doors: [`control`] keeps what clients set on tuners, [`replies`] says who is answered how often, and
//! [`clients`] remembers who asked.
//!
//! [`access`] says who may manage the box, [`capacity`] how many slots it has.
//! [`doctor`] judges what clients would see.
//!
//! For the guide: [`guide_match`] finds whose guide it is, [`timeline`] what is on, and [`guide_shift`] whether a guide's
//! clock is wrong.
pub mod access;
pub mod acquire;
pub mod admission;
pub mod alarms;
pub mod blank;
pub mod breaker;
pub mod bucket;
pub mod capacity;
pub mod clients;
pub mod constants;
pub mod control;
pub mod doctor;
pub mod encoders;
pub mod escalation;
pub mod failure;
pub mod gate;
pub mod guide_match;
pub mod guide_shift;
pub mod health;
pub mod notices;
pub mod outage;
pub mod pace;
pub mod pool;
pub mod reach;
pub mod replies;
pub mod slate;
pub mod sources;
pub mod throttle;
pub mod timeline;
pub mod timetable;
pub mod updating;
pub mod window;
