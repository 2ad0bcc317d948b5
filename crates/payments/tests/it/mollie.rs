//! The same interface at another provider: Mollie, simulated by a real HTTP server. Its webhooks are unsigned, arrive by HTTP at a
//! small server here, and are handed to the use case as the API does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use chrono::Utc;
use futures::future::join_all;
use lockstep_clock::ManualClock;
use lockstep_domain::Secret;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, TopUpId, UserId};
use lockstep_domain::pending_checkout::CheckoutState;
use lockstep_domain::purchase::{TopUpStatus, TopUpView};
use lockstep_mollie_sandbox::{Card, Delivery, Fault, MollieSandbox};
use lockstep_payments::{
    CheckoutRequest, Limits, MOLLIE, Mollie, MollieConfig, Payments, ProviderError, STRIPE, Started, TopUpError,
    WebhookError, WebhookOutcome,
};
use lockstep_store::Store;
use lockstep_store::cards::incidents;
use lockstep_store::cards::refunds::{CardRefund, NewRefund, RefundError, request};
use lockstep_store::deliveries::Reason;
use lockstep_store::top_ups::{self, NewTopUp, Outcome};
use lockstep_stripe_sandbox::StripeSandbox;
use lockstep_testkit::TestDb;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::cards::{self, money};

/// Longest wait for a state.
const DEADLINE: Duration = Duration::from_mins(1);

