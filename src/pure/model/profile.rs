//! Transcode profiles: what a client may ask for in place of a channel's own picture.
//!
//! Not here: FFmpeg's arguments for them (`model/recipe/transcode.rs`), and whether this box can keep up
//! (`rules/encoders.rs`).
//!
//! Source: SiliconDust's "HDHomeRun HTTP Development Guide" of 2014-04-07 for names, sizes and the limit of 30 pictures a
//! second; Jellyfin's `HdHomerunHost.cs` for the rates of the video, which it tells its players before it asks.

use core::fmt;
use core::str::FromStr;

/// What `transcode=` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// As large and as often as the source, up to 1080 lines.
    Heavy,
    /// 720 lines for little bandwidth.
    Mobile,
    /// 720 lines.
    Internet720,
    /// 540 lines.
    Internet540,
    /// 480 lines.
    Internet480,
    /// 360 lines.
    Internet360,
    /// 240 lines.
    Internet240,
    /// As the source is: nothing is encoded.
    None,
}

/// There is no such profile; HDHomeRun clients are told 802 then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProfile;

/// What a profile makes. All values are of this file's table; nothing of the network is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Target {
    /// Most lines.
    pub lines_max: u16,
    /// Whether no more than thirty pictures a second are made: of fifty or sixty every other one.
    pub halves_rate: bool,
    /// Rate of the video in thousands of bits a second; it is the mean and the most.
    pub video_kbits: u16,
    /// Rate of the sound, likewise. It is AAC stereo at 48 kHz.
    pub audio_kbits: u16,
    /// H.264 profile.
    pub h264: H264,
}

/// What a decoder must know of H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum H264 {
    /// For small pictures and old phones.
    Main {
        /// Level, times ten.
        level: u8,
    },
    /// With the larger transform; what televisions play.
    High {
        /// Level, times ten.
        level: u8,
    },
}

/// A picture's width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Heavy,
        Self::Mobile,
        Self::Internet720,
        Self::Internet540,
        Self::Internet480,
        Self::Internet360,
        Self::Internet240,
        Self::None,
    ];

    /// As it stands in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heavy => "heavy",
            Self::Mobile => "mobile",
            Self::Internet720 => "internet720",
            Self::Internet540 => "internet540",
            Self::Internet480 => "internet480",
            Self::Internet360 => "internet360",
            Self::Internet240 => "internet240",
            Self::None => "none",
        }
    }

    /// What it makes; nothing where the source is passed on as it is.
    ///
    /// The level is the lowest that admits the largest picture at the highest rate (ITU-T H.264 table A-1: 3,600
    /// macroblocks at 30 are level 3.1, 8,160 at 60 are 4.2).
    pub const fn target(self) -> Option<Target> {
        let (lines_max, halves_rate, video_kbits, audio_kbits, h264) = match self {
            Self::Heavy => (1080, false, 15_000, 192, H264::High { level: 42 }),
            Self::Mobile => (720, true, 2_000, 128, H264::Main { level: 31 }),
            Self::Internet720 => (720, true, 8_000, 192, H264::High { level: 31 }),
            Self::Internet540 => (540, true, 2_500, 128, H264::High { level: 31 }),
            Self::Internet480 => (480, true, 2_000, 128, H264::Main { level: 31 }),
            Self::Internet360 => (360, true, 1_500, 128, H264::Main { level: 30 }),
            Self::Internet240 => (240, true, 1_000, 96, H264::Main { level: 30 }),
            Self::None => return None,
        };
        Some(Target { lines_max, halves_rate, video_kbits, audio_kbits, h264 })
    }

    /// The next smaller one, for a box that cannot keep up with this one.
    pub const fn smaller(self) -> Option<Self> {
        match self {
            Self::Heavy => Some(Self::Internet720),
            Self::Mobile | Self::Internet720 => Some(Self::Internet540),
            Self::Internet540 => Some(Self::Internet480),
            Self::Internet480 => Some(Self::Internet360),
            Self::Internet360 => Some(Self::Internet240),
            Self::Internet240 | Self::None => None,
        }
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or(UnknownProfile)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such transcode profile; known are")?;
        Profile::ALL.iter().try_for_each(|profile| write!(f, " {profile}"))
    }
}

impl Target {
    /// Width of the largest picture: 16:9, a multiple of sixteen as all that we make.
    pub const fn width_max(self) -> u32 {
        (self.lines_max as u32 * 16 / 9 + 6) / 16 * 16
    }

    /// Pixels a second of the largest picture at 25 a second: what an encoder must keep up with.
    pub const fn pixels_per_s(self) -> u64 {
        self.width_max() as u64 * self.lines_max as u64 * 25
    }

