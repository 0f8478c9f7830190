//! XML that we write: escaping, and the guide in the XMLTV format.
//!
//! Not here: reading XML ([`super::markup`], [`super::xmltv`]); the device's own XML, which uses [`Escaped`] where it is
//! written; whether what was written is good ([`super::xmltv::check`]).
//!
//! The invariant (S50): whatever a playlist put into a name, the document is well-formed, follows the XMLTV DTD, and
//! no two programmes of a channel overlap. And it is true: where no guide is known, it says so.

use crate::limits::GUIDE_HOURS;
use crate::model::guide_number::GuideNumber;
use crate::model::lineup::{Channel, logo_path};
use crate::model::recipe::demo_channel;
use crate::time::{Civil, Wall};
use core::fmt::{self, Write};

/// A text inside an element or a quoted attribute. Characters that XML 1.0 has no way to write are left out.
///
/// Source: XML 1.0, fifth edition, sections 2.2 and 2.4.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                // Written plainly, a reader would turn them into spaces or line feeds.
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(c))?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What a guide begins with. [`write_channel`] for each channel comes next, then the programmes of each,
/// then [`XMLTV_TAIL`]. It is written in pieces, so that a large lineup need not be written in one go.
///
/// Source: `xmltv.dtd` of the XMLTV project.
pub const XMLTV_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv generator-info-name=\"tunerd\">\n";

/// What a guide ends with.
pub const XMLTV_TAIL: &str = "</tv>\n";

/// Stands for our own address where a logo is ours: each client knows us by another one. No network has this name.
///
/// Source: RFC 6761, section 6.4.
pub const OWN_BASE: &str = "http://tunerd.invalid";

/// Writes a channel. Its id is its guide number, which is what clients match a lineup by. `icon` is the logo that its
/// guide knows, for when its playlist knows none; a logo that clients get from us is at [`OWN_BASE`].
///
/// # Errors
/// Those of `out`; there is none of our own.
pub fn write_channel(out: &mut dyn Write, channel: &Channel, icon: &str) -> fmt::Result {
    let Channel { id, number, name, logo, .. } = channel;
    writeln!(out, "  <channel id=\"{number}\">")?;
    // The first one is what clients show when a person maps channels; the number is what others match by.
    writeln!(out, "    <display-name>{}</display-name>", Escaped(name))?;
    writeln!(out, "    <display-name>{number}</display-name>")?;
    let logo = if logo.is_empty() { icon } else { logo };
    if let Some(path) = logo_path(*id, &channel.logo) {
        writeln!(out, "    <icon src=\"{OWN_BASE}{path}\"/>")?;
    } else if !logo.is_empty() {
        writeln!(out, "    <icon src=\"{}\"/>", Escaped(logo))?;
    }
    out.write_str("  </channel>\n")
}

/// Writes what a channel shows of which no guide is known, from the hour that `now` lies in, for [`GUIDE_HOURS`]: a
/// programme an hour for a test card, and one a day (of UTC) otherwise, which says so. Gives how many there are.
///
/// # Errors
/// Those of `out`; there is none of our own.
pub fn write_placeholders(out: &mut dyn Write, channel: &Channel, now: Wall) -> Result<u32, fmt::Error> {
    let block_s = if channel.demo().is_some() { 3_600 } else { 86_400 };
    let end = now.hour_start().plus_s(GUIDE_HOURS * 3_600);
    let mut start = Wall(now.0 - now.0.rem_euclid(block_s));
    let mut count = 0;
    while start < end {
        count += 1;
        begin_programme(out, channel.number, start, start.plus_s(block_s))?;
        if let Some(demo) = channel.demo().map(demo_channel) {
            writeln!(out, "    <title lang=\"en\">Test card: {}</title>", Escaped(&channel.name))?;
            writeln!(out, "    <desc lang=\"en\">{}</desc>", Escaped(demo.description))?;
        } else {
            writeln!(out, "    <title>{}</title>", Escaped(&channel.name))?;
            out.write_str("    <desc lang=\"en\">No guide is known for this channel.</desc>\n")?;
        }
        out.write_str(PROGRAMME_TAIL)?;
        start = start.plus_s(block_s);
    }
    Ok(count)
}

/// Writes a programme of a guide. `details` are those of [`super::xmltv::Programme`]; one without a title is called as
/// its channel.
///
/// # Errors
/// Those of `out`; there is none of our own.
pub fn write_programme(
    out: &mut dyn Write,
    channel: &Channel,
    start: Wall,
    stop: Wall,
    has_title: bool,
    details: &str,
) -> fmt::Result {
    begin_programme(out, channel.number, start, stop)?;
    if !has_title {
        write!(out, "<title>{}</title>", Escaped(&channel.name))?;
    }
    writeln!(out, "{details}")?;
    out.write_str(PROGRAMME_TAIL)
}

fn begin_programme(out: &mut dyn Write, number: GuideNumber, start: Wall, stop: Wall) -> fmt::Result {
    let (start, stop) = (XmltvTime(start), XmltvTime(stop));
    writeln!(out, "  <programme start=\"{start}\" stop=\"{stop}\" channel=\"{number}\">")
}

const PROGRAMME_TAIL: &str = "  </programme>\n";

/// A point in time as XMLTV writes it, in UTC: `20261121093000 +0000`.
struct XmltvTime(Wall);

