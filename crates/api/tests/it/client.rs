//! A client that behaves like a browser: it stores its cookies, and its tokens like the existing front-end.

use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::shop::{Answered, Shop};

/// A password that satisfies the rule.
pub(crate) const PASSWORD: &str = "Correct-Horse-1";

/// A browser.
pub(crate) struct Client<'s> {
    shop: &'s Shop,
    address: SocketAddr,
    cookie: Mutex<Option<String>>,
    guest_token: Mutex<Option<String>>,
    token: Mutex<Option<String>>,
}

impl<'s> Client<'s> {
    /// A browser on its first visit.
    pub(crate) fn new(shop: &'s Shop) -> Self {
        Self::at(shop, "203.0.113.7")
    }

    /// A browser on its first visit, at another address.
    pub(crate) fn at(shop: &'s Shop, address: &str) -> Self {
        Self {
            shop,
            address: SocketAddr::new(address.parse().unwrap(), 40_000),
            cookie: Mutex::new(None),
            guest_token: Mutex::new(None),
            token: Mutex::new(None),
        }
    }

    /// The guest session, if the browser has one.
    pub(crate) fn session(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    pub(crate) fn set_session(&self, session: Option<&str>) {
        *self.cookie.lock().unwrap() = session.map(str::to_owned);
    }

    /// The token that assigns the browser's first writes to one guest.
    pub(crate) fn guest_token(&self) -> Option<String> {
        self.guest_token.lock().unwrap().clone()
    }

    pub(crate) fn set_guest_token(&self, token: Option<&str>) {
        *self.guest_token.lock().unwrap() = token.map(str::to_owned);
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.token.lock().unwrap().clone()
    }

    pub(crate) fn set_token(&self, token: Option<&str>) {
        *self.token.lock().unwrap() = token.map(str::to_owned);
    }

    /// Sends a request like the front-end: with a JSON content type, whether or not it has a body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answered {
        self.send_with(method, path, body, &[]).await
    }

    /// Returns the response once its headers are received; the body is streamed.
    pub(crate) async fn begin(&self, method: &str, path: &str) -> Response {
        let request = self.request(method, path, Body::empty(), &[]);
        let answered = self.shop.router.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }

    fn request(&self, method: &str, path: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("user-agent", "Browser/1.0")
            .extension(ConnectInfo(self.address));
        if headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/json");
        }
        if let Some(session) = self.session() {
            request = request.header("cookie", format!("theme=dark; sessionId={session}"));
        }
        if let Some(token) = self.guest_token() {
            request = request.header("cookie", format!("nextGuest={token}"));
        }
        if let Some(token) = self.token() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.into()).unwrap()
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Body>,
        headers: &[(&str, &str)],
    ) -> Answered {
        let answered = self.shop.send(self.request(method, path, body, headers)).await;
        for set in answered.headers.get_all("set-cookie") {
            let (name, value) = set
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .split_once('=')
                .unwrap();
            let value = Some(value).filter(|value| !value.is_empty());
            match name {
                "sessionId" => self.set_session(value),
                "nextGuest" => self.set_guest_token(value),
                other => panic!("unknown cookie {other}"),
            }
        }
        answered
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        self.send("POST", path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answered {
        self.send("PUT", path, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answered {
        self.send("DELETE", path, Body::empty()).await
    }

    /// Registers and stores the tokens; returns the response data.
    pub(crate) async fn register(&self, email: &str) -> Value {
        let answer = self
            .post("/api/auth/register", json!({"email": email, "password": PASSWORD}))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        self.store_tokens(&answer)
    }

    /// Logs in and stores the tokens; returns the response data.
    pub(crate) async fn log_in(&self, email: &str) -> Value {
        let answer = self
            .post("/api/auth/login", json!({"email": email, "password": PASSWORD}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        self.store_tokens(&answer)
    }

    /// Asserts that a refresh token is no longer valid.
    pub(crate) async fn refresh_fails(&self, refresh_token: &Value) {
        let answer = self
            .post("/api/auth/refresh", json!({"refreshToken": refresh_token}))
            .await;
        assert_eq!(answer.failure(), (401, "not_signed_in".to_owned()));
    }

    fn store_tokens(&self, answer: &Answered) -> Value {
        let mut json = answer.json();
        let data = json["data"].take();
        self.set_token(data["token"].as_str());
        data
    }

    /// The cart as `(title, quantity)`, newest first.
    pub(crate) async fn cart(&self) -> Vec<(String, u64)> {
        let cart = self.get("/api/cart").await.data();
        let line = |line: &Value| {
            (
                line["game"]["title"].as_str().unwrap().to_owned(),
                line["quantity"].as_u64().unwrap(),
            )
        };
        cart["items"].as_array().unwrap().iter().map(line).collect()
    }

    /// Titles on the wishlist, newest first.
    pub(crate) async fn wishlist(&self) -> Vec<String> {
        let wishlist = self.get("/api/wishlist").await.data();
        let title = |item: &Value| item["game"]["title"].as_str().unwrap().to_owned();
        wishlist["items"].as_array().unwrap().iter().map(title).collect()
    }
}
