//! Price rules, what they would change, and the history of prices.

use std::sync::Arc;

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::PriceRulesError;
use lockstep_domain::admin::{PriceHistory, PriceJobList, PricePreview, PriceRuleSet};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::price_rules::{MAX_RULES, MinMargin, PriceEnding, PriceRule, PriceRules, Rounding, RuleEnding};
use lockstep_domain::staff::Permission;
use lockstep_domain::{GameId, Money};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered};
use crate::body::{Body, Objects, rate, request_body, uuid, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(rules, save, preview, jobs, history))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/price-rules")
            .get(Permission::PricesRead, rules)
            .put(Permission::PricesWrite, save),
        at("/api/admin/price-rules/preview").post(Permission::PricesRead, preview),
        at("/api/admin/price-rules/jobs").get(Permission::PricesRead, jobs),
        at("/api/admin/games/{id}/price-history").get(Permission::CatalogueRead, history),
    ]
}

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 100;
/// The highest least margin, EUR.
const MAX_MARGIN: u32 = 1_000_000;

/// The ending of prices.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `ending` reads")]
struct Ending {
    /// Cents, 0 to 99; left out with `NONE`.
    #[schema(value_type = Option<u8>, maximum = 99)]
    cents: Option<i64>,
    /// `UP`, `DOWN` or `NEAREST`: which way prices move to the ending, never below the least margin. `NONE` (only of a
    /// rule): no ending.
    rounding: String,
}

/// A price rule. Criteria that are left out fit every game.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `rule` reads")]
struct Rule {
    /// What staff call it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The highest priority counts; 0 by default. Of equal priorities the rule with the most criteria counts, then the one
    /// with the narrower price band, then the first.
    #[schema(minimum = -1000, maximum = 1000)]
    priority: Option<i32>,
    /// Only games of this genre.
    genre_id: Option<Uuid>,
    /// Only games of this platform.
    platform_id: Option<Uuid>,
    /// Only games that are activated there, in any case.
    #[schema(max_length = 100)]
    activation_service: Option<String>,
    /// Only supplier's prices from this one, EUR.
    #[schema(value_type = Option<f64>)]
    cost_from: Option<Money>,
    /// Only supplier's prices below this one, EUR.
    #[schema(value_type = Option<f64>)]
    cost_to: Option<Money>,
    /// Mark-up, percent, 0 to 1,000; by default that of the settings.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1000)]
    markup_percent: Option<Decimal>,
    /// The least margin, EUR; 0 by default. That of the set counts as well.
    #[schema(value_type = Option<f64>, minimum = 0)]
    min_margin: Option<Money>,
    /// The least margin, percent of the supplier's price; 0 by default.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1000)]
    min_margin_percent: Option<Decimal>,
    /// The ending of prices; by default that of the set.
    ending: Option<Ending>,
}

request_body! {
    /// Price rules, whole: they replace those in force.
    struct NewRules {
        /// The version in force that they change, as `GET` or a preview named it; needed to save.
        #[schema(value_type = Option<i64>, minimum = 0)]
        version: Option<i64> = "version",
        /// The least margin of every game, EUR; 0 by default.
        #[schema(value_type = Option<f64>, minimum = 0)]
        min_margin: Option<Money> = "minMargin",
        /// The least margin of every game, percent of the supplier's price; 0 by default. The higher of both counts.
        #[schema(value_type = Option<f64>, minimum = 0, maximum = 1000)]
        min_margin_percent: Option<Decimal> = "minMarginPercent" => rate(),
        /// The ending of prices, unless a rule has another; none by default.
        #[schema(value_type = Option<Ending>)]
        ending: Option<RuleEnding> = "ending" => object(&ENDING),
        /// The rules, at most 200.
        #[schema(value_type = Option<Vec<Rule>>, max_items = 200)]
        rules: Vec<PriceRule> = "rules" => objects(&RULE),
    }
}

const ENDING: Objects<RuleEnding> = Objects {
    read: ending,
    most: 1,
    msg: "This field must be {cents, rounding}: 0 to 99, and UP, DOWN or NEAREST",
};

const RULE: Objects<PriceRule> = Objects {
    read: rule,
    most: MAX_RULES,
    msg: "This field must be a list of at most 200 rules, each with a name and valid fields",
};

