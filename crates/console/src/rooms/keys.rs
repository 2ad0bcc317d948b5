//! Keys: the list, masked; one key; revealing it with a reason, and replacing one that does not work.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{KeyError, KeyFilter, ReplaceError, ReplacementWay, RevealError};
use lockstep_auth::AuthError;
use lockstep_domain::admin::{Found, GameKeyRow};
use lockstep_domain::ids::{GameId, KeyId, OrderId};
use lockstep_domain::secret::Secret;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::{found, id};
use crate::action::{self, ActionPage};
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

/// The address of imports, whose bodies may be larger and take longer than others.
pub(crate) const IMPORT: &str = "/admin/keys/import";

/// `GET /admin/keys`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let state = staff.parameter("state");
    let parsed = |name| staff.parameter(name).and_then(|text| text.parse().ok());
    let filter = KeyFilter {
        game: parsed("game").map(GameId),
        order: parsed("order").map(OrderId),
        activated: match state.as_deref() {
            Some("used") => Some(true),
            Some("unused") => Some(false),
            _ => None,
        },
        search: staff
            .parameter("search")
            .filter(|text| text.chars().count() <= 100)
            .map(Secret::new),
    };
    let keys = staff.office().game_keys(&staff.admin, &filter, staff.page()).await?;
    let rows = keys.keys.into_iter().map(|key| row(words, key)).collect();
    let mut filters = vec![
        Filter::text(&staff, "search", words.text("console.keys.search")),
        Filter::choice(
            &staff,
            "state",
            words.text("console.column.state"),
            ["used", "unused"]
                .map(|state| (state.to_owned(), crate::show::name(words, "key_state", state)))
                .into(),
        ),
    ];
    // Other pages lead here with these.
    for (name, label) in [("game", "console.column.game"), ("order", "console.found.order")] {
        let filter = Filter::text(&staff, name, words.text(label));
        if !filter.value.is_empty() {
            filters.push(filter);
        }
    }
    let head = [
        "console.column.key",
        "console.column.game",
        "console.column.state",
        "#console.column.cost",
        "console.column.customer",
        "console.column.stored",
    ];
    let table = Table::plain(words, "console.room.keys", &head, rows)
        .filtered(&staff, filters)
        .paged(&staff, keys.paging)
        .reads(&["game", "order"])
        .or_else(words, "console.keys.none", "console.keys.none.advice");
    let mut actions = Vec::new();
    if staff.may(Permission::KeysWrite) {
        actions.push((words.text("console.keys.import"), IMPORT.to_owned()));
        actions.push((words.text("console.keys.add"), "/admin/keys/new".to_owned()));
    }
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.keys").to_owned(), &[]),
        lead: Some(words.text("console.keys.lead").to_owned()),
        actions,
        table,
    }
    .answer(&staff)
    .await
}

fn state(words: Language, key: &GameKeyRow) -> Cell {
    let (kind, name) = match key {
        key if key.faulty_at.is_some() => ("bad", "console.key.faulty"),
        key if key.order_id.is_some() => ("good", "console.key.delivered"),
        key if key.activated => ("", "console.key.used"),
        _ => ("warn", "console.key.stock"),
    };
    Cell::Tag(kind, words.text(name).to_owned())
}

