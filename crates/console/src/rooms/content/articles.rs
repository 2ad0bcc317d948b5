//! Articles of the blog.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::ChangeError;
use lockstep_domain::admin::ArticleForm;
use lockstep_domain::content::Article;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::{layout, yes_or_no};
use crate::action::ActionPage;
use crate::edit::{self, Conflict, Control, EditPage, PREVIEW, Preview};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const ARTICLES: &str = "/admin/content/articles";

fn published(words: Language, is_published: bool) -> Cell {
    if is_published {
        Cell::Tag("good", words.text("content.published").to_owned())
    } else {
        Cell::Tag("warn", words.text("content.draft").to_owned())
    }
}

/// `GET /admin/content/articles`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let listed = staff.office().articles(&staff.admin, staff.page()).await?;
    let rows = listed.posts.into_iter().map(|post| Row {
        href: Some(format!("{ARTICLES}/{}", post.id)),
        cells: vec![
            Cell::Main(post.title),
            Cell::Text(post.category),
            published(words, post.published),
            Cell::text_or_none(Some(post.author)),
            Cell::time(words, post.created_at),
        ],
    });
    let head = [
        "content.title",
        "content.category",
        "console.column.state",
        "content.author",
        "console.column.written",
    ];
    let mut actions = Vec::new();
    if staff.may(Permission::ContentWrite) {
        actions.push((words.text("content.articles.new"), format!("{ARTICLES}/new")));
    }
    ListPage {
        layout: layout(&staff, words.text("content.articles").to_owned(), &[]),
        lead: None,
        actions,
        table: Table::plain(words, "content.articles", &head, rows.collect())
            .paged(&staff, listed.paging)
            .or_else(words, "content.articles.none", "content.articles.none.advice"),
    }
    .answer(&staff)
    .await
}

fn fingerprint(article: &Article) -> String {
    edit::fingerprint(&(
        &article.title,
        &article.slug,
        &article.category,
        &article.excerpt,
        &article.content,
        &article.cover_image,
        &article.tags,
        article.published,
    ))
}

fn form_page(
    staff: &Staff,
    article: Option<&Article>,
    form: &Form,
    conflicts: Vec<Conflict>,
    preview: Option<Preview>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let title = article.map_or_else(
        || words.text("content.articles.new").to_owned(),
        |article| article.title.clone(),
    );
    let action = article.map_or_else(
        || format!("{ARTICLES}/new"),
        |article| format!("{ARTICLES}/{}", article.id),
    );
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("content.articles"), ARTICLES)]),
        form,
        action,
        words.text("form.save"),
        ARTICLES.to_owned(),
    );
    page.is_read_only = !staff.may(Permission::ContentWrite);
    page.can_preview = !page.is_read_only;
    page.preview = preview;
    let stored = |field, value: Option<&str>| edit::stored(form, field, value.unwrap_or_default());
    let tags = article.map(|article| article.tags.join(", "));
    page.controls = vec![
        Control::Line(stored(
            form.field("title", "text", words.text("content.title")).required(),
            article.map(|article| article.title.as_str()),
        )),
        Control::Line(stored(
            form.field("slug", "text", words.text("content.slug"))
                .hint(words.text("content.slug.hint")),
            article.map(|article| article.slug.as_str()),
        )),
        Control::Line(stored(
            form.field("category", "text", words.text("content.category"))
                .required(),
            article.map(|article| article.category.as_str()),
        )),
        Control::Text(
            stored(
                form.field("excerpt", "text", words.text("content.excerpt"))
                    .hint(words.text("content.excerpt.hint")),
                article.map(|article| article.excerpt.as_str()),
            ),
            3,
        ),
        Control::Text(
            stored(
                form.field("content", "text", words.text("content.text"))
                    .hint(words.text("content.text.hint"))
                    .required(),
                article.map(|article| article.content.as_str()),
            ),
            16,
        ),
        Control::Line(stored(
            form.field("imageUrl", "url", words.text("content.image"))
                .hint(words.text("content.image.hint")),
            article.map(|article| article.cover_image.as_str()),
        )),
        Control::Line(stored(
            form.field("tags", "text", words.text("content.tags"))
                .hint(words.text("content.tags.hint")),
            tags.as_deref(),
        )),
        Control::Check(
            "published",
            words.text("content.published.label"),
            edit::ticked(form, "published", article.is_some_and(|article| article.published)),
        ),
    ];
    if let Some(article) = article {
        page.hidden = vec![edit::seen(form, "seen", fingerprint(article))];
        if !page.is_read_only {
            page.actions = vec![(
                words.text("content.articles.delete"),
                format!("{ARTICLES}/{}/delete", article.id),
                true,
            )];
        }
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form, is_new: bool) -> Option<ArticleForm> {
    let tags = form
        .value("tags")
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty());
    let wanted = ArticleForm {
        title: Some(form.value("title").to_owned()),
        slug: Some(form.value("slug").to_owned()),
        content: Some(form.raw("content").to_owned()),
        excerpt: Some(form.value("excerpt").to_owned()),
        image: Some(form.value("imageUrl").to_owned()),
        category: Some(form.value("category").to_owned()),
        tags: Some(tags.map(str::to_owned).collect()),
        published: Some(form.value("published") == "yes"),
    };
    match wanted.checked(is_new) {
        Ok(wanted) => Some(wanted),
        Err(errors) => {
            form.wrong_fields(words, &errors);
            None
        }
    }
}

