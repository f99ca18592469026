//! The store: every SQL text, the one door to the database, and the migrations.
//!
//! Must never see a key or a value in clear: what arrives here is tags, sealed bytes, numbers and
//! times. Must never decide anything.

pub mod audit;
pub mod backup;
mod batch;
pub mod consent;
pub mod consequence;
pub mod database;
pub mod directory;
pub mod engine;
pub mod errand;
pub mod error;
pub mod examine;
pub mod feed;
mod freshness;
mod group;
pub mod handover;
pub mod holder;
pub mod inbox;
pub mod lease;
pub mod link;
mod migrations;
pub mod notice;
mod opening;
pub mod portal;
pub mod portal_copy;
pub mod pseudonym;
pub mod report;
pub mod request;
pub mod restoration;
pub mod retention;
mod schema;
mod sql;
mod turns;
pub mod tx;

#[cfg(test)]
mod tests;

pub use database::{Database, Work};
pub use engine::{File, Role, Server, Settings};
pub use error::Error;
pub use opening::OpenFault;
pub use turns::{Queue, Seat, Turns};
pub use tx::Tx;
