//! Money that goes back to cards, against a Stripe of our own: disputes, warnings of fraud, refunds, and the comparison.

use std::time::Duration;

use chrono::Utc;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::{Money, Secret};
use lockstep_payments::{
    CardProvider as _, Limits, ObjectOutcome, Payments, STRIPE, Stripe, StripeConfig, WebhookError, WebhookOutcome,
    WithdrawalError,
};
use lockstep_store::Store;
use lockstep_store::cards::refunds::{CardRefund, NewRefund, RefundError, WithdrawError, request};
use lockstep_store::cards::{Applied, incidents};
use lockstep_stripe_sandbox::{Card, Event, Fault, StripeSandbox};
use lockstep_testkit::TestDb;
use uuid::Uuid;

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A client of that Stripe.
pub(crate) fn provider(stripe: &StripeSandbox) -> Stripe {
    Stripe::new(StripeConfig {
        name: STRIPE,
        api_url: stripe.url(),
        secret_key: Secret::new(stripe.api_key()),
        webhook_secrets: vec![Secret::new(stripe.webhook_secret())],
        product: "Balance".into(),
        return_url: "https://shop.example/account/balance?topUp={id}".into(),
        timeout: Duration::from_millis(700),
    })
    .unwrap()
}

/// A shop, its Stripe, a shopper and a member of staff.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) stripe: StripeSandbox,
    pub(crate) payments: Payments,
    pub(crate) store: Store,
    pub(crate) user: Uuid,
    pub(crate) admin: Uuid,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (db, stripe) = (TestDb::new().await, StripeSandbox::start().await.unwrap());
        let provider = provider(&stripe);
        let store = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
        let payments = Payments::new(store.clone(), Some(Box::new(provider)), None, Limits::default());
        let user = db.user("ada@example.org", "0").await;
        let admin = db.user("staff@example.org", "0").await;
        db.execute("update users set role = 'ADMIN' where email = 'staff@example.org'")
            .await;
        Self {
            db,
            stripe,
            payments,
            store,
            user,
            admin,
        }
    }

    pub(crate) async fn take(&self, event: &Event) -> Result<WebhookOutcome, WebhookError> {
        let signature = self.stripe.sign(event.body.as_bytes());
        self.payments
            .handle_webhook(&signature, event.body.as_bytes(), Utc::now())
            .await
    }

    /// Delivers what has happened since `from`.
    pub(crate) async fn deliver(&self, from: usize) -> usize {
        let events = self.stripe.events();
        for event in &events[from..] {
            self.take(event).await.unwrap();
        }
        events.len()
    }

    /// A top-up that is paid and credited; returns its id and its charge.
    pub(crate) async fn paid(&self, amount: &str, card: Card) -> (TopUpId, String) {
        let view = self
            .payments
            .begin(UserId(self.user), money(amount), "card", None)
            .await
            .unwrap();
        let session = view.redirect_url.unwrap().rsplit('/').next().unwrap().to_owned();
        let from = self.stripe.events().len();
        let charge = self.stripe.pay(&session, card).unwrap();
        self.deliver(from).await;
        self.due().await;
        self.payments.work_on_cards().await.unwrap();
        (view.id, charge)
    }

    /// Takes money from the balance as a purchase would.
    pub(crate) async fn spend(&self, amount: &str) {
        self.db
            .execute(&format!(
                "with paid as (update users set balance = balance - {amount} where id = '{user}' returning id)
                 insert into transactions (user_id, type, amount, status, method)
                 select id, 'PURCHASE', -{amount}, 'COMPLETED', 'ADJUSTMENT' from paid",
                user = self.user
            ))
            .await;
    }

    /// Makes everything due that waits for its time.
    pub(crate) async fn due(&self) {
        self.db
            .execute(
                "update payment_inbox set not_before = now(), asking_until = null where done_at is null;
                 update card_refunds set not_before = now(), asking_until = null where state in ('REQUESTED', 'PENDING')",
            )
            .await;
    }

    pub(crate) async fn refund(&self, top_up: TopUpId, amount: Option<&str>) -> Result<CardRefund, RefundError> {
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

    pub(crate) async fn text(&self, question: &'static str) -> String {
        sqlx::query_scalar(question).fetch_one(&self.db.sql).await.unwrap()
    }

    /// `balance, held by disputes, owed for disputes, held by refunds, owed for refunds`.
    pub(crate) async fn sums(&self) -> String {
        self.text(
            "select concat_ws(', ', (select balance from users where email = 'ada@example.org'),
                (select coalesce(sum(held), 0.00) from disputes), (select coalesce(sum(debt), 0.00) from disputes),
                (select coalesce(sum(held), 0.00) from card_refunds), (select coalesce(sum(debt), 0.00) from card_refunds))",
        )
        .await
    }

    pub(crate) async fn open_incidents(&self) -> Vec<String> {
        let open = incidents::open(&self.store, 100).await.unwrap();
        open.into_iter().map(|incident| incident.kind).collect()
    }

    /// Compares and takes what was missed; what is left, by kind.
    pub(crate) async fn compare(&self, fix: bool) -> (Vec<String>, Vec<String>) {
        let compared = self.payments.compare(fix, Utc::now()).await.unwrap().unwrap();
        let kinds =
            |found: Vec<lockstep_store::cards::comparison::Difference>| found.into_iter().map(|one| one.kind).collect();
        (kinds(compared.fixed), kinds(compared.left))
    }
}

