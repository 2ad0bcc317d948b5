//! Game keys: lists, the shop's own stock, imports, and what staff do when a key does not work.

use axum::body::Body as HttpBody;
use axum::extract::Path;
use chrono::{DateTime, NaiveTime, Utc};
use http::StatusCode;
use lockstep_admin::{
    GameKeyChange, KeyChangeError, KeyError, KeyFilter, KeyImportError, KeyInput, NewGameKey, ReplaceError, RevealError,
};
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{
    GameKeyImport, GameKeyList, GameKeyReplacement, GameKeyRow, GameKeyStatistics, RevealedKey,
};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::{GameId, KeyId, OrderId};
use lockstep_domain::key_text::{KeyFault, KeyText};
use lockstep_domain::staff::Permission;
use lockstep_domain::{Money, Secret};
use utoipa::OpenApi;

use super::money::checked_reason;
use super::promo_codes::moment;
use super::routes::{Confirmed, StaffRoute, Streamed, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, Given, request_body, uuid, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

/// The path of imports, whose bodies may be larger and take longer than others.
pub(crate) const IMPORT: &str = "/api/admin/game-keys/import";

#[derive(OpenApi)]
#[openapi(paths(list, statistics, one, create, change, delete, import, reveal, replace))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/game-keys")
            .get(Permission::KeysRead, list)
            .post(Permission::KeysWrite, create),
        at("/api/admin/game-keys/statistics").get(Permission::KeysRead, statistics),
        at(IMPORT).post(Streamed(Permission::KeysWrite), import),
        at("/api/admin/game-keys/{id}")
            .get(Permission::KeysRead, one)
            .put(Permission::KeysWrite, change)
            .delete(Permission::KeysWrite, delete),
        at("/api/admin/game-keys/{id}/reveal").post(Confirmed(Permission::KeysWrite), reveal),
        // Of an order of somebody: who may cancel it may also make it good. The new key stays hidden.
        at("/api/admin/game-keys/{id}/replace").post(Confirmed(Permission::OrdersWrite), replace),
    ]
}

/// Returns the keys, newest first, masked.
///
/// A key of at least 15 letters and digits shows its last four characters, every other one nothing. A whole key in
/// `search` is found by its keyed hash; no stored key is opened for it.
#[utoipa::path(get, path = "/api/admin/game-keys", tag = "admin", operation_id = "adminGameKeys", security(("bearer" = [])),
    params(("gameId" = Option<String>, Query, max_length = 100, description = "Keys of this game: an ID; empty, all of them"),
    ("orderId" = Option<String>, Query, max_length = 100, description = "Keys of this order, also replaced ones; a text that is no ID: none"),
    ("activated" = Option<bool>, Query, description = "Keys that count as used, or the others"),
    ("search" = Option<String>, Query, max_length = 100, description = "A whole key, the ID of a key or an order, an order's number, the buyer's e-mail address, or a part of a game's title"),
    Paged<50>),
    responses((status = 200, description = "A page of keys", body = Answer<GameKeyList>), (status = 400, description = "A parameter is invalid"),
    (status = 403, description = "Not signed in as staff with the permission keys.read")))]
pub(crate) async fn list(staff: RequireStaff, Paged(page): Paged<50>, ask: Ask) -> Answered {
    let filter = KeyFilter {
        game: ask.parsed::<GameId>("gameId")?,
        order: ask.order("orderId")?,
        activated: ask.flag("activated")?,
        search: ask.text("search")?.map(Secret::new),
    };
    answer::data(
        StatusCode::OK,
        &staff.office.game_keys(&staff.admin, &filter, page).await?,
    )
}

/// Returns figures about all keys.
#[utoipa::path(get, path = "/api/admin/game-keys/statistics", tag = "admin", operation_id = "adminGameKeyStatistics", security(("bearer" = [])),
    responses((status = 200, description = "The figures", body = Answer<GameKeyStatistics>),
    (status = 403, description = "Not signed in as staff with the permission keys.read")))]
pub(crate) async fn statistics(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.game_key_statistics(&staff.admin).await?)
}