fn ending(fields: &Map<String, Value>) -> Option<RuleEnding> {
    let rounding = fields.get("rounding")?.as_str()?;
    let cents = fields.get("cents").filter(|cents| !cents.is_null());
    if rounding == "NONE" {
        return cents.is_none().then_some(RuleEnding::None);
    }
    let rounding = Rounding::ALL.into_iter().find(|known| known.name() == rounding)?;
    PriceEnding::new(cents?.as_i64()?, rounding).map(RuleEnding::Some)
}

fn rule(fields: &Map<String, Value>) -> Option<PriceRule> {
    // Outer `None`: it is there, and wrong.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    fn optional<T>(fields: &Map<String, Value>, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
        match fields.get(name).filter(|value| !value.is_null()) {
            None => Some(None),
            Some(value) => read(value).map(Some),
        }
    }
    let text = |value: &Value| {
        let text = value.as_str()?.trim();
        let is_storable = (1..=MAX_NAME).contains(&text.chars().count()) && !text.contains(char::is_control);
        is_storable.then(|| text.to_owned())
    };
    let id = |value: &Value| value.as_str().and_then(uuid);
    let priority = |value: &Value| {
        let priority = i32::try_from(value.as_i64()?).ok()?;
        (-1_000..=1_000).contains(&priority).then_some(priority)
    };
    let rule = PriceRule {
        name: text(fields.get("name")?)?,
        priority: optional(fields, "priority", priority)?.unwrap_or_default(),
        genre: optional(fields, "genreId", id)?,
        platform: optional(fields, "platformId", id)?,
        activation_service: optional(fields, "activationService", text)?,
        cost_from: optional(fields, "costFrom", amount)?,
        cost_to: optional(fields, "costTo", amount)?,
        markup_percent: optional(fields, "markupPercent", rate)?,
        min_margin: MinMargin {
            amount: optional(fields, "minMargin", amount)?.unwrap_or_default(),
            percent: optional(fields, "minMarginPercent", rate)?.unwrap_or_default(),
        },
        ending: optional(fields, "ending", |value| ending(value.as_object()?))?.unwrap_or_default(),
    };
    let is_band = rule.cost_to.is_none_or(|to| to > rule.cost_from.unwrap_or(Money::ZERO));
    (is_band && is_margin(rule.min_margin.amount)).then_some(rule)
}

fn amount(value: &Value) -> Option<Money> {
    let amount: Money = value.as_number()?.to_string().parse().ok()?;
    (amount >= Money::ZERO).then_some(amount)
}

fn is_margin(amount: Money) -> bool {
    (Decimal::ZERO..=Decimal::from(MAX_MARGIN)).contains(&amount.decimal())
}

/// The version that the rules change, if it is named, and the rules.
fn read(body: &Body) -> Result<(Option<i64>, PriceRules), ApiError> {
    let (new, form) = body.read::<NewRules>();
    let fault = |path, msg| lockstep_domain::account::FieldError {
        path,
        code: "out_of_range",
        msg,
    };
    let amount = new.min_margin.unwrap_or_default();
    let mut faults = Vec::new();
    if !is_margin(amount) {
        faults.push(fault("minMargin", "This field must be from 0 to 1000000"));
    }
    if new.ending == Some(RuleEnding::None) {
        faults.push(fault("ending", ENDING.msg));
    }
    if new.version.is_some_and(i64::is_negative) {
        faults.push(fault("version", "This field must not be negative"));
    }
    let rules = PriceRules {
        version: 0,
        min_margin: MinMargin {
            amount,
            percent: new.min_margin_percent.unwrap_or_default(),
        },
        ending: match new.ending {
            Some(RuleEnding::Some(ending)) => Some(ending),
            _ => None,
        },
        rules: new.rules,
    };
    form.finish(if faults.is_empty() {
        Ok((new.version, rules))
    } else {
        Err(faults)
    })
}

