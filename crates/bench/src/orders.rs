//! Placing orders: which fraction of the database's maximum throughput remains with the product in front of it?
//!
//! Both sides place orders of one unit, each of another shopper and game, and commit each durably. The product does so
//! over HTTP in its own process, with tokens, rate limits and the cache; the reference sends the same statements to the
//! same tables, with all their rules, over as many connections and does nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, ClientInfo, Keys, TokenSecrets};
use lockstep_domain::account::Registration;
use lockstep_testkit::sqlx::{self, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Run;
use crate::client::Connection;
use crate::figures::{Aim, Figure, Section, Times, number};
use crate::servers::{Database, Role, Server};

const CONNECTIONS: usize = 32;
/// Number of shoppers that alternate on each connection, so that no account grows out of proportion.
const SHOPPERS: usize = 10;
/// Target for the product, as a fraction of the reference's rate.
const AIM: f64 = 0.6;

/// A user who places orders.
#[derive(Debug, Clone)]
pub(crate) struct Shopper {
    id: Uuid,
    pub(crate) token: String,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let database = run.few().await?;
    let games: Vec<Uuid> = sqlx::query_scalar(
        "select id from games where in_stock and withdrawn_at is null order by md5(id::text) limit 2000",
    )
    .fetch_all(&database.sql)
    .await?;
    let shoppers = shoppers(database, CONNECTIONS * SHOPPERS).await?;
    let product = Server::start(&Role::Api {
        database: database.url.clone(),
        l1_bytes: lockstep_cache::Config::default().l1_bytes,
    })
    .await?;
    let time = Duration::from_millis(if run.quick { 1_000 } else { 3_000 });
    let warm_up = Duration::from_millis(500);
    plainly(database, &shoppers, &games, warm_up).await?;
    ours(&product, &shoppers, &games, warm_up).await?;
    let (mut plain, mut accepted, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..run.rounds() {
        plain.push(plainly(database, &shoppers, &games, time).await?.0);
        let (rate, mut times) = ours(&product, &shoppers, &games, time).await?;
        accepted.push(rate);
        p50.push(times.percentile(50));
        p99.push(times.percentile(99));
    }
    Ok(Section {
        name: "orders",
        about: format!(
            "POST /api/orders over {CONNECTIONS} kept-alive connections, one copy an order; reference: the same statements \
             over {CONNECTIONS} connections to the same tables, begin to commit."
        ),
        figures: vec![
            Figure::against("orders accepted", "1/s", &accepted, &plain).aim(Aim::AtLeast(AIM)),
            Figure::alone("an order, p50", "ms", &p50),
            Figure::alone("an order, p99", "ms", &p99),
        ],
    })
}

/// Accounts with one session each and sufficient balance, using the secrets of the benchmark's servers.
pub(crate) async fn shoppers(database: &Database, count: usize) -> Result<Vec<Shopper>> {
    let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32))?;
    let settings = lockstep_auth::Settings {
        // bcrypt is not part of the measurement.
        hashing: HashSettings {
            cost: 4,
            threads: 1,
            patience: Duration::from_mins(1),
        },
        limits: false,
        ..lockstep_auth::Settings::new(secrets, Keys::parse(&"11".repeat(32))?)
    };
    let auth = Auth::start(database.store.clone(), settings)?;
    let device = ClientInfo::new(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
    let mut shoppers = Vec::with_capacity(count);
    for _ in 0..count {
        let email = format!("{}@example.org", Uuid::new_v4().simple());
        let registration = Registration::check(&email, "Correct-Horse-1", None, None, None)
            .ok()
            .context("a registration")?;
        let signed_in = auth.register(registration, &device).await?;
        shoppers.push(Shopper {
            id: signed_in.user.id.0,
            token: signed_in.tokens.token.expose().to_owned(),
        });
    }
    let ids: Vec<Uuid> = shoppers.iter().map(|shopper| shopper.id).collect();
    sqlx::query(
        "with paid as (update users set balance = 1000000 where id = any($1) returning id)
         insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 1000000, 'COMPLETED' from paid",
    )
    .bind(ids)
    .execute(&database.sql)
    .await?;
    Ok(shoppers)
}

/// Orders per second through the product.
async fn ours(server: &Server, shoppers: &[Shopper], games: &[Uuid], time: Duration) -> Result<(f64, Times)> {
    let mut running = JoinSet::new();
    let began = Instant::now();
    let end = began + time;
    for (at, own) in shoppers.chunks(SHOPPERS).enumerate() {
        let mut connection = Connection::open(server.address).await?;
        let requests: Vec<Vec<u8>> = own
            .iter()
            .zip(games.iter().skip(at * SHOPPERS).cycle())
            .map(|(shopper, game)| order(shopper, *game))
            .collect();
        running.spawn(async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            for request in requests.iter().cycle() {
                connection.ask(request).await?;
                let answered = Instant::now();
                times.add(answered - now);
                now = answered;
                if now >= end {
                    break;
                }
            }
            anyhow::Ok(times)
        });
    }
    gather(running, began).await
}

