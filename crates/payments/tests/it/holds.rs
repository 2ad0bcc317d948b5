//! Rules against fraud, against a Stripe of our own: what a normal buyer never meets, what is refused, and what is held until
//! staff decide.

use lockstep_domain::admin::Page;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_payments::TopUpError;
use lockstep_store::cards::holds::{self, DecideError, Decision, FraudRule, RuleError};
use lockstep_store::top_ups::BeginError;
use lockstep_stripe_sandbox::Card;
use uuid::Uuid;

use crate::cards::{World, money};

impl World {
    /// Begins a top-up and pays it, without telling the shop; returns its id.
    async fn pays(&self, user: Uuid, amount: &str, country: Option<&str>) -> TopUpId {
        let begun = self
            .payments
            .begin_from(UserId(user), money(amount), "card", None, country)
            .await
            .unwrap();
        let session = begun.redirect_url.unwrap().rsplit('/').next().unwrap().to_owned();
        self.stripe.pay(&session, Card::Succeeds).unwrap();
        begun.id
    }

    /// The same, and the shop learns of it.
    async fn paid_by(&self, user: Uuid, amount: &str, country: Option<&str>) -> TopUpId {
        let from = self.stripe.events().len();
        let id = self.pays(user, amount, country).await;
        self.deliver(from).await;
        self.due().await;
        self.payments.work_on_cards().await.unwrap();
        id
    }

    /// Holds by rule, and how many.
    async fn held(&self) -> String {
        self.text(
            "select coalesce(string_agg(rule || ' ' || n, ', ' order by rule), '')
               from (select rule, count(*) as n from payment_holds where state = 'OPEN' group by rule) held",
        )
        .await
    }

    async fn rule(&self, sql: &str) {
        self.db.execute(&format!("update fraud_rules set {sql}")).await;
    }

    async fn first_hold(&self) -> Uuid {
        let page = Page { number: 1, size: 50 };
        let read = self
            .store
            .read(|tx| Box::pin(holds::list(tx, Some("OPEN"), page)))
            .await;
        read.unwrap().value.0[0].id
    }

    async fn decide(&self, by: Uuid, hold: Uuid, decision: Decision) -> Result<(), DecideError> {
        holds::decide(&self.store, (UserId(by), true), hold, decision, "called the customer").await
    }
}

#[tokio::test]
async fn a_new_account_with_a_card_of_its_own_meets_no_rule_up_to_a_hundred_euro() {
    let world = World::new().await;
    for amount in ["20", "30", "50"] {
        world.paid_by(world.user, amount, Some("FR")).await;
    }
    assert_eq!(world.held().await, "");
    assert!(!holds::is_held(&world.store, UserId(world.user)).await.unwrap());
    assert_eq!(
        world
            .text("select buyer_is_held(id)::text from users where email = 'ada@example.org'")
            .await,
        "false"
    );
}

#[tokio::test]
async fn copies_wait_until_the_card_was_read() {
    let world = World::new().await;
    let from = world.stripe.events().len();
    world.pays(world.user, "20", None).await;
    world.deliver(from).await;
    let is_held = "select buyer_is_held(id)::text from users where email = 'ada@example.org'";
    assert_eq!(
        (world.held().await.as_str(), world.text(is_held).await.as_str()),
        ("UNREAD 1", "true")
    );
    assert!(
        !holds::is_held(&world.store, UserId(world.user)).await.unwrap(),
        "nothing for staff"
    );
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(
        (world.held().await.as_str(), world.text(is_held).await.as_str()),
        ("", "false")
    );
    // While Stripe does not answer, it ends by itself.
    world.db.execute("insert into payment_holds (top_up_id, user_id, rule, detail, ends_at) select id, user_id, 'UNREAD', 'd', now() - interval '1 second' from top_ups").await;
    assert_eq!(world.text(is_held).await, "false");
}

