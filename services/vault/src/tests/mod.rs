//! Tests that need more than one module: the protocol as a whole, frozen vectors, invalid input.
//!
//! Must never hold a real person's number: only test numbers, `9999xxxxx`.

mod kit;
mod points;
mod protocol;
mod rest;
mod sealing;
mod shares;
mod vectors;
