//! Categories, genres, platforms and tags: what staff make of them.

use lockstep_auth::Admin;
use lockstep_domain::admin::{TermForm, TermSaved};
use lockstep_store::admin::taxonomies;
use uuid::Uuid;

use crate::{BackOffice, ChangeError, Taxonomy};

impl BackOffice {
    /// Makes an entry of a taxonomy. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::SlugTaken`], [`ChangeError::NameTaken`], [`ChangeError::Store`].
    pub async fn create_term(&self, by: &Admin, taxonomy: Taxonomy, form: &TermForm) -> Result<TermSaved, ChangeError> {
        taxonomies::create(&self.store, by.caller().user(), taxonomy, form).await
    }

    /// Renames or describes an entry. Its slug stays unless the form names one. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::SlugTaken`], [`ChangeError::NameTaken`], [`ChangeError::Store`].
    pub async fn update_term(
        &self,
        by: &Admin,
        taxonomy: Taxonomy,
        id: Uuid,
        form: &TermForm,
    ) -> Result<TermSaved, ChangeError> {
        taxonomies::update(&self.store, by.caller().user(), taxonomy, id, form).await
    }

    /// Gives all games of an entry another one instead and deletes it; returns how many games had it. Recorded in the audit
    /// log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
    pub async fn merge_term(&self, by: &Admin, taxonomy: Taxonomy, id: Uuid, into: Uuid) -> Result<u64, ChangeError> {
        taxonomies::merge(&self.store, by.caller().user(), taxonomy, id, into).await
    }

    /// Deletes an entry that no game has. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
    pub async fn delete_term(&self, by: &Admin, taxonomy: Taxonomy, id: Uuid) -> Result<(), ChangeError> {
        taxonomies::delete(&self.store, by.caller().user(), taxonomy, id).await
    }
}
