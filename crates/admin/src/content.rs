//! Articles of the blog, and questions with their answers: what staff write.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::{ArticleForm, FaqForm, FaqList, Page, PostCreated, PostList, PostUpdated};
use lockstep_domain::content::{Article, CategoryCount, Faq};
use lockstep_store::Result;
use lockstep_store::admin::{blog, faqs};
use uuid::Uuid;

use crate::{BackOffice, ChangeError, FaqFilter};

impl BackOffice {
    /// Lists articles, published or not.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn articles(&self, _by: &Admin, page: Page) -> Result<PostList> {
        let read = self.store.read(|tx| Box::pin(blog::list(tx, page))).await?;
        Ok(read.value)
    }

    /// An article, published or not.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn article(&self, _by: &Admin, id: Uuid) -> Result<Option<Article>> {
        let read = self.store.read(|tx| Box::pin(blog::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// Writes an article. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::SlugTaken`], [`ChangeError::Store`].
    pub async fn create_article(&self, by: &Admin, form: &ArticleForm) -> Result<PostCreated, ChangeError> {
        blog::create(&self.store, by.caller().user(), form).await
    }

    /// Changes an article; `seen` is when the article that the form showed was last changed, if it is to be compared.
    /// Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::SlugTaken`], [`ChangeError::Outdated`], [`ChangeError::Store`].
    pub async fn update_article(
        &self,
        by: &Admin,
        id: Uuid,
        form: &ArticleForm,
        seen: Option<DateTime<Utc>>,
    ) -> Result<PostUpdated, ChangeError> {
        blog::update(&self.store, by.caller().user(), id, form, seen).await
    }

    /// Deletes an article. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    pub async fn delete_article(&self, by: &Admin, id: Uuid) -> Result<(), ChangeError> {
        blog::delete(&self.store, by.caller().user(), id).await
    }

    /// Lists questions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn faqs(&self, _by: &Admin, filter: &FaqFilter, page: Page) -> Result<FaqList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { faqs::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// The categories of all questions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn faq_categories(&self, _by: &Admin) -> Result<Vec<CategoryCount>> {
        let read = self
            .store
            .read(|tx| Box::pin(lockstep_store::content::faq_categories(tx, false)))
            .await?;
        Ok(read.value)
    }

    /// Writes a question. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn create_faq(&self, by: &Admin, form: &FaqForm) -> Result<Faq, ChangeError> {
        faqs::create(&self.store, by.caller().user(), form).await
    }

    /// Changes a question; `seen` is what the form showed, if it is to be compared. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Outdated`], [`ChangeError::Store`].
    pub async fn update_faq(
        &self,
        by: &Admin,
        id: Uuid,
        form: &FaqForm,
        seen: Option<&Faq>,
    ) -> Result<Faq, ChangeError> {
        faqs::update(&self.store, by.caller().user(), id, form, seen).await
    }

    /// Deletes a question. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    pub async fn delete_faq(&self, by: &Admin, id: Uuid) -> Result<(), ChangeError> {
        faqs::delete(&self.store, by.caller().user(), id).await
    }
}
