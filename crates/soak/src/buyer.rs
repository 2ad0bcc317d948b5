//! A simulated customer that uses both instances and records what the shop acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::plan::Dice;
use crate::shop::{Answer, Request, Shop};
use crate::verdicts::Rule;

/// A write without a response may still take effect: a paused process handles what it has read when it resumes. Until
/// then the row's state is unknown.
const MAY_ARRIVE: Duration = Duration::from_mins(7);

/// How long a request that must succeed is retried.
const RETRY_FOR: Duration = Duration::from_mins(1);

/// The password of every account in the run.
pub(crate) const PASSWORD: &str = "Correct-Horse-1";

/// What the buyer knows about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The quantity in the cart; on the wishlist 1 for present, 0 for absent.
    Is(i64),
    /// A write received no response.
    Uncertain(Instant),
}

/// An acknowledged order.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) id: String,
    pub(crate) copies: u64,
    /// Whether the order was seen in a final status.
    pub(crate) ended: bool,
}

/// What the shop acknowledged to a buyer, for the final checks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) email: String,
    pub(crate) orders: Vec<Placed>,
    /// Orders without a response, each sent with one idempotency key.
    pub(crate) unanswered: u64,
    /// Top-ups whose payment was acknowledged, in cents.
    pub(crate) topped_up: Vec<(String, i64)>,
    pub(crate) actions: u64,
}

/// A running buyer.
pub(crate) struct Buyer {
    shop: Shop,
    dice: Dice,
    /// Start delay, in milliseconds.
    arrives: u64,
    token: String,
    cart: BTreeMap<String, Known>,
    wishes: BTreeMap<String, Known>,
    memory: Memory,
    stop: Arc<AtomicBool>,
}

impl Buyer {
    /// Creates buyer `number` of the run with this seed.
    pub(crate) fn new(shop: &Shop, seed: u64, number: u64, stop: &Arc<AtomicBool>) -> Self {
        Self {
            shop: shop.clone(),
            dice: Dice::new(seed, 1_000 + number),
            arrives: number * 250,
            token: String::new(),
            cart: BTreeMap::new(),
            wishes: BTreeMap::new(),
            memory: Memory {
                email: format!("buyer-{number}@soak.invalid"),
                ..Memory::default()
            },
            stop: stop.clone(),
        }
    }

