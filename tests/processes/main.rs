//! Real processes: the example gateway, the command line, signals, scripts.
//!
//! Each module is a subject. It takes a minute or two, most of it waiting.

#[path = "../support/mod.rs"]
mod support;

mod act_signals; // `run` and signals
mod answered_late; // What ends a hold and is answered once its writer has gone
mod begun_again; // What a controller does is done to the hold that it has in hand
mod change_notices; // Changes are told: with an hour between two ticks a gateway follows its files, and who waits for it is woken
mod client; // The client as a library, against real gateway processes
mod client_tls; // The client and the probe over TLS, to the endpoint behind a terminator, with a certificate of its own authority
mod command_output; // What the command line prints
mod dashboard; // A dashboard process beside a gateway process answers as the gateway process does by itself
mod deployment; // `examples/deploy.sh` against the example gateway under load
mod endings; // Two transports, one promise
mod example_process; // The example gateway as a process, driven as an operator would
mod fleet_answers; // What isn't an answer of a fleet's engine closes nothing
mod foreign_words; // What isn't the endpoint's own word is silence
mod in_parallel; // Several controllers write one hold at the same moment
mod kubernetes; // The manifest of the guide, with the example gateway and a test that does what a kubelet and a Service do
mod other_languages; // The gateway and the controller in `examples/python`, which know this crate by its specification alone
mod over_http; // What the command line and the client have over HTTP alone
mod probe; // The probe, on the example gateway as a process, on a small gateway that knows no more than the reference's contract, and on gateways that are broken on purpose
mod probe_unseen; // What the probe is not given, and what never happens under its eyes, it calls unseen
mod progress_line; // The live line that a person sees while a wait goes on, in a real terminal (a pty)
mod readme; // The README's program, run as it stands there
mod restart_story; // A gateway that is restarted, told with real processes
mod run_command; // `gateway-drain run -- COMMAND`
mod signals; // L5
mod strangers; // A remote stranger and a local one, who send anything for a while
mod systemd; // The systemd unit of the guide, with the example gateway and a real notify socket
mod terminal; // `run` on a terminal, as a shell has it there
mod trace_real; // Traces of real gateways conform
mod two_controllers; // Two controllers on one gateway
mod unanswered; // What is said of a hold and of a slot where nothing was answered
mod under_load; // A gateway process under load, before, during and after a drain
mod unpublished; // A gateway that lives and whose status is not there, or is another program's
mod unwritable; // A home that a controller can't write in
mod upgrades; // A gateway of this version on homes that others left
mod variables; // The variables that name the home, and which of two holds
mod worker_example; // `examples/worker.rs`, run as its first lines say
