//! Genres, platforms, tags and categories: the list with the number of games of each, a new one, renaming and deleting.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{ChangeError, Taxonomy};
use lockstep_domain::admin::{TaxonomyRow, TermForm};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::{found, id};
use crate::action::ActionPage;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

/// The taxonomies: name in the address, what its entries are called, and one of them.
const ALL: [(&str, &str, &str, Taxonomy); 4] = [
    ("genres", "console.terms.genres", "console.term.genre", Taxonomy::Genres),
    (
        "platforms",
        "console.terms.platforms",
        "console.term.platform",
        Taxonomy::Platforms,
    ),
    ("tags", "console.terms.tags", "console.term.tag", Taxonomy::Tags),
    (
        "categories",
        "console.terms.categories",
        "console.term.category",
        Taxonomy::Categories,
    ),
];

/// A taxonomy by its name in the address.
#[derive(Clone, Copy)]
struct Kind {
    path: &'static str,
    title: &'static str,
    one: &'static str,
    taxonomy: Taxonomy,
}

impl Kind {
    fn of(words: Language, name: &str) -> Result<Self, PageError> {
        let (path, title, one, taxonomy) = found(ALL.into_iter().find(|(known, ..)| *known == name))?;
        Ok(Self {
            path,
            title: words.text(title),
            one: words.text(one),
            taxonomy,
        })
    }

    fn address(self) -> String {
        format!("/admin/catalogue/terms/{}", self.path)
    }

    fn layout(self, staff: &Staff, title: String) -> Layout {
        let room = staff.words().text("console.room.catalogue");
        Layout::new(
            staff,
            title,
            &[(room, "/admin/catalogue"), (self.title, &self.address())],
        )
    }
}

/// `GET /admin/catalogue/terms/{taxonomy}`
pub(crate) async fn list(staff: Staff, Path(name): Path<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let kind = Kind::of(words, &name)?;
    let all = staff.office().taxonomy(&staff.admin, kind.taxonomy).await?;
    let search = staff.parameter("search").unwrap_or_default().to_lowercase();
    let shown: Vec<TaxonomyRow> = all
        .into_iter()
        .filter(|term| search.is_empty() || term.name.to_lowercase().contains(&search) || term.slug == search)
        .collect();
    let count = u64::try_from(shown.len()).unwrap_or(0);
    let paging = staff.page().of(count);
    let rows = usize::try_from(paging.page_size).unwrap_or(usize::MAX);
    let skipped = usize::try_from(paging.page.saturating_sub(1)).map_or(usize::MAX, |page| page.saturating_mul(rows));
    let may_write = staff.may(Permission::CatalogueWrite);
    let parameter = match kind.path {
        "genres" => Some("genre"),
        "platforms" => Some("platform"),
        _ => None,
    };
    let rows = shown.into_iter().skip(skipped).take(rows).map(|term| {
        let games = format::number(words, term.games_count);
        let games = match (parameter, kind.path) {
            (Some(parameter), _) => Cell::Link(games, format!("/admin/catalogue?{parameter}={}", term.id)),
            (None, "tags") => Cell::Link(games, format!("/admin/catalogue?tag={}", term.slug)),
            _ => Cell::Number(games),
        };
        Row {
            href: may_write.then(|| format!("{}/{}", kind.address(), term.id)),
            cells: vec![
                Cell::Main(term.name),
                Cell::Code(term.slug),
                games,
                if may_write {
                    let merge = format!("{}/{}/merge", kind.address(), term.id);
                    Cell::Action(merge, words.text("console.terms.merge"))
                } else {
                    Cell::Nothing
                },
            ],
        }
    });
    let head = [
        "console.column.name",
        "console.game.slug",
        "console.bulk.games",
        "console.column.action",
    ];
    let table = Table::plain(words, "console.terms.title", &head, rows.collect())
        .filtered(
            &staff,
            vec![Filter::text(&staff, "search", words.text("console.column.name"))],
        )
        .paged(&staff, paging)
        .or_else(words, "console.terms.none", "console.terms.none.advice");
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("console.terms.new"), format!("{}/new", kind.address())));
    }
    actions.extend(
        ALL.into_iter()
            .filter(|(path, ..)| *path != kind.path)
            .map(|(path, title, ..)| (words.text(title), format!("/admin/catalogue/terms/{path}"))),
    );
    ListPage {
        layout: Layout::new(
            &staff,
            kind.title.to_owned(),
            &[(words.text("console.room.catalogue"), "/admin/catalogue")],
        ),
        lead: None,
        actions,
        table,
    }
    .answer(&staff)
    .await
}

async fn read(staff: &Staff, kind: Kind, term: &str) -> Result<TaxonomyRow, PageError> {
    let term = id(term)?;
    let all = staff.office().taxonomy(&staff.admin, kind.taxonomy).await?;
    found(all.into_iter().find(|row| row.id == term))
}

