//! Rates and VIES, asked at servers of the test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lockstep_domain::tax::{RatesFault, VatId, VatRates};
use lockstep_vat::{ClientError, FetchRatesError, Vies, ViesAnswer, ViesConfig, fetch_rates};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

fn set() -> serde_json::Value {
    let rates = VatRates::shipped();
    serde_json::json!({"source": rates.source, "date": rates.date.to_string(), "rates": rates.to_json()})
}

#[tokio::test]
async fn a_set_of_rates_is_fetched_and_read() {
    let base = serve(Router::new().route("/rates.json", get(|| async { axum::Json(set()) }))).await;
    let fetched = fetch_rates(&format!("{base}/rates.json"), PATIENCE).await.unwrap();
    assert_eq!(fetched, VatRates::shipped());
}

#[tokio::test]
async fn nonsense_is_refused_with_its_reason() {
    let router = Router::new()
        .route("/empty", get(|| async { "" }))
        .route("/html", get(|| async { "<html>" }))
        .route(
            "/half",
            get(|| async {
                let mut half = set();
                half["rates"].as_object_mut().unwrap().remove("PT");
                axum::Json(half)
            }),
        )
        .route("/long", get(|| async { "[".repeat(2 * 1024 * 1024) }))
        .route(
            "/moved",
            get(|| async { (StatusCode::FOUND, [("location", "/rates.json")]).into_response() }),
        )
        .route("/error", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }));
    let base = serve(router).await;
    let fetch = async |path: &str| fetch_rates(&format!("{base}{path}"), PATIENCE).await.unwrap_err();
    for path in ["/empty", "/html"] {
        assert!(
            matches!(fetch(path).await, FetchRatesError::Client(ClientError::NoJson)),
            "{path}"
        );
    }
    assert!(matches!(
        fetch("/half").await,
        FetchRatesError::Fault(RatesFault::NoRate("PT"))
    ));
    assert!(matches!(
        fetch("/long").await,
        FetchRatesError::Client(ClientError::TooLong(_))
    ));
    assert!(matches!(
        fetch("/moved").await,
        FetchRatesError::Client(ClientError::Status(302))
    ));
    assert!(matches!(
        fetch("/error").await,
        FetchRatesError::Client(ClientError::Status(500))
    ));
    let unsafe_address = fetch_rates("http://rates.example/rates.json", PATIENCE)
        .await
        .unwrap_err();
    assert!(matches!(unsafe_address, FetchRatesError::Client(ClientError::Address)));
}

#[tokio::test]
async fn vies_says_what_exists_and_its_silence_is_no_answer() {
    let answer = |path: axum::extract::Path<(String, String)>| async move {
        let axum::extract::Path((country, number)) = path;
        let json = |valid: bool, why: &str| -> Response {
            axum::Json(serde_json::json!({"isValid": valid, "userError": why})).into_response()
        };
        match (country.as_str(), number.as_str()) {
            ("EL", "123456789") => json(true, "VALID"),
            ("DE", "123456789") => json(false, "INVALID"),
            ("DE", "111111111") => json(false, "MS_UNAVAILABLE"),
            ("DE", "222222222") => "oops".into_response(),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    };
    let base = serve(Router::new().route("/rest-api/ms/{country}/vat/{number}", get(answer))).await;
    let config = ViesConfig {
        url: format!("{base}/rest-api/"),
        timeout: PATIENCE,
    };
    let vies = Vies::new(&config).unwrap();
    for (id, expected) in [
        ("EL123456789", ViesAnswer::Valid),
        ("DE123456789", ViesAnswer::Invalid),
        ("DE111111111", ViesAnswer::Unavailable),
        ("DE222222222", ViesAnswer::Unavailable),
        ("DE333333333", ViesAnswer::Unavailable),
    ] {
        assert_eq!(vies.ask(&VatId::new(id).unwrap()).await, expected, "{id}");
    }
}

#[tokio::test]
async fn a_vies_that_never_answers_is_given_up() {
    let base = serve(Router::new().fallback(std::future::pending::<StatusCode>)).await;
    let vies = Vies::new(&ViesConfig {
        url: base,
        timeout: Duration::from_millis(300),
    })
    .unwrap();
    assert_eq!(
        vies.ask(&VatId::new("DE123456789").unwrap()).await,
        ViesAnswer::Unavailable
    );
}
