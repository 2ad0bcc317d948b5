//! The catalogue: storage, queries and changes of products.
//!
//! Products are stored by id. A query is answered from a cached list of the matching ids; a change of a product updates
//! every cached list. A page therefore costs its twenty products, whatever the size of the catalogue and the rate of
//! changes, and `total` is always exact.

mod load;
mod maker;
mod product;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::Money;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::dice::Dice;
pub use load::LoadError;
use maker::Maker;
pub(crate) use product::{Body, Product, loose_number, loose_value, read_time, write_time};

/// Maximum number of cached filters; the least recently used one is evicted.
const REMEMBERED_FILTERS: usize = 32;

/// The source of a sandbox's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Catalogue {
    /// Synthetic games; identical for the same seed, except that pre-orders and new releases follow the calendar.
    Generated {
        /// Number of products at the start.
        count: u64,
        /// The seed, any number.
        seed: u64,
    },
    /// A real export: a JSON file of the form `{"docs": [...]}` or `[...]`, or a folder of such files. Unknown fields
    /// are kept and served.
    File(PathBuf),
    /// No products; the control API can add some.
    Empty,
}

/// The filter of a list request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) id: Option<u64>,
    pub(crate) min_quantity: i64,
    pub(crate) min_price_from: Option<Decimal>,
    pub(crate) min_price_to: Option<Decimal>,
    pub(crate) include_out_of_stock: bool,
    pub(crate) updated_from: Option<DateTime<Utc>>,
    pub(crate) updated_to: Option<DateTime<Utc>>,
    /// Times are compared in steps of this many seconds, at least 1.
    pub(crate) granularity_seconds: i64,
}

/// The fields of a product that a filter compares.
#[derive(Clone, Copy)]
struct Facts {
    min_price: Money,
    quantity: i64,
    updated_at: Option<DateTime<Utc>>,
}

impl Facts {
    fn of(product: &Product) -> Self {
        Self {
            min_price: product.min_price,
            quantity: product.quantity,
            updated_at: product.updated_at,
        }
    }
}

impl Filter {
    /// Matches every product, in stock or not.
    pub(crate) fn everything() -> Self {
        Self {
            id: None,
            min_quantity: 0,
            min_price_from: None,
            min_price_to: None,
            include_out_of_stock: true,
            updated_from: None,
            updated_to: None,
            granularity_seconds: 1,
        }
    }

    fn finds(&self, id: u64, facts: Facts) -> bool {
        let step = |moment: DateTime<Utc>| moment.timestamp().div_euclid(self.granularity_seconds.max(1));
        self.id.is_none_or(|wanted| wanted == id)
            && (self.include_out_of_stock || facts.quantity > 0)
            && facts.quantity >= self.min_quantity
            && self.min_price_from.is_none_or(|from| facts.min_price.decimal() >= from)
            && self.min_price_to.is_none_or(|to| facts.min_price.decimal() <= to)
            && self
                .updated_from
                .is_none_or(|from| facts.updated_at.is_some_and(|at| step(at) >= step(from)))
            && self
                .updated_to
                .is_none_or(|to| facts.updated_at.is_some_and(|at| step(at) <= step(to)))
    }
}

/// The ids that match a filter, kept up to date.
struct Remembered {
    filter: Filter,
    ids: Vec<u64>,
    /// The number of matches when the first page was last read.
    total_at_first_page: usize,
    last_used: u64,
}

/// All products of a sandbox.
pub(crate) struct Goods {
    products: BTreeMap<u64, Product>,
    maker: Option<Maker>,
    next_number: u64,
    remembered: Vec<Remembered>,
    uses: u64,
}

impl Goods {
    /// Loads or generates the catalogue.
    pub(crate) fn open(source: &Catalogue, now: DateTime<Utc>) -> Result<Self, LoadError> {
        let mut goods = Self {
            products: BTreeMap::new(),
            maker: None,
            next_number: 0,
            remembered: Vec::new(),
            uses: 0,
        };
        match source {
            Catalogue::Empty => {}
            Catalogue::File(path) => goods.load(path)?,
            Catalogue::Generated { count, seed } => {
                let maker = Maker::new(*seed, *count, now.date_naive());
                goods.products = (0..*count)
                    .map(|number| (maker.id(number), made(&maker, number)))
                    .collect();
                goods.next_number = *count;
                goods.maker = Some(maker);
            }
        }
        Ok(goods)
    }

    fn load(&mut self, path: &Path) -> Result<(), LoadError> {
        for map in load::read(path)? {
            self.add(map);
        }
        Ok(())
    }

    /// The number of products.
    pub(crate) fn len(&self) -> usize {
        self.products.len()
    }