/// Returns a key, masked.
#[utoipa::path(get, path = "/api/admin/game-keys/{id}", tag = "admin", operation_id = "adminGameKey", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the key")),
    responses((status = 200, description = "The key", body = Answer<GameKeyRow>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission keys.read"),
    (status = 404, description = "There is no such key")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let key = staff.office.game_key(&staff.admin, key_id(&id)?).await?;
    answer::data(StatusCode::OK, &found(key, "Key")?)
}

request_body! {
    /// A key for the shop's own stock.
    struct NewKey {
        /// ID of its game.
        game_id: GameId = "gameId",
        /// The key: 4 characters to 2,000 bytes, at most 20 lines. A file in base64, at most 64 KiB, with `isFile`.
        #[schema(min_length = 4, max_length = 90_000)]
        key: String = "key",
        /// Whether the key is a file.
        is_file: Option<bool> = "isFile",
        /// What it cost, EUR.
        #[schema(value_type = Option<f64>, minimum = 0)]
        cost: Option<Money> = "cost",
        /// Only a delivery gives a key to an order, so this must be left out or `null`.
        order_id: Option<String> = "orderId",
        /// `true` stores a used key, which nothing sells.
        activated: Option<bool> = "activated",
        /// Since when it counts as used; not in the future.
        activation_date: Option<String> = "activationDate",
    }
}

request_body! {
    /// What to change about a key; what is left out stays.
    struct KeyForm {
        /// ID of its game.
        game_id: Option<String> = "gameId",
        /// The key. As it was shown, masked, it changes nothing.
        #[schema(min_length = 4, max_length = 90_000)]
        key: Option<String> = "key",
        /// Whether the key is a file.
        is_file: Option<bool> = "isFile",
        /// What it cost, EUR; `null` if that is not known.
        #[schema(value_type = Option<f64>, minimum = 0)]
        cost: Given<Money> = "cost" => given_money(),
        /// The order that has it, which does not change here.
        #[schema(value_type = Option<String>)]
        order_id: Given<String> = "orderId" => given_text(),
        /// Whether it counts as used; nothing sells it then.
        activated: Option<bool> = "activated",
        /// Since when it counts as used; not in the future.
        activation_date: Option<String> = "activationDate",
    }
}

/// Adds a key to the shop's own stock.
///
/// Own stock is sold before anything is bought at G2A.
#[utoipa::path(post, path = "/api/admin/game-keys", tag = "admin", operation_id = "createGameKey", security(("bearer" = [])), request_body = NewKey,
    responses((status = 201, description = "The key, masked", body = Answer<GameKeyRow>),
    (status = 400, description = "Invalid field; or the key exists already (`key_exists`), with the order that has it"),
    (status = 403, description = "Not signed in as staff with the permission keys.write"),
    (status = 404, description = "There is no such game"), (status = 409, description = "`key_fixed`: it names an order")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let (new, form) = body.read::<NewKey>();
    let key = key_input(&new.key, new.is_file.unwrap_or(false));
    let date = activation_date(new.activation_date.as_deref(), staff.now);
    let cost = not_negative(new.cost);
    let checked = match (key, date, cost) {
        (Ok(key), Ok(date), Ok(())) => Ok((key, date)),
        (key, date, cost) => Err([key.err(), date.err(), cost.err()].into_iter().flatten().collect()),
    };
    let (key, date) = form.finish(checked)?;
    if new.order_id.is_some_and(|order| !order.trim().is_empty()) {
        return Err(KeyError::Fixed(
            "Only a delivery gives a key to an order: own stock is sold before anything is bought.",
        )
        .into());
    }
    let new = NewGameKey {
        game: new.game_id,
        key,
        cost: new.cost,
        activated: new.activated.unwrap_or(false).then_some(date),
    };
    let made = staff.office.create_game_key(&staff.admin, &new).await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Changes a key.
///
/// A delivered key keeps its game, its text and its order: replace it if it does not work.
#[utoipa::path(put, path = "/api/admin/game-keys/{id}", tag = "admin", operation_id = "changeGameKey", security(("bearer" = [])), request_body = KeyForm,
    params(("id" = Uuid, Path, description = "ID of the key")),
    responses((status = 200, description = "The key, masked", body = Answer<GameKeyRow>),
    (status = 400, description = "Invalid field; or another key is the same (`key_exists`), with the order that has it"),
    (status = 403, description = "Not signed in as staff with the permission keys.write"),
    (status = 404, description = "There is no such key or game"),
    (status = 409, description = "`key_fixed`: it would no longer say what happened")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = key_id(&id)?;
    let (asked, form) = body.read::<KeyForm>();
    let date = activation_date(asked.activation_date.as_deref(), staff.now);
    let cost = not_negative(asked.cost.flatten());
    let game = asked.game_id.as_deref().map(|game| id_in("gameId", game)).transpose();
    let order = asked.order_id.as_ref().map(Option::as_deref);
    let order = order
        .map(|order| order.map(|order| id_in("orderId", order)).transpose())
        .transpose();
    let checked = match (date, cost, game, order) {
        (Ok(date), Ok(()), Ok(game), Ok(order)) => Ok((date, game, order)),
        (date, cost, game, order) => {
            let faults = [date.err(), cost.err(), game.err(), order.err()];
            Err(faults.into_iter().flatten().collect())
        }
    };
    let (date, game, order) = form.finish(checked)?;
    let change = GameKeyChange {
        game: game.map(GameId),
        key: asked.key.map(Secret::new),
        is_file: asked.is_file,
        order: order.map(|order| order.map(OrderId)),
        cost: asked.cost,
        activated: asked.activated,
        activation_date: date,
    };
    let changed = staff.office.change_game_key(&staff.admin, id, &change).await?;
    answer::data(StatusCode::OK, &changed)
}

/// Deletes a key of own stock that nobody has seen.
#[utoipa::path(delete, path = "/api/admin/game-keys/{id}", tag = "admin", operation_id = "deleteGameKey", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the key")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID, or the key was sold (`key_sold`)"),
    (status = 403, description = "Not signed in as staff with the permission keys.write"),
    (status = 404, description = "There is no such key"), (status = 409, description = "It was shown to staff (`key_shown`)")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff.office.delete_game_key(&staff.admin, key_id(&id)?).await?;
    answer::message(StatusCode::OK, "The key is deleted")
}

/// A CSV file of keys, in UTF-8.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only describes the body, which is read while it arrives")]
struct KeyFile(Vec<u8>);

/// Imports keys into the shop's own stock from a CSV file.
///
/// Columns: game (ID or slug), key, and optionally cost in EUR, separated by commas, semicolons or tabs. A heading may
/// name them (`game`, `key`, `cost`). The file is read as it arrives, at most 64 MB and 500,000 lines of 8 KiB; a pause of
/// 30 s or ten minutes in all end it. All lines that are not refused are stored together, or none: after an error or a
/// broken upload nothing is stored.
#[utoipa::path(post, path = "/api/admin/game-keys/import", tag = "admin", operation_id = "importGameKeys", security(("bearer" = [])),
    request_body(content = KeyFile, content_type = "text/csv", description = "The file, in UTF-8"),
    params(("dryRun" = Option<bool>, Query, description = "`true` only says what would happen")),
    responses((status = 200, description = "What was stored and which lines were refused", body = Answer<GameKeyImport>),
    (status = 400, description = "The file cannot be read (`invalid_csv`, `no_keys`) or the upload was interrupted"),
    (status = 403, description = "Not signed in as staff with the permission keys.write"),
    (status = 413, description = "Too many lines or bytes"),
    (status = 503, description = "Other imports are running")))]
