//! What the network can knock on. A door answers; it does not decide.
pub mod control;
pub mod discovery;
pub mod http;
