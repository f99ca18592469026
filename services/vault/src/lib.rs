//! Keys go in, answers come out: pseudonyms, sealing, signatures, digests and what lies at rest.
//!
//! Everything crosses this crate's border as bytes or as a type of its own, so that no other room
//! needs libpep, hpke or ring. It must never decide whether something is allowed (that is `rules`),
//! never read or write a file or a database, and never print a point, a key or a pseudonym.
//!
//! What is wiped and what is not. Secrets at this crate's border are [`rules::secret::Secret`] and
//! are wiped when dropped, as are the long-lived scalars in [`holder`] and [`pseudonym`]. Not wiped:
//! libpep's key, factor and point types are `Copy`, so copies made while one is used stay on the stack
//! until they are overwritten, and so do fresh octets on their way into a `Secret`; ring's and hpke's key types hold their expanded keys until dropped
//! and do not promise to wipe them; and the TOML reader may leave pieces of a key file behind. A
//! process with keys therefore runs without core dumps and without swap.
#![warn(missing_docs)]

mod bsn;
mod cache;
pub mod chance;
pub mod context;
pub mod digest;
pub mod holder;
pub mod keyfile;
pub mod measure;
pub mod person;
pub mod pseudonym;
pub mod rest;
pub mod sealing;
pub mod sign;
pub mod statement;

#[cfg(test)]
mod tests;
