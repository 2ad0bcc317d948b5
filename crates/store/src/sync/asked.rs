//! G2A's actual prices at purchase, compared with its listings: an order reveals a game's real cost
//! (`fulfilment::asked_price`), and a pass that overwrote it with the listing would sell the next unit at a price that
//! leads to a refund again.
//!
//! A record expires when the product changes at G2A, that is when its listing differs from the first one seen after the
//! order, or when it is [too old](MEMORY).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::Money;
use lockstep_domain::price::ListPrice;
use rust_decimal::Decimal;

use super::listing::Listing;
use super::priced::Prices;
use crate::row::money_of;
use crate::{Result, Tx};

/// Offers at G2A change within hours: a day-old price is less reliable than the listing, and a price that only a record
/// keeps high deters shoppers. In the worst case one shopper a day gets a refund because the price has to be learned
/// again.
const MEMORY: TimeDelta = TimeDelta::days(1);

/// The recorded price of a game.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// The resulting minimum shop price of a unit, EUR, including mark-up.
    price: Money,
    at: DateTime<Utc>,
    /// Price and reference price of the first listing seen after it; `None` before the first.
    listed: Option<(Decimal, Option<Decimal>)>,
}

/// What a pass does with the record.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// The listing is the first since the record: it is stored, and the recorded price is the minimum.
    First,
    /// The listing has not changed: the recorded price is the minimum.
    Holds,
    /// The listing has changed, or the record is too old: the listing's price applies.
    Over,
}

impl Asked {
    fn judge(&self, listing: &Listing, now: DateTime<Utc>) -> Verdict {
        if now - self.at >= MEMORY {
            return Verdict::Over;
        }
        match self.listed {
            None => Verdict::First,
            Some(seen) if seen == listed(listing) => Verdict::Holds,
            Some(_) => Verdict::Over,
        }
    }
}

/// The supplier's prices: new price rules are no change at G2A.
fn listed(listing: &Listing) -> (Decimal, Option<Decimal>) {
    (listing.supplier_price, listing.supplier_retail_price)
}

/// The listing with a price of at least `floor`.
fn raised(listing: &Listing, floor: Money) -> Listing {
    let list = ListPrice {
        price: listing.price,
        original_price: listing.original_price,
        discount: listing.discount,
    };
    let ListPrice {
        price,
        original_price,
        discount,
    } = list.at_least(floor);
    Listing {
        price,
        original_price,
        discount,
        ..listing.clone()
    }
}

/// A listing whose price a record raises.
pub(super) struct Raised {
    pub(super) listing: Listing,
    /// The price of the record.
    pub(super) asked: Money,
}

/// Returns the listings whose price a record raises, by product, and updates the records.
///
/// # Errors
/// [`Unavailable`](crate::StoreError::Unavailable).
pub(super) async fn raise(tx: &mut Tx, listings: &[&Listing], prices: &Prices<'_>) -> Result<HashMap<String, Raised>> {
    let products: Vec<&str> = listings.iter().map(|l| l.g2a_product_id.as_str()).collect();
    // Locked, so that new records are not overwritten by what was read earlier.
    let rows = sqlx::query!(
        r#"-- store.sync.asked
        select g2a_product_id as "product!", g2a_asked_price as "price!", g2a_asked_cost, g2a_asked_at as "at!",
               g2a_asked_listed[1] as listed_price, g2a_asked_listed[2] as listed_original_price, now() as "now!"
          from games where g2a_product_id = any($1) and g2a_asked_at is not null order by id for no key update"#,
        products as _
    )
    .fetch_all(tx.conn())
    .await?;
    let (mut raised_ones, mut first, mut over) = (HashMap::new(), Vec::new(), Vec::new());
    for row in rows {
        let product = row.product;
        let Some(listing) = listings.iter().find(|l| l.g2a_product_id == product) else {
            continue;
        };
        let by_rules = row.g2a_asked_cost.and_then(|cost| prices.of(&product, cost));
        let asked = Asked {
            price: by_rules.map_or_else(|| money_of(row.price), Ok)?,
            at: row.at,
            listed: row.listed_price.map(|price| (price, row.listed_original_price)),
        };
        match asked.judge(listing, row.now) {
            Verdict::Over => over.push(product),
            verdict => {
                if verdict == Verdict::First {
                    first.push((product.clone(), listed(listing)));
                }
                let raised = Raised {
                    listing: raised(listing, asked.price),
                    asked: asked.price,
                };
                raised_ones.insert(product, raised);
            }
        }
    }
    if first.len() + over.len() > 0 {
        sqlx::query!(
            "-- store.sync.asked.remember
            with first as (
                update games g set g2a_asked_listed = array[f.price, f.original_price]
                  from unnest($1::text[], $2::numeric[], $3::numeric[]) as f (product, price, original_price)
                 where g.g2a_product_id = f.product)
            update games set g2a_asked_price = null, g2a_asked_cost = null, g2a_asked_at = null, g2a_asked_listed = null
             where g2a_product_id = any ($4)",
            first.iter().map(|(product, _)| product.as_str()).collect::<Vec<_>>() as _,
            first.iter().map(|(_, (price, _))| *price).collect::<Vec<_>>() as _,
            first.iter().map(|(_, (_, original))| *original).collect::<Vec<_>>() as _,
            &over
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(raised_ones)
}
