//! What the environment says: every variable that names a folder or a secret, and which of two holds.
//!
//! Each has a name of this crate's. The names of the reference (`docs/hermes-agent.md`) are read after it, so that what was
//! set up for the one works with the other; a variable of this crate's that is set holds, also where the two differ.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The gateway's home.
pub(crate) const HOME: &str = "GATEWAY_DRAIN_HOME";
/// The gateway's home, as the reference names it.
pub(crate) const REFERENCE_HOME: &str = "HERMES_HOME";
/// The endpoint's bearer token.
#[cfg(any(feature = "axum", feature = "client"))]
pub(crate) const SECRET: &str = "GATEWAY_DRAIN_SECRET";
/// A file with the endpoint's bearer token.
#[cfg(any(feature = "axum", feature = "cli"))]
pub(crate) const SECRET_FILE: &str = "GATEWAY_DRAIN_SECRET_FILE";
/// The endpoint's bearer token, as the reference names it.
#[cfg(any(feature = "axum", feature = "client"))]
pub(crate) const REFERENCE_SECRET: &str = "HERMES_DASHBOARD_DRAIN_SECRET";
/// A file with it, named after the reference's variable.
#[cfg(any(feature = "axum", feature = "cli"))]
pub(crate) const REFERENCE_SECRET_FILE: &str = "HERMES_DASHBOARD_DRAIN_SECRET_FILE";
/// The folder in which a controller keeps the tokens of its commits.
#[cfg(feature = "client")]
pub(crate) const STATE: &str = "GATEWAY_DRAIN_STATE";

/// The environment of a process, as far as anything is chosen by it.
pub(crate) struct Environment {
    variable: fn(&str) -> Option<OsString>,
    user: Option<PathBuf>,
    is_root: bool,
}

/// Where the bearer token is to be taken from.
#[cfg(any(feature = "axum", feature = "cli"))]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// The variable of this name has it.
    Text(&'static str, OsString),
    /// It is in the file that the variable of this name names.
    File(&'static str, PathBuf),
}

/// What the environment says of the home.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HomeSource {
    /// This is the folder.
    Folder(PathBuf),
    /// Our variable is set, and names nothing.
    Empty,
    /// Both of the folders that it could be are there.
    Both(PathBuf, PathBuf),
    /// Nothing says where.
    Nowhere,
}

