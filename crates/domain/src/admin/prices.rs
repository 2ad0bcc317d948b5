//! Prices as staff see them: rules, what they would change, jobs, and the history of a price.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Paging;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::price_rules::{PriceEnding, PriceRule, PriceRules, RuleEnding};
use crate::purchase::iso_millis_or_none;

/// An exact decimal number, also in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact(pub Decimal);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.normalize().to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// The ending of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndingView {
    /// Cents, 0 to 99; `null` with `NONE`.
    pub cents: Option<i64>,
    /// `UP`, `DOWN` or `NEAREST`: which way prices move to the ending, never below the least margin. `NONE`: no ending.
    pub rounding: &'static str,
}

impl From<PriceEnding> for EndingView {
    fn from(ending: PriceEnding) -> Self {
        Self {
            cents: Some(ending.cents()),
            rounding: ending.rounding().name(),
        }
    }
}

/// A price rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceRuleRow {
    /// What staff call it.
    pub name: String,
    /// The highest priority counts.
    pub priority: i32,
    /// Only games of this genre.
    pub genre_id: Option<Uuid>,
    /// Only games of this platform.
    pub platform_id: Option<Uuid>,
    /// Only games that are activated there.
    pub activation_service: Option<String>,
    /// Only supplier's prices from this one, EUR.
    pub cost_from: Option<Money>,
    /// Only supplier's prices below this one, EUR.
    pub cost_to: Option<Money>,
    /// Mark-up, percent; `null` for that of the settings.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub markup_percent: Option<Exact>,
    /// The least margin, EUR.
    pub min_margin: Money,
    /// The least margin, percent of the supplier's price.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub min_margin_percent: Exact,
    /// The ending of prices; `null` for that of the set.
    pub ending: Option<EndingView>,
}

impl From<&PriceRule> for PriceRuleRow {
    fn from(rule: &PriceRule) -> Self {
        Self {
            name: rule.name.clone(),
            priority: rule.priority,
            genre_id: rule.genre,
            platform_id: rule.platform,
            activation_service: rule.activation_service.clone(),
            cost_from: rule.cost_from,
            cost_to: rule.cost_to,
            markup_percent: rule.markup_percent.map(Exact),
            min_margin: rule.min_margin.amount,
            min_margin_percent: Exact(rule.min_margin.percent),
            ending: match rule.ending {
                RuleEnding::OfSet => None,
                RuleEnding::None => Some(EndingView {
                    cents: None,
                    rounding: "NONE",
                }),
                RuleEnding::Some(ending) => Some(ending.into()),
            },
        }
    }
}

/// The price rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceRuleSet {
    /// The version, raised by each change: what is saved names the one that it changes.
    pub version: i64,
    /// Mark-up of games that no rule fits, percent: the setting `G2A_MARKUP_PERCENT`.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub default_markup_percent: Exact,
    /// The least margin of every game, EUR.
    pub min_margin: Money,
    /// The least margin of every game, percent of the supplier's price; the higher of both counts.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub min_margin_percent: Exact,
    /// The ending of prices, unless a rule has another.
    pub ending: Option<EndingView>,
    /// The rules; of equal ones the first counts.
    pub rules: Vec<PriceRuleRow>,
    /// The newest job that gives games their prices by these rules; `null` before the first.
    pub job: Option<PriceJobRow>,
}

impl PriceRuleSet {
    /// The rules in force, with the mark-up of the settings.
    pub fn of(rules: &PriceRules, default_markup_percent: Decimal, job: Option<PriceJobRow>) -> Self {
        Self {
            version: rules.version,
            default_markup_percent: Exact(default_markup_percent),
            min_margin: rules.min_margin.amount,
            min_margin_percent: Exact(rules.min_margin.percent),
            ending: rules.ending.map(EndingView::from),
            rules: rules.rules.iter().map(PriceRuleRow::from).collect(),
            job,
        }
    }
}

/// A job that gives games their prices by new rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceJobRow {
    /// Identifier.
    pub id: Uuid,
    /// The version of the rules.
    pub version: i64,
    /// `OPEN`, `COMPLETED`, or `SUPERSEDED` by newer rules.
    pub state: String,
    /// Games when it was asked for.
    pub games_total: i32,
    /// Games that are done.
    pub games_done: i32,
    /// Prices that went up.
    pub raised: i32,
    /// Prices that went down.
    pub lowered: i32,
    /// When it was asked for.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub requested_at: DateTime<Utc>,
    /// When it ended.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceJobList {
    /// The jobs, newest first.
    pub jobs: Vec<PriceJobRow>,
    /// Position within the list.
    #[serde(flatten)]
    pub paging: Paging,
}

/// What rules would do to the price of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceChangeRow {
    /// The game.
    pub game_id: Uuid,
    /// Its title.
    pub title: String,
    /// Its slug.
    pub slug: String,
    /// The supplier's price, EUR.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub supplier_price: Exact,
    /// Its price now, EUR.
    pub price: Money,
    /// Its price by the rules, EUR.
    pub new_price: Money,
    /// The rule that counts; `null` if none fits.
    pub rule: Option<String>,
}

/// What rules would change, over the whole catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PricePreview {
    /// The version of the rules in force: the one to name when these rules are saved.
    pub version: i64,
    /// When the catalogue was read; all figures are of one moment.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub as_of: DateTime<Utc>,
    /// Games of the supplier's.
    pub games: u64,
    /// Prices that go up.
    pub raised: u64,
    /// Prices that go down.
    pub lowered: u64,
    /// Prices that stay, those of staff included.
    pub unchanged: u64,
    /// Games with a price that staff have set; it stays.
    pub own_prices: u64,
    /// Games that would be sold below the supplier's price: only with a price that staff have set.
    pub below_cost: u64,
    /// Games that keep their price because the rules have none that can be stored.
    pub held_back: u64,
    /// Games whose supplier's price is not known yet; the next synchronisation brings it and prices them.
    pub unknown_cost: u64,
    /// The biggest rises, at most 20.
    pub biggest_rises: Vec<PriceChangeRow>,
    /// The biggest falls, at most 20.
    pub biggest_falls: Vec<PriceChangeRow>,
    /// A page of all changes.
    pub changes: Vec<PriceChangeRow>,
    /// Position within the changes.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A change of a price in its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceHistoryRow {
    /// When it changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
    /// Before, EUR.
    pub previous_price: Money,
    /// After, EUR.
    pub price: Money,
    /// The price before the reduction, EUR.
    pub original_price: Option<Money>,
    /// The price that the synchronisation would have set, EUR; `null` while the price is G2A's.
    pub g2a_price: Option<Money>,
    /// The supplier's price, EUR, without mark-up; `null` if it was not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub supplier_price: Option<Exact>,
    /// `SUPPLIER`, `ORDER` (an order has shown what the supplier asks), `RULES`, `STAFF` or `SCHEDULE`; `null` for a change
    /// by other means.
    pub reason: Option<String>,
}

/// A page of the history of a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceHistory {
    /// The changes, newest first.
    pub changes: Vec<PriceHistoryRow>,
    /// Position within the list.
    #[serde(flatten)]
    pub paging: Paging,
}