#[tokio::test]
async fn the_charge_of_a_top_up_is_stored_with_fee_and_card() {
    let world = World::new().await;
    let (_, charge) = world.paid("25.50", Card::Authenticates).await;
    let stored = world
        .text("select concat_ws(' ', charge, payment_intent, amount, currency, fee, card_country, card_fingerprint) from top_up_charges")
        .await;
    assert_eq!(stored, format!("{charge} pi_1 25.50 EUR 0.63 DE fp_4000002760003184"));
    assert_eq!(world.sums().await, "25.50, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_dispute_holds_what_is_left_and_a_lost_one_is_owed_and_settled_first() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.spend("70").await;
    let from = world.stripe.events().len();
    let dispute = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    let from = world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 30.00, 0.00, 0.00, 0.00");
    assert_eq!(world.open_incidents().await, ["DISPUTE"]);

    world.stripe.set_dispute_status(&dispute, "under_review");
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 30.00, 70.00, 0.00, 0.00");
    assert!(world.open_incidents().await.is_empty());
    // The next money settles it first.
    world.paid("80", Card::Succeeds).await;
    assert_eq!(world.sums().await, "10.00, 100.00, 0.00, 0.00, 0.00");
    assert_eq!(
        world
            .text("select string_agg(status, ' ' order by read_at) from dispute_statuses")
            .await,
        "needs_response lost",
        "what an event reported is read as it is by then"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_won_dispute_returns_what_it_held_and_several_share_one_charge() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let first = world.stripe.dispute(&charge, 6_000, "fraudulent").unwrap();
    let second = world.stripe.dispute(&charge, 4_000, "product_not_received").unwrap();
    let from = world.deliver(0).await;
    assert_eq!(world.sums().await, "0.00, 100.00, 0.00, 0.00, 0.00");
    world.stripe.set_dispute_status(&first, "won");
    world.stripe.set_dispute_status(&second, "lost");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "60.00, 40.00, 0.00, 0.00, 0.00");
    assert_eq!(
        world
            .text("select string_agg(fee::text, ' ' order by reference) from disputes")
            .await,
        "20.00 20.00"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_unknown_status_is_stored_and_shown() {
    let world = World::new().await;
    let (_, charge) = world.paid("10", Card::Succeeds).await;
    let dispute = world.stripe.dispute(&charge, 1_000, "general").unwrap();
    world.stripe.set_dispute_status(&dispute, "a_word_of_tomorrow");
    world.deliver(0).await;
    assert_eq!(
        world.text("select status || ' ' || state from disputes").await,
        "a_word_of_tomorrow OPEN"
    );
    assert_eq!(world.open_incidents().await, ["DISPUTE", "DISPUTE_STATUS"]);
}

#[tokio::test]
async fn undelivered_copies_wait_while_money_is_disputed_owed_or_reported_as_fraud() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let game = world.db.game("Portal", "portal", "10").await;
    let order = world.db.order(world.user, game, 1).await;
    let unit = order.units[0];
    let step = format!("update order_units set state = 'ORDERING' where id = '{unit}'");
    let refused = async || {
        let error = sqlx::query(sqlx::AssertSqlSafe(step.clone()))
            .execute(&world.db.sql)
            .await
            .unwrap_err();
        error
            .as_database_error()
            .and_then(|error| error.constraint().map(str::to_owned))
    };
    world.stripe.warn(&charge).unwrap();
    world.deliver(0).await;
    assert_eq!(refused().await.as_deref(), Some("order_units_held"));
    let open = incidents::open(&world.store, 10).await.unwrap();
    assert_eq!(open[0].kind, "FRAUD_WARNING");
    world
        .db
        .execute("update order_units set not_before = now() + interval '1 hour'")
        .await;
    let close = async |by: Uuid| incidents::close(&world.store, UserId(by), open[0].id, "called").await;
    assert!(matches!(close(world.user).await, Err(incidents::CloseError::Own)));
    close(world.admin).await.unwrap();
    assert!(matches!(close(world.admin).await, Err(incidents::CloseError::NotFound)));
    assert_eq!(
        world.text("select (not_before <= now())::text from order_units").await,
        "true",
        "it is due at once"
    );

    let dispute = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world.deliver(0).await;
    assert_eq!(refused().await.as_deref(), Some("order_units_held"));
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(0).await;
    assert_eq!(world.sums().await, "0.00, 90.00, 10.00, 0.00, 0.00");
    assert_eq!(refused().await.as_deref(), Some("order_units_held"), "it is owed");
    // Its money goes to what is owed.
    world.db.refund(unit).await;
    assert_eq!(world.sums().await, "0.00, 100.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn money_of_another_program_is_stored_and_never_booked_and_a_forged_event_is_refused() {
    let world = World::new().await;
    world.paid("10", Card::Succeeds).await;
    let charge = world.stripe.foreign_payment(5_000);
    let from = world.stripe.events().len();
    world.stripe.dispute(&charge, 5_000, "fraudulent").unwrap();
    for event in &world.stripe.events()[from..] {
        let outcome = world.take(event).await.unwrap();
        assert_eq!(outcome, WebhookOutcome::Object(ObjectOutcome::Read(Applied::NotOurs)));
        assert_eq!(
            world.take(event).await.unwrap(),
            WebhookOutcome::Object(ObjectOutcome::Repeated)
        );
        let forged = world
            .payments
            .handle_webhook("t=1,v1=00", event.body.as_bytes(), Utc::now())
            .await;
        assert!(matches!(forged, Err(WebhookError::NotSigned)));
    }
    assert_eq!(world.db.count("disputes").await, 0);
    assert_eq!(world.db.count("unused_deliveries").await, 2);
    assert_eq!(world.sums().await, "10.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.compare(true).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_dispute_of_a_top_up_from_before_charges_is_joined_by_its_payment() {
    let world = World::new().await;
    let (_, charge) = world.paid("10", Card::Succeeds).await;
    world.db.execute("delete from top_up_charges").await;
    world.stripe.dispute(&charge, 1_000, "fraudulent").unwrap();
    world.deliver(0).await;
    assert_eq!(world.sums().await, "0.00, 10.00, 0.00, 0.00, 0.00");
    assert_eq!(world.db.count("top_up_charges").await, 1);
}

#[tokio::test]
async fn a_refund_takes_the_balance_first_and_reaches_the_card_once() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let refund = world.refund(top_up, Some("30")).await.unwrap();
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
    assert_eq!(world.stripe.ledger().refunded, 0, "the card comes next");
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.stripe.ledger().refunded, 3_000);
    world.deliver(0).await;
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.stripe.objects("refund").len(), 1);
    let made = &world.stripe.objects("refund")[0];
    assert_eq!(made["metadata"]["refund"], refund.id.to_string());
    assert_eq!(
        world
            .text("select concat_ws(' ', state, status, reference) from card_refunds")
            .await,
        "SUCCEEDED succeeded re_1"
    );

    // Never more than is left of the top-up, and of the balance.
    let refused = world.refund(top_up, Some("70.01")).await.unwrap_err();
    assert!(
        matches!(refused, RefundError::TooMuch { left } if left == money("70")),
        "{refused}"
    );
    world.spend("60").await;
    let refused = world.refund(top_up, Some("10.01")).await.unwrap_err();
    assert!(
        matches!(refused, RefundError::TooMuch { left } if left == money("10")),
        "{refused}"
    );
    assert_eq!(
        world.refund(top_up, None).await.unwrap().amount,
        money("10"),
        "the rest"
    );
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(
        (world.stripe.ledger().refunded, world.sums().await.as_str()),
        (4_000, "0.00, 0.00, 0.00, 40.00, 0.00")
    );
    assert_eq!(world.compare(false).await, (vec![], vec![]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_refund_that_fails_returns_to_the_balance_and_is_an_incident() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::RefundPending).await;
    let first = world.refund(top_up, Some("30")).await.unwrap();
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.text("select state from card_refunds").await, "PENDING");
    world.stripe.set_refund_status("re_1", "failed");
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(
        world
            .text("select concat_ws(' ', state, failure) from card_refunds")
            .await,
        "FAILED lost_or_stolen_card"
    );
    assert_eq!(world.open_incidents().await, ["REFUND_FAILED"]);
    // The events about it change nothing more.
    world.deliver(0).await;
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(
        world.text("select id::text from card_refunds").await,
        first.id.to_string()
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_refund_that_stripe_refuses_returns_to_the_balance() {
    let world = World::new().await;
    let (top_up, charge) = world.paid("100", Card::Succeeds).await;
    world.refund(top_up, Some("50")).await.unwrap();
    // Meanwhile the cardholder disputes everything; Stripe refunds no disputed charge.
    world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.stripe.ledger().refunded, 0);
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    world.deliver(0).await;
    assert_eq!(world.sums().await, "0.00, 100.00, 0.00, 0.00, 0.00");
    assert_eq!(world.open_incidents().await, ["REFUND_FAILED", "DISPUTE"]);
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn lost_answers_and_outages_make_no_second_refund() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    world.refund(top_up, Some("30")).await.unwrap();
    for fault in [
        Fault::Status(503),
        Fault::Broken,
        Fault::Garbled,
        Fault::Silent,
        Fault::Status(429),
        Fault::Status(401),
    ] {
        world.stripe.set_fault(fault);
        world.due().await;
        world.payments.work_on_cards().await.unwrap();
        assert_eq!(
            world.text("select state from card_refunds").await,
            "REQUESTED",
            "{fault:?}"
        );
        assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00", "{fault:?}");
    }
    world.stripe.set_fault(Fault::None);
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.text("select state from card_refunds").await, "SUCCEEDED");
    assert_eq!(
        (world.stripe.ledger().refunded, world.stripe.objects("refund").len()),
        (3_000, 1)
    );
}

#[tokio::test]
async fn twelve_refunds_at_once_never_exceed_the_top_up() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    world.paid("100", Card::Succeeds).await;
    let requests = (0..12).map(|_| world.refund(top_up, Some("30")));
    let answers = futures::future::join_all(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(_) | Err(RefundError::TooMuch { .. }))),
        "{answers:?}"
    );
    let workers = (0..4).map(|_| world.payments.work_on_cards());
    for worked in futures::future::join_all(workers).await {
        worked.unwrap();
    }
    assert_eq!(
        (world.stripe.ledger().refunded, world.sums().await.as_str()),
        (9_000, "110.00, 0.00, 0.00, 90.00, 0.00")
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn one_key_makes_one_refund() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let new = |amount: &str| NewRefund {
        admin: UserId(world.admin),
        top_up,
        amount: Some(money(amount)),
        reason: None,
        key: Some("k".into()),
        confirmed: true,
        providers: world.payments.card_providers(),
    };
    let answers = futures::future::join_all((0..8).map(|_| request(&world.store, new("10")))).await;
    let first = answers[0].as_ref().unwrap().id;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().id == first));
    assert!(matches!(
        request(&world.store, new("11")).await,
        Err(RefundError::KeyReused)
    ));
    assert_eq!(world.sums().await, "90.00, 0.00, 0.00, 10.00, 0.00");
}