fn not_empty(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

impl Environment {
    pub(crate) fn of_this_process() -> Self {
        Self {
            variable: |name| env::var_os(name),
            user: env::home_dir(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).map(PathBuf::from)
    }

    /// What this crate keeps for this user, without being told where: root's in `/var/lib`, others' in the state folder of
    /// the XDG specification.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some("/var/lib/gateway-drain".into());
        }
        // A relative one is to be ignored, as its specification says.
        let named = self.path("XDG_STATE_HOME").filter(|path| path.is_absolute());
        let under_user = || Some(self.user.as_ref().filter(|path| not_empty(path))?.join(".local/state"));
        Some(named.or_else(under_user)?.join("gateway-drain"))
    }

    /// The home where no option names one. An empty variable of the reference's counts as unset, as it does there. An empty
    /// one of ours is a mistake of whatever set it, and to go on to the next place would lead to another gateway.
    pub(crate) fn home(&self, is_there: impl Fn(&Path) -> bool) -> HomeSource {
        if let Some(named) = self.path(HOME) {
            return if not_empty(&named) { HomeSource::Folder(named) } else { HomeSource::Empty };
        }
        if let Some(named) = self.path(REFERENCE_HOME).filter(|path| not_empty(path)) {
            return HomeSource::Folder(named);
        }
        let reference = self.user.as_ref().filter(|path| not_empty(path)).map(|user| user.join(".hermes"));
        let reference = reference.filter(|folder| is_there(folder));
        match (reference, self.state_folder().map(|folder| folder.join("home"))) {
            (Some(reference), Some(own)) if is_there(&own) => HomeSource::Both(reference, own),
            (Some(folder), _) | (None, Some(folder)) => HomeSource::Folder(folder),
            (None, None) => HomeSource::Nowhere,
        }
    }

    /// Where the bearer token is, by the first of the variables that is set, even if it is empty: what to think of that is left
    /// to the caller.
    #[cfg(any(feature = "axum", feature = "cli"))]
    pub(crate) fn secret(&self) -> Option<SecretSource> {
        let text = |name| Some(SecretSource::Text(name, (self.variable)(name)?));
        let file = |name| Some(SecretSource::File(name, self.path(name)?));
        text(SECRET)
            .or_else(|| file(SECRET_FILE))
            .or_else(|| text(REFERENCE_SECRET))
            .or_else(|| file(REFERENCE_SECRET_FILE))
    }

    /// Where a controller keeps its tokens; an empty variable counts as unset.
    #[cfg(feature = "client")]
    pub(crate) fn token_folder(&self) -> Option<PathBuf> {
        self.path(STATE).filter(|path| not_empty(path)).or_else(|| self.state_folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variable: fn(&str) -> Option<OsString>, user: &str, is_root: bool) -> Environment {
        Environment { variable, user: Some(user.into()), is_root }
    }

    fn unset(_: &str) -> Option<OsString> {
        None
    }

    fn folder(path: &str) -> HomeSource {
        HomeSource::Folder(path.into())
    }

    #[test]
    fn our_name_for_the_home_holds_over_the_references() {
        let both = of(|name| Some(if name == HOME { "/ours" } else { "/theirs" }.into()), "/u", false);
        assert_eq!(both.home(|_| true), folder("/ours"));
        let theirs = of(|name| (name == REFERENCE_HOME).then(|| "/theirs".into()), "/u", false);
        assert_eq!(theirs.home(|_| true), folder("/theirs"));
    }

    #[test]
    fn our_name_for_the_home_must_not_be_empty_and_the_references_may() {
        let ours = of(|name| Some(if name == HOME { "" } else { "/theirs" }.into()), "/u", false);
        assert_eq!(ours.home(|_| true), HomeSource::Empty);
        let theirs = of(|name| (name == REFERENCE_HOME).then(OsString::new), "/u", false);
        assert_eq!(theirs.home(|_| false), folder("/u/.local/state/gateway-drain/home"));
    }

    #[test]
    fn a_home_that_nothing_names_is_the_references_where_that_is_there_and_else_in_the_state_folder() {
        let home = of(unset, "/u", false);
        assert_eq!(home.home(|_| false), folder("/u/.local/state/gateway-drain/home"));
        assert_eq!(home.home(|path| path == Path::new("/u/.hermes")), folder("/u/.hermes"));
        let root = of(unset, "/root", true);
        assert_eq!(root.home(|path| path != Path::new("/root/.hermes")), folder("/var/lib/gateway-drain/home"));
    }

    #[test]
    fn which_of_two_homes_is_meant_is_never_guessed() {
        let both = of(unset, "/u", false).home(|_| true);
        assert_eq!(both, HomeSource::Both("/u/.hermes".into(), "/u/.local/state/gateway-drain/home".into()));
    }

    #[test]
    fn without_a_folder_of_the_users_there_is_no_home() {
        assert_eq!(of(unset, "", false).home(|_| true), HomeSource::Nowhere);
    }

    #[test]
    fn the_state_folder_is_roots_or_the_one_named_or_under_the_users() {
        let named = of(|name| (name == "XDG_STATE_HOME").then(|| "/x".into()), "/u", false);
        assert_eq!(named.state_folder(), Some("/x/gateway-drain".into()));
        let relative = of(|name| (name == "XDG_STATE_HOME").then(|| "x".into()), "/u", false);
        assert_eq!(relative.state_folder(), Some("/u/.local/state/gateway-drain".into()));
        let root = of(|name| (name == "XDG_STATE_HOME").then(|| "/x".into()), "/root", true);
        assert_eq!(root.state_folder(), Some("/var/lib/gateway-drain".into()));
    }

    #[cfg(feature = "client")]
    #[test]
    fn tokens_are_kept_in_the_folder_that_is_named_and_else_in_the_state_folder() {
        assert_eq!(of(|_| Some("/n".into()), "/u", true).token_folder(), Some("/n".into()));
        assert_eq!(of(|_| Some("".into()), "/u", true).token_folder(), Some("/var/lib/gateway-drain".into()));
        assert_eq!(of(unset, "", false).token_folder(), None);
    }

    #[cfg(any(feature = "axum", feature = "cli"))]
    #[test]
    fn a_secret_is_taken_from_the_first_variable_that_is_set() {
        let all = of(|name| Some(name.into()), "/u", false);
        assert_eq!(all.secret(), Some(SecretSource::Text(SECRET, SECRET.into())));
        let file = of(|name| (name != SECRET).then(|| name.into()), "/u", false);
        assert_eq!(file.secret(), Some(SecretSource::File(SECRET_FILE, SECRET_FILE.into())));
        let theirs = of(|name| name.starts_with("HERMES").then(|| name.into()), "/u", false);
        assert_eq!(theirs.secret(), Some(SecretSource::Text(REFERENCE_SECRET, REFERENCE_SECRET.into())));
        let their_file = of(|name| name.ends_with("DRAIN_SECRET_FILE").then(|| name.into()), "/u", false);
        assert_eq!(their_file.secret(), Some(SecretSource::File(SECRET_FILE, SECRET_FILE.into())));
        let empty = of(|name| (name == SECRET).then(OsString::new), "/u", false);
        assert_eq!(empty.secret(), Some(SecretSource::Text(SECRET, "".into())));
        assert_eq!(of(unset, "/u", false).secret(), None);
    }
}