fn preview(wanted: &ArticleForm) -> Preview {
    Preview {
        title: wanted.title.clone().unwrap_or_default(),
        html: wanted.content.clone().unwrap_or_default(),
        text: None,
    }
}

fn refuse(words: Language, form: &mut Form, error: ChangeError) -> Result<(), PageError> {
    match error {
        ChangeError::Store(error) => return Err(error.into()),
        ChangeError::NotFound(_) => return Err(PageError::NotFound),
        ChangeError::SlugTaken(_) => form.wrong("slug", words.text("wrong.slug_taken")),
        error => form.wrong("", format!("{error}.")),
    }
    Ok(())
}

/// `GET /admin/content/articles/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/articles/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    if let Some(wanted) = entered(words, &mut form, true) {
        if form.value("do") == PREVIEW {
            return form_page(&staff, None, &form, Vec::new(), Some(preview(&wanted)));
        }
        match staff.office().create_article(&staff.admin, &wanted).await {
            Ok(made) => return Ok(forms::done(&format!("{ARTICLES}/{}?done=saved", made.id))),
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, None, &form, Vec::new(), None)
}

async fn read(staff: &Staff, article: &str) -> Result<Article, PageError> {
    found(staff.office().article(&staff.admin, id(article)?).await?)
}

/// `GET /admin/content/articles/{id}`
pub(super) async fn page(staff: Staff, Path(article): Path<String>) -> Result<Response, PageError> {
    let article = read(&staff, &article).await?;
    form_page(&staff, Some(&article), &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/articles/{id}`
pub(super) async fn change(Path(article): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, now) = (staff.words(), read(&staff, &article).await?);
    let Some(wanted) = entered(words, &mut form, false) else {
        return form_page(&staff, Some(&now), &form, Vec::new(), None);
    };
    if form.value("do") == PREVIEW {
        return form_page(&staff, Some(&now), &form, Vec::new(), Some(preview(&wanted)));
    }
    if form.value("seen") != fingerprint(&now) {
        return stale(&staff, &mut form, &now, &wanted);
    }
    // Compared again where it is written: another form may be saved in this moment.
    let seen = Some(now.updated_at);
    match staff.office().update_article(&staff.admin, now.id, &wanted, seen).await {
        Ok(_) => return Ok(forms::done(&format!("{ARTICLES}/{}?done=saved", now.id))),
        Err(ChangeError::Outdated(_)) => return stale(&staff, &mut form, &read(&staff, &article).await?, &wanted),
        Err(error) => refuse(words, &mut form, error)?,
    }
    form_page(&staff, Some(&now), &form, Vec::new(), None)
}

/// The form beside what somebody else has saved meanwhile.
fn stale(staff: &Staff, form: &mut Form, now: &Article, wanted: &ArticleForm) -> Result<Response, PageError> {
    let words = staff.words();
    edit::outdated(words, form, "seen");
    let entered = |text: &Option<String>| text.clone().unwrap_or_default();
    let conflicts = edit::conflicts(&[
        (words.text("content.title"), now.title.clone(), entered(&wanted.title)),
        (
            words.text("content.category"),
            now.category.clone(),
            entered(&wanted.category),
        ),
        (
            words.text("content.excerpt"),
            now.excerpt.clone(),
            entered(&wanted.excerpt),
        ),
        (
            words.text("content.text"),
            now.content.clone(),
            entered(&wanted.content),
        ),
        (
            words.text("content.published.label"),
            yes_or_no(staff, now.published),
            yes_or_no(staff, wanted.published.unwrap_or_default()),
        ),
    ]);
    form_page(staff, Some(now), form, conflicts, None)
}

fn delete_form(staff: &Staff, article: &Article, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{ARTICLES}/{}", article.id);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("content.articles.delete").to_owned(),
            &[(words.text("content.articles"), ARTICLES), (&article.title, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("content.articles.delete"),
        back.clone(),
    );
    page.effects = vec![
        (words.text("content.title").to_owned(), article.title.clone()),
        (
            words.text("content.published.label").to_owned(),
            yes_or_no(staff, article.published),
        ),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/content/articles/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(article): Path<String>) -> Result<Response, PageError> {
    let article = read(&staff, &article).await?;
    delete_form(&staff, &article, &Form::default())
}

/// `POST /admin/content/articles/{id}/delete`
pub(super) async fn delete(Path(article): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let article = read(&staff, &article).await?;
    match staff.office().delete_article(&staff.admin, article.id).await {
        Ok(()) => Ok(forms::done(&format!("{ARTICLES}?done=deleted"))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &article, &form)
        }
    }
}
