//! From top-up to credit through Stripe, with the failures that can happen on the way.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::purchase::{TopUpStatus, TopUpView};
use lockstep_domain::{Money, Secret};
use lockstep_payments::{
    Limits, Payments, ProviderError, Stripe, StripeConfig, TopUpError, WebhookError, WebhookOutcome,
};
use lockstep_store::Store;
use lockstep_store::deliveries::Reason;
use lockstep_store::top_ups::Outcome;
use lockstep_testkit::TestDb;
use serde_json::json;
use uuid::Uuid;

use crate::stand_in::{API_KEY, Fault, StandIn, WEBHOOK_SECRET};

const COMPLETED: &str = "checkout.session.completed";

pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) stripe: StandIn,
    pub(crate) payments: Payments,
    pub(crate) user: Uuid,
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// One instance of the shop, with this time limit for Stripe.
pub(crate) fn instance(db: &TestDb, stripe: &StandIn, key: &str, timeout: Duration) -> Payments {
    let provider = Stripe::new(StripeConfig {
        name: lockstep_payments::STRIPE,
        api_url: stripe.url.clone(),
        secret_key: Secret::new(key),
        webhook_secrets: vec![Secret::new("whsec_next"), Secret::new(WEBHOOK_SECRET)],
        product: "Balance".into(),
        return_url: "https://shop.example/account/balance?topUp={id}".into(),
        timeout,
    })
    .unwrap();
    let store = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
    Payments::new(store, Some(Box::new(provider)), None, Limits::default())
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_key(API_KEY).await
    }

    async fn with_key(key: &str) -> Self {
        let (db, stripe) = (TestDb::new().await, StandIn::start().await);
        let payments = instance(&db, &stripe, key, Duration::from_millis(700));
        let user = db.user("ada@example.org", "0").await;
        Self {
            db,
            stripe,
            payments,
            user,
        }
    }

    pub(crate) async fn begin(&self, amount: &str) -> Result<TopUpView, TopUpError> {
        self.payments
            .begin(UserId(self.user), money(amount), "card", None)
            .await
    }

    pub(crate) async fn status(&self, id: TopUpId) -> TopUpStatus {
        let view = self.payments.status(UserId(self.user), id).await.unwrap();
        view.unwrap().status
    }

    async fn take(&self, event: &(String, Vec<u8>)) -> Result<WebhookOutcome, WebhookError> {
        self.payments.handle_webhook(&event.0, &event.1, Utc::now()).await
    }

    pub(crate) async fn balance(&self) -> String {
        sqlx::query_scalar("select balance::text from users where id = $1")
            .bind(self.user)
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    /// Status of the only top-up in the database.
    pub(crate) async fn row_status(&self) -> String {
        sqlx::query_scalar("select status::text from top_ups")
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    /// Backdates the top-up as if time had passed.
    pub(crate) async fn let_time_pass(&self) {
        self.db
            .execute("update top_ups set not_before = now(), asking_until = null")
            .await;
    }
}

#[tokio::test]
async fn session_has_stripes_parameters_and_is_credited_once() {
    let world = World::new().await;
    let view = world.begin("25.50").await.unwrap();
    assert_eq!(
        view.redirect_url.as_deref(),
        Some(format!("{}/cs_test_1", world.stripe.pages).as_str())
    );
    let session = &world.stripe.sessions()[0];
    assert_eq!(
        (&session["amount_total"], &session["currency"], &session["mode"]),
        (&json!(2550), &json!("eur"), &json!("payment"))
    );
    assert_eq!(
        session["success_url"],
        format!("https://shop.example/account/balance?topUp={}", view.id)
    );
    assert_eq!(session["client_reference_id"], view.id.to_string());

    world.stripe.set("cs_test_1", "complete", "paid");
    let event = world.stripe.event(COMPLETED, "cs_test_1");
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Credited)
    );
    // Delivered again, reported by another event, and found by a query.
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Repeated)
    );
    let again = world
        .stripe
        .event("checkout.session.async_payment_succeeded", "cs_test_1");
    assert_eq!(
        world.take(&again).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Nothing)
    );
    world.let_time_pass().await;
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 0);
    assert_eq!(
        (world.balance().await.as_str(), world.status(view.id).await),
        ("25.50", TopUpStatus::Completed)
    );
    let hash: String = sqlx::query_scalar("select transaction_hash from transactions")
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert_eq!(hash, "stripe:cs_test_1");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn out_of_order_events_credit_once() {
    let world = World::new().await;
    let view = world.begin("10").await.unwrap();
    world.stripe.set("cs_test_1", "complete", "unpaid");
    let begun = world.stripe.event(COMPLETED, "cs_test_1");
    world.stripe.set("cs_test_1", "complete", "paid");
    let paid = world
        .stripe
        .event("checkout.session.async_payment_succeeded", "cs_test_1");
    let expired = world.stripe.event("checkout.session.expired", "cs_test_1");
    assert_eq!(
        world.take(&expired).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Noted)
    );
    assert_eq!(world.status(view.id).await, TopUpStatus::Failed);
    assert_eq!(
        world.take(&paid).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Credited)
    );
    assert_eq!(
        world.take(&begun).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Nothing)
    );
    assert_eq!(
        (world.balance().await.as_str(), world.status(view.id).await),
        ("10.00", TopUpStatus::Completed)
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn payment_without_a_webhook_is_found_by_query() {
    let world = World::new().await;
    let view = world.begin("10").await.unwrap();
    world.let_time_pass().await;
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 0, "nobody has paid");
    world.stripe.set("cs_test_1", "complete", "paid");
    for fault in [Fault::Status(500), Fault::Status(429), Fault::Garbled, Fault::Silent] {
        world.stripe.set_fault(fault);
        world.let_time_pass().await;
        assert_eq!(world.payments.ask_about_silent().await.unwrap(), 0, "{fault:?}");
        assert_eq!(world.status(view.id).await, TopUpStatus::Pending, "{fault:?}");
    }
    world.stripe.set_fault(Fault::None);
    world.let_time_pass().await;
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 1);
    assert_eq!(world.balance().await, "10.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn lost_response_loses_no_payment() {
    for fault in [Fault::Garbled, Fault::Silent] {
        let world = World::new().await;
        world.stripe.set_fault(fault);
        let error = world.begin("10").await.unwrap_err();
        assert!(
            matches!(
                error,
                TopUpError::Provider(ProviderError::Unavailable(_) | ProviderError::Unreadable(_))
            ),
            "{error:?}"
        );
        assert_eq!(
            world.stripe.sessions().len(),
            1,
            "it was made, and we do not know its name"
        );
        world.stripe.set_fault(Fault::None);
        // It was paid all the same.
        world.stripe.set("cs_test_1", "complete", "paid");
        let event = world.stripe.event(COMPLETED, "cs_test_1");
        assert_eq!(
            world.take(&event).await.unwrap(),
            WebhookOutcome::TopUp(Outcome::Credited)
        );
        assert_eq!(world.balance().await, "10.00");
        world.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn only_a_refusal_closes_the_top_up() {
    for (fault, is_refusal) in [
        (Fault::Status(400), true),
        (Fault::Status(402), true),
        (Fault::Status(404), true),
        (Fault::Status(408), false),
        (Fault::Status(409), false),
        (Fault::Status(429), false),
        (Fault::Status(500), false),
        (Fault::Status(503), false),
    ] {
        let world = World::new().await;
        world.stripe.set_fault(fault);
        let error = world.begin("10").await.unwrap_err();
        let refused = matches!(error, TopUpError::Provider(ProviderError::Refused(_)));
        assert_eq!(refused, is_refusal, "{error:?}");
        assert_eq!(
            world.row_status().await,
            if is_refusal { "FAILED" } else { "PENDING" },
            "{fault:?}"
        );
    }
    let wrong_key = World::with_key("sk_wrong").await;
    let error = wrong_key.begin("10").await.unwrap_err();
    assert!(matches!(error, TopUpError::Provider(ProviderError::Denied(_))));
    assert!(!format!("{error:?} {error}").contains("sk_wrong"));
    assert_eq!(wrong_key.row_status().await, "FAILED", "nothing was made");
}

#[tokio::test]
async fn events_require_a_recent_signature_of_stripe() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    world.stripe.set("cs_test_1", "complete", "paid");
    let (header, body) = world.stripe.event(COMPLETED, "cs_test_1");
    let now = Utc::now();
    let mut changed = body.clone();
    changed.push(b' ');
    for (header, body, at) in [
        ("", &body, now),
        ("t=1,v1=00", &body, now),
        (&*header, &changed, now),
        (&*header, &body, now + TimeDelta::minutes(6)),
        (&*header, &body, now - TimeDelta::minutes(6)),
    ] {
        let taken = world.payments.handle_webhook(header, body, at).await;
        assert!(matches!(taken, Err(WebhookError::NotSigned)), "{header} {taken:?}");
    }
    assert!(matches!(
        world.payments.take_report(&header, &body, now).await,
        Err(WebhookError::NotSigned)
    ));
    assert_eq!(world.balance().await, "0.00");
}

#[tokio::test]
async fn mismatched_or_unrelated_events_credit_nothing() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    world.stripe.set("cs_test_1", "complete", "paid");
    for (field, value) in [("amount_total", json!(999)), ("currency", json!("usd"))] {
        let before = world.stripe.sessions()[0][field].clone();
        world.stripe.change("cs_test_1", field, value);
        let event = world.stripe.event(COMPLETED, "cs_test_1");
        assert_eq!(
            world.take(&event).await.unwrap(),
            WebhookOutcome::TopUp(Outcome::Mismatch)
        );
        world.stripe.change("cs_test_1", field, before);
    }
    for kind in [
        "payment_intent.succeeded",
        "charge.updated",
        "checkout.session.something_new",
    ] {
        assert_eq!(
            world.take(&world.stripe.event(kind, "cs_test_1")).await.unwrap(),
            WebhookOutcome::Unused(Reason::KindNotHandled),
            "{kind}"
        );
    }
    // A session of another program on the same account.
    world.stripe.change("cs_test_1", "metadata", json!({}));
    world.stripe.change("cs_test_1", "id", json!("cs_other"));
    let event = world.stripe.event(COMPLETED, "cs_test_1");
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Unknown)
    );
    // A session of another kind: saving a card costs nothing. If rejected, Stripe would redeliver it for days and then
    // disable the endpoint.
    for (field, value) in [
        ("payment_status", json!("no_payment_required")),
        ("amount_total", json!(null)),
        ("currency", json!(null)),
    ] {
        world.stripe.change("cs_test_1", field, value);
    }
    let event = world.stripe.event(COMPLETED, "cs_test_1");
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::Unused(Reason::NotOurs)
    );
    for (field, value) in [
        ("payment_status", json!("paid")),
        ("amount_total", json!(1000)),
        ("currency", json!("eur")),
    ] {
        world.stripe.change("cs_test_1", field, value);
    }
    // Another session that claims to be for the same top-up.
    let id = world.stripe.sessions()[0]["client_reference_id"].clone();
    world.stripe.change("cs_test_1", "metadata", json!({"top_up": id}));
    let event = world.stripe.event(COMPLETED, "cs_test_1");
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Unknown)
    );
    assert_eq!(world.balance().await, "0.00");
}

