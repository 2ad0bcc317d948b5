//! Refunds to the card of somebody who owes money from a lost dispute.

use lockstep_store::cards::refunds::RefundError;
use lockstep_stripe_sandbox::Card;

use crate::cards::{World, money};

/// Somebody who has spent 70 of 100 that a lost dispute has taken: 70 are owed.
async fn debtor() -> World {
    let world = World::new().await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    world.spend("70").await;
    let from = world.stripe.events().len();
    let dispute = world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 30.00, 70.00, 0.00, 0.00");
    world
}

#[tokio::test]
async fn what_a_debtor_paid_is_gone_and_a_refund_of_it_elsewhere_is_owed_too() {
    let world = debtor().await;
    let (top_up, charge) = world.paid("50", Card::Succeeds).await;
    assert_eq!(
        world.sums().await,
        "0.00, 80.00, 20.00, 0.00, 0.00",
        "the debt comes first"
    );
    let refused = world.refund(top_up, Some("0.01")).await.unwrap_err();
    assert!(
        matches!(refused, RefundError::TooMuch { left } if left == money("0")),
        "{refused}"
    );
    assert!(world.stripe.objects("refund").is_empty());

    // Staff refund it in Stripe's own pages: the card has its money, so the account owes that as well.
    let from = world.stripe.events().len();
    let refund = world.stripe.refund_outside(&charge, 5_000).unwrap();
    let from = world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 80.00, 20.00, 0.00, 50.00");
    world.db.assert_books_balance().await;

    // New money settles both before any of it can be spent.
    world.paid("60", Card::Succeeds).await;
    assert_eq!(world.sums().await, "0.00, 100.00, 0.00, 40.00, 10.00");
    // The bank returns the refund: what the account had paid for it is free again.
    let from = from.max(world.stripe.events().len());
    world.stripe.set_refund_status(&refund, "failed");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "40.00, 100.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_refund_that_fails_settles_the_debt_before_it_reaches_the_balance() {
    let world = World::new().await;
    let (_, disputed) = world.paid("100", Card::Succeeds).await;
    let (top_up, _) = world.paid("50", Card::Succeeds).await;
    world.refund(top_up, Some("50")).await.unwrap();
    world.payments.work_on_cards().await.unwrap();
    world.spend("80").await;
    let from = world.stripe.events().len();
    let dispute = world.stripe.dispute(&disputed, 10_000, "fraudulent").unwrap();
    world.stripe.set_dispute_status(&dispute, "lost");
    let from = world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 20.00, 80.00, 50.00, 0.00");

    world.stripe.set_refund_status("re_1", "failed");
    world.deliver(from).await;
    assert_eq!(world.sums().await, "0.00, 70.00, 30.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
    // A payment of more than is left of the debt brings the rest.
    world.paid("45", Card::Succeeds).await;
    assert_eq!(world.sums().await, "15.00, 100.00, 0.00, 0.00, 0.00");
    world.db.assert_books_balance().await;
}
