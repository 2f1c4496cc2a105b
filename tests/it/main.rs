//! What a test sees in its own process: rules, files, threads, sockets. It takes seconds.
//!
//! Each module is a subject. What changes the whole process, such as its umask, is done in a child (`support`).

#[path = "../support/mod.rs"]
mod support;

mod admission; // Admission through the gate
mod cli_docs; // `docs/cli.md` says what the command line says
mod conformance; // What the suite judges of the crate's own gateways
mod deployment_guide; // `docs/deployment.md` shows the files of `examples/deploy` as they are
mod draining; // A drain from its beginning to its end, and against a shutdown
mod events; // The `tracing` events of a gateway
mod fleet; // A budget of a fleet, with an etcd of a few lines in memory
mod full_disk; // C8
mod health; // What a gateway says of itself
mod health_endpoints; // Probes and traffic while a gateway drains
mod hold_rules; // The rules of the hold set that its states alone don't show
mod holds; // Holds
mod home_lock; // The home's lock as others see it
mod hostile_channel; // Any kind of file at any path of the channel
mod http_auth; // Who gets in, with what, and what is written down of it
mod http_endpoint; // The drain endpoint over a real socket
mod http_hostile; // Any bytes to any route
mod http_serve; // `http::serve` returns within its deadline, whatever its clients do, and nothing that could finish is cut off
mod http_vectors; // The test vectors of the endpoint
mod illegal_transitions; // What the table doesn't have doesn't compile
mod layer_interruption; // Responses that a shutdown interrupts in the layer
mod layered; // The tower layer beside what stands around it and inside it
mod lifecycle; // The typestates by hand
mod links; // The pages of the repository lead somewhere
mod liveness; // L5, L4, L1
mod marker; // The marker, as the reference's own tests describe it
mod memory; // What outlives its gate leaves nothing behind
mod metrics; // The metrics of a gateway, as an exporter gets them
mod names; // The names that requests bear
mod other_writers; // Holds beside other people's writes (C7), and the one ledger of decisions (S2)
mod probe_docs; // `docs/probe.md` says what the probe does
mod reading; // What a look makes of what stands there, one guard at a time
mod reconciler; // The reconciler
mod restarts; // What outlasts a gateway's process, and what doesn't
mod specification; // `docs/spec.md` says what the code does
mod status; // The published status
mod status_page; // The page for people
mod table; // The table, written out a second time
mod takeover; // What a gateway takes over from an earlier process of its boot, and what it doesn't
mod tidy; // What no compiler checks of the source and its pages
mod tower_layer; // The tower layer under a real server, over real sockets

mod trace_lines; // What a gateway writes into its trace
mod trace_mutations; // Mutations of good traces
mod trace_rules; // The rules of the trace checker, each on both sides of its boundary
mod traces; // The shipped traces
mod types; // What the types promise at compile time
mod vectors; // The test vectors of the specification: files and looks
mod waiting; // Waiting for drained
mod wakers; // What a waker does is its own affair
mod websocket; // A WebSocket through the tower layer, by a WebSocket library on either side
mod workers; // Those who work wait as well as ask
mod writing; // The writer
