//! What a pass would store of products, without storing it.

use lockstep_domain::Money;
use lockstep_domain::price::Pricing;
use lockstep_g2a::Product;
use lockstep_store::sync as records;
use lockstep_store::{Result, Store};

use crate::mapping::{self, Refused};

/// What would be stored of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// A game.
    Game {
        /// Its title.
        title: String,
        /// Its price by the price rules, EUR.
        price: Money,
        /// Whether G2A has it.
        in_stock: bool,
    },
    /// Nothing, and why.
    Skipped(String),
}

/// What a pass would store of each of `products`, in their order. `pricing` are the settings that the price rules start
/// from.
///
/// # Errors
/// [`StoreError`](lockstep_store::StoreError).
pub async fn preview(store: &Store, products: &[Product], pricing: &Pricing) -> Result<Vec<Preview>> {
    let mapped: Vec<_> = products
        .iter()
        .map(|product| mapping::listing(product, pricing, &mut Refused::new()))
        .collect();
    let listings: Vec<records::Listing> = mapped.iter().flatten().cloned().collect();
    let mut prices = records::prices(store, &listings, pricing).await?;
    let previews = mapped.into_iter().map(|mapped| match mapped {
        Err(reason) => Preview::Skipped(reason.to_string()),
        Ok(listing) => match prices.remove(&listing.g2a_product_id) {
            Some(price) => Preview::Game {
                title: listing.title,
                price,
                in_stock: listing.depth > 0,
            },
            None => Preview::Skipped("the price rules have no price for it".to_owned()),
        },
    });
    Ok(previews.collect())
}
