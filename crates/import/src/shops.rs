//! Files of WooCommerce and Shopify: products and customers. What a file holds is seen from its content.
//!
//! WooCommerce's headings are in the shop's language; both generations of Shopify's are known. A price is read with a decimal
//! comma or point; one that could be both is refused. Products become games of the shop's own, which are sold from stored keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use csv::{ReaderBuilder, StringRecord};
use lockstep_domain::account::Email;
use lockstep_domain::{html, slug};
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::imports::{self, CustomerBatch, Game, GameTerm, Run, Source, TermKind, User};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::report::{Report, Row, Table};
use crate::{ImportError, own_id};

/// Rows of one transaction.
const BATCH: usize = 500;
/// The largest file that is read.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// What a heading means, with the names that it has, in lower case.
const COLUMNS: &[(&str, &[&str])] = &[
    ("id", &["id"]),
    ("type", &["type", "typ", "tipo"]),
    ("sku", &["sku", "artikelnummer", "ugs", "variant sku"]),
    ("name", &["name", "nom", "nombre", "nome", "naam", "title"]),
    (
        "published",
        &["published", "veröffentlicht", "publié", "publicado", "pubblicato"],
    ),
    (
        "short",
        &[
            "short description",
            "kurzbeschreibung",
            "description courte",
            "descripción corta",
            "breve descrizione",
        ],
    ),
    (
        "description",
        &[
            "description",
            "beschreibung",
            "descripción",
            "descrizione",
            "body (html)",
            "beschrijving",
        ],
    ),
    (
        "sale",
        &[
            "sale price",
            "angebotspreis",
            "tarif promo",
            "precio rebajado",
            "prezzo in offerta",
        ],
    ),
    (
        "regular",
        &[
            "regular price",
            "regulärer preis",
            "tarif régulier",
            "precio normal",
            "prezzo di listino",
        ],
    ),
    (
        "categories",
        &["categories", "kategorien", "catégories", "categorías", "categorie"],
    ),
    ("tags", &["tags", "schlagwörter", "étiquettes", "etiquetas", "tag"]),
    (
        "images",
        &[
            "images",
            "bilder",
            "imágenes",
            "immagini",
            "image src",
            "product image url",
        ],
    ),
    // Shopify, both generations.
    ("handle", &["handle", "url handle"]),
    ("vendor", &["vendor"]),
    ("price", &["variant price", "price"]),
    ("compare", &["variant compare at price", "compare-at price"]),
    ("option", &["option1 value"]),
    // Customers.
    ("email", &["email", "e-mail"]),
    ("first", &["first name", "vorname"]),
    ("last", &["last name", "nachname"]),
];

/// Where the rows go.
pub struct Target<'a> {
    /// This shop.
    pub store: &'a Store,
    /// Who imports.
    pub by: By,
    /// The present time.
    pub now: DateTime<Utc>,
    /// Write nothing.
    pub dry_run: bool,
}

