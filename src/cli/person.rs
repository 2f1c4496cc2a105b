//! In whose name this command speaks, and the bearer token that proves it over HTTP.

use super::arguments::Arguments;
use crate::client::{Failure, Gateway};
use nix::unistd::{User, geteuid};
use std::io::Read;

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

/// The endpoint's token: from the file, else from the variable.
pub(super) fn secret(arguments: &Arguments) -> Result<Option<String>, Failure> {
    let Some(path) = &arguments.secret_file else { return in_environment() };
    let unreadable = |why: String| Failure::Usage(format!("--secret-file {}: {why}", path.display()));
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
    read.map_err(|error| unreadable(error.to_string()))?;
    match text.trim() {
        "" => Err(unreadable("it is empty".into())),
        secret => Ok(Some(secret.to_owned())),
    }
}

fn in_environment() -> Result<Option<String>, Failure> {
    match std::env::var(Gateway::SECRET_VARIABLE) {
        Ok(secret) if secret.trim().is_empty() => Ok(None),
        Ok(secret) => Ok(Some(secret.trim().to_owned())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(Failure::Usage(format!("{} is not valid text", Gateway::SECRET_VARIABLE))),
    }
}

/// A new secret, strong enough for the endpoint.
pub(super) fn new_secret() -> Result<String, Failure> {
    crate::wire::new_secret().map_err(|error| Failure::Internal(format!("no random source: {error}")))
}