fn form_page(staff: &Staff, kind: Kind, term: Option<&TaxonomyRow>, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let title = term.map_or_else(
        || format!("{} · {}", words.text("console.terms.new"), kind.one),
        |term| term.name.clone(),
    );
    let own = term.map_or_else(
        || format!("{}/new", kind.address()),
        |term| format!("{}/{}", kind.address(), term.id),
    );
    let submit = if term.is_some() {
        "form.save"
    } else {
        "console.terms.create"
    };
    let mut page = ActionPage::new(kind.layout(staff, title), form, own, words.text(submit), kind.address());
    let has_input = form.pairs().next().is_some();
    let shown = |value: Option<&str>| value.filter(|_| !has_input).unwrap_or_default().to_owned();
    page.fields = vec![
        form.field("name", "text", words.text("console.column.name"))
            .filled(&shown(term.map(|term| term.name.as_str())))
            .required(),
        form.field("slug", "text", words.text("console.game.slug"))
            .hint(words.text("console.terms.slug.hint"))
            .filled(&shown(term.map(|term| term.slug.as_str()))),
        form.field("description", "text", words.text("console.game.description"))
            .filled(&shown(term.and_then(|term| term.description.as_deref()))),
    ];
    if let Some(term) = term {
        page.hidden = vec![
            ("was_name", mark(&term.name)),
            ("was_slug", mark(&term.slug)),
            ("was_description", mark(term.description.as_deref().unwrap_or_default())),
        ];
        page.effects = vec![(
            words.text("console.terms.games").to_owned(),
            format::number(words, term.games_count),
        )];
        page.warning = Some(words.text("console.terms.warning").to_owned());
    }
    page.answer(form)
}

/// A short text that differs with the value.
fn mark(value: &str) -> String {
    format!("{:016x}", page::fingerprint(&[&value.trim()]))
}

/// What was entered; of a stored one, what its author has not touched is as others have set it meanwhile. What both have
/// changed is an error at the field.
fn entered(words: Language, form: &mut Form, stored: Option<&TaxonomyRow>) -> Option<TermForm> {
    let mut field = |name: &'static str, was: &str, stored: Option<&str>| {
        let (mine, seen) = (form.value(name).to_owned(), form.value(was).to_owned());
        let Some(stored) = stored.filter(|stored| !seen.is_empty() && mark(stored) != seen) else {
            return mine;
        };
        if mark(&mine) == seen {
            return stored.to_owned();
        }
        if mine != stored.trim() {
            form.wrong(name, words.with("wrong.changed_meanwhile", stored));
        }
        mine
    };
    let name = field("name", "was_name", stored.map(|term| term.name.as_str()));
    let slug = field("slug", "was_slug", stored.map(|term| term.slug.as_str()));
    let description = stored.map(|term| term.description.as_deref().unwrap_or_default());
    let description = field("description", "was_description", description);
    if !form.is_sound() {
        return None;
    }
    let made = TermForm::new(&name, Some(&slug), Some(&description));
    made.map_err(|errors| form.wrong_fields(words, &errors)).ok()
}

fn refuse(words: Language, form: &mut Form, error: ChangeError) -> Result<(), PageError> {
    let (field, key) = match error {
        ChangeError::Store(error) => return Err(error.into()),
        ChangeError::NotFound(_) => return Err(PageError::NotFound),
        ChangeError::SlugTaken(_) => ("slug", "wrong.slug_taken"),
        ChangeError::NameTaken(_) => ("name", "wrong.name_taken"),
        ChangeError::InUse(_) => ("", "wrong.term_in_use"),
        ChangeError::Invalid(_) | ChangeError::Outdated(_) | ChangeError::NotSeen(_) => {
            return Err(PageError::Internal);
        }
    };
    form.wrong(field, words.text(key));
    Ok(())
}

/// `GET /admin/catalogue/terms/{taxonomy}/new`
pub(crate) async fn new_page(staff: Staff, Path(name): Path<String>) -> Result<Response, PageError> {
    let kind = Kind::of(staff.words(), &name)?;
    form_page(&staff, kind, None, &Form::default())
}

