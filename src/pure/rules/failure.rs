//! What counts as a failure of a channel, and how a child's end is told.
//!
//! Only a living attempt can fail, and at most once; that is kept by [`crate::rules::pool`]. What the board lacks
//! (memory, descriptors, FFmpeg) is never a failure of a channel and has no word here.

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The source refused or could not be reached, before the first packet.
    Connect,
    /// The source's name could not be resolved, before the first packet.
    Dns,
    /// The source wants another login, before the first packet.
    Auth,
    /// The source answered with an HTTP error, before the first packet.
    Http,
    /// The child ended before it was stable.
    EarlyExit,
    /// The child ended after it was stable, while somebody watched: live sources do not end.
    Disconnect,
    /// No first packet in time.
    StartTimeout,
    /// No output, or no picture in it, for the time that its class allows.
    Stall,
    /// Our own output was found unwatchable for too long.
    ProbeUnhealthy,
    /// What it makes is no transport stream.
    NotTs,
    /// It was ended by a signal that we did not send.
    Crash,
    /// It hit a limit of ours.
    Limit,
    /// The kernel ended it for want of memory.
    Oom,
    /// FFmpeg does not understand its arguments: trying again cannot help.
    Config,
    /// The source is one that must not be opened.
    Policy,
}

impl Failure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Dns,
        Self::Auth,
        Self::Http,
        Self::EarlyExit,
        Self::Disconnect,
        Self::StartTimeout,
        Self::Stall,
        Self::ProbeUnhealthy,
        Self::NotTs,
        Self::Crash,
        Self::Limit,
        Self::Oom,
        Self::Config,
        Self::Policy,
    ];

    /// Its name in metrics, logs and snapshots.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Auth => "auth",
            Self::Http => "http",
            Self::EarlyExit => "early_exit",
            Self::Disconnect => "disconnect",
            Self::StartTimeout => "start_timeout",
            Self::Stall => "stall",
            Self::ProbeUnhealthy => "probe_unhealthy",
            Self::NotTs => "not_ts",
            Self::Crash => "crash",
            Self::Limit => "limit",
            Self::Oom => "oom",
            Self::Config => "config",
            Self::Policy => "policy",
        }
    }

    /// The failure of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.name() == name)
    }

    /// Whether trying again cannot help before a person changes something.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Config | Self::Policy)
    }

    /// What a person reads behind "the source failed: ".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connect => "it cannot be reached",
            Self::Dns => "its name cannot be resolved",
            Self::Auth => "it refuses the login",
            Self::Http => "it answers with an HTTP error",
            Self::EarlyExit => "it ended right after the start",
            Self::Disconnect => "it ended while somebody watched",
            Self::StartTimeout => "nothing came from it in time",
            Self::Stall => "it went silent",
            Self::ProbeUnhealthy => "its picture or sound cannot be decoded",
            Self::NotTs => "it is no transport stream",
            Self::Crash => "FFmpeg crashed on it",
            Self::Limit => "it hit a limit",
            Self::Oom => "FFmpeg was ended for want of memory",
            Self::Config => "FFmpeg does not understand its arguments",
            Self::Policy => "its address must not be opened",
        }
    }
}

/// How a child ended, as far as its status and its last words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended, and nothing tells why.
    Plain,
    /// It ended well. Broadcasts do not end, so for them that is as bad as any end; a file may be over.
    Finished,
    /// It ended for a reason that it told, or by a signal that was not ours.
    Failed(Failure),
    /// A certificate was refused while our own clock cannot be right: nobody's failure.
    Clock,
    /// The source is busy, and wants to be left alone for so long (U06). A failure like any other HTTP error.
    Busy {
        /// In milliseconds.
        retry_ms: u64,
    },
    /// Its encoder failed, and the next start has another one: not the source's failure. It comes a few times in a row
    /// at most, for each takes an encoder away (see [`crate::rules::encoders`]).
    Encoder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_name_of_its_own() {
        for failure in Failure::ALL {
            assert_eq!(Failure::from_name(failure.name()), Some(failure));
        }
        assert_eq!(Failure::from_name("gremlins"), None);
    }
}
