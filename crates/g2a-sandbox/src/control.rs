//! The control API: what tests, demos and developers can do to the sandbox that a customer of G2A cannot.
//!
//! [`Control`] is the typed form for code in the same process; `/control/...` is the same over HTTP, without
//! credentials, for every client of the port. Bodies are JSON; 400, 415 and 422 explain what is wrong with one.
//!
//! | address | methods |
//! |---|---|
//! | `/control/knobs` | GET; PUT replaces all (missing ones get their defaults); PATCH sets the named ones |
//! | `/control/faults` | GET; POST adds one [`FaultRule`] or a list; DELETE removes all |
//! | `/control/products` | GET `?page&size`, in stock or not; POST adds a product |
//! | `/control/products/{id}` | GET; PATCH sets fields, null removes one; DELETE |
//! | `/control/sell-out` | GET; POST `{"left": 2}`: limits the stock of the next ordered product to this number |
//! | `/control/orders/{id}/refund` | POST |
//! | `/control/wallet` | GET; PUT `{"balance": 12.34}` |
//! | `/control/ledger` | GET |
//! | `/control/requests` | GET `?last=100`: counts, and the last requests |
//! | `/control/held` | GET: numbers of the requests whose answer is held back; POST `{"release": 7}` |
//! | `/control/clock` | GET; POST `{"advance_seconds": 60}` |
//! | `/control/drift` | GET; PUT `{"per_second": 2}`; POST `{"changes": 10}` makes them now, at most 100,000 |
//! | `/control/drive` | POST a [`Drive`]: tests a seller's server against the dropshipping contract, returns the report |
//! | `/control/reset` | POST |

use std::sync::Arc;

use axum::extract::{Path, Query, State as Axum};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_domain::Money;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::catalogue::{Filter, LoadError, loose_value};
use crate::driver::{Drive, DriveReport};
use crate::faults::FaultRule;
use crate::knobs::Knobs;
use crate::market::Ledger;
use crate::state::{RequestCounts, RequestRecord, Shared, State};

/// A handle of a running sandbox. Clones refer to the same sandbox.
#[derive(Clone)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// A reading of the sandbox's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The current time of the sandbox.
    pub now: DateTime<Utc>,
    /// Total advance since the start, in seconds.
    pub offset_seconds: i64,
}

impl Control {
    /// Returns the current switches.
    pub fn knobs(&self) -> Knobs {
        self.shared.lock().knobs.clone()
    }

