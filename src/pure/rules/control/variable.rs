//! The variables that clients get and set, by name.

use crate::rules::pool::SlotIndex;

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Which variables there are.
    Help,
    /// Whose work this is.
    Copyright,
    /// How the box is doing.
    Debug,
    /// What can be tuned.
    Features,
    /// The model as people know it.
    HwModel,
    /// The model as programs know it.
    Model,
    /// Starts the box anew; can only be set.
    Restart,
    /// The version, a date.
    Version,
    /// The search for channels.
    LineupScan,
    /// A variable of a tuner that there is.
    Tuner(SlotIndex, TunerVariable),
}

/// A variable of a tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunerVariable {
    /// What is tuned, as modulation and frequency.
    Channel,
    /// The map that channel numbers belong to.
    ChannelMap,
    /// How the tuner is doing, in detail.
    Debug,
    /// Which PIDs are sent.
    Filter,
    /// Who holds the tuner.
    LockKey,
    /// Physical layer pipes, which we have not.
    PlpInfo,
    /// Which programme is sent.
    Program,
    /// How the tuner is doing, in one line.
    Status,
    /// Which programmes there are.
    StreamInfo,
    /// Where packets go.
    Target,
    /// What is tuned, as guide number.
    VChannel,
    /// Whether that may be watched.
    VStatus,
}

impl TunerVariable {
    const NAMES: [(&str, Self); 12] = [
        ("channel", Self::Channel),
        ("channelmap", Self::ChannelMap),
        ("debug", Self::Debug),
        ("filter", Self::Filter),
        ("lockkey", Self::LockKey),
        ("plpinfo", Self::PlpInfo),
        ("program", Self::Program),
        ("status", Self::Status),
        ("streaminfo", Self::StreamInfo),
        ("target", Self::Target),
        ("vchannel", Self::VChannel),
        ("vstatus", Self::VStatus),
    ];
}

impl Variable {
    /// The variable with this name, on a box of so many tuners.
    pub fn parse(name: &str, tuners_len: usize) -> Option<Self> {
        const NAMES: [(&str, Variable); 9] = [
            ("help", Variable::Help),
            ("/sys/copyright", Variable::Copyright),
            ("/sys/debug", Variable::Debug),
            ("/sys/features", Variable::Features),
            ("/sys/hwmodel", Variable::HwModel),
            ("/sys/model", Variable::Model),
            ("/sys/restart", Variable::Restart),
            ("/sys/version", Variable::Version),
            ("/lineup/scan", Variable::LineupScan),
        ];
        if let Some((_, variable)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(*variable);
        }
        let (index, name) = name.strip_prefix("/tuner")?.split_once('/')?;
        // As we would write it: neither sign nor zeros in front.
        let is_plain = index == "0" || !index.starts_with(['0', '+']);
        let index = index.parse::<u8>().ok().filter(|index| is_plain && usize::from(*index) < tuners_len)?;
        let (_, variable) = TunerVariable::NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Self::Tuner(SlotIndex(index), *variable))
    }

    /// Whether it can be set.
    pub const fn is_writable(self) -> bool {
        match self {
            Self::Restart | Self::LineupScan => true,
            Self::Tuner(_, variable) => matches!(
                variable,
                TunerVariable::Channel
                    | TunerVariable::ChannelMap
                    | TunerVariable::Filter
                    | TunerVariable::LockKey
                    | TunerVariable::Program
                    | TunerVariable::Target
                    | TunerVariable::VChannel
            ),
            _ => false,
        }
    }

    /// Whether it can be read.
    pub const fn is_readable(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_12_a_tuner_that_is_not_there_has_no_variables() {
        let status = |index| Some(Variable::Tuner(SlotIndex(index), TunerVariable::Status));
        assert_eq!(Variable::parse("/tuner0/status", 4), status(0));
        assert_eq!(Variable::parse("/tuner3/status", 4), status(3));
        assert_eq!(Variable::parse("/tuner12/status", 64), status(12));
        for name in [
            "/tuner4/status",
            "/tuner/status",
            "/tuner-1/status",
            "/tuner+1/status",
            "/tuner01/status",
            "/tuner256/status",
            "/tuner4294967296/status",
            "/tuner0x0/status",
            "/tuner0/Status",
            "/tuner0/status/",
            "/tuner0",
            "/tuner0/",
            "tuner0/status",
            "/sys/boot",
            "/sys/",
            "HELP",
            "",
        ] {
            assert_eq!(Variable::parse(name, 4), None, "{name:?}");
        }
    }
}