#[tokio::test]
async fn disputes_while_buying_never_make_a_balance_negative() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    for cents in [3_000, 3_000, 4_000] {
        world.stripe.dispute(&charge, cents, "fraudulent").unwrap();
    }
    let game = world.db.game("Portal", "portal", "10").await;
    let events = world.stripe.events();
    let buying = async {
        for _ in 0..6 {
            let bought = sqlx::query(
                "with paid as (update users set balance = balance - 10 where email = 'ada@example.org' and balance >= 10 returning id)
                 insert into transactions (user_id, type, amount, status, method)
                 select id, 'PURCHASE', -10, 'COMPLETED', 'ADJUSTMENT' from paid",
            );
            bought.execute(&world.db.sql).await.unwrap();
        }
    };
    let delivering = futures::future::join_all(events.iter().map(|event| world.take(event)));
    let ((), delivered) = tokio::join!(buying, delivering);
    assert!(delivered.iter().all(Result::is_ok), "{delivered:?} {game}");
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    for dispute in world.stripe.objects("dispute") {
        world.stripe.set_dispute_status(dispute["id"].as_str().unwrap(), "lost");
    }
    futures::future::join_all(
        world.stripe.events()[events.len()..]
            .iter()
            .map(|event| world.take(event)),
    )
    .await;
    assert_eq!(
        world.text("select (balance + coalesce((select sum(held + debt) from disputes), 0))::text from users where email = 'ada@example.org'").await,
        world.text("select (100 + balance)::numeric(12,2)::text from users where email = 'ada@example.org'").await,
    );
    assert_eq!(world.compare(false).await, (vec![], vec![]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_event_waits_while_stripe_is_away() {
    let world = World::new().await;
    let (_, charge) = world.paid("10", Card::Succeeds).await;
    let from = world.stripe.events().len();
    world.stripe.dispute(&charge, 1_000, "fraudulent").unwrap();
    world.stripe.set_fault(Fault::Status(500));
    for event in &world.stripe.events()[from..] {
        assert_eq!(
            world.take(event).await.unwrap(),
            WebhookOutcome::Object(ObjectOutcome::Waiting)
        );
    }
    assert_eq!(world.db.count("disputes").await, 0);
    world.stripe.set_fault(Fault::None);
    world.due().await;
    assert_eq!(world.payments.work_on_cards().await.unwrap(), 2);
    assert_eq!(world.sums().await, "0.00, 10.00, 0.00, 0.00, 0.00");
}

#[tokio::test]
async fn the_comparison_names_each_difference_and_takes_what_was_missed() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.spend("50").await;
    assert_eq!(world.compare(false).await, (vec![], vec![]));
    // A payment whose webhook was lost, a refund made at Stripe, a lost dispute, a warning.
    let missed = world
        .payments
        .begin(UserId(world.user), money("20"), "card", None)
        .await
        .unwrap();
    let session = missed.redirect_url.unwrap().rsplit('/').next().unwrap().to_owned();
    world.stripe.pay(&session, Card::Succeeds).unwrap();
    world.stripe.refund_outside(&charge, 3_000).unwrap();
    let dispute = world.stripe.dispute(&charge, 7_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "lost");
    world.stripe.warn(&charge).unwrap();
    let all = ["charge_missing", "dispute_missing", "refund_missing", "warning_missing"];
    assert_eq!(
        world.compare(false).await,
        (vec![], all.map(str::to_owned).to_vec()),
        "named, and left alone"
    );
    assert_eq!(world.sums().await, "50.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.compare(true).await, (all.map(str::to_owned).to_vec(), vec![]));
    // 100 + 20 - 50 - 30 - 70: thirty are owed.
    let owed = world
        .text("select ((select sum(debt) from disputes) + (select sum(debt) from card_refunds))::text")
        .await;
    assert_eq!(owed, "30.00");
    assert_eq!(
        world
            .text("select balance::text from users where email = 'ada@example.org'")
            .await,
        "0.00"
    );
    // What cannot be taken is named every time: the books have what Stripe does not.
    world
        .db
        .execute("update top_up_charges set fee = 9.99 where charge = 'ch_1'")
        .await;
    world.stripe.change("re_1", "amount", serde_json::json!(2_999));
    assert_eq!(
        world.compare(true).await,
        (vec![], vec!["charge_fee".to_owned(), "refund_amount".into()])
    );
    let last = lockstep_store::cards::comparison::last(&world.store, "stripe")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.differences.len(), 2);
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_was_settled_before_the_books_takes_nothing_and_is_an_incident() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world
        .db
        .execute("update _sqlx_migrations set installed_on = now() + interval '1 hour' where version = 340")
        .await;
    world.stripe.refund_outside(&charge, 3_000).unwrap();
    let dispute = world.stripe.dispute(&charge, 7_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(0).await;
    assert_eq!(world.compare(true).await, (vec![], vec![]));
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(world.open_incidents().await, ["BEFORE_BOOKS", "BEFORE_BOOKS"]);
}

#[tokio::test]
async fn a_refund_of_what_was_never_credited_takes_nothing() {
    let world = World::new().await;
    let view = world
        .payments
        .begin(UserId(world.user), money("50"), "card", None)
        .await
        .unwrap();
    let session = view.redirect_url.unwrap().rsplit('/').next().unwrap().to_owned();
    world.stripe.change(&session, "amount_total", serde_json::json!(10_000));
    let charge = world.stripe.pay(&session, Card::Succeeds).unwrap();
    world.stripe.refund_outside(&charge, 5_000).unwrap();
    world.deliver(0).await;
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.open_incidents().await, ["IN_REVIEW"]);
    lockstep_store::top_ups::credit_by_staff(&world.store, view.id, Some(money("50")), "host")
        .await
        .unwrap();
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    let (fixed, _) = world.compare(true).await;
    assert_eq!(fixed, ["charge_unread", "refund_missing"]);
    assert_eq!(world.sums().await, "50.00, 0.00, 0.00, 0.00, 0.00");
    // What goes back beyond it was credited.
    world.stripe.refund_outside(&charge, 2_000).unwrap();
    world.compare(true).await;
    assert_eq!(world.sums().await, "30.00, 0.00, 0.00, 20.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn refunds_and_disputes_of_a_top_up_take_at_most_what_it_brought() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.paid("100", Card::Succeeds).await;
    world.stripe.refund_outside(&charge, 4_000).unwrap();
    // The dispute names the whole charge, and what is left of it is withdrawn.
    let dispute = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    let withdrawn = serde_json::json!([{"amount": -6_000, "fee": 2_000, "currency": "eur"}]);
    world.stripe.change(&dispute, "balance_transactions", withdrawn);
    let from = world.deliver(0).await;
    assert_eq!(world.sums().await, "100.00, 60.00, 0.00, 40.00, 0.00");
    // A word of Stripe's that is more than the top-up takes no other money either.
    let withdrawn = serde_json::json!([{"amount": -9_000, "fee": 2_000, "currency": "eur"}]);
    world.stripe.change(&dispute, "balance_transactions", withdrawn);
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "100.00, 60.00, 0.00, 40.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_part_of_a_payment_in_another_currency_takes_its_part_of_the_credit_and_staff_cannot_refund_it() {
    let world = World::new().await;
    let (top_up, charge) = world.paid("92", Card::Succeeds).await;
    world
        .db
        .execute("update top_up_charges set amount = 100, currency = 'USD'")
        .await;
    let refused = world.refund(top_up, Some("10")).await.unwrap_err();
    assert!(matches!(refused, RefundError::OtherCurrency), "{refused}");
    let refund = world.stripe.refund_outside(&charge, 2_500).unwrap();
    world.stripe.change(&refund, "currency", serde_json::json!("usd"));
    world.deliver(0).await;
    assert_eq!(world.sums().await, "69.00, 0.00, 0.00, 23.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_inquiry_holds_copies_and_no_money() {
    let world = World::new().await;
    let (top_up, charge) = world.paid("100", Card::Succeeds).await;
    let inquiry = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world
        .stripe
        .change(&inquiry, "balance_transactions", serde_json::json!([]));
    world.stripe.set_dispute_status(&inquiry, "warning_needs_response");
    world.deliver(0).await;
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(
        world
            .text("select buyer_is_held(id)::text from users where email = 'ada@example.org'")
            .await,
        "true"
    );
    // A refund is what ends it.
    world.refund(top_up, None).await.unwrap();
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 100.00, 0.00");
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_waits_while_stripe_refuses_to_say() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    world.refund(top_up, Some("30")).await.unwrap();
    world.stripe.set_fault(Fault::Broken);
    world.payments.work_on_cards().await.unwrap();
    // The key of another account: neither the payment nor the refund is known there.
    world.stripe.set_fault(Fault::Status(404));
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
    assert_eq!(world.text("select state from card_refunds").await, "REQUESTED");
    assert_eq!(world.open_incidents().await, ["REFUND_WAITING"]);
    world.stripe.set_fault(Fault::None);
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.text("select state from card_refunds").await, "SUCCEEDED");
    assert_eq!(world.stripe.ledger().refunded, 3_000);
    assert!(world.open_incidents().await.is_empty());
}

#[tokio::test]
async fn a_refund_without_an_answer_for_a_day_needs_a_person() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    world.refund(top_up, Some("30")).await.unwrap();
    lockstep_store::cards::refunds::tell_of_waiting(&world.store)
        .await
        .unwrap();
    assert!(world.open_incidents().await.is_empty());
    world
        .db
        .execute("update card_refunds set created_at = now() - interval '25 hours'")
        .await;
    for _ in 0..2 {
        lockstep_store::cards::refunds::tell_of_waiting(&world.store)
            .await
            .unwrap();
    }
    assert_eq!(world.open_incidents().await, ["REFUND_WAITING"]);
}

#[tokio::test]
async fn a_credit_without_a_payment_at_stripe_is_named() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.db.execute("delete from top_up_charges").await;
    world.stripe.change(&charge, "status", serde_json::json!("failed"));
    assert_eq!(world.compare(true).await, (vec![], vec![]), "its charge may come yet");
    world
        .db
        .execute("set session_replication_role = replica; update transactions set created_at = now() - interval '2 hours'; set session_replication_role = origin")
        .await;
    assert_eq!(world.compare(true).await, (vec![], vec!["credited_unpaid".to_owned()]));
}

