//! Any text as an address: what is accepted has one reading, and reaches FFmpeg in its one place, without options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::headers::Headers;
use pure::model::lineup::Source;
use pure::model::recipe::{Reader, Treatment, recipe};
use pure::model::source_url::{Scheme, SourceUrl, SrtOption};
use pure::rules::reach::Reach;

fuzz_target!(|bytes: &[u8]| {
    let Ok(written) = std::str::from_utf8(bytes) else { return };
    let Ok(url) = written.parse::<SourceUrl>() else { return };
    let text = url.as_str();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\|<>#".contains(&byte)), "{text}");
    assert_eq!(text.parse(), Ok(url.clone()), "what is kept reads back as itself");
    assert!(!url.host().is_empty() && !url.host().starts_with('-') && url.port() > 0);
    if let Some(userinfo) = url.userinfo().filter(|_| url.sender().is_none()) {
        assert!(url.to_string().contains("***@"), "{userinfo}");
    }
    assert_eq!(url.resolve(text).is_ok(), url.scheme().is_http(), "{text}");

    let (headers, reach) = (Headers::default(), Reach::Public);
    let of = |url| {
        let headers = headers.clone();
        Source::Url { url, user_agent: None, headers, account: None, reach, provider: None }
    };
    let source = of(url.clone());
    let made = recipe(&source, Reader::of(&source), "x", Treatment::Copy);
    let at = made.args().iter().rposition(|arg| arg == "-i").expect("an input");
    let called = &made.args()[at + 1];
    assert!(url.scheme().is_http() || called.starts_with(url.scheme().as_str()), "{called}");
    let options = called.split_once('?').map_or("", |(_, options)| options);
    match url.scheme() {
        Scheme::Srt => assert_eq!(options, ""),
        Scheme::Udp => {
            assert!(options.is_empty() || url.sender().is_some_and(|one| options == format!("sources={one}")))
        }
        Scheme::Rtp => assert!(options.starts_with("timeout=8000000"), "{options}"),
        Scheme::Http | Scheme::Https => assert!(called == "pipe:0" || called == text, "{called}"),
        _ => assert!(called.ends_with(url.path_and_query()), "{called}"),
    }
    // Options and their values, and nothing else.
    let plain = format!("{}://h:1", url.scheme().as_str()).parse().expect("an address");
    let plain = of(plain);
    let plain = recipe(&plain, Reader::of(&plain), "x", Treatment::Copy);
    let said = SrtOption::ALL.iter().filter(|option| url.srt_option(**option).is_some()).count();
    let is_other_reader = url.looks_like_hls() || url.scheme().is_http();
    assert!(is_other_reader || made.args().len() == plain.args().len() + 2 * said);
});
