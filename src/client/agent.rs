//! How a gateway is asked over HTTP, by the client and by the probe.
//!
//! The answer is of the address that was given and of nobody else: no redirect is followed, and no proxy of the
//! environment's is in between. Over TLS the certificate decides, by the authorities of `SSL_CERT_FILE` or the public ones.

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// How many bytes the head of a request or of an answer may have: four times what servers and proxies allow by default, and a
/// fourth of ureq's buffers, which are filled with zeros for each connection.
const LONGEST_HEAD: usize = 32 * 1024;

/// For an agent that asks these addresses; how long it waits is for its owner to say.
///
/// # Errors
/// Why an address can't be used, or the authorities' certificates can't.
pub(crate) fn config<'u>(urls: impl IntoIterator<Item = &'u str>) -> Result<ConfigBuilder<AgentScope>, String> {
    let mut over_tls = false;
    for url in urls {
        over_tls |= is_over_tls(url).map_err(|why| format!("{url:?} is no address that can be asked: {why}"))?;
    }
    let config = Agent::config_builder()
        .input_buffer_size(LONGEST_HEAD)
        .output_buffer_size(LONGEST_HEAD)
        .max_response_header_size(LONGEST_HEAD)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None);
    // Without TLS nobody is vouched for, and certificates that can't be read do no harm.
    if over_tls { trusting_roots(config) } else { Ok(config) }
}

fn is_over_tls(url: &str) -> Result<bool, String> {
    let parsed: ureq::http::Uri = url.parse().map_err(|error| format!("{error}"))?;
    match parsed.scheme_str() {
        Some("http") => Ok(false),
        Some("https") => Ok(true),
        _ => Err("it has to begin with http:// or https://".into()),
    }
}

/// A gateway's own authority is in no public list: with a file of certificates, those in it are trusted and no others.
#[cfg(feature = "tls")]
fn trusting_roots(config: ConfigBuilder<AgentScope>) -> Result<ConfigBuilder<AgentScope>, String> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
    let variable = super::Gateway::ROOTS_VARIABLE;
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { return Ok(config) };
    let unusable = |why: String| format!("{variable} names {}: {why}", path.display());
    let pem = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(unusable(format!("{error}")))),
    };
    let certificates = parse_pem(&pem).filter_map(certificate).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(config.tls_config(TlsConfig::builder().root_certs(roots).build()))
}

#[cfg(not(feature = "tls"))]
fn trusting_roots(_: ConfigBuilder<AgentScope>) -> Result<ConfigBuilder<AgentScope>, String> {
    Err("https:// can't be asked: this build has no TLS (feature `tls`)".into())
}
