//! In whose name this command speaks, and the bearer token that proves it over HTTP.

use super::arguments::Arguments;
use crate::client::Failure;
use crate::environment::{Environment, REFERENCE_SECRET, SecretSource};
use nix::unistd::{User, geteuid};
use std::io::Read;
use std::path::Path;

/// No token is longer.
const MAX_SECRET: u64 = 4096;

/// The user that this process runs as, whatever its environment says: cron, containers and `sudo` set it otherwise.
pub(super) fn user() -> String {
    let uid = geteuid();
    match User::from_uid(uid) {
        Ok(Some(user)) if !user.name.is_empty() => user.name,
        _ => format!("uid:{uid}"),
    }
}

/// The endpoint's token: from the file of the option, else from the environment.
pub(super) fn secret(arguments: &Arguments) -> Result<Option<String>, Failure> {
    if let Some(path) = &arguments.secret_file {
        return in_file("--secret-file", path).map(Some);
    }
    match Environment::of_this_process().secret() {
        None => Ok(None),
        Some(SecretSource::File(variable, path)) => in_file(variable, &path).map(Some),
        Some(SecretSource::Text(variable, text)) => match text.to_str().map(str::trim) {
            // To the reference an empty secret is none.
            Some("") if variable == REFERENCE_SECRET => Ok(None),
            Some("") => {
                Err(Failure::Usage(format!("{variable} is set but empty: have it hold the secret, or unset it")))
            }
            Some(secret) => Ok(Some(secret.to_owned())),
            None => Err(Failure::Usage(format!("{variable} is not valid text"))),
        },
    }
}

fn in_file(named_by: &str, path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| Failure::Usage(format!("{named_by} {}: {why}", path.display()));
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
    read.map_err(|error| unreadable(error.to_string()))?;
    match text.trim() {
        "" => Err(unreadable("it is empty".into())),
        secret => Ok(secret.to_owned()),
    }
}

/// A new secret, strong enough for the endpoint.
pub(super) fn new_secret() -> Result<String, Failure> {
    crate::wire::new_secret().map_err(|error| Failure::Internal(format!("no random source: {error}")))
}