#[tokio::test]
async fn what_a_new_account_pays_beyond_a_hundred_is_held_and_released() {
    let world = World::new().await;
    let first = world.paid_by(world.user, "100", None).await;
    let second = world.paid_by(world.user, "10", None).await;
    assert_eq!(world.held().await, "NEW_ACCOUNT 1");
    assert_eq!(
        world.text("select top_up_id || ' ' || detail from payment_holds").await,
        format!("{second} 110.00 EUR were paid in the first 24 hours of the account")
    );
    assert_ne!(first, second);
    let view = world
        .payments
        .status(UserId(world.user), second)
        .await
        .unwrap()
        .unwrap();
    assert!(view.held, "its owner is told");
    let game = world.db.game("Portal", "portal", "10").await;
    let order = world.db.order(world.user, game, 1).await;
    world
        .db
        .execute("update order_units set not_before = now() + interval '1 hour'")
        .await;
    let hold = world.first_hold().await;
    let refused = world.decide(world.user, hold, Decision::Release).await;
    assert!(matches!(refused, Err(DecideError::Own)), "{refused:?}");
    let decided = futures::future::join_all((0..4).map(|_| world.decide(world.admin, hold, Decision::Release))).await;
    assert_eq!(decided.iter().filter(|one| one.is_ok()).count(), 1, "{decided:?}");
    assert_eq!(
        world
            .text("select bool_and(not_before <= now())::text from order_units")
            .await,
        "true",
        "{:?} is due",
        order.units
    );
    // What was released is not held again by the same rule.
    world
        .db
        .execute("update payment_inbox set done_at = null, outcome = null where kind = 'credited'")
        .await;
    world.due().await;
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(world.held().await, "");
    // An account of yesterday is none that is new.
    world
        .db
        .execute("update users set created_at = now() - interval '25 hours'")
        .await;
    world.paid_by(world.user, "500", None).await;
    assert_eq!(world.held().await, "");
}

#[tokio::test]
async fn a_card_on_more_than_three_accounts_is_held_on_all_of_them_however_many_pay_at_once() {
    let world = World::new().await;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(world.db.user(&format!("u{number}@example.org"), "0").await);
    }
    for user in &users[..3] {
        world.paid_by(*user, "10", None).await;
    }
    assert_eq!(world.held().await, "", "a family shares a card");
    let from = world.stripe.events().len();
    futures::future::join_all(users[3..].iter().map(|user| world.pays(*user, "10", None))).await;
    let events = world.stripe.events();
    let told = futures::future::join_all(events[from..].iter().map(|event| world.take(event))).await;
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    world.due().await;
    let workers = futures::future::join_all((0..4).map(|_| world.payments.work_on_cards())).await;
    assert!(workers.iter().all(Result::is_ok), "{workers:?}");
    // What a busy machine did not answer in time is read later.
    for _ in 0..10 {
        world.due().await;
        world.payments.work_on_cards().await.unwrap();
    }
    assert_eq!(world.held().await, "CARD_ACCOUNTS 20, CARD_COUNT 10");
    assert_eq!(
        world
            .text("select count(*)::text from users where email like 'u%@example.org' and buyer_is_held(id)")
            .await,
        "20"
    );
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn of_twenty_top_ups_at_once_exactly_as_many_begin_as_the_limit_allows() {
    let world = World::new().await;
    world.rule("count = 5 where name = 'ACCOUNT_COUNT'").await;
    let begins = (0..20).map(|_| world.payments.begin(UserId(world.user), money("10"), "card", None));
    let begun = futures::future::join_all(begins).await;
    assert_eq!(begun.iter().filter(|one| one.is_ok()).count(), 5);
    let refused =
        |one: &Result<_, TopUpError>| matches!(one, Ok(_) | Err(TopUpError::Begin(BeginError::Limited { hours: 24 })));
    assert!(begun.iter().all(refused), "{begun:?}");
    world.rule("is_on = false where name = 'ACCOUNT_COUNT'").await;
    world.rule("amount = 60 where name = 'ACCOUNT_AMOUNT'").await;
    assert!(
        world
            .payments
            .begin(UserId(world.user), money("10"), "card", None)
            .await
            .is_ok()
    );
    let above = world
        .payments
        .begin(UserId(world.user), money("0.01"), "card", None)
        .await;
    assert!(above.is_err(), "less than the least amount");
    let above = world.payments.begin(UserId(world.user), money("1"), "card", None).await;
    assert!(refused(&above) && above.is_err(), "{above:?}");
}

#[tokio::test]
async fn a_card_from_another_country_and_a_throw_away_address_are_held_from_their_amounts_on() {
    let world = World::new().await;
    world.paid_by(world.user, "49.99", Some("DE")).await;
    assert_eq!(world.held().await, "", "too little");
    let user = world.db.user("carl@example.org", "0").await;
    world.paid_by(user, "50", Some("FR")).await;
    world.paid_by(user, "1", None).await;
    assert_eq!(world.held().await, "", "the same country, and an unknown one");
    world.paid_by(user, "50", Some("DE")).await;
    assert!(world.held().await.contains("CARD_COUNTRY 1"), "{}", world.held().await);
    for (address, is_held) in [
        ("eve@mailinator.com", true),
        ("eve@inbox.mailinator.com", true),
        ("eve@notmailinator.com", false),
    ] {
        world.db.execute("delete from payment_holds").await;
        let user = world.db.user(address, "0").await;
        world.rule("is_on = name = 'DISPOSABLE_EMAIL'").await;
        world.paid_by(user, "20", None).await;
        let expected = if is_held { "DISPOSABLE_EMAIL 1" } else { "" };
        assert_eq!(world.held().await, expected, "{address}");
    }
}

