//! The nouns.
pub mod channel_map;
pub mod device_id;
pub mod guide_number;
pub mod lineup;
pub mod pid_filter;
pub mod recipe;
pub mod source_url;
