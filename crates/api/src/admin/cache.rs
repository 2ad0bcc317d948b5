//! Cached answers: what is stored in Redis, and dropping them in every process.

use std::collections::BTreeMap;

use axum::extract::State;
use http::StatusCode;
use lockstep_domain::account::FieldError;
use lockstep_domain::cache_pattern::{CachePattern, SYNC_PROGRESS_KEY, UnknownPattern};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use lockstep_shop::Reached;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::RequireStaff;
use super::routes::{StaffRoute, at};
use crate::answer::{self, Answered};
use crate::body::{Body, request_body};
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(statistics, invalidate, clear))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/cache/statistics").get(Permission::SystemRead, statistics),
        at("/api/admin/cache/invalidate").post(Permission::SystemWrite, invalidate),
        at("/api/admin/cache/clear").post(Permission::SystemWrite, clear),
    ]
}

/// What the shop has stored in Redis.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheStatistics {
    /// Number of the shop's keys.
    total_keys: u64,
    /// Memory that these keys take in Redis, in bytes.
    memory_usage: u64,
    /// `connected`; `disconnected` (not configured, or no answer) or `error` (it refuses the question), and then all
    /// numbers are 0.
    redis_status: &'static str,
    /// Number of keys by pattern.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    keys_by_pattern: BTreeMap<&'static str, u64>,
    /// `false` if there were too many keys to count all of them within two seconds.
    complete: bool,
}

/// Returns what the shop has stored in Redis.
///
/// Counts the shop's own keys only, without a search through the server.
#[utoipa::path(get, path = "/api/admin/cache/statistics", tag = "admin", operation_id = "adminCacheStatistics", security(("bearer" = [])),
    responses((status = 200, description = "Keys by pattern, and their memory", body = Answer<CacheStatistics>),
    (status = 403, description = "Not signed in as staff with the permission system.read")))]
pub(crate) async fn statistics(State(api): Api, _staff: RequireStaff) -> Answered {
    let survey = api.shop.cache().survey().await;
    let view = CacheStatistics {
        total_keys: survey.total(),
        memory_usage: survey.bytes,
        redis_status: match survey.reached {
            Reached::Connected => "connected",
            Reached::Disconnected => "disconnected",
            Reached::Refused => "error",
        },
        keys_by_pattern: survey.keys,
        complete: survey.complete,
    };
    answer::data(StatusCode::OK, &view)
}

request_body! {
    /// Which cached answers to drop.
    struct Invalidation {
        /// `home:*`, `game:*`, `catalog:*`, `user:*`, `g2a:*`, `session:*`, `order:*` or `*`; or one game, user, session or
        /// order: `game:ID`, `game:slug:SLUG`, `user:ID:*`, `user:ID:cart`, `session:ID:*`, `order:ID`.
        #[schema(min_length = 1, max_length = 350)]
        pattern: String = "pattern",
    }
}

/// The cached answers that were dropped.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DroppedAnswers {
    /// Number of keys in Redis that the pattern covered; without Redis, of answers in the memory of this process.
    keys_invalidated: u64,
    /// The pattern.
    pattern: String,
    /// What was done, for display.
    message: String,
}

/// Drops the cached answers that a pattern covers.
///
/// They are invalid at once in every process, in memory as well as in Redis. A pattern may drop more than it names: the
/// carts of users and guests are dropped together.
#[utoipa::path(post, path = "/api/admin/cache/invalidate", tag = "admin", operation_id = "invalidateCache", security(("bearer" = [])), request_body = Invalidation,
    responses((status = 200, description = "The answers are dropped", body = Answer<DroppedAnswers>),
    (status = 400, description = "No such pattern"),
    (status = 403, description = "Not signed in as staff with the permission system.write")))]
pub(crate) async fn invalidate(State(api): Api, staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<Invalidation>();
    let pattern = CachePattern::parse(&asked.pattern).map_err(|UnknownPattern| unknown());
    let pattern = form.finish(pattern)?;
    drop_all(&api, &staff, &pattern).await
}

/// Drops every cached answer of the shop.
///
/// Other programs' keys in the same Redis stay.
#[utoipa::path(post, path = "/api/admin/cache/clear", tag = "admin", operation_id = "clearCache", security(("bearer" = [])),
    responses((status = 200, description = "All answers are dropped", body = Answer<DroppedAnswers>),
    (status = 403, description = "Not signed in as staff with the permission system.write")))]
pub(crate) async fn clear(State(api): Api, staff: RequireStaff) -> Answered {
    drop_all(&api, &staff, &CachePattern::everything()).await
}

async fn drop_all(api: &ApiState, staff: &RequireStaff, pattern: &CachePattern) -> Answered {
    let cache = api.shop.cache();
    let keys_invalidated = cache.count(pattern).await;
    staff.office.drop_answers(&staff.admin, pattern).await?;
    // Committed: every process refuses these answers within the lease, this one from now on. Removing the keys from
    // Redis only saves memory, and the evictor tries it again.
    cache.catch_up().await.ok();
    let removed = cache.drop_tags(pattern.tags()).await.is_ok();
    let note = [SYNC_PROGRESS_KEY.to_owned()];
    let removed = (!pattern.covers(SYNC_PROGRESS_KEY) || cache.drop_keys(&note).await.is_ok()) && removed;
    let message = match (pattern.tags().is_empty(), removed) {
        (_, true) => format!("Dropped {keys_invalidated} cached answers in every process"),
        (false, false) => format!(
            "Dropped {keys_invalidated} cached answers in every process; Redis does not answer, its keys are removed later"
        ),
        (true, false) => "Redis does not answer; these keys expire within an hour".to_owned(),
    };
    let view = DroppedAnswers {
        keys_invalidated,
        pattern: pattern.to_string(),
        message,
    };
    answer::data(StatusCode::OK, &view)
}

fn unknown() -> Vec<FieldError> {
    vec![FieldError {
        path: "pattern",
        code: "unknown_pattern",
        msg: "This field must be home:*, game:*, catalog:*, user:*, g2a:*, session:*, order:*, *, or one of these (game:ID, user:ID:*)",
    }]
}