    /// Replaces all switches.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.shared.lock().knobs = knobs;
    }

    /// Changes some switches.
    pub fn change_knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.shared.lock().knobs);
    }

    /// Adds a fault rule after the existing ones.
    pub fn add_fault(&self, rule: FaultRule) {
        self.shared.lock().rules.push(rule);
    }

    /// Returns the rules that can still act, with their remaining counts.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.shared.lock().rules.clone()
    }

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        self.shared.lock().rules.clear();
    }

    /// The number of products, in stock or not.
    pub fn product_count(&self) -> usize {
        self.shared.lock().goods.len()
    }

    /// Returns a product in the JSON form of the API, or `None`.
    pub fn product(&self, id: &str) -> Option<Value> {
        self.shared.lock().goods.value(id.parse().ok()?)
    }

    /// Returns one page of all products by ascending id, in stock or not. Pages count from 1.
    pub fn products(&self, page: usize, size: usize) -> Vec<Value> {
        let mut state = self.shared.lock();
        let (_, ids) = state.goods.page(&Filter::everything(), page, size, true);
        ids.into_iter().filter_map(|id| state.goods.value(id)).collect()
    }

    /// Adds a product in G2A's JSON form, valid or not, and returns its id: its own, or a free one if that is not a
    /// number. Replaces a product with the same id. The default time of change is now.
    pub fn add_product(&self, mut product: Map<String, Value>) -> String {
        let mut state = self.shared.lock();
        let now = state.settle();
        product
            .entry("updated_at")
            .or_insert_with(|| crate::catalogue::write_time(now).into());
        state.goods.add(product).to_string()
    }

    /// Sets JSON fields of a product; null removes a field. The time of change is now unless the patch has an
    /// `updated_at`. Returns `false` if there is no such product.
    pub fn patch_product(&self, id: &str, patch: Map<String, Value>) -> bool {
        let Ok(id) = id.parse() else { return false };
        let mut state = self.shared.lock();
        let now = state.settle();
        state.goods.patch(id, patch, now)
    }

    /// Sets both prices of a product. Returns `false` if there is no such product.
    pub fn set_price(&self, id: &str, min_price: Money, retail_min_price: Money) -> bool {
        self.change(id, |state, id, now| {
            state.goods.change(id, |product| {
                product.min_price = min_price;
                product.retail_min_price = retail_min_price;
                product.updated_at = Some(now);
            })
        })
    }

    /// Sets the stock of a product; negative counts as none. Returns `false` if there is no such product.
    pub fn set_stock(&self, id: &str, quantity: i64) -> bool {
        self.change(id, |state, id, now| {
            state.goods.change(id, |product| {
                product.quantity = quantity.max(0);
                product.updated_at = Some(now);
            })
        })
    }

    /// Limits the stock of the next ordered product to `left` from the order on; `None` removes the limit. A product
    /// thus sells out between an order in a shop and its purchase here, whichever product is bought.
    pub fn sell_out_next(&self, left: Option<u32>) {
        self.shared.lock().sell_out_next = left;
    }

    /// The limit set by [`sell_out_next`](Self::sell_out_next), until the next order.
    pub fn selling_out_next(&self) -> Option<u32> {
        self.shared.lock().sell_out_next
    }

    /// Removes a product. Returns `false` if there is no such product.
    pub fn remove_product(&self, id: &str) -> bool {
        self.change(id, |state, id, _| state.goods.remove(id))
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut State, u64, DateTime<Utc>) -> bool) -> bool {
        let Ok(id) = id.parse() else { return false };
        let mut state = self.shared.lock();
        let now = state.settle();
        change(&mut state, id, now)
    }

    /// The balance of the wallet.
    pub fn wallet(&self) -> Money {
        let mut state = self.shared.lock();
        state.settle();
        state.market.wallet()
    }

    /// Sets the balance of the wallet. The sums of the ledger do not change.
    pub fn set_wallet(&self, balance: Money) {
        self.shared.lock().market.set_wallet(balance);
    }

    /// The record of all orders and payments so far.
    pub fn ledger(&self) -> Ledger {
        let mut state = self.shared.lock();
        state.settle();
        state.market.ledger()
    }

    /// Refunds a paid order without notice. Returns `false` if there is no such order, it is unpaid, or it was already
    /// refunded.
    pub fn refund(&self, order_id: &str) -> bool {
        self.change(order_id, |state, id, _| state.market.refund(id))
    }

    /// The number of requests to `/v1` since the start or the last reset.
    pub fn request_counts(&self) -> RequestCounts {
        self.shared.lock().counts.clone()
    }

    /// The last requests to `/v1`, oldest first, at most `last` and at most 20,000.
    pub fn requests(&self, last: usize) -> Vec<RequestRecord> {
        let state = self.shared.lock();
        state
            .log
            .iter()
            .skip(state.log.len().saturating_sub(last))
            .cloned()
            .collect()
    }

    /// The numbers of the requests whose answer is held back ([`Fault::Hold`](crate::Fault::Hold)) and whose caller is
    /// still waiting, oldest first.
    pub fn held(&self) -> Vec<u64> {
        let mut state = self.shared.lock();
        state.held.retain(|_, release| !release.is_closed());
        state.held.keys().copied().collect()
    }

    /// Sends the answer to this request. Returns `false` if it is not held or its caller no longer waits.
    pub fn release(&self, request: u64) -> bool {
        let held = self.shared.lock().held.remove(&request);
        held.is_some_and(|release| release.send(()).is_ok())
    }

    /// Reads the sandbox's clock.
    pub fn clock(&self) -> ClockReading {
        let state = self.shared.lock();
        ClockReading {
            now: state.clock.now(),
            offset_seconds: state.clock.offset_seconds(),
        }
    }

    /// Advances the sandbox's clock by whole seconds, and executes what becomes due.
    pub fn advance_clock(&self, seconds: u64) {
        let mut state = self.shared.lock();
        state.clock.advance(seconds);
        state.settle();
    }

    /// The rate of random catalogue changes per second.
    pub fn drift_per_second(&self) -> u32 {
        self.shared.lock().drift_per_second
    }

    /// Sets the rate of random catalogue changes per second; 0 disables them.
    pub fn set_drift_per_second(&self, changes: u32) {
        self.shared.lock().drift_per_second = changes;
        self.shared.drift_changed.notify_one();
    }

    /// Makes `changes` random changes at once, without waiting for the drift.
    pub fn drift_now(&self, changes: u32) {
        let mut state = self.shared.lock();
        let now = state.settle();
        let State { goods, dice, .. } = &mut *state;
        for _ in 0..changes {
            goods.drift(dice, now);
        }
    }

    /// Resets catalogue, switches, wallet, clock and drift to their initial state, and removes all orders, faults and
    /// requests. Connections and the address stay.
    ///
    /// # Errors
    /// Returns [`LoadError`] if a catalogue file cannot be read again; then nothing has changed.
    pub fn reset(&self) -> Result<(), LoadError> {
        let fresh = State::new(&self.shared.config)?;
        *self.shared.lock() = fresh;
        self.shared.drift_changed.notify_one();
        Ok(())
    }
}

