//! Scheduled changes: once, in order, at their time, and never over what people have changed since.

use chrono::{DateTime, Duration, Utc};
use lockstep_domain::admin::PlannedChange;
use lockstep_domain::ids::{GameId, UserId};
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::{PriceRule, PriceRules};
use lockstep_store::admin::price_rules;
use lockstep_store::repricing::next_part;
use lockstep_store::scheduled::{self, NewScheduledChange, ScheduleError, next_step};
use lockstep_testkit::TestDb;
use sqlx::types::Uuid;

struct Shop {
    db: TestDb,
    owner: UserId,
    game: Uuid,
    now: DateTime<Utc>,
}

impl Shop {
    /// A shop with a game of G2A's that costs 10.00.
    async fn new() -> Self {
        let db = TestDb::new().await;
        let owner = UserId(db.user("owner@example.org", "0").await);
        db.user("other@example.org", "0").await;
        db.execute("update users set role = 'ADMIN', email_verified = true")
            .await;
        let game = db.game("Portal", "portal", "10.20").await;
        db.at_g2a(game, "p1").await;
        db.execute(
            "update games set supplier_price = 10, supplier_retail_price = 15, original_price = 15.30, discount = 33",
        )
        .await;
        Self {
            db,
            owner,
            game,
            now: Utc::now(),
        }
    }

    fn after(&self, hours: i64) -> DateTime<Utc> {
        self.now + Duration::hours(hours)
    }

    async fn plan(&self, change: PlannedChange, from: i64, until: Option<i64>) -> Result<Uuid, ScheduleError> {
        self.plan_below_cost(true, change, from, until).await
    }

    async fn plan_below_cost(
        &self,
        below_cost: bool,
        change: PlannedChange,
        from: i64,
        until: Option<i64>,
    ) -> Result<Uuid, ScheduleError> {
        let new = NewScheduledChange {
            game: GameId(self.game),
            change,
            starts_at: self.after(from),
            ends_at: until.map(|until| self.after(until)),
            below_cost,
        };
        scheduled::create(&self.db.store, self.owner, &new).await
    }

    async fn price(&self, cents: i64, is_sale: bool, from: i64, until: Option<i64>) -> Uuid {
        let price = lockstep_domain::Money::from_cents(cents).unwrap();
        self.plan(PlannedChange::Price { price, is_sale }, from, until)
            .await
            .unwrap()
    }

    /// Does everything that is due `hours` after the beginning; returns how many steps that were.
    async fn run(&self, hours: i64) -> usize {
        let mut steps = 0;
        while next_step(&self.db.store, &Pricing::default(), self.after(hours))
            .await
            .unwrap()
            .is_some()
        {
            steps += 1;
        }
        steps
    }

