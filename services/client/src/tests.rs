//! What lies above the connection: the directory copy, and the outbox against a server that fails.

mod directory;
mod outbox;
mod world;
