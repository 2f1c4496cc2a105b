//! The production source of the gate, the waiters and the controller, explored by loom: every interleaving of a few
//! threads, and every value that the memory model lets a load return.
//!
//! One file for each concept. `table` lists the models with their bounds and exact counts, `explore` runs one.

mod admission;
mod controller;
mod explore;
mod handles;
mod internal;
mod shutdown;
mod table;
mod visibility;
mod waiters;
mod wakers;
mod workers;
