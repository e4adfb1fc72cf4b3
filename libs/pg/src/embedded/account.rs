//! Whom the server runs as: ourselves, or an unprivileged user when we are root (Postgres refuses to run as root).
//!
//! Does not: add users, change the owner of anything outside the folder it is given.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::EmbeddedError;

/// Users that may stand in for root, the best first.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl Account {
    /// Whom to become: nobody else unless we are root. `probe` is a folder that we own.
    ///
    /// # Errors
    /// When we are root and there is no unprivileged user.
    pub fn unprivileged(probe: &Path) -> Result<Option<Self>, EmbeddedError> {
        if !we_are_root(probe)? {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = STAND_INS.iter().find_map(|name| parse(&users, name));
        found.map(Some).ok_or(EmbeddedError::NoUnprivilegedUser)
    }

    /// Gives a file or folder (not what is in it) to this user.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(|source| {
            EmbeddedError::Io {
                what: "hand over to the unprivileged user",
                path: path.to_owned(),
                source,
            }
        })
    }

    /// Checks that this user can get to a folder. A closed temporary folder on the way is opened for passing through
    /// (not for listing), as `tempfile` makes them closed.
    ///
    /// # Errors
    /// When a folder on the way is closed.
    pub fn reach(&self, dir: &Path) -> Result<(), EmbeddedError> {
        let temporary = std::env::temp_dir();
        for ancestor in dir.ancestors().skip(1) {
            let Ok(meta) = ancestor.metadata() else {
                continue;
            };
            if self.may_enter(&meta) {
                continue;
            }
            let opened = ancestor != temporary && ancestor.starts_with(&temporary) && {
                let passable = std::fs::Permissions::from_mode(meta.mode() | 0o001);
                std::fs::set_permissions(ancestor, passable).is_ok()
            };
            if !opened {
                let (dir, blocked) = (dir.to_owned(), ancestor.to_owned());
                return Err(EmbeddedError::Unreachable {
                    dir,
                    blocked,
                    user: self.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn may_enter(&self, meta: &std::fs::Metadata) -> bool {
        let bit = if meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        meta.mode() & bit != 0
    }
}

/// Files that we make belong to our effective user.
fn we_are_root(probe: &Path) -> Result<bool, EmbeddedError> {
    let file = probe.join(".whoami");
    let io = |source| EmbeddedError::Io {
        what: "write to",
        path: probe.to_owned(),
        source,
    };
    std::fs::write(&file, "").map_err(io)?;
    let uid = file.metadata().map_err(io)?.uid();
    std::fs::remove_file(&file).map_err(io)?;
    Ok(uid == 0)
}

/// The line of `/etc/passwd` for a user: `name:x:uid:gid:…`.
fn parse(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/bin/false\npostgres:x:0:0::/:\n";

    #[test]
    fn a_user_is_read_by_name() {
        let nobody = Account {
            name: "nobody".into(),
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(parse(USERS, "nobody"), Some(nobody));
        assert_eq!(parse(USERS, "somebody"), None);
    }

    #[test]
    fn another_name_for_root_is_no_stand_in() {
        assert_eq!(parse(USERS, "postgres"), None);
    }

    #[test]
    fn a_closed_temporary_folder_is_opened_for_passing_through() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account {
            name: "nobody".into(),
            uid: 65534,
            gid: 65533,
        };
        stranger.reach(&outer.path().join("postgres")).unwrap();
        assert_eq!(outer.path().metadata().unwrap().mode() & 0o777, 0o701);
    }
}
