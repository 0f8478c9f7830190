//! Bytes to values and back. Each codec has a fuzz target of the same name in `tools/fuzz`.
pub mod backup;
pub mod hdhr;
pub mod hls;
pub mod json_items;
pub mod log_id;
pub mod m3u;
pub mod markup;
pub mod percent;
pub mod proxy;
pub mod release;
pub mod rtp;
pub mod smtp;
pub mod socks;
pub mod ssdp;
pub mod ts;
pub mod xml;
pub mod xmltv;
