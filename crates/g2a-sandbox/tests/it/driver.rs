//! G2A as a caller, with a seller's server that keeps the contract, and with servers that break it in one point each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use lockstep_g2a_sandbox::{Drive, DriveError, DriveReport, drive};
use serde_json::{Value, json};

use crate::support::{Desk, empty};

const PRODUCT: u64 = 10_000_000_024_005;
const FILES: u64 = 10_000_000_024_006;
const ACCOUNTS: u64 = 10_000_000_024_007;

/// The server's deviation from the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Good,
    /// Answers orders with 202 and stocks them a little later. The contract allows this.
    Later,
    AnyTokenWillDo,
    TokenIsNoBearer,
    HealthNeedsNoToken,
    HealthSaysOk,
    ReservationIdIsANumber,
    ReservationListsNothing,
    RenewalChangesId,
    OrdersTwice,
    OrdersTwiceAtOnce,
    SellsTheSameKeyTwice,
    NeverStocks,
    ForgetsItems,
    OtherItemsEachTime,
    UnknownKind,
    BrokenFile,
    BrokenAccount,
    ReleaseTakesTheOrderAway,
    OrdersWhatWasReleased,
    NeverExpires,
    TakesAnyNotification,
    NotificationsHaveABody,
    ErrorsAreText,
    Breaks,
    Slow,
}

#[derive(Default)]
struct Books {
    next: u64,
    /// Requested products and the time of the reservation; released ones are removed.
    reservations: HashMap<String, (Vec<(u64, u64)>, Instant)>,
    /// Order by reservation.
    ordered: HashMap<String, String>,
    /// Items of an order, and the time from which they are available.
    orders: HashMap<String, (Vec<Value>, Instant)>,
}

struct Seller {
    habit: Habit,
    books: Mutex<Books>,
}

const LIFE: Duration = Duration::from_secs(3);

fn fail(seller: &Seller, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    if seller.habit == Habit::ErrorsAreText {
        return (status, "no").into_response();
    }
    (status, Json(json!({ "code": "X", "message": "no" }))).into_response()
}

impl Seller {
    fn is(&self, habit: Habit) -> bool {
        self.habit == habit
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
        shown == Some("Bearer a-token") || (self.is(Habit::AnyTokenWillDo) && shown.is_some())
    }
}

type Shared = State<Arc<Seller>>;

async fn token(State(seller): Shared, Query(asked): Query<HashMap<String, String>>) -> Response {
    if asked.get("client_secret").map(String::as_str) != Some("the-secret")
        || asked["grant_type"] != "client_credentials"
    {
        return fail(&seller, 401);
    }
    let kind = if seller.is(Habit::TokenIsNoBearer) {
        "mac"
    } else {
        "bearer"
    };
    Json(json!({ "access_token": "a-token", "token_type": kind, "expires_in": 9 })).into_response()
}