/// A refusal of the control API, as JSON `{"error": ...}`.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn bad<E: std::fmt::Display>(error: E) -> Refused {
    Refused(StatusCode::BAD_REQUEST, format!("{error:#}"))
}

fn found(done: bool) -> Result<StatusCode, Refused> {
    if done {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused(
            StatusCode::NOT_FOUND,
            "nothing of that id, or nothing to do".to_owned(),
        ))
    }
}

/// The routes under `/control`.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/knobs", get(read_knobs).put(put_knobs).patch(patch_knobs))
        .route("/faults", get(read_faults).post(add_faults).delete(clear_faults))
        .route("/products", get(list_products).post(add_product))
        .route(
            "/products/{id}",
            get(read_product).patch(patch_product).delete(remove_product),
        )
        .route("/sell-out", get(read_sell_out).post(sell_out))
        .route("/orders/{id}/refund", post(refund))
        .route("/wallet", get(read_wallet).put(put_wallet))
        .route(
            "/ledger",
            get(async |Axum(control): Axum<Control>| Json(control.ledger())),
        )
        .route("/requests", get(read_requests))
        .route("/held", get(read_held).post(release_held))
        .route(
            "/clock",
            get(async |Axum(control): Axum<Control>| Json(control.clock())).post(advance_clock),
        )
        .route("/drift", get(read_drift).put(put_drift).post(drift_now))
        .route("/drive", post(drive))
        .route("/reset", post(reset))
        .with_state(Control { shared })
}

async fn read_knobs(Axum(control): Axum<Control>) -> Json<Knobs> {
    Json(control.knobs())
}

async fn put_knobs(Axum(control): Axum<Control>, Json(knobs): Json<Knobs>) -> Json<Knobs> {
    control.set_knobs(knobs);
    read_knobs(Axum(control)).await
}

/// Sets the named switches and leaves the others unchanged.
async fn patch_knobs(
    Axum(control): Axum<Control>,
    Json(patch): Json<Map<String, Value>>,
) -> Result<Json<Knobs>, Refused> {
    let mut state = control.shared.lock();
    let mut merged = serde_json::to_value(&state.knobs).map_err(bad)?;
    if let Value::Object(knobs) = &mut merged {
        knobs.extend(patch);
    }
    state.knobs = serde_json::from_value(merged).map_err(bad)?;
    Ok(Json(state.knobs.clone()))
}

/// One rule or a list of rules.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Many(Vec<FaultRule>),
    One(FaultRule),
}

async fn read_faults(Axum(control): Axum<Control>) -> Json<Vec<FaultRule>> {
    Json(control.faults())
}

async fn add_faults(Axum(control): Axum<Control>, Json(rules): Json<Rules>) -> Json<Vec<FaultRule>> {
    match rules {
        Rules::One(rule) => control.add_fault(rule),
        Rules::Many(rules) => rules.into_iter().for_each(|rule| control.add_fault(rule)),
    }
    Json(control.faults())
}

