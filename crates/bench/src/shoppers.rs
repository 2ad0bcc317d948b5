//! Private responses: the cost of verifying that the caller may see them and that they are current.
//!
//! A cached cart or profile is served after one read of the log, which concurrent requests share, and a check of the
//! token; the reference is the bare route as for public responses. Adding a game to a cart is compared with plain SQL
//! that sends the same statements over as many connections to the same tables. Finally, passwords are hashed while
//! others read: by which factor does the readers' 99th percentile grow?

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lockstep_testkit::sqlx::{self, PgPool, Row as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Run;
use crate::cached::{self, Turn};
use crate::client::{self, Connection};
use crate::figures::{Aim, Figure, Section, number};
use crate::servers::{Role, Server};

const READERS: usize = 64;
const WRITERS: usize = 16;
/// Logins per second while others read.
const LOGINS: u32 = 8;
/// Number of games that each writer adds, one after the other: below the limits of an item and a cart.
const GAMES: i64 = 90;
/// Target for the growth of the readers' 99th percentile while others log in, as a factor.
const AIM: f64 = 3.0;
const PASSWORD: &str = "Correct-Horse-1";

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let database = run.few().await?;
    let games: Vec<Uuid> = sqlx::query_scalar("select id from games where in_stock order by id limit $1")
        .bind(GAMES)
        .fetch_all(&database.sql)
        .await?;
    ensure!(i64::try_from(games.len())? == GAMES, "too few games");
    let product = Server::start(&Role::Api {
        database: database.url.clone(),
        l1_bytes: lockstep_cache::Config::default().l1_bytes,
    })
    .await?;
    let time = Duration::from_millis(if run.quick { 1_000 } else { 2_500 });
    let mut figures = reads(run, &product, &games, time).await?;
    figures.extend(adds(run, &product, &database.sql, &games, time).await?);
    figures.extend(logins(run, &product, &games, time).await?);
    Ok(Section {
        name: "shoppers",
        about: format!(
            "Cached cart (5 lines) and profile of a member over {READERS} kept-alive connections, reference: a bare axum \
             route with the same bytes; games put into carts over {WRITERS} connections, reference: plain SQL sending the \
             same statements; readers of a cached cart while {LOGINS} people a second log in (bcrypt, cost 12), reference: \
             without them."
        ),
        figures,
    })
}

/// Registers a user and returns the e-mail address and the token.
async fn member(address: SocketAddr) -> Result<(String, String)> {
    let email = format!("{}@example.com", Uuid::new_v4());
    let body = json!({ "email": email, "password": PASSWORD }).to_string();
    let mut connection = Connection::open(address).await?;
    let answer = connection
        .ask(&client::request("POST", "/api/auth/register", None, &body))
        .await?;
    let answer: Value = serde_json::from_slice(answer)?;
    let token = answer.pointer("/data/token").and_then(Value::as_str);
    Ok((email, token.context("no token")?.to_owned()))
}

fn put(token: &str, game: Uuid) -> Vec<u8> {
    let body = json!({ "gameId": game, "quantity": 1 }).to_string();
    client::request("POST", "/api/cart", Some(token), &body)
}

/// Registers a user with five games in the cart; returns the token and the request that reads the cart.
async fn reader(address: SocketAddr, games: &[Uuid]) -> Result<(String, Vec<u8>)> {
    let (_, token) = member(address).await?;
    let mut connection = Connection::open(address).await?;
    for game in games.iter().take(5) {
        connection.ask(&put(&token, *game)).await?;
    }
    let request = client::request("GET", "/api/cart", Some(&token), "");
    Ok((token, request))
}

async fn reads(run: &Run, product: &Server, games: &[Uuid], time: Duration) -> Result<Vec<Figure>> {
    let (token, _) = reader(product.address, games).await?;
    let mut figures = Vec::new();
    for (what, path) in [("cart", "/api/cart"), ("profile", "/api/user/profile")] {
        let request = client::request("GET", path, Some(&token), "");
        let body = Connection::open(product.address).await?.ask(&request).await?.to_vec();
        let file = std::env::temp_dir().join(format!("lockstep-bench-{}-{what}", std::process::id()));
        std::fs::write(&file, &body)?;
        let bare = Server::start(&Role::Bare {
            routes: vec![(path.to_owned(), file.clone())],
        })
        .await;
        std::fs::remove_file(&file)?;
        let bare = bare?;
        for server in [&bare, product] {
            client::load(server.address, &request, READERS, Duration::from_millis(500)).await?;
        }
        let (mut bares, mut products) = (Vec::new(), Vec::new());
        for _ in 0..run.rounds() {
            bares.push(cached::turn(&bare, &request, time).await?);
            products.push(cached::turn(product, &request, time).await?);
        }
        let column = |of: fn(&Turn) -> f64, turns: &[Turn]| turns.iter().map(of).collect::<Vec<_>>();
        let mut pair = |name: String, unit, of: fn(&Turn) -> f64| {
            figures.push(Figure::against(name, unit, &column(of, &products), &column(of, &bares)));
        };
        let size = body.len();
        pair(format!("{what}: answers of {size} bytes"), "1/s", |turn| {
            turn.per_second
        });
        pair(format!("{what}: processor time an answer"), "us", |turn| {
            turn.processor_us
        });
        pair(format!("{what}: p50"), "ms", |turn| turn.p50);
        pair(format!("{what}: p99"), "ms", |turn| turn.p99);
    }
    Ok(figures)
}

