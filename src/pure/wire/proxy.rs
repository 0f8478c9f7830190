//! What FFmpeg asks of its proxy: to have a request passed on, or to be connected to a server.
//!
//! Source: RFC 9112, 3.2.2 and 3.2.3.

use crate::model::source_url::{Scheme, SourceUrl};
use alloc::format;
use alloc::string::String;

/// A request to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// To whom.
    pub url: SourceUrl,
    /// What the server is to be told in its place; `None`: nothing, for they talk to each other.
    pub head: Option<String>,
}

/// Reads a request's head, with the empty line at its end.
///
/// `None`: it is none, or asks for what no source needs. Who asks is told no more than that.
pub fn parse(head: &[u8]) -> Option<ProxyRequest> {
    let text = core::str::from_utf8(head.strip_suffix(b"\r\n\r\n")?).ok()?;
    let (first, lines) = text.split_once("\r\n").unwrap_or((text, ""));
    let mut words = first.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/1.") {
        return None;
    }
    if method == "CONNECT" {
        let url: SourceUrl = format!("https://{target}/").parse().ok()?;
        return (url.path_and_query() == "/" && url.userinfo().is_none()).then_some(ProxyRequest { url, head: None });
    }
    let url: SourceUrl = target.parse().ok()?;
    if method != "GET" || url.scheme() != Scheme::Http {
        return None;
    }
    // One request for each connection: the next one may be for another server.
    let mut passed = format!("GET {} HTTP/1.1\r\nConnection: close\r\n", url.path_and_query());
    for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(':')?;
        if line.chars().any(char::is_control) {
            return None;
        }
        let is_ours = ["connection", "proxy-connection", "proxy-authorization", "keep-alive", "upgrade"]
            .iter()
            .any(|ours| name.trim().eq_ignore_ascii_case(ours));
        if !is_ours {
            passed.push_str(line);
            passed.push_str("\r\n");
        }
    }
    passed.push_str("\r\n");
    Some(ProxyRequest { url, head: Some(passed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_passed_on_as_the_server_expects_it() {
        let asked =
            b"GET http://a:8080/x.mp4?t=1 HTTP/1.1\r\nHost: a:8080\r\nRange: bytes=5-\r\nConnection: keep-alive\r\n\
                      Proxy-Authorization: Basic eDp5\r\n\r\n";
        let request = parse(asked).unwrap();
        assert_eq!((request.url.host(), request.url.port()), ("a", 8080));
        let passed = "GET /x.mp4?t=1 HTTP/1.1\r\nConnection: close\r\nHost: a:8080\r\nRange: bytes=5-\r\n\r\n";
        assert_eq!(request.head.as_deref(), Some(passed));
        let request = parse(b"CONNECT [2600::1]:8443 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!((request.url.host(), request.url.port(), request.head), ("2600::1", 8443, None));
    }

    #[test]
    fn nothing_else_is_passed_on() {
        for asked in [
            "",
            "GET http://a/ HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a/ HTTP/1.1\r\n\r\n",
            "GET udp://239.0.0.1:9/ HTTP/1.1\r\n\r\n",
            "POST http://a/ HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1 x\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nno header\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nA: b\nc: d\r\n\r\n",
            "CONNECT a:1/x HTTP/1.1\r\n\r\n",
            "CONNECT x@a:1 HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parse(asked.as_bytes()), None, "{asked:?}");
        }
    }
}
