//! The papers (papieren): what one role writes and another reads, each once: value, codec and check.
//!
//! Must never see a database or a socket, must never decide, and must never take a paper apart from
//! the signatures that it rests on.

pub mod author;
pub mod controllers;
pub mod directory;
pub mod feed;
pub mod frame;
pub mod paper;
pub mod promise;

/// Something of ours that does not have the form this program writes; what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not have the form this program writes")]
pub struct Malformed(pub &'static str);
