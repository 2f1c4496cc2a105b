//! The tokens of commits, on the controller's own disk: a controller that was killed during its act, or could not print its token, ends its
//! commit with it (E3).
//!
//! A token is kept before its commit is asked for, in a file of its own that its owner alone can read, and forgotten once
//! the gateway has acknowledged the end of the hold. Whether the process that committed still lives is not recorded.

use super::Failure;
use crate::environment::{Environment, STATE};
use crate::hold::{Nonce, RequestId};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// No record is larger.
const MAX_RECORD: u64 = 64 * 1024;

/// As many records of one hold are tried: there are two only where an earlier one could not be forgotten.
const MAX_RECORDS: usize = 16;

/// A commit and what ends it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which gateway: its home or its address.
    pub(super) gateway: String,
    pub(super) request_id: RequestId,
    pub(super) owner: String,
    pub(super) token: Nonce,
}

// The token ends the hold, so no log is to have it.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// A record that is on the disk.
#[derive(Clone, Debug)]
pub(super) struct StoredRecord {
    path: PathBuf,
    pub(super) record: Record,
}

/// The folder of one controller's tokens.
#[derive(Clone, Debug)]
pub(super) struct TokenStore {
    folder: PathBuf,
}

impl TokenStore {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// `GATEWAY_DRAIN_STATE`; for root `/var/lib/gateway-drain`; else `$XDG_STATE_HOME/gateway-drain`, else
    /// `~/.local/state/gateway-drain`.
    pub(super) fn of_this_user() -> Result<Self, Failure> {
        Environment::of_this_process().token_folder().map(Self::at).ok_or_else(|| {
            Failure::Usage(format!("there is no folder to keep a commit's token in: set {STATE}, or HOME"))
        })
    }

    /// Makes sure that a token can be kept here, before anything is asked of a gateway.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let tried = self.make_folder().and_then(|()| {
            let mut file = tempfile::Builder::new().prefix(".try-").tempfile_in(&self.folder)?;
            file.write_all(&[0; 512])?;
            file.as_file().sync_all()
        });
        tried.map_err(|error| self.unusable(&error))
    }

    /// Keeps a token: once this returns, it is on the disk.
    pub(super) fn keep(&self, record: Record) -> Result<StoredRecord, Failure> {
        let written = self.make_folder().and_then(|()| {
            let mut builder = tempfile::Builder::new();
            let prefix = format!("{}.", record.request_id);
            let mut file = builder.prefix(&prefix).suffix(".json").tempfile_in(&self.folder)?;
            file.write_all(&serde_json::to_vec(&record)?)?;
            file.as_file().sync_all()?;
            let (_, path) = file.keep()?;
            File::open(&self.folder)?.sync_all()?;
            Ok(path)
        });
        written.map(|path| StoredRecord { path, record }).map_err(|error| self.unusable(&error))
    }

    /// The tokens of this owner's commits of this hold.
    pub(super) fn find(&self, gateway: &str, id: &RequestId, owner: &str) -> Vec<StoredRecord> {
        let prefix = format!("{id}.");
        let Ok(listed) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let named = listed.flatten().map(|entry| entry.path()).filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
        });
        let kept = named.filter_map(|path| read(&path).ok().map(|record| StoredRecord { path, record }));
        let ours = |kept: &StoredRecord| {
            let Record { gateway: at, request_id, owner: of, .. } = &kept.record;
            at == gateway && request_id == id && of == owner
        };
        kept.filter(ours).take(MAX_RECORDS).collect()
    }

    fn make_folder(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        let folder = self.folder.display();
        let why = format!("a commit's token can't be kept in {folder}: {error}; make room, or set {STATE}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::Denied(why),
            _ => Failure::Internal(why),
        }
    }
}

fn read(path: &Path) -> io::Result<Record> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_RECORD).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

impl StoredRecord {
    /// Forgets the token: its hold has ended.
    pub(super) fn forget(&self) {
        // What stays is a token that ends nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record(gateway: &str, id: &str, owner: &str) -> Record {
        let id = RequestId::new(id).unwrap();
        Record { gateway: gateway.into(), request_id: id, owner: owner.into(), token: Nonce::fresh() }
    }

    #[test]
    fn a_token_is_found_by_its_owner_its_hold_and_its_gateway_alone_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenStore::at(folder.path().join("a/b"));
        let kept = store.keep(record("home", "up", "alice")).unwrap();
        for other in [record("home", "up", "bob"), record("elsewhere", "up", "alice"), record("home", "up2", "alice")] {
            store.keep(other).unwrap();
        }
        let found = store.find("home", &RequestId::new("up").unwrap(), "alice");
        assert_eq!(found.iter().map(|kept| &kept.record).collect::<Vec<_>>(), [&kept.record]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&kept.path), mode(&store.folder)), (0o600, 0o700));
        kept.forget();
        assert!(store.find("home", &RequestId::new("up").unwrap(), "alice").is_empty());
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("up.x.json"), "no record").unwrap();
        std::fs::create_dir(folder.path().join("up.folder.json")).unwrap();
        let store = TokenStore::at(folder.path().to_owned());
        assert!(store.find("home", &RequestId::new("up").unwrap(), "alice").is_empty());
    }

    #[test]
    fn a_token_that_may_not_be_kept_is_a_refusal_and_one_that_can_not_be_kept_is_an_error() {
        let store = TokenStore::at("/var/lib/gateway-drain".into());
        for (kind, refused) in [
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::ReadOnlyFilesystem, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let failure = store.unusable(&kind.into());
            let expected =
                if refused { matches!(failure, Failure::Denied(_)) } else { matches!(failure, Failure::Internal(_)) };
            assert!(expected && failure.to_string().contains("/var/lib/gateway-drain"), "{kind}: {failure:?}");
        }
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_told_of_before_anything_is_asked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = TokenStore::at(file.path().join("below"));
        let Err(failure) = store.check() else { panic!("a file was taken for a folder") };
        assert!(failure.to_string().contains(STATE), "{failure}");
    }
}
