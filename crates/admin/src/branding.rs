//! The shop's looks that staff choose.

use std::sync::Arc;

use bytes::Bytes;
use lockstep_auth::Admin;
use lockstep_domain::branding::{Branding, BrandingForm, Color, Logo};
use lockstep_domain::staff::Permission;
use lockstep_images::NoPicture;
use lockstep_store::accounts::staff;
use lockstep_store::{Result, StoreError, branding};
use uuid::Uuid;

use crate::{BackOffice, ChangeError};

/// Maximum size of an uploaded logo in bytes.
pub const MAX_LOGO_BYTES: usize = 2 * 1024 * 1024;
/// Maximum size of a stored logo in bytes, as in the database. The largest picture without any order fits.
const STORED_BYTES: usize = 384 * 1024;

/// Why the logo was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file is refused.
    #[error(transparent)]
    File(#[from] NoPicture),
    /// It is smaller than a logo, or so narrow that nothing of it could be seen in the header.
    #[error(
        "A logo has at least {0} pixels on each side, also when it is scaled to the header.",
        Logo::MIN_SIDE
    )]
    Shape,
    /// The sender's session has ended meanwhile, or they have lost the permission.
    #[error("Forbidden")]
    NotAllowed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackOffice {
    /// Sets the name that the settings of the program give the shop: it wins over the one that staff choose.
    #[must_use]
    pub fn with_shop_name(self, shop_name: Option<String>) -> Self {
        Self { shop_name, ..self }
    }

    /// The shop's looks.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn branding(&self, _by: &Admin) -> Result<Branding> {
        let stored = self.store.read(|tx| Box::pin(branding::branding(tx))).await?;
        Ok(Branding {
            name_of_settings: self.shop_name.clone(),
            ..stored.value
        })
    }

    /// The shop's logo.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn logo(&self, _by: &Admin) -> Result<Option<Logo>> {
        branding::logo(&self.store).await
    }

    /// Makes `file` (PNG, JPEG or WebP, at most 16 megapixels) the shop's logo: decoded, scaled and encoded anew. Recorded
    /// in the audit log.
    ///
    /// # Errors
    /// [`LogoError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.set_logo", skip_all)]
    pub async fn set_logo(&self, by: &Admin, file: Bytes) -> Result<Logo, LogoError> {
        let (user, session) = (by.caller().user(), by.caller().session());
        if !staff::goes_on(&self.store, user, session, Permission::ContentWrite).await? {
            return Err(LogoError::NotAllowed);
        }
        let drawn = self
            .pictures
            .drawn(file, Logo::MAX_WIDTH, Logo::MAX_HEIGHT, STORED_BYTES)
            .await?;
        let [red, green, blue] = drawn.color;
        let (size, color) = ((drawn.width, drawn.height), Color::new(red, green, blue));
        let logo = Logo::new(Uuid::new_v4(), size, color, drawn.is_transparent).ok_or(LogoError::Shape)?;
        branding::set_logo(&self.store, user, Some((logo, Arc::from(&*drawn.bytes)))).await?;
        Ok(logo)
    }

    /// Removes the logo: the shop's name stands in its place. Recorded in the audit log.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.remove_logo", skip_all)]
    pub async fn remove_logo(&self, by: &Admin) -> Result<()> {
        branding::set_logo(&self.store, by.caller().user(), None).await
    }

    /// Sets the shop's looks; `seen` is the version that the form showed. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`], [`ChangeError::Invalid`], [`ChangeError::Store`].
    pub async fn put_branding(&self, by: &Admin, form: &BrandingForm, seen: i64) -> Result<(), ChangeError> {
        branding::put(&self.store, by.caller().user(), form, seen).await
    }
}