    /// The picture that is made of a source of this size, whose pixels are `sar_num` by `sar_den`.
    ///
    /// Never larger than the source, square pixels or nearly so, width a multiple of sixteen, height even. It is what the recipe's scaler computes, for people to read.
    pub fn size(self, source: Size, sar_num: u32, sar_den: u32) -> Size {
        // In integers times 9 × sar_den, rounded the way the scaler rounds.
        let (num, den) = if sar_num == 0 || sar_den == 0 { (1, 1) } else { (u64::from(sar_num), u64::from(sar_den)) };
        let wide = u64::from(source.width) * num; // over den
        let high = u64::from(source.height);
        // The larger of the height and 9/16 of the width must fit into the lines: scale by lines / that, over 16 × den.
        let tall = (high * 16 * den).max(wide * 9).max(1);
        let lines = u64::from(self.lines_max) * 16 * den;
        let (scale_num, scale_den) = if lines < tall { (lines, tall) } else { (1, 1) };
        let sixteens = (wide * scale_num * 5 + 2 * 16 * den * scale_den) / (5 * 16 * den * scale_den);
        let width = (sixteens.min(wide / (16 * den)) * 16).max(16);
        let twos = (high * scale_num * 2 + scale_den) / (4 * scale_den);
        let height = (twos * 2).max(16);
        Size { width: u32::try_from(width).unwrap_or(u32::MAX), height: u32::try_from(height).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn names_are_those_of_the_wire_and_no_others() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        for unknown in ["", "None", "HEAVY", "internet1080", "heavy ", "mobile;x", "internet72"] {
            assert_eq!(unknown.parse::<Profile>(), Err(UnknownProfile), "{unknown}");
        }
        assert!(UnknownProfile.to_string().contains("internet240 none"));
    }

    #[test]
    fn rates_and_sizes_are_those_that_clients_were_told() {
        let told = |profile: Profile| profile.target().map(|it| (it.width_max(), it.lines_max, it.video_kbits));
        assert_eq!(told(Profile::Heavy), Some((1920, 1080, 15_000)));
        assert_eq!(told(Profile::Mobile), Some((1280, 720, 2_000)));
        assert_eq!(told(Profile::Internet720), Some((1280, 720, 8_000)));
        assert_eq!(told(Profile::Internet540), Some((960, 540, 2_500)));
        assert_eq!(told(Profile::Internet480), Some((848, 480, 2_000)));
        assert_eq!(told(Profile::Internet360), Some((640, 360, 1_500)));
        assert_eq!(told(Profile::Internet240), Some((432, 240, 1_000)));
        assert_eq!(told(Profile::None), None);
    }

    #[test]
    fn sizes_fit_and_are_never_larger_than_the_source() {
        // As FFmpeg 5.1 computed them from the scaler's expression.
        for (source, sar, lines, made) in [
            ((1920, 1080), (1, 1), 720, (1280, 720)),
            ((1920, 1080), (1, 1), 480, (848, 480)),
            ((1920, 1080), (1, 1), 240, (432, 240)),
            ((1920, 1080), (1, 1), 540, (960, 540)),
            ((1920, 1080), (1, 1), 360, (640, 360)),
            ((720, 576), (64, 45), 480, (848, 480)),
            ((720, 576), (64, 45), 1080, (1024, 576)),
            ((720, 480), (32, 27), 480, (848, 480)),
            ((1440, 1080), (4, 3), 1080, (1920, 1080)),
            ((853, 481), (0, 1), 1080, (848, 480)),
            ((1920, 816), (1, 1), 720, (1280, 544)),
            ((640, 480), (1, 1), 360, (480, 360)),
            ((1080, 1920), (1, 1), 1080, (608, 1080)),
            ((3840, 2160), (1, 1), 1080, (1920, 1080)),
            ((100, 60), (1, 1), 240, (96, 60)),
            ((426, 242), (1, 1), 1080, (416, 242)),
            ((30, 20), (1, 1), 720, (16, 20)),
        ] {
            let target = Profile::ALL.into_iter().filter_map(Profile::target).find(|it| it.lines_max == lines).unwrap();
            let size = target.size(Size { width: source.0, height: source.1 }, sar.0, sar.1);
            assert_eq!((size.width, size.height), made, "{source:?} {sar:?} for {lines}");
        }
    }

    #[test]
    fn any_size_gives_one_that_encoders_take() {
        for target in Profile::ALL.into_iter().filter_map(Profile::target) {
            for width in (16..4_000).step_by(37) {
                for height in (16..2_300).step_by(41) {
                    let size = target.size(Size { width, height }, 1, 1);
                    let what = format!("{width}x{height} to {size:?} of {target:?}");
                    assert!(size.width % 16 == 0 && size.height % 2 == 0, "{what}");
                    assert!(size.width <= width && size.height <= height, "{what}");
                    assert!(size.width <= target.width_max() && size.height <= u32::from(target.lines_max), "{what}");
                }
            }
        }
    }

    #[test]
    fn smaller_ones_end() {
        for profile in Profile::ALL {
            let (mut steps, mut now) = (0, profile);
            while let Some(next) = now.smaller() {
                let pixels = |profile: Profile| profile.target().unwrap().pixels_per_s();
                assert!(pixels(next) < pixels(now));
                (steps, now) = (steps + 1, next);
            }
            assert!(steps < Profile::ALL.len());
        }
    }
}
