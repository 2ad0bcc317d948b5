//! The catalogue as a list with filters, in several orders, page by page; and one game as its form shows it.
//!
//! A page begins after (or before) a row, not at a number: rows that are added meanwhile neither repeat nor hide others.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::GameDetail;
use lockstep_domain::{GameId, Money};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::contains;
use super::games::{self, Taxonomy};
use crate::row::{how_many_of, money_of};
use crate::{Result, Tx};

/// Which games. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Text contained in the title, or the whole of G2A's id.
    pub text: Option<String>,
    /// Games of this genre.
    pub genre: Option<Uuid>,
    /// Games of this platform.
    pub platform: Option<Uuid>,
    /// Games with this tag.
    pub tag: Option<Uuid>,
    /// Whether staff hold it back.
    pub hidden: Option<bool>,
    /// Whether it can be bought.
    pub in_stock: Option<bool>,
    /// Whether staff have set the price of a game that G2A supplies.
    pub own_price: Option<bool>,
    /// Whether staff have set any field of it.
    pub locked: Option<bool>,
    /// Whether it is announced but not yet released.
    pub preorder: Option<bool>,
    /// Whether G2A supplies it.
    pub supplied: Option<bool>,
}

/// The order of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// By title.
    Title,
    /// The cheapest first.
    Cheapest,
    /// The dearest first.
    Dearest,
}

/// Where a page begins: after a row of the list, or before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The row's value in the order of the list, as [`Row::key`] has it.
    key: String,
    id: Uuid,
    /// The page ends before the row.
    pub is_before: bool,
}

impl Place {
    /// The place after or before a row, if `key` is a value of this order.
    pub fn new(sort: Sort, key: &str, id: Uuid, is_before: bool) -> Option<Self> {
        let is_sound = match sort {
            Sort::Newest => DateTime::parse_from_rfc3339(key).is_ok() && key.is_ascii(),
            Sort::Title => key.len() <= 2_000 && !key.contains('\0'),
            Sort::Cheapest | Sort::Dearest => key.parse::<Money>().is_ok(),
        };
        is_sound.then(|| Self {
            key: key.to_owned(),
            id,
            is_before,
        })
    }
}

/// A game in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the list")]
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
pub struct Row {
    pub id: Uuid,
    pub title: String,
    pub slug: String,
    pub platform: String,
    pub price: Money,
    /// What the supplier asks, EUR, without mark-up.
    pub cost: Option<Decimal>,
    pub in_stock: bool,
    /// Staff hold it back.
    pub is_hidden: bool,
    pub is_preorder: bool,
    pub is_featured: bool,
    /// G2A supplies it.
    pub is_supplied: bool,
    /// Staff have set the price of a game that G2A supplies.
    pub has_own_price: bool,
    /// Number of fields that staff have set.
    pub locks: usize,
    pub created_at: DateTime<Utc>,
    /// Changes with every change of what a bulk change decides by: prices, what staff have set, listing. A pass over the
    /// stock alone does not change it.
    pub version: String,
    /// Its value in the order of the list.
    pub key: String,
}

/// A page of games.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The games.
    pub rows: Vec<Row>,
    /// Games in all.
    pub total: u64,
    /// There are rows before these.
    pub has_before: bool,
    /// There are rows after these.
    pub has_after: bool,
    /// When they were read, by the database's clock.
    pub as_of: DateTime<Utc>,
}

