//! Orders that are paid directly: placed once when the money comes, or their shopper is asked; whatever happens, in any order.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::consent::{AgreedWording, Consent, Wording};
use lockstep_domain::ids::{GameId, TopUpId, UserId};
use lockstep_domain::pending_checkout::{CheckoutReason, CheckoutState};
use lockstep_domain::tax::Country;
use lockstep_store::accounts;
use lockstep_store::idempotency::Idempotency;
use lockstep_store::orders::{PlaceError, Placed};
use lockstep_store::pending_checkouts::{self, BeginError, Begun, NewCheckout, Settled};
use lockstep_store::top_ups::{self, PaymentEvent, ProviderPaymentStatus, TopUp, Which};
use lockstep_testkit::TestDb;
use proptest::prelude::*;
use sqlx::types::Uuid;

const LEASE: Duration = Duration::from_secs(30);

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn wish(user: Uuid, game: Uuid, quantity: i64, code: Option<&str>) -> NewCheckout {
    NewCheckout {
        user: UserId(user),
        checkout: Checkout::new([(GameId(game), quantity)], code, None, OrderLimits::default()).unwrap(),
        agreed: None,
        after: None,
        method: "card".into(),
        provider: Some("test"),
        key: None,
        card: None,
        limits: (money("1"), money("10000")),
    }
}

/// A shop with a game for 12.34, and a shopper with this balance.
struct World {
    db: TestDb,
    user: Uuid,
    game: Uuid,
}

impl World {
    async fn new(balance: &str) -> Self {
        let db = TestDb::new().await;
        let (user, game) = (
            db.user("ada@example.org", balance).await,
            db.game("Portal", "portal", "12.34").await,
        );
        Self { db, user, game }
    }

    fn wish(&self) -> NewCheckout {
        wish(self.user, self.game, 1, None)
    }

    async fn begin(&self, new: NewCheckout) -> Result<Begun, BeginError> {
        pending_checkouts::begin(&self.db.store, new, LEASE).await
    }

    /// Begins one that has to be paid.
    async fn begun(&self, new: NewCheckout) -> TopUp {
        match self.begin(new).await.unwrap() {
            Begun::Pay(begun) => match *begun {
                top_ups::Begun::Ask { top_up, .. } | top_ups::Begun::Asked(top_up) | top_ups::Begun::Known(top_up) => {
                    top_up
                }
            },
            Begun::Placed(order) => panic!("{order:?}"),
        }
    }

    async fn report(&self, id: TopUpId, word: ProviderPaymentStatus) {
        let event = PaymentEvent {
            provider: "test",
            event: None,
            kind: "k".into(),
            which: Which::Id(id),
            word,
        };
        top_ups::apply(&self.db.store, &event).await.unwrap();
    }

    async fn pay(&self, top_up: &TopUp) {
        let currency = "EUR".to_owned();
        let amount = top_up.amount;
        self.report(top_up.id, ProviderPaymentStatus::Paid { amount, currency })
            .await;
    }

    async fn settle(&self, id: TopUpId) -> Settled {
        pending_checkouts::settle(&self.db.store, id).await.unwrap()
    }

    /// Settles what is due; returns what became of each.
    async fn settle_due(&self) -> Vec<Settled> {
        let mut settled = Vec::new();
        for id in pending_checkouts::due(&self.db.store, 10).await.unwrap() {
            settled.push(self.settle(id).await);
        }
        settled
    }

    async fn state(&self, id: TopUpId) -> (CheckoutState, Option<CheckoutReason>) {
        let found = pending_checkouts::by_id(&self.db.store, UserId(self.user), id).await;
        let found = found.unwrap().unwrap();
        assert_eq!(found.state == CheckoutState::Placed, found.order.is_some());
        (found.state, found.reason)
    }

    async fn text(&self, question: &'static str) -> String {
        sqlx::query_scalar(question).fetch_one(&self.db.sql).await.unwrap()
    }