pub(crate) async fn import(staff: RequireStaff, ask: Ask, body: HttpBody) -> Answered {
    let dry_run = ask.flag("dryRun")?.unwrap_or(false);
    let file = body.into_data_stream();
    let done = staff.office.import_game_keys(&staff.admin, file, dry_run).await?;
    answer::data(StatusCode::OK, &done)
}

request_body! {
    /// Why staff do this.
    struct KeyReason {
        /// The reason, for the audit log.
        #[schema(min_length = 1, max_length = 500)]
        reason: String = "reason",
    }
}

/// Shows a key in clear text.
///
/// Who sees it, when and why is recorded first. Thirty in a row, then one a minute.
#[utoipa::path(post, path = "/api/admin/game-keys/{id}/reveal", tag = "admin", operation_id = "revealGameKey", security(("bearer" = [])), request_body = KeyReason,
    params(("id" = Uuid, Path, description = "ID of the key")),
    responses((status = 200, description = "The key", body = Answer<RevealedKey>), (status = 400, description = "No reason"),
    (status = 403, description = "Not signed in as staff with the permission keys.write"),
    (status = 404, description = "There is no such key"), (status = 409, description = "No secret of this shop opens it (`key_unreadable`)"),
    (status = 429, description = "Too many keys were shown; retry after `Retry-After` seconds")))]
pub(crate) async fn reveal(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = key_id(&id)?;
    let (KeyReason { reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    let key = staff.office.reveal_game_key(&staff.admin, id, reason).await?;
    answer::data(StatusCode::OK, &key)
}

/// Replaces a delivered key that does not work: by one of own stock, else by one that is bought at the supplier.
///
/// The shopper sees the new key in the order and gets an e-mail. The faulty key stays listed and is sold to nobody.
/// Without own stock another key is bought within the budget for replacements: answered with 202, `replacement` is null until the
/// order has it. If none can be bought, the unit gets the faulty key again, and an incident `REPLACEMENT_FAILED` says why.
#[utoipa::path(post, path = "/api/admin/game-keys/{id}/replace", tag = "admin", operation_id = "replaceGameKey", security(("bearer" = [])), request_body = KeyReason,
    params(("id" = Uuid, Path, description = "ID of the faulty key")),
    responses((status = 200, description = "Both keys, masked", body = Answer<GameKeyReplacement>),
    (status = 202, description = "Another key is being bought; the faulty one, masked", body = Answer<GameKeyReplacement>),
    (status = 400, description = "No reason"),
    (status = 403, description = "Not signed in as staff with the permission orders.write"),
    (status = 404, description = "There is no such key"),
    (status = 409, description = "`no_stock`, `budget_spent`, `bought_often`, `key_being_replaced`, `key_not_delivered`, `key_replaced`, or `unit_refunded`")))]
