//! The steps of a drive, each with the rules of the dropshipping contract for its answers.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Drive;
use super::call::{Answer, Call, Caller};
use super::shape::{self, Item, Kind, Stocked};

/// Interval of polling whether an order is stocked.
const POLL: Duration = Duration::from_millis(250);

/// Checks a body and returns what is wrong with it.
type Shape = fn(Option<&Value>) -> Vec<String>;

/// Executes all steps, in an order in which each has what it needs.
pub(super) async fn all(drive: &Drive, caller: &mut Caller) {
    let Some(token) = authorise(drive, caller).await else {
        return;
    };
    let mut steps = Steps {
        drive,
        caller,
        token,
        next_order: 1,
    };
    steps.check_authorization().await;
    steps.check_invalid_requests().await;
    steps.reserve_order_and_collect().await;
    steps.order_twice_at_once().await;
    steps.release().await;
    steps.out_of_order().await;
    steps.expire().await;
    steps.notify().await;
}

async fn authorise(drive: &Drive, caller: &mut Caller) -> Option<String> {
    let ask = |secret: &str| {
        Call::new(Method::GET, "/oauth/token")
            .query("grant_type", "client_credentials")
            .query("client_id", &drive.client_id)
            .query("client_secret", secret)
    };
    caller.step("a wrong secret gets no token");
    caller.call(ask(&Uuid::new_v4().to_string()), &[401, 403, 404]).await;
    caller.step("the right secret gets a token");
    let answer = caller.call(ask(&drive.client_secret), &[200]).await?;
    let (token, wrong) = shape::token(answer.body.as_ref());
    for what in wrong {
        caller.deviation(&answer.call, what);
    }
    token
}

struct Steps<'d, 'c> {
    drive: &'d Drive,
    caller: &'c mut Caller,
    token: String,
    next_order: u64,
}

impl Steps<'_, '_> {
    fn call(&self, method: Method, path: impl Into<String>) -> Call {
        Call::new(method, path).with(&self.token)
    }

    fn wished(&self) -> Value {
        let price = json!({ "unit_price": "5.98", "auction_base_price": "15.98" });
        let wish =
            |product: &u64| json!({ "product_id": product, "quantity": self.drive.quantity, "additional_data": price });
        self.drive.products.iter().map(wish).collect()
    }

    fn told(&mut self, call: &str, wrong: Vec<String>) {
        for what in wrong {
            self.caller.deviation(call, what);
        }
    }

    /// Requests without a token or with a wrong one are refused; with the right one the server reports that it is
    /// healthy.
    async fn check_authorization(&mut self) {
        self.caller.step("nobody is served without a valid token");
        for token in [None, Some(Uuid::new_v4().to_string())] {
            for (method, path, body) in [
                (Method::GET, "/healthcheck", None),
                (Method::POST, "/reservation", Some(self.wished())),
                (
                    Method::POST,
                    "/order",
                    Some(json!({ "reservation_id": Uuid::new_v4().to_string(), "g2a_order_id": 1 })),
                ),
                (Method::POST, "/notifications", Some(notification())),
            ] {
                let mut call = Call::new(method, path);
                if let Some(body) = &body {
                    call = call.body(body);
                }
                if let Some(token) = &token {
                    call = call.with(token);
                }
                self.caller.call(call, &[401]).await;
            }
        }
        self.caller.step("the server is well");
        let well = self.call(Method::GET, "/healthcheck");
        self.caller.call(well, &[204]).await;
    }

    async fn check_invalid_requests(&mut self) {
        self.caller.step("what is not in the form of the contract is refused");
        for path in ["/reservation", "/order", "/notifications"] {
            for body in ["{", "\"text\"", "{\"unknown\": true}"] {
                let call = self.call(Method::POST, path).bytes(body);
                self.caller.call(call, &[400]).await;
            }
        }
        let negative = json!([{ "product_id": self.drive.products[0], "quantity": -1 }]);
        let call = self.call(Method::POST, "/reservation").body(&negative);
        self.caller.call(call, &[400]).await;
        let unknown = json!([{ "product_id": 99_999_999_999_999_u64, "quantity": 1 }]);
        let call = self.call(Method::POST, "/reservation").body(&unknown);
        self.caller.call(call, &[400, 404]).await;
    }

    async fn reserve(&mut self) -> Option<String> {
        let call = self.call(Method::POST, "/reservation").body(&self.wished());
        let answer = self.caller.call(call, &[200]).await?;
        self.reservation(&answer)
    }

    fn reservation(&mut self, answer: &Answer) -> Option<String> {
        let body = answer.body.as_ref();
        let wrong = shape::reserved(body.map(|body| &body["stock"]), &self.drive.products);
        self.told(&answer.call, wrong);
        match shape::id(body, "reservation_id") {
            Ok(id) => Some(id),
            Err(what) => {
                self.told(&answer.call, vec![what]);
                None
            }
        }
    }

