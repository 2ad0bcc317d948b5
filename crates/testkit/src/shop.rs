//! A shop's services and requests to its routers without a network, for tests of the web pages and the API.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, Keys, TokenSecrets};
use lockstep_cache::{Cache, Config};
use lockstep_clock::{Clock, Random};
use lockstep_domain::Secret;
use lockstep_domain::cart::CartLimits;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::Duties;
use lockstep_payments::{Limits, Payments, Relay, TestProvider};
use lockstep_shop::{Parts, Shop};
use lockstep_store::Store;
use serde_json::Value;
use tower::ServiceExt as _;

/// Account settings as in production, except for a minimal cost of password hashing.
pub fn accounts() -> lockstep_auth::Settings {
    let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32)).expect("secrets");
    let keys = Keys::parse(&"11".repeat(32)).expect("a key");
    lockstep_auth::Settings {
        hashing: HashSettings {
            cost: 4,
            threads: 1,
            patience: std::time::Duration::from_mins(1),
        },
        ..lockstep_auth::Settings::new(secrets, keys)
    }
}

/// Payments through the test provider, which redirects to the balance page of `shop`.
pub fn payments(store: Store, page: &str, shop: &str, relay: Option<Relay>) -> Payments {
    let provider = TestProvider::new(
        Secret::new("test"),
        page,
        format!("{shop}/account/balance?topUp={{id}}"),
        Clock::system(),
        Random::system(),
    );
    Payments::new(store, Some(Box::new(provider)), relay, Limits::default())
}

/// The services with their own cache: one process of a shop, with the clock and the random source of `accounts`.
pub async fn process(store: Store, cache: Config, accounts: lockstep_auth::Settings, payments: Payments) -> Shop {
    let law = (ConsentMode::Development, Duties::default());
    process_under(law, store, cache, accounts, payments).await
}

/// The same, with who asks for consent, and the duties of the shop.
pub async fn process_under(
    (consent, duties): (ConsentMode, Duties),
    store: Store,
    cache: Config,
    accounts: lockstep_auth::Settings,
    payments: Payments,
) -> Shop {
    store.seal_mail_with(accounts.keys.clone());
    Shop::new(Parts {
        clock: accounts.clock.clone(),
        random: accounts.random.clone(),
        cache: Cache::start(store.clone(), cache).await,
        keys: accounts.keys.clone(),
        auth: Auth::start(store.clone(), accounts).expect("threads"),
        store,
        payments,
        protected_markup: None,
        consent,
        duties,
        vies: None,
        cart_limits: CartLimits::default(),
    })
}

/// A complete response.
#[derive(Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answered {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }

    /// The HTML page; panics when the response is not one.
    pub fn page(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.text()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The `data` of a successful API response; panics otherwise.
    pub fn data(&self) -> Value {
        let mut json = self.json();
        assert_eq!(
            (self.status, &json["success"]),
            (StatusCode::OK, &Value::Bool(true)),
            "{json}"
        );
        json["data"].take()
    }

    /// Panics unless the API reported success, with or without data.
    pub fn data_or_message(&self) {
        assert_eq!(self.json()["success"], true, "{}", self.json());
    }

    /// The API's error: status and error code.
    pub fn failure(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        (
            self.status.as_u16(),
            json["error"]["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// A header, if present.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }
}

/// Sends `request` to `router`, and returns the response before its body.
pub async fn open(router: &Router, request: Request<Body>) -> Response {
    let answer = router.clone().oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
}

/// Sends `request` to `router`.
pub async fn send(router: &Router, request: Request<Body>) -> Answered {
    let (parts, body) = open(router, request).await.into_parts();
    Answered {
        status: parts.status,
        headers: parts.headers,
        bytes: axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a whole body")
            .to_vec(),
    }
}

/// Sends a GET request for `path` with these headers to `router`.
pub async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answered {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
        request.header(*name, *value)
    });
    send(router, request.body(Body::empty()).expect("a request")).await
}
