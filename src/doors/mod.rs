//! What the network can knock on. A door answers; it does not decide.
//!
//! - `http`, `control`, `discovery`, `ssdp`, `mdns`: the doors. None of them imports another, but for what all answers are
//!   made of ([`http::App`], [`http::identity`]).
//! - `interfaces`, `datagram`: where the doors are, and how datagrams go through them.
//! - `clients`: who asked.
pub mod clients;
pub mod control;
pub mod datagram;
pub mod discovery;
pub mod http;
pub mod interfaces;
pub mod mdns;
pub mod ssdp;