    fn order(&mut self, reservation: &str) -> Call {
        let order = json!({ "reservation_id": reservation, "g2a_order_id": 70_000_000_000_000 + self.next_order });
        self.next_order += 1;
        self.call(Method::POST, "/order").body(&order)
    }

    /// Returns the id of a created order, and its items if the answer has them.
    fn ordered(&mut self, answer: &Answer) -> Option<(String, Vec<Stocked>)> {
        let body = answer.body.as_ref();
        let mut stock = Vec::new();
        // 202: created, and the stock is not ready.
        if answer.status == 200 {
            let (listed, wrong) = shape::stocked(body.map(|body| &body["stock"]));
            self.told(&answer.call, wrong);
            stock = listed;
        }
        match shape::id(body, "order_id") {
            Ok(id) => Some((id, stock)),
            Err(what) => {
                self.told(&answer.call, vec![what]);
                None
            }
        }
    }

    /// Reserves, renews, orders, polls until everything is stocked, reads it again, and returns it.
    async fn reserve_order_and_collect(&mut self) {
        self.caller.step("a reservation is made and renewed");
        let Some(reservation) = self.reserve().await else {
            return;
        };
        for _ in 0..2 {
            let call = self.call(Method::PUT, format!("/reservation/{reservation}"));
            if let Some(answer) = self.caller.call(call, &[200]).await {
                let renewed = self.reservation(&answer);
                if renewed.is_some_and(|renewed| renewed != reservation) {
                    self.told(&answer.call, vec!["a renewed reservation keeps its id".to_owned()]);
                }
            }
        }
        self.caller.step("a reservation is ordered");
        let call = self.order(&reservation);
        let Some(answer) = self.caller.call(call, &[200, 202]).await else {
            return;
        };
        let Some((order, at_once)) = self.ordered(&answer) else {
            return;
        };
        let call = self.order(&reservation);
        self.caller.step("the same reservation cannot be ordered again");
        self.caller.call(call, &[409]).await;
        self.caller
            .step("the inventory is there, whole, and the same each time");
        let Some(items) = self.collect(&order, &at_once).await else {
            return;
        };
        self.collect_special(&order, &items).await;
        self.caller.step("a late release does not take an order away");
        let call = self.call(Method::DELETE, format!("/reservation/{reservation}"));
        self.caller.call(call, &[204, 400, 404]).await;
        let again = self.inventory(&order).await.unwrap_or_default();
        if flat(&again) != items {
            self.told(
                &format!("GET /order/{order}/inventory"),
                vec!["the items changed".to_owned()],
            );
        }
        self.caller.step("items are returned, and returned again");
        let mut call = self.call(Method::DELETE, format!("/order/{order}/inventory"));
        for item in items.iter().take(2) {
            call = call.query("id[]", &item.id);
        }
        self.caller.call(call, &[204]).await;
        let mut call = self.call(Method::DELETE, format!("/order/{order}/inventory"));
        for item in items.iter().take(2) {
            call = call.query("id[]", &item.id);
        }
        self.caller.call(call, &[204, 400, 404]).await;
    }

    async fn inventory(&mut self, order: &str) -> Option<Vec<Stocked>> {
        let call = self.call(Method::GET, format!("/order/{order}/inventory"));
        let answer = self.caller.call(call, &[200]).await?;
        let (stock, wrong) = shape::stocked(answer.body.as_ref());
        self.told(&answer.call, wrong);
        Some(stock)
    }

    fn is_whole(&self, stock: &[Stocked]) -> bool {
        self.drive.products.iter().all(|product| {
            let items = stock
                .iter()
                .filter(|one| one.product == *product)
                .map(|one| one.items.len());
            items.sum::<usize>() >= usize::try_from(self.drive.quantity).unwrap_or(usize::MAX)
        })
    }

