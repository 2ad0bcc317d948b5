//! How a game stands in each feed.
//!
//! Price, reduction and lowest price are those of its page; the games are those that an order can have.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use lockstep_domain::catalogue::Game;
use lockstep_domain::{GameId, Money, title};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::text::{cut, plain, xml};
use crate::format;

/// Longest titles and descriptions that their readers accept, in characters.
const TITLE: usize = 150;
const DESCRIPTION: usize = 5_000;

/// A format, with its own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RSS 2.0 with the attributes of Google's Merchant Center.
    Google,
    /// A line for each game.
    Csv,
    /// An element for each game.
    Xml,
    /// An object for each game.
    Json,
    /// A line of JSON for each game, as agents that shop read it.
    Agentic,
}

impl Format {
    pub(crate) const ALL: [Self; 5] = [Self::Google, Self::Csv, Self::Xml, Self::Json, Self::Agentic];

    /// The format of the file with this name.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.file() == name)
    }

    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Google => "google.xml",
            Self::Csv => "prices.csv",
            Self::Xml => "prices.xml",
            Self::Json => "prices.json",
            Self::Agentic => "agentic.jsonl.gz",
        }
    }

    /// Its media type.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Google => "application/rss+xml; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::Json => "application/json",
            Self::Agentic => super::GZIP,
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) const fn place(self) -> usize {
        self as usize
    }
}

/// What stands above the games.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The shop's name.
    pub(super) shop: String,
    /// Its public address, without a slash at its end.
    pub(super) url: String,
    /// When the games were read.
    pub(super) as_of: DateTime<Utc>,
}

