//! Orders that are paid directly, against a Stripe of our own: whatever happens to the payment or the order meanwhile, the order is
//! placed once, or its shopper is asked.

use std::sync::Arc;

use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, TopUpId, UserId};
use lockstep_domain::pending_checkout::{CheckoutReason, CheckoutState, CheckoutView};
use lockstep_payments::{CheckoutError, CheckoutRequest, Started, TopUpError};
use lockstep_store::cards::holds::{self, Decision};
use lockstep_store::idempotency::Idempotency;
use lockstep_stripe_sandbox::{Card, Fault};
use serde_json::json;
use uuid::Uuid;

use crate::cards::{World, money};

impl World {
    /// A game for 25 EUR.
    async fn portal(&self) -> Uuid {
        self.db.game("Portal", "portal", "25.00").await
    }

    fn order(&self, game: Uuid, key: Option<&str>) -> CheckoutRequest {
        let checkout = Checkout::new([(GameId(game), 1)], None, None, OrderLimits::default()).unwrap();
        CheckoutRequest {
            user: UserId(self.user),
            checkout,
            agreed: None,
            after: None,
            method: "card".into(),
            key: key.and_then(Idempotency::new),
            country: None,
        }
    }

    async fn begin(&self, request: CheckoutRequest) -> CheckoutView {
        match self.payments.begin_checkout(request).await.unwrap() {
            Started::Pay(view) => *view,
            Started::Placed(order) => panic!("{order:?}"),
        }
    }

    /// Pays on the page of a checkout, without telling the shop.
    fn pays_on_page(&self, view: &CheckoutView, card: Card) -> Option<String> {
        let session = view
            .redirect_url
            .as_ref()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        self.stripe.pay(&session, card)
    }

    async fn now(&self, view: &CheckoutView) -> CheckoutView {
        let found = self.payments.checkout(UserId(self.user), view.id.unwrap()).await;
        found.unwrap().unwrap()
    }

    /// Asks Stripe about every top-up, as the poller does after its wait.
    async fn poll(&self) {
        self.db
            .execute("update top_ups set not_before = now(), asking_until = null")
            .await;
        self.payments.ask_about_silent().await.unwrap();
    }
}

