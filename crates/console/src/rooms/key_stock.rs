//! The shop's own stock of keys: one by hand, many by a file, and taking one back.

use askama::Template;
use axum::extract::{Multipart, Path};
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{KeyError, KeyImportError, KeyInput, NewGameKey};
use lockstep_domain::Money;
use lockstep_domain::admin::GameKeyImport;
use lockstep_domain::ids::{GameId, KeyId};
use lockstep_domain::key_text::KeyText;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::{format, page};

use super::{found, id, keys};
use crate::action::ActionPage;
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::staff::Staff;
use crate::table::{Cell, Row, Table};

/// `GET /admin/keys/new`
pub(crate) async fn add_page(staff: Staff) -> Result<Response, PageError> {
    add_form(&staff, &Form::default())
}

fn add_form(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let crumbs = [(words.text("console.room.keys"), "/admin/keys")];
    let mut page = ActionPage::new(
        Layout::new(staff, words.text("console.keys.add").to_owned(), &crumbs),
        form,
        "/admin/keys/new".to_owned(),
        words.text("console.keys.add.submit"),
        "/admin/keys".to_owned(),
    );
    page.warning = Some(words.text("console.keys.add.warning").to_owned());
    page.fields = vec![
        form.field("game", "text", words.text("console.column.game"))
            .hint(words.text("console.field.game.hint"))
            .required(),
        form.field("key", "text", words.text("console.column.key")).required(),
        form.field("cost", "text", words.text("console.field.cost")),
    ];
    page.answer(form)
}

/// The game that an id or a slug names.
async fn game_of(staff: &Staff, text: &str) -> Result<Option<GameId>, PageError> {
    if let Ok(id) = text.parse() {
        return Ok(Some(GameId(id)));
    }
    // The address of its page works, too.
    let slug = text.rsplit('/').next().unwrap_or(text);
    let is_slug = (1..=200).contains(&slug.len()) && slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_slug {
        return Ok(None);
    }
    let game = staff.state.shop.catalogue().game_by_slug(slug.to_owned()).await?;
    let game = game.map(|game| game.value()).transpose()?;
    Ok(game.map(|game| game.id))
}

