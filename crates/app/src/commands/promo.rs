//! `lockstep promo`: the operator's promo codes. No code exists until the operator creates one.

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::PromoTerms;
use lockstep_domain::language::Sentence;
use lockstep_fulfilment::machine;
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::promo_codes::{self, NewPromoCode, PromoCode, PromoCodeError};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Number;

use crate::cli::PromoCommand;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;
use crate::words::{english, say};

/// The promo code of the demo.
const DEMO_CODE: &str = "GKEYS10";

pub(crate) async fn run(config: &Config, output: Output, command: PromoCommand) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let result = with_store(config, &database.store, output, command).await;
    database.close().await;
    result
}

async fn with_store(config: &Config, store: &Store, output: Output, command: PromoCommand) -> Result<()> {
    match command {
        PromoCommand::Create {
            code,
            percent,
            max_uses,
            from,
            until,
        } => {
            let code = code.trim().to_uppercase();
            let new = NewPromoCode {
                code: code.clone(),
                discount: percent,
                terms: PromoTerms::default(),
                max_uses,
                valid_from: from,
                valid_until: until,
                active: true,
            };
            promo_codes::create(store, &new, &By::Operator(machine()))
                .await
                .map_err(|error| anyhow!(error))?;
            let warning = below_cost(config, percent).map(|warning| english(&warning));
            let value = serde_json::json!({ "code": code, "discount": number(percent), "warning": warning });
            output.result(&value, || {
                let made = format!("{code} takes {percent} % off an order.");
                warning
                    .iter()
                    .fold(made, |words, warning| format!("{words}\n{warning}"))
            })
        }
        PromoCommand::List => {
            let codes = promo_codes::list(store).await?;
            let rows: Vec<Row<'_>> = codes.iter().map(Row::of).collect();
            output.list(&rows, || in_words(&codes))
        }
        PromoCommand::End { code } => {
            let code = code.trim().to_uppercase();
            promo_codes::end(store, &code, &By::Operator(machine()))
                .await
                .map_err(|error| anyhow!(error))?;
            output.result(&serde_json::json!({ "code": code, "ended": true }), || {
                format!("{code} has ended.")
            })
        }
    }
}

/// A code as JSON: numbers and money are numbers, as in the HTTP contract.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'c> {
    code: &'c str,
    /// Percent.
    discount: Option<Number>,
    /// EUR, in place of a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    max_uses: Option<i32>,
    used_count: i32,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    usable: bool,
    state: &'c str,
    /// EUR.
    given: Money,
}

impl<'c> Row<'c> {
    fn of(code: &'c PromoCode) -> Self {
        Self {
            code: &code.code,
            discount: number(code.discount),
            amount: code.amount,
            max_uses: code.max_uses,
            used_count: code.used_count,
            valid_from: code.valid_from,
            valid_until: code.valid_until,
            usable: code.usable,
            state: &code.state,
            given: code.given,
        }
    }
}

/// A percentage as a JSON number; `None` would be none.
fn number(percent: Decimal) -> Option<Number> {
    percent.normalize().to_string().parse().ok()
}

/// Creates the demo's promo code if it never existed: a code that was ended stays ended.
pub(crate) async fn make_for_demo(store: &Store) -> Result<()> {
    let new = NewPromoCode {
        code: DEMO_CODE.to_owned(),
        discount: Decimal::TEN,
        terms: PromoTerms::default(),
        max_uses: None,
        valid_from: None,
        valid_until: None,
        active: true,
    };
    match promo_codes::create(store, &new, &By::Operator(machine())).await {
        Ok(_) | Err(PromoCodeError::Exists(_)) => Ok(()),
        Err(error) => Err(anyhow!(error).context("the demo's promo code")),
    }
}

/// A warning for the operator if each use of a code of `percent` percent sells below cost.
pub(crate) fn below_cost(config: &Config, percent: Decimal) -> Option<Sentence> {
    let markup = config.pricing.markup_percent;
    // What remains of a price of 100 + mark-up, against its cost of 100.
    let left = (Decimal::ONE_HUNDRED + markup) * (Decimal::ONE_HUNDRED - percent) / Decimal::ONE_HUNDRED;
    (left < Decimal::ONE_HUNDRED).then(|| {
        let lost = (Decimal::ONE_HUNDRED - left).round_dp(2).normalize();
        if config.promo_below_cost {
            say!("doctor.promo.allowed", markup, lost)
        } else {
            say!("doctor.promo.refused", markup, lost)
        }
    })
}

fn in_words(codes: &[PromoCode]) -> String {
    if codes.is_empty() {
        return "There are no promo codes. Make one with `lockstep promo create`.".to_owned();
    }
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    codes
        .iter()
        .map(|code| {
            let worth = match code.amount {
                Some(amount) => format!("{amount} EUR"),
                None => format!("{} %", code.discount.normalize()),
            };
            let uses = match code.max_uses {
                Some(most) => format!("{} of {most}", code.used_count),
                None => code.used_count.to_string(),
            };
            format!(
                "{:<20} {:>8}  {:<9} used {uses}, {} EUR given, from {}{}",
                code.code,
                worth,
                code.state,
                code.given,
                day(code.valid_from),
                code.valid_until
                    .map(|until| format!(" to {}", day(until)))
                    .unwrap_or_default(),
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}