impl Head {
    fn as_of(&self) -> String {
        self.as_of.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// The file, compressed as it is written: with this feed's text it takes a tenth of the room.
#[derive(Debug)]
struct Out {
    file: GzEncoder<BufWriter<File>>,
    /// Number of bytes before compression.
    bytes: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.bytes = self.bytes.saturating_add(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A finished file.
pub(super) struct Written {
    /// Compressed with gzip.
    pub(super) file: File,
    /// Number of bytes without compression.
    pub(super) bytes: u64,
    /// The same for all feeds of equal games, whenever they were read.
    pub(super) version: String,
}

/// A feed that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    format: Format,
    head: Head,
    out: Out,
    /// Of everything but the time, so that feeds of equal games have equal versions.
    version: Sha256,
    /// Something was written after the head.
    has_games: bool,
}

/// A game in the plain feeds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "it is the name of a column")]
struct Offer<'g> {
    id: GameId,
    /// The game's own name.
    title: &'g str,
    /// What exactly is sold, with service and region.
    offer: &'g str,
    /// What follows the name of the game that it is an edition of.
    edition: Option<&'g str>,
    platforms: &'g [String],
    service: Option<&'g str>,
    region: Option<&'g str>,
    /// What it costs now.
    price: Money,
    currency: &'g str,
    /// The higher price that it is compared with.
    original_price: Option<Money>,
    /// The lowest price of the 30 days before the reduction.
    #[serde(rename = "lowestPrice30d")]
    lowest_price_30d: Option<Money>,
    /// `in_stock`, or `preorder`: bought now, delivered at the release.
    availability: &'static str,
    release_date: Option<String>,
    publisher: Option<&'g str>,
    genres: &'g [String],
    url: String,
    image: String,
}

impl<'g> Offer<'g> {
    fn new(head: &Head, game: &'g Game) -> Self {
        let name = title::own(&game.title, game.region.as_deref());
        let edition = name
            .strip_prefix(title::base(name))
            .map(|rest| rest.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|edition| !edition.is_empty());
        Self {
            id: game.id,
            title: name,
            offer: &game.title,
            edition,
            platforms: &game.platforms,
            service: game.activation_service.as_deref(),
            region: game.region.as_deref(),
            price: game.price,
            currency: &game.currency,
            original_price: game.original_price,
            lowest_price_30d: game.lowest_price_30d,
            availability: if game.is_preorder { "preorder" } else { "in_stock" },
            release_date: game.release_date_known.then(|| format::iso_date(game.release_date)),
            publisher: game.publisher.as_deref(),
            genres: &game.genres,
            url: format!("{}/game/{}", head.url, game.slug),
            image: format!("{}/covers/{}.png", head.url, game.slug),
        }
    }

    /// `12.34 EUR`
    fn amount(&self, amount: Money) -> String {
        format!("{amount} {}", self.currency)
    }
}

/// Columns of the CSV file.
const COLUMNS: [&str; 18] = [
    "id",
    "title",
    "offer",
    "edition",
    "platforms",
    "service",
    "region",
    "price",
    "currency",
    "original_price",
    "lowest_price_30d",
    "availability",
    "release_date",
    "publisher",
    "genres",
    "url",
    "image",
    "as_of",
];

impl Writer {
    /// Begins a feed in an empty `file`.
    pub(super) fn begin(format: Format, head: Head, file: File) -> io::Result<Self> {
        let mut out = Out {
            file: GzEncoder::new(BufWriter::with_capacity(super::PIECE, file), Compression::fast()),
            bytes: 0,
        };
        let (shop, url, as_of) = (xml(&head.shop), xml(&head.url), head.as_of());
        match format {
            Format::Google => write!(
                out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" xmlns:g=\"http://base.google.com/ns/1.0\">\n\
                 <channel>\n<title>{shop}</title>\n<link>{url}/</link>\n<description>{shop}</description>\n\
                 <lastBuildDate>{}</lastBuildDate>\n",
                head.as_of.to_rfc2822()
            )?,
            Format::Csv => record(&mut out, &COLUMNS)?,
            Format::Xml => write!(
                out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<offers shop=\"{shop}\" url=\"{url}/\" asOf=\"{as_of}\">\n"
            )?,
            Format::Json => write!(
                out,
                "{{\"shop\":{},\"url\":{},\"asOf\":{},\"offers\":[",
                json!(head.shop),
                json!(format!("{}/", head.url)),
                json!(as_of)
            )?,
            Format::Agentic => {}
        }
        let mut version = Sha256::new();
        version.update(format.file());
        version.update(json!([head.shop, head.url]).to_string());
        Ok(Self {
            format,
            head,
            out,
            version,
            has_games: false,
        })
    }

    /// Writes the next games.
    pub(super) fn write(&mut self, games: &[Game]) -> io::Result<()> {
        for game in games {
            let offer = Offer::new(&self.head, game);
            let json = serde_json::to_string(&offer)?;
            self.version.update(&json);
            self.version.update("\n");
            match self.format {
                Format::Google => {
                    let about = about(game, &offer);
                    self.version.update(&about);
                    google(&mut self.out, game, &offer, &about)?;
                }
                Format::Csv => csv_line(&mut self.out, &offer, &self.head.as_of())?,
                Format::Xml => xml_element(&mut self.out, &offer)?,
                Format::Json => {
                    let between = if self.has_games { ",\n" } else { "\n" };
                    write!(self.out, "{between}{json}")?;
                }
                Format::Agentic => {
                    let about = about(game, &offer);
                    self.version.update(&about);
                    writeln!(self.out, "{}", agentic(&self.head, &offer, &about))?;
                }
            }
            self.has_games = true;
        }
        Ok(())
    }

    /// Ends the feed.
    pub(super) fn end(mut self) -> io::Result<Written> {
        match self.format {
            Format::Google => self.out.write_all(b"</channel>\n</rss>\n")?,
            Format::Xml => self.out.write_all(b"</offers>\n")?,
            Format::Json => self.out.write_all(b"\n]}\n")?,
            Format::Csv | Format::Agentic => {}
        }
        let digest = self.version.finalize();
        let version = digest.first_chunk::<16>().copied().unwrap_or_default();
        let file = self.out.file.finish()?;
        Ok(Written {
            file: file.into_inner().map_err(io::IntoInnerError::into_error)?,
            bytes: self.out.bytes,
            version: format!("{:032x}", u128::from_be_bytes(version)),
        })
    }
}

/// What a game is about, as text.
fn about(game: &Game, offer: &Offer<'_>) -> String {
    let short = game.short_description.as_deref().unwrap_or_default();
    [&*game.description, short]
        .into_iter()
        .map(|html| plain(html, DESCRIPTION))
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| offer.offer.to_owned())
}

fn element(out: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "<{name}>{}</{name}>", xml(text))
}

