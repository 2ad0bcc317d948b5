//! The shop's own articles and questions, as everybody reads them.

use lockstep_domain::admin::Page as Asked;
use lockstep_domain::catalogue::Page;
use lockstep_domain::content::{Article, CategoryCount, Faq};
use lockstep_store::content::{self, Filter};
use lockstep_store::{branding, games};
use uuid::Uuid;

use crate::{Shop, ShopError};

impl Shop {
    /// Published articles, newest first.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn articles(&self, filter: &Filter, page: Asked) -> Result<Page<Article>, ShopError> {
        let filter = filter.clone();
        let read = self
            .store()
            .read(|tx| Box::pin(async move { content::articles(tx, &filter, page).await }));
        let (articles, total) = read.await?.value;
        Ok(Page::new(articles, total, page.number, page.size))
    }

    /// The uploaded picture of a game with this id as WebP; it is public to everyone who knows its address.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.game_picture", skip_all)]
    pub async fn game_picture(&self, id: Uuid) -> Result<Option<Vec<u8>>, ShopError> {
        Ok(games::picture(self.store(), id).await?)
    }

    /// The picture of the shop's logo with this id as PNG; it is public.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.logo_image", skip_all)]
    pub async fn logo_image(&self, id: Uuid) -> Result<Option<Vec<u8>>, ShopError> {
        Ok(branding::logo_image(self.store(), id).await?)
    }

    /// A published article by its slug.
    ///
    /// # Errors
    /// [`ShopError::NotFound`], [`ShopError::Store`].
    pub async fn article_by_slug(&self, slug: &str) -> Result<Article, ShopError> {
        let slug = slug.to_owned();
        let read = self
            .store()
            .read(|tx| Box::pin(async move { content::article_by_slug(tx, &slug).await }));
        read.await?.value.ok_or(ShopError::NotFound("Article"))
    }

    /// A published article by its id.
    ///
    /// # Errors
    /// [`ShopError::NotFound`], [`ShopError::Store`].
    pub async fn article_by_id(&self, id: Uuid) -> Result<Article, ShopError> {
        let read = self.store().read(|tx| Box::pin(content::article_by_id(tx, id))).await?;
        read.value.ok_or(ShopError::NotFound("Article"))
    }

    /// The categories of published articles, by name.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn article_categories(&self) -> Result<Vec<CategoryCount>, ShopError> {
        let read = self
            .store()
            .read(|tx| Box::pin(content::article_categories(tx)))
            .await?;
        Ok(read.value)
    }

    /// The active questions, by category and position.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn faqs(&self, filter: &Filter) -> Result<Vec<Faq>, ShopError> {
        let filter = filter.clone();
        let read = self
            .store()
            .read(|tx| Box::pin(async move { content::faqs(tx, &filter).await }));
        Ok(read.await?.value)
    }

    /// The categories of active questions, by name.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn faq_categories(&self) -> Result<Vec<CategoryCount>, ShopError> {
        let read = self
            .store()
            .read(|tx| Box::pin(content::faq_categories(tx, true)))
            .await?;
        Ok(read.value)
    }
}
