//! The shop's own pages and its banners.

use lockstep_auth::Admin;
use lockstep_domain::site::{Banner, BannerForm, PageDetail, PageForm};
use lockstep_store::{Result, site};

use crate::{BackOffice, ChangeError};

impl BackOffice {
    /// All pages, published or not, in all languages.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn own_pages(&self, _by: &Admin) -> Result<Vec<PageDetail>> {
        Ok(self.store.read(|tx| Box::pin(site::pages(tx))).await?.value)
    }

    /// Writes a page, or changes it; `seen` is the version that the form showed, 0 for a new one. Recorded in the audit
    /// log.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`], [`ChangeError::Store`].
    pub async fn put_own_page(&self, by: &Admin, form: &PageForm, seen: i64) -> Result<(), ChangeError> {
        site::put_page(&self.store, by.caller().user(), form, seen).await
    }

    /// Deletes a page. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    pub async fn delete_own_page(&self, by: &Admin, slug: &str, language: &str) -> Result<(), ChangeError> {
        site::delete_page(&self.store, by.caller().user(), slug, language).await
    }

    /// All banners with their versions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn banners(&self, _by: &Admin) -> Result<Vec<(Banner, i64)>> {
        Ok(self.store.read(|tx| Box::pin(site::banners(tx))).await?.value)
    }

    /// Sets the banner of a language; `seen` is the version that the form showed, 0 for a new one. Recorded in the audit
    /// log.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`], [`ChangeError::Store`].
    pub async fn put_banner(&self, by: &Admin, form: &BannerForm, seen: i64) -> Result<(), ChangeError> {
        site::put_banner(&self.store, by.caller().user(), form, seen).await
    }

    /// Removes the banner of a language. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    pub async fn delete_banner(&self, by: &Admin, language: &str) -> Result<(), ChangeError> {
        site::delete_banner(&self.store, by.caller().user(), language).await
    }
}
