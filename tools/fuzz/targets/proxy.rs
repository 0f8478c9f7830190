//! Any bytes as a request to our proxy: what is passed on is one request, to the server that was named.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::source_url::Scheme;
use pure::wire::proxy::{ProxyRequest, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some(ProxyRequest { url, head }) = parse(bytes) else { return };
    let Some(head) = head else {
        assert_eq!((url.scheme(), url.path_and_query()), (Scheme::Https, "/"));
        return;
    };
    assert_eq!(url.scheme(), Scheme::Http);
    let first = format!("GET {} HTTP/1.1\r\nConnection: close\r\n", url.path_and_query());
    assert!(head.starts_with(&first) && head.len() <= first.len() + bytes.len());
    assert_eq!(head.find("\r\n\r\n"), Some(head.len() - 4), "one request");
    assert!(head.split("\r\n").all(|line| !line.chars().any(char::is_control)));
});
