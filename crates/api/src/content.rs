//! `/api/blog…` and `/api/faq…`: what the shop writes itself, for everybody.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use lockstep_domain::admin::Page as Asked;
use lockstep_domain::catalogue::{Answer, Page};
use lockstep_domain::content::{Article, CategoryCount, Faq};
use lockstep_shop::ContentFilter;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered};
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::{Ask, checked_slug};
use crate::{Api, ApiState};

/// Highest page number.
const MAX_PAGE: u32 = 100_000;
/// Maximum page size: a page holds whole articles.
const MAX_PAGE_SIZE: u32 = 50;

#[derive(OpenApi)]
#[openapi(
    tags((name = "content", description = "Blog and frequently asked questions")),
    paths(articles, article_by_slug, article_by_id, article_categories, faqs, faq_categories)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/blog/articles", get(articles)),
        ("/api/blog/articles/slug/{slug}", get(article_by_slug)),
        ("/api/blog/articles/{id}", get(article_by_id)),
        ("/api/blog/categories", get(article_categories)),
        ("/api/faq", get(faqs)),
        ("/api/faq/categories", get(faq_categories)),
    ]
}

/// Reads `category` and `search`. The category `all` is none.
fn filter(ask: &Ask) -> Result<ContentFilter, ApiError> {
    Ok(ContentFilter {
        category: ask.text("category")?.filter(|name| name != "all"),
        search: ask.text("search")?,
    })
}

/// Returns published articles, newest first.
#[utoipa::path(get, path = "/api/blog/articles", tag = "content", operation_id = "listArticles", params(
    ("category" = Option<String>, Query, max_length = 100, description = "Name or slug of a category; `all` for no filter"),
    ("search" = Option<String>, Query, max_length = 100, description = "Text contained in title, excerpt or content"),
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Page size, 1–50 (default 20)")),
    responses((status = 200, description = "A page of articles", body = Answer<Page<Article>>), (status = 400, description = "Invalid parameter")))]
pub(crate) async fn articles(State(api): Api, ask: Ask) -> Answered {
    let page = Asked {
        number: ask.number("page", 1, 1, MAX_PAGE)?,
        size: ask.number("pageSize", 20, 1, MAX_PAGE_SIZE)?,
    };
    answer::data(StatusCode::OK, &api.shop.articles(&filter(&ask)?, page).await?)
}

/// Returns a published article by its slug.
#[utoipa::path(get, path = "/api/blog/articles/slug/{slug}", tag = "content", operation_id = "getArticleBySlug",
    params(("slug" = String, Path, description = "Slug of the article")),
    responses((status = 200, description = "The article", body = Answer<Article>), (status = 400, description = "Invalid slug"),
    (status = 404, description = "There is no such article")))]
pub(crate) async fn article_by_slug(State(api): Api, Path(slug): Path<String>) -> Answered {
    let slug = checked_slug(&slug)?;
    answer::data(StatusCode::OK, &api.shop.article_by_slug(slug).await?)
}

/// Returns a published article.
#[utoipa::path(get, path = "/api/blog/articles/{id}", tag = "content", operation_id = "getArticle",
    params(("id" = Uuid, Path, description = "ID of the article")),
    responses((status = 200, description = "The article", body = Answer<Article>), (status = 400, description = "`id` is not a UUID"),
    (status = 404, description = "There is no such article")))]
pub(crate) async fn article_by_id(State(api): Api, Path(id): Path<String>) -> Answered {
    let id = uuid_in("id", &id)?;
    answer::data(StatusCode::OK, &api.shop.article_by_id(id).await?)
}

/// The categories of the blog.
#[derive(Serialize, ToSchema)]
struct ArticleCategories {
    /// By name.
    data: Vec<CategoryCount>,
}

/// Returns the categories of published articles.
#[utoipa::path(get, path = "/api/blog/categories", tag = "content", operation_id = "listArticleCategories",
    responses((status = 200, description = "The categories, by name", body = Answer<ArticleCategories>)))]
pub(crate) async fn article_categories(State(api): Api) -> Answered {
    let data = api.shop.article_categories().await?;
    answer::data(StatusCode::OK, &ArticleCategories { data })
}

/// Returns the frequently asked questions.
///
/// At most 500, by category and position.
#[utoipa::path(get, path = "/api/faq", tag = "content", operation_id = "listFaqs", params(
    ("category" = Option<String>, Query, max_length = 100, description = "Name or slug of a category; `all` for no filter"),
    ("search" = Option<String>, Query, max_length = 100, description = "Text contained in question or answer"),
    ("active" = Option<bool>, Query, description = "`false` gives an empty list: the others are for staff")),
    responses((status = 200, description = "The questions", body = Answer<Vec<Faq>>), (status = 400, description = "Invalid parameter")))]
pub(crate) async fn faqs(State(api): Api, ask: Ask) -> Answered {
    let filter = filter(&ask)?;
    let faqs = if ask.flag("active")? == Some(false) {
        Vec::new()
    } else {
        api.shop.faqs(&filter).await?
    };
    answer::data(StatusCode::OK, &faqs)
}

/// Returns the categories of the frequently asked questions.
#[utoipa::path(get, path = "/api/faq/categories", tag = "content", operation_id = "listFaqCategories",
    responses((status = 200, description = "The categories, by name", body = Answer<Vec<CategoryCount>>)))]
pub(crate) async fn faq_categories(State(api): Api) -> Answered {
    answer::data(StatusCode::OK, &api.shop.faq_categories().await?)
}