async fn health(State(seller): Shared, headers: HeaderMap) -> Response {
    if !seller.knows(&headers) && !seller.is(Habit::HealthNeedsNoToken) {
        return fail(&seller, 401);
    }
    if seller.is(Habit::HealthSaysOk) {
        return "ok".into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

fn stock(wishes: &[(u64, u64)]) -> Value {
    wishes
        .iter()
        .map(|(product, _)| json!({ "product_id": product, "inventory_size": 9 }))
        .collect()
}

async fn reserve(State(seller): Shared, headers: HeaderMap, body: String) -> Response {
    if !seller.knows(&headers) {
        return fail(&seller, 401);
    }
    if seller.is(Habit::Slow) {
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    if seller.is(Habit::Breaks) {
        return fail(&seller, 500);
    }
    let Some(list) = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|body| body.as_array().cloned())
    else {
        return fail(&seller, 400);
    };
    let wishes: Option<Vec<(u64, u64)>> = list
        .iter()
        .map(|wish| Some((wish["product_id"].as_u64()?, wish["quantity"].as_u64()?)))
        .collect();
    let Some(wishes) = wishes else {
        return fail(&seller, 400);
    };
    if wishes
        .iter()
        .any(|(product, _)| ![PRODUCT, FILES, ACCOUNTS].contains(product))
    {
        return fail(&seller, 404);
    }
    let mut books = seller.books.lock().unwrap();
    books.next += 1;
    let id = format!("r{}", books.next);
    books.reservations.insert(id.clone(), (wishes.clone(), Instant::now()));
    let listed = if seller.is(Habit::ReservationListsNothing) {
        json!([])
    } else {
        stock(&wishes)
    };
    let id = if seller.is(Habit::ReservationIdIsANumber) {
        json!(7)
    } else {
        json!(id)
    };
    Json(json!({ "reservation_id": id, "stock": listed })).into_response()
}

async fn renew(State(seller): Shared, Path(id): Path<String>) -> Response {
    let mut books = seller.books.lock().unwrap();
    let Some((wishes, at)) = books.reservations.get_mut(&id) else {
        return fail(&seller, 404);
    };
    *at = Instant::now();
    let id = if seller.is(Habit::RenewalChangesId) {
        "another".to_owned()
    } else {
        id
    };
    Json(json!({ "reservation_id": id, "stock": stock(wishes) })).into_response()
}

async fn release(State(seller): Shared, Path(id): Path<String>) -> Response {
    let mut books = seller.books.lock().unwrap();
    if let Some(order) = books.ordered.get(&id).cloned() {
        if seller.is(Habit::ReleaseTakesTheOrderAway) {
            books.orders.get_mut(&order).unwrap().0.clear();
        }
        return fail(&seller, 404);
    }
    if seller.is(Habit::OrdersWhatWasReleased) {
        return StatusCode::NO_CONTENT.into_response();
    }
    match books.reservations.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => fail(&seller, 404),
    }
}

fn items(books: &mut Books, habit: Habit, wishes: &[(u64, u64)]) -> Vec<Value> {
    let mut all = Vec::new();
    for (product, quantity) in wishes {
        let missing = u64::from(habit == Habit::ForgetsItems);
        let mut inventory = Vec::new();
        for _ in 0..quantity - missing {
            books.next += 1;
            let key = if habit == Habit::SellsTheSameKeyTwice {
                "KEY".to_owned()
            } else {
                format!("KEY-{}", books.next)
            };
            let id = format!("i{}", books.next);
            inventory.push(match *product {
                FILES => json!({ "id": id, "value": "", "kind": "file" }),
                ACCOUNTS => json!({ "id": id, "value": "", "kind": "account" }),
                _ if habit == Habit::UnknownKind => json!({ "id": id, "value": key, "kind": "image" }),
                _ => json!({ "id": id, "value": key }),
            });
        }
        all.push(json!({ "product_id": product, "inventory_size": 7, "inventory": inventory }));
    }
    all
}

async fn order(State(seller): Shared, headers: HeaderMap, body: String) -> Response {
    if !seller.knows(&headers) {
        return fail(&seller, 401);
    }
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let (Some(reservation), Some(_)) = (body["reservation_id"].as_str(), body["g2a_order_id"].as_u64()) else {
        return fail(&seller, 400);
    };
    if seller.is(Habit::OrdersTwiceAtOnce) {
        let free = !seller.books.lock().unwrap().ordered.contains_key(reservation);
        tokio::time::sleep(Duration::from_millis(100)).await;
        if free {
            seller.books.lock().unwrap().ordered.remove(reservation);
        }
    }
    let mut books = seller.books.lock().unwrap();
    if books.ordered.contains_key(reservation) && !seller.is(Habit::OrdersTwice) {
        return fail(&seller, 409);
    }
    let Some((wishes, at)) = books.reservations.get(reservation).cloned() else {
        return fail(&seller, 404);
    };
    if at.elapsed() > LIFE && !seller.is(Habit::NeverExpires) {
        return fail(&seller, 410);
    }
    let (all, habit) = (items(&mut books, seller.habit, &wishes), seller.habit);
    books.next += 1;
    let id = format!("o{}", books.next);
    books.ordered.insert(reservation.to_owned(), id.clone());
    let late = if habit == Habit::Later {
        Duration::from_millis(300)
    } else {
        Duration::ZERO
    };
    books.orders.insert(id.clone(), (all.clone(), Instant::now() + late));
    if matches!(habit, Habit::Later | Habit::NeverStocks) {
        return (StatusCode::ACCEPTED, Json(json!({ "order_id": id, "stock": [] }))).into_response();
    }
    Json(json!({ "order_id": id, "stock": all })).into_response()
}

async fn inventory(State(seller): Shared, Path(id): Path<String>) -> Response {
    let mut books = seller.books.lock().unwrap();
    books.next += 1;
    let turn = books.next;
    let Some((all, ready)) = books.orders.get(&id).cloned() else {
        return fail(&seller, 404);
    };
    if seller.is(Habit::NeverStocks) || Instant::now() < ready {
        let empty: Value = all
            .iter()
            .map(|one| json!({ "product_id": one["product_id"], "inventory_size": 0, "inventory": [] }))
            .collect();
        return Json(empty).into_response();
    }
    let mut all = all;
    if seller.is(Habit::OtherItemsEachTime) {
        all[0]["inventory"][0]["value"] = json!(format!("OTHER-{turn}"));
    }
    Json(all).into_response()
}

async fn take_back(State(seller): Shared, Path(id): Path<String>) -> Response {
    if seller.books.lock().unwrap().orders.contains_key(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        fail(&seller, 404)
    }
}

async fn file(State(seller): Shared, Path((order, _)): Path<(String, String)>) -> Response {
    if !seller.books.lock().unwrap().orders.contains_key(&order) {
        return fail(&seller, 404);
    }
    let data = if seller.is(Habit::BrokenFile) {
        "%%%"
    } else {
        "aGVsbG8="
    };
    Json(json!({ "data": data, "fileName": "key.png", "mimeType": "image/png" })).into_response()
}

async fn account(State(seller): Shared) -> Response {
    let mut account = json!({ "username": "u", "password": "p", "email": "e", "emailPassword": "q",
        "optional": [{ "label": "l", "details": "d" }] });
    if seller.is(Habit::BrokenAccount) {
        account["password"] = json!(7);
    }
    Json(account).into_response()
}

async fn notifications(State(seller): Shared, headers: HeaderMap, body: String) -> Response {
    if !seller.knows(&headers) {
        return fail(&seller, 401);
    }
    let list = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|body| body.as_array().cloned());
    let known = list.is_some_and(|list| list.iter().all(|one| one["notification_type"] == "auction_deactivated"));
    if !known && !seller.is(Habit::TakesAnyNotification) {
        return fail(&seller, 400);
    }
    if seller.is(Habit::NotificationsHaveABody) {
        return Json(json!({})).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Starts a server with this deviation and returns the base address of its contract.
async fn seller(habit: Habit) -> String {
    let seller = Arc::new(Seller {
        habit,
        books: Mutex::default(),
    });
    let contract = Router::new()
        .route("/oauth/token", get(token))
        .route("/healthcheck", get(health))
        .route("/reservation", post(reserve))
        .route("/reservation/{id}", put(renew).delete(release))
        .route("/order", post(order))
        .route("/order/{id}/inventory", get(inventory).merge(delete(take_back)))
        .route("/order/{id}/inventory/{item}", get(file))
        .route("/order/{id}/inventory/{item}/account", get(account))
        .route("/notifications", post(notifications))
        .with_state(seller);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().nest("/g2a", contract)).await });
    format!("http://{address}/g2a")
}