/// Brings files of products and customers.
///
/// # Errors
/// [`ImportError`]; what was committed until then stays, and the next run brings the rest.
pub async fn run(target: &Target<'_>, source: Source, files: &[impl AsRef<Path>]) -> Result<Report, ImportError> {
    let run = if target.dry_run {
        None
    } else {
        Some(imports::begin(target.store, source, &target.by).await?)
    };
    let mut report = Report {
        run: run.map(|run| run.id),
        source: source.name().into(),
        dry_run: run.is_none(),
        ..Report::default()
    };
    for file in files {
        let file = file.as_ref();
        let name = file.display().to_string();
        let wrong = |why: &str| ImportError::File {
            file: name.clone(),
            why: why.to_owned(),
        };
        let size = std::fs::metadata(file)
            .map_err(|error| wrong(&error.to_string()))?
            .len();
        if size > MOST_BYTES {
            return Err(wrong("it is larger than 512 MiB; divide it"));
        }
        let bytes = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(wrong("the file is UTF-16; save it as CSV UTF-8"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| wrong("the file is not UTF-8, perhaps Windows-1252; save it as CSV UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut work = Work {
            target,
            run,
            source,
            report: &mut report,
        };
        if text.trim_start().starts_with('[') {
            work.json(text).await.map_err(|error| error.of(&name))?;
        } else {
            work.csv(text).await.map_err(|error| error.of(&name))?;
        }
    }
    report.lines.sort_by_key(|row| row.line);
    if let Some(run) = run {
        imports::end(target.store, run, &report.summary()).await?;
    }
    Ok(report)
}

/// Why a file was not read to its end.
enum Stopped {
    File(String),
    Import(ImportError),
}

impl Stopped {
    fn of(self, file: &str) -> ImportError {
        match self {
            Self::File(why) => ImportError::File {
                file: file.to_owned(),
                why,
            },
            Self::Import(error) => error,
        }
    }
}

impl From<lockstep_store::StoreError> for Stopped {
    fn from(error: lockstep_store::StoreError) -> Self {
        Self::Import(error.into())
    }
}

/// A customer of a file.
struct Customer {
    line: usize,
    foreign: String,
    email: String,
    first: Option<String>,
    last: Option<String>,
}

/// A product of a file.
#[derive(Debug, Default)]
struct Product {
    line: usize,
    foreign: String,
    sku: Option<String>,
    title: String,
    handle: Option<String>,
    description: String,
    short: Option<String>,
    vendor: Option<String>,
    price: Option<Decimal>,
    original: Option<Decimal>,
    categories: Vec<String>,
    tags: Vec<String>,
    images: Vec<String>,
    is_published: bool,
}

struct Work<'a> {
    target: &'a Target<'a>,
    run: Option<Run>,
    source: Source,
    report: &'a mut Report,
}

impl Work<'_> {
    fn table(&mut self, name: &str) -> &mut Table {
        self.report.tables.entry(name.to_owned()).or_default()
    }

    fn refuse(&mut self, table: &str, line: usize, reason: &str, cure: &str) {
        self.table(table).refused += 1;
        self.report.lines.push(Row {
            line,
            outcome: "refused",
            reason: reason.to_owned(),
            cure: cure.to_owned(),
        });
    }

    async fn csv(&mut self, text: &str) -> Result<(), Stopped> {
        let first = text.lines().next().unwrap_or_default();
        let separator = [',', ';', '\t']
            .into_iter()
            .max_by_key(|separator| first.matches(*separator).count())
            .unwrap_or(',');
        let mut reader = ReaderBuilder::new()
            .delimiter(u8::try_from(separator).unwrap_or(b','))
            .flexible(true)
            .from_reader(text.as_bytes());
        let headings = reader
            .headers()
            .map_err(|error| Stopped::File(error.to_string()))?
            .clone();
        let columns = columns(&headings);
        let has = |name: &str| columns.contains_key(name);
        let form = if has("handle") && has("name") {
            "products of Shopify"
        } else if has("name") && (has("regular") || has("sku")) {
            "products of WooCommerce"
        } else if has("email") {
            "customers"
        } else {
            return Err(Stopped::File(
                "its headings are those of no products or customers that are known".into(),
            ));
        };
        self.report.notes.push(format!("Read as {form}."));
        let mut products: Vec<Product> = Vec::new();
        let mut customers = Vec::new();
        let mut record = StringRecord::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| Stopped::File(error.to_string()))?
        {
            let line = record.position().map_or(0, |position| {
                // The reader counts the LF of a CR and LF with the next line.
                let at = usize::try_from(position.byte()).unwrap_or_default();
                let line = usize::try_from(position.line()).unwrap_or_default();
                line + usize::from(text.as_bytes().get(at) == Some(&b'\n'))
            });
            let cell = |name: &str| {
                columns
                    .get(name)
                    .and_then(|at| record.get(*at))
                    .map(str::trim)
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            };
            if form == "customers" {
                self.table("customers").rows += 1;
                let Some(email) = cell("email") else {
                    self.refuse(
                        "customers",
                        line,
                        "There is no address.",
                        "A customer is found by the address.",
                    );
                    continue;
                };
                let foreign = cell("id").unwrap_or_else(|| self.mark(&email));
                customers.push(Customer {
                    line,
                    foreign,
                    email,
                    first: cell("first"),
                    last: cell("last"),
                });
                continue;
            }
            self.table("products").rows += 1;
            if form == "products of Shopify" {
                self.shopify_row(&mut products, line, &cell);
            } else {
                self.woo_row(&mut products, line, &cell);
            }
        }
        for batch in customers.chunks(BATCH) {
            self.put_customers(batch).await?;
        }
        self.put_products(products).await
    }

    /// What names a customer without an id. It is stored, and must not hold the address.
    fn mark(&self, email: &str) -> String {
        own_id(self.source.name(), "address", &email.to_lowercase()).to_string()
    }

    /// A row of WooCommerce's exporter: a product, or a variation of one.
    fn woo_row(&mut self, products: &mut Vec<Product>, line: usize, cell: &dyn Fn(&str) -> Option<String>) {
        let kind = cell("type").unwrap_or_default().to_lowercase();
        if kind.contains("variable") || kind.contains("grouped") || kind.contains("external") {
            self.refuse(
                "products",
                line,
                "A product of this type is not sold by itself.",
                "Its variations are brought one by one.",
            );
            return;
        }
        let Some(title) = cell("name") else {
            self.refuse(
                "products",
                line,
                "There is no name.",
                "Enter one in the other shop and export again.",
            );
            return;
        };
        let (Ok(regular), Ok(sale)) = (price(cell("regular")), price(cell("sale"))) else {
            self.refuse(
                "products",
                line,
                "The price could be read in two ways.",
                "Write it with two decimals and import again.",
            );
            return;
        };
        let Some(foreign) = cell("id").or_else(|| cell("sku")) else {
            self.refuse(
                "products",
                line,
                "There is neither an id nor a SKU.",
                "Export the products with their ids.",
            );
            return;
        };
        let categories = cell("categories").unwrap_or_default();
        products.push(Product {
            line,
            foreign,
            sku: cell("sku"),
            title,
            description: cell("description").unwrap_or_default(),
            short: cell("short"),
            price: sale.or(regular),
            original: regular.filter(|_| sale.is_some()),
            // "Games > Adventure, Games": the last part of each path is its name.
            categories: list(&categories)
                .into_iter()
                .filter_map(|path| path.rsplit('>').next().map(|name| name.trim().to_owned()))
                .collect(),
            tags: list(&cell("tags").unwrap_or_default()),
            images: list(&cell("images").unwrap_or_default()),
            is_published: cell("published").is_none_or(|published| published == "1"),
            ..Product::default()
        });
    }

    /// A row of Shopify's export. One with the handle of the row before continues its product.
    fn shopify_row(&mut self, products: &mut Vec<Product>, line: usize, cell: &dyn Fn(&str) -> Option<String>) {
        let Some(handle) = cell("handle") else {
            self.refuse("products", line, "There is no handle.", "Export the products again.");
            return;
        };
        let before = products
            .last()
            .filter(|before| before.handle.as_deref() == Some(handle.as_str()));
        let Ok(own_price) = price(cell("price")) else {
            self.refuse(
                "products",
                line,
                "The price could be read in two ways.",
                "Write it with two decimals and import again.",
            );
            return;
        };
        let original = price(cell("compare")).ok().flatten();
        if let Some(before) = before {
            // A further variant with a price of its own, or only a further picture.
            let (title, description) = (before.title.clone(), before.description.clone());
            let (vendor, tags) = (before.vendor.clone(), before.tags.clone());
            if own_price.is_none() {
                if let (Some(image), Some(before)) = (cell("images"), products.last_mut()) {
                    before.images.push(image);
                }
                self.table("products").duplicates += 1;
                return;
            }
            let option = cell("option").unwrap_or_else(|| format!("variant {line}"));
            products.push(Product {
                line,
                foreign: cell("sku").unwrap_or_else(|| format!("{handle}/{option}")),
                sku: cell("sku"),
                title: format!("{} {option}", title.split(" – ").next().unwrap_or(&title)),
                handle: Some(handle),
                description,
                vendor,
                price: own_price,
                original,
                tags,
                images: cell("images").into_iter().collect(),
                is_published: true,
                ..Product::default()
            });
            return;
        }
        let Some(title) = cell("name") else {
            self.refuse(
                "products",
                line,
                "There is no title.",
                "Enter one in the other shop and export again.",
            );
            return;
        };
        products.push(Product {
            line,
            foreign: handle.clone(),
            sku: cell("sku"),
            title,
            handle: Some(handle),
            description: cell("description").unwrap_or_default(),
            vendor: cell("vendor"),
            price: own_price,
            original,
            tags: list(&cell("tags").unwrap_or_default()),
            images: cell("images").into_iter().collect(),
            is_published: cell("published").is_none_or(|published| !published.eq_ignore_ascii_case("false")),
            ..Product::default()
        });
    }

    /// WooCommerce's REST export: an array of customers or orders.
    async fn json(&mut self, text: &str) -> Result<(), Stopped> {
        let values: Vec<serde_json::Value> =
            serde_json::from_str(text).map_err(|error| Stopped::File(error.to_string()))?;
        let is_orders = values.first().is_some_and(|value| value.get("line_items").is_some());
        self.report.notes.push(format!(
            "Read as {} of WooCommerce's REST export.",
            if is_orders { "orders" } else { "customers" }
        ));
        let mut customers = Vec::new();
        for (number, value) in values.iter().enumerate() {
            let line = number + 1;
            let text = |name: &str| {
                value
                    .get(name)
                    .and_then(serde_json::Value::as_str)
                    .map(str::trim)
                    .filter(|text| !text.is_empty())
            };
            if is_orders {
                self.table("orders").rows += 1;
                let cure = "Keep the export: orders of WooCommerce have no keys, and are not history that the books could check.";
                self.refuse("orders", line, "Orders of WooCommerce are not brought.", cure);
                continue;
            }
            self.table("customers").rows += 1;
            let Some(email) = text("email") else {
                self.refuse(
                    "customers",
                    line,
                    "There is no address.",
                    "A customer is found by the address.",
                );
                continue;
            };
            customers.push(Customer {
                line,
                foreign: value.get("id").map_or_else(|| self.mark(email), ToString::to_string),
                email: email.to_owned(),
                first: text("first_name").map(str::to_owned),
                last: text("last_name").map(str::to_owned),
            });
        }
        for batch in customers.chunks(BATCH) {
            self.put_customers(batch).await?;
        }
        Ok(())
    }

    async fn put_customers(&mut self, customers: &[Customer]) -> Result<(), Stopped> {
        let foreign: Vec<String> = customers.iter().map(|customer| customer.foreign.clone()).collect();
        let known = imports::known(self.target.store, self.source, "user", &foreign).await?;
        let mut addresses = Vec::new();
        for customer in customers {
            match Email::parse(&customer.email) {
                Ok(email) => addresses.push((customer, email.as_str().to_owned())),
                Err(_) => {
                    self.refuse(
                        "customers",
                        customer.line,
                        "This is no e-mail address.",
                        "Correct it and import the file again.",
                    );
                }
            }
        }
        let texts: Vec<String> = addresses.iter().map(|(_, email)| email.clone()).collect();
        let here = imports::of_addresses(self.target.store, &texts).await?;
        let mut seen: HashSet<String> = HashSet::new();
        let mut batch = CustomerBatch::default();
        for (customer, email) in addresses {
            if known.contains_key(&customer.foreign) || here.contains_key(&email) || !seen.insert(email.clone()) {
                self.table("customers").duplicates += 1;
                self.report.lines.push(Row {
                    line: customer.line,
                    outcome: "duplicate",
                    reason: "An account with this address is here already.".into(),
                    cure: "None is needed.".into(),
                });
                continue;
            }
            batch.users.push(User {
                foreign_id: customer.foreign.clone(),
                id: own_id(self.source.name(), "user", &customer.foreign),
                email,
                password_hash: None,
                nickname: customer.first.clone(),
                first_name: customer.first.clone(),
                last_name: customer.last.clone(),
                avatar: None,
                is_admin: false,
                email_verified: false,
                created_at: self.target.now,
                balance: Decimal::ZERO,
            });
        }
        let many = batch.users.len() as u64;
        if let Some(run) = self.run
            && many > 0
        {
            imports::put_customers(self.target.store, run, batch).await?;
        }
        self.table("customers").taken += many;
        Ok(())
    }

    async fn put_products(&mut self, products: Vec<Product>) -> Result<(), Stopped> {
        let mut terms: BTreeMap<(bool, String), Uuid> = BTreeMap::new();
        let mut priced: Vec<Product> = Vec::new();
        let mut seen = HashSet::new();
        for product in products {
            if product.price.is_none_or(|price| price <= Decimal::ZERO) {
                self.refuse(
                    "products",
                    product.line,
                    "There is no price above zero.",
                    "Enter one in the other shop and export again.",
                );
            } else if seen.insert(product.foreign.clone()) {
                priced.push(product);
            } else {
                self.table("products").duplicates += 1;
            }
        }
        for batch in priced.chunks(BATCH) {
            let games: Vec<Game> = batch.iter().map(|product| self.game(product)).collect();
            let many = games.len() as u64;
            let Some(run) = self.run else {
                self.table("products").taken += many;
                continue;
            };
            let known = imports::put_games(self.target.store, run, &games).await?;
            let table = self.table("products");
            table.taken += known.taken;
            table.duplicates += many - known.taken;
            let mut links: [Vec<GameTerm>; 2] = Default::default();
            let mut aliases = Vec::new();
            for product in batch {
                let Some(game) = known.ids.get(&product.foreign).copied() else {
                    continue;
                };
                if let Some(sku) = &product.sku {
                    aliases.push((sku.clone(), game));
                }
                for (is_tag, name) in (product.categories.iter().map(|name| (false, name)))
                    .chain(product.tags.iter().map(|name| (true, name)))
                {
                    let kind = if is_tag { TermKind::Tag } else { TermKind::Category };
                    let term = if let Some(term) = terms.get(&(is_tag, name.clone())) {
                        *term
                    } else {
                        let id = own_id(self.source.name(), if is_tag { "tag" } else { "category" }, name);
                        let address = slug::slug_of_name(name);
                        let (term, _) =
                            imports::put_term(self.target.store, run, kind, name, id, (&address, name)).await?;
                        terms.insert((is_tag, name.clone()), term);
                        term
                    };
                    if let Some(links) = links.get_mut(usize::from(is_tag)) {
                        links.push(GameTerm { game, term });
                    }
                }
            }
            let [categories, tags] = links;
            imports::put_links(self.target.store, TermKind::Category, &categories).await?;
            imports::put_links(self.target.store, TermKind::Tag, &tags).await?;
            imports::note_aliases(self.target.store, run, &aliases).await?;
        }
        Ok(())
    }

    fn game(&self, product: &Product) -> Game {
        let id = own_id(self.source.name(), "game", &product.foreign);
        let price = product.price.unwrap_or_default();
        let original = product.original.filter(|original| *original > price);
        let named = product
            .handle
            .as_deref()
            .map(slug::slugify)
            .filter(|_| product.foreign == product.handle.clone().unwrap_or_default());
        let made = named.unwrap_or_else(|| slug::slugify(&product.title));
        let short = id.simple().to_string();
        let address = if made.is_empty() {
            format!("game-{}", short.get(..8).unwrap_or_default())
        } else {
            made
        };
        let discount = original.map_or(Decimal::ZERO, |original| {
            (original - price) * Decimal::ONE_HUNDRED / original
        });
        Game {
            foreign_id: product.foreign.clone(),
            id,
            title: product.title.clone(),
            slug: address,
            description: html::description(&product.description),
            short_description: product
                .short
                .as_deref()
                .map(|text| html::description(text).replace("<p>", "").replace("</p>", "")),
            price,
            original_price: original,
            discount: i32::try_from(discount.round().mantissa()).unwrap_or(0),
            image: product.images.first().cloned().unwrap_or_default(),
            images: product.images.clone(),
            in_stock: false,
            g2a_product_id: None,
            g2a_last_sync: None,
            release_date: self.target.now,
            metacritic_score: None,
            user_rating: None,
            age_rating: None,
            multiplayer: false,
            activation_service: None,
            region: None,
            publisher: product.vendor.clone(),
            is_best_seller: false,
            is_new: false,
            is_preorder: false,
            rating_critic: None,
            rating_user: None,
            languages: Vec::new(),
            created_at: self.target.now,
            withdrawn_at: (!product.is_published).then_some(self.target.now),
        }
    }
}