    /// The product with this id.
    pub(crate) fn get(&self, id: u64) -> Option<&Product> {
        self.products.get(&id)
    }

    /// Whether the key of this product is a file: one synthetic product in fifty.
    pub(crate) fn is_file_key(&self, id: u64) -> bool {
        match self.products.get(&id).map(|product| &product.body) {
            Some(Body::Made(number)) => number % 50 == 49,
            Some(Body::Given(map)) => map.get("isFile").and_then(Value::as_bool).unwrap_or(false),
            None => false,
        }
    }

    /// Returns one page of the matches: the total and the ids in ascending order. `page` counts from 1. Without
    /// `live_total`, the total is that of the last read of the first page.
    pub(crate) fn page(&mut self, filter: &Filter, page: usize, size: usize, live_total: bool) -> (usize, Vec<u64>) {
        let offset = page.saturating_sub(1).saturating_mul(size);
        if let Some(id) = filter.id {
            let found = self
                .products
                .get(&id)
                .filter(|product| filter.finds(id, Facts::of(product)));
            let ids: Vec<u64> = found.map(|_| id).into_iter().collect();
            return (ids.len(), if offset == 0 { ids } else { Vec::new() });
        }
        self.uses += 1;
        let uses = self.uses;
        let at = self.remember(filter);
        let list = &mut self.remembered[at];
        list.last_used = uses;
        if page <= 1 {
            list.total_at_first_page = list.ids.len();
        }
        let total = if live_total {
            list.ids.len()
        } else {
            list.total_at_first_page
        };
        let from = offset.min(list.ids.len());
        let to = offset.saturating_add(size).min(list.ids.len());
        (total, list.ids[from..to].to_vec())
    }

    /// Returns the index of the cached list for `filter`, and creates the list if necessary.
    fn remember(&mut self, filter: &Filter) -> usize {
        if let Some(at) = self.remembered.iter().position(|list| list.filter == *filter) {
            return at;
        }
        if self.remembered.len() >= REMEMBERED_FILTERS {
            let oldest = self
                .remembered
                .iter()
                .enumerate()
                .min_by_key(|(_, list)| list.last_used);
            if let Some((at, _)) = oldest {
                self.remembered.swap_remove(at);
            }
        }
        let matching = self
            .products
            .iter()
            .filter(|(id, product)| filter.finds(**id, Facts::of(product)));
        let ids: Vec<u64> = matching.map(|(id, _)| *id).collect();
        let total_at_first_page = ids.len();
        self.remembered.push(Remembered {
            filter: filter.clone(),
            ids,
            total_at_first_page,
            last_used: self.uses,
        });
        self.remembered.len() - 1
    }

    /// Appends a product's JSON to `out`; nothing if there is no such product.
    pub(crate) fn write_json(&self, id: u64, out: &mut Vec<u8>) {
        let Some(product) = self.products.get(&id) else { return };
        let start = out.len();
        let written = match &self.maker {
            Some(maker) => product.write_json(|number| maker.describe(number), out),
            None => product.write_json(
                |number| Maker::new(0, 0, DateTime::UNIX_EPOCH.date_naive()).describe(number),
                out,
            ),
        };
        if written.is_err() {
            // Serialising plain structs to memory cannot fail; if it ever does, no partial object may remain.
            out.truncate(start);
            out.extend_from_slice(b"{}");
        }
    }

    /// The product as a JSON value.
    pub(crate) fn value(&self, id: u64) -> Option<Value> {
        self.products.get(&id)?;
        let mut text = Vec::new();
        self.write_json(id, &mut text);
        serde_json::from_slice(&text).ok()
    }

    /// Adds a product and returns its id in the catalogue: its own `id` if that is a number or a string of digits, else
    /// the next free one (the row is served unchanged). Replaces an existing product with that id.
    pub(crate) fn add(&mut self, map: Map<String, Value>) -> u64 {
        let own = match map.get("id") {
            Some(Value::String(text)) => text.parse().ok(),
            Some(Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        let id = own.unwrap_or_else(|| {
            self.products
                .last_key_value()
                .map_or(10_000_000_000_000, |(last, _)| last + 1)
        });
        self.remove(id);
        self.insert(id, Product::from_map(map));
        id
    }

    /// Adds the next synthetic product, if the catalogue is synthetic.
    fn add_made(&mut self, now: DateTime<Utc>) -> Option<u64> {
        let maker = self.maker.as_ref()?;
        let (id, mut product) = (maker.id(self.next_number), made(maker, self.next_number));
        product.updated_at = Some(now);
        self.next_number += 1;
        self.insert(id, product);
        Some(id)
    }

    fn insert(&mut self, id: u64, product: Product) {
        self.relist(id, None, Some(Facts::of(&product)));
        self.products.insert(id, product);
    }

    /// Removes a product; `false` if it does not exist.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(product) = self.products.remove(&id) else {
            return false;
        };
        self.relist(id, Some(Facts::of(&product)), None);
        true
    }