#[tokio::test]
async fn the_cards_bank_is_asked_above_a_sum_and_a_repeated_request_asks_the_same() {
    let world = World::new().await;
    let asked = async |amount: &str, key: &str| {
        let begun = world
            .payments
            .begin(UserId(world.user), money(amount), "card", Some(key))
            .await
            .unwrap();
        let session = begun.redirect_url.unwrap().rsplit('/').next().unwrap().to_owned();
        let object = world.stripe.object(&session).unwrap();
        object["payment_method_options"]["card"]["request_three_d_secure"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(asked("99.99", "a").await, None);
    assert_eq!(asked("100", "b").await.as_deref(), Some("any"));
    // The answer was lost, and the rule has changed since.
    world
        .db
        .execute(
            "set session_replication_role = replica;
             update top_ups set reference = null, redirect_url = null, asking_until = null;
             set session_replication_role = origin",
        )
        .await;
    world.rule("is_on = false where name = 'AUTHENTICATION'").await;
    assert_eq!(asked("100", "b").await.as_deref(), Some("any"));
    assert_eq!(world.stripe.objects("checkout.session").len(), 2);
}

#[tokio::test]
async fn a_held_payment_goes_back_once_copies_that_are_not_paid_for_have_gone_back() {
    let world = World::new().await;
    world.rule("amount = 50 where name = 'NEW_ACCOUNT'").await;
    world.paid_by(world.user, "100", None).await;
    let game = world.db.game("Portal", "portal", "10").await;
    let order = world.db.order(world.user, game, 1).await;
    let hold = world.first_hold().await;
    world.decide(world.admin, hold, Decision::Refund).await.unwrap();
    assert!(matches!(
        world.decide(world.admin, hold, Decision::Release).await,
        Err(DecideError::NotFound)
    ));
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(
        world.text("select state from payment_holds").await,
        "REFUNDING",
        "a copy has to go back first"
    );
    assert_eq!(
        world
            .text("select copies_go_back(id)::text from users where email = 'ada@example.org'")
            .await,
        "true"
    );
    world.db.refund(order.units[0]).await;
    let workers = futures::future::join_all((0..4).map(|_| world.payments.work_on_cards())).await;
    assert!(workers.iter().all(Result::is_ok), "{workers:?}");
    world.payments.work_on_cards().await.unwrap();
    assert_eq!(
        world
            .text("select h.state || ' ' || r.amount || ' ' || r.state from payment_holds h join card_refunds r on r.id = h.refund_id")
            .await,
        "REFUNDED 100.00 SUCCEEDED"
    );
    assert_eq!(world.stripe.ledger().refunded, 10_000);
    assert_eq!(world.sums().await, "0.00, 0.00, 0.00, 100.00, 0.00");
    world.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_rule_is_changed_only_as_it_was_read_and_false_holds_are_counted() {
    let world = World::new().await;
    let rules = holds::rules(&world.store).await.unwrap();
    let rule = rules.into_iter().find(|rule| rule.name == "NEW_ACCOUNT").unwrap();
    let with = |amount: Option<&str>, version| FraudRule {
        amount: amount.map(money),
        version,
        ..rule.clone()
    };
    let change = async |rule| holds::change_rule(&world.store, UserId(world.admin), rule).await;
    assert!(matches!(change(with(None, 1)).await, Err(RuleError::Wrong)));
    assert!(matches!(change(with(Some("0"), 1)).await, Err(RuleError::Wrong)));
    assert_eq!(change(with(Some("5"), 1)).await.unwrap().version, 2);
    assert!(matches!(change(with(Some("6"), 1)).await, Err(RuleError::Changed)));
    assert_eq!(world.db.count("audit_log where action = 'fraud.change_rule'").await, 1);

    world.paid_by(world.user, "10", None).await;
    let hold = world.first_hold().await;
    world.decide(world.admin, hold, Decision::Release).await.unwrap();
    let now = chrono::Utc::now();
    let day = chrono::TimeDelta::days(1);
    let read = world
        .store
        .read(|tx| Box::pin(holds::report(tx, now - day, now + day)))
        .await;
    let rows = read.unwrap().value;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.rule.as_str(), row.held, row.released, row.refunded, row.open),
        ("NEW_ACCOUNT", 1, 1, 0, 0)
    );
}