    /// Price, price before the reduction, and fields of staff's.
    async fn game(&self) -> (String, Option<String>, Vec<String>) {
        sqlx::query_as("select price::text, original_price::text, fields_by_hand from games where id = $1")
            .bind(self.game)
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    async fn state(&self, id: Uuid) -> (String, Option<String>) {
        sqlx::query_as("select state, reason from scheduled_changes where id = $1")
            .bind(id)
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }
}

fn is(price: &str, original: Option<&str>, fields: &[&str]) -> (String, Option<String>, Vec<String>) {
    (
        price.to_owned(),
        original.map(str::to_owned),
        fields.iter().map(|field| (*field).to_owned()).collect(),
    )
}

#[tokio::test]
async fn a_sale_begins_and_ends_at_what_the_rules_say_by_then() {
    let shop = Shop::new().await;
    let sale = shop.price(800, true, 1, Some(3)).await;
    assert_eq!(shop.run(0).await, 0, "not yet");
    assert_eq!(shop.run(1).await, 1);
    assert_eq!(
        shop.game().await,
        is("8.00", Some("10.20"), &["price", "original_price"])
    );
    assert_eq!(shop.state(sale).await.0, "ACTIVE");
    // Meanwhile the rules change; the price of the sale stays.
    let rules = PriceRules {
        rules: vec![PriceRule {
            name: "All".into(),
            markup_percent: Some(30.into()),
            ..PriceRule::default()
        }],
        ..PriceRules::default()
    };
    price_rules::save(&shop.db.store, shop.owner, 0, &rules).await.unwrap();
    while next_part(&shop.db.store, &Pricing::default(), 5)
        .await
        .unwrap()
        .is_some()
    {}
    assert_eq!(shop.game().await.0, "8.00");
    assert_eq!(shop.run(3).await, 1);
    assert_eq!(
        shop.game().await,
        is("13.00", Some("19.50"), &[]),
        "30 % on 10.00 and on 15.00"
    );
    assert_eq!(shop.state(sale).await, ("DONE".into(), None));
    let beside: Option<String> = sqlx::query_scalar("select g2a_price::text from games")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(beside, None);
    let log: Vec<String> = sqlx::query_scalar(
        "select action from audit_log where admin_id = $1 and action like 'game.%' and coalesce(details ->> 'by', '') <> '' order by at",
    )
    .bind(shop.owner.0)
    .fetch_all(&shop.db.sql)
    .await
    .unwrap();
    assert_eq!(log, ["game.schedule.begin", "game.schedule.end"]);
    assert_eq!(shop.db.count("price_changes where reason = 'SCHEDULE'").await, 2);
}

#[tokio::test]
async fn what_people_have_changed_since_is_not_overwritten() {
    let shop = Shop::new().await;
    let late = shop.price(800, false, 1, Some(3)).await;
    shop.db
        .execute("update games set price = 9.50, fields_by_hand = '{price}', g2a_price = 10.20")
        .await;
    shop.run(2).await;
    let reason = Some("It was changed by hand since this was scheduled.".to_owned());
    assert_eq!(shop.state(late).await, ("SKIPPED".into(), reason.clone()));
    assert_eq!(shop.game().await.0, "9.50");
    // The same while it is active: the end takes nothing back.
    let active = shop.price(800, false, 5, Some(7)).await;
    shop.run(5).await;
    assert_eq!(shop.game().await.0, "8.00");
    shop.db.execute("update games set price = 7.77").await;
    shop.run(7).await;
    assert_eq!(shop.state(active).await, ("SKIPPED".into(), reason));
    assert_eq!(shop.game().await.0, "7.77");
    // Staff's own price of before comes back.
    shop.price(700, false, 9, Some(11)).await;
    shop.run(9).await;
    assert_eq!(shop.game().await.0, "7.00");
    shop.run(11).await;
    assert_eq!(shop.game().await, is("7.77", Some("15.30"), &["price"]));
    // What a synchronisation changes is no change by people.
    let last = shop.plan(PlannedChange::Featured(true), 13, Some(15)).await.unwrap();
    shop.db
        .execute("update games set supplier_price = 12, description = 'new'")
        .await;
    shop.run(13).await;
    assert_eq!(shop.state(last).await.0, "ACTIVE");
}

#[tokio::test]
async fn a_game_is_hidden_and_featured_for_a_time() {
    let shop = Shop::new().await;
    shop.plan(PlannedChange::Visible(false), 1, Some(2)).await.unwrap();
    shop.plan(PlannedChange::Featured(true), 1, Some(2)).await.unwrap();
    let state = async || -> (bool, bool, Vec<String>, Vec<String>) {
        sqlx::query_as("select in_stock, is_best_seller, fields_by_hand, flags_by_hand from games")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    assert_eq!(shop.run(1).await, 2);
    assert_eq!(
        state().await,
        (false, true, vec!["in_stock".into()], vec!["is_best_seller".into()])
    );
    let step = next_step(&shop.db.store, &Pricing::default(), shop.after(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(step.given_back.as_deref(), Some("p1"), "only G2A knows its stock");
    assert_eq!(shop.run(2).await, 1);
    assert_eq!(state().await, (false, false, vec![], vec![]));
}

#[tokio::test]
async fn a_change_whose_author_may_no_longer_make_it_is_skipped() {
    let shop = Shop::new().await;
    let (first, second) = (
        shop.price(800, false, 1, Some(2)).await,
        shop.price(700, false, 2, Some(3)).await,
    );
    shop.run(1).await;
    shop.db
        .execute(
            "insert into staff_roles (name) values ('READER'); update users set role = 'USER', staff_role = 'READER' where email = 'owner@example.org'",
        )
        .await;
    shop.run(2).await;
    assert_eq!(
        shop.state(first).await.0,
        "DONE",
        "what was begun is taken back all the same"
    );
    let (state, reason) = shop.state(second).await;
    assert_eq!(
        (state.as_str(), reason.as_deref()),
        ("SKIPPED", Some("Its author may no longer change prices."))
    );
    assert_eq!(shop.game().await.0, "10.20");
    shop.db
        .execute("insert into staff_role_permissions values ('READER', 'prices.write')")
        .await;
    let third = shop.price(600, false, 4, None).await;
    shop.run(4).await;
    assert_eq!(
        (shop.state(third).await.0, shop.game().await.0),
        ("DONE".into(), "6.00".into())
    );
}

#[tokio::test]
async fn a_step_that_a_rule_of_the_schema_refuses_holds_up_no_other() {
    let shop = Shop::new().await;
    let (begun, refused, next) = (
        shop.price(900, false, 1, Some(2)).await,
        shop.price(700, false, 3, None).await,
        shop.price(600, false, 4, None).await,
    );
    shop.run(1).await;
    shop.db
        .execute("alter table games add constraint no_such_price check (price not in (10.20, 7)) not valid")
        .await;
    assert_eq!(shop.run(4).await, 3);
    let why = Some("A rule of the shop refuses it. Change the game by hand to see which.".to_owned());
    assert_eq!(shop.state(begun).await, ("SKIPPED".into(), why.clone()), "an end");
    assert_eq!(shop.state(refused).await, ("SKIPPED".into(), why), "a beginning");
    assert_eq!(
        (shop.state(next).await.0, shop.game().await.0),
        ("DONE".into(), "6.00".into())
    );
}

/// After an hour without workers, what was due happens in its order, each step once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_catch_up_in_order_and_do_each_step_once() {
    let shop = Shop::new().await;
    let over = shop.price(900, false, 1, Some(2)).await;
    for hour in 3..9 {
        shop.price(1_000 + hour, false, hour, None).await;
    }
    shop.plan(PlannedChange::Visible(true), 3, Some(9)).await.unwrap();
    let price = PlannedChange::Price {
        price: "1".parse().unwrap(),
        is_sale: false,
    };
    assert!(matches!(
        shop.plan(price, 2, Some(4)).await,
        Err(ScheduleError::Overlaps)
    ));
    let workers = (0..6).map(|_| async {
        while shop
            .db
            .count("scheduled_changes where due_at <= now() + interval '9 hours 1 minute'")
            .await
            > 0
        {
            next_step(&shop.db.store, &Pricing::default(), shop.after(9))
                .await
                .unwrap();
        }
    });
    futures::future::join_all(workers).await;
    let (state, reason) = shop.state(over).await;
    assert_eq!(
        (state.as_str(), reason.as_deref()),
        ("SKIPPED", Some("Its end had come before it could begin."))
    );
    let history: Vec<String> =
        sqlx::query_scalar("select price::text from price_changes where reason = 'SCHEDULE' order by id")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(history, ["10.03", "10.04", "10.05", "10.06", "10.07", "10.08"]);
    assert_eq!(shop.db.count("audit_log where action like 'game.schedule.%'").await, 8);
}

#[tokio::test]
async fn a_cancelled_change_does_not_begin_and_an_active_one_ends() {
    let shop = Shop::new().await;
    let (waiting, active) = (
        shop.price(800, false, 5, None).await,
        shop.price(900, false, 1, Some(4)).await,
    );
    shop.run(1).await;
    for id in [waiting, active] {
        scheduled::cancel(&shop.db.store, shop.owner, id, shop.after(2))
            .await
            .unwrap();
    }
    let again = scheduled::cancel(&shop.db.store, shop.owner, waiting, shop.after(2)).await;
    assert!(matches!(again, Err(ScheduleError::Over)), "{again:?}");
    assert_eq!(shop.run(2).await, 1);
    assert_eq!(
        (shop.state(waiting).await.0, shop.state(active).await.0),
        ("CANCELLED".into(), "DONE".into())
    );
    assert_eq!((shop.game().await.0, shop.run(9).await), ("10.20".into(), 0));
}

/// A change that follows another begins after the other has ended, whichever was scheduled first and however late the
/// workers are; so does one after a change that was cancelled when its end was due already.
#[tokio::test]
async fn an_end_comes_before_a_beginning_at_the_same_time() {
    for is_cancelled in [false, true] {
        let shop = Shop::new().await;
        let second = shop.price(700, false, 3, Some(9)).await;
        let first = shop.price(800, false, 1, Some(3)).await;
        shop.run(1).await;
        if is_cancelled {
            scheduled::cancel(&shop.db.store, shop.owner, first, shop.after(5))
                .await
                .unwrap();
        }
        assert_eq!(shop.run(6).await, 2);
        assert_eq!(shop.game().await.0, "7.00", "cancelled: {is_cancelled}");
        assert_eq!(
            (shop.state(first).await.0, shop.state(second).await.0),
            ("DONE".into(), "ACTIVE".into())
        );
        shop.run(9).await;
        assert_eq!(shop.game().await, is("10.20", Some("15.30"), &[]));
    }
}

/// A sale that ends before a synchronisation has read the supplier's price.
#[tokio::test]
async fn the_end_of_a_sale_keeps_to_what_an_order_has_shown() {
    let shop = Shop::new().await;
    shop.db
        .execute("update games set supplier_price = null, supplier_retail_price = null")
        .await;
    shop.price(800, true, 1, Some(2)).await;
    shop.run(1).await;
    shop.db
        .execute("update games set g2a_asked_price = 15.30, g2a_asked_at = now()")
        .await;
    shop.run(2).await;
    assert_eq!(shop.game().await, is("15.30", None, &[]));
}

/// The supplier's price counts when a price is scheduled and again when it begins.
#[tokio::test]
async fn a_price_below_the_suppliers_is_refused_unless_it_is_confirmed() {
    let shop = Shop::new().await;
    let price = |cents| PlannedChange::Price {
        price: lockstep_domain::Money::from_cents(cents).unwrap(),
        is_sale: true,
    };
    let below = shop.plan_below_cost(false, price(999), 1, Some(2)).await;
    assert!(matches!(below, Err(ScheduleError::BelowCost)), "{below:?}");
    let at_cost = shop.plan_below_cost(false, price(1_000), 1, Some(2)).await.unwrap();
    let later = shop.plan_below_cost(false, price(1_000), 3, Some(4)).await.unwrap();
    let confirmed = shop.plan_below_cost(true, price(999), 5, Some(6)).await.unwrap();
    shop.run(1).await;
    assert_eq!(shop.state(at_cost).await.0, "ACTIVE");
    shop.db.execute("update games set supplier_price = 10.0001").await;
    shop.run(3).await;
    shop.run(5).await;
    let reason = Some("It is below the supplier's price.".to_owned());
    assert_eq!(shop.state(later).await, ("SKIPPED".into(), reason));
    assert_eq!(shop.state(confirmed).await.0, "ACTIVE");
    // What an order has shown counts as well.
    shop.db
        .execute("update games set g2a_asked_cost = 12, g2a_asked_price = 12.24, g2a_asked_at = now()")
        .await;
    let below = shop.plan_below_cost(false, price(1_199), 7, Some(8)).await;
    assert!(matches!(below, Err(ScheduleError::BelowCost)), "{below:?}");
}

#[tokio::test]
async fn what_is_no_price_needs_an_author_who_may_change_games() {
    let shop = Shop::new().await;
    shop.db
        .execute(
            "insert into staff_roles (name) values ('PRICER');
             insert into staff_role_permissions values ('PRICER', 'prices.write');
             update users set role = 'USER', staff_role = 'PRICER' where email = 'owner@example.org'",
        )
        .await;
    let hidden = shop.plan(PlannedChange::Visible(false), 1, Some(2)).await.unwrap();
    let price = shop.price(1_100, false, 1, Some(2)).await;
    shop.run(1).await;
    let reason = Some("Its author may no longer change games.".to_owned());
    assert_eq!(shop.state(hidden).await, ("SKIPPED".into(), reason));
    assert_eq!(shop.state(price).await.0, "ACTIVE");
    shop.db
        .execute("insert into staff_role_permissions values ('PRICER', 'catalogue.write')")
        .await;
    let featured = shop.plan(PlannedChange::Featured(true), 3, Some(4)).await.unwrap();
    shop.run(3).await;
    assert_eq!(shop.state(featured).await.0, "ACTIVE");
}

/// The price before a reduction that staff have set stays, also while it is not above the price: under new rules, during a
/// sale, and after it. That it is shown again is no change by people.
#[tokio::test]
async fn the_original_price_of_staff_outlives_sales_and_new_rules() {
    let shop = Shop::new().await;
    shop.db
        .execute(
            "update games set original_price = null, original_price_by_hand = 11, discount = 0, price = 12, supplier_price = 10,
                              fields_by_hand = '{original_price}'",
        )
        .await;
    let sale = shop.price(800, true, 1, Some(2)).await;
    let markup = |percent: i64| PriceRules {
        rules: vec![PriceRule {
            name: "All".into(),
            markup_percent: Some(percent.into()),
            ..PriceRule::default()
        }],
        ..PriceRules::default()
    };
    let reprice = async |version: i64, percent: i64| {
        price_rules::save(&shop.db.store, shop.owner, version, &markup(percent))
            .await
            .unwrap();
        while next_part(&shop.db.store, &Pricing::default(), 5)
            .await
            .unwrap()
            .is_some()
        {}
    };
    reprice(0, 5).await;
    assert_eq!(shop.game().await, is("10.50", Some("11.00"), &["original_price"]));
    shop.run(1).await;
    assert_eq!(
        shop.game().await,
        is("8.00", Some("10.50"), &["price", "original_price"])
    );
    reprice(1, 20).await;
    assert_eq!(shop.game().await.1.as_deref(), Some("10.50"));
    shop.run(2).await;
    assert_eq!(shop.state(sale).await, ("DONE".into(), None));
    assert_eq!(shop.game().await, is("12.00", None, &["original_price"]));
    reprice(2, 1).await;
    assert_eq!(shop.game().await, is("10.10", Some("11.00"), &["original_price"]));
}