    /// Polls until everything is stocked, and compares it with the order and with what was handed out before.
    async fn collect(&mut self, order: &str, at_once: &[Stocked]) -> Option<Vec<Item>> {
        let name = format!("GET /order/{order}/inventory");
        let end = Instant::now() + Duration::from_millis(self.drive.patience_ms);
        let stock = loop {
            let stock = self.inventory(order).await?;
            if self.is_whole(&stock) {
                break stock;
            }
            if Instant::now() >= end {
                let waited = self.drive.patience_ms;
                self.told(&name, vec![format!("not stocked within {waited} ms")]);
                return None;
            }
            tokio::time::sleep(POLL).await;
        };
        let items = flat(&stock);
        let wished = self.drive.products.len() * usize::try_from(self.drive.quantity).unwrap_or(usize::MAX);
        if items.len() != wished {
            self.told(&name, vec![format!("{} items instead of {wished}", items.len())]);
        }
        let ids: HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
        if ids.len() != items.len() {
            self.told(&name, vec!["two items have one id".to_owned()]);
        }
        if self.is_whole(at_once) && flat(at_once) != items {
            self.told(&name, vec!["other items than the order was answered with".to_owned()]);
        }
        let again = self.inventory(order).await.unwrap_or_default();
        if flat(&again) != items {
            self.told(&name, vec!["other items when asked again".to_owned()]);
        }
        for item in &items {
            if let Some(digest) = item.digest
                && !self.caller.sell(digest)
            {
                self.told(
                    &name,
                    vec![format!("item {} holds a key that was given out before", item.id)],
                );
            }
        }
        Some(items)
    }

    /// Fetches the items that have no text.
    async fn collect_special(&mut self, order: &str, items: &[Item]) {
        for item in items {
            let (path, shape): (_, Shape) = match item.kind {
                Kind::Text => continue,
                Kind::File => (format!("/order/{order}/inventory/{}", item.id), shape::file),
                Kind::Account => (format!("/order/{order}/inventory/{}/account", item.id), shape::account),
            };
            let call = self.call(Method::GET, path);
            if let Some(answer) = self.caller.call(call, &[200]).await {
                let wrong = shape(answer.body.as_ref());
                self.told(&answer.call, wrong);
            }
        }
    }

    /// A call that is repeated because its answer was lost creates one order, not two.
    async fn order_twice_at_once(&mut self) {
        self.caller.step("an order that is sent twice at once is made once");
        let Some(reservation) = self.reserve().await else {
            return;
        };
        let call = self.order(&reservation);
        let answers = self.caller.twice(call, &[200, 202, 409]).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status != 409).collect();
        match made.as_slice() {
            [one] => {
                if let Some((order, at_once)) = self.ordered(one) {
                    self.collect(&order, &at_once).await;
                }
            }
            none_or_two => {
                let count = none_or_two.len();
                self.told("POST /order", vec![format!("{count} of two equal calls made an order")]);
            }
        }
    }

    async fn release(&mut self) {
        self.caller.step("a released reservation is gone");
        let Some(reservation) = self.reserve().await else {
            return;
        };
        let path = format!("/reservation/{reservation}");
        let call = self.call(Method::DELETE, &path);
        self.caller.call(call, &[204]).await;
        let call = self.call(Method::DELETE, &path);
        self.caller.call(call, &[204, 400, 404]).await;
        let call = self.call(Method::PUT, &path);
        self.caller.call(call, &[400, 404]).await;
        let call = self.order(&reservation);
        self.caller.call(call, &[400, 404, 410]).await;
    }

    /// Calls that arrive before those that they depend on.
    async fn out_of_order(&mut self) {
        self.caller.step("a call that overtakes what it rests on is refused");
        let stranger = Uuid::new_v4().to_string();
        let call = self.order(&stranger);
        self.caller.call(call, &[400, 404]).await;
        for (method, path) in [
            (Method::PUT, format!("/reservation/{stranger}")),
            (Method::DELETE, format!("/reservation/{stranger}")),
            (Method::GET, format!("/order/{stranger}/inventory")),
            (Method::GET, format!("/order/{stranger}/inventory/{stranger}")),
        ] {
            let call = self.call(method, path);
            self.caller.call(call, &[400, 404]).await;
        }
    }

    async fn expire(&mut self) {
        let Some(wait) = self.drive.expiry_ms else { return };
        self.caller.step("an expired reservation cannot be ordered");
        let Some(reservation) = self.reserve().await else {
            return;
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let call = self.order(&reservation);
        self.caller.call(call, &[410]).await;
    }

    async fn notify(&mut self) {
        self.caller.step("a notification is taken, and taken again");
        for _ in 0..2 {
            let call = self.call(Method::POST, "/notifications").body(&notification());
            self.caller.call(call, &[204]).await;
        }
    }
}

fn flat(stock: &[Stocked]) -> Vec<Item> {
    let mut items: Vec<Item> = stock.iter().flat_map(|one| one.items.clone()).collect();
    items.sort_by(|a, b| a.id.cmp(&b.id));
    items
}

fn notification() -> Value {
    json!([{
        "notification_type": "auction_deactivated",
        "date": "2026-03-01T10:00:00+00:00",
        "data": {
            "message": "The auction was deactivated.",
            "auction_id": 70_000_000_000_001_u64,
            "offer_id": "5f0d7a4e-3f51-4d0a-9c0f-6f5a2b1c9d10",
        },
    }])
}