fn row(words: Language, key: GameKeyRow) -> Row {
    let state = state(words, &key);
    let owner = key.order.and_then(|order| order.user);
    Row {
        href: Some(format!("/admin/keys/{}", key.id)),
        cells: vec![
            Cell::Main(key.key),
            Cell::Text(key.game.title),
            state,
            key.cost.map_or(Cell::Nothing, |cost| Cell::money(words, cost)),
            owner.map_or(Cell::Nothing, |owner| Cell::Text(owner.email)),
            Cell::time(words, key.created_at),
        ],
    }
}

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    layout: Layout,
    /// Name, value, and the address that it leads to.
    facts: Vec<(&'static str, String, Option<String>)>,
    state: (&'static str, String),
    /// The key in clear text, on the page that reveals it.
    clear: Option<String>,
    /// What can be done: label, address, whether it is dangerous.
    actions: Vec<(&'static str, String, bool)>,
}

async fn read(staff: &Staff, key: &str) -> Result<GameKeyRow, PageError> {
    found(staff.office().game_key(&staff.admin, KeyId(id(key)?)).await?)
}

/// `GET /admin/keys/{id}`
pub(crate) async fn page(staff: Staff, Path(key): Path<String>) -> Result<Response, PageError> {
    let key = read(&staff, &key).await?;
    staff.saw(Found::Key(key.id)).await;
    show(&staff, &key, None)
}

fn show(staff: &Staff, key: &GameKeyRow, clear: Option<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let Cell::Tag(kind, name) = state(words, key) else {
        return Err(PageError::Internal);
    };
    let mut facts = vec![
        (
            words.text("console.column.game"),
            key.game.title.clone(),
            Some(format!("/game/{}", key.game.slug)),
        ),
        (
            words.text("console.column.stored"),
            format::moment(words, key.created_at),
            None,
        ),
    ];
    if let Some(order) = &key.order {
        let who = order
            .user
            .as_ref()
            .map_or_else(|| order.id.to_string(), |user| user.email.clone());
        let may_read = staff.may(Permission::OrdersRead);
        let address = may_read.then(|| format!("/admin/orders/{}", order.id));
        facts.push((words.text("console.found.order"), who, address));
    }
    if let Some(cost) = key.cost {
        facts.push((words.text("console.column.cost"), format::price(words, cost), None));
    }
    if let Some(at) = key.activation_date {
        facts.push((words.text("console.key.used_since"), format::moment(words, at), None));
    }
    if let Some(at) = key.faulty_at {
        facts.push((words.text("console.key.faulty_since"), format::moment(words, at), None));
    }
    facts.push((words.text("console.column.id"), key.id.to_string(), None));
    let own = format!("/admin/keys/{}", key.id);
    let mut actions = Vec::new();
    if staff.may(Permission::KeysWrite) && clear.is_none() {
        actions.push((words.text("console.reveal.title"), format!("{own}/reveal"), false));
    }
    let is_delivered = key.order_id.is_some() && key.faulty_at.is_none();
    if is_delivered && staff.may(Permission::OrdersWrite) {
        actions.push((words.text("console.replace.title"), format!("{own}/replace"), false));
    }
    if key.order_id.is_none() && !key.activated && staff.may(Permission::KeysWrite) {
        actions.push((words.text("console.key.delete.title"), format!("{own}/delete"), true));
    }
    let page = KeyPage {
        layout: Layout::new(
            staff,
            key.key.clone(),
            &[(words.text("console.room.keys"), "/admin/keys")],
        ),
        facts,
        state: (kind, name),
        clear,
        actions,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

/// The layout of a page that changes a key.
pub(super) fn layout(staff: &Staff, key: &GameKeyRow, title: &str) -> Layout {
    let words = staff.words();
    let address = format!("/admin/keys/{}", key.id);
    Layout::new(
        staff,
        words.text(title).to_owned(),
        &[(words.text("console.room.keys"), "/admin/keys"), (&key.key, &address)],
    )
}

/// A form that needs a reason.
fn with_reason(staff: &Staff, key: &GameKeyRow, form: &Form, what: &str) -> ActionPage {
    let words = staff.words();
    let back = format!("/admin/keys/{}", key.id);
    let (title, submit, warning, hint) = match what {
        "reveal" => (
            "console.reveal.title",
            "console.reveal.submit",
            "console.reveal.warning",
            "console.field.reason.audit",
        ),
        _ => (
            "console.replace.title",
            "console.replace.submit",
            "console.replace.warning",
            "console.field.reason.audit",
        ),
    };
    let mut page = ActionPage::new(
        layout(staff, key, title),
        form,
        format!("{back}/{what}"),
        words.text(submit),
        back,
    );
    page.effects = vec![
        (words.text("console.column.key").to_owned(), key.key.clone()),
        (words.text("console.column.game").to_owned(), key.game.title.clone()),
    ];
    if let Some(owner) = key.order.as_ref().and_then(|order| order.user.as_ref()) {
        page.effects
            .push((words.text("console.column.customer").to_owned(), owner.email.clone()));
    }
    page.warning = Some(words.text(warning).to_owned());
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text(hint))
            .required(),
    ];
    page
}

/// `GET /admin/keys/{id}/reveal`
pub(crate) async fn reveal_page(staff: Staff, Path(key): Path<String>) -> Result<Response, PageError> {
    let (key, form) = (read(&staff, &key).await?, Form::default());
    with_reason(&staff, &key, &form, "reveal").answer(&form)
}

/// `POST /admin/keys/{id}/reveal`: the answer is the key, once; nothing stores the page.
pub(crate) async fn reveal(Path(key): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, key) = (staff.words(), read(&staff, &key).await?);
    if let Some(reason) = action::reason(words, &mut form, true) {
        match staff
            .office()
            .reveal_game_key(&staff.admin, KeyId(key.id), &reason)
            .await
        {
            Ok(revealed) => return show(&staff, &key, Some(revealed.key.expose().to_owned())),
            Err(RevealError::Limit(AuthError::RateLimited { retry_after })) => {
                let minutes = retry_after.as_secs().div_ceil(60).max(1);
                form.wrong("", words.count("error.429.advice", minutes));
            }
            Err(RevealError::Limit(error)) => return Err(error.into()),
            Err(RevealError::Key(KeyError::Store(error))) => return Err(error.into()),
            Err(RevealError::Key(_)) => return Err(PageError::NotFound),
            Err(RevealError::Unreadable) => form.wrong("", words.text("wrong.key_unreadable")),
        }
    }
    with_reason(&staff, &key, &form, "reveal").answer(&form)
}

/// The form that replaces a key: says whether another one is bought, and what that may cost.
async fn replace_form(staff: &Staff, key: &GameKeyRow, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = with_reason(staff, key, form, "replace");
    match staff.office().replacement_way(&staff.admin, KeyId(key.id)).await? {
        ReplacementWay::Own => {}
        ReplacementWay::Bought { max_cost, left } => {
            for (name, amount) in [("console.replace.max_cost", max_cost), ("console.replace.left", left)] {
                page.effects
                    .push((words.text(name).to_owned(), format::price(words, amount)));
            }
            let warning = if max_cost > left {
                "wrong.budget_spent"
            } else {
                "console.replace.buys"
            };
            page.warning = Some(words.text(warning).to_owned());
        }
        ReplacementWay::None => page.warning = Some(words.text("wrong.no_stock").to_owned()),
    }
    page.answer(form)
}

/// `GET /admin/keys/{id}/replace`
pub(crate) async fn replace_page(staff: Staff, Path(key): Path<String>) -> Result<Response, PageError> {
    let key = read(&staff, &key).await?;
    replace_form(&staff, &key, &Form::default()).await
}

/// `POST /admin/keys/{id}/replace`
pub(crate) async fn replace(Path(key): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, key) = (staff.words(), read(&staff, &key).await?);
    if let Some(reason) = action::reason(words, &mut form, true) {
        let replaced = staff
            .office()
            .replace_game_key(&staff.admin, KeyId(key.id), &reason)
            .await;
        let why = match replaced {
            Ok(replaced) => {
                let done = if replaced.buying { "replacing" } else { "replaced" };
                let shown = replaced.replacement.unwrap_or(replaced.replaced);
                let address = match shown.order_id {
                    Some(order) if staff.may(Permission::OrdersRead) => format!("/admin/orders/{order}"),
                    _ => format!("/admin/keys/{}", shown.id),
                };
                return Ok(forms::done(&format!("{address}?done={done}")));
            }
            Err(ReplaceError::Store(error)) => return Err(error.into()),
            Err(ReplaceError::NotFound) => return Err(PageError::NotFound),
            Err(ReplaceError::Own) => "wrong.own_purchase",
            Err(ReplaceError::NotAllowed(_)) => "wrong.has_more_permissions",
            Err(ReplaceError::AccountDeleted) => "wrong.account_deleted",
            Err(ReplaceError::NotDelivered) => "wrong.key_not_delivered",
            Err(ReplaceError::Replaced) => "wrong.key_replaced",
            Err(ReplaceError::Refunded) => "wrong.key_refunded",
            Err(ReplaceError::Buying) => "wrong.key_being_replaced",
            Err(ReplaceError::NoStock) => "wrong.no_stock",
            Err(ReplaceError::BoughtOften) => "wrong.bought_often",
            Err(ReplaceError::BudgetSpent) => "wrong.budget_spent",
        };
        form.wrong("", words.text(why));
    }
    replace_form(&staff, &key, &form).await
}