    /// Runs until `stop` is set.
    pub(crate) async fn run(mut self) -> Memory {
        // Starts are staggered.
        tokio::time::sleep(Duration::from_millis(self.arrives)).await;
        while !self.stopped() && !self.register().await {
            self.rest().await;
        }
        while !self.stopped() {
            match self.dice.between((0, 99)) {
                0..25 => self.browse().await,
                25..40 => self.fill_cart().await,
                40..50 => self.wish().await,
                50..58 => self.top_up().await,
                58..78 => self.order().await,
                78..90 => self.look_at_order().await,
                90..94 => self.log_in().await,
                94..96 => self.export().await,
                96..98 => self.guest().await,
                98 => self.leave().await,
                _ => self.forget_password().await,
            }
            self.memory.actions += 1;
            self.rest().await;
        }
        self.memory
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn rest(&mut self) {
        let pause = self.dice.between((20, 250));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn door(&mut self) -> usize {
        usize::from(self.dice.chance(50))
    }

    fn any_game(&mut self) -> Option<(String, String)> {
        let games = self.shop.games.clone();
        let game = self.dice.of(&games)?;
        Some((game.id.clone(), game.slug.clone()))
    }

    async fn ask(&mut self, request: Request) -> Option<Answer> {
        let door = self.door();
        let request = Request {
            token: Some(self.token.clone()),
            ..request
        };
        self.ask_checked(door, request).await
    }

    /// Sends a request and checks the response against those that are allowed.
    async fn ask_checked(&self, door: usize, request: Request) -> Option<Answer> {
        let answer = self.shop.ask(door, &request).await?;
        let codes: &[&str] = match (&request.method, &*request.path) {
            (&Method::POST, "/api/orders") => &["out_of_stock", "insufficient_balance", "not_found"],
            (&Method::POST, "/api/auth/register") => {
                &["email_taken", "already_exists", "account_exists", "email_exists"]
            }
            // Of users who often leave the payment page (see `top_up`).
            (&Method::POST, "/api/payment/balance-top-up") => &["too_many_open_payments"],
            (&Method::POST | &Method::PUT, path) if path.starts_with("/api/cart") => {
                &["out_of_stock", "not_found", "cart_full"]
            }
            _ => &[],
        };
        let expected = answer.done() || codes.contains(&&*answer.code());
        if expected {
            self.shop.verdicts.held(Rule::ExpectedAnswers);
        } else {
            self.shop.unexpected(&request, &answer);
        }
        Some(answer)
    }

    /// Repeats a request until it gets a response; `None` when that takes longer than `RETRY_FOR`.
    async fn retry(&mut self, request: Request) -> Option<Answer> {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.ask(request.clone()).await {
                return Some(answer);
            }
            // A request in progress at the end of the run is still completed.
            if began.elapsed() > RETRY_FOR {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn register(&mut self) -> bool {
        let account = json!({"email": self.memory.email, "password": PASSWORD, "nickname": "Soak"});
        let answer = self
            .ask(Request::send(Method::POST, "/api/auth/register", &account))
            .await;
        match answer {
            Some(answer) if answer.done() => self.signed_in(&answer),
            // An earlier attempt succeeded, but its response was lost.
            Some(_) => {
                self.log_in().await;
                !self.token.is_empty()
            }
            None => false,
        }
    }

    fn signed_in(&mut self, answer: &Answer) -> bool {
        let answer = answer.json();
        let token = answer["data"]["token"].as_str().unwrap_or_default();
        token.clone_into(&mut self.token);
        !token.is_empty()
    }

    async fn log_in(&mut self) {
        let account = json!({"email": self.memory.email, "password": PASSWORD});
        if let Some(answer) = self.ask(Request::send(Method::POST, "/api/auth/login", &account)).await
            && answer.done()
        {
            self.signed_in(&answer);
        }
    }

    async fn browse(&mut self) {
        let Some((id, slug)) = self.any_game() else { return };
        let page = self.dice.between((1, 4));
        let path = match self.dice.between((0, 5)) {
            0 => "/".to_owned(),
            1 => format!("/api/games?page={page}&sort=popular"),
            2 => format!("/api/games/{id}"),
            3 => format!("/api/games/slug/{slug}"),
            4 => "/api/games/filter-options".to_owned(),
            _ => "/api/games?search=the&inStockOnly=false".to_owned(),
        };
        self.ask(Request::get(path)).await;
    }

    async fn fill_cart(&mut self) {
        let Some((game, _)) = self.any_game() else { return };
        let copies = i64::try_from(self.dice.between((0, 3))).unwrap_or(0);
        let request = Request::send(Method::PUT, format!("/api/cart/{game}"), &json!({"quantity": copies}));
        let known = match self.ask(request).await {
            Some(answer) if answer.done() => Known::Is(copies),
            // Refused: unchanged.
            Some(_) => self.cart.get(&game).copied().unwrap_or(Known::Is(0)),
            None => Known::Uncertain(Instant::now()),
        };
        learn(&mut self.cart, game, known);
        let Some(answer) = self.ask(Request::get("/api/cart")).await else {
            return;
        };
        let shown = listed(&answer.json()["data"]["items"], "quantity");
        let email = &self.memory.email;
        check_list("cart", email, &self.shop, &mut self.cart, &shown);
    }

    async fn wish(&mut self) {
        let Some((game, _)) = self.any_game() else { return };
        let wanted = self.dice.chance(60);
        let request = if wanted {
            Request::send(Method::POST, "/api/wishlist", &json!({"gameId": game}))
        } else {
            Request {
                method: Method::DELETE,
                ..Request::get(format!("/api/wishlist/{game}"))
            }
        };
        let known = match self.ask(request).await {
            Some(answer) if answer.done() => Known::Is(i64::from(wanted)),
            Some(_) => return,
            None => Known::Uncertain(Instant::now()),
        };
        learn(&mut self.wishes, game, known);
        if let Some(answer) = self.ask(Request::get("/api/wishlist")).await {
            let shown = listed(&answer.json()["data"]["items"], "");
            let email = &self.memory.email;
            check_list("wishlist", email, &self.shop, &mut self.wishes, &shown);
        }
    }

    async fn top_up(&mut self) {
        let euro = i64::try_from(self.dice.between((50, 400))).unwrap_or(50);
        let wanted = json!({"amount": euro, "currency": "EUR", "paymentMethod": "card"});
        let request = Request {
            key: Some(self.new_key()),
            ..Request::send(Method::POST, "/api/payment/balance-top-up", &wanted)
        };
        let Some(begun) = self.retry(request).await.filter(Answer::done) else {
            return;
        };
        let begun = begun.json();
        let (id, redirect) = (&begun["data"]["id"], &begun["data"]["redirectUrl"]);
        let (Some(id), Some(page)) = (id.as_str(), redirect.as_str().and_then(path_of)) else {
            return;
        };
        // Some users never return from the payment page.
        if self.dice.chance(10) {
            return;
        }
        let request = Request {
            method: Method::POST,
            body: Some("decision=pay".to_owned()),
            ..Request::get(page)
        };
        if self.retry(request).await.is_some_and(|answer| answer.done()) {
            self.memory.topped_up.push((id.to_owned(), euro * 100));
        }
    }

    async fn order(&mut self) {
        let Some((game, _)) = self.any_game() else { return };
        let copies = if self.dice.chance(70) {
            1
        } else {
            self.dice.between((2, 4))
        };
        let wanted = json!({"items": [{"gameId": game, "quantity": copies}]});
        let request = Request {
            key: Some(self.new_key()),
            ..Request::send(Method::POST, "/api/orders", &wanted)
        };
        // Browsers and impatient users send requests twice.
        let answer = if self.dice.chance(10) {
            let again = Request {
                token: Some(self.token.clone()),
                ..request.clone()
            };
            let (one, other) = tokio::join!(self.ask_checked(0, again.clone()), self.ask_checked(1, again));
            match (one, other) {
                (Some(one), Some(other)) if one.done() && other.done() => {
                    let (first, second) = (one.json(), other.json());
                    let same = first["data"]["id"] == second["data"]["id"];
                    self.shop.verdicts.judge(
                        Rule::OrdersOnce,
                        (!same).then(|| format!("one key, two orders: {} and {}", one.body, other.body)),
                    );
                    Some(one)
                }
                (Some(one), _) | (None, Some(one)) if one.done() => Some(one),
                _ => self.retry(request).await,
            }
        } else {
            self.retry(request).await
        };
        match answer {
            None => {
                self.memory.unanswered += 1;
                self.cart.insert(game, Known::Uncertain(Instant::now()));
            }
            Some(answer) if answer.done() => {
                let answer = answer.json();
                if let Some(id) = answer["data"]["id"].as_str() {
                    self.memory.orders.push(Placed {
                        id: id.to_owned(),
                        copies,
                        ended: false,
                    });
                }
                // Ordered units leave the cart.
                if let Some(Known::Is(left)) = self.cart.get_mut(&game) {
                    *left = (*left - i64::try_from(copies).unwrap_or(0)).max(0);
                }
            }
            Some(_) => self.top_up().await,
        }
    }

    /// Reads an order with its keys and checks that it has no more keys than units.
    async fn look_at_order(&mut self) {
        let count = self.memory.orders.len();
        if count == 0 {
            return;
        }
        // Usually one of the latest.
        let back = usize::try_from(self.dice.between((1, 6))).unwrap_or(1).min(count);
        let Some(placed) = self.memory.orders.get(count - back).cloned() else {
            return;
        };
        let Some(answer) = self.ask(Request::get(format!("/api/orders/{}", placed.id))).await else {
            return;
        };
        let order = &answer.json()["data"];
        let there = order["id"].as_str() == Some(&placed.id);
        self.shop.verdicts.judge(
            Rule::WritesKept,
            (!there).then(|| format!("order {} was answered, and is not there: {}", placed.id, answer.body)),
        );
        let keys = order["keys"].as_array().map_or(0, Vec::len);
        let ended = matches!(order["status"].as_str(), Some("COMPLETED" | "FAILED" | "CANCELLED"));
        let copies = usize::try_from(placed.copies).unwrap_or(0);
        let wrong = keys > copies || (order["status"] == "COMPLETED" && keys == 0);
        self.shop.verdicts.judge(
            Rule::WritesKept,
            wrong.then(|| {
                format!(
                    "order {} of {copies} copies shows {keys} keys: {}",
                    placed.id,
                    answer.body.len()
                )
            }),
        );
        if ended && let Some(placed) = self.memory.orders.get_mut(count - back) {
            placed.ended = true;
        }
    }

    async fn export(&mut self) {
        self.ask(Request::get("/api/user/export")).await;
    }

    /// A client without an account fills a cart, and reads it back.
    async fn guest(&mut self) {
        let Some((game, _)) = self.any_game() else { return };
        let door = self.door();
        let request = Request::send(Method::POST, "/api/cart", &json!({"gameId": game, "quantity": 1}));
        let Some(answer) = self.ask_checked(door, request).await.filter(Answer::done) else {
            return;
        };
        let Some(cookie) = answer.cookie else { return };
        let request = Request {
            cookie: Some(cookie),
            ..Request::get("/api/cart")
        };
        if let Some(answer) = self.ask_checked(door + 1, request).await {
            let shown = listed(&answer.json()["data"]["items"], "quantity");
            self.shop.verdicts.judge(
                Rule::WritesKept,
                (shown.get(&game) != Some(&1)).then(|| format!("a guest's cart lost {game}: {}", answer.body)),
            );
        }
    }

    /// Registers an account and deletes it while other tabs are adding to its cart.
    async fn leave(&mut self) {
        let email = format!("leaver-{}@soak.invalid", self.new_key());
        let account = json!({"email": email, "password": PASSWORD});
        let door = self.door();
        let registered = self.ask_checked(door, Request::send(Method::POST, "/api/auth/register", &account));
        let Some(answer) = registered.await.filter(Answer::done) else {
            return;
        };
        let answer = answer.json();
        let token = answer["data"]["token"].as_str().unwrap_or_default().to_owned();
        let own = |request: Request| Request {
            token: Some(token.clone()),
            ..request
        };
        let (Some((one, _)), Some((other, _))) = (self.any_game(), self.any_game()) else {
            return;
        };
        let adds = [
            Request::send(Method::POST, "/api/cart", &json!({"gameId": one, "quantity": 1})),
            Request::send(Method::POST, "/api/wishlist", &json!({"gameId": other})),
            Request::send(Method::POST, "/api/cart", &json!({"gameId": other, "quantity": 2})),
            Request::send(
                Method::POST,
                "/api/payment/balance-top-up",
                &json!({"amount": 20, "currency": "EUR", "paymentMethod": "card"}),
            ),
        ]
        .map(own);
        let goes = own(Request::send(
            Method::DELETE,
            "/api/user/account",
            &json!({"password": PASSWORD, "currentPassword": PASSWORD}),
        ));
        let [a, b, c, d] = &adds;
        // An addition may be processed before or after the deletion; every response but a failure is valid.
        let shop = &self.shop;
        tokio::join!(
            shop.ask(door, a),
            shop.ask(door + 1, b),
            shop.ask(door, &goes),
            shop.ask(door + 1, c),
            shop.ask(door, d)
        );
    }

    async fn forget_password(&mut self) {
        let request = json!({"email": self.memory.email});
        self.ask(Request::send(Method::POST, "/api/auth/forgot-password", &request))
            .await;
    }

    fn new_key(&mut self) -> String {
        let (high, low) = (self.dice.next(), self.dice.next());
        Uuid::from_u64_pair(high, low).to_string()
    }
}

/// Records an acknowledged state. While an earlier write of the row may still take effect, the state stays uncertain.
fn learn(known: &mut BTreeMap<String, Known>, game: String, now: Known) {
    let before = known.get(&game).copied();
    if !matches!(before, Some(Known::Uncertain(_))) || matches!(now, Known::Uncertain(_)) {
        known.insert(game, now);
    }
}

/// The games of a list, each with the number in `field`, or 1.
fn listed(items: &Value, field: &str) -> BTreeMap<String, i64> {
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .filter_map(|item| {
            let game = item["gameId"].as_str().or_else(|| item["game"]["id"].as_str())?;
            Some((game.to_owned(), item[field].as_i64().unwrap_or(1)))
        })
        .collect()
}

/// Checks a list against the acknowledged states, and adopts the shown state of rows that were uncertain for long
/// enough.
fn check_list(
    what: &str,
    email: &str,
    shop: &Shop,
    known: &mut BTreeMap<String, Known>,
    shown: &BTreeMap<String, i64>,
) {
    for (game, known) in known.iter_mut() {
        let seen = shown.get(game).copied().unwrap_or(0);
        match *known {
            Known::Is(count) => shop.verdicts.judge(
                Rule::WritesKept,
                (count != seen).then(|| format!("{what} of {email}: {count} of {game} acknowledged, {seen} shown")),
            ),
            Known::Uncertain(since) if since.elapsed() > MAY_ARRIVE => *known = Known::Is(seen),
            Known::Uncertain(_) => {}
        }
    }
}

/// The path of an absolute URL.
fn path_of(address: &str) -> Option<String> {
    let (_, rest) = address.split_once("://")?;
    Some(format!("/{}", rest.split_once('/')?.1))
}
