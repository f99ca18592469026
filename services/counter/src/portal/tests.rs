//! The portal with a broker of paper: what a person sees, chooses and stops, and what lies in the
//! database meanwhile.

mod choices;
mod feed;
mod finds;
mod mends;
mod sentences;
mod stops;
mod world;
