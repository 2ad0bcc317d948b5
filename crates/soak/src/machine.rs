//! The capabilities of this machine, and whether it is overloaded.

use std::path::PathBuf;
use std::process::Command;

use crate::plan::Fault;

/// Set in the program's own mount namespace.
pub(crate) const INSIDE: &str = "LOCKSTEP_SOAK_MOUNTS";

/// The capabilities of this machine, and what it lacks.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) setpriv: bool,
    pub(crate) mounts: bool,
    pub(crate) faketime: Option<PathBuf>,
    /// What is skipped, and why.
    pub(crate) skipped: Vec<String>,
}

impl Machine {
    /// Tests every capability that some machines lack.
    pub(crate) fn probe() -> Self {
        let mut machine = Self {
            setpriv: succeeds(Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"])),
            mounts: std::env::var_os(INSIDE).is_some(),
            faketime: faketime(),
            skipped: Vec::new(),
        };
        if !machine.mounts {
            machine
                .skipped
                .push("full disks: no mounts (needs root, unshare, and loop devices or tmpfs)".to_owned());
        }
        if machine.faketime.is_none() {
            machine
                .skipped
                .push("clock steps: no libfaketime on this machine".to_owned());
        }
        machine
    }

    /// The faults that can be injected here.
    pub(crate) fn possible(&self) -> Vec<Fault> {
        Fault::ALL
            .into_iter()
            .filter(|fault| match fault {
                Fault::DatabaseDiskFull | Fault::DataFolderFull => self.mounts,
                Fault::ClockBack | Fault::ClockForward => self.faketime.is_some(),
                _ => true,
            })
            .collect()
    }
}

/// Whether a command succeeds on this machine.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn faketime() -> Option<PathBuf> {
    let roots = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];
    let folders = roots.iter().flat_map(|root| {
        let inner = std::fs::read_dir(root).into_iter().flatten().flatten();
        std::iter::once(PathBuf::from(root)).chain(inner.map(|entry| entry.path()))
    });
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.is_file())
}

/// Whether some process had to wait for a processor in 90 % of the last ten seconds, according to the kernel
/// (`/proc/pressure/cpu`). Late responses then prove nothing about the shop. Without kernel support the machine never
/// counts as busy.
pub(crate) fn is_busy() -> bool {
    let text = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let percent = text
        .lines()
        .find_map(|line| line.strip_prefix("some avg10="))
        .and_then(|rest| rest.split('.').next())
        .and_then(|whole| whole.parse::<u32>().ok());
    percent.is_some_and(|percent| percent >= 90)
}