async fn clear_faults(Axum(control): Axum<Control>) -> StatusCode {
    control.clear_faults();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct PageQuery {
    #[serde(default = "first_page")]
    page: usize,
    #[serde(default = "usual_size")]
    size: usize,
}

fn first_page() -> usize {
    1
}

fn usual_size() -> usize {
    20
}

async fn list_products(Axum(control): Axum<Control>, Query(query): Query<PageQuery>) -> Json<Value> {
    let products = control.products(query.page, query.size.min(1_000));
    Json(json!({ "total": control.product_count(), "page": query.page, "docs": products }))
}

async fn add_product(Axum(control): Axum<Control>, Json(product): Json<Map<String, Value>>) -> Json<Value> {
    Json(json!({ "id": control.add_product(product) }))
}

async fn read_product(Axum(control): Axum<Control>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let missing = || Refused(StatusCode::NOT_FOUND, "no such product".to_owned());
    control.product(&id).map(Json).ok_or_else(missing)
}

async fn patch_product(
    Axum(control): Axum<Control>,
    Path(id): Path<String>,
    Json(patch): Json<Map<String, Value>>,
) -> Result<StatusCode, Refused> {
    found(control.patch_product(&id, patch))
}

async fn remove_product(Axum(control): Axum<Control>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    found(control.remove_product(&id))
}

#[derive(Deserialize, Serialize)]
struct SellOut {
    left: Option<u32>,
}

async fn read_sell_out(Axum(control): Axum<Control>) -> Json<SellOut> {
    Json(SellOut {
        left: control.selling_out_next(),
    })
}

async fn sell_out(Axum(control): Axum<Control>, Json(form): Json<SellOut>) -> Json<SellOut> {
    control.sell_out_next(form.left);
    read_sell_out(Axum(control)).await
}

async fn refund(Axum(control): Axum<Control>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    found(control.refund(&id))
}

#[derive(Deserialize)]
struct WalletForm {
    balance: Money,
}

async fn read_wallet(Axum(control): Axum<Control>) -> Json<Value> {
    Json(json!({ "balance": loose_value(control.wallet()) }))
}

async fn put_wallet(Axum(control): Axum<Control>, Json(form): Json<WalletForm>) -> Json<Value> {
    control.set_wallet(form.balance);
    read_wallet(Axum(control)).await
}

#[derive(Deserialize)]
struct RequestsQuery {
    #[serde(default = "usual_log")]
    last: usize,
}

fn usual_log() -> usize {
    100
}

async fn read_requests(Axum(control): Axum<Control>, Query(query): Query<RequestsQuery>) -> Json<Value> {
    Json(json!({ "counts": control.request_counts(), "requests": control.requests(query.last) }))
}

#[derive(Deserialize)]
struct Release {
    release: u64,
}

async fn read_held(Axum(control): Axum<Control>) -> Json<Vec<u64>> {
    Json(control.held())
}

async fn release_held(Axum(control): Axum<Control>, Json(form): Json<Release>) -> Result<StatusCode, Refused> {
    found(control.release(form.release))
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

async fn advance_clock(Axum(control): Axum<Control>, Json(advance): Json<Advance>) -> Json<ClockReading> {
    control.advance_clock(advance.advance_seconds);
    Json(control.clock())
}

#[derive(Deserialize)]
struct DriftRate {
    per_second: u32,
}

#[derive(Deserialize)]
struct DriftNow {
    changes: u32,
}

async fn read_drift(Axum(control): Axum<Control>) -> Json<Value> {
    Json(json!({ "per_second": control.drift_per_second() }))
}

async fn put_drift(Axum(control): Axum<Control>, Json(rate): Json<DriftRate>) -> Json<Value> {
    control.set_drift_per_second(rate.per_second);
    read_drift(Axum(control)).await
}

async fn drift_now(Axum(control): Axum<Control>, Json(now): Json<DriftNow>) -> StatusCode {
    control.drift_now(now.changes.min(100_000));
    StatusCode::NO_CONTENT
}

async fn drive(Json(form): Json<Drive>) -> Result<Json<DriveReport>, Refused> {
    crate::driver::drive(&form).await.map(Json).map_err(bad)
}

async fn reset(Axum(control): Axum<Control>) -> Result<StatusCode, Refused> {
    control.reset().map(|()| StatusCode::NO_CONTENT).map_err(bad)
}