#[tokio::test]
async fn a_paid_order_is_placed_with_the_webhook() {
    let world = World::new().await;
    let game = world.portal().await;
    world.paid("5", Card::Succeeds).await;
    let view = world.begin(world.order(game, Some("k"))).await;
    assert_eq!(
        (view.status, view.amount, view.total),
        (CheckoutState::Waiting, money("20"), money("25"))
    );
    let from = world.stripe.events().len();
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    world.deliver(from).await;
    let placed = world.now(&view).await;
    assert_eq!(placed.status, CheckoutState::Placed);
    assert!(placed.order_id.is_some() && placed.redirect_url.is_none());
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    // The same call finds the same checkout.
    assert_eq!(world.begin(world.order(game, Some("k"))).await, placed);
    // Until the card was read, its copies wait as those of any order do.
    assert_eq!(
        world.text("select buyer_is_held(user_id)::text from orders").await,
        "true"
    );
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(
        world.text("select buyer_is_held(user_id)::text from orders").await,
        "false"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_lost_webhook_is_made_good_by_asking() {
    let world = World::new().await;
    let view = world.begin(world.order(world.portal().await, None)).await;
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    assert_eq!(world.now(&view).await.status, CheckoutState::Waiting);
    world.poll().await;
    assert_eq!(world.now(&view).await.status, CheckoutState::Placed);
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_nightly_comparison_places_what_nobody_reported() {
    let world = World::new().await;
    let view = world.begin(world.order(world.portal().await, None)).await;
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    world.compare(true).await;
    assert_eq!(world.now(&view).await.status, CheckoutState::Placed);
    world.db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_twice_and_twenty_at_once_place_one_order() {
    let world = Arc::new(World::new().await);
    let view = world.begin(world.order(world.portal().await, None)).await;
    let from = world.stripe.events().len();
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    let events: Vec<_> = world.stripe.events()[from..].to_vec();
    let all = (0..20).flat_map(|_| events.clone()).map(|event| {
        let world = Arc::clone(&world);
        async move { world.take(&event).await }
    });
    for taken in futures::future::join_all(all).await {
        taken.unwrap();
    }
    world.deliver(from).await;
    world.payments.settle_checkouts().await.unwrap();
    assert_eq!(world.now(&view).await.status, CheckoutState::Placed);
    assert_eq!(world.db.count("orders").await, 1);
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_money_stays_on_the_balance_when_the_price_has_risen_or_the_game_is_sold_out() {
    for (change, reason) in [
        ("update games set price = 26", CheckoutReason::PriceRisen),
        ("update games set in_stock = false", CheckoutReason::SoldOut),
    ] {
        let world = World::new().await;
        let view = world.begin(world.order(world.portal().await, None)).await;
        let from = world.stripe.events().len();
        world.pays_on_page(&view, Card::Succeeds).unwrap();
        world.db.execute(change).await;
        world.deliver(from).await;
        let asked = world.now(&view).await;
        assert_eq!((asked.status, asked.reason), (CheckoutState::Ask, Some(reason)));
        assert_eq!(world.sums().await, "25.00, 0.00, 0.00, 0.00, 0.00");
        let told = "select letter ->> 'balance' from mail_outbox where kind = 'order-not-placed'";
        assert_eq!(world.text(told).await, "25.00");
        world.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn a_balance_that_was_spent_meanwhile_is_asked_about() {
    let world = World::new().await;
    let game = world.portal().await;
    world.paid("15", Card::Succeeds).await;
    let view = world.begin(world.order(game, None)).await;
    assert_eq!(view.amount, money("10"));
    world.spend("15").await;
    let from = world.stripe.events().len();
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    world.deliver(from).await;
    assert_eq!(world.now(&view).await.reason, Some(CheckoutReason::Balance));
    assert_eq!(world.sums().await, "10.00, 0.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_held_payment_places_its_order_whose_copies_wait() {
    let world = World::new().await;
    world
        .db
        .execute("update fraud_rules set amount = 10 where name = 'NEW_ACCOUNT'")
        .await;
    let view = world.begin(world.order(world.portal().await, None)).await;
    let from = world.stripe.events().len();
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    world.deliver(from).await;
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.now(&view).await.status, CheckoutState::Placed);
    let is_held = "select buyer_is_held(user_id)::text from orders";
    assert_eq!(world.text(is_held).await, "true");
    let hold: Uuid = sqlx::query_scalar("select id from payment_holds where rule = 'NEW_ACCOUNT'")
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    holds::decide(
        &world.store,
        (UserId(world.admin), true),
        hold,
        Decision::Release,
        "fine",
    )
    .await
    .unwrap();
    assert_eq!(world.text(is_held).await, "false");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_expired_session_orders_nothing_and_a_declined_card_can_be_tried_again() {
    let world = World::new().await;
    let game = world.portal().await;
    let view = world.begin(world.order(game, Some("k"))).await;
    assert_eq!(world.pays_on_page(&view, Card::Declined), None);
    assert_eq!(world.now(&view).await.status, CheckoutState::Waiting);
    let session = view.redirect_url.as_ref().unwrap().rsplit('/').next().unwrap();
    world.stripe.change(session, "status", json!("expired"));
    world.poll().await;
    let ended = world.now(&view).await;
    assert_eq!(
        (ended.status, ended.reason),
        (CheckoutState::Expired, Some(CheckoutReason::NotPaid))
    );
    assert_eq!(ended.redirect_url, None);
    assert_eq!(
        world.begin(world.order(game, Some("k"))).await,
        ended,
        "the same call, the same checkout"
    );
    let again = world.begin(world.order(game, Some("k-2"))).await;
    assert_ne!(again.id, view.id);
    assert_eq!(
        (world.db.count("orders").await, world.sums().await.as_str()),
        (0, "0.00, 0.00, 0.00, 0.00, 0.00")
    );
}

#[tokio::test]
async fn while_stripe_is_away_the_intent_stays_and_the_same_call_goes_on() {
    let world = World::new().await;
    let game = world.portal().await;
    world.stripe.set_fault(Fault::Status(503));
    let failed = world.payments.begin_checkout(world.order(game, Some("k"))).await;
    assert!(
        matches!(failed, Err(CheckoutError::Pay(TopUpError::Provider(_)))),
        "{failed:?}"
    );
    assert_eq!(world.db.count("pending_checkouts where state = 'WAITING'").await, 1);
    world.stripe.set_fault(Fault::None);
    let view = world.begin(world.order(game, Some("k"))).await;
    assert_eq!(world.db.count("pending_checkouts").await, 1);
    let from = world.stripe.events().len();
    world.pays_on_page(&view, Card::Succeeds).unwrap();
    world.deliver(from).await;
    assert_eq!(world.now(&view).await.status, CheckoutState::Placed);
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_checkout_of_somebody_else_is_not_found() {
    let world = World::new().await;
    let view = world.begin(world.order(world.portal().await, None)).await;
    let other = world
        .payments
        .checkout(UserId(world.admin), view.id.unwrap())
        .await
        .unwrap();
    assert_eq!(other, None);
    let none = world
        .payments
        .checkout(UserId(world.user), TopUpId(Uuid::new_v4()))
        .await
        .unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_replaced_payment_is_closed_at_the_provider() {
    let world = World::new().await;
    let game = world.portal().await;
    let first = world.begin(world.order(game, None)).await;
    let session = first.redirect_url.clone().unwrap();
    let second = world.begin(world.order(game, None)).await;
    let replaced = world.now(&first).await;
    assert_eq!(
        (replaced.status, replaced.reason, replaced.redirect_url),
        (CheckoutState::Expired, Some(CheckoutReason::Replaced), None)
    );
    world.payments.ask_about_silent().await.unwrap();
    let session = world.stripe.object(session.rsplit('/').next().unwrap()).unwrap();
    assert_eq!(session["status"], "expired");
    assert_eq!(world.pays_on_page(&first, Card::Succeeds), None, "it cannot be paid");
    let from = world.stripe.events().len();
    world.pays_on_page(&second, Card::Succeeds).unwrap();
    world.deliver(from).await;
    assert_eq!(world.now(&second).await.status, CheckoutState::Placed);
    world.db.assert_books_balance().await;
}