/// What of a refund can no longer be asked: its answer was lost, and its provider is asked whether it made it.
#[tokio::test]
async fn a_refund_that_waits_is_withdrawn_only_if_stripe_has_not_made_it() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let refund = world.refund(top_up, Some("30")).await.unwrap();
    let withdraw = async || {
        let reason = "typed wrong";
        world
            .payments
            .withdraw_refund(UserId(world.admin), refund.id, reason)
            .await
    };
    // Stripe has made it, and its answer was lost.
    world.stripe.set_fault(Fault::Broken);
    world.payments.work_on_cards().await.unwrap();
    let refused = withdraw().await.unwrap_err();
    assert!(matches!(refused, WithdrawalError::NotSearched(_)), "{refused}");
    world.stripe.set_fault(Fault::None);
    let refused = withdraw().await.unwrap_err();
    assert!(
        matches!(refused, WithdrawalError::Refused(WithdrawError::Made)),
        "{refused}"
    );
    assert_eq!(world.text("select state from card_refunds").await, "SUCCEEDED");

    // One that was never made returns to the balance, once.
    let second = world.refund(top_up, Some("20")).await.unwrap();
    let reason = "typed wrong";
    let answers = futures::future::join_all(
        (0..4).map(|_| world.payments.withdraw_refund(UserId(world.admin), second.id, reason)),
    )
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
    assert_eq!(world.stripe.ledger().refunded, 3_000);
    assert_eq!(
        world
            .db
            .count("audit_log where action = 'payment.card_refund.withdraw'")
            .await,
        1
    );
    let own = world.refund(top_up, Some("1")).await.unwrap();
    let refused = world.payments.withdraw_refund(UserId(world.user), own.id, reason).await;
    assert!(
        matches!(refused, Err(WithdrawalError::Refused(WithdrawError::Own))),
        "{refused:?}"
    );
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.stripe.ledger().refunded, 3_100, "the worker makes it");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_withdrawn_refund_that_turns_out_to_be_made_is_taken_again() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let refund = world.refund(top_up, Some("30")).await.unwrap();
    world
        .payments
        .withdraw_refund(UserId(world.admin), refund.id, "gone")
        .await
        .unwrap();
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    // A request that was on its way arrives late.
    let late = provider(&world.stripe);
    late.make_refund(refund.id, "pi_1", money("30"), 0).await.unwrap();
    assert_eq!(world.compare(true).await.0, ["refund_state"]);
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn only_a_payment_of_the_provider_in_use_is_refunded_and_never_ones_own() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let new = |admin: Uuid, providers| NewRefund {
        admin: UserId(admin),
        top_up,
        amount: None,
        reason: None,
        key: None,
        confirmed: true,
        providers,
    };
    for providers in [vec![], vec!["test"]] {
        let refused = request(&world.store, new(world.admin, providers)).await.unwrap_err();
        assert!(matches!(refused, RefundError::OtherProvider), "{refused}");
    }
    world
        .db
        .execute("update users set role = 'ADMIN' where email = 'ada@example.org'")
        .await;
    let refused = request(&world.store, new(world.user, vec![STRIPE])).await.unwrap_err();
    assert!(matches!(refused, RefundError::Own), "{refused}");
}

