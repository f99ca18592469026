//! Key holders as they run, on real databases: orders in, answers out.
//!
//! Must never replace a part of a holder by something that behaves like it.

mod clocks;
mod contexts;
mod numbers;
mod orders;
mod refusals;
mod routes;
mod vouchers;
mod world;