/// Runs a statement about the games of a filter, whose values are `$1` to `$11`.
macro_rules! of_matching {
    ($run:ident, $($head:literal)+, $tail:literal, $filter:ident $(, $value:expr)*) => {
        sqlx::$run!(
            $($head +)+ "
          from games g
         where g.withdrawn_at is null
           and ($1::text is null or g.title ilike $1 or g.g2a_product_id = $2)
           and ($3::uuid is null or exists (select from game_genres l where l.game_id = g.id and l.genre_id = $3))
           and ($4::uuid is null or exists (select from game_platforms l where l.game_id = g.id and l.platform_id = $4))
           and ($5::uuid is null or exists (select from game_tags l where l.game_id = g.id and l.tag_id = $5))
           and ($6::boolean is null or ('in_stock' = any (g.fields_by_hand)) = $6)
           and ($7::boolean is null or g.in_stock = $7)
           and ($8::boolean is null or (g.g2a_product_id is not null and 'price' = any (g.fields_by_hand)) = $8)
           and ($9::boolean is null or (g.fields_by_hand <> '{}') = $9)
           and ($10::boolean is null or g.is_preorder = $10)
           and ($11::boolean is null or (g.g2a_product_id is not null) = $11)"
                + $tail,
            $filter.text.as_deref().map(contains),
            $filter.text,
            $filter.genre,
            $filter.platform,
            $filter.tag,
            $filter.hidden,
            $filter.in_stock,
            $filter.own_price,
            $filter.locked,
            $filter.preorder,
            $filter.supplied
            $(, $value)*
        )
    };
}
pub(crate) use of_matching;

/// Ids and keys of a page in one order; one more than its size, if there is one.
macro_rules! ids {
    ($tx:ident, $filter:ident, $size:ident, $place:ident, $head:literal, $tail:literal) => {{
        let (key, id) = ($place.map(|place| place.key.as_str()), $place.map(|place| place.id));
        let rows = of_matching!(query, $head, $tail, $filter, i64::from($size) + 1, key, id)
            .fetch_all($tx.uncached())
            .await?;
        rows.into_iter()
            .map(|row| (row.id, row.key))
            .collect::<Vec<(Uuid, String)>>()
    }};
}

/// A page of the games of a filter, with the number of all of them.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, sort: Sort, place: Option<&Place>, size: u32) -> Result<Rows> {
    let is_before = place.is_some_and(|place| place.is_before);
    let mut ids = page_of_ids(tx, filter, sort, place, size).await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let has_more = ids.len() > size;
    ids.truncate(size);
    if is_before {
        ids.reverse();
    }
    let total = of_matching!(
        query_scalar,
        r#"-- store.admin.catalogue.count
        select count(*) as "count!""#,
        "",
        filter
    )
    .fetch_one(tx.uncached())
    .await?;
    let as_of = sqlx::query_scalar!("-- store.admin.catalogue.now\nselect now() as \"now!\"")
        .fetch_one(tx.conn())
        .await?;
    Ok(Rows {
        rows: rows(tx, &ids).await?,
        total: how_many_of(total),
        has_before: if is_before { has_more } else { place.is_some() },
        has_after: if is_before { true } else { has_more },
        as_of,
    })
}

async fn page_of_ids(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort,
    place: Option<&Place>,
    size: u32,
) -> Result<Vec<(Uuid, String)>> {
    Ok(match (sort, place.is_some_and(|place| place.is_before)) {
        (Sort::Newest, false) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.newest
        select g.id, to_char(g.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "key!""#,
            " and ($13::text is null or (g.created_at, g.id) < ($13::text::timestamptz, $14::uuid))
         order by g.created_at desc, g.id desc limit $12"
        ),
        (Sort::Newest, true) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.newest_before
        select g.id, to_char(g.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "key!""#,
            " and ($13::text is null or (g.created_at, g.id) > ($13::text::timestamptz, $14::uuid))
         order by g.created_at, g.id limit $12"
        ),
        (Sort::Title, false) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.by_title
        select g.id, lower(g.title) as "key!""#,
            " and ($13::text is null or (lower(g.title), g.id) > ($13::text, $14::uuid))
         order by lower(g.title), g.id limit $12"
        ),
        (Sort::Title, true) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.by_title_before
        select g.id, lower(g.title) as "key!""#,
            " and ($13::text is null or (lower(g.title), g.id) < ($13::text, $14::uuid))
         order by lower(g.title) desc, g.id desc limit $12"
        ),
        (Sort::Cheapest, false) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.cheapest
        select g.id, g.price::text as "key!""#,
            " and ($13::text is null or (g.price, g.id) > ($13::text::numeric, $14::uuid))
         order by g.price, g.id limit $12"
        ),
        (Sort::Cheapest, true) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.cheapest_before
        select g.id, g.price::text as "key!""#,
            " and ($13::text is null or (g.price, g.id) < ($13::text::numeric, $14::uuid))
         order by g.price desc, g.id desc limit $12"
        ),
        (Sort::Dearest, false) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.dearest
        select g.id, g.price::text as "key!""#,
            " and ($13::text is null or (g.price, g.id) < ($13::text::numeric, $14::uuid))
         order by g.price desc, g.id desc limit $12"
        ),
        (Sort::Dearest, true) => ids!(
            tx,
            filter,
            size,
            place,
            r#"-- store.admin.catalogue.dearest_before
        select g.id, g.price::text as "key!""#,
            " and ($13::text is null or (g.price, g.id) > ($13::text::numeric, $14::uuid))
         order by g.price, g.id limit $12"
        ),
    })
}

