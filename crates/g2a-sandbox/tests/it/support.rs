//! A sandbox with a client, and short methods to call it.

use lockstep_domain::Money;
use lockstep_g2a_sandbox::{Catalogue, Config, Control, Sandbox};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    pub(crate) control: Control,
    pub(crate) http: Client,
}

pub(crate) fn http() -> Client {
    // Another test may have installed it first; either way it is present.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().build().unwrap()
}

pub(crate) fn generated(count: u64) -> Config {
    Config {
        catalogue: Catalogue::Generated { count, seed: 7 },
        ..Config::default()
    }
}

pub(crate) fn empty() -> Config {
    Config {
        catalogue: Catalogue::Empty,
        ..Config::default()
    }
}

pub(crate) fn euro(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

impl Desk {
    pub(crate) async fn open(config: Config) -> Self {
        let sandbox = Sandbox::start(config).await.unwrap();
        let control = sandbox.control();
        // No limit, so that tests of other properties do not reach it.
        control.change_knobs(|knobs| knobs.rate_per_minute = 0);
        Self {
            sandbox,
            control,
            http: http(),
        }
    }

    /// A sandbox with one product: 10 in stock, listed at 5, charged at 6.30.
    pub(crate) async fn with_one_product() -> (Self, String) {
        let desk = Self::open(empty()).await;
        let id = desk.add(json!({
            "id": "10000000000001", "name": "Amber Anchor Steam Key GLOBAL",
            "qty": 10, "minPrice": 5, "retail_min_price": 6.3,
        }));
        (desk, id)
    }

    pub(crate) fn add(&self, product: Value) -> String {
        self.control.add_product(object(product))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.http
            .request(method, url)
            .header("Authorization", self.sandbox.credentials().authorization())
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Requests a list, which must succeed; returns total and docs.
    pub(crate) async fn list(&self, query: &str) -> (u64, Vec<Value>) {
        let (status, body) = self.get(&format!("/products?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        (
            body["total"].as_u64().unwrap(),
            body["docs"].as_array().unwrap().clone(),
        )
    }

    pub(crate) async fn create(&self, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, "/order").json(&body).send().await.unwrap()).await
    }

    /// Creates an order, which must succeed; returns its id.
    pub(crate) async fn order(&self, product_id: &str) -> String {
        let (status, body) = self.create(json!({ "product_id": product_id })).await;
        assert_eq!(status, 200, "{body}");
        body["order_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn try_pay(&self, order_id: &str) -> reqwest::Result<Response> {
        self.request(Method::PUT, &format!("/order/pay/{order_id}"))
            .header("Content-Length", "0")
            .send()
            .await
    }

    pub(crate) async fn pay(&self, order_id: &str) -> (StatusCode, Value) {
        read(self.try_pay(order_id).await.unwrap()).await
    }

    pub(crate) async fn details(&self, order_id: &str) -> (StatusCode, Value) {
        self.get(&format!("/order/details/{order_id}")).await
    }

    pub(crate) async fn key(&self, order_id: &str) -> (StatusCode, Value) {
        self.get(&format!("/order/key/{order_id}")).await
    }

    /// Sends a request over a raw socket and returns every byte received until the connection closed. `connection` is
    /// the header of that name: with `keep-alive`, it closes only if the server cuts it.
    pub(crate) async fn raw(&self, method: &str, path: &str, connection: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.sandbox.address()).await.unwrap();
        let authorization = self.sandbox.credentials().authorization();
        let request = format!(
            "{method} /v1{path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: {authorization}\r\nContent-Length: 0\r\n\
             Connection: {connection}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        // A reset instead of an orderly close is one of the ways in which a connection may end.
        drop(stream.read_to_end(&mut received).await);
        received
    }
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

#[track_caller]
pub(crate) fn refused(answer: &(StatusCode, Value), status: u16, code: &str) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert_eq!(answer.1["status"], "ERROR");
    assert_eq!(answer.1["code"], code);
    assert!(answer.1["message"].is_string());
}
