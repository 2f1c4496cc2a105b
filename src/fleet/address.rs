//! What names a fleet: the address of what keeps its slots, the group, and the gateways' ids.
//!
//! Pure, but for [`Whereabouts::of`] and [`id_of`], which ask this machine for its name and a home for its real path.

use super::slot::Whereabouts;
use crate::client::{Failure, Gateway};
use std::fmt::Write as _;
use std::path::Path;

/// No id is longer: 1 KiB.
const MAX_ID: usize = 1024;

/// No group's name is longer.
const MAX_GROUP: usize = 255;

/// Where etcd listens unless somebody says otherwise.
const ETCD_PORT: u16 = 2379;

/// Who keeps the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// etcd itself: its endpoints, each of one cluster.
    Etcd(Vec<String>),
    /// A server of the FleetLock protocol: the base of its paths.
    FleetLock(String),
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let usage = |why: &str| Failure::Usage(format!("{url:?} is no address of a fleet's lock: {why}"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(usage("it has to begin with etcd://, etcds://, http:// or https://"));
        };
        if rest.contains(['?', '#']) {
            return Err(usage("it is to have no query and no fragment"));
        }
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(usage("it is to hold no user and no password"));
        }
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(usage("it has white space or control characters"));
        }
        let scheme = match scheme {
            "etcd" => "http",
            "etcds" => "https",
            "http" | "https" if rest.is_empty() || rest.starts_with('/') => return Err(usage("it names no host")),
            "http" | "https" => return Ok(Self::FleetLock(url.trim_end_matches('/').to_owned())),
            _ => return Err(usage("it has to begin with etcd://, etcds://, http:// or https://")),
        };
        let hosts = rest.strip_suffix('/').unwrap_or(rest);
        if hosts.contains('/') {
            return Err(usage("an address of etcd has no path"));
        }
        let mut endpoints = Vec::new();
        for host in hosts.split(',') {
            if host.is_empty() {
                return Err(usage("it names no host, or one of its hosts is empty"));
            }
            let port = if host.ends_with(']') || !host.contains(':') { format!(":{ETCD_PORT}") } else { String::new() };
            let endpoint = format!("{scheme}://{host}{port}");
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        Ok(Self::Etcd(endpoints))
    }
}

/// A group's name, as FleetLock has it: `^[a-zA-Z0-9.-]+$`.
pub(super) fn group(name: &str) -> Result<String, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if name.is_empty() || name.len() > MAX_GROUP || !name.chars().all(fits) {
        let why = format!("{name:?} is no group: 1 to {MAX_GROUP} letters, digits, dots and hyphens (ASCII)");
        return Err(Failure::Usage(why));
    }
    Ok(name.to_owned())
}

/// An id: any text that isn't empty.
pub(super) fn id(id: &str) -> Result<String, Failure> {
    match id.len() {
        0 => Err(Failure::Usage("the gateway's id in the fleet is empty".into())),
        1..=MAX_ID => Ok(id.to_owned()),
        bytes => {
            Err(Failure::Usage(format!("the gateway's id in the fleet has {bytes} bytes, and at most {MAX_ID} fit")))
        }
    }
}

impl Whereabouts {
    /// Of this gateway, as everybody in the fleet may know it.
    pub(super) fn of(gateway: &Gateway) -> Self {
        match (gateway.home_path(), gateway.url()) {
            (Some(home), _) => Self { host: Some(host_name()), home: Some(whole(home)), url: None },
            (None, url) => {
                let url = url.unwrap_or_default().to_owned();
                // Everybody's own machine answers to such an address.
                let host = is_of_this_machine(&url).then(host_name);
                Self { host, home: None, url: Some(url) }
            }
        }
    }

    /// The gateway there, if it can be asked from here.
    pub(super) fn gateway(&self) -> Option<Gateway> {
        if self.host.as_ref().is_some_and(|host| *host != host_name()) {
            return None;
        }
        match (&self.home, &self.url) {
            (Some(home), _) => {
                let home = Path::new(home);
                home.is_absolute().then(|| Gateway::at(crate::Home::at(home)))
            }
            (None, Some(url)) => Gateway::over_http(url, None).ok(),
            (None, None) => None,
        }
    }

    /// What an id of [`id_of`] says.
    pub(super) fn in_id(id: &str) -> Option<Self> {
        let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
        if is_url(id) {
            return Some(Self { host: None, home: None, url: Some(id.to_owned()) });
        }
        let (host, rest) = id.split_once(':')?;
        let host = Some(host.to_owned());
        if is_url(rest) {
            return Some(Self { host, home: None, url: Some(rest.to_owned()) });
        }
        rest.starts_with('/').then(|| Self { host, home: plain(rest), url: None })
    }
}

/// The id of a gateway unless somebody gives it another: its host's name and its home, or its address.
pub(super) fn id_of(gateway: &Gateway) -> String {
    match Whereabouts::of(gateway) {
        Whereabouts { host, home: Some(home), .. } => {
            format!("{}:{}", host.unwrap_or_default(), escaped(home.as_bytes()))
        }
        Whereabouts { host: Some(host), url, .. } => format!("{host}:{}", url.unwrap_or_default()),
        Whereabouts { url, .. } => url.unwrap_or_default(),
    }
}

