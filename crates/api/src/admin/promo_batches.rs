//! Batches of promo codes that can be used once each.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{List, NewBatch};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{Percent, PromoBatchList, PromoBatchRow, PromoTerms, PromoUses};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::promo_codes::{checked_dates, checked_worth, fault, ids};
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, files, found};
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(list, create, one, change, uses, codes))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/promo-codes/batches")
            .get(Permission::PromotionsRead, list)
            .post(Permission::PromotionsWrite, create),
        at("/api/admin/promo-codes/batches/{id}")
            .get(Permission::PromotionsRead, one)
            .put(Permission::PromotionsWrite, change),
        at("/api/admin/promo-codes/batches/{id}/statistics").get(Permission::PromotionsRead, uses),
        at("/api/admin/promo-codes/batches/{id}/codes").get(Permission::PromotionsWrite, codes),
    ]
}

/// Most codes of a batch.
const MAX_CODES: i64 = 10_000;
/// Most games, genres and platforms that a batch names, together.
const MAX_NAMED: usize = 20;
/// Longest beginning of a code.
const MAX_PREFIX: usize = 20;

request_body! {
    /// A batch of codes to create.
    struct NewCodes {
        /// What staff call it.
        #[schema(min_length = 1, max_length = 100)]
        name: String = "name",
        /// Number of codes, at most 10,000.
        #[schema(value_type = i32, minimum = 1, maximum = 10000)]
        count: i64 = "count",
        /// What each code begins with: letters, digits, `-` and `_`, not first a `-`; by default nothing.
        #[schema(max_length = 20)]
        prefix: Option<String> = "prefix",
        /// Percent of the subtotal of the items that they hold for, above 0 and at most 100, at most two decimals. Needed
        /// unless there is an `amount`.
        #[schema(value_type = Option<f64>)]
        discount: Option<Percent> = "discount" => percent(),
        /// EUR off, in place of a percentage; at most what the items cost that they hold for.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// The least subtotal of an order, EUR; by default none.
        #[schema(value_type = Option<f64>)]
        min_order: Option<Money> = "minOrder",
        /// Only for customers without an order whose money did not go back.
        first_order_only: Option<bool> = "firstOrderOnly",
        /// Start of their validity: a time, or a day in UTC. By default now.
        #[schema(max_length = 40)]
        valid_from: Option<String> = "validFrom",
        /// End of their validity: a time, or the last day in UTC. By default none.
        #[schema(max_length = 40)]
        valid_until: Option<String> = "validUntil",
        /// IDs of the games that they hold for; by default all. Games, genres and platforms are at most 20 together.
        #[schema(max_items = 20)]
        game_ids: Option<Vec<String>> = "gameIds",
        /// IDs of genres: they hold for games of any of these; by default all.
        #[schema(max_items = 20)]
        genre_ids: Option<Vec<String>> = "genreIds",
        /// IDs of platforms: they hold for games of any of these; by default all.
        #[schema(max_items = 20)]
        platform_ids: Option<Vec<String>> = "platformIds",
    }
}

request_body! {
    /// What to change about a batch.
    struct BatchChange {
        /// `false` switches all its codes off, `true` on.
        active: Option<bool> = "active",
    }
}