/// The rows of these games, in this order.
async fn rows(tx: &mut Tx, ids: &[(Uuid, String)]) -> Result<Vec<Row>> {
    let wanted: Vec<Uuid> = ids.iter().map(|(id, _)| *id).collect();
    let found = sqlx::query!(
        r#"-- store.admin.catalogue.rows
        select g.id, g.title, g.slug, g.price, g.in_stock, g.is_preorder, g.is_best_seller, g.created_at,
               g.g2a_product_id is not null as "is_supplied!", g.fields_by_hand,
               offer_version(g) as "version!",
               greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end) as "cost?",
               coalesce((select min(p.name) from game_platforms l join platforms p on p.id = l.platform_id
                          where l.game_id = g.id), '') as "platform!"
          from unnest($1::uuid[]) with ordinality as wanted (id, place) join games g on g.id = wanted.id
         order by wanted.place"#,
        &wanted
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = found.into_iter().zip(ids).map(|(row, (_, key))| {
        let has = |field: &str| row.fields_by_hand.iter().any(|kept| kept == field);
        Ok(Row {
            id: row.id,
            title: row.title,
            slug: row.slug,
            platform: row.platform,
            price: money_of(row.price)?,
            cost: row.cost,
            in_stock: row.in_stock,
            is_hidden: has("in_stock"),
            is_preorder: row.is_preorder,
            is_featured: row.is_best_seller,
            is_supplied: row.is_supplied,
            has_own_price: row.is_supplied && has("price"),
            locks: row.fields_by_hand.len(),
            created_at: row.created_at,
            version: row.version,
            key: key.clone(),
        })
    });
    rows.collect()
}