/// A request for one unit.
fn order(shopper: &Shopper, game: Uuid) -> Vec<u8> {
    let body = format!("{{\"items\":[{{\"gameId\":\"{game}\",\"quantity\":1}}]}}");
    format!(
        "POST /api/orders HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        shopper.token,
        body.len()
    )
    .into_bytes()
}

/// Orders per second by plain SQL.
async fn plainly(database: &Database, shoppers: &[Shopper], games: &[Uuid], time: Duration) -> Result<(f64, Times)> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(u32::try_from(CONNECTIONS)?)
        .test_before_acquire(false)
        .connect(&database.url)
        .await?;
    let mut running = JoinSet::new();
    let began = Instant::now();
    let end = began + time;
    for (at, own) in shoppers.chunks(SHOPPERS).enumerate() {
        let (pool, own, games) = (pool.clone(), own.to_vec(), games.to_vec());
        running.spawn(async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            for (shopper, game) in own.iter().cycle().zip(games.iter().skip(at * SHOPPERS).cycle()) {
                place(&pool, shopper.id, *game).await?;
                let done = Instant::now();
                times.add(done - now);
                now = done;
                if now >= end {
                    break;
                }
            }
            anyhow::Ok(times)
        });
    }
    let result = gather(running, began).await;
    pool.close().await;
    result
}

async fn gather(mut running: JoinSet<Result<Times>>, began: Instant) -> Result<(f64, Times)> {
    let mut times = Times::default();
    while let Some(ended) = running.join_next().await {
        times.extend(&ended??);
    }
    Ok((number(times.len()) / began.elapsed().as_secs_f64(), times))
}

/// The statements of `store::orders::place` for an order of one unit without a promo code.
async fn place(pool: &PgPool, user: Uuid, game: Uuid) -> Result<()> {
    let (order, item) = (Uuid::now_v7(), Uuid::now_v7());
    let mut tx = pool.begin().await?;
    sqlx::query("select 1 from shoppers where id = $1 and kind = 'USER' for no key update")
        .bind(user)
        .fetch_one(&mut *tx)
        .await?;
    let (_id, title, _slug, _image, price, _sold): (Uuid, String, String, String, String, bool) = sqlx::query_as(
        "select id, title, slug, image, price::text, in_stock or is_preorder from games
          where id = any($1) and withdrawn_at is null order by id for key share",
    )
    .bind([game])
    .fetch_one(&mut *tx)
    .await?;
    let (email, _nickname): (String, Option<String>) = sqlx::query_as(
        "update users set balance = balance - $2::numeric where id = $1 and balance >= $2::numeric and deleted_at is null
         returning email, nickname",
    )
    .bind(user)
    .bind(&price)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "insert into orders (id, user_id, subtotal, discount, total, payment_method, payment_status)
         values ($1, $2, $3::numeric, 0, $3::numeric, 'BALANCE', 'COMPLETED') returning created_at",
    )
    .bind(order)
    .bind(user)
    .bind(&price)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "with items as (
             insert into order_items (order_id, id, game_id, quantity, price) values ($1, $2, $3, 1, $5::numeric))
         insert into order_units (order_id, id, order_item_id, game_id, position, price_paid)
         values ($1, $4, $2, $3, 1, $5::numeric)",
    )
    .bind(order)
    .bind(item)
    .bind(game)
    .bind(Uuid::now_v7())
    .bind(&price)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "with gone as (delete from cart_items where user_id = $2 and game_id = $4 and quantity <= 1),
         fewer as (update cart_items set quantity = quantity - 1 where user_id = $2 and game_id = $4 and quantity > 1)
         insert into transactions (id, order_id, user_id, type, amount, method, status, description, subject)
         values ($5, $1, $2, 'PURCHASE', -$3::numeric, 'BALANCE', 'COMPLETED', 'Order ' || $1::text, $6)",
    )
    .bind(order)
    .bind(user)
    .bind(&price)
    .bind(game)
    .bind(Uuid::now_v7())
    .bind(&title)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into mail_outbox (id, user_id, recipient, kind, letter, not_after)
         values ($1, $2, $3, 'order-received', jsonb_build_object('kind', 'order-received', 'title', $4::text), now() + interval '3 days')",
    )
    .bind(Uuid::now_v7())
    .bind(user)
    .bind(email)
    .bind(title)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
