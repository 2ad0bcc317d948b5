//! `lockstep vat`: rates from a server of the test's own.

use axum::Router;
use axum::routing::get;
use lockstep_domain::tax::VatRates;
use lockstep_testkit::TestDb;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::program::{lockstep, outcome, text};

/// A set of this date with this rate of Germany.
fn set(date: &str, germany: f64) -> Value {
    let mut set = json!({"version": date, "source": "a test", "rates": VatRates::shipped().to_json()});
    set["rates"]["DE"] = json!({"standard": germany, "reduced": [7.0]});
    set
}

#[tokio::test]
async fn newer_rates_are_fetched_stored_and_shown_and_nonsense_is_refused() {
    let router = Router::new()
        .route("/newer", get(|| async { axum::Json(set("2026-10-01", 20.5)) }))
        .route("/older", get(|| async { axum::Json(set("2025-01-01", 19.0)) }))
        .route("/odd", get(|| async { axum::Json(set("2026-10-02", 29.0)) }))
        .route("/page", get(|| async { "<html>" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let run = async |args: &[&str], path: &str| {
        outcome(
            lockstep(args)
                .env("DATABASE_URL", db.url())
                .env("LOCKSTEP_DATA_DIR", folder.path())
                .env("LOCKSTEP_VAT_RATES_URL", format!("{base}{path}")),
        )
        .await
    };
    let shown = async || -> Value {
        let output = run(&["vat", "show", "--json"], "/newer").await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let before = shown().await;
    assert_eq!(
        (&before["date"], &before["rates"]["DE"]),
        (&json!("2026-09-29"), &json!("19"))
    );
    assert_eq!(before["settings"]["status"], "OFF");
    let updated = run(&["vat", "update"], "/newer").await;
    assert!(updated.status.success(), "{}", text(&updated.stderr));
    assert!(
        text(&updated.stdout).contains("DE  20.5 %"),
        "{}",
        text(&updated.stdout)
    );
    let again = run(&["vat", "update"], "/newer").await;
    assert!(
        text(&again.stdout).contains("are the newest"),
        "{}",
        text(&again.stdout)
    );
    for (path, why) in [
        ("/older", "before that of the rates in force"),
        ("/odd", "more than 5 points"),
        ("/page", "no JSON"),
        ("/none", "404"),
    ] {
        let refused = run(&["vat", "update"], path).await;
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains(why), "{path}: {}", text(&refused.stderr));
    }
    let elsewhere = run(&["vat", "update", "--url", "http://rates.example/rates.json"], "/newer").await;
    assert!(
        text(&elsewhere.stderr).contains("must begin with https://"),
        "{}",
        text(&elsewhere.stderr)
    );
    let after = shown().await;
    assert_eq!(
        (&after["date"], &after["rates"]["DE"], &after["source"]),
        (&json!("2026-10-01"), &json!("20.5"), &json!("a test"))
    );
    assert_eq!(db.count("audit_log where action = 'vat.rates'").await, 1);
}