/// Returns the batches of promo codes, newest first.
#[utoipa::path(get, path = "/api/admin/promo-codes/batches", tag = "admin", operation_id = "adminPromoBatches", security(("bearer" = [])), params(Paged<20>),
    responses((status = 200, description = "The batches", body = Answer<PromoBatchList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read")))]
pub(crate) async fn list(Paged(page): Paged<20>, staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.promo_batches(&staff.admin, page).await?)
}

/// Creates promo codes that can be used once each.
///
/// Each has 80 random bits. `GET` of its `codes` returns them.
#[utoipa::path(post, path = "/api/admin/promo-codes/batches", tag = "admin", operation_id = "createPromoBatch", security(("bearer" = [])), request_body = NewCodes,
    responses((status = 201, description = "The batch", body = Answer<PromoBatchRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let (new, form) = body.read::<NewCodes>();
    let checked = checked_batch(new, body.has("discount"));
    let batch = form.finish(checked)?;
    let made = staff.office.create_promo_batch(&staff.admin, batch).await?;
    answer::data(StatusCode::CREATED, &made)
}

fn checked_batch(new: NewCodes, has_discount: bool) -> Result<NewBatch, Vec<FieldError>> {
    let name = new.name.trim();
    if !(1..=100).contains(&name.chars().count()) || name.contains(char::is_control) {
        return Err(fault("name", "invalid", "This field must be 1 to 100 characters long"));
    }
    let count = usize::try_from(new.count)
        .ok()
        .filter(|_| (1..=MAX_CODES).contains(&new.count));
    let count = count.ok_or_else(|| fault("count", "out_of_range", "This field must be from 1 to 10000"))?;
    let prefix = new.prefix.unwrap_or_default().trim().to_uppercase();
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    // A spreadsheet takes what begins with a hyphen for a formula, so files mark it, and the code would not be the same.
    if prefix.len() > MAX_PREFIX || !prefix.chars().all(fits) || prefix.starts_with('-') {
        let msg = "This field must be at most 20 letters, digits, - and _, and not begin with -";
        return Err(fault("prefix", "invalid", msg));
    }
    let (valid_from, valid_until) = checked_dates(new.valid_from.as_deref(), new.valid_until.as_deref())?;
    let discount = checked_worth(new.discount, new.amount, has_discount)?;
    let terms = PromoTerms {
        amount: new.amount,
        min_order: new.min_order,
        first_order_only: new.first_order_only.unwrap_or_default(),
        // One code for each customer is personal.
        is_public: false,
        // Each code has one use.
        max_uses_per_customer: None,
        game_ids: ids("gameIds", new.game_ids)?,
        genre_ids: ids("genreIds", new.genre_ids)?,
        platform_ids: ids("platformIds", new.platform_ids)?,
    };
    if terms.game_ids.len() + terms.genre_ids.len() + terms.platform_ids.len() > MAX_NAMED {
        let msg = "Games, genres and platforms must be at most 20 together";
        return Err(fault("gameIds", "out_of_range", msg));
    }
    Ok(NewBatch {
        name: name.to_owned(),
        count,
        prefix,
        discount,
        terms,
        valid_from,
        valid_until,
    })
}

/// Returns a batch of promo codes.
#[utoipa::path(get, path = "/api/admin/promo-codes/batches/{id}", tag = "admin", operation_id = "adminPromoBatch", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the batch")),
    responses((status = 200, description = "The batch", body = Answer<PromoBatchRow>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read"),
    (status = 404, description = "There is no such batch")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let batch = staff.office.promo_batch(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(batch, "Batch")?)
}

/// Switches all codes of a batch off or on.
#[utoipa::path(put, path = "/api/admin/promo-codes/batches/{id}", tag = "admin", operation_id = "changePromoBatch", security(("bearer" = [])), request_body = BatchChange,
    params(("id" = Uuid, Path, description = "ID of the batch")),
    responses((status = 200, description = "The batch", body = Answer<PromoBatchRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write"),
    (status = 404, description = "There is no such batch")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = uuid_in("id", &id)?;
    let change = body.valid::<BatchChange>()?;
    let active = change
        .active
        .ok_or_else(|| ApiError::Fields(fault("active", "required", "This field is required")))?;
    let batch = staff.office.switch_promo_batch(&staff.admin, id, active).await?;
    answer::data(StatusCode::OK, &found(batch, "Batch")?)
}

/// Returns figures about the uses of a batch.
#[utoipa::path(get, path = "/api/admin/promo-codes/batches/{id}/statistics", tag = "admin", operation_id = "adminPromoBatchUses", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the batch")),
    responses((status = 200, description = "The figures", body = Answer<PromoUses>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read"),
    (status = 404, description = "There is no such batch")))]
pub(crate) async fn uses(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let uses = staff.office.promo_batch_uses(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(uses, "Batch")?)
}

/// Returns the codes of a batch as CSV; each time is recorded in the audit log.
#[utoipa::path(get, path = "/api/admin/promo-codes/batches/{id}/codes", tag = "admin", operation_id = "adminPromoBatchCodes", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the batch")),
    responses((status = 200, description = "The codes", body = String, content_type = "text/csv"), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write"),
    (status = 404, description = "There is no such batch"), (status = 503, description = "Too many files are being made")))]
pub(crate) async fn codes(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    found(staff.office.promo_batch(&staff.admin, id).await?, "Batch")?;
    files::csv(&staff, List::PromoBatch(id), false).await
}