impl fmt::Display for XmltvTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.0.civil();
        write!(f, "{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02} +0000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::headers::Headers;
    use crate::model::lineup::{ChannelId, DemoIndex, Source};
    use crate::rules::reach::Reach;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use std::vec::Vec;

    /// 2026-11-21, 09:30 UTC.
    const NOW: Wall = Wall(1_795_253_400);

    fn channel(id: u32, number: &str, name: &str, logo: &str, source: Source) -> Channel {
        Channel {
            id: ChannelId(id),
            number: number.parse().unwrap(),
            name: name.to_string(),
            group: String::new(),
            logo: logo.to_string(),
            tvg_id: String::new(),
            tvg_shift_min: 0,
            sources: vec![source],
        }
    }

    fn url() -> Source {
        Source::Url {
            url: "http://joe:hunter2@example.com/".parse().unwrap(),
            user_agent: None,
            headers: Headers::default(),
            account: None,
            reach: Reach::Public,
            provider: None,
        }
    }

    fn written(channels: &[Channel]) -> String {
        let mut out = String::from(XMLTV_HEAD);
        for channel in channels {
            write_channel(&mut out, channel, "http://guide/icon.png").unwrap();
        }
        for channel in channels {
            write_placeholders(&mut out, channel, NOW).unwrap();
        }
        out + XMLTV_TAIL
    }

    /// Starts and stops of all programmes.
    fn times(guide: &str) -> Vec<&str> {
        guide.split('"').filter(|part| part.ends_with(" +0000")).collect()
    }

    #[test]
    fn markup_in_a_text_is_text() {
        for (text, escaped) in [
            ("Das Erste", "Das Erste"),
            ("Tom & Jerry", "Tom &amp; Jerry"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&apos;x&apos;)&lt;/script&gt;"),
            ("\"]]>&amp;", "&quot;]]&gt;&amp;amp;"),
            ("a\0b\u{1}c\u{b}d\u{1f}e\u{fffe}f\u{ffff}", "abcdef"),
            ("a\tb\nc\rd", "a&#9;b&#10;c&#13;d"),
            ("\u{7f}ü\u{85}\u{2028}\u{fffd}📺", "\u{7f}ü\u{85}\u{2028}\u{fffd}📺"),
            ("", ""),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped, "{text:?}");
        }
    }

    #[test]
    fn a_guide_tells_what_is_known() {
        let demo = channel(1, "1.1", "Demo Bars", "", Source::Demo(DemoIndex(0)));
        let guide = written(&[demo, channel(2, "1.10", "R&B <live>", "http://a/?x=1&y=\"", url())]);
        let first_hour = r#"  <programme start="20261121090000 +0000" stop="20261121100000 +0000" channel="1.1">
    <title lang="en">Test card: Demo Bars</title>
    <desc lang="en">DESCRIPTION</desc>
  </programme>
"#
        .replace("DESCRIPTION", demo_channel(DemoIndex(0)).description);
        let path = logo_path(ChannelId(2), "http://a/?x=1&y=\"").unwrap();
        assert!(path.starts_with("/logos/2/") && path.bytes().skip(9).all(|byte| byte.is_ascii_hexdigit()), "{path}");
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>
<tv generator-info-name="tunerd">
  <channel id="1.1">
    <display-name>Demo Bars</display-name>
    <display-name>1.1</display-name>
    <icon src="http://guide/icon.png"/>
  </channel>
  <channel id="1.10">
    <display-name>R&amp;B &lt;live&gt;</display-name>
    <display-name>1.10</display-name>
    <icon src="http://tunerd.invalidPATH"/>
  </channel>
"#
        .replace("PATH", &path);
        assert!(guide.starts_with(&(head + &first_hour)), "{guide}");
        let unknown = r#"  <programme start="20261121000000 +0000" stop="20261122000000 +0000" channel="1.10">
    <title>R&amp;B &lt;live&gt;</title>
    <desc lang="en">No guide is known for this channel.</desc>
  </programme>
  <programme start="20261122000000 +0000" stop="20261123000000 +0000" channel="1.10">
    <title>R&amp;B &lt;live&gt;</title>
    <desc lang="en">No guide is known for this channel.</desc>
  </programme>
</tv>
"#;
        assert!(guide.ends_with(unknown), "{guide}");
        assert!(!guide.contains("hunter2"));
    }

    #[test]
    fn programmes_follow_each_other_without_gap_or_overlap() {
        for (source, len, first, last) in [
            (Source::Demo(DemoIndex(1)), 24, "20261121090000 +0000", "20261122090000 +0000"),
            (url(), 2, "20261121000000 +0000", "20261123000000 +0000"),
        ] {
            let guide = written(&[channel(1, "7", "Seven", "", source)]);
            let times = times(&guide);
            assert_eq!((times.len(), times[0], times[times.len() - 1]), (2 * len, first, last));
            assert!(times.chunks(2).all(|programme| programme[0] < programme[1]));
            assert!(times[1..times.len() - 1].chunks(2).all(|seam| seam[0] == seam[1]));
        }
    }

    #[test]
    fn an_empty_guide_is_still_a_document() {
        assert!(written(&[]).ends_with("\n<tv generator-info-name=\"tunerd\">\n</tv>\n"));
    }
}
