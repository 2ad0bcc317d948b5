//! The goods: what is listed, found and changed.
//!
//! Products are kept by id. A listing is answered from a remembered list of the matching ids; a change of a product
//! moves it in or out of each remembered list. So a page costs its twenty products however large the catalogue is and
//! however fast it changes, and `total` is always exact.

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

/// How many filters are remembered; the least recently used one is forgotten.
const REMEMBERED_FILTERS: usize = 32;

/// Where the goods of a sandbox come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Catalogue {
    /// Made-up games; the same for the same seed, except that pre-orders and new releases follow the calendar.
    Generated {
        /// How many products there are at the start.
        count: u64,
        /// Any number.
        seed: u64,
    },
    /// A real export: a JSON file of the form `{"docs": [...]}` or `[...]`, or a folder of such files. Fields that
    /// nobody knows are kept and served.
    File(PathBuf),
    /// Nothing; products can be added through the control surface.
    Empty,
}

/// What a listing asks for.
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

/// What a filter looks at.
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
    /// Every product, in stock or not.
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
    /// The number of matches when its first page was last read.
    total_at_first_page: usize,
    last_used: u64,
}

/// The goods.
pub(crate) struct Goods {
    products: BTreeMap<u64, Product>,
    maker: Option<Maker>,
    next_number: u64,
    remembered: Vec<Remembered>,
    uses: u64,
}

impl Goods {
    /// Loads or makes the catalogue.
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

    /// How many products there are.
    pub(crate) fn len(&self) -> usize {
        self.products.len()
    }

    /// The product with this id.
    pub(crate) fn get(&self, id: u64) -> Option<&Product> {
        self.products.get(&id)
    }

    /// True if the key of this product is delivered as a file: one made-up product in fifty.
    pub(crate) fn is_file_key(&self, id: u64) -> bool {
        match self.products.get(&id).map(|product| &product.body) {
            Some(Body::Made(number)) => number % 50 == 49,
            Some(Body::Given(map)) => map.get("isFile").and_then(Value::as_bool).unwrap_or(false),
            None => false,
        }
    }

    /// One page of what matches: the total and the ids in ascending order. `page` counts from 1. With `live_total`
    /// off, the total is the one found when the first page was last read.
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

    /// The place of the list for `filter`, which is made when it is not there.
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

    /// Appends a product's JSON to `out`; nothing when there is no such product.
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
            // Writing plain structs to memory cannot fail; if it ever does, half an object must not remain.
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

    /// Adds a product and returns its id in the catalogue: its own `id` when that is a number or a string of digits,
    /// else the next free one (the row is still served as it is). An existing product of that id is replaced.
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

    /// Adds the next made-up product, if this catalogue is a made-up one.
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

    /// Takes a product off the market; false when there is none.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(product) = self.products.remove(&id) else {
            return false;
        };
        self.relist(id, Some(Facts::of(&product)), None);
        true
    }

    /// Changes price, stock or time of a product; false when there is none.
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

    /// Sets JSON fields of a product (null removes one) and marks it as changed now, unless the patch says when;
    /// false when there is no such product.
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

    /// Moves a product in or out of the remembered lists.
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

    /// One random change, as a market makes them: mostly a price or a stock, now and then a product comes or goes
    /// (only in a made-up catalogue; a loaded export neither gains nor loses products by itself).
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

/// A price times a percentage, at least one cent and at most 999.99.
fn scaled(price: Money, percent: i64) -> Money {
    let cents = price.cents().saturating_mul(percent) / 100;
    // A small price must still move, or drift would do nothing to it.
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

/// The end of the reservation or filter window `seconds` after `start`.
pub(crate) fn later(start: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .and_then(|span| start.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
