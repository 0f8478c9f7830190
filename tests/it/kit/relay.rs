//! Proxies of a provider's: one that speaks HTTP, one that speaks SOCKS 5. Whatever name they are asked for, they lead to
//! one source, so that nothing but they can find it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy; it serves as long as the test runs.
pub(crate) struct Relay {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What it wants to hear, and where it leads.
#[derive(Clone)]
struct Rules {
    to: u16,
    /// `user:password`.
    login: Option<&'static str>,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    pub(crate) fn http(to: u16, login: Option<&'static str>) -> Self {
        Self::serve(to, login, http)
    }

    pub(crate) fn socks(to: u16, login: Option<&'static str>) -> Self {
        Self::serve(to, login, socks)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whom it was asked to lead to, as it was written.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The first request on each connection that it passed on, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn serve(to: u16, login: Option<&'static str>, speak: fn(TcpStream, &Rules) -> std::io::Result<()>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Rules { to, login, asked: Arc::default(), heads: Arc::default() };
        let (asked, heads) = (Arc::clone(&rules.asked), Arc::clone(&rules.heads));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let rules = rules.clone();
                // Either side may leave at any moment.
                std::thread::spawn(move || drop(speak(client, &rules)));
            }
        });
        Self { address, asked, heads }
    }
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn join(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    client.shutdown(std::net::Shutdown::Both)
}

/// Passes the first request on, and then everything.
fn pass(client: TcpStream, head: &str, rules: &Rules) -> std::io::Result<()> {
    rules.heads.lock().unwrap().push(head.to_lowercase());
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, rules.to))?;
    server.write_all(head.as_bytes())?;
    join(client, server)
}

fn http(mut client: TcpStream, rules: &Rules) -> std::io::Result<()> {
    use base64::Engine as _;
    let head = read_head(&mut client)?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    rules.asked.lock().unwrap().push(target.clone());
    let wanted = rules.login.map(|login| base64::engine::general_purpose::STANDARD.encode(login));
    if wanted.is_some_and(|wanted| !head.to_lowercase().contains(&format!("basic {wanted}").to_lowercase())) {
        return client.write_all(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if head.starts_with("CONNECT ") {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, rules.to))?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")?;
        return join(client, server);
    }
    let path = target.splitn(4, '/').nth(3).unwrap_or_default();
    pass(client, &head.replacen(&target, &format!("/{path}"), 1), rules)
}

fn socks(mut client: TcpStream, rules: &Rules) -> std::io::Result<()> {
    let mut two = [0; 2];
    client.read_exact(&mut two)?;
    let mut methods = vec![0; usize::from(two[1])];
    client.read_exact(&mut methods)?;
    let method = if rules.login.is_some() { 2 } else { 0 };
    if two[0] != 5 || !methods.contains(&method) {
        return client.write_all(&[5, 0xFF]);
    }
    client.write_all(&[5, method])?;
    if let Some(login) = rules.login {
        let mut read = |len: usize| -> std::io::Result<Vec<u8>> {
            let mut bytes = vec![0; len];
            client.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        assert_eq!(read(1)?, [1]);
        let user_len = read(1)?[0].into();
        let user = read(user_len)?;
        let password_len = read(1)?[0].into();
        let password = read(password_len)?;
        let is_good = [&user[..], b":", &password].concat() == login.as_bytes();
        client.write_all(&[1, u8::from(!is_good)])?;
        if !is_good {
            return Ok(());
        }
    }
    let mut four = [0; 5];
    client.read_exact(&mut four)?;
    let mut rest = vec![0; if four[3] == 3 { usize::from(four[4]) } else { 3 }];
    client.read_exact(&mut rest)?;
    client.read_exact(&mut two)?;
    let port = u16::from_be_bytes(two);
    let host = if four[3] == 3 {
        String::from_utf8_lossy(&rest).into_owned()
    } else {
        Ipv4Addr::new(four[4], rest[0], rest[1], rest[2]).to_string()
    };
    rules.asked.lock().unwrap().push(format!("{host}:{port}"));
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 9])?;
    let head = read_head(&mut client)?;
    pass(client, &head, rules)
}
