//! What a client says to a SOCKS proxy, and what it hears; and the one line that an HTTP proxy answers to `CONNECT`.
//!
//! Source: RFC 1928, RFC 1929; RFC 9110, 9.3.6.

use crate::model::provider::Login;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Version and number of methods, and the methods: none, or a login as well.
pub fn hello(has_login: bool) -> Vec<u8> {
    if has_login { vec![5, 2, 0, 2] } else { vec![5, 1, 0] }
}

/// What the proxy chose of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// We may go on.
    Open,
    /// It wants the login.
    Login,
    /// It wants something else, or a login that there is none of.
    Refused,
}

/// Reads the answer to [`hello`]; none for what no SOCKS 5 proxy says.
pub fn method(answer: [u8; 2]) -> Option<Method> {
    match answer {
        [5, 0] => Some(Method::Open),
        [5, 2] => Some(Method::Login),
        [5, _] => Some(Method::Refused),
        _ => None,
    }
}

/// The login, of at most 255 bytes each.
pub fn login(login: &Login) -> Option<Vec<u8>> {
    let mut said = vec![1];
    for part in [&login.user, &login.password] {
        said.push(u8::try_from(part.len()).ok()?);
        said.extend_from_slice(part);
    }
    Some(said)
}

/// Asks for a connection. A name is resolved by the proxy.
pub fn connect(host: &str, port: u16) -> Option<Vec<u8>> {
    let mut said = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(v4)) => {
            said.push(1);
            said.extend_from_slice(&v4.octets());
        }
        Ok(IpAddr::V6(v6)) => {
            said.push(4);
            said.extend_from_slice(&v6.octets());
        }
        Err(_) => {
            said.extend_from_slice(&[3, u8::try_from(host.len()).ok()?]);
            said.extend_from_slice(host.as_bytes());
        }
    }
    said.extend_from_slice(&port.to_be_bytes());
    Some(said)
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is a connection, once so many more bytes were read, which say where its own end is.
    Connected(usize),
    /// The proxy's rules are against it.
    Forbidden,
    /// The target cannot be reached from there.
    Unreachable,
}

/// Reads the first five bytes of the answer to [`connect`]; none for what no SOCKS 5 proxy says.
pub fn reply(answer: [u8; 5]) -> Option<Reply> {
    // The fifth belongs to the address already.
    match answer {
        [5, 0, 0, 1, _] => Some(Reply::Connected(5)),
        [5, 0, 0, 4, _] => Some(Reply::Connected(17)),
        [5, 0, 0, 3, len] => Some(Reply::Connected(usize::from(len) + 2)),
        [5, 2, ..] => Some(Reply::Forbidden),
        [5, 1..=8, ..] => Some(Reply::Unreachable),
        _ => None,
    }
}

/// The status of an HTTP proxy's answer; none for what is no head.
pub fn status(head: &[u8]) -> Option<u16> {
    let text = core::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let (version, rest) = text.split_once(' ')?;
    let digits = rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    if version.starts_with("HTTP/1.") { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_the_rfc_says() {
        assert_eq!((hello(false), hello(true)), (vec![5, 1, 0], vec![5, 2, 0, 2]));
        let said = login(&Login { user: b"me".to_vec(), password: b"pw".to_vec() });
        assert_eq!(said.unwrap(), [1, 2, b'm', b'e', 2, b'p', b'w']);
        assert_eq!(login(&Login { user: vec![b'u'; 256], password: Vec::new() }), None);
        assert_eq!(connect("1.2.3.4", 80).unwrap(), [5, 1, 0, 1, 1, 2, 3, 4, 0, 80]);
        assert_eq!(connect("a.b", 443).unwrap(), [5, 1, 0, 3, 3, b'a', b'.', b'b', 1, 187]);
        assert_eq!(connect("2600::1", 1).unwrap().len(), 22);
        assert_eq!(connect(&"a".repeat(256), 1), None);
    }

    #[test]
    fn answers_are_understood_or_refused() {
        let methods = [[5, 0], [5, 2], [5, 255], [4, 0], [72, 84]].map(method);
        let (open, refused) = (Some(Method::Open), Some(Method::Refused));
        assert_eq!(methods, [open, Some(Method::Login), refused, None, None]);
        for (answer, read) in [
            ([5, 0, 0, 1, 9], Some(Reply::Connected(5))),
            ([5, 0, 0, 3, 4], Some(Reply::Connected(6))),
            ([5, 0, 0, 4, 9], Some(Reply::Connected(17))),
            ([5, 0, 0, 2, 9], None),
            ([5, 2, 0, 1, 0], Some(Reply::Forbidden)),
            ([5, 5, 0, 1, 0], Some(Reply::Unreachable)),
            ([5, 9, 0, 1, 0], None),
            ([0, 0, 0, 1, 0], None),
        ] {
            assert_eq!(reply(answer), read, "{answer:?}");
        }
        for (head, read) in [
            (&b"HTTP/1.1 200 Connection established\r\n\r\n"[..], Some(200)),
            (b"HTTP/1.0 407\r\n\r\n", Some(407)),
            (b"HTTP/2 200\r\n", None),
            (b"HTTP/1.1 2x0\r\n", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(status(head), read);
        }
    }
}