/// A shop, its Mollie, a shopper and a member of staff.
struct World {
    db: TestDb,
    mollie: MollieSandbox,
    payments: Payments,
    store: Store,
    clock: ManualClock,
    user: Uuid,
    admin: Uuid,
    server: AbortHandle,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn webhook(State(payments): State<Arc<std::sync::OnceLock<Payments>>>, body: Bytes) -> StatusCode {
    let Some(payments) = payments.get() else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    match payments.handle_hint(MOLLIE, &body).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl World {
    /// Webhooks are delivered only as `delivery` says.
    async fn with(delivery: Option<Delivery>) -> Self {
        let (db, mollie) = (TestDb::new().await, MollieSandbox::start().await.unwrap());
        let served = Arc::new(std::sync::OnceLock::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/api/payment/webhook/mollie", post(webhook))
            .with_state(Arc::clone(&served));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = ManualClock::at_present();
        let provider = Mollie::new(MollieConfig {
            api_url: mollie.url(),
            api_key: Secret::new(mollie.api_key()),
            webhook_url: delivery.map(|_| format!("http://{address}/api/payment/webhook/mollie")),
            description: "Balance".into(),
            return_url: "https://shop.example/account/balance?topUp={id}".into(),
            timeout: Duration::from_secs(5),
            clock: clock.clock(),
        })
        .unwrap();
        mollie.set_delivery(delivery.unwrap_or_default());
        let store = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
        let payments = Payments::new(store.clone(), Some(Box::new(provider)), None, Limits::default());
        drop(served.set(payments.clone()));
        let user = db.user("ada@example.org", "0").await;
        let admin = db.user("staff@example.org", "0").await;
        db.execute("update users set role = 'ADMIN' where email = 'staff@example.org'")
            .await;
        Self {
            db,
            mollie,
            payments,
            store,
            clock,
            user,
            admin,
            server: server.abort_handle(),
        }
    }

    /// Without webhooks: what is reported is reported by the test.
    async fn silent() -> Self {
        Self::with(None).await
    }

    async fn begin(&self, amount: &str, key: Option<&str>) -> Result<TopUpView, TopUpError> {
        self.payments.begin(UserId(self.user), money(amount), "card", key).await
    }

    async fn hint(&self, payment: &str) -> Result<WebhookOutcome, WebhookError> {
        self.payments
            .handle_hint(MOLLIE, format!("id={payment}").as_bytes())
            .await
    }

    /// A top-up that is paid and credited; returns its id and its payment.
    async fn paid(&self, amount: &str, card: Card) -> (TopUpId, String) {
        let view = self.begin(amount, None).await.unwrap();
        let payment = payment_of(&view);
        assert!(self.mollie.pay(&payment, card));
        self.hint(&payment).await.unwrap();
        self.work().await;
        (view.id, payment)
    }

    async fn status(&self, id: TopUpId) -> TopUpStatus {
        self.payments
            .status(UserId(self.user), id)
            .await
            .unwrap()
            .unwrap()
            .status
    }

    /// Lets time pass: what waits is due. Then works on it.
    async fn work(&self) {
        self.db
            .execute(
                "update payment_inbox set not_before = now(), asking_until = null where done_at is null;
                 update card_refunds set not_before = now(), asking_until = null where state in ('REQUESTED', 'PENDING')",
            )
            .await;
        self.payments.work_on_cards().await.unwrap();
    }

    /// Asks Mollie about every top-up, as the poller does after its wait.
    async fn poll(&self) -> u32 {
        self.db
            .execute("update top_ups set not_before = now(), asking_until = null")
            .await;
        self.payments.ask_about_silent().await.unwrap()
    }

    async fn refund(&self, top_up: TopUpId, amount: Option<&str>) -> Result<CardRefund, RefundError> {
        let new = NewRefund {
            admin: UserId(self.admin),
            top_up,
            amount: amount.map(money),
            reason: Some("asked for".into()),
            key: None,
            confirmed: true,
            providers: self.payments.card_providers(),
        };
        request(&self.store, new).await
    }

    async fn text(&self, question: &'static str) -> String {
        sqlx::query_scalar(question).fetch_one(&self.db.sql).await.unwrap()
    }

    /// `balance, held by disputes, owed for disputes, held by refunds, owed for refunds`.
    async fn sums(&self) -> String {
        self.text(
            "select concat_ws(', ', (select balance from users where email = 'ada@example.org'),
                (select coalesce(sum(held), 0.00) from disputes), (select coalesce(sum(debt), 0.00) from disputes),
                (select coalesce(sum(held), 0.00) from card_refunds), (select coalesce(sum(debt), 0.00) from card_refunds))",
        )
        .await
    }

    async fn refund_states(&self) -> String {
        self.text("select coalesce(string_agg(state, ' ' order by created_at, id), '') from card_refunds")
            .await
    }

    async fn open_incidents(&self) -> Vec<String> {
        let open = incidents::open(&self.store, 100).await.unwrap();
        open.into_iter().map(|incident| incident.kind).collect()
    }

    /// Compares and takes what was missed; what is left, by kind.
    async fn compare(&self) -> (Vec<String>, Vec<String>) {
        let compared = self.payments.compare(true, Utc::now()).await.unwrap().unwrap();
        let kinds = |found: Vec<lockstep_store::cards::comparison::Difference>| {
            found.into_iter().map(|one| one.kind).collect::<Vec<_>>()
        };
        (kinds(compared.fixed), kinds(compared.left))
    }

    async fn until(&self, question: &'static str, wanted: &str) {
        let began = Instant::now();
        loop {
            let found = self.text(question).await;
            if found == wanted {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{question}: {found}, and not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn payment_of(view: &TopUpView) -> String {
    page(view.redirect_url.as_deref())
}

fn page(url: Option<&str>) -> String {
    url.unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_payment_has_the_documented_form_and_is_credited_by_its_webhook() {
    let world = World::with(Some(Delivery::default())).await;
    let view = world.begin("25.50", None).await.unwrap();
    let made = &world.mollie.payments()[0];
    assert_eq!(made["amount"], serde_json::json!({"currency": "EUR", "value": "25.50"}));
    assert_eq!(made["metadata"], serde_json::json!({"top_up": view.id.to_string()}));
    let back = format!("https://shop.example/account/balance?topUp={}", view.id);
    assert_eq!(
        (&made["redirectUrl"], &made["cancelUrl"]),
        (&back.clone().into(), &format!("{back}&cancelled=1").into())
    );
    assert_eq!(view.redirect_url, Some(format!("{}/tr_1", world.mollie.pages())));

    // As a browser pays.
    let browser = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let address = format!("{}/checkout/tr_1", world.mollie.url());
    let shown = browser.get(&address).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("Pay 25.50 EUR"), "{shown}");
    let paid = browser.post(&address).body("card=succeeds").send().await.unwrap();
    assert_eq!(paid.headers()["location"], *back);

    world
        .until(
            "select balance::text from users where email = 'ada@example.org'",
            "25.50",
        )
        .await;
    world.work().await;
    assert_eq!(
        world
            .text("select concat_ws(' ', charge, payment_intent, amount, currency, card_country, card_fingerprint) from top_up_charges")
            .await,
        "tr_1 tr_1 25.50 EUR NL fp_succeeds"
    );
    assert_eq!(
        world.text("select provider || ' ' || status from top_ups").await,
        "mollie COMPLETED"
    );
    assert_eq!(world.compare().await, (vec![], vec![]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_is_not_paid_credits_nothing() {
    for (card, status) in [
        (Card::Fails, TopUpStatus::Failed),
        (Card::Expires, TopUpStatus::Failed),
        (Card::Cancels, TopUpStatus::Failed),
    ] {
        let world = World::silent().await;
        let view = world.begin("10", None).await.unwrap();
        assert!(world.mollie.pay("tr_1", card));
        let taken = world.hint("tr_1").await.unwrap();
        assert_eq!(taken, WebhookOutcome::TopUp(Outcome::Noted), "{card:?}");
        assert_eq!(world.status(view.id).await, status, "{card:?}");
        assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    }
    // The bank decides later.
    let world = World::silent().await;
    let view = world.begin("10", None).await.unwrap();
    world.mollie.pay("tr_1", Card::Pending);
    world.hint("tr_1").await.unwrap();
    assert_eq!(world.text("select status::text from top_ups").await, "PROCESSING");
    world.mollie.set_status("tr_1", "paid");
    assert_eq!(
        world.hint("tr_1").await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Credited)
    );
    assert_eq!(world.status(view.id).await, TopUpStatus::Completed);
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_lost_webhook_is_made_good_by_asking_and_a_doubled_one_credits_once() {
    let world = World::silent().await;
    world.begin("10", None).await.unwrap();
    world.mollie.pay("tr_1", Card::Succeeds);
    assert_eq!(world.poll().await, 1);
    for _ in 0..3 {
        assert_eq!(
            world.hint("tr_1").await.unwrap(),
            WebhookOutcome::TopUp(Outcome::Nothing)
        );
    }
    assert_eq!(world.poll().await, 0);
    assert_eq!(world.sums().await, "10.00, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_forged_or_foreign_webhook_books_nothing() {
    let world = World::silent().await;
    let view = world.begin("10", None).await.unwrap();
    // A guess before it is paid: what is fetched counts.
    assert_eq!(
        world.hint("tr_1").await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Nothing)
    );
    assert_eq!(world.status(view.id).await, TopUpStatus::Pending);
    for made_up in ["tr_999", "tr_998", "tr_999"] {
        assert_eq!(
            world.hint(made_up).await.unwrap(),
            WebhookOutcome::Unused(Reason::NotOurs)
        );
    }
    let foreign = world.mollie.foreign_payment(5_000);
    for _ in 0..2 {
        assert_eq!(
            world.hint(&foreign).await.unwrap(),
            WebhookOutcome::Unused(Reason::NotOurs)
        );
    }
    assert_eq!(
        world
            .text("select string_agg(times || ' ' || detail, '; ' order by times) from unused_deliveries")
            .await,
        format!("2 mollie: no top-up has the payment {foreign}; 3 mollie: the provider has no such payment")
    );
    for body in ["", "id=", "id=ord_1", "id=tr_1%2F..", "{\"id\":\"tr_1\"}"] {
        let refused = world.payments.handle_hint(MOLLIE, body.as_bytes()).await;
        assert!(matches!(refused, Err(WebhookError::Unreadable)), "{body}");
    }
    // A provider that signs takes no hint, and to this one no signature is valid.
    let refused = world.payments.handle_hint(STRIPE, b"id=tr_1").await;
    assert!(matches!(refused, Err(WebhookError::NotUsed)));
    let refused = world.payments.handle_webhook("t=1,v1=00", b"{}", Utc::now()).await;
    assert!(matches!(refused, Err(WebhookError::NotSigned)));
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    // Money of another program is no difference.
    assert_eq!(world.compare().await, (vec![], vec![]));
}

#[tokio::test]
async fn another_amount_or_currency_is_not_credited() {
    for (cents, currency) in [(999, "EUR"), (1_001, "EUR"), (1_000, "USD")] {
        let world = World::silent().await;
        world.begin("10", None).await.unwrap();
        world.mollie.set_amount("tr_1", cents, currency);
        world.mollie.pay("tr_1", Card::Succeeds);
        assert_eq!(
            world.hint("tr_1").await.unwrap(),
            WebhookOutcome::TopUp(Outcome::Mismatch),
            "{cents} {currency}"
        );
        assert_eq!(world.text("select review from top_ups").await, "OTHER_AMOUNT");
        assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_top_up_pending_and_makes_one_payment() {
    for fault in [
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Garbled,
        Fault::Broken,
    ] {
        let world = World::silent().await;
        world.mollie.set_fault(fault);
        let error = world.begin("10", Some("click")).await.unwrap_err();
        assert!(
            matches!(
                error,
                TopUpError::Provider(ProviderError::Unavailable(_) | ProviderError::Unreadable(_))
            ),
            "{fault:?} {error:?}"
        );
        assert_eq!(
            world.text("select status::text from top_ups").await,
            "PENDING",
            "{fault:?}"
        );
        // A webhook while Mollie is away is delivered again.
        if matches!(fault, Fault::Status(_)) {
            assert!(
                matches!(world.hint("tr_1").await, Err(WebhookError::Unanswered)),
                "{fault:?}"
            );
        }
        world.mollie.set_fault(Fault::None);
        let again = world.begin("10", Some("click")).await.unwrap();
        assert_eq!(payment_of(&again), "tr_1", "{fault:?}");
        assert_eq!(world.mollie.payments().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_payment_whose_answer_was_lost_is_credited_by_its_webhook_or_found_after_the_key_is_forgotten() {
    let world = World::silent().await;
    world.mollie.set_fault(Fault::Broken);
    world.begin("10", None).await.unwrap_err();
    world.begin("20", None).await.unwrap_err();
    world.mollie.set_fault(Fault::None);
    assert_eq!(
        world
            .text("select count(*)::text from top_ups where reference is null")
            .await,
        "2"
    );
    // The first is paid by whoever saw its page, and its webhook comes.
    world.mollie.pay("tr_1", Card::Succeeds);
    assert_eq!(
        world.hint("tr_1").await.unwrap(),
        WebhookOutcome::TopUp(Outcome::Credited)
    );
    // The second is found among the payments, in parts; the key makes nothing any more.
    for _ in 0..5 {
        world.mollie.foreign_payment(100);
    }
    world.mollie.set_most_in_part(2);
    world.mollie.forget_keys();
    world.clock.advance(Duration::from_hours(2));
    world.mollie.pay("tr_2", Card::Succeeds);
    world.poll().await;
    world.poll().await;
    assert_eq!(world.sums().await, "30.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.mollie.payments().len(), 7, "none was made twice");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_request_that_never_arrived_ends_after_the_key_is_forgotten() {
    let world = World::silent().await;
    world.mollie.set_fault(Fault::Status(503));
    world.begin("10", None).await.unwrap_err();
    world.mollie.set_fault(Fault::None);
    world.clock.advance(Duration::from_hours(2));
    world.poll().await;
    assert_eq!(world.text("select status::text from top_ups").await, "FAILED");
    assert!(world.mollie.payments().is_empty());
}

#[tokio::test]
async fn an_intent_whose_process_died_before_it_asked_becomes_one_payment() {
    let world = World::silent().await;
    let new = NewTopUp {
        user: UserId(world.user),
        amount: money("10"),
        method: "card".into(),
        provider: MOLLIE,
        key: None,
        card: None,
    };
    top_ups::begin(&world.store, new, Duration::from_secs(30))
        .await
        .unwrap();
    for _ in 0..2 {
        world.poll().await;
    }
    assert_eq!(world.mollie.payments().len(), 1);
    world.mollie.pay("tr_1", Card::Succeeds);
    assert_eq!(world.poll().await, 1);
    assert_eq!(world.sums().await, "10.00, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_wrong_key_is_a_refusal_and_what_mollie_refuses_is_closed() {
    let world = World::silent().await;
    world.mollie.set_fault(Fault::Status(422));
    let refused = world.begin("10", None).await.unwrap_err();
    assert!(
        matches!(refused, TopUpError::Provider(ProviderError::Refused(_))),
        "{refused}"
    );
    assert_eq!(world.text("select status::text from top_ups").await, "FAILED");
    world.mollie.set_fault(Fault::Status(401));
    let refused = world.begin("10", None).await.unwrap_err();
    assert!(
        matches!(refused, TopUpError::Provider(ProviderError::Denied(_))),
        "{refused}"
    );
}

#[tokio::test]
async fn the_page_of_a_deleted_account_is_closed_at_once_or_when_it_lapses() {
    for is_cancelable in [true, false] {
        let world = World::silent().await;
        world.mollie.set_cancelable(is_cancelable);
        world.begin("10", None).await.unwrap();
        world.db.execute("update top_ups set closing_since = now()").await;
        world.poll().await;
        if !is_cancelable {
            let open = world.text("select status::text from top_ups").await;
            assert_eq!(open, "PENDING");
            world.mollie.pay("tr_1", Card::Expires);
            world.poll().await;
        }
        assert_eq!(
            world
                .text("select status || coalesce(closing_since::text, '') from top_ups")
                .await,
            "CANCELLED",
            "{is_cancelable}"
        );
    }
}

#[tokio::test]
async fn an_order_is_paid_directly() {
    let world = World::silent().await;
    let game = world.db.game("Portal", "portal", "25.00").await;
    world.paid("5", Card::Succeeds).await;
    let request = CheckoutRequest {
        user: UserId(world.user),
        checkout: Checkout::new([(GameId(game), 1)], None, None, OrderLimits::default()).unwrap(),
        agreed: None,
        after: None,
        method: "card".into(),
        key: None,
        country: None,
    };
    let Started::Pay(view) = world.payments.begin_checkout(request).await.unwrap() else {
        panic!("it has to be paid");
    };
    assert_eq!((view.amount, view.total), (money("20"), money("25")));
    let payment = page(view.redirect_url.as_deref());
    world.mollie.pay(&payment, Card::Succeeds);
    let hints = join_all((0..6).map(|_| world.hint(&payment))).await;
    assert!(hints.iter().all(Result::is_ok), "{hints:?}");
    let found = world.payments.checkout(UserId(world.user), view.id.unwrap()).await;
    assert_eq!(found.unwrap().unwrap().status, CheckoutState::Placed);
    assert_eq!(world.db.count("orders").await, 1);
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    // Until the card was read, its copies wait.
    assert_eq!(
        world.text("select buyer_is_held(user_id)::text from orders").await,
        "true"
    );
    world.work().await;
    assert_eq!(
        world.text("select buyer_is_held(user_id)::text from orders").await,
        "false"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_refund_reaches_the_card_once_in_part_and_whole() {
    let world = World::silent().await;
    let (top_up, payment) = world.paid("100", Card::Succeeds).await;
    world.refund(top_up, Some("30")).await.unwrap();
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
    assert_eq!(world.mollie.ledger().refunded, 0, "the card comes next");
    world.work().await;
    assert_eq!(world.refund_states().await, "SUCCEEDED");
    assert_eq!(
        world.text("select reference from card_refunds").await,
        format!("{payment}/re_1")
    );
    world.refund(top_up, None).await.unwrap();
    world.work().await;
    let too_much = world.refund(top_up, Some("0.01")).await.unwrap_err();
    assert!(matches!(too_much, RefundError::TooMuch { .. }), "{too_much}");
    assert_eq!(world.mollie.ledger().refunded, 10_000);
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 100.00, 0.00");
    world.hint(&payment).await.unwrap();
    assert_eq!(world.compare().await, (vec![], vec![]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_made_once() {
    for fault in [Fault::Garbled, Fault::Broken] {
        let world = World::silent().await;
        let (top_up, _) = world.paid("100", Card::Succeeds).await;
        world.refund(top_up, Some("40")).await.unwrap();
        world.mollie.set_fault(fault);
        world.work().await;
        assert_eq!(world.refund_states().await, "REQUESTED", "{fault:?}");
        world.mollie.set_fault(Fault::None);
        world.mollie.forget_keys();
        world.work().await;
        assert_eq!(world.refund_states().await, "SUCCEEDED", "{fault:?}");
        assert_eq!(world.mollie.ledger().refunded, 4_000, "{fault:?}");
        world.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn a_queued_refund_waits_a_failed_one_returns_and_a_refused_one_is_never_made() {
    let world = World::silent().await;
    let (top_up, payment) = world.paid("50", Card::RefundQueued).await;
    world.refund(top_up, Some("20")).await.unwrap();
    world.work().await;
    assert_eq!(world.refund_states().await, "PENDING");
    world.mollie.set_refund_status("re_1", "refunded");
    world.hint(&payment).await.unwrap();
    assert_eq!(world.refund_states().await, "SUCCEEDED");
    // It can still fail; nobody is told, and the comparison finds it.
    world.mollie.set_refund_status("re_1", "failed");
    assert_eq!(world.compare().await, (vec!["refund_state".to_owned()], vec![]));
    assert_eq!(world.refund_states().await, "FAILED");
    assert_eq!(world.sums().await, "50.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.open_incidents().await, ["REFUND_FAILED"]);
    // What staff refund in Mollie's own pages leaves less than is asked for here.
    world.refund(top_up, Some("50")).await.unwrap();
    world.mollie.refund_outside(&payment, 1_000).unwrap();
    world.work().await;
    assert!(
        world.refund_states().await.ends_with("FAILED"),
        "{}",
        world.refund_states().await
    );
    world.hint(&payment).await.unwrap();
    assert_eq!(world.sums().await, "40.00, 0.00, 0.00, 10.00, 0.00");
    world.db.assert_books_balance().await;

    let world = World::silent().await;
    let (top_up, _) = world.paid("50", Card::RefundFails).await;
    world.refund(top_up, None).await.unwrap();
    world.work().await;
    assert_eq!(world.refund_states().await, "FAILED");
    assert_eq!(world.sums().await, "50.00, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_chargeback_is_a_lost_dispute_until_it_is_reversed() {
    let world = World::silent().await;
    let (_, payment) = world.paid("100", Card::Succeeds).await;
    world
        .db
        .execute(
            "with paid as (update users set balance = balance - 70 where email = 'ada@example.org' returning id)
             insert into transactions (user_id, type, amount, status, method)
             select id, 'PURCHASE', -70, 'COMPLETED', 'ADJUSTMENT' from paid",
        )
        .await;
    let chargeback = world.mollie.charge_back(&payment, 10_000).unwrap();
    for _ in 0..2 {
        world.hint(&payment).await.unwrap();
    }
    assert_eq!(world.sums().await, "0.00, 30.00, 70.00, 0.00, 0.00");
    assert_eq!(world.open_incidents().await, ["DISPUTE"], "staff learn of it");
    assert_eq!(
        world
            .text("select concat_ws(' ', reference, status, state, reason) from disputes")
            .await,
        format!("{payment}/{chargeback} charged_back LOST Account identifier incorrect")
    );
    assert_eq!(world.compare().await, (vec![], vec![]));
    // Nobody is told of the reversal; the comparison finds it.
    world.mollie.reverse(&chargeback);
    assert_eq!(world.compare().await, (vec!["dispute_state".to_owned()], vec![]));
    assert_eq!(world.sums().await, "30.00, 0.00, 0.00, 0.00, 0.00");
    assert!(world.open_incidents().await.is_empty());
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_comparison_takes_what_no_webhook_reported() {
    let world = World::silent().await;
    world.mollie.set_most_in_part(2);
    for _ in 0..3 {
        world.begin("10", None).await.unwrap();
    }
    for payment in ["tr_1", "tr_2", "tr_3"] {
        world.mollie.pay(payment, Card::Succeeds);
    }
    world.mollie.refund_outside("tr_2", 300).unwrap();
    world.mollie.charge_back("tr_3", 1_000).unwrap();
    let (fixed, left) = world.compare().await;
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        fixed,
        [
            "charge_missing",
            "charge_missing",
            "charge_missing",
            "dispute_missing",
            "refund_missing"
        ]
    );
    assert_eq!(world.sums().await, "17.00, 10.00, 0.00, 3.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_payments_with_doubled_disordered_and_lost_webhooks_are_credited_once_each() {
    let delivery = Delivery {
        times: 2,
        loses_every: 5,
        reversed: true,
        at_once: true,
        retries: 12,
    };
    let world = World::with(Some(delivery)).await;
    let begun = join_all((0..12).map(|_| world.begin("10", None))).await;
    for view in begun {
        assert!(world.mollie.pay(&payment_of(&view.unwrap()), Card::Succeeds));
    }
    // Ten are told of, two are lost, and each of those is asked about.
    world
        .until(
            "select (count(*) >= 10)::text from top_ups where status = 'COMPLETED'",
            "true",
        )
        .await;
    let began = Instant::now();
    while world
        .text("select count(*)::text from top_ups where status = 'COMPLETED'")
        .await
        != "12"
    {
        assert!(began.elapsed() < DEADLINE, "a payment is not credited");
        world.poll().await;
    }
    assert_eq!(world.sums().await, "120.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.mollie.ledger().paid, 12_000);
    world.work().await;
    assert_eq!(world.compare().await, (vec![], vec![]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn two_providers_settle_and_refund_each_its_own() {
    let world = World::silent().await;
    let (top_up, payment) = world.paid("10", Card::Succeeds).await;
    // Stripe takes new payments from now on, and Mollie is still there.
    let stripe = StripeSandbox::start().await.unwrap();
    let mollie = Mollie::new(MollieConfig {
        api_url: world.mollie.url(),
        api_key: Secret::new(world.mollie.api_key()),
        webhook_url: None,
        description: "Balance".into(),
        return_url: "https://shop.example/?topUp={id}".into(),
        timeout: Duration::from_secs(5),
        clock: world.clock.clock(),
    })
    .unwrap();
    let stripe_alone = Payments::new(
        world.store.clone(),
        Some(Box::new(cards::provider(&stripe))),
        None,
        Limits::default(),
    );
    let both = stripe_alone.with_provider(Box::new(mollie));
    assert_eq!(
        (both.provider(), both.card_providers()),
        (Some(STRIPE), vec![STRIPE, MOLLIE])
    );
    let view = both.begin(UserId(world.user), money("20"), "card", None).await.unwrap();
    stripe.pay(
        &page(view.redirect_url.as_deref()),
        lockstep_stripe_sandbox::Card::Succeeds,
    );
    for event in stripe.events() {
        let signature = stripe.sign(event.body.as_bytes());
        both.handle_webhook(&signature, event.body.as_bytes(), Utc::now())
            .await
            .unwrap();
    }
    both.work_on_cards().await.unwrap();
    assert_eq!(world.sums().await, "30.00, 0.00, 0.00, 0.00, 0.00");
    let new = |top_up, providers| NewRefund {
        admin: UserId(world.admin),
        top_up,
        amount: None,
        reason: None,
        key: None,
        confirmed: true,
        providers,
    };
    let refused = request(&world.store, new(top_up, stripe_alone.card_providers())).await;
    assert!(matches!(refused, Err(RefundError::OtherProvider)));
    for top_up in [top_up, view.id] {
        request(&world.store, new(top_up, both.card_providers())).await.unwrap();
    }
    both.work_on_cards().await.unwrap();
    assert_eq!(
        (world.mollie.ledger().refunded, stripe.ledger().refunded),
        (1_000, 2_000)
    );
    assert!(
        both.handle_hint(MOLLIE, format!("id={payment}").as_bytes())
            .await
            .is_ok()
    );
    let compared = both.compare(true, Utc::now()).await.unwrap().unwrap();
    assert!(compared.left.is_empty(), "{compared:?}");
    assert_eq!(world.db.count("payment_comparisons").await, 2);
    world.db.assert_books_balance().await;
}