pub(crate) async fn replace(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = key_id(&id)?;
    let (KeyReason { reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    let replaced = staff.office.replace_game_key(&staff.admin, id, reason).await?;
    let status = if replaced.buying {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    answer::data(status, &replaced)
}

fn key_id(text: &str) -> Result<KeyId, ApiError> {
    uuid_in("id", text).map(KeyId)
}

fn id_in(path: &'static str, text: &str) -> Result<uuid::Uuid, FieldError> {
    uuid(text).ok_or(FieldError {
        path,
        code: "invalid_id",
        msg: "This field must be a UUID",
    })
}

fn key_input(key: &str, is_file: bool) -> Result<KeyInput, FieldError> {
    let input = if is_file {
        KeyInput::file(key)
    } else {
        KeyText::new(key).map(KeyInput::Text)
    };
    input.map_err(key_fault)
}

fn key_fault(fault: KeyFault) -> FieldError {
    FieldError {
        path: "key",
        code: fault.code(),
        msg: fault.reason(),
    }
}

fn not_negative(cost: Option<Money>) -> Result<(), FieldError> {
    match cost {
        Some(cost) if cost < Money::ZERO => Err(FieldError {
            path: "cost",
            code: "out_of_range",
            msg: "This field must not be negative",
        }),
        _ => Ok(()),
    }
}

/// A time or a day in UTC, not in the future.
fn activation_date(text: Option<&str>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, FieldError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let fault = |code, msg| FieldError {
        path: "activationDate",
        code,
        msg,
    };
    let date = moment(text, NaiveTime::MIN).ok_or_else(|| {
        let msg = "This field must be a time or a day, such as 2027-01-31T10:00:00Z or 2027-01-31";
        fault("not_a_time", msg)
    })?;
    if date > now {
        return Err(fault("in_the_future", "This field must not be in the future"));
    }
    Ok(Some(date))
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let (status, code) = match error {
            KeyError::Store(error) => return error.into(),
            KeyError::NotFound => return Self::NotFound("Key"),
            KeyError::NoSuchGame => return Self::NotFound("Game"),
            KeyError::Exists { .. } => (StatusCode::BAD_REQUEST, "key_exists"),
            KeyError::Sold => (StatusCode::BAD_REQUEST, "key_sold"),
            KeyError::Fixed(_) => (StatusCode::CONFLICT, "key_fixed"),
            KeyError::Shown => (StatusCode::CONFLICT, "key_shown"),
        };
        Self::refused(status, code, &error)
    }
}

impl From<KeyChangeError> for ApiError {
    fn from(error: KeyChangeError) -> Self {
        match error {
            KeyChangeError::Refused(error) => error.into(),
            KeyChangeError::Key(fault) => Self::Fields(vec![key_fault(fault)]),
        }
    }
}

impl From<RevealError> for ApiError {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::Limit(error) => error.into(),
            RevealError::Key(error) => error.into(),
            RevealError::Unreadable => Self::refused(StatusCode::CONFLICT, "key_unreadable", &error),
        }
    }
}

impl From<ReplaceError> for ApiError {
    fn from(error: ReplaceError) -> Self {
        let code = match error {
            ReplaceError::Store(error) => return error.into(),
            ReplaceError::NotFound => return Self::NotFound("Key"),
            ReplaceError::Own => return Self::refused(StatusCode::FORBIDDEN, "own_purchase", &error),
            ReplaceError::NotAllowed(_) => {
                return Self::refused(StatusCode::FORBIDDEN, "has_more_permissions", &error);
            }
            ReplaceError::AccountDeleted => "account_deleted",
            ReplaceError::NotDelivered => "key_not_delivered",
            ReplaceError::Replaced => "key_replaced",
            ReplaceError::Refunded => "unit_refunded",
            ReplaceError::Buying => "key_being_replaced",
            ReplaceError::NoStock => "no_stock",
            ReplaceError::BoughtOften => "bought_often",
            ReplaceError::BudgetSpent => "budget_spent",
        };
        Self::refused(StatusCode::CONFLICT, code, &error)
    }
}

impl From<KeyImportError> for ApiError {
    fn from(error: KeyImportError) -> Self {
        let (status, code) = match error {
            KeyImportError::Store(error) => return error.into(),
            KeyImportError::File(_) => (StatusCode::BAD_REQUEST, "invalid_csv"),
            KeyImportError::Empty => (StatusCode::BAD_REQUEST, "no_keys"),
            KeyImportError::Interrupted => (StatusCode::BAD_REQUEST, "upload_interrupted"),
            KeyImportError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            KeyImportError::NotAllowed => (StatusCode::FORBIDDEN, "forbidden"),
            KeyImportError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "imports_running"),
        };
        Self::refused(status, code, &error)
    }
}
