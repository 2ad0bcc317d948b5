//! The price rules in force, and what they look at.
//!
//! A transaction that computes prices holds the rules: they do not change until it ends, so that no price is written by
//! rules that the new ones have already gone past. Saving rules waits for these transactions.

use std::collections::HashMap;

use lockstep_domain::price_rules::{GameFacts, MinMargin, PriceEnding, PriceRule, PriceRules, Rounding, RuleEnding};
use uuid::Uuid;

use crate::row::money_of;
use crate::{Result, StoreError, Tx};

/// Why a price changes, for the history of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriceReason {
    /// A synchronisation.
    Supplier,
    /// An order has shown what the supplier asks.
    Order,
    /// New price rules.
    Rules,
    /// Staff.
    Staff,
    /// A scheduled change.
    Schedule,
}

impl PriceReason {
    const fn name(self) -> &'static str {
        match self {
            Self::Supplier => "SUPPLIER",
            Self::Order => "ORDER",
            Self::Rules => "RULES",
            Self::Staff => "STAFF",
            Self::Schedule => "SCHEDULE",
        }
    }
}

/// Says why prices change until the transaction ends.
pub(crate) async fn because(tx: &mut Tx, reason: PriceReason) -> Result<()> {
    sqlx::query!(
        "-- store.price_rules.because\nselect set_config('lockstep.price_reason', $1, true)",
        reason.name()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// The rules, which do not change until the transaction ends. Taken before any lock of a game.
pub(crate) async fn hold(tx: &mut Tx) -> Result<PriceRules> {
    sqlx::query!("-- store.price_rules.hold\nselect version from price_policy for share")
        .fetch_one(tx.conn())
        .await?;
    current(tx).await
}

/// The rules of the policy that is locked here; others that compute prices wait.
pub(crate) async fn lock(tx: &mut Tx) -> Result<PriceRules> {
    sqlx::query!("-- store.price_rules.lock\nselect version from price_policy for no key update")
        .fetch_one(tx.conn())
        .await?;
    current(tx).await
}

/// The rules in force.
///
/// # Errors
/// [`StoreError`].
pub async fn current(tx: &mut Tx) -> Result<PriceRules> {
    let policy = sqlx::query!(
        "-- store.price_rules.policy
        select version, min_margin, min_margin_percent, ending, rounding from price_policy"
    )
    .fetch_one(tx.conn())
    .await?;
    let rows = sqlx::query!(
        "-- store.price_rules.rules
        select name, priority, genre_id, platform_id, activation_service, cost_from, cost_to, markup_percent, min_margin,
               min_margin_percent, ending, rounding
          from price_rules order by position"
    )
    .fetch_all(tx.conn())
    .await?;
    let rules = rows.into_iter().map(|row| {
        Ok(PriceRule {
            name: row.name,
            priority: row.priority,
            genre: row.genre_id,
            platform: row.platform_id,
            activation_service: row.activation_service,
            cost_from: row.cost_from.map(money_of).transpose()?,
            cost_to: row.cost_to.map(money_of).transpose()?,
            markup_percent: row.markup_percent,
            min_margin: MinMargin {
                amount: money_of(row.min_margin)?,
                percent: row.min_margin_percent,
            },
            ending: match row.rounding.as_deref() {
                None => RuleEnding::OfSet,
                Some("NONE") => RuleEnding::None,
                Some(rounding) => RuleEnding::Some(ending_of(row.ending, rounding)?),
            },
        })
    });
    Ok(PriceRules {
        version: policy.version,
        min_margin: MinMargin {
            amount: money_of(policy.min_margin)?,
            percent: policy.min_margin_percent,
        },
        ending: policy
            .rounding
            .map(|rounding| ending_of(policy.ending, &rounding))
            .transpose()?,
        rules: rules.collect::<Result<_>>()?,
    })
}

fn ending_of(cents: Option<i16>, rounding: &str) -> Result<PriceEnding> {
    let rounding = Rounding::ALL.into_iter().find(|known| known.name() == rounding);
    cents
        .zip(rounding)
        .and_then(|(cents, rounding)| PriceEnding::new(cents.into(), rounding))
        .ok_or_else(|| StoreError::Schema("unexpected ending of prices".into()))
}

/// What the rules look at, of these games.
pub(crate) async fn facts_of(tx: &mut Tx, games: &[Uuid]) -> Result<HashMap<Uuid, GameFacts>> {
    let rows = sqlx::query!(
        r#"-- store.price_rules.facts
        select g.id, g.activation_service,
               array(select l.genre_id from game_genres l where l.game_id = g.id) as "genres!",
               array(select l.platform_id from game_platforms l where l.game_id = g.id) as "platforms!"
          from games g where g.id = any($1)"#,
        games
    )
    .fetch_all(tx.conn())
    .await?;
    let facts = rows.into_iter().map(|row| {
        let facts = GameFacts {
            genres: row.genres,
            platforms: row.platforms,
            activation_service: row.activation_service,
        };
        (row.id, facts)
    });
    Ok(facts.collect())
}
