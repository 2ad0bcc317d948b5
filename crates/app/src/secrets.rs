//! The secrets of the store: given by the configuration, or generated once and kept in the data folder.
//!
//! In production all have to be given: a generated secret would be lost with its disk, and with it every key that was
//! sealed with it.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lockstep_auth::{Keys, TokenSecrets};
use lockstep_clock::Random;
use lockstep_domain::language::Sentence;
use lockstep_store::Store;
use lockstep_store::instances::something_is_sealed;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::words::{english, say};

/// The file of generated secrets in the data folder, mode 0600.
const FILE: &str = "secrets.toml";

/// The validated secrets. They have no `Debug` on purpose.
pub(crate) struct Secrets {
    /// Sign tokens.
    pub(crate) tokens: TokenSecrets,
    /// Seal game keys and key the hashes.
    pub(crate) keys: Keys,
    jwt: [(&'static str, String); 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the settings' names")]
struct Generated {
    jwt_secret: String,
    jwt_refresh_secret: String,
    key_secret: String,
}

impl Secrets {
    /// Returns the configured secrets; the others are read from the data folder, or generated there by the first
    /// process. From now on they seal the e-mails of `store`.
    ///
    /// # Errors
    /// Among others if there are no secrets although values in the database are sealed: new secrets would not open
    /// them, and the shop would run as if nothing had happened.
    pub(crate) async fn open(config: &Config, store: &Store) -> Result<Self> {
        let path = file(config);
        if config.secrets.2.is_none() && !path.exists() {
            let sealed = store
                .tx("secrets.lost", |tx| Box::pin(something_is_sealed(tx)))
                .await
                .context("looking whether something is sealed")?;
            ensure!(!sealed || config.accept_lost_keys, english(&lost(&path)));
        }
        let secrets = Self::read_or_make(config)?;
        store.seal_mail_with(secrets.keys.clone());
        Ok(secrets)
    }

    fn read_or_make(config: &Config) -> Result<Self> {
        let given = &config.secrets;
        let generated = match given {
            (Some(_), Some(_), Some(_)) => None,
            _ => Some(generated(&config.data_dir, &config.random)?),
        };
        let choose = |given: &Option<String>, pick: fn(&Generated) -> &String| {
            given
                .clone()
                .or_else(|| generated.as_ref().map(|g| pick(g).clone()))
                .unwrap_or_default()
        };
        let (access, refresh, keys) = given;
        let (access, refresh) = (
            choose(access, |g| &g.jwt_secret),
            choose(refresh, |g| &g.jwt_refresh_secret),
        );
        Ok(Self {
            tokens: TokenSecrets::new(&access, &refresh)?,
            keys: Keys::parse(&choose(keys, |g| &g.key_secret))?,
            jwt: [("JWT_SECRET", access), ("JWT_REFRESH_SECRET", refresh)],
        })
    }

    /// Like [`Secrets::open`] if secrets exist; generates none.
    pub(crate) fn known(config: &Config) -> Result<Option<Self>> {
        let given = matches!(config.secrets, (Some(_), Some(_), Some(_)));
        if given || config.data_dir.join(FILE).exists() {
            return Self::read_or_make(config).map(Some);
        }
        Ok(None)
    }

    /// Secrets other than the keys that have to be equal in all processes.
    pub(crate) fn to_compare(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.jwt.iter().map(|(name, secret)| (*name, secret.as_str()))
    }

    /// The values by which processes compare a secret setting: its hashes under every key of the list, the newest
    /// first. They reveal nothing without the keys.
    pub(crate) fn marks(&self, name: &str, value: &str) -> Vec<String> {
        let parts: [&[u8]; 2] = [name.as_bytes(), value.as_bytes()];
        self.keys
            .hashes("setting", &parts)
            .map(|hash| hex::encode(hash.get(..16).unwrap_or_default()))
            .collect()
    }
}

/// The error for a missing file of secrets, with the remedy.
pub(crate) fn lost(path: &Path) -> Sentence {
    say!("doctor.secrets.lost", path.display())
}

/// The path of the generated secrets.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.data_dir.join(FILE)
}

fn generated(data_dir: &Path, random: &Random) -> Result<Generated> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let path = data_dir.join(FILE);
    if let Some(found) = read(&path)? {
        return Ok(found);
    }
    let secret = || hex::encode(random.bytes::<32>());
    let made = Generated {
        jwt_secret: secret(),
        jwt_refresh_secret: secret(),
        key_secret: secret(),
    };
    // Written to a temporary file and then linked: two processes that start at once end up with the same secrets, and a
    // crash leaves none or all. The temporary name is unique: two processes in two containers may both have the process
    // id 1.
    let partial = data_dir.join(format!("{FILE}.{}", uuid::Uuid::new_v4().simple()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(toml::to_string(&made).unwrap_or_default().as_bytes())?;
        file.sync_all()
    };
    let written = write();
    if written.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    written.with_context(|| format!("cannot write {}", partial.display()))?;
    let linked = std::fs::hard_link(&partial, &path);
    drop(std::fs::remove_file(&partial));
    match linked {
        Ok(()) => Ok(made),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            read(&path)?.with_context(|| format!("{} vanished", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn read(path: &Path) -> Result<Option<Generated>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("{} can be read by others; its mode should be 0600", path.display());
    }
    // The parser's message would show the line, which is a secret.
    let secrets = toml::from_str(&text).map_err(|_| {
        anyhow::anyhow!(
            "{} is damaged; restore it from a backup, game keys are sealed with it",
            path.display()
        )
    })?;
    Ok(Some(secrets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_generated_once_with_owner_only_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let first = generated(folder.path(), &Random::system()).unwrap();
        let again = generated(folder.path(), &Random::system()).unwrap();
        assert_eq!(first.key_secret, again.key_secret);
        assert_ne!(first.jwt_secret, first.jwt_refresh_secret);
        let mode = std::fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn damaged_file_error_does_not_show_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "jwt_secret = hunter2").unwrap();
        let message = format!("{:#}", generated(folder.path(), &Random::system()).err().unwrap());
        assert!(message.contains("damaged") && !message.contains("hunter2"), "{message}");
    }
}
