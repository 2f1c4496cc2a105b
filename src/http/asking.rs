//! Who asks: the token of a request, and whether a web page sent it.

use axum::http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// What of a request tells who asks.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) peer: Option<IpAddr>,
}

impl Asking {
    /// The token of the only `Authorization` header there is.
    pub(super) fn bearer(&self) -> Option<&[u8]> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
        let (scheme, token) = value.split_at_checked("Bearer ".len())?;
        let token = token.trim_ascii();
        (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
    }

    /// Why a web page of another site may have sent this, if it may. A browser can be made to send a request anywhere, but
    /// not to leave out what it says of the page: its `Origin`, its site (`Sec-Fetch-Site`), and the name by which it knows
    /// the server. A page whose own name was pointed at this machine (DNS rebinding) sends that name as the `Host`.
    pub(super) fn may_be_a_page(&self, hosts: &[String]) -> Option<&'static str> {
        if self.headers.contains_key(header::ORIGIN) {
            return Some("without authentication no web page is let in");
        }
        let site = self.headers.get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes);
        if !matches!(site, None | Some(b"none" | b"same-origin")) {
            return Some("without authentication no web page of another site is let in");
        }
        let named = self.headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(" "));
        let mut named = named.chain(self.uri.authority().map(axum::http::uri::Authority::as_str));
        if named.any(|host| !is_own(host, hosts)) {
            return Some("without authentication only a host that is an address, `localhost`, or known is answered");
        }
        None
    }
}

/// Whether a host can't be a name that somebody else has pointed at this machine.
fn is_own(host: &str, known: &[String]) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = without_port.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(without_port);
    let name = without_port.to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || known.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_own_if_nobody_else_can_point_it_here() {
        let known = ["gateway.internal".to_owned()];
        for own in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "localhost",
            "LOCALHOST:1",
            "a.localhost",
            "192.0.2.7:80",
            "Gateway.Internal:8080",
        ] {
            assert!(is_own(own, &known), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            " ",
            "xlocalhost",
            "[::1].evil.example",
        ] {
            assert!(!is_own(foreign, &known), "{foreign}");
        }
    }
}