/// This machine's name.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_bytes().to_vec();
    escaped(&name).replace(':', "%3A")
}

fn is_of_this_machine(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback =
        host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback() || address.is_unspecified());
    loopback || host.eq_ignore_ascii_case("localhost")
}

/// A home in a form that a later controller finds again, however it was named.
fn whole(home: &Path) -> String {
    let whole = home.canonicalize().or_else(|_| std::path::absolute(home)).unwrap_or_else(|_| home.to_owned());
    whole.to_string_lossy().into_owned()
}

/// Bytes as a text that needs no quotes anywhere.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"._~/-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn plain(escaped: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(escaped.len()), escaped.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    #[test]
    fn an_address_names_etcd_or_a_server_and_nothing_else() {
        let etcd = |url: &str| match Address::parse(url) {
            Ok(Address::Etcd(endpoints)) => endpoints,
            other => panic!("{url}: {other:?}"),
        };
        assert_eq!(
            etcd("etcd://a:1,b,[::1],[::1]:3/"),
            ["http://a:1", "http://b:2379", "http://[::1]:2379", "http://[::1]:3"]
        );
        assert_eq!(etcd("etcds://a,a"), ["https://a:2379"]);
        assert_eq!(Address::parse("https://a/base/").unwrap(), Address::FleetLock("https://a/base".into()));
        for bad in [
            "",
            "a:2379",
            "etcd://",
            "etcd:///",
            "etcd://a,,b",
            "etcd://a/b",
            "etcd://u:p@a",
            "http://u@a",
            "http://",
            "http:///x",
            "ftp://a",
            "http://a?x",
            "http://a#x",
            "http://a b",
            "etcd://a\n",
            "ETCD://a",
        ] {
            assert!(matches!(Address::parse(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_group_is_of_letters_digits_dots_and_hyphens() {
        for good in ["default", "zone-1.a", "A", "-", "...", &"x".repeat(255)] {
            assert_eq!(group(good).unwrap(), good);
        }
        for bad in ["", "a/b", "../x", "a b", "ä", "a_b", "a\n", "a%2Fb", &"x".repeat(256)] {
            assert!(matches!(group(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_id_is_the_gateways_however_its_home_is_named_and_says_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("a b%ä:c");
        std::fs::create_dir(&home).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&home, &link).unwrap();
        let at = |path: &Path| id_of(&Gateway::at(Home::at(path)));
        let id = at(&home);
        assert_eq!(id, at(&link));
        assert_eq!(id, at(&home.join(".").join("..").join("a b%ä:c")));
        assert!(id.is_ascii() && !id.contains([' ', '"']), "{id}");
        let found = Whereabouts::in_id(&id).unwrap();
        assert_eq!(found.home.as_deref(), Some(&*home.canonicalize().unwrap().to_string_lossy()));
        assert_eq!(found.host, Some(host_name()));
        let over = |url: &str| id_of(&Gateway::over_http(url, None).unwrap());
        assert_eq!(over("http://gw-1:8080/"), "http://gw-1:8080");
        for own in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            assert_eq!(over(own), format!("{}:{own}", host_name()));
            assert_eq!(Whereabouts::in_id(&over(own)).unwrap().url.as_deref(), Some(own));
        }
        for foreign in ["", "web-1", "a:b", "%", "host:/%zz"] {
            assert!(Whereabouts::in_id(foreign).is_none_or(|there| there.gateway().is_none()), "{foreign}");
        }
    }

    #[test]
    fn an_id_that_is_given_is_any_text_that_is_not_empty_and_no_longer_than_a_kibibyte() {
        for good in ["a", "ä b", &"x".repeat(1024)] {
            assert_eq!(id(good).unwrap(), good);
        }
        for bad in ["", &"x".repeat(1025)] {
            assert!(matches!(id(bad), Err(Failure::Usage(_))), "{} bytes", bad.len());
        }
    }

    #[test]
    fn a_gateway_is_asked_from_its_own_machine_and_by_its_address_from_everywhere() {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let name = name.trim_end();
        assert!(name.contains(|c: char| !c.is_ascii_alphanumeric() && !"._~/-".contains(c)) || host_name() == name);
        let elsewhere = Some(format!("not-{name}"));
        let at = |host: Option<String>, home: Option<&str>, url: Option<&str>| {
            let (home, url) = (home.map(str::to_owned), url.map(str::to_owned));
            Whereabouts { host, home, url }.gateway().map(|gateway| gateway.as_arguments())
        };
        let home = at(Some(host_name()), Some("/srv/g"), None);
        assert!(home.as_ref().is_some_and(|arguments| arguments.contains("/srv/g")), "{home:?}");
        let url = at(None, None, Some("http://gw-1:8080"));
        assert!(url.as_ref().is_some_and(|arguments| arguments.contains("http://gw-1:8080")), "{url:?}");
        assert_eq!(at(Some(host_name()), None, Some("http://gw-1:8080")), url);
        assert_eq!(at(elsewhere.clone(), Some("/srv/g"), None), None);
        assert_eq!(at(elsewhere, None, Some("http://127.0.0.1:1")), None);
        assert_eq!(at(Some(host_name()), Some("srv/g"), None), None, "of which folder?");
        assert_eq!(at(None, None, None), None);
    }
}