#[tokio::test]
async fn refunds_to_cards_count_for_the_limit_of_a_role() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let owner = world.db.user("owner@example.org", "0").await;
    world
        .db
        .execute(&format!(
            "update users set role = 'ADMIN' where id = '{owner}';
             update users set role = 'USER', staff_role = 'SUPPORT' where email = 'staff@example.org'"
        ))
        .await;
    let new = |amount: &str, confirmed| NewRefund {
        admin: UserId(world.admin),
        top_up,
        amount: Some(money(amount)),
        reason: None,
        key: None,
        confirmed,
        providers: vec![STRIPE],
    };
    request(&world.store, new("15", false)).await.unwrap();
    let refused = request(&world.store, new("6", false)).await.unwrap_err();
    assert!(
        matches!(refused, RefundError::NotConfirmed { limit } if limit == money("20")),
        "{refused}"
    );
    request(&world.store, new("5", false)).await.unwrap();
    request(&world.store, new("50", true)).await.unwrap();
}

#[tokio::test]
async fn a_warning_has_to_be_decided_in_three_days_and_the_log_says_so_once() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.stripe.warn(&charge).unwrap();
    world.deliver(0).await;
    assert_eq!(
        (
            incidents::alarm(&world.store).await.unwrap(),
            incidents::overdue(&world.store).await.unwrap()
        ),
        (0, 0)
    );
    let is_due = "select (due_at between now() + interval '71 hours' and now() + interval '73 hours')::text from payment_incidents";
    assert_eq!(world.text(is_due).await, "true");
    world
        .db
        .execute("update payment_incidents set due_at = now() + interval '1 hour'")
        .await;
    let alarmed = futures::future::join_all((0..8).map(|_| incidents::alarm(&world.store))).await;
    assert_eq!(alarmed.into_iter().map(Result::unwrap).sum::<u64>(), 1);
    world
        .db
        .execute("update payment_incidents set due_at = now() - interval '1 hour'")
        .await;
    assert_eq!(incidents::overdue(&world.store).await.unwrap(), 1);
}

