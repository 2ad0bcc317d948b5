//! Writing G2A's products: the cost of the checks, and the saving from not writing unchanged rows.
//!
//! Batches of 200 products in a transaction each, as a synchronisation writes them, against the plainest statement that
//! does the same to a table with the same columns, checks and indexes, but without triggers: no fence, no invalidation
//! log, no search index, no genres and tags, no comparison; every row is written.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lockstep_domain::Money;
use lockstep_domain::price::Pricing;
use lockstep_g2a::{ProductQuery, Unlimited};
use lockstep_store::Store;
use lockstep_store::sync::{self as records, Fence, Listing, RunKind, Scope, Written};
use lockstep_sync::mapping;
use lockstep_testkit::sqlx::types::Json;
use lockstep_testkit::sqlx::{self, Executor as _, PgPool};

use crate::Run;
use crate::figures::{Figure, Section, number};
use crate::sync::{client, sandbox};

/// Products per transaction: ten pages, as in a synchronisation.
const BATCH: usize = 200;

const PLAIN: &str = "
    insert into plain_games (id, g2a_product_id, slug, title, description, short_description, price, original_price,
                             discount, image, images, in_stock, g2a_stock, g2a_depth, g2a_last_sync, release_date,
                             age_rating, multiplayer, activation_service, region, publisher, developer, languages,
                             requirements)
    select gen_random_uuid(), i.g2a_product_id, 'p-' || md5(i.g2a_product_id), i.title, i.description,
           i.short_description, i.price, i.original_price, i.discount, coalesce(i.image, '/'), i.images, i.depth > 0,
           i.depth > 0, i.depth, now(), coalesce(i.release_date, now()), i.age_rating, i.multiplayer,
           i.activation_service, i.region, i.publisher, i.developer, i.languages, i.requirements
      from jsonb_to_recordset($1) as i
           (g2a_product_id text, title text, description text, short_description text, price numeric(12,2),
            original_price numeric(12,2), discount integer, image text, images text[], depth smallint,
            release_date timestamptz, age_rating text, multiplayer boolean, activation_service text, region text,
            publisher text, developer text, languages text[], requirements jsonb)
    on conflict (g2a_product_id) do update
       set title = excluded.title, description = excluded.description, short_description = excluded.short_description,
           price = excluded.price, original_price = excluded.original_price, discount = excluded.discount,
           image = excluded.image, images = excluded.images, in_stock = excluded.in_stock,
           g2a_stock = excluded.g2a_stock, g2a_depth = excluded.g2a_depth, g2a_last_sync = excluded.g2a_last_sync,
           release_date = excluded.release_date, age_rating = excluded.age_rating,
           multiplayer = excluded.multiplayer, activation_service = excluded.activation_service,
           region = excluded.region, publisher = excluded.publisher, developer = excluded.developer,
           languages = excluded.languages, requirements = excluded.requirements";

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let products = if run.quick { 2_000 } else { 10_000 };
    let mut listings = listings(products).await?;
    let database = run.cluster.database("upsert").await?;
    database
        .sql
        .execute("create table plain_games (like games including all)")
        .await?;
    let store = &database.store;
    let fence = fence(store).await?;

    // Neither side starts with an empty table; the cost of the inserts is reported as well.
    let (created, written) = ours(store, fence, &listings, Scope::Everything).await?;
    ensure!(written.created == i32::try_from(products)?, "{written:?}");
    let plainly = plain(&database.sql, &listings).await?;
    let mut figures = vec![Figure::against("new", "rows/s", &[created], &[plainly])];

    let rounds = if run.quick { 2 } else { 3 };
    let kinds = [
        ("price changed", Scope::Everything, Change::Price),
        ("price changed, stock check", Scope::PriceAndStock, Change::Price),
        ("text changed", Scope::Everything, Change::Text),
        ("unchanged", Scope::Everything, Change::Nothing),
        ("unchanged, stock check", Scope::PriceAndStock, Change::Nothing),
    ];
    for (name, scope, change) in kinds {
        let (mut rates, mut references) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            references.push(plain(&database.sql, &listings).await?);
            for listing in &mut listings {
                change.apply(listing, round)?;
            }
            let (rate, written) = ours(store, fence, &listings, scope).await?;
            let expected = if change == Change::Nothing { 0 } else { products };
            ensure!(written.updated == i32::try_from(expected)?, "{name}: {written:?}");
            rates.push(rate);
            database.sql.execute("vacuum games").await?;
            database.sql.execute("vacuum plain_games").await?;
        }
        figures.push(Figure::against(name, "rows/s", &rates, &references));
    }
    Ok(Section {
        name: "upsert",
        about: format!(
            "Writing {products} products in transactions of {BATCH} as a synchronisation does; reference: one plain upsert \
             statement a batch into a table without triggers, links and search index, which writes every row."
        ),
        figures,
    })
}