#[tokio::test]
async fn repeated_requests_create_one_session() {
    let world = World::new().await;
    let begin = || {
        world
            .payments
            .begin(UserId(world.user), money("10"), "card", Some("key"))
    };
    let first = begin().await.unwrap();
    assert_eq!(begin().await.unwrap(), first);
    // The shop crashed between Stripe's response and its record.
    world.db.execute("alter table top_ups disable trigger top_ups_guard; update top_ups set reference = null, redirect_url = null").await;
    world
        .db
        .execute("alter table top_ups enable trigger top_ups_guard")
        .await;
    assert_eq!(begin().await.unwrap(), first);
    assert_eq!((world.stripe.sessions().len(), world.stripe.calls().len()), (1, 2));
}

#[tokio::test]
async fn top_ups_require_a_provider() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let payments = Payments::new(db.store.clone(), None, None, Limits::default());
    let begun = payments.begin(UserId(user), money("10"), "card", None).await;
    assert!(matches!(begun, Err(TopUpError::NoProvider)));
    assert_eq!(db.count("top_ups").await, 0);
    assert!(matches!(
        payments.handle_webhook("", b"{}", Utc::now()).await,
        Err(WebhookError::NotSigned)
    ));
}

/// If rejected, each of these would be redelivered for days.
#[tokio::test]
async fn unusable_signed_events_are_accepted_and_stored() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    for (field, value) in [
        ("status", json!("complete")),
        ("payment_status", json!("no_payment_required")),
        ("amount_total", json!(0)),
    ] {
        world.stripe.change("cs_test_1", field, value);
    }
    let free = world.stripe.event(COMPLETED, "cs_test_1");
    world.stripe.change("cs_test_1", "payment_status", json!("paid"));
    world.stripe.change("cs_test_1", "amount_total", json!(null));
    let no_amount = world.stripe.event(COMPLETED, "cs_test_1");
    let signed = |body: &str| world.stripe.sign(body.as_bytes());
    let thin = r#"{"id":"evt_1","object":"v2.core.event","type":"v2.core.account.updated","related_object":{"id":"acct_1","type":"v2.core.account","url":"/v2/core/accounts/acct_1"}}"#;
    let deep = format!(
        "{{\"id\":\"evt_2\",\"type\":\"x\",\"data\":{}1{}}}",
        "[".repeat(300),
        "]".repeat(300)
    );
    for (event, reason) in [
        (free, Reason::NoPaymentRequired),
        (no_amount, Reason::NotReadable),
        (signed(thin), Reason::KindNotHandled),
        (signed(&deep), Reason::NotReadable),
        (signed("{}"), Reason::NotReadable),
        (
            signed(r#"{"id":"evt_3","type":"checkout.session.completed","data":{"object":[]}}"#),
            Reason::NotReadable,
        ),
    ] {
        for _ in 0..2 {
            assert_eq!(world.take(&event).await.unwrap(), WebhookOutcome::Unused(reason));
        }
        let kept: (String, i32) = sqlx::query_as("select reason, times from unused_deliveries where body = $1")
            .bind(&event.1)
            .fetch_one(&world.db.sql)
            .await
            .unwrap();
        assert_eq!(kept, (reason.as_str().to_owned(), 2));
    }
    for not_json in ["", "[]", "{", "\u{0}"] {
        let taken = world.take(&signed(not_json)).await;
        assert!(matches!(taken, Err(WebhookError::Unreadable)), "{not_json} {taken:?}");
    }
    assert_eq!(world.balance().await, "0.00");
}

