//! Who asked this box, for the page and the API: "Plex at .20 asked 4 s ago and took the lineup".
//!
//! All doors tell it here; what is remembered, and how a program is known, is decided in `pure::rules::clients`.

use crate::clock;
use pure::rules::clients::{Asked, Client, Clients};
use std::cell::RefCell;
use std::net::IpAddr;

/// Everybody who asked lately.
#[derive(Debug, Default)]
pub struct Seen(RefCell<Clients>);

impl Seen {
    /// Notes that somebody asked. `user_agent` is empty where there is none.
    pub fn saw(&self, address: IpAddr, asked: Asked, user_agent: &[u8]) {
        self.0.borrow_mut().saw(clock::mono(), address, asked, user_agent);
    }

    /// Changes what is known in another way: what somebody does over control may tell who he is.
    pub fn note(&self, change: impl FnOnce(&mut Clients)) {
        change(&mut self.0.borrow_mut());
    }

    /// Everybody, whoever asked last first.
    pub fn list(&self) -> Vec<Client> {
        let mut list = self.0.borrow().list().to_vec();
        list.sort_by_key(|client| std::cmp::Reverse(client.at));
        list
    }
}