/// The difference from what was written before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Price,
    Text,
}

impl Change {
    fn apply(self, listing: &mut Listing, round: usize) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Price => {
                listing.price = Money::from_cents(listing.price.cents() + 1)?;
                listing.original_price = None;
                listing.discount = 0;
            }
            Self::Text => listing.description = format!("{} {round}", listing.description),
        }
        Ok(())
    }
}

/// What a synchronisation would write for a sandbox's products.
pub(crate) async fn listings(products: usize) -> Result<Vec<Listing>> {
    let sandbox = sandbox(products, 0).await?;
    let client = client(&sandbox, Arc::new(Unlimited))?;
    let mut listings = Vec::with_capacity(products);
    let mut page = 1;
    while listings.len() < products {
        let query = ProductQuery {
            page,
            include_out_of_stock: true,
            ..ProductQuery::default()
        };
        let read = client.products(&query).await?.products;
        ensure!(!read.is_empty(), "the sandbox has only {} products", listings.len());
        for product in &read {
            listings.push(
                mapping::listing(product, &Pricing::default(), &mut mapping::Refused::new())
                    .context("a product of the sandbox")?,
            );
        }
        page += 1;
    }
    sandbox.shutdown().await;
    Ok(listings)
}

/// The fence required for writing.
pub(crate) async fn fence(store: &Store) -> Result<Fence> {
    let begun = store
        .tx("bench.begin", |tx| {
            Box::pin(records::begin(tx, RunKind::Full, "benchmark", None))
        })
        .await?;
    Ok(begun.fence)
}

/// Rows per second through the product, and the counts of the outcomes.
async fn ours(store: &Store, fence: Fence, listings: &[Listing], scope: Scope) -> Result<(f64, Written)> {
    let batches: Vec<Arc<[Listing]>> = listings.chunks(BATCH).map(Arc::from).collect();
    let began = Instant::now();
    let mut all = Written::default();
    for batch in batches {
        let written = write(store, fence, batch, scope).await?;
        all.created += written.created;
        all.updated += written.updated;
        all.unchanged += written.unchanged;
    }
    Ok((number(listings.len()) / began.elapsed().as_secs_f64(), all))
}

/// Writes listings in one transaction.
pub(crate) async fn write(store: &Store, fence: Fence, batch: Arc<[Listing]>, scope: Scope) -> Result<Written> {
    let written = store
        .tx("bench.write", move |tx| {
            let batch = Arc::clone(&batch);
            Box::pin(async move { records::write(tx, &fence, &batch, scope, &Pricing::default()).await })
        })
        .await?;
    Ok(written)
}

/// Rows per second by plain SQL.
async fn plain(sql: &PgPool, listings: &[Listing]) -> Result<f64> {
    let mut connection = sql.acquire().await?;
    let began = Instant::now();
    for batch in listings.chunks(BATCH) {
        let done = sqlx::query(PLAIN).bind(Json(batch)).execute(&mut *connection).await?;
        ensure!(
            done.rows_affected() == u64::try_from(batch.len())?,
            "some rows were not written"
        );
    }
    Ok(number(listings.len()) / began.elapsed().as_secs_f64())
}