async fn driven(habit: Habit) -> DriveReport {
    let mut wish = Drive::new(
        &seller(habit).await,
        "g2a",
        "the-secret",
        vec![PRODUCT, FILES, ACCOUNTS],
    );
    wish.patience_ms = 1_500;
    if matches!(habit, Habit::Good | Habit::NeverExpires) {
        wish.expiry_ms = Some(u64::try_from(LIFE.as_millis()).unwrap() + 100);
    }
    if habit == Habit::Slow {
        wish.deadline_ms = 300;
    }
    drive(&wish).await.unwrap()
}

#[tokio::test]
async fn a_conforming_server_passes_the_whole_contract() {
    for habit in [Habit::Good, Habit::Later] {
        let report = driven(habit).await;
        assert_eq!(report.deviations, [], "{habit:?}");
        // Of two orders with two of each of three products, the items with a text.
        assert_eq!(report.items, 4, "{habit:?}: {report:?}");
        assert_eq!(
            report.steps.len(),
            if habit == Habit::Good { 16 } else { 15 },
            "{habit:?}"
        );
        assert!(report.calls > 40, "{habit:?}: {} calls", report.calls);
    }
}

#[tokio::test]
async fn every_deviation_is_reported_at_its_step() {
    let habits = [
        (Habit::AnyTokenWillDo, "nobody is served", "instead of 401"),
        (Habit::TokenIsNoBearer, "the right secret", "token_type"),
        (Habit::HealthNeedsNoToken, "nobody is served", "204 instead of 401"),
        (Habit::HealthSaysOk, "the server is well", "200 instead of 204"),
        (Habit::ReservationIdIsANumber, "a reservation is made", "reservation_id"),
        (
            Habit::ReservationListsNothing,
            "a reservation is made",
            "does not name product",
        ),
        (Habit::RenewalChangesId, "a reservation is made", "keeps its id"),
        (Habit::OrdersTwice, "the same reservation cannot", "200 instead of 409"),
        (Habit::OrdersTwiceAtOnce, "sent twice at once", "2 of two equal calls"),
        (
            Habit::SellsTheSameKeyTwice,
            "the inventory is there",
            "given out before",
        ),
        (Habit::NeverStocks, "the inventory is there", "not stocked within"),
        (Habit::ForgetsItems, "the inventory is there", "not stocked within"),
        (Habit::OtherItemsEachTime, "the inventory is there", "other items"),
        (Habit::UnknownKind, "a reservation is ordered", "image"),
        (Habit::BrokenFile, "the inventory is there", "data must be base64"),
        (
            Habit::BrokenAccount,
            "the inventory is there",
            "password must be a text",
        ),
        (Habit::ReleaseTakesTheOrderAway, "a late release", "the items changed"),
        (
            Habit::OrdersWhatWasReleased,
            "a released reservation",
            "instead of 400 or 404",
        ),
        (Habit::NeverExpires, "an expired reservation", "instead of 410"),
        (Habit::TakesAnyNotification, "not in the form", "204 instead of 400"),
        (
            Habit::NotificationsHaveABody,
            "a notification is taken",
            "200 instead of 204",
        ),
        (Habit::ErrorsAreText, "a wrong secret", "{code, message}"),
        (Habit::Breaks, "a reservation is made", "500 instead of 200"),
        (Habit::Slow, "a reservation is made", "no answer within 300 ms"),
    ];
    let reports = futures::future::join_all(habits.iter().map(|(habit, ..)| driven(*habit))).await;
    for ((habit, step, told), report) in habits.into_iter().zip(reports) {
        let found = report
            .deviations
            .iter()
            .any(|one| one.step.contains(step) && one.what.contains(told));
        assert!(found, "{habit:?}: {:#?}", report.deviations);
        for secret in ["the-secret", "a-token", "KEY-"] {
            assert!(!format!("{report:?}").contains(secret), "{habit:?} told {secret}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_server_is_reported_and_not_called_again() {
    let report = drive(&Drive::new("http://127.0.0.1:9", "g2a", "the-secret", vec![PRODUCT]))
        .await
        .unwrap();
    assert_eq!(report.calls, 2);
    assert!(
        report.deviations.iter().all(|one| one.what.starts_with("no answer")),
        "{report:?}"
    );
    let nothing = drive(&Drive::new("http://127.0.0.1:9", "g2a", "s", vec![])).await;
    assert!(matches!(nothing, Err(DriveError::NothingToOrder)));
    let nowhere = drive(&Drive::new("shop", "g2a", "s", vec![PRODUCT])).await;
    assert!(matches!(nowhere, Err(DriveError::Url(_))));
}

#[tokio::test]
async fn the_control_api_can_start_a_drive() {
    let desk = Desk::open(empty()).await;
    let wish = json!({ "url": seller(Habit::Good).await, "client_id": "g2a", "client_secret": "the-secret", "products": [PRODUCT] });
    let url = format!("http://{}/control/drive", desk.sandbox.address());
    let response = desk.http.post(url).json(&wish).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let report: Value = response.json().await.unwrap();
    assert_eq!(
        (&report["deviations"], &report["items"]),
        (&json!([]), &json!(4)),
        "{report}"
    );
}