/// `POST /admin/keys/new`
pub(crate) async fn add(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let game = game_of(&staff, form.value("game")).await?;
    if game.is_none() {
        form.wrong("game", words.text("wrong.no_such_game"));
    }
    let key = KeyText::new(form.raw("key"));
    if key.is_err() {
        form.wrong("key", words.text("wrong.key_invalid"));
    }
    let cost = match form.value("cost") {
        "" => None,
        text => {
            let cost = money(text).filter(|cost| *cost >= Money::ZERO);
            if cost.is_none() {
                form.wrong("cost", words.text("wrong.amount_invalid"));
            }
            cost
        }
    };
    if let (Some(game), Ok(key), true) = (game, key, form.is_sound()) {
        let new = NewGameKey {
            game,
            key: KeyInput::Text(key),
            cost,
            activated: None,
        };
        match staff.office().create_game_key(&staff.admin, &new).await {
            Ok(made) => return Ok(forms::done(&format!("/admin/keys/{}?done=key_added", made.id))),
            Err(KeyError::Store(error)) => return Err(error.into()),
            Err(KeyError::NoSuchGame) => form.wrong("game", words.text("wrong.no_such_game")),
            Err(KeyError::Exists { .. }) => form.wrong("key", words.text("wrong.key_exists")),
            Err(_) => return Err(PageError::Internal),
        }
    }
    add_form(&staff, &form)
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    layout: Layout,
    /// What an import did: name and figure of each.
    figures: Vec<(&'static str, String)>,
    /// Whether nothing was stored, on request.
    was_dry: bool,
    refused: Option<Table>,
    problem: Option<String>,
}

fn import_answer(staff: &Staff, done: Option<&GameKeyImport>, problem: Option<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let crumbs = [(words.text("console.room.keys"), "/admin/keys")];
    let mut figures = Vec::new();
    let mut refused = None;
    if let Some(done) = done {
        let number = |number| format::number(words, number);
        figures = vec![
            (words.text("console.import.lines"), number(done.lines)),
            (words.text("console.import.imported"), number(done.imported)),
            (words.text("console.import.games"), number(done.games)),
            (words.text("console.import.refused"), number(done.refused)),
        ];
        let rows = done.refused_lines.iter().map(|line| Row {
            href: line.order_id.map(|order| format!("/admin/orders/{order}")),
            cells: vec![
                Cell::Main(format::number(words, line.line)),
                Cell::Text(line.reason.clone()),
            ],
        });
        let rows: Vec<Row> = rows.collect();
        let head = ["console.column.line", "console.column.reason"];
        refused = (!rows.is_empty()).then(|| Table::plain(words, "console.import.refused", &head, rows));
    }
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = ImportPage {
        layout: Layout::new(staff, words.text("console.keys.import").to_owned(), &crumbs),
        figures,
        was_dry: done.is_some_and(|done| done.dry_run),
        refused,
        problem,
    };
    Ok(page::secret(status, page.render()?))
}

/// `GET /admin/keys/import`
pub(crate) async fn import_page(staff: Staff) -> Result<Response, PageError> {
    import_answer(&staff, None, None)
}

/// `POST /admin/keys/import`: a form with `dry` before the `file`, which is stored while it arrives.
pub(crate) async fn import(staff: Staff, mut parts: Multipart) -> Result<Response, PageError> {
    let words = staff.words();
    let mut dry_run = false;
    while let Some(part) = parts.next_field().await.map_err(|_| PageError::BadRequest)? {
        match part.name() {
            Some("dry") => dry_run = part.text().await.map_err(|_| PageError::BadRequest)? == "yes",
            Some("file") => {
                let done = staff.office().import_game_keys(&staff.admin, part, dry_run).await;
                let why = match done {
                    Ok(done) => return import_answer(&staff, Some(&done), None),
                    Err(KeyImportError::Store(error)) => return Err(error.into()),
                    Err(KeyImportError::NotAllowed) => return Err(PageError::NotFound),
                    Err(error @ KeyImportError::File(_)) => error.to_string(),
                    Err(KeyImportError::Empty) => words.text("wrong.import_empty").to_owned(),
                    Err(KeyImportError::TooLarge) => words.text("wrong.import_too_large").to_owned(),
                    Err(KeyImportError::Interrupted) => words.text("wrong.import_interrupted").to_owned(),
                    Err(KeyImportError::Busy) => words.text("wrong.import_busy").to_owned(),
                };
                return import_answer(&staff, None, Some(why));
            }
            _ => {}
        }
    }
    Err(PageError::BadRequest)
}

/// `GET /admin/keys/{id}/delete`
pub(crate) async fn delete_page(staff: Staff, Path(key): Path<String>) -> Result<Response, PageError> {
    delete_form(&staff, &key, &Form::default()).await
}

async fn delete_form(staff: &Staff, key: &str, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let key = found(staff.office().game_key(&staff.admin, KeyId(id(key)?)).await?)?;
    let back = format!("/admin/keys/{}", key.id);
    let mut page = ActionPage::new(
        keys::layout(staff, &key, "console.key.delete.title"),
        form,
        format!("{back}/delete"),
        words.text("console.key.delete.submit"),
        back,
    );
    page.effects = vec![
        (words.text("console.column.key").to_owned(), key.key.clone()),
        (words.text("console.column.game").to_owned(), key.game.title.clone()),
    ];
    page.warning = Some(words.text("console.key.delete.warning").to_owned());
    page.is_danger = true;
    page.answer(form)
}

/// `POST /admin/keys/{id}/delete`
pub(crate) async fn delete(Path(key): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    match staff.office().delete_game_key(&staff.admin, KeyId(id(&key)?)).await {
        Ok(()) => return Ok(forms::done("/admin/keys?done=key_deleted")),
        Err(KeyError::Store(error)) => return Err(error.into()),
        Err(KeyError::NotFound) => return Err(PageError::NotFound),
        Err(KeyError::Shown) => form.wrong("", words.text("wrong.key_shown")),
        Err(_) => form.wrong("", words.text("wrong.key_sold")),
    }
    delete_form(&staff, &key, &form).await
}
