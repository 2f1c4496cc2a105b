//! The client and the probe over TLS, to the endpoint behind a terminator, with a certificate of its own authority.

#![cfg(all(feature = "tls", feature = "cli", feature = "axum"))]

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, Tool, tool};
use gateway_drain::Home;
use gateway_drain::client::{ExitCode, Gateway};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A gateway behind a TLS terminator, as behind a proxy.
struct Terminated {
    _runtime: tokio::runtime::Runtime,
    gateway: GatewayProcess,
    home: tempfile::TempDir,
    url: String,
}

impl Terminated {
    fn start() -> Self {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let named = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(home.path().join("roots.pem"), named.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(named.signing_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![named.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let behind: SocketAddr = gateway.address.parse().unwrap();
        runtime.spawn(async move {
            while let Ok((accepted, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that doesn't trust the certificate ends the handshake.
                    let Ok(mut outer) = acceptor.accept(accepted).await else { return };
                    let Ok(mut inner) = tokio::net::TcpStream::connect(behind).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        Self { _runtime: runtime, gateway, home, url: format!("https://localhost:{port}") }
    }

    fn drain(&self, roots: &Path, patience: &str, arguments: &[&str]) -> Ended {
        let mut command = tool(Path::new("nowhere"));
        command.env(Gateway::ROOTS_VARIABLE, roots).args(["--url", &self.url, "--patience", patience]).args(arguments);
        Tool::spawn(command).ended()
    }

    fn probe(&self, roots: &Path) -> Ended {
        let mut command = tool(Path::new("nowhere"));
        command.env_remove(Home::VARIABLE).env(Gateway::ROOTS_VARIABLE, roots);
        // Nobody listens there: a client that asks gets no further.
        command.env("ALL_PROXY", "http://127.0.0.1:9");
        command.args(["--url", &self.url, "--patience", "30s", "probe", "--tick", "50ms"]);
        Tool::spawn(command).ended()
    }
}

#[test]
fn a_drain_over_tls_is_a_drain() {
    let there = Terminated::start();
    let roots = there.home.path().join("roots.pem");
    let turn = there.gateway.turn(300);
    there.drain(&roots, "30s", &["run", "--", "sh", "-c", "exit 42"]).expect_code(42);
    assert!(turn.finished(), "the turn was cut off");
    assert!(there.gateway.admits(), "the hold was not given up");
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted_is_no_gateway() {
    let there = Terminated::start();
    let ended = there.drain(Path::new(""), "2s", &["begin", "upgrade"]).expect(ExitCode::Unreachable);
    assert!(ended.stderr.contains("certificate"), "it says why: {}", ended.stderr);
    assert!(there.gateway.admits(), "a drain was begun through a connection that nobody vouches for");
}

#[test]
fn the_probe_trusts_whom_the_client_trusts_and_asks_no_proxy_either() {
    let there = Terminated::start();
    let probed = there.probe(&there.home.path().join("roots.pem")).expect_code(0);
    assert!(probed.stdout.starts_with("Nothing was seen broken"), "{}", probed.stdout);

    let refused = there.probe(Path::new("")).expect(ExitCode::Usage);
    assert!(refused.stderr.contains("certificate"), "it says why: {}", refused.stderr);
}

#[test]
fn without_tls_nobody_asks_for_certificates() {
    let there = Terminated::start();
    let mut command = tool(Path::new("nowhere"));
    command.env(Gateway::ROOTS_VARIABLE, "/nowhere/roots.pem");
    command.args(["--url", &format!("http://{}", there.gateway.address), "status"]);
    Tool::spawn(command).ended().expect(ExitCode::Drained);
}

#[test]
fn a_file_of_certificates_that_can_not_be_used_is_named() {
    let there = Terminated::start();
    let none = there.home.path().join("gateway_state.json");
    for unusable in [none.as_path(), Path::new("/nowhere/roots.pem")] {
        let ended = there.drain(unusable, "2s", &["status"]).expect(ExitCode::Usage);
        assert!(ended.stderr.contains(&unusable.display().to_string()), "{}", ended.stderr);
    }
}