/// The position of each column that is known.
fn columns(headings: &StringRecord) -> HashMap<&'static str, usize> {
    let names: Vec<String> = headings.iter().map(|name| name.trim().to_lowercase()).collect();
    let at = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    COLUMNS
        .iter()
        .filter_map(|(meaning, known)| Some((*meaning, at(known)?)))
        .collect()
}

/// The parts of a list with commas.
fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A price that could be two amounts.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

/// A price with a decimal comma or point. `1,234` could be both, and is refused.
fn price(text: Option<String>) -> Result<Option<Decimal>, Ambiguous> {
    let Some(text) = text else { return Ok(None) };
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '€' | '\''))
        .collect();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b',') {
        return Err(Ambiguous);
    }
    let plain = match (text.rfind('.'), text.rfind(',')) {
        (Some(point), Some(comma)) if point > comma => text.replace(',', ""),
        (Some(_), Some(_)) => text.replace('.', "").replace(',', "."),
        (None, Some(at)) | (Some(at), None) => {
            let decimals = text.len() - at - 1;
            if decimals == 3 || text.matches(['.', ',']).count() > 1 {
                return Err(Ambiguous);
            }
            text.replace(',', ".")
        }
        (None, None) => text,
    };
    plain
        .parse::<Decimal>()
        .map(|amount| Some(amount.round_dp(2)))
        .map_err(|_| Ambiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Decimal>, Ambiguous> {
        price(Some(text.to_owned()))
    }

    #[test]
    fn prices_have_a_decimal_comma_or_point_and_are_never_guessed() {
        for (text, amount) in [
            ("12.50", "12.50"),
            ("12,5", "12.5"),
            ("1.234,56", "1234.56"),
            ("1,234.56", "1234.56"),
            ("7", "7"),
            ("9,99 €", "9.99"),
        ] {
            assert_eq!(read(text), Ok(Some(amount.parse().unwrap())), "{text}");
        }
        for text in ["1,234", "1.234", "1.2.3", "12 EUR", "-5", ""] {
            assert_eq!(read(text), Err(Ambiguous), "{text:?}");
        }
        assert_eq!(price(None), Ok(None));
    }

    #[test]
    fn headings_are_known_in_the_languages_of_shops() {
        for names in [
            ["ID", "Type", "Name", "Regular price", "Categories"],
            ["ID", "Typ", "Name", "Regulärer Preis", "Kategorien"],
            ["ID", "Type", "Nom", "Tarif régulier", "Catégories"],
            ["ID", "Tipo", "Nombre", "Precio normal", "Categorías"],
        ] {
            let columns = columns(&StringRecord::from(names.to_vec()));
            for (at, meaning) in ["id", "type", "name", "regular", "categories"].into_iter().enumerate() {
                assert_eq!(columns.get(meaning), Some(&at), "{names:?}: {meaning}");
            }
        }
    }
}
