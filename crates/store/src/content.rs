//! What the shop writes itself: articles of its blog, and questions with their answers, as everybody reads them. Staff
//! write them in [`crate::admin::blog`] and [`crate::admin::faqs`].
//!
//! Nothing here is cached: there are few of them, and their answers are seldom asked for.

use lockstep_domain::admin::Page;
use lockstep_domain::content::{Article, CategoryCount, Faq};
use uuid::Uuid;

use crate::row::how_many_of;
use crate::{Result, Tx};

/// Maximum number of questions in a list without pages.
const MAX_FAQS: i64 = 500;

/// A statement that selects the columns of an [`Article`] from the row `a` of `blog_articles`.
macro_rules! query_articles {
    ($name:literal, $after:literal $(, $value:expr)* $(,)?) => {
        sqlx::query!(
            $name
                + r#"
            select a.id, a.slug, a.title, a.excerpt, a.content, a.cover_image, a.category, a.published, a.published_at,
                   a.read_minutes, a.tags, a.created_at, a.updated_at,
                   coalesce((select u.nickname from users u where u.id = a.author_id), '') as "author!"
              from blog_articles a "#
                + $after,
            $($value),*
        )
    };
}
pub(crate) use query_articles;

/// The [`Article`] in a row of [`query_articles`].
macro_rules! article {
    ($row:ident) => {
        lockstep_domain::content::Article {
            id: $row.id,
            slug: $row.slug,
            title: $row.title,
            excerpt: $row.excerpt,
            content: $row.content,
            cover_image: $row.cover_image.unwrap_or_default(),
            category: $row.category,
            author: $row.author,
            published: $row.published,
            published_at: $row.published_at,
            read_time: $crate::row::count_of($row.read_minutes)?,
            tags: $row.tags,
            created_at: $row.created_at,
            updated_at: $row.updated_at,
        }
    };
}
pub(crate) use article;

/// Which articles or questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name or slug of their category.
    pub category: Option<String>,
    /// Text contained in them.
    pub search: Option<String>,
}

/// Published articles, newest first, and how many there are.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn articles(tx: &mut Tx, filter: &Filter, page: Page) -> Result<(Vec<Article>, u64)> {
    let categories = match &filter.category {
        Some(asked) => Some(named(article_categories(tx).await?, asked)),
        None => None,
    };
    let search = filter.search.as_deref().map(crate::paging::contains);
    let (limit, offset) = crate::paging::bounds(page);
    let rows = query_articles!(
        "-- store.content.articles",
        "where a.published and ($1::text[] is null or a.category = any ($1))
               and ($2::text is null or a.title ilike $2 or a.excerpt ilike $2 or a.content ilike $2)
         order by a.published_at desc, a.id desc limit $3 offset $4",
        categories.as_deref(),
        search,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.content.articles.count
        select count(*) as "count!" from blog_articles a
         where a.published and ($1::text[] is null or a.category = any ($1))
           and ($2::text is null or a.title ilike $2 or a.excerpt ilike $2 or a.content ilike $2)"#,
        categories.as_deref(),
        search
    )
    .fetch_one(tx.uncached())
    .await?;
    let articles = rows.into_iter().map(|row| Ok(article!(row))).collect::<Result<_>>()?;
    Ok((articles, how_many_of(total)))
}

/// A published article by its slug.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn article_by_slug(tx: &mut Tx, slug: &str) -> Result<Option<Article>> {
    let row = query_articles!(
        "-- store.content.article_by_slug",
        "where a.slug = $1 and a.published",
        slug
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| Ok(article!(row))).transpose()
}

/// A published article by its id.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn article_by_id(tx: &mut Tx, id: Uuid) -> Result<Option<Article>> {
    let row = query_articles!("-- store.content.article_by_id", "where a.id = $1 and a.published", id)
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| Ok(article!(row))).transpose()
}

/// The categories of published articles, by name.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn article_categories(tx: &mut Tx) -> Result<Vec<CategoryCount>> {
    let rows = sqlx::query!(
        r#"-- store.content.article_categories
        select category, count(*) as "count!" from blog_articles where published group by category
         order by lower(category), category"#
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| CategoryCount::new(row.category, how_many_of(row.count)))
        .collect())
}

/// The active questions, by category and position; at most 500.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn faqs(tx: &mut Tx, filter: &Filter) -> Result<Vec<Faq>> {
    let categories = match &filter.category {
        Some(asked) => Some(named(faq_categories(tx, true).await?, asked)),
        None => None,
    };
    let search = filter.search.as_deref().map(crate::paging::contains);
    let rows = sqlx::query!(
        r#"-- store.content.faqs
        select id, category, question, answer, position, active, created_at from faqs
         where active and ($1::text[] is null or category = any ($1))
           and ($2::text is null or question ilike $2 or answer ilike $2)
         order by lower(category), category, position, created_at, id limit $3"#,
        categories.as_deref(),
        search,
        MAX_FAQS
    )
    .fetch_all(tx.uncached())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Faq {
            id: row.id,
            category: row.category,
            question: row.question,
            answer: row.answer,
            order: row.position,
            active: row.active,
            created_at: row.created_at,
        })
        .collect())
}

/// The categories of questions, by name: of the active ones, or of all.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn faq_categories(tx: &mut Tx, only_active: bool) -> Result<Vec<CategoryCount>> {
    let rows = sqlx::query!(
        r#"-- store.content.faq_categories
        select category, count(*) as "count!" from faqs where active or not $1 group by category
         order by lower(category), category"#,
        only_active
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| CategoryCount::new(row.category, how_many_of(row.count)))
        .collect())
}

/// The category of an article (`true`) or a question that staff mean: a known one by its slug, which the existing console
/// sends, or the one with this name.
pub(crate) async fn category_meant(tx: &mut Tx, of_article: bool, asked: Option<String>) -> Result<Option<String>> {
    let Some(asked) = asked else { return Ok(None) };
    let known = if of_article {
        sqlx::query_scalar!(
            "-- store.content.category_meant.articles\nselect distinct category from blog_articles order by 1"
        )
        .fetch_all(tx.conn())
        .await?
    } else {
        sqlx::query_scalar!("-- store.content.category_meant.faqs\nselect distinct category from faqs order by 1")
            .fetch_all(tx.conn())
            .await?
    };
    if known.contains(&asked) {
        return Ok(Some(asked));
    }
    let mut known = known.into_iter().map(|name| CategoryCount::new(name, 0));
    let meant = known.find(|category| category.slug == asked);
    Ok(Some(meant.map_or(asked, |category| category.name)))
}

/// The names of the categories that `asked` means.
fn named(categories: Vec<CategoryCount>, asked: &str) -> Vec<String> {
    let meant = categories.into_iter().filter(|category| category.is(asked));
    meant.map(|category| category.name).collect()
}