    async fn balance(&self) -> String {
        self.text("select balance::text from users where email = 'ada@example.org'")
            .await
    }
}

#[tokio::test]
async fn the_payment_is_exactly_what_is_missing_and_the_order_follows_the_money() {
    let world = World::new("2.34").await;
    let top_up = world.begun(world.wish()).await;
    assert_eq!(top_up.amount, money("10"));
    assert_eq!(
        world.settle(top_up.id).await,
        Settled::Nothing,
        "nothing is ordered before it is paid"
    );
    assert_eq!(world.db.count("orders").await, 0);
    world.pay(&top_up).await;
    let settled = world.settle_due().await;
    assert!(matches!(settled[..], [Settled::Placed(_)]), "{settled:?}");
    assert_eq!(world.balance().await, "0.00");
    assert_eq!(world.state(top_up.id).await, (CheckoutState::Placed, None));
    assert_eq!(world.settle_due().await, []);
    assert_eq!(world.settle(top_up.id).await, Settled::Nothing);
    assert_eq!(world.db.count("orders").await, 1);
    let overdue = pending_checkouts::overdue(&world.db.store).await.unwrap();
    assert_eq!(overdue, (0, None));
    // One e-mail says it all.
    assert_eq!(world.db.queued_emails("order-received").await.len(), 1);
    assert!(world.db.queued_emails("top-up").await.is_empty());
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_balance_that_suffices_places_the_order_at_once() {
    let world = World::new("20").await;
    let mut new = world.wish();
    new.key = Idempotency::new("k");
    let Begun::Placed(Placed::Now(order)) = world.begin(new.clone()).await.unwrap() else {
        panic!("it was not placed")
    };
    let again = world.begin(new).await.unwrap();
    assert!(
        matches!(again, Begun::Placed(Placed::Before(id)) if id == order.id),
        "{again:?}"
    );
    assert_eq!(world.db.count("top_ups").await, 0);
    assert_eq!(world.balance().await, "7.66");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_is_owed_is_paid_too_and_the_smallest_payment_leaves_the_rest_on_the_balance() {
    let world = World::new("12.00").await;
    let top_up = world.begun(world.wish()).await;
    assert_eq!(top_up.amount, money("1"), "34 cents are missing");
    world.pay(&top_up).await;
    assert!(matches!(world.settle(top_up.id).await, Settled::Placed(_)));
    assert_eq!(world.balance().await, "0.66");

    world
        .db
        .execute(
            "with paid as (insert into top_ups (user_id, amount, method, provider, status, transaction_id)
                           select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions
                            where type = 'TOP_UP' and amount = 12 returning id, user_id)
             insert into disputes (reference, top_up_id, user_id, amount, claimed, state, status, opened_at, closed_at)
             select 'du_1', id, user_id, 3, 3, 'LOST', 'lost', now(), now() from paid",
        )
        .await;
    assert_eq!(world.balance().await, "0.00");
    let owed = pending_checkouts::owed(&world.db.store, UserId(world.user))
        .await
        .unwrap();
    assert_eq!(owed, money("2.34"));
    let top_up = world.begun(world.wish()).await;
    assert_eq!(top_up.amount, money("14.68"));
    world.pay(&top_up).await;
    assert!(matches!(world.settle(top_up.id).await, Settled::Placed(_)));
    assert_eq!(world.balance().await, "0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_shopper_is_asked_when_the_order_does_not_hold_any_more() {
    for (change, reason) in [
        ("update games set price = 12.35", CheckoutReason::PriceRisen),
        ("update games set in_stock = false", CheckoutReason::SoldOut),
        ("update games set withdrawn_at = now(), in_stock = false", CheckoutReason::Gone),
        ("update promo_codes set active = false", CheckoutReason::PromoCode),
        (
            "with paid as (update users set balance = balance - 5 where email = 'ada@example.org' returning id)
             insert into transactions (user_id, type, amount, status, method) select id, 'PURCHASE', -5, 'COMPLETED', 'ADJUSTMENT' from paid",
            CheckoutReason::Balance,
        ),
    ] {
        let world = World::new("2.00").await;
        world.db.promo_code("TEN", 10, None).await;
        let with_code = reason == CheckoutReason::PromoCode;
        let new = wish(world.user, world.game, 1, with_code.then_some("TEN"));
        let top_up = world.begun(new).await;
        if reason != CheckoutReason::Balance {
            world.db.execute(change).await;
        }
        world.pay(&top_up).await;
        if reason == CheckoutReason::Balance {
            world.db.execute(change).await;
        }
        assert_eq!(world.settle_due().await, [Settled::Ask(reason)], "{change}");
        assert_eq!(world.state(top_up.id).await, (CheckoutState::Ask, Some(reason)));
        assert_eq!(world.settle(top_up.id).await, Settled::Nothing);
        let told = world.db.queued_email("order-not-placed").await;
        assert_eq!(told["checkout"], top_up.id.to_string());
        assert_eq!(told["reason"], reason.as_str());
        assert_eq!(world.db.count("orders").await, 0);
        world.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn cheaper_is_fine_and_what_is_left_stays_on_the_balance() {
    let world = World::new("0").await;
    let top_up = world.begun(world.wish()).await;
    world.db.execute("update games set price = 10").await;
    world.pay(&top_up).await;
    assert!(matches!(world.settle(top_up.id).await, Settled::Placed(_)));
    assert_eq!(world.balance().await, "2.34");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_the_shopper_agreed_to_is_the_most_that_is_asked_for() {
    let world = World::new("0").await;
    let mut new = world.wish();
    new.agreed = Some(money("12.33"));
    let refused = world.begin(new.clone()).await;
    assert!(
        matches!(refused, Err(BeginError::Place(PlaceError::InsufficientBalance { .. }))),
        "{refused:?}"
    );
    new.agreed = Some(money("12.34"));
    new.limits = (money("1"), money("12"));
    let refused = world.begin(new.clone()).await;
    assert!(matches!(refused, Err(BeginError::Amount { .. })), "{refused:?}");
    new.provider = None;
    let refused = world.begin(new).await;
    assert!(matches!(refused, Err(BeginError::NoProvider)), "{refused:?}");
    assert_eq!(
        world.db.count("top_ups").await + world.db.count("pending_checkouts").await,
        0
    );
}

#[tokio::test]
async fn what_is_not_paid_expires_and_what_is_paid_late_is_asked_about() {
    let world = World::new("0").await;
    let top_up = world.begun(world.wish()).await;
    world.report(top_up.id, ProviderPaymentStatus::Lapsed).await;
    assert_eq!(world.settle_due().await, [Settled::Expired]);
    assert_eq!(
        world.state(top_up.id).await,
        (CheckoutState::Expired, Some(CheckoutReason::NotPaid))
    );
    world.pay(&top_up).await;
    assert_eq!(world.settle_due().await, [Settled::Ask(CheckoutReason::Late)]);
    assert_eq!(
        (world.balance().await.as_str(), world.db.count("orders").await),
        ("12.34", 0)
    );
    assert_eq!(world.db.queued_email("order-not-placed").await["balance"], "12.34");

    // Another one takes the place of the first, whose payment comes all the same.
    let first = world.begun(wish(world.user, world.game, 2, None)).await;
    assert_eq!(first.amount, money("12.34"));
    let second = world.begun(wish(world.user, world.game, 3, None)).await;
    assert_eq!(
        world.state(first.id).await,
        (CheckoutState::Expired, Some(CheckoutReason::Replaced))
    );
    world.pay(&first).await;
    world.pay(&second).await;
    let mut settled = world.settle_due().await;
    settled.sort_by_key(|one| one.name());
    assert!(
        matches!(settled[..], [Settled::Ask(CheckoutReason::Late), Settled::Placed(_)]),
        "{settled:?}"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_answer_settles_what_was_asked_with_its_order_once() {
    let world = World::new("0").await;
    let top_up = world.begun(world.wish()).await;
    world.db.execute("update games set price = 13").await;
    world.pay(&top_up).await;
    assert_eq!(world.settle(top_up.id).await, Settled::Ask(CheckoutReason::PriceRisen));
    // The shopper takes a cheaper game instead.
    let other = world.db.game("Myst", "myst", "9").await;
    let mut new = wish(world.user, other, 1, None);
    new.after = Some(top_up.id);
    let Begun::Placed(Placed::Now(order)) = world.begin(new).await.unwrap() else {
        panic!("it was not placed")
    };
    let found = pending_checkouts::by_id(&world.db.store, UserId(world.user), top_up.id).await;
    let found = found.unwrap().unwrap();
    assert_eq!((found.state, found.order), (CheckoutState::Placed, Some(order.id)));
    // That of another shopper stays as it is.
    let bob = world.db.user("bob@example.org", "50").await;
    let mut new = wish(bob, other, 1, None);
    new.after = Some(top_up.id);
    assert!(matches!(world.begin(new).await.unwrap(), Begun::Placed(Placed::Now(_))));
    world.db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_begin_one_checkout_and_place_one_order() {
    let world = World::new("0").await;
    let mut new = world.wish();
    new.key = Idempotency::new("k");
    let begun = futures::future::join_all((0..20).map(|_| world.begin(new.clone()))).await;
    let asked = |begun: &Result<Begun, BeginError>| matches!(begun, Ok(Begun::Pay(begun)) if matches!(**begun, top_ups::Begun::Ask { .. }));
    assert_eq!(begun.iter().filter(|one| asked(one)).count(), 1, "{begun:?}");
    assert!(begun.iter().all(Result::is_ok));
    assert_eq!(
        (
            world.db.count("top_ups").await,
            world.db.count("pending_checkouts").await
        ),
        (1, 1)
    );
    let mut other = wish(world.user, world.game, 2, None);
    other.key = new.key.clone();
    let reused = world.begin(other).await;
    assert!(
        matches!(reused, Err(BeginError::Place(PlaceError::KeyReused))),
        "{reused:?}"
    );

    let top_up = world.begun(new).await;
    world.pay(&top_up).await;
    let settled = futures::future::join_all((0..20).map(|_| world.settle(top_up.id))).await;
    let placed = settled.iter().filter(|one| matches!(one, Settled::Placed(_))).count();
    assert_eq!((placed, world.db.count("orders").await), (1, 1), "{settled:?}");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_order_has_the_consent_and_the_country_that_were_sent() {
    let world = World::new("0").await;
    let (language, text) = Wording::current().text("de").unwrap();
    let agreed = AgreedWording {
        version: Wording::current().version,
        language,
        text,
        address: Some("192.0.2.7".into()),
        user_agent: Some("Browser".into()),
    };
    let mut new = world.wish();
    new.checkout = new
        .checkout
        .with_consent(Some(Consent::Shopper(agreed)))
        .ordered_from(Country::new("DE"));
    let top_up = world.begun(new).await;
    assert_eq!(
        world
            .text("select concat_ws(' ', ip_country, consent_address) from pending_checkouts")
            .await,
        "DE 192.0.2.7"
    );
    world.pay(&top_up).await;
    assert!(matches!(world.settle(top_up.id).await, Settled::Placed(_)));
    assert_eq!(
        world
            .text("select concat_ws(' ', source, language, address, user_agent, text = '') from order_consents")
            .await,
        "shopper de 192.0.2.7 Browser f"
    );
    assert_eq!(
        world
            .text("select num_nonnulls(consent_source, consent_address)::text from pending_checkouts")
            .await,
        "0"
    );
}

#[tokio::test]
async fn nothing_is_ordered_for_a_deleted_account() {
    let world = World::new("0").await;
    let top_up = world.begun(world.wish()).await;
    accounts::delete(&world.db.store, UserId(world.user), false)
        .await
        .unwrap();
    assert_eq!(world.text("select state from pending_checkouts").await, "ABANDONED");
    world.pay(&top_up).await;
    assert_eq!(world.settle_due().await, []);
    assert_eq!(world.settle(top_up.id).await, Settled::Nothing);
    assert_eq!(
        (
            world.db.count("orders").await,
            world.text("select review from top_ups").await.as_str()
        ),
        (0, "NO_OWNER")
    );
    world.db.assert_books_balance().await;
}

/// Something that happens to a checkout.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Paid,
    Processing,
    Declined,
    Lapsed,
    Risen,
    Fallen,
    SoldOut,
    InStock,
    Spent,
    Settled,
    Another,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: the order is placed at most once, for at most what was shown, and only if it was paid;
    /// what is paid is placed or asked about, and the books balance.
    #[test]
    fn any_order_of_happenings_ends_in_one_order_or_a_question(
        story in prop::collection::vec(prop::sample::select(vec![
            Happening::Paid, Happening::Processing, Happening::Declined, Happening::Lapsed, Happening::Risen, Happening::Fallen,
            Happening::SoldOut, Happening::InStock, Happening::Spent, Happening::Settled, Happening::Another,
        ]), 1..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let world = World::new("2.34").await;
            let top_up = world.begun(world.wish()).await;
            let mut is_paid = false;
            for happening in story {
                match happening {
                    Happening::Paid => {
                        world.pay(&top_up).await;
                        is_paid = true;
                    }
                    Happening::Processing => world.report(top_up.id, ProviderPaymentStatus::Processing).await,
                    Happening::Declined => world.report(top_up.id, ProviderPaymentStatus::Declined).await,
                    Happening::Lapsed => world.report(top_up.id, ProviderPaymentStatus::Lapsed).await,
                    Happening::Risen => world.db.execute("update games set price = 20").await,
                    Happening::Fallen => world.db.execute("update games set price = 11").await,
                    Happening::SoldOut => world.db.execute("update games set in_stock = false").await,
                    Happening::InStock => world.db.execute("update games set in_stock = true").await,
                    Happening::Spent => world.db.execute(
                        "with paid as (update users set balance = balance - 1 where balance >= 1 returning id)
                         insert into transactions (user_id, type, amount, status, method)
                         select id, 'PURCHASE', -1, 'COMPLETED', 'ADJUSTMENT' from paid",
                    ).await,
                    Happening::Settled => drop(world.settle_due().await),
                    // Refused, placed from the balance, or another payment in the place of this one.
                    Happening::Another => drop(world.begin(wish(world.user, world.game, 3, None)).await),
                }
            }
            world.settle_due().await;
            let (state, _) = world.state(top_up.id).await;
            match state {
                CheckoutState::Placed | CheckoutState::Ask => assert!(is_paid),
                CheckoutState::Expired | CheckoutState::Waiting => assert!(!is_paid, "{state:?}"),
                CheckoutState::Abandoned => panic!("nobody has left"),
            }
            let placed: i64 = sqlx::query_scalar(
                "select count(*) from pending_checkouts c join orders o on o.id = c.order_id where c.top_up_id = $1 and o.total <= c.total",
            ).bind(top_up.id.0).fetch_one(&world.db.sql).await.unwrap();
            assert_eq!(placed, i64::from(state == CheckoutState::Placed));
            let asked = world.db.queued_emails("order-not-placed").await;
            let asked = asked.iter().filter(|mail| mail["checkout"] == top_up.id.to_string()).count();
            assert_eq!(asked, usize::from(state == CheckoutState::Ask));
            world.db.assert_books_balance().await;
        });
    }
}
