//! Prices by the price rules. A rule looks at the genres, platforms and activation service that a game will have when the
//! pass has written it: those of its listing, except what staff have set and what this pass does not write.

use std::collections::{HashMap, HashSet};

use lockstep_domain::Money;
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::{GameFacts, PriceRules};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::listing::Listing;
use super::taxonomy::{TAXONOMIES, Taxonomy, Term};
use crate::price_rules::facts_of;
use crate::{Result, Tx};

/// The rules, and what they look at for each product.
pub(super) struct Prices<'p> {
    rules: &'p PriceRules,
    pricing: &'p Pricing,
    facts: HashMap<String, GameFacts>,
}

impl<'p> Prices<'p> {
    /// Reads what the rules look at, if they look at anything, for prices that are shown. `known` has the games of the products that are in the shop, and
    /// `writes_all` says whether the pass writes more of them than price and stock.
    pub(super) async fn read(
        tx: &mut Tx,
        rules: &'p PriceRules,
        pricing: &'p Pricing,
        listings: &[&Listing],
        known: &HashMap<String, Uuid>,
        writes_all: bool,
    ) -> Result<Self> {
        let mut prices = Self {
            rules,
            pricing,
            facts: HashMap::new(),
        };
        if !rules.needs_facts() {
            return Ok(prices);
        }
        let games: Vec<Uuid> = known.values().copied().collect();
        let stored = facts_of(tx, &games).await?;
        let [_, genres, platforms, _] = &TAXONOMIES;
        let genres = Told::read(tx, genres, listings, known, writes_all).await?;
        let platforms = Told::read(tx, platforms, listings, known, writes_all).await?;
        for listing in listings {
            let game = known.get(&listing.g2a_product_id);
            let mut facts = game.and_then(|game| stored.get(game)).cloned().unwrap_or_default();
            if let Some(genres) = genres.of(listing, game) {
                facts.genres = genres;
            }
            if let Some(platforms) = platforms.of(listing, game) {
                facts.platforms = platforms;
            }
            if game.is_none() || writes_all {
                facts.activation_service.clone_from(&listing.activation_service);
            }
            prices.facts.insert(listing.g2a_product_id.clone(), facts);
        }
        Ok(prices)
    }

    /// The same for prices that are written.
    pub(super) async fn read_locked(
        tx: &mut Tx,
        rules: &'p PriceRules,
        pricing: &'p Pricing,
        listings: &[&Listing],
        known: &HashMap<String, Uuid>,
        writes_all: bool,
    ) -> Result<Self> {
        if rules.needs_facts() {
            let games: Vec<Uuid> = known.values().copied().collect();
            // Locked before what the rules look at is read: a price by what has changed since would stay.
            sqlx::query!(
                "-- store.sync.priced.lock\nselect id from games where id = any($1) order by id for no key update",
                &games
            )
            .fetch_all(tx.conn())
            .await?;
        }
        Self::read(tx, rules, pricing, listings, known, writes_all).await
    }

    fn facts(&self, product: &str) -> GameFacts {
        self.facts.get(product).cloned().unwrap_or_default()
    }

    /// The price of a product at this price of the supplier's.
    pub(super) fn of(&self, product: &str, cost: Decimal) -> Option<Money> {
        self.rules.price(self.pricing, &self.facts(product), cost)
    }

    /// The listings with prices by the rules, without those that have none; `None` if there are no rules.
    pub(super) fn applied(&self, listings: &[&Listing]) -> Option<Vec<Listing>> {
        if self.rules.is_empty() {
            return None;
        }
        let priced = listings.iter().filter_map(|listing| {
            let list = self.rules.list_price(
                self.pricing,
                &self.facts(&listing.g2a_product_id),
                listing.supplier_price,
                listing.supplier_retail_price,
            )?;
            Some(Listing {
                price: list.price,
                original_price: list.original_price,
                discount: list.discount,
                ..(*listing).clone()
            })
        });
        Some(priced.collect())
    }
}

/// What listings say of a taxonomy.
struct Told<'t> {
    taxonomy: &'t Taxonomy,
    ids: HashMap<String, Uuid>,
    /// The games whose terms this pass does not write.
    kept: HashSet<Uuid>,
}

impl<'t> Told<'t> {
    async fn read(
        tx: &mut Tx,
        taxonomy: &'t Taxonomy,
        listings: &[&Listing],
        known: &HashMap<String, Uuid>,
        writes_all: bool,
    ) -> Result<Self> {
        let terms: HashSet<&Term> = listings.iter().flat_map(|listing| (taxonomy.terms)(listing)).collect();
        let mut terms: Vec<&Term> = terms.into_iter().collect();
        terms.sort_unstable();
        let games: Vec<(Uuid, &Listing)> = listings
            .iter()
            .filter_map(|listing| Some((*known.get(&listing.g2a_product_id)?, *listing)))
            .collect();
        let kept = if writes_all {
            taxonomy.kept(tx, &games).await?
        } else {
            games.iter().map(|(game, _)| *game).collect()
        };
        Ok(Self {
            taxonomy,
            ids: taxonomy.find(tx, &terms).await?,
            kept,
        })
    }

    /// The ids of a listing's terms; `None` for a game that keeps those that it has.
    fn of(&self, listing: &Listing, game: Option<&Uuid>) -> Option<Vec<Uuid>> {
        if game.is_some_and(|game| self.kept.contains(game)) {
            return None;
        }
        let terms = (self.taxonomy.terms)(listing);
        Some(
            terms
                .iter()
                .filter_map(|term| self.ids.get(&term.slug).copied())
                .collect(),
        )
    }
}