fn google(out: &mut impl Write, game: &Game, offer: &Offer<'_>, about: &str) -> io::Result<()> {
    writeln!(out, "<item>")?;
    element(out, "g:id", &offer.id.to_string())?;
    element(out, "g:title", cut(offer.offer, TITLE))?;
    element(out, "g:description", about)?;
    element(out, "g:link", &offer.url)?;
    element(out, "g:image_link", &offer.image)?;
    element(out, "g:availability", offer.availability)?;
    if let Some(day) = offer.release_date.as_ref().filter(|_| game.is_preorder) {
        element(out, "g:availability_date", &format!("{day}T00:00:00Z"))?;
    }
    // Google calls the price before the reduction the price.
    match offer.original_price {
        Some(original) => {
            element(out, "g:price", &offer.amount(original))?;
            element(out, "g:sale_price", &offer.amount(offer.price))?;
        }
        None => element(out, "g:price", &offer.amount(offer.price))?,
    }
    element(out, "g:condition", "new")?;
    match offer.publisher {
        Some(publisher) => element(out, "g:brand", publisher)?,
        None => element(out, "g:identifier_exists", "no")?,
    }
    element(out, "g:google_product_category", "Software > Video Game Software")?;
    if let Some(genre) = offer.genres.first() {
        element(out, "g:product_type", genre)?;
    }
    element(out, "g:shipping_label", "digital")?;
    let labels = [
        ("g:custom_label_0", offer.region.map(str::to_owned)),
        ("g:custom_label_1", Some(offer.platforms.join(", "))),
        ("g:custom_label_2", offer.service.map(str::to_owned)),
    ];
    for (name, text) in labels {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            element(out, name, &text)?;
        }
    }
    writeln!(out, "</item>")
}

fn csv_line(out: &mut impl Write, offer: &Offer<'_>, as_of: &str) -> io::Result<()> {
    let money = |amount: Option<Money>| amount.map(|amount| amount.to_string()).unwrap_or_default();
    record(
        out,
        &[
            &offer.id.to_string(),
            offer.title,
            offer.offer,
            offer.edition.unwrap_or_default(),
            &offer.platforms.join(", "),
            offer.service.unwrap_or_default(),
            offer.region.unwrap_or_default(),
            &offer.price.to_string(),
            offer.currency,
            &money(offer.original_price),
            &money(offer.lowest_price_30d),
            offer.availability,
            offer.release_date.as_deref().unwrap_or_default(),
            offer.publisher.unwrap_or_default(),
            &offer.genres.join(", "),
            &offer.url,
            &offer.image,
            as_of,
        ],
    )
}

fn record(out: &mut impl Write, fields: &[&str; COLUMNS.len()]) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(fields).map_err(io::Error::other)?;
    csv.flush()
}

fn xml_element(out: &mut impl Write, offer: &Offer<'_>) -> io::Result<()> {
    writeln!(out, "<offer id=\"{}\">", offer.id)?;
    let texts = [
        ("title", Some(offer.title)),
        ("offer", Some(offer.offer)),
        ("edition", offer.edition),
        ("service", offer.service),
        ("region", offer.region),
        ("availability", Some(offer.availability)),
        ("releaseDate", offer.release_date.as_deref()),
        ("publisher", offer.publisher),
        ("url", Some(&*offer.url)),
        ("image", Some(&*offer.image)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            element(out, name, text)?;
        }
    }
    for (name, list) in [("platform", offer.platforms), ("genre", offer.genres)] {
        for text in list {
            element(out, name, text)?;
        }
    }
    let amounts = [
        ("price", Some(offer.price)),
        ("originalPrice", offer.original_price),
        ("lowestPrice30d", offer.lowest_price_30d),
    ];
    for (name, amount) in amounts {
        if let Some(amount) = amount {
            writeln!(out, "<{name} currency=\"{}\">{amount}</{name}>", xml(offer.currency))?;
        }
    }
    writeln!(out, "</offer>")
}

/// A line of the feed for agents; orders are placed at the shop.
fn agentic(head: &Head, offer: &Offer<'_>, about: &str) -> serde_json::Value {
    let mut line = json!({
        "is_eligible_search": true,
        "is_eligible_checkout": false,
        "item_id": offer.id,
        "title": cut(offer.offer, TITLE),
        "description": about,
        "url": offer.url,
        "image_url": offer.image,
        "brand": offer.publisher.unwrap_or(&head.shop),
        "condition": "new",
        "is_digital": true,
        "price": offer.amount(offer.original_price.unwrap_or(offer.price)),
        "availability": if offer.availability == "preorder" { "pre_order" } else { offer.availability },
        "seller_name": head.shop,
        "seller_url": head.url,
        "region": offer.region,
        "platforms": offer.platforms,
        "activation_service": offer.service,
        "edition": offer.edition,
    });
    let Some(more) = line.as_object_mut() else { return line };
    if offer.original_price.is_some() {
        more.insert("sale_price".to_owned(), json!(offer.amount(offer.price)));
    }
    if let Some(lowest) = offer.lowest_price_30d {
        more.insert("lowest_price_30d".to_owned(), json!(offer.amount(lowest)));
    }
    if let Some(day) = offer.release_date.as_ref().filter(|_| offer.availability == "preorder") {
        more.insert("availability_date".to_owned(), json!(day));
    }
    more.retain(|_, value| !value.is_null());
    line
}
