//! The nouns.
pub mod device_id;
pub mod guide_number;
pub mod lineup;
pub mod recipe;
pub mod source_url;
