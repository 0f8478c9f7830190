//! What the demo channels look like: filter graphs for FFmpeg's `lavfi` input.
//!
//! Not here: how the pictures are coded (`recipe.rs`).
//!
//! Every picture is a scene above a bar with number, name and clock. The letters are drawn as boxes from a font in this
//! file, and the clock as seven-segment digits that FFmpeg's own clock switches: no font file, no fontconfig and no
//! `drawtext` is needed, which small builds of FFmpeg lack. What stands still is drawn once and looped, so that a
//! channel costs little more than its encoder.
//!
//! The invariant: a graph is made from constants only.

use crate::model::recipe::DemoChannel;
use alloc::string::String;
use core::fmt::Write;

/// What moves above the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// SMPTE bars, and a line that sweeps over them.
    Bars,
    /// A wide gradient, panned to and fro.
    Dawn,
    /// A grid, scrolled.
    Grid,
    /// A ball and two bats.
    Tennis,
}

impl Scene {
    /// The graph of the scene, 640 by 288, up to an open output. Heights and steps are even, because a pixel of colour
    /// is two high and two wide.
    ///
    /// `n` counts frames. `a-abs(mod(n*s,2*a)-a)` goes from 0 to `a` and back in steps of `s`.
    const fn graph(self) -> &'static str {
        match self {
            Self::Bars => concat!(
                "smptehdbars=s=640x288:r=25:d=0.04,format=yuv420p,loop=-1:1,setpts=N/25/TB[bars];",
                "color=c=white:s=8x288:r=25:d=0.04,format=yuv420p,loop=-1:1,setpts=N/25/TB[line];",
                "[bars][line]overlay=x='mod(n*4,640)'",
            ),
            Self::Dawn => concat!(
                "gradients=s=1920x288:r=25:d=0.04:n=5:c0=0x141e3c:c1=0x5f3a5f:c2=0xe8575a:c3=0xf9a26c:c4=0xffe9b0",
                ":x0=0:y0=0:x1=1919:y1=287,format=yuv420p,loop=-1:1,setpts=N/25/TB,",
                "crop=w=640:h=288:y=0:x='1280-abs(mod(n*2,2560)-1280)'",
            ),
            Self::Grid => concat!(
                "color=c=0x14213d:s=640x288:r=25:d=0.04,format=yuv444p,drawgrid=w=32:h=32:t=2:c=0x2f5d9b,",
                "drawgrid=w=160:h=96:t=4:c=0xffbe0b,format=yuv420p,loop=-1:1,setpts=N/25/TB,",
                "scroll=h=0.003125:v=0.00694444444",
            ),
            Self::Tennis => concat!(
                "color=c=0x1d3b2a:s=640x288:r=25:d=0.04,format=yuv444p,drawbox=x=318:y=-4:w=4:h=296:c=0xc8d8c8:t=fill,",
                "drawgrid=x=0:y=16:w=648:h=32:t=16:c=0x1d3b2a,",
                "format=yuv420p,loop=-1:1,setpts=N/25/TB[court];",
                "color=c=white:s=8x56:r=25:d=0.04,format=yuv420p,loop=-1:1,setpts=N/25/TB,split[left][right];",
                "color=c=0xffd166:s=12x12:r=25:d=0.04,format=yuv420p,loop=-1:1,setpts=N/25/TB[ball];",
                "[court][ball]overlay=x='606-abs(mod(n*6,1164)-582)':y='276-abs(mod(n*4,552)-276)'[one];",
                "[one][left]overlay=x=16:y='clip(254-abs(mod(n*4,552)-276),0,232)'[two];",
                "[two][right]overlay=x=618:y='clip(254-abs(mod(n*4,552)-276),0,232)'",
            ),
        }
    }

    /// The colour of the number in the bar.
    const fn accent(self) -> &'static str {
        match self {
            Self::Bars => "0x4cc9f0",
            Self::Dawn => "0xf9a26c",
            Self::Grid => "0xffbe0b",
            Self::Tennis => "0x80ed99",
        }
    }
}

impl DemoChannel {
    /// The filter graph: picture on `out0`, sound on `out1`; 640 by 360 pixels, 25 frames a second, 48 kHz stereo.
    pub(super) fn graph(&self) -> String {
        let mut graph = String::with_capacity(16 * 1024);
        self.write_graph(&mut graph).expect("a String takes what is written");
        graph
    }

    fn write_graph(&self, graph: &mut String) -> core::fmt::Result {
        let Self { number, name, scene, left_hz, right_hz, .. } = self;
        write!(graph, "{}[scene];", scene.graph())?;

        graph.push_str("color=c=0x0d1b2a:s=640x72:r=25:d=0.04,format=yuv444p");
        write_box(graph, Frame { x: 0, y: 0, w: 640, h: 4 }, scene.accent())?;
        write_text(graph, number.as_str(), 24, 22, 4, scene.accent())?;
        write_text(graph, name, 24 + 24 * number.as_str().len() + 12, 26, 3, "white")?;
        write_text(graph, "UTC", 588, 48, 2, "0x8d99ae")?;
        graph.push_str(",format=yuv420p,loop=-1:1,setpts=N/25/TB");
        write_clock(graph, 384, 18)?;

        graph.push_str("[bar];[scene][bar]vstack[out0];");
        // Sound in steps of a tenth of a second wakes FFmpeg less often, which is a fifth of what a channel costs.
        write!(graph, "sine=f={left_hz}:r=48000:samples_per_frame=4800[left];")?;
        write!(graph, "sine=f={right_hz}:r=48000:samples_per_frame=4800[right];")?;
        graph.push_str("[left][right]join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR[out1]");
        Ok(())
    }
}