#[tokio::test]
async fn money_that_comes_back_to_a_deleted_account_is_an_incident() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    let delete = async || lockstep_store::accounts::delete(&world.store, UserId(world.user), false).await;
    world.refund(top_up, None).await.unwrap();
    let refused = delete().await;
    assert!(
        matches!(refused, Err(lockstep_store::accounts::AccountError::PaymentUnderWay)),
        "the card does not have it yet: {refused:?}"
    );
    world.payments.work_on_cards().await.unwrap();
    delete().await.unwrap();
    world.stripe.set_refund_status("re_1", "failed");
    world.deliver(0).await;
    let mut open = world.open_incidents().await;
    open.sort();
    assert_eq!(open, ["NO_OWNER", "REFUND_FAILED"]);
}

#[tokio::test]
async fn another_amount_refunded_than_asked_for_is_an_incident() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::RefundPending).await;
    world.refund(top_up, Some("30")).await.unwrap();
    world.payments.work_on_cards().await.unwrap();
    world.stripe.change("re_1", "amount", serde_json::json!(2_500));
    world.stripe.set_refund_status("re_1", "succeeded");
    world.deliver(0).await;
    assert_eq!(world.open_incidents().await, ["AMOUNT"]);
    assert_eq!(world.sums().await, "70.00, 0.00, 0.00, 30.00, 0.00");
}