async fn adds(run: &Run, product: &Server, sql: &PgPool, games: &[Uuid], time: Duration) -> Result<Vec<Figure>> {
    let mut tokens = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..WRITERS {
        tokens.push(member(product.address).await?.1);
        // The reference writes to separate carts.
        let (email, _) = member(product.address).await?;
        let id: Uuid = sqlx::query_scalar("select id from users where email = $1")
            .bind(email)
            .fetch_one(sql)
            .await?;
        plain.push(id);
    }
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(u32::try_from(WRITERS)?)
        .test_before_acquire(false)
        .connect_with((*sql.connect_options()).clone())
        .await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..run.rounds() {
        theirs.push(plainly(&pool, &plain, games, time).await?);
        ours.push(through(product.address, &tokens, games, time).await?);
    }
    pool.close().await;
    Ok(vec![Figure::against("games put into carts", "1/s", &ours, &theirs)])
}

/// Additions per second through the product.
async fn through(address: SocketAddr, tokens: &[String], games: &[Uuid], time: Duration) -> Result<f64> {
    let mut running = JoinSet::new();
    let began = Instant::now();
    for token in tokens {
        let requests: Vec<Vec<u8>> = games.iter().map(|game| put(token, *game)).collect();
        running.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut done = 0;
            for request in requests.iter().cycle() {
                if began.elapsed() >= time {
                    break;
                }
                connection.ask(request).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    rate(running, began).await
}

/// Additions per second by plain SQL: the statements of `lockstep_store::carts::add`, and nothing else.
async fn plainly(pool: &PgPool, shoppers: &[Uuid], games: &[Uuid], time: Duration) -> Result<f64> {
    let mut running = JoinSet::new();
    let began = Instant::now();
    for shopper in shoppers {
        let (pool, shopper, games) = (pool.clone(), *shopper, games.to_vec());
        running.spawn(async move {
            let mut done = 0;
            for game in games.iter().cycle() {
                if began.elapsed() >= time {
                    break;
                }
                let mut tx = pool.begin().await?;
                sqlx::query("select 1 from shoppers where id = $1 and kind = 'USER' for no key update")
                    .bind(shopper)
                    .fetch_one(&mut *tx)
                    .await?;
                let row = sqlx::query(
                    "select g.price, g.in_stock, c.quantity,
                            (select count(*) from cart_items where user_id = $1) as lines
                       from games g left join cart_items c on c.user_id = $1 and c.game_id = g.id
                      where g.id = $2 and g.withdrawn_at is null",
                )
                .bind(shopper)
                .bind(game)
                .fetch_one(&mut *tx)
                .await?;
                let before: Option<i32> = row.try_get("quantity")?;
                sqlx::query(
                    "insert into cart_items (user_id, game_id, quantity, added_at, price_seen)
                     select $1, id, $3, clock_timestamp(), price from games where id = $2
                     on conflict (user_id, game_id) do update
                        set quantity = excluded.quantity, price_seen = excluded.price_seen",
                )
                .bind(shopper)
                .bind(game)
                .bind(before.unwrap_or(0) + 1)
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    rate(running, began).await
}

async fn rate(mut running: JoinSet<Result<usize>>, began: Instant) -> Result<f64> {
    let mut done = 0;
    while let Some(ended) = running.join_next().await {
        done += ended??;
    }
    Ok(number(done) / began.elapsed().as_secs_f64())
}

async fn logins(run: &Run, product: &Server, games: &[Uuid], time: Duration) -> Result<Vec<Figure>> {
    let (_, request) = reader(product.address, games).await?;
    // A separate user: after fifty logins the oldest session is ended.
    let (email, _) = member(product.address).await?;
    let body = json!({ "email": email, "password": PASSWORD }).to_string();
    let login = client::request("POST", "/api/auth/login", None, &body);
    let time = time * 2;
    let (mut quiet, mut busy, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..run.rounds() {
        let mut load = client::load(product.address, &request, READERS, time).await?;
        quiet.push(load.times.percentile(99));
        let coming = tokio::spawn(send_logins(product.address, login.clone(), time));
        let mut load = client::load(product.address, &request, READERS, time).await?;
        busy.push(load.times.percentile(99));
        rates.push(coming.await??);
    }
    Ok(vec![
        Figure::against(
            format!("p99 of a cached cart, {LOGINS} log-ins a second"),
            "ms",
            &busy,
            &quiet,
        )
        .aim(Aim::AtMost(AIM)),
        Figure::alone("log-ins that were answered meanwhile", "1/s", &rates),
    ])
}

/// Sends logins at a steady rate, whether or not earlier ones have completed; returns the number of successful ones per
/// second.
async fn send_logins(address: SocketAddr, login: Vec<u8>, time: Duration) -> Result<f64> {
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / LOGINS);
    let mut running = JoinSet::new();
    while began.elapsed() < time {
        pace.tick().await;
        let login = login.clone();
        running.spawn(async move {
            // Passwords are hashed with the processor time that the readers leave; a login that waits too long is
            // rejected with a request to retry.
            let answered = Connection::open(address).await?.ask(&login).await.is_ok();
            anyhow::Ok(usize::from(answered))
        });
    }
    rate(running, began).await
}
