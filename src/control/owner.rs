//! Whose files the gateway can read, and so to whom every file in its home has to belong.
//!
//! Every file of the channel is for its owner alone (mode 0600), so a file of another user would be one that the gateway can't read:
//! a hold without content, that nobody's `cancel` reaches. Root gives what it writes to the gateway's user. Anybody else is
//! refused before anything is written.

use rustix::fs::{AtFlags, FileType, Gid, Stat, Uid, fchown, fstat, statat};
use rustix::process::geteuid;
use std::io;
use std::os::fd::AsFd;

/// The user and the group that files have to belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn of(stat: &Stat) -> Self {
        Self { user: stat.st_uid, group: stat.st_gid }
    }

    /// The user that the gateway of an open home runs as: the owner of its lock or, while no gateway has been there, of the folder.
    ///
    /// The two differ where the folder is a mount point that belongs to root and the gateway's user may write to by its group,
    /// as in a Kubernetes volume.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn of_gateway(home: impl AsFd, lock: &str) -> io::Result<Self> {
        match statat(&home, lock, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(lock) if FileType::from_raw_mode(lock.st_mode) == FileType::RegularFile => Ok(Self::of(&lock)),
            _ => Ok(Self::of(&fstat(&home)?)),
        }
    }

    /// The owner of a folder.
    #[cfg(feature = "client")]
    pub(crate) fn of_folder(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::stat(path)?))
    }

    /// Whether this process may write what the owner has to read.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if this process is neither the owner nor root; it names the user to run as.
    pub(crate) fn permits_writing(self) -> io::Result<()> {
        self.permits(geteuid().as_raw())
    }

    fn permits(self, me: u32) -> io::Result<()> {
        if me == self.user || me == 0 {
            return Ok(());
        }
        let (owner, me) = (described(self.user), described(me));
        let why = format!(
            "the gateway's files belong to {owner}, and it could not read one of {me}: run this as {owner}, or as root"
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }

    /// Gives a new file or folder to the owner, if this process is root's and it isn't theirs already.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if that isn't allowed: in a user namespace that doesn't know the owner, for example.
    pub(crate) fn take_over(self, file: impl AsFd) -> io::Result<()> {
        if !geteuid().is_root() || fstat(&file)?.st_uid == self.user {
            return Ok(());
        }
        fchown(file, Some(Uid::from_raw(self.user)), Some(Gid::from_raw(self.group))).map_err(|errno| {
            let why = format!("a new file can't be given to {}, who has to read it: {errno}", described(self.user));
            io::Error::new(io::ErrorKind::PermissionDenied, why)
        })
    }
}

/// `nobody (user 65534)`, or the number alone where the system has no name for it.
fn described(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name(&users, user) {
        Some(name) => format!("{name} (user {user})"),
        None => format!("user {user}"),
    }
}

/// The name of a user in a text in the form of `passwd`(5).
fn name(users: &str, user: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{Owner, name};
    use rustix::process::geteuid;
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, chown};

    const NOBODY: u32 = 65_534;

    #[test]
    fn the_owner_and_root_may_write_and_whom_the_gateway_could_not_read_is_told_whom_to_be() {
        // Users that no system has a name for.
        let (owner, another) = (4_000_000_001, 4_000_000_002);
        let files = Owner { user: owner, group: 0 };
        assert!(files.permits(owner).is_ok(), "the owner");
        assert!(files.permits(0).is_ok(), "root, which gives what it writes to the owner");
        let refused = files.permits(another).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(
            refused.to_string(),
            "the gateway's files belong to user 4000000001, and it could not read one of user 4000000002: \
             run this as user 4000000001, or as root"
        );
        let of_root = Owner { user: 0, group: 0 }.permits(another).unwrap_err().to_string();
        assert!(of_root.contains("belong to root (user 0), and"), "{of_root}");
    }

    #[test]
    fn root_gives_a_file_to_the_owner_and_leaves_one_that_is_theirs_as_it_is() {
        if !geteuid().is_root() {
            return;
        }
        let owner = Owner { user: NOBODY, group: 7 };
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = || fs::metadata(file.path()).map(|file| (file.uid(), file.gid())).unwrap();
        owner.take_over(&file).unwrap();
        assert_eq!(of(), (owner.user, owner.group));
        chown(file.path(), None, Some(8)).unwrap();
        owner.take_over(&file).unwrap();
        assert_eq!(of(), (owner.user, 8), "it may have the group that its owner wants");
    }

    #[test]
    fn the_gateways_user_is_who_owns_its_lock_and_where_no_lock_is_a_file_who_owns_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = File::open(folder.path()).unwrap();
        let of = || Owner::of_gateway(&home, "lock").unwrap().user;
        let me = geteuid().as_raw();
        let given = |path: &std::path::Path| {
            if me == 0 {
                chown(path, Some(NOBODY), None).unwrap();
            }
        };
        let lock = folder.path().join("lock");
        assert_eq!(of(), me);
        fs::write(&lock, "").unwrap();
        given(&lock);
        assert_eq!(of(), if me == 0 { NOBODY } else { me }, "the lock's");
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        given(&lock);
        assert_eq!(of(), me, "a folder in the lock's place is nobody's lock");
    }

    #[test]
    fn a_user_is_named_as_the_system_names_them() {
        let users = "root:x:0:0:root:/root:/bin/sh\n+::::::\nalice:x:1000:100::/home/alice:/bin/sh\n";
        assert_eq!(name(users, 0), Some("root"));
        assert_eq!(name(users, 1000), Some("alice"));
        assert_eq!(name(users, 100), None, "a group's number is no user's");
    }
}
