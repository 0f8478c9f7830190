//! The texts of variables, as clients take them apart.
//!
//! Every text fits into a reply, whatever the lineup: names are cut until it does. Parsers of clients stop at blanks,
//! at ` (`, and at line ends, so none of these comes out of a name.
//!
//! Source: `libhdhomerun`, `hdhomerun_device.c` (status), `hdhomerun_channelscan.c` (streaminfo), release 20250506;
//! texts of a HDTC-2US and a HDHR5-4DT.

use crate::model::channel_map::{Mux, PROGRAMMES_MAX, Place};
use crate::model::lineup::{Channel, Lineup};
use crate::rules::control::{Board, Counters, Scan, ScanState, TEXT_BYTES_MAX, Text};
use core::fmt::{self, Write as _};

/// Bytes of a programme's name that the scan of clients has room for.
const NAME_BYTES_MAX: usize = 31;
/// Bytes of a line of a stream's programmes besides the name: `64: `, the longest guide number, a blank, and its end.
const PROGRAMME_BYTES_MAX: usize = "64: ".len() + crate::limits::GUIDE_NUMBER_BYTES_MAX + " \n".len();
/// Bytes behind the programmes.
const STREAM_END_BYTES: usize = "tsid=0x0000\nonid=0x0000\n".len();
/// The network that we broadcast in, as far as DVB goes: one for private use.
/// Source: ETSI TS 101 162, table for `original_network_id`.
const ONID: u16 = 0xFF00;

pub(super) const HELP: &str = "Supported configuration options:
/lineup/scan
/sys/copyright
/sys/debug
/sys/features
/sys/hwmodel
/sys/model
/sys/restart <resource>
/sys/version
/tuner<n>/channel <modulation>:<freq|ch>
/tuner<n>/channelmap <channelmap>
/tuner<n>/debug
/tuner<n>/filter \"0x<nnnn>-0x<nnnn> [...]\"
/tuner<n>/lockkey
/tuner<n>/plpinfo
/tuner<n>/program <program number>
/tuner<n>/status
/tuner<n>/streaminfo
/tuner<n>/target <ip>:<port>
/tuner<n>/vchannel <vchannel>
/tuner<n>/vstatus
";

pub(super) const FEATURES: &str = "\
channelmap: au-bcast au-cable eu-bcast eu-cable tw-bcast tw-cable kr-bcast kr-cable us-bcast us-cable us-hrc us-irc \
jp-bcast
modulation: 8vsb qam256 qam64 t8qam256 t8qam64 t7qam256 t7qam64 t6qam256 t6qam64 a8qam256-6900 a8qam64-6900
auto-modulation: auto auto6t auto7t auto8t auto6c auto7c auto8c qam
";

/// How well a tuner receives, as clients want to hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Nothing is there.
    None,
    /// All is well, or has just begun.
    Full,
    /// It is there, and its pictures do not come.
    Failing,
}

/// What a tuner is on.
pub(super) struct Reception<'a> {
    pub(super) ch: &'a str,
    /// What it locked on; `none` without a signal.
    pub(super) lock: &'a str,
    pub(super) frequency_hz: Option<u32>,
    pub(super) signal: Signal,
    pub(super) bits_per_s: u64,
    pub(super) packets_per_s: u32,
}

impl Reception<'_> {
    /// `ch=… lock=… ss=… snq=… seq=…`; below 35 for `ss` means to clients that nothing is there at all.
    fn quality(&self, out: &mut Text, frequency_hz: Option<u32>) {
        put(out, format_args!("ch={} lock={}", self.ch, self.lock));
        if let (Some(hz), true) = (frequency_hz, self.signal != Signal::None) {
            put(out, format_args!(":{hz}"));
        }
        let (strength, symbols) = match self.signal {
            Signal::None => (0, 0),
            Signal::Full => (100, 100),
            Signal::Failing => (100, 0),
        };
        put(out, format_args!(" ss={strength} snq={strength} seq={symbols}"));
    }

    /// The one line that clients poll.
    pub(super) fn status(&self, out: &mut Text) {
        self.quality(out, None);
        put(out, format_args!(" bps={} pps={}", narrow(self.bits_per_s), self.packets_per_s));
    }

    /// The four lines for people.
    pub(super) fn debug(&self, counters: &Counters, stop: u8, out: &mut Text) {
        put(out, format_args!("tun: "));
        self.quality(out, self.frequency_hz);
        let bps = narrow(self.bits_per_s);
        put(out, format_args!(" dbg=0\ndev: bps={bps} resync={} overflow={}\n", counters.resyncs, counters.overflows));
        put(out, format_args!("ts:  bps={bps} te={} crc={}\n", counters.damaged_packets, counters.damaged_sections));
        let net_bps = u64::from(self.packets_per_s) * DATAGRAM_BITS;
        put(
            out,
            format_args!(
                "net: bps={} pps={} err={} stop={stop}\n",
                narrow(net_bps),
                self.packets_per_s,
                counters.dropped_packets
            ),
        );
    }
}

