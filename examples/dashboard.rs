//! A dashboard of a gateway that runs in another process on the same home: `cargo run --example dashboard --all-features`.
//!
//! It serves the gateway's control routes and answers as the gateway itself does, and it outlives the gateway: a controller that waits
//! through a restart is told that the process was replaced. It takes no turns.

use clap::Parser;
use gateway_drain::control::Epoch;
use gateway_drain::http::Endpoint;
use gateway_drain::http::auth::{Settings, SharedSecret};
use gateway_drain::{Home, Snapshot};
use rustix::process::{Pid, Signal, kill_process};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;

/// A dashboard of a gateway on this machine.
#[derive(Parser)]
struct Args {
    /// The gateway's home. [default: as `gateway-drain` has it]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// How long the gateway's shutdown waits for turns in flight, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    deadline_ms: u64,
    /// Lets everybody on this machine control it without a token. For a try.
    #[arg(long)]
    open: bool,
}

/// A restart is a SIGTERM, and what supervises the gateway starts it again.
fn restart(home: &Home) -> Result<(), Box<dyn Error>> {
    let status = Snapshot::read(home)?;
    // The process must live, and its number must mean the same here: in another container it is somebody else's.
    let (lives, here) = (home.live()?, Epoch::current());
    if lives.as_ref() != Some(&status.drain.incarnation) || status.drain.epoch.differs_from(&here) {
        return Err("no gateway runs in this home that can be reached by a signal".into());
    }
    let pid = i32::try_from(status.pid).ok().and_then(Pid::from_raw).ok_or("the status names no process")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let home = Home::resolve(args.home)?;
    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    let endpoint = Endpoint::of_home(home.clone());
    let endpoint = match SharedSecret::from_env(&Settings::default())? {
        Some(secret) => endpoint.verifier(secret),
        None if args.open && address.ip().is_loopback() => endpoint.unauthenticated(SharedSecret::PRINCIPAL),
        None => {
            eprintln!("the control routes are closed: set {}", SharedSecret::VARIABLE);
            endpoint
        }
    };
    println!("listening on http://{address}");
    let routes = endpoint.on_restart(Duration::from_millis(args.deadline_ms), move |asked| match restart(&home) {
        Ok(()) => println!("restart, asked for by {}", asked.by),
        Err(why) => eprintln!("restart, asked for by {}: {why}", asked.by),
    });
    axum::serve(listener, routes.routes().into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
