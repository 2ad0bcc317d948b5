//! Sealing of short secrets that staff enter.

use lockstep_domain::Secret;

use crate::{Result, Store, StoreError};

impl Store {
    /// Seals a secret for its place, `table.column/id`.
    pub(crate) fn seal_secret(&self, place: &str, secret: &Secret) -> Result<Vec<u8>> {
        let keys = self.seal.0.get().ok_or_else(|| {
            StoreError::from(sqlx::Error::Configuration(
                "there are no secrets of LOCKSTEP_KEY_SECRET to seal with".into(),
            ))
        })?;
        Ok(keys.seal(place, secret.expose().as_bytes()))
    }

    /// Opens a secret; `None` if no secret of this process does.
    pub(crate) fn open_secret(&self, place: &str, sealed: &[u8]) -> Option<Secret> {
        let plain = self.seal.0.get()?.open(place, sealed).ok()?;
        String::from_utf8(plain).ok().map(Secret::new)
    }
}