/// Opens the cursor of a file of the list ([`super::files`]).
pub(super) async fn open_file(tx: &mut Tx, filter: &Filter, sort: Sort) -> Result<()> {
    macro_rules! open {
        ($head:literal, $tail:literal) => {
            of_matching!(
                query,
                $head r#"
        declare rows_of_list no scroll cursor for
        select array[g.id::text, g.title, g.slug, g.g2a_product_id,
                     coalesce((select min(p.name) from game_platforms l join platforms p on p.id = l.platform_id
                                where l.game_id = g.id), ''),
                     coalesce((select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                                where l.game_id = g.id), ''),
                     g.price::text, g.original_price::text, g.in_stock::text,
                     ('in_stock' = any (g.fields_by_hand))::text, g.is_preorder::text, g.is_best_seller::text,
                     array_to_string(g.fields_by_hand, ' '),
                     to_char(g.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]"#,
                $tail,
                filter
            )
            .execute(tx.uncached())
            .await?
        };
    }
    match sort {
        Sort::Newest => open!(
            "-- store.admin.catalogue.file_newest",
            " order by g.created_at desc, g.id desc"
        ),
        Sort::Title => open!(
            "-- store.admin.catalogue.file_by_title",
            " order by lower(g.title), g.id"
        ),
        Sort::Cheapest => open!("-- store.admin.catalogue.file_cheapest", " order by g.price, g.id"),
        Sort::Dearest => open!(
            "-- store.admin.catalogue.file_dearest",
            " order by g.price desc, g.id desc"
        ),
    };
    Ok(())
}

/// A game as its form shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The game.
    pub game: GameDetail,
    /// Changes with every change of the row: what a form that is saved compares.
    pub version: String,
    /// As [`Row::version`]: what a bulk change of it compares.
    pub offer_version: String,
    /// Staff hold it back.
    pub is_hidden: bool,
    /// It is among the best sellers.
    pub is_featured: bool,
    /// Staff have said so.
    pub is_featured_by_hand: bool,
    /// What the supplier asks, EUR, without mark-up.
    pub cost: Option<Decimal>,
    /// Unsold keys of the shop's own.
    pub own_keys: u64,
    /// When it left the catalogue.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// When G2A last changed it.
    pub synced_at: Option<DateTime<Utc>>,
    /// What G2A says of the fields that staff have set, by name, once a synchronisation has read it.
    pub said: Option<Value>,
    /// As `cost`, also for staff who may not read it.
    pub(crate) asked: Option<Decimal>,
}

impl Sheet {
    /// Whether this price is below what the supplier asks.
    pub fn is_below_cost(&self, price: Money) -> bool {
        self.asked.is_some_and(|asked| price.decimal() < asked)
    }
}

/// A game with what its form needs beside it.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn sheet(tx: &mut Tx, id: GameId) -> Result<Option<Sheet>> {
    let Some(game) = games::detail(tx, id).await? else {
        return Ok(None);
    };
    let row = sqlx::query!(
        r#"-- store.admin.catalogue.sheet
        select (select s.said from supplier_values s where s.game_id = g.id) as said, g.xmin::text as "version!", offer_version(g) as "offer_version!", 'in_stock' = any (g.fields_by_hand) as "is_hidden!", g.is_best_seller,
               'is_best_seller' = any (g.flags_by_hand) as "is_by_hand!", g.withdrawn_at, g.g2a_last_sync,
               greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end) as "cost?",
               (select count(*) from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated) as "keys!"
          from games g where g.id = $1"#,
        id.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(Sheet {
        game,
        version: row.version,
        offer_version: row.offer_version,
        is_hidden: row.is_hidden,
        is_featured: row.is_best_seller,
        is_featured_by_hand: row.is_by_hand,
        cost: row.cost,
        own_keys: how_many_of(row.keys),
        withdrawn_at: row.withdrawn_at,
        synced_at: row.g2a_last_sync,
        said: row.said,
        asked: row.cost,
    }))
}

/// Ids and names of the entries of a taxonomy, alphabetically: at most 500.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn choices(tx: &mut Tx, taxonomy: Taxonomy) -> Result<Vec<(Uuid, String)>> {
    macro_rules! read {
        ($plural:literal) => {
            sqlx::query!(
                "-- store.admin.catalogue.choices_"
                    + $plural
                    + "\nselect id, name from "
                    + $plural
                    + " order by lower(name), id limit 500"
            )
            .fetch_all(tx.conn())
            .await?
            .into_iter()
            .map(|row| (row.id, row.name))
            .collect()
        };
    }
    Ok(match taxonomy {
        Taxonomy::Categories => read!("categories"),
        Taxonomy::Genres => read!("genres"),
        Taxonomy::Platforms => read!("platforms"),
        Taxonomy::Tags => read!("tags"),
    })
}

/// The tag with this name, in any case, or this slug.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn tag(tx: &mut Tx, name: &str) -> Result<Option<Uuid>> {
    let id = sqlx::query_scalar!(
        "-- store.admin.catalogue.tag
        select id from tags where slug = lower($1) or lower(name) = lower($1) order by slug = lower($1) desc, id limit 1",
        name
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id)
}
