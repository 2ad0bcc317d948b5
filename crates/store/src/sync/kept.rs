//! Fields of a game that staff have set: a pass writes them as they are.
//!
//! What staff set while a pass is at the same game is not overwritten either: a row whose `fields_by_hand` is no longer
//! what the pass has read is left to the next pass.

use std::borrow::Cow;
use std::collections::HashMap;

use lockstep_domain::Money;
use lockstep_domain::price::ListPrice;
use serde::Serialize;
use serde_json::{Value, json};

use super::asked::Raised;
use super::listing::Listing;
use super::taxonomy::Term;
use crate::row::money_of;
use crate::{Result, Tx};

/// A listing as it is written: with staff's values where they have set any.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Merged<'l> {
    #[serde(flatten)]
    listing: Cow<'l, Listing>,
    /// The fields that are staff's.
    fields_by_hand: Vec<String>,
    /// The price that would have been written, if staff have set another.
    g2a_price: Option<Money>,
}

/// Merges the listings of known games with what staff have set. `raised` has those whose price is what an order revealed
/// (`sync::asked`): below that price nothing can be bought, so a game that staff sell for less is off sale.
///
/// # Errors
/// [`Unavailable`](crate::StoreError::Unavailable).
pub(super) async fn merge<'l>(
    tx: &mut Tx,
    listings: &[&'l Listing],
    raised: &HashMap<String, Raised>,
) -> Result<Vec<Merged<'l>>> {
    let products: Vec<&str> = listings.iter().map(|l| l.g2a_product_id.as_str()).collect();
    // Locked, so that no later value of staff's is overwritten by the one read here.
    let rows = sqlx::query!(
        r#"-- store.sync.kept
        select id, g2a_product_id as "product!", fields_by_hand, title, description, short_description, price,
               coalesce(original_price_by_hand, original_price) as original_price, image, images, publisher, developer, release_date
          from games where g2a_product_id = any($1) and fields_by_hand <> '{}' order by id for no key update"#,
        products as _
    )
    .fetch_all(tx.conn())
    .await?;
    let mut by_hand: HashMap<String, _> = rows.into_iter().map(|row| (row.product.clone(), row)).collect();
    let mut merged = Vec::with_capacity(listings.len());
    let (mut games, mut said) = (Vec::new(), Vec::new());
    for &listing in listings {
        let Some(row) = by_hand.remove(&listing.g2a_product_id) else {
            merged.push(Merged {
                listing: Cow::Borrowed(listing),
                fields_by_hand: Vec::new(),
                g2a_price: None,
            });
            continue;
        };
        let is_kept = |field: &str| row.fields_by_hand.iter().any(|kept| kept == field);
        games.push(row.id);
        said.push(what_g2a_says(listing));
        let mut kept = listing.clone();
        if is_kept("title") {
            kept.title.clone_from(&row.title);
        }
        if is_kept("description") {
            kept.description.clone_from(&row.description);
            kept.short_description.clone_from(&row.short_description);
        }
        if is_kept("image") {
            kept.image = Some(row.image.clone());
        }
        if is_kept("images") {
            kept.images.clone_from(&row.images);
        }
        if is_kept("publisher") {
            kept.publisher.clone_from(&row.publisher);
        }
        if is_kept("developer") {
            kept.developer.clone_from(&row.developer);
        }
        if is_kept("release_date") {
            kept.release_date = Some(row.release_date);
        }
        if is_kept("in_stock") {
            kept.depth = 0;
        }
        let (has_price, has_original) = (is_kept("price"), is_kept("original_price"));
        if has_price || has_original {
            let price = if has_price { money_of(row.price)? } else { listing.price };
            let original = if has_original {
                row.original_price.map(money_of).transpose()?
            } else {
                listing.original_price
            };
            let list = ListPrice::of(price, original);
            (kept.price, kept.original_price, kept.discount) = (list.price, list.original_price, list.discount);
            let asked = raised.get(&listing.g2a_product_id).map(|raised| raised.asked);
            if asked.is_some_and(|asked| price < asked) {
                kept.depth = 0;
            }
        }
        merged.push(Merged {
            listing: Cow::Owned(kept),
            fields_by_hand: row.fields_by_hand,
            g2a_price: has_price.then_some(listing.price),
        });
    }
    if !games.is_empty() {
        sqlx::query!(
            "-- store.sync.said
            insert into supplier_values (game_id, said) select * from unnest($1::uuid[], $2::jsonb[]) on conflict (game_id) do update
               set said = excluded.said, at = now() where supplier_values.said <> excluded.said",
            &games,
            &said
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(merged)
}

/// The values of the fields that staff may set, as G2A gives them.
fn what_g2a_says(listing: &Listing) -> Value {
    let names = |terms: &[Term]| terms.iter().map(|term| term.name.clone()).collect::<Vec<_>>();
    json!({
        "title": listing.title,
        "description": listing.description,
        "imageUrl": listing.image,
        "images": listing.images,
        "publisher": listing.publisher,
        "developer": listing.developer,
        "releaseDate": listing.release_date.map(|at| at.date_naive()),
        "originalPrice": listing.original_price.map(|price| price.to_string()),
        "categories": names(&listing.categories),
        "genres": names(&listing.genres),
        "platforms": names(&listing.platforms),
        "tags": names(&listing.tags),
    })
}
