//! The production source of the waiters and the controller with tens of tasks, run by shuttle under many schedules.
//!
//! loom explores every interleaving of a few threads (`verification/loom`); here are crowds, of which no tool can explore
//! every schedule. So this samples: schedules drawn at random, and schedules that change the priority of a task at a few
//! drawn points (PCT), both from a fixed beginning, so that every run takes the same ones. Every atomic access counts as
//! sequentially consistent here: memory orderings are for loom.
//!
//! One file for each concept. `table` lists the models with their numbers of schedules, `explore` runs one.

mod explore;
mod observers;
mod shutdown;
mod table;
mod waiters;
mod workers;