#[tokio::test]
async fn a_lost_dispute_of_somebody_whose_copies_are_paid_for_needs_a_person() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let game = world.db.game("Portal", "portal", "10").await;
    let order = world.db.order(world.user, game, 1).await;
    world
        .db
        .execute(&format!(
            "set session_replication_role = replica;
             update order_units set state = 'PAID', g2a_order_id = 'g1' where id = '{}';
             update orders set status = 'PROCESSING' where id = '{}';
             set session_replication_role = origin",
            order.units[0], order.id
        ))
        .await;
    let dispute = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(0).await;
    // It was lost before it was known, so that its own incident is open as well.
    let mut open = world.open_incidents().await;
    open.sort_unstable();
    assert_eq!(open, ["COPIES_WAIT", "DISPUTE"]);
}

#[tokio::test]
async fn fees_of_refunds_and_payouts_are_compared_to_the_cent() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::Succeeds).await;
    world.stripe.set_refund_fee(35);
    world.refund(top_up, Some("30")).await.unwrap();
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.compare(true).await, (vec!["refund_fee".to_owned()], vec![]));
    assert_eq!(world.text("select fee::text from card_refunds").await, "0.35");
    let payout = world.stripe.pay_out().unwrap();
    assert_eq!(world.compare(true).await, (vec![], vec![]));
    world.stripe.change(&payout, "amount", serde_json::json!(1));
    assert_eq!(world.compare(true).await, (vec![], vec!["payout_amount".to_owned()]));
    world.stripe.change(&payout, "status", serde_json::json!("failed"));
    assert_eq!(world.compare(true).await, (vec![], vec!["payout_failed".to_owned()]));
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_restricted_key_is_named_by_what_it_may_not_read() {
    let world = World::new().await;
    let stripe = provider(&world.stripe);
    assert!(stripe.probe().await.is_empty());
    world.stripe.deny(&["GET /v1/disputes", "GET /v1/payouts"]);
    let denied: Vec<&str> = stripe.probe().await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(denied, ["Disputes", "Payouts"]);
}