    /// Changes the price, stock or time of a product; `false` if it does not exist.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Product)) -> bool {
        let Some(product) = self.products.get_mut(&id) else {
            return false;
        };
        let before = Facts::of(product);
        change(product);
        product.write_back();
        let after = Facts::of(product);
        self.relist(id, Some(before), Some(after));
        true
    }

    /// Sets JSON fields of a product (null removes one) and sets its time of change to now, unless the patch contains
    /// it; `false` if it does not exist.
    pub(crate) fn patch(&mut self, id: u64, patch: Map<String, Value>, now: DateTime<Utc>) -> bool {
        let Some(Value::Object(mut map)) = self.value(id) else {
            return false;
        };
        let says_when = patch.contains_key("updated_at");
        for (field, value) in patch {
            if value.is_null() {
                map.remove(&field);
            } else {
                map.insert(field, value);
            }
        }
        if !says_when {
            map.insert("updated_at".into(), write_time(now).into());
        }
        let Some(product) = self.products.get_mut(&id) else {
            return false;
        };
        let before = Facts::of(product);
        product.body = Body::Given(Box::new(map));
        product.read_back();
        if !says_when {
            product.updated_at = Some(now);
        }
        let after = Facts::of(product);
        self.relist(id, Some(before), Some(after));
        true
    }

    /// Moves a product in or out of the cached lists.
    fn relist(&mut self, id: u64, before: Option<Facts>, after: Option<Facts>) {
        for list in &mut self.remembered {
            let was = before.is_some_and(|facts| list.filter.finds(id, facts));
            let is = after.is_some_and(|facts| list.filter.finds(id, facts));
            match (was, is, list.ids.binary_search(&id)) {
                (true, false, Ok(at)) => {
                    list.ids.remove(at);
                }
                (false, true, Err(at)) => list.ids.insert(at, id),
                _ => {}
            }
        }
    }

    /// Makes one random change like those of a market: mostly of a price or a stock; occasionally a product is added or
    /// removed (only in a synthetic catalogue; a loaded export keeps its products).
    pub(crate) fn drift(&mut self, dice: &mut Dice, now: DateTime<Utc>) {
        let roll = dice.below(100);
        if self.maker.is_some() && roll < 3 {
            self.add_made(now);
            return;
        }
        let Some(id) = self.random_id(dice) else { return };
        if self.maker.is_some() && roll < 5 {
            self.remove(id);
            return;
        }
        if roll < 60 {
            let percent = if dice.percent(50) {
                dice.between(86, 99)
            } else {
                dice.between(101, 115)
            };
            self.change(id, |product| {
                product.min_price = scaled(product.min_price, percent);
                product.retail_min_price = scaled(product.retail_min_price, percent);
                product.retail_min_base_price = scaled(product.retail_min_base_price, percent);
                product.updated_at = Some(now);
            });
        } else {
            let quantity = match dice.below(10) {
                0 => 0,
                1..=3 => dice.between(1, 400),
                _ => -1,
            };
            let step = dice.between(-5, 5);
            self.change(id, |product| {
                let stepped = product.quantity.saturating_add(if step == 0 { 1 } else { step }).max(0);
                product.quantity = if quantity < 0 { stepped } else { quantity };
                product.updated_at = Some(now);
            });
        }
    }

    fn random_id(&self, dice: &mut Dice) -> Option<u64> {
        let (first, last) = (*self.products.first_key_value()?.0, *self.products.last_key_value()?.0);
        let guess = first + dice.below(last - first + 1);
        self.products.range(guess..).next().map(|(id, _)| *id)
    }
}

/// A percentage of a price, at least one cent and at most 999.99.
fn scaled(price: Money, percent: i64) -> Money {
    let cents = price.cents().saturating_mul(percent) / 100;
    // A small price must change too, or drift would have no effect on it.
    let moved = if cents == price.cents() {
        if percent > 100 { cents + 1 } else { cents - 1 }
    } else {
        cents
    };
    Money::from_cents(moved.clamp(1, 99_999)).unwrap_or(price)
}

fn made(maker: &Maker, number: u64) -> Product {
    let start = maker.start(number);
    Product {
        min_price: start.min_price,
        retail_min_price: start.retail_min_price,
        retail_min_base_price: start.retail_min_base_price,
        quantity: start.quantity,
        updated_at: Some(start.updated_at),
        body: Body::Made(number),
    }
}

/// The time `seconds` after `start`: the end of a reservation or of a filter window.
pub(crate) fn later(start: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .and_then(|span| start.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
