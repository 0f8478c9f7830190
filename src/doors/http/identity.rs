//! What we say we are, in every door the same.
//!
//! Two models that are known to work everywhere, for a box that can transcode and for one that cannot; which of them it
//! is, and what its firmware is called, its encoders tell ([`super::App::model`]). Both have an antenna and no DRM, and
//! the id prefix (`pure::model::device_id`) is of the same family.

use pure::model::channel_map::ChannelMap;

/// Digits of a date, because some clients compare it as a number.
pub const FIRMWARE_VERSION: &str = "20261101";
/// Product and version, as every answer has it.
pub const PRODUCT: &str = "HDHomeRun/1.0";
/// Where the lineup stands for clients that tune by frequency and have not chosen a map themselves.
pub const CHANNEL_MAP: ChannelMap = ChannelMap::UsBcast;
/// The type of device over `UPnP`. Home Assistant looks for this one, from this manufacturer. It has none of a media
/// server's services, because we have nothing to browse: players that look for such would show an empty server.
pub const DEVICE_TYPE: &str = "urn:schemas-upnp-org:device:MediaServer:1";
/// Who made it. Home Assistant compares it letter by letter.
pub const MANUFACTURER: &str = "Silicondust";