/// Bits of stream in a datagram.
const DATAGRAM_BITS: u64 = 7 * 188 * 8;

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The programmes of a mux, a line each, and what the mux is called.
pub(super) fn streaminfo(lineup: &Lineup, mux: Mux, is_dvb: bool, out: &mut Text) {
    let channels = lineup.channels().get(mux.first..mux.first + mux.len).unwrap_or_default();
    let name_bytes_max = (TEXT_BYTES_MAX - STREAM_END_BYTES) / channels.len().max(1) - PROGRAMME_BYTES_MAX;
    for (index, channel) in channels.iter().enumerate() {
        put(out, format_args!("{}: {} ", index + 1, channel.number));
        name(channel, name_bytes_max, ' ', out);
        put(out, format_args!("\n"));
    }
    put(out, format_args!("tsid=0x{:04X}\n", mux.tsid));
    if is_dvb {
        put(out, format_args!("onid=0x{ONID:04X}\n"));
    }
}

const _: () = assert!(
    (TEXT_BYTES_MAX - STREAM_END_BYTES) / PROGRAMMES_MAX > PROGRAMME_BYTES_MAX,
    "even in the fullest mux there is room for names"
);

/// Whether a channel may be watched.
pub(super) fn vstatus(channel: Option<&Channel>, out: &mut Text) {
    let Some(channel) = channel else {
        put(out, format_args!("vch=none name=none auth=unspecified cci=unspecified cgms=unspecified"));
        return;
    };
    put(out, format_args!("vch={} name=", channel.number));
    name(channel, NAME_BYTES_MAX, '_', out);
    put(out, format_args!(" auth=subscribed cci=unrestricted cgms=unrestricted"));
}

/// The name of a channel, cut at a character; its number where there is no name, because clients wait for one.
fn name(channel: &Channel, bytes_max: usize, blank: char, out: &mut Text) {
    let end = out.len() + bytes_max.min(NAME_BYTES_MAX);
    let start = out.len();
    for character in channel.name.trim().chars() {
        let character = match character {
            // What stands behind ` (` is a mark, not a name.
            '(' => '[',
            ')' => ']',
            c if c.is_whitespace() || c.is_control() => blank,
            c => c,
        };
        if out.len() + character.len_utf8() > end || out.push(character).is_err() {
            break;
        }
    }
    if out.len() == start {
        put(out, format_args!("{}", channel.number));
    }
}

/// How the search for channels is doing.
pub(super) fn scan(scan: Scan, out: &mut Text) {
    let state = match scan.state {
        ScanState::Running => "running",
        ScanState::Complete => "complete",
        ScanState::Incomplete => "incomplete",
    };
    put(out, format_args!("state={state} progress={}% found={}", scan.progress.min(100), scan.found));
}

/// How the box is doing.
pub(super) fn board(board: Board, tuners_len: usize, out: &mut Text) {
    put(out, format_args!("mem: ddr={} free={}\n", board.memory_mib, board.free_mib));
    put(out, format_args!("loop: stall={}\n", board.stall_ms));
    for tuner in 0..tuners_len {
        put(out, format_args!("t{tuner}: pt=0\n"));
    }
    put(out, format_args!("eth: link={}\n", board.link_mbit));
}

/// The channel text of what was tuned by guide number.
pub(super) fn place<const N: usize>(place: Option<Place>, channel: &Channel) -> heapless::String<N> {
    let mut text = heapless::String::new();
    match place {
        Some(place) => write!(text, "auto:{}", place.frequency_hz),
        // On no frequency at all: a lineup larger than any map.
        None => write!(text, "v{}", channel.number),
    }
    .unwrap_or_default();
    text
}

/// Appends. What does not fit is left out; the assertions above and below keep that from happening.
pub(super) fn put(out: &mut Text, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

const _: () = assert!(HELP.len() <= TEXT_BYTES_MAX && FEATURES.len() <= TEXT_BYTES_MAX, "they fit into a reply");
