//! The user that runs PostgreSQL. It refuses to run as root, so a Lockstep run by root runs it as an unprivileged user;
//! otherwise it runs as the current user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, getegid, geteuid, getpid, getppid, set_parent_process_death_signal};

use crate::error::Error;

/// Users to run PostgreSQL as when Lockstep runs as root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL runs as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    /// Whether root must switch to this user.
    switch: bool,
}

impl Account {
    pub(crate) fn of_this_process() -> Self {
        Self {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            switch: false,
        }
    }

    /// Chooses the current user; for root, the owner of `cluster` if it exists, else `postgres` or `nobody`.
    ///
    /// # Errors
    /// Returns [`Error::OtherOwner`] if the cluster belongs to another user and we are not root, and
    /// [`Error::NoAccount`] if no unprivileged user exists.
    pub(crate) fn for_cluster(cluster: &Path) -> Result<Self, Error> {
        let ourselves = Self::of_this_process();
        let owner = match fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("examine", cluster)(error)),
        };
        match owner {
            Some((uid, _)) if ourselves.uid != 0 && uid != ourselves.uid => Err(Error::OtherOwner {
                cluster: cluster.to_path_buf(),
                owner: user_name(uid),
            }),
            _ if ourselves.uid != 0 => Ok(ourselves),
            Some((uid, gid)) if uid != 0 => Ok(Self { uid, gid, switch: true }),
            _ => {
                let users = fs::read_to_string("/etc/passwd").map_err(Error::io("read", Path::new("/etc/passwd")))?;
                UNPRIVILEGED
                    .iter()
                    .find_map(|name| find_user(&users, name))
                    .map(|(uid, gid)| Self { uid, gid, switch: true })
                    .ok_or(Error::NoAccount)
            }
        }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether root must switch to another user for the server.
    pub(crate) fn switches(&self) -> bool {
        self.switch
    }

    pub(crate) fn name(&self) -> String {
        user_name(self.uid)
    }

    /// Whether root must first give this user the folder.
    pub(crate) fn is_not_owner_of(&self, folder: &Path) -> Result<bool, Error> {
        Ok(fs::metadata(folder).map_err(Error::io("examine", folder))?.uid() != self.uid)
    }

    /// Changes the owner of one file or folder to this user; of a link itself, not of its target.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        if self.switch {
            lchown(path, Some(self.uid), Some(self.gid)).map_err(Error::io("change the owner of", path))
        } else {
            Ok(())
        }
    }

    /// Changes the owner of a folder and its whole content to this user.
    pub(crate) fn give_all(&self, folder: &Path) -> Result<(), Error> {
        self.give(folder)?;
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            if entry.file_type().map_err(Error::io("examine", &entry.path()))?.is_dir() {
                self.give_all(&entry.path())?;
            } else {
                self.give(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Returns the folder that prevents this user from reaching `folder`, if any: `folder` itself or an ancestor.
    /// Checks the permission bits only, not access control lists.
    pub(crate) fn barred_by(&self, folder: &Path) -> Option<PathBuf> {
        if !self.switch {
            return None;
        }
        let real = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let mut above: Vec<&Path> = real.ancestors().collect();
        above.reverse();
        above
            .into_iter()
            .find(|step| fs::metadata(step).is_ok_and(|metadata| !self.may_enter(&metadata)))
            .map(Path::to_path_buf)
    }

    fn may_enter(&self, metadata: &fs::Metadata) -> bool {
        let needed = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & needed != 0
    }

    /// Creates a PostgreSQL command that runs as this user and ends with this process.
    ///
    /// It gets an empty environment, because ours may hold secrets that it does not need, and a separate process group:
    /// a Ctrl-C in the terminal must only reach Lockstep, which then stops the server in order. `farewell` is the
    /// signal that the kernel sends it when the *thread* that spawned it ends: that thread must wait for it.
    pub(crate) fn command(&self, program: &Path, farewell: Signal) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.switch {
            // The standard library drops the supplementary groups along with the user.
            command.uid(self.uid).gid(self.gid);
        }
        end_with_spawning_thread(&mut command, farewell);
        command
    }
}

/// Makes the kernel send `farewell` to the command's process when the thread that spawned it ends, however it ends.
///
/// It takes effect after the change of user, which would clear it.
fn end_with_spawning_thread(command: &mut Command, farewell: Signal) {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(farewell))?;
        // If the parent had died just before, the signal would never come.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only async-signal-safe calls may be made; these are two plain system calls, and nothing is allocated"
    )]
    unsafe {
        command.pre_exec(tie);
    }
}

/// Finds the user and group id of `name` in the text of `/etc/passwd`.
fn find_user(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid: u32 = fields.nth(1)?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (uid != 0).then_some((uid, gid))
    })
}

/// Returns the name of a user, or its id if it has none.
fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    users
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&*number))
        .and_then(|line| line.split(':').next())
        .map_or(number, str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_is_never_root() {
        let users =
            "root:x:0:0::/:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:,,,:/:/bin/sh\nbad:x:0:0::/:\nshort:x\n";
        assert_eq!(find_user(users, "postgres"), Some((101, 104)));
        assert_eq!(find_user(users, "bad"), None);
        assert_eq!(find_user(users, "short"), None);
        assert_eq!(find_user(users, "nobody"), None);
    }

    #[test]
    fn the_outermost_inaccessible_folder_is_named() {
        let root = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let closed = root.path().canonicalize().unwrap().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o750)).unwrap();
        let stranger = Account {
            uid: 4_000_000,
            gid: 4_000_000,
            switch: true,
        };
        assert_eq!(stranger.barred_by(&inner), Some(closed.clone()));
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(stranger.barred_by(&inner), None);
        let ourselves = Account {
            switch: true,
            ..Account::of_this_process()
        };
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(ourselves.barred_by(&inner), None);
    }
}