/// A customer who pays in dollars what was requested in euro (sessions made before 2025-03-31), and whose name was
/// truncated inside an emoji.
#[tokio::test]
async fn converted_payment_counts_as_the_requested_amount() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    world.stripe.set("cs_test_1", "complete", "paid");
    for (field, value) in [
        ("amount_total", json!(1163)),
        ("currency", json!("usd")),
        (
            "currency_conversion",
            json!({"amount_subtotal": 1000, "amount_total": 1000, "fx_rate": "1.163", "source_currency": "eur"}),
        ),
        ("customer_details", json!({"name": "Ada CUT"})),
    ] {
        world.stripe.change("cs_test_1", field, value);
    }
    let (_, body) = world.stripe.event(COMPLETED, "cs_test_1");
    let body = String::from_utf8(body).unwrap().replace("Ada CUT", r"Ada \ud83d");
    let event = world.stripe.sign(body.as_bytes());
    assert_eq!(
        world.take(&event).await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Credited)
    );
    assert_eq!(world.balance().await, "10.00");
}

#[tokio::test]
async fn reach_checks_credentials_without_creating_a_payment() {
    use lockstep_payments::Provider as _;
    let stripe = StandIn::start().await;
    let with = |url: &str, key: &str| {
        Stripe::new(StripeConfig {
            name: lockstep_payments::STRIPE,
            api_url: url.to_owned(),
            secret_key: Secret::new(key),
            webhook_secrets: vec![Secret::new(WEBHOOK_SECRET)],
            product: "Balance".into(),
            return_url: "https://shop.example/".into(),
            timeout: Duration::from_millis(700),
        })
        .unwrap()
    };
    with(&stripe.url, API_KEY).reach().await.unwrap();
    let denied = with(&stripe.url, "sk_test_wrong").reach().await.unwrap_err();
    assert!(matches!(denied, ProviderError::Denied(_)), "{denied}");
    // No server listens there.
    let away = with("http://127.0.0.1:9", API_KEY).reach().await.unwrap_err();
    assert!(matches!(away, ProviderError::Unavailable(_)), "{away}");
    assert!(stripe.sessions().is_empty(), "nothing was begun");
}