/// A rectangle in pixels.
#[derive(Clone, Copy)]
struct Frame {
    x: usize,
    y: usize,
    w: usize,
    h: usize,
}

fn write_box(graph: &mut String, Frame { x, y, w, h }: Frame, colour: &str) -> core::fmt::Result {
    write!(graph, ",drawbox=x={x}:y={y}:w={w}:h={h}:c={colour}:t=fill")
}

/// Draws letters with dots of `dot` pixels; what the font lacks is left blank.
fn write_text(graph: &mut String, text: &str, x: usize, y: usize, dot: usize, colour: &str) -> core::fmt::Result {
    for (index, character) in text.chars().enumerate() {
        let left = x + index * 6 * dot;
        for (row_index, row) in glyph(character).iter().enumerate() {
            let mut column = 0;
            while column < 5 {
                let run = (column..5).take_while(|column| row & (16 >> column) != 0).count();
                if run > 0 {
                    let frame = Frame { x: left + column * dot, y: y + row_index * dot, w: run * dot, h: dot };
                    write_box(graph, frame, colour)?;
                }
                column += run + 1;
            }
        }
    }
    Ok(())
}

/// Draws the time as `00:00:00`, in boxes that are switched by the second. `time(0)` is FFmpeg's clock.
fn write_clock(graph: &mut String, x: usize, y: usize) -> core::fmt::Result {
    const DIGITS: [&str; 6] = [
        "floor(mod(time(0)/36000,2.4))",
        "mod(floor(mod(time(0)/3600,24)),10)",
        "mod(floor(time(0)/600),6)",
        "mod(floor(time(0)/60),10)",
        "mod(floor(time(0)/10),6)",
        "mod(floor(time(0)),10)",
    ];
    let mut left = x;
    for (index, digit) in DIGITS.iter().enumerate() {
        for (Frame { x, y: top, w, h }, lit) in SEGMENTS {
            write_box(graph, Frame { x: left + x, y: y + top, w, h }, "white")?;
            write!(graph, ":enable='bitand({lit},pow(2,{digit}))'")?;
        }
        left += 30;
        if index == 1 || index == 3 {
            write_box(graph, Frame { x: left, y: y + 12, w: 4, h: 4 }, "white")?;
            write_box(graph, Frame { x: left, y: y + 24, w: 4, h: 4 }, "white")?;
            left += 12;
        }
    }
    Ok(())
}

/// The segments of a digit of 22 by 40 pixels, and the digits that each is lit for, 0 as the lowest bit.
const SEGMENTS: [(Frame, u16); 7] = [
    (Frame { x: 4, y: 0, w: 14, h: 4 }, 0b11_1110_1101),
    (Frame { x: 18, y: 4, w: 4, h: 14 }, 0b11_1001_1111),
    (Frame { x: 18, y: 22, w: 4, h: 14 }, 0b11_1111_1011),
    (Frame { x: 4, y: 36, w: 14, h: 4 }, 0b11_0110_1101),
    (Frame { x: 0, y: 22, w: 4, h: 14 }, 0b01_0100_0101),
    (Frame { x: 0, y: 4, w: 4, h: 14 }, 0b11_0111_0001),
    (Frame { x: 4, y: 18, w: 14, h: 4 }, 0b11_0111_1100),
];

/// A letter in five columns and seven rows; the leftmost column is 16.
#[rustfmt::skip]
const fn glyph(character: char) -> [u8; 7] {
    match character.to_ascii_uppercase() {
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01110],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'W' => [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b10101, 0b01010],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recipe::DEMO;

    #[test]
    fn every_letter_of_every_channel_can_be_drawn() {
        for channel in DEMO {
            for character in channel.name.chars().chain(channel.number.as_str().chars()).filter(|c| *c != ' ') {
                assert_ne!(glyph(character), [0; 7], "{character:?} of {}", channel.name);
            }
            let name_end = 24 + 24 * channel.number.as_str().len() + 12 + 18 * channel.name.len();
            assert!(name_end <= 384, "{} runs into the clock", channel.name);
        }
    }

    #[test]
    fn segments_spell_the_digits() {
        // Segments a to g, as on every seven-segment display: a is 64, g is 1.
        for (digit, spelled) in [
            (0, 0b111_1110),
            (1, 0b011_0000),
            (2, 0b110_1101),
            (3, 0b111_1001),
            (4, 0b011_0011),
            (5, 0b101_1011),
            (6, 0b101_1111),
            (7, 0b111_0000),
            (8, 0b111_1111),
            (9, 0b111_1011),
        ] {
            let lit = SEGMENTS.iter().fold(0, |lit, (_, digits)| lit << 1 | (digits >> digit & 1));
            assert_eq!(lit, spelled, "{digit}");
        }
    }

    #[test]
    fn a_graph_names_no_file_and_no_font() {
        for channel in DEMO {
            let graph = channel.graph();
            for word in ["movie", "drawtext", "file", "font", "sendcmd", "zmq", "ladspa", "\n"] {
                assert!(!graph.contains(word), "{word}");
            }
        }
    }
}
