//! What we say we are, over HTTP and control alike.

/// For people. A model that does not transcode: clients read `HDTC` as a promise.
pub const MODEL: &str = "HDHR5-4US";
/// For programs.
pub const FIRMWARE_NAME: &str = "hdhomerun5_atsc";
/// Digits of a date, because some clients compare it as a number.
pub const FIRMWARE_VERSION: &str = "20261101";