#[tokio::test]
async fn a_repeated_answer_is_not_taken_for_the_present() {
    let world = World::new().await;
    let (top_up, _) = world.paid("100", Card::RefundPending).await;
    let refund = world.refund(top_up, Some("30")).await.unwrap();
    let stripe = provider(&world.stripe);
    stripe.make_refund(refund.id, "pi_1", money("30"), 0).await.unwrap();
    world.stripe.set_refund_status("re_1", "failed");
    let again = stripe.make_refund(refund.id, "pi_1", money("30"), 1).await.unwrap();
    assert_eq!(again.status, "failed");
    // Stripe has forgotten the key: the search before a second attempt finds the refund.
    world.stripe.forget_keys();
    world.db.execute("update card_refunds set attempts = 1").await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.stripe.objects("refund").len(), 1);
}

#[tokio::test]
async fn an_inquiry_that_becomes_a_dispute_takes_its_money_then() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let inquiry = world.stripe.inquire(&charge, 10_000, "fraudulent").unwrap();
    let from = world.deliver(0).await;
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
    world.stripe.set_dispute_status(&inquiry, "needs_response");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 100.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_was_closed_as_an_inquiry_and_appealed_long_ago_is_still_compared() {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let dispute = world.stripe.dispute(&charge, 4_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "appeal_under_review");
    let from = world.deliver(0).await;
    assert_eq!(world.sums().await, "60.00, 40.00, 0.00, 0.00, 0.00");
    world
        .db
        .execute("update disputes set opened_at = now() - interval '200 days'")
        .await;
    let long_ago = Utc::now().timestamp() - 200 * 24 * 3600;
    world.stripe.change(&dispute, "created", serde_json::json!(long_ago));
    world.stripe.set_dispute_status(&dispute, "won");
    assert_eq!(world.stripe.events().len(), from + 2);
    assert_eq!(world.compare(true).await.0, ["dispute_state"]);
    assert_eq!(world.sums().await, "100.00, 0.00, 0.00, 0.00, 0.00");
}