/// Returns the price rules in force, with the newest job that gives games their prices.
///
/// Of all rules that fit a game, that of the highest priority counts; among these the one with the most criteria, then the
/// narrower price band, then the first. A game that no rule fits has the mark-up of the settings.
#[utoipa::path(get, path = "/api/admin/price-rules", tag = "admin", operation_id = "adminPriceRules", security(("bearer" = [])),
    responses((status = 200, description = "The rules", body = Answer<PriceRuleSet>),
    (status = 403, description = "Not signed in as staff with the permission prices.read")))]
pub(crate) async fn rules(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.price_rules(&staff.admin).await?)
}

/// Replaces the price rules.
///
/// A worker then gives all games their prices by them; prices that staff have set stay. `version` is the one in force that
/// they change: if others have saved rules since, nothing changes and `current` is what they saved.
#[utoipa::path(put, path = "/api/admin/price-rules", tag = "admin", operation_id = "savePriceRules", security(("bearer" = [])), request_body = NewRules,
    responses((status = 200, description = "The rules", body = Answer<PriceRuleSet>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission prices.write"),
    (status = 409, description = "`outdated`: changed since; `current` are the rules in force, `yours` those that were sent")))]
pub(crate) async fn save(staff: RequireStaff, body: Body) -> Answered {
    let (version, rules) = read(&body)?;
    let version = version.ok_or_else(|| {
        ApiError::Fields(vec![lockstep_domain::account::FieldError {
            path: "version",
            code: "required",
            msg: "This field is required",
        }])
    })?;
    match staff.office.save_price_rules(&staff.admin, version, &rules).await {
        Ok(saved) => answer::data(StatusCode::OK, &saved),
        Err(error) => Err(refused(error, &staff, version, rules)),
    }
}

/// Shows what price rules would change over the whole catalogue, without changing anything.
///
/// All figures are of one moment, `asOf`; `version` is the one to name when these rules are saved.
#[utoipa::path(post, path = "/api/admin/price-rules/preview", tag = "admin", operation_id = "previewPriceRules", security(("bearer" = [])), request_body = NewRules,
    params(Paged<20>),
    responses((status = 200, description = "What they would change", body = Answer<PricePreview>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission prices.read"),
    (status = 503, description = "Other reports are being made")))]
pub(crate) async fn preview(Paged(page): Paged<20>, staff: RequireStaff, body: Body) -> Answered {
    let (_, rules) = read(&body)?;
    let preview = staff.office.preview_price_rules(&staff.admin, &rules, page).await?;
    answer::data(StatusCode::OK, &preview)
}

/// Returns the jobs that give games their prices by new rules, newest first.
#[utoipa::path(get, path = "/api/admin/price-rules/jobs", tag = "admin", operation_id = "adminPriceJobs", security(("bearer" = [])), params(Paged<20>),
    responses((status = 200, description = "The jobs", body = Answer<PriceJobList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission prices.read")))]
pub(crate) async fn jobs(Paged(page): Paged<20>, staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.price_jobs(&staff.admin, page).await?)
}

/// Returns the history of a game's price, newest first, with the supplier's price beside it.
///
/// The database records each change, by whatever means it is made.
#[utoipa::path(get, path = "/api/admin/games/{id}/price-history", tag = "admin", operation_id = "adminPriceHistory", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game"), Paged<50>),
    responses((status = 200, description = "The changes", body = Answer<PriceHistory>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.read"),
    (status = 404, description = "There is no such game")))]
pub(crate) async fn history(Path(id): Path<String>, Paged(page): Paged<50>, staff: RequireStaff) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let history = staff.office.price_history(&staff.admin, id, page).await?;
    answer::data(StatusCode::OK, &found(history, "Game")?)
}

fn refused(error: PriceRulesError, staff: &RequireStaff, version: i64, yours: PriceRules) -> ApiError {
    let message = error.to_string();
    match error {
        PriceRulesError::Outdated { current, .. } => {
            let shown = |rules: &PriceRules| serde_json::to_value(staff.office.shown_rules(rules)).unwrap_or_default();
            let mut both = shown(&current);
            both["yours"] = shown(&PriceRules { version, ..yours });
            ApiError::Outdated {
                message,
                current: Arc::new(both),
            }
        }
        PriceRulesError::NoSuchGenre | PriceRulesError::NoSuchPlatform => ApiError::invalid("rules", message),
        PriceRulesError::Store(error) => error.into(),
    }
}