/// `POST /admin/catalogue/terms/{taxonomy}/new`
pub(crate) async fn create(Path(name): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let kind = Kind::of(words, &name)?;
    if let Some(entered) = entered(words, &mut form, None) {
        match staff.office().create_term(&staff.admin, kind.taxonomy, &entered).await {
            Ok(_) => return Ok(forms::done(&format!("{}?done=saved", kind.address()))),
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, kind, None, &form)
}

/// `GET /admin/catalogue/terms/{taxonomy}/{id}`
pub(crate) async fn page(staff: Staff, Path((name, term)): Path<(String, String)>) -> Result<Response, PageError> {
    let kind = Kind::of(staff.words(), &name)?;
    let term = read(&staff, kind, &term).await?;
    form_page(&staff, kind, Some(&term), &Form::default())
}

/// `POST /admin/catalogue/terms/{taxonomy}/{id}`
pub(crate) async fn change(Path((name, term)): Path<(String, String)>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let kind = Kind::of(words, &name)?;
    let term = read(&staff, kind, &term).await?;
    if let Some(entered) = entered(words, &mut form, Some(&term)) {
        let saved = staff
            .office()
            .update_term(&staff.admin, kind.taxonomy, term.id, &entered)
            .await;
        match saved {
            Ok(_) => return Ok(forms::done(&format!("{}?done=saved", kind.address()))),
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, kind, Some(&term), &form)
}

/// `GET /admin/catalogue/terms/{taxonomy}/{id}/delete`
pub(crate) async fn delete_page(
    staff: Staff,
    Path((name, term)): Path<(String, String)>,
) -> Result<Response, PageError> {
    delete_form(&staff, &name, &term, &Form::default()).await
}

async fn delete_form(staff: &Staff, name: &str, term: &str, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let kind = Kind::of(words, name)?;
    let term = read(staff, kind, term).await?;
    let own = format!("{}/{}", kind.address(), term.id);
    let mut page = ActionPage::new(
        kind.layout(staff, words.text("console.terms.delete").to_owned()),
        form,
        format!("{own}/delete"),
        words.text("console.terms.delete"),
        own,
    );
    page.effects = vec![
        (kind.one.to_owned(), term.name.clone()),
        (
            words.text("console.terms.games").to_owned(),
            format::number(words, term.games_count),
        ),
    ];
    page.warning = Some(words.text("console.terms.delete.warning").to_owned());
    page.is_danger = true;
    let status = if form.is_sound() {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    Ok(page::secret(status, askama::Template::render(&page)?))
}

/// `GET /admin/catalogue/terms/{taxonomy}/{id}/merge`
pub(crate) async fn merge_page(
    staff: Staff,
    Path((name, term)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let kind = Kind::of(staff.words(), &name)?;
    let term = read(&staff, kind, &term).await?;
    merge_form(&staff, kind, &term, None, &Form::default())
}

/// The form; with the other entry once it is named, and what then becomes of the games.
fn merge_form(
    staff: &Staff,
    kind: Kind,
    term: &TaxonomyRow,
    other: Option<&TaxonomyRow>,
    form: &Form,
) -> Result<Response, PageError> {
    let words = staff.words();
    let own = format!("{}/{}", kind.address(), term.id);
    let submit = match other {
        Some(_) => words.count("console.terms.merge.submit", term.games_count),
        None => words.text("console.bulk.look").to_owned(),
    };
    let mut page = ActionPage::new(
        kind.layout(staff, words.text("console.terms.merge").to_owned()),
        form,
        format!("{own}/merge"),
        submit,
        own.clone(),
    );
    page.effects = vec![
        (kind.one.to_owned(), term.name.clone()),
        (
            words.text("console.terms.games").to_owned(),
            format::number(words, term.games_count),
        ),
    ];
    match other {
        Some(other) => {
            page.effects
                .push((words.text("console.terms.into").to_owned(), other.name.clone()));
            page.effects.push((
                words.text("console.terms.games_of_other").to_owned(),
                format::number(words, other.games_count),
            ));
            page.hidden = vec![("into", other.name.clone()), ("seen", other.id.to_string())];
            page.is_danger = true;
        }
        None => {
            page.fields = vec![
                form.field("into", "text", words.text("console.terms.into"))
                    .hint(words.text("console.terms.into.hint"))
                    .required(),
            ];
        }
    }
    page.warning = Some(words.text("console.terms.merge.warning").to_owned());
    page.answer(form)
}

/// `POST /admin/catalogue/terms/{taxonomy}/{id}/merge`: names the other entry, then confirms it.
pub(crate) async fn merge(Path((name, term)): Path<(String, String)>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let kind = Kind::of(words, &name)?;
    let term = read(&staff, kind, &term).await?;
    let wanted = form.value("into").to_lowercase();
    let all = staff.office().taxonomy(&staff.admin, kind.taxonomy).await?;
    let other = all
        .into_iter()
        .find(|row| row.id != term.id && (row.name.to_lowercase() == wanted || row.slug == wanted));
    let Some(other) = other else {
        form.wrong("into", words.text("wrong.no_such_entry"));
        return merge_form(&staff, kind, &term, None, &form);
    };
    if form.value("seen") != other.id.to_string() {
        return merge_form(&staff, kind, &term, Some(&other), &form);
    }
    let merged = staff
        .office()
        .merge_term(&staff.admin, kind.taxonomy, term.id, other.id)
        .await;
    match merged {
        Ok(games) => Ok(forms::done(&format!(
            "{}?done=term_merged&amount={games}",
            kind.address()
        ))),
        Err(error) => {
            refuse(words, &mut form, error)?;
            merge_form(&staff, kind, &term, Some(&other), &form)
        }
    }
}

/// `POST /admin/catalogue/terms/{taxonomy}/{id}/delete`
pub(crate) async fn delete(Path((name, term)): Path<(String, String)>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let kind = Kind::of(words, &name)?;
    match staff
        .office()
        .delete_term(&staff.admin, kind.taxonomy, id(&term)?)
        .await
    {
        Ok(()) => return Ok(forms::done(&format!("{}?done=term_deleted", kind.address()))),
        Err(error) => refuse(words, &mut form, error)?,
    }
    delete_form(&staff, &name, &term, &form).await
}
