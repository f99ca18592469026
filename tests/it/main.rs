//! The whole system from outside: real processes, real TLS, real databases, the real binary.
//!
//! Every test lays a sandbox of its own in a temporary folder and stops it. Must never replace a part
//! by something that only looks like it.

mod agreement;
mod authority;
mod backup;
mod certificates;
mod checked;
mod cli;
mod consent;
mod controllers;
mod database;
mod database_errors;
mod desk;
mod doctor;
mod door;
mod ended;
mod existence;
#[path = "../faults/src/clock.rs"]
mod faketime;
mod governance;
mod handover;
mod holder;
mod house;
mod input;
mod invalid;
mod laid;
mod leader;
mod leak;
mod manifest;
mod mistakes;
mod national;
mod objection;
mod outage;
mod pages;
mod paper;
mod person;
mod portal_stops;
mod private;
mod race;
mod repeat;
mod report;
mod retention;
mod second;
mod starting;
mod statement;
mod stops;
mod switch_over;
mod tabs;
mod theft;
mod timekeeper;
mod told;
mod turns;
mod unreadable;
mod watch;
mod where_it_runs;
