//! Simulated staff: cancel orders in progress, and decide about G2A responses in which no key could be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lockstep_testkit::sqlx;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::START;
use crate::buyer::PASSWORD;
use crate::database::Database;
use crate::ground::Ground;
use crate::plan::Dice;
use crate::shop::{Answer, Request, Shop};
use crate::verdicts::Rule;

const EMAIL: &str = "staff@soak.invalid";

/// A member of staff who may cancel orders.
pub(crate) struct Staff {
    shop: Shop,
    database: Database,
    dice: Dice,
    token: String,
    stop: Arc<AtomicBool>,
}

impl Staff {
    /// Registers before the first fault.
    pub(crate) async fn hire(shop: &Shop, database: &Database, seed: u64, stop: &Arc<AtomicBool>) -> Result<Self> {
        let account = json!({"email": EMAIL, "password": PASSWORD});
        let send = |path: &str| Request::send(Method::POST, path, &account);
        ask_until_answered(shop, &send("/api/auth/register"))
            .await
            .context("staff cannot register")?;
        database
            .execute(&format!("update users set role = 'ADMIN' where email = '{EMAIL}'"))
            .await?;
        let answer = ask_until_answered(shop, &send("/api/auth/login"))
            .await
            .context("staff cannot log in")?
            .json();
        let token = answer["data"]["token"].as_str().context("staff has no token")?;
        Ok(Self {
            shop: shop.clone(),
            database: database.clone(),
            dice: Dice::new(seed, 999),
            token: token.to_owned(),
            stop: stop.clone(),
        })
    }

    /// Cancels an order every few seconds.
    pub(crate) async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let pause = self.dice.between((1_000, 4_000));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let latest = sqlx::query_scalar(
                "select o.id from orders o join users u on u.id = o.user_id
                  where u.email like 'buyer-%' and o.status in ('PENDING', 'PROCESSING') order by o.created_at desc limit 1",
            );
            let asked = tokio::time::timeout(Duration::from_secs(5), latest.fetch_optional(&self.database.sql)).await;
            // Skipped while the database is unreachable.
            let Ok(Ok(Some(order))) = asked else { continue };
            self.cancel(order).await;
        }
    }

    async fn cancel(&mut self, order: Uuid) {
        let request = Request {
            token: Some(self.token.clone()),
            key: Some(Uuid::from_u64_pair(self.dice.next(), self.dice.next()).to_string()),
            ..Request::send(
                Method::POST,
                format!("/api/admin/orders/{order}/cancel"),
                &json!({"reason": "soak"}),
            )
        };
        // Repeated, as an impatient user would: the order is cancelled only once.
        for door in 0..2 {
            let Some(answer) = self.shop.ask(door, &request).await else {
                continue;
            };
            if matches!(answer.status, 200 | 400) {
                self.shop.verdicts.held(Rule::ExpectedAnswers);
            } else {
                self.shop.unexpected(&request, &answer);
            }
        }
    }
}

/// Retries until the shop has started; an account that already exists is no error.
async fn ask_until_answered(shop: &Shop, request: &Request) -> Option<Answer> {
    let began = Instant::now();
    loop {
        let answer = shop.ask(0, request).await;
        match answer {
            Some(answer) if answer.done() || answer.status == 409 => return Some(answer),
            _ if began.elapsed() > START => return None,
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Interval between checks for pending decisions.
const DECIDE_EVERY: Duration = Duration::from_secs(5);
/// Time limit of a command, which may hang when the database does not respond.
const COMMAND: Duration = Duration::from_secs(20);

/// Decides about every pending unreadable response and reactivates stopped games, until `stop` is set. The sandbox puts
/// no key into such responses, so each is discarded.
pub(crate) async fn decide(ground: Arc<Ground>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        // Retried later while the database is unreachable.
        drop(decide_once(&ground).await);
        tokio::time::sleep(DECIDE_EVERY).await;
    }
}

async fn decide_once(ground: &Ground) -> Result<()> {
    let first = ground.instances.first().context("no instance")?;
    let run = async |args: &[&str]| {
        let mut command = first.command(args);
        tokio::time::timeout(COMMAND, command.kill_on_drop(true).output()).await
    };
    let sql = &ground.database.sql;
    let ids = sqlx::query_scalar("select id::text from unreadable_answers where decided_at is null limit 100");
    let ids: Vec<String> = tokio::time::timeout(COMMAND, ids.fetch_all(sql)).await??;
    for id in &ids {
        run(&["keys", "aside", "discard", id, "--by", EMAIL]).await??;
    }
    let stopped = sqlx::query_scalar(
        "select g.g2a_product_id from games g join game_stops s on s.game_id = g.id
          where g.g2a_product_id is not null and s.lifted_at is null and s.until > now()",
    );
    let stopped: Vec<String> = tokio::time::timeout(COMMAND, stopped.fetch_all(sql)).await??;
    for product in &stopped {
        run(&["keys", "aside", "buy-again", product, "--by", EMAIL]).await??;
    }
    Ok(())
}
