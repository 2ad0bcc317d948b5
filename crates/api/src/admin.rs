//! `/api/admin…`: the back office (`docs/http-api.md`), for staff with the permission that each route names.

mod blog;
mod branding;
mod cache;
mod cards;
mod catalogue;
mod email_queue;
mod email_settings;
mod email_templates;
mod evidence;
mod faq;
mod files;
mod g2a_settings;
mod game_images;
mod games;
mod holds;
mod impersonations;
mod keys;
mod logo;
mod money;
mod orders;
mod people;
mod prices;
mod promo_batches;
mod promo_codes;
mod refused;
mod reports;
pub(crate) mod routes;
mod sales;
mod schedule;
mod scripts;
mod shoppers;
mod supplier;
mod supplier_orders;
mod taxonomies;
pub(crate) mod tokens;
mod user_export;
mod users;
mod vat;
mod webhooks;
mod withdrawals;

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::routing::{MethodRouter, any};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use http::StatusCode;
use http::request::Parts;
use lockstep_admin::{BackOffice, Span};
use lockstep_auth::{Admin, AuthError};
use lockstep_domain::admin::Page;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::{IntoParams, OpenApi};

use crate::ApiState;
use crate::error::{self, ApiError};
use crate::params::Ask;
use crate::visit::RequireAdmin;
pub(crate) use game_images::{MAX_UPLOAD, is_upload};
pub(crate) use keys::IMPORT;
use routes::{Needs, StaffRoute};

/// Highest page number.
const MAX_PAGE: u32 = 100_000;
/// Maximum page size; the key manager of the existing console requests this many games.
const MAX_PAGE_SIZE: u32 = 1_000;

pub(crate) fn description() -> utoipa::openapi::OpenApi {
    let mut description = sales::Description::openapi();
    description.merge(people::Description::openapi());
    description.merge(catalogue::Description::openapi());
    description.merge(money::Description::openapi());
    description.merge(cards::Description::openapi());
    description.merge(withdrawals::Description::openapi());
    description.merge(vat::Description::openapi());
    description.merge(evidence::Description::openapi());
    description.merge(holds::Description::openapi());
    description.merge(orders::Description::openapi());
    description.merge(prices::Description::openapi());
    description.merge(promo_codes::Description::openapi());
    description.merge(promo_batches::Description::openapi());
    description.merge(schedule::Description::openapi());
    description.merge(users::Description::openapi());
    description.merge(blog::Description::openapi());
    description.merge(branding::Description::openapi());
    description.merge(logo::Description::openapi());
    description.merge(impersonations::Description::openapi());
    description.merge(email_queue::Description::openapi());
    description.merge(email_settings::Description::openapi());
    description.merge(email_templates::Description::openapi());
    description.merge(faq::Description::openapi());
    description.merge(g2a_settings::Description::openapi());
    description.merge(game_images::Description::openapi());
    description.merge(games::Description::openapi());
    description.merge(keys::Description::openapi());
    description.merge(shoppers::Description::openapi());
    description.merge(reports::Description::openapi());
    description.merge(tokens::Description::openapi());
    description.merge(user_export::Description::openapi());
    description.merge(taxonomies::Description::openapi());
    description.merge(cache::Description::openapi());
    description.merge(supplier::Description::openapi());
    description.merge(supplier_orders::Description::openapi());
    description.merge(scripts::Description::openapi());
    description.merge(webhooks::Description::openapi());
    description
}

/// Returns every route of staff, with the permission that each of its methods needs.
pub(crate) fn routes() -> Vec<StaffRoute> {
    let mut routes = sales::routes();
    routes.extend(people::routes());
    routes.extend(catalogue::routes());
    routes.extend(game_images::routes());
    routes.extend(logo::routes());
    routes.extend(impersonations::routes());
    routes.extend(money::routes());
    routes.extend(cards::routes());
    routes.extend(withdrawals::routes());
    routes.extend(vat::routes());
    routes.extend(evidence::routes());
    routes.extend(holds::routes());
    routes.extend(orders::routes());
    routes.extend(prices::routes());
    routes.extend(promo_codes::routes());
    routes.extend(promo_batches::routes());
    routes.extend(schedule::routes());
    routes.extend(users::routes());
    routes.extend(taxonomies::routes());
    routes.extend(shoppers::routes());
    routes.extend(reports::routes());
    routes.extend(tokens::routes());
    routes.extend(user_export::routes());
    routes.extend(blog::routes());
    routes.extend(branding::routes());
    routes.extend(faq::routes());
    routes.extend(cache::routes());
    routes.extend(supplier::routes());
    routes.extend(supplier_orders::routes());
    routes.extend(scripts::routes());
    routes.extend(keys::routes());
    routes.extend(email_queue::routes());
    routes.extend(email_settings::routes());
    routes.extend(email_templates::routes());
    routes.extend(g2a_settings::routes());
    routes.extend(webhooks::routes());
    routes
}

