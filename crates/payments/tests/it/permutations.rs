//! Whatever order the events of two disputes and two refunds come in, however often, and whichever are lost: after the
//! comparison the books are equal, and they balance at every step.
//!
//! `LOCKSTEP_CARD_CASES=N` tries N orders instead of a few.

use lockstep_stripe_sandbox::Card;

use crate::cards::World;

/// A small generator of its own, so that a case is repeated by its number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Numerical Recipes' linear congruential generator; its high bits are good enough to shuffle with.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What happens at Stripe, and what was spent before.
#[derive(Debug, Clone, Copy)]
struct Story {
    spent: &'static str,
    first: &'static str,
    second: &'static str,
    refund: &'static str,
}

const STORIES: &[Story] = &[
    Story {
        spent: "0",
        first: "lost",
        second: "won",
        refund: "succeeded",
    },
    Story {
        spent: "45",
        first: "lost",
        second: "won",
        refund: "failed",
    },
    Story {
        spent: "65",
        first: "lost",
        second: "lost",
        refund: "failed",
    },
    Story {
        spent: "65",
        first: "won",
        second: "won",
        refund: "succeeded",
    },
    Story {
        spent: "50",
        first: "under_review",
        second: "lost",
        refund: "canceled",
    },
];

/// Plays a story; its events are delivered in an order that the dice choose, partly while it goes on.
async fn play(story: Story, dice: &mut Dice) -> String {
    let world = World::new().await;
    let (top_up, charge) = world.paid("100", Card::Succeeds).await;
    if story.spent != "0" {
        world.spend(story.spent).await;
    }
    let begun = world.stripe.events().len();
    world.refund(top_up, Some("20")).await.unwrap();
    world.refund(top_up, Some("10")).await.unwrap();
    world.payments.work_on_cards().await.unwrap();
    let first = world.stripe.dispute(&charge, 4_000, "fraudulent").unwrap();
    let second = world.stripe.dispute(&charge, 2_000, "duplicate").unwrap();
    // Some events are delivered before the end is known.
    for event in &world.stripe.events()[begun..] {
        if dice.below(3) == 0 {
            world.take(event).await.unwrap();
            world.db.assert_books_balance().await;
        }
    }
    world.stripe.set_dispute_status(&first, story.first);
    // Refunds are made in any order; the story is about the smaller one.
    let refunds = world.stripe.objects("refund");
    let smaller = refunds.iter().find(|refund| refund["amount"] == 1_000).unwrap();
    world
        .stripe
        .set_refund_status(smaller["id"].as_str().unwrap(), story.refund);
    world.stripe.set_dispute_status(&second, story.second);
    let mut events = world.stripe.events()[begun..].to_vec();
    for at in (1..events.len()).rev() {
        events.swap(at, dice.below(at + 1));
    }
    for event in events {
        // Lost, once, or twice.
        for _ in 0..dice.below(3) {
            world.take(&event).await.unwrap();
        }
        world.db.assert_books_balance().await;
    }
    let (_, left) = world.compare(true).await;
    assert_eq!(left, Vec::<String>::new(), "{story:?}");
    world.db.assert_books_balance().await;
    // The shop's books are Stripe's: what it holds and is owed is what went back or is disputed.
    let moved = world
        .text("select ((select sum(held + debt) from disputes where state <> 'OPEN') + (select sum(held + debt) from card_refunds))::text")
        .await;
    let ledger = world.stripe.ledger();
    let open = if story.first == "under_review" { 4_000 } else { 0 };
    assert_eq!(
        moved.replace('.', "").parse::<i64>().unwrap(),
        ledger.refunded + ledger.disputed - open,
        "{story:?}"
    );
    world.sums().await
}

#[tokio::test]
async fn every_order_of_events_ends_in_the_same_books() {
    let cases = std::env::var("LOCKSTEP_CARD_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_u64);
    for story in STORIES {
        let mut ends = std::collections::BTreeSet::new();
        for case in 0..cases {
            let end = play(*story, &mut Dice(case * 7_919 + 1)).await;
            ends.insert(end);
            assert_eq!(ends.len(), 1, "{story:?}, case {case}: {ends:?}");
        }
    }
}