/// Answers unknown paths: 404 for staff, 403 for all other clients.
pub(crate) fn no_route() -> MethodRouter<Arc<ApiState>> {
    any(|RequireAdmin(_): RequireAdmin, uri: OriginalUri| error::no_route(uri))
}

/// A member of staff with the permission of the route, and the use cases.
pub(crate) struct RequireStaff {
    pub(crate) admin: Admin,
    pub(crate) office: BackOffice,
    /// Public base URL of the shop.
    pub(crate) public_url: String,
    /// When the request was authenticated.
    pub(crate) now: DateTime<Utc>,
}

impl FromRequestParts<Arc<ApiState>> for RequireStaff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let RequireAdmin(admin) = RequireAdmin::from_request_parts(parts, api).await?;
        // Only `StaffRoute` puts it there: a route that was registered in another way is closed.
        let needs: Needs = *parts.extensions.get().ok_or(ApiError::Bug(None))?;
        if needs.permission.is_some_and(|permission| !admin.may(permission)) {
            return Err(AuthError::Forbidden.into());
        }
        if needs.confirmed && admin.token().is_some() {
            let why = "An API token cannot do this. Sign in.";
            return Err(ApiError::refused(StatusCode::FORBIDDEN, "needs_a_session", &why));
        }
        if needs.confirmed && !api.shop.auth().is_confirmed(&admin).await? {
            return Err(AuthError::NotConfirmed.into());
        }
        Ok(Self {
            admin,
            office: api.office.clone(),
            public_url: api.settings.public_url.clone(),
            now: api.now(),
        })
    }
}

/// The requested page of a list, by default of `USUAL` rows: reads the parameters and describes them.
struct Paged<const USUAL: u32>(Page);

impl<S: Sync, const USUAL: u32> FromRequestParts<S> for Paged<USUAL> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ask = Ask::from_request_parts(parts, state).await?;
        Ok(Self(Page {
            number: ask.number("page", 1, 1, MAX_PAGE)?,
            size: ask.number("pageSize", USUAL, 1, MAX_PAGE_SIZE)?,
        }))
    }
}

impl<const USUAL: u32> IntoParams for Paged<USUAL> {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, most: u32, description: String| {
            let schema = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(1))
                .maximum(Some(most));
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        vec![
            parameter("page", MAX_PAGE, "Page number, from 1 (default 1)".to_owned()),
            parameter(
                "pageSize",
                MAX_PAGE_SIZE,
                format!("Page size, 1–1,000 (default {USUAL})"),
            ),
        ]
    }
}

/// Reads the period from the start of `startDate` to the end of `endDate`, in UTC.
fn days(ask: &Ask) -> Result<Span, ApiError> {
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let (first, last) = (ask.parsed::<Day>("startDate")?, ask.parsed::<Day>("endDate")?);
    let after_last = last.and_then(|Day(day)| day.checked_add_days(Days::new(1)));
    Ok(Span {
        from: first.map(|Day(day)| midnight(day)),
        until: after_last.map(midnight),
    })
}

/// A date `YYYY-MM-DD`; a time after it is ignored.
struct Day(NaiveDate);

impl std::str::FromStr for Day {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = text.split('T').next().unwrap_or(text);
        NaiveDate::parse_from_str(day, "%Y-%m-%d")
            .ok()
            // The range of years that PostgreSQL can compare with.
            .filter(|day| (1..=9999).contains(&chrono::Datelike::year(day)))
            .map(Self)
            .ok_or("must be a day, such as 2026-11-29")
    }
}

/// Returns the value, or 404 if there is none.
fn found<T>(what: Option<T>, name: &'static str) -> Result<T, ApiError> {
    what.ok_or(ApiError::NotFound(name))
}
