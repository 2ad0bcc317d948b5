//! Answers without a readable key: nothing is bought again before staff had time to look, and a game that yields
//! nothing else is no longer bought.

use std::time::Duration;

use lockstep_domain::Secret;
use lockstep_domain::ids::UserId;
use lockstep_fulfilment::aside::{self, AsideError};
use lockstep_fulfilment::email_settings;
use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule};
use lockstep_store::fulfilment::keys::Recorded;
use lockstep_store::fulfilment::unreadable::{self, Waiting};

use crate::support::{PRODUCT, Shop, eur, keys};

/// A shop whose staff have an hour to decide.
async fn shop() -> (Shop, UserId) {
    let mut shop = Shop::open().await;
    shop.settings.unreadable_grace = Duration::from_hours(1);
    let admin = shop.db.user("root@example.org", "0").await;
    shop.execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    (shop, UserId(admin))
}

/// The next `times` key calls hand the key out but answer with a web page.
fn pages_instead_of_keys(shop: &Shop, times: u32) {
    shop.g2a.add_fault(
        FaultRule::once(CallMatch::Key, Fault::Nonsense)
            .processed()
            .times(times),
    );
}

async fn waiting(shop: &Shop) -> Vec<Waiting> {
    unreadable::waiting(&shop.db.store, 100).await.unwrap()
}

#[tokio::test]
async fn staff_can_deliver_a_key_from_an_unreadable_answer() {
    let (shop, admin) = shop().await;
    pages_instead_of_keys(&shop, 1);
    let order = shop.order(1).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || shop.states().await == ["LOST"]).await;
    for _ in 0..5 {
        worker.drain().await.unwrap();
    }
    assert_eq!(shop.g2a.ledger().orders.len(), 1, "nothing is bought again");
    let found = waiting(&shop).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].is_awaited && found[0].complete);
    assert_eq!(found[0].machine, lockstep_fulfilment::machine());

    let shown = aside::show(&shop.db.store, &keys(), found[0].id, admin).await.unwrap();
    assert!(shown.expose().contains("We will be right back"));
    let key = Secret::new("AAAA-BBBB-CCCC");
    let emails = email_settings(&keys(), false);
    let accepted = aside::accept(&shop.db.store, &keys(), &emails, found[0].id, &key, admin).await;
    assert!(matches!(accepted.unwrap(), Recorded::Delivered(Some(_))));
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.key_texts().await, ["AAAA-BBBB-CCCC"]);
    assert!(waiting(&shop).await.is_empty());
    let again = aside::accept(&shop.db.store, &keys(), &emails, found[0].id, &Secret::new("D"), admin).await;
    assert!(matches!(again, Err(AsideError::NotFound)));
    let deeds: Vec<String> = sqlx::query_scalar("select action from audit_log order by at")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(deeds, ["answer.show", "answer.accept"]);
    let open = shop.db.count("incidents where resolved_at is null").await;
    assert_eq!(open, 0, "what was told is settled");
}

#[tokio::test]
async fn discarded_or_undecided_answers_are_compensated() {
    for is_decided in [true, false] {
        let (mut shop, admin) = shop().await;
        if !is_decided {
            shop.settings.unreadable_grace = Duration::from_millis(300);
        }
        pages_instead_of_keys(&shop, 1);
        let order = shop.order(1).await;
        let worker = shop.worker();
        shop.work_until(&worker, async || shop.states().await == ["LOST"]).await;
        if is_decided {
            let id = waiting(&shop).await[0].id;
            aside::discard(&shop.db.store, id, admin).await.unwrap();
        }
        shop.settle(&worker).await;
        assert_eq!(shop.status(&order).await, "COMPLETED");
        assert_eq!(shop.check_books().await.money_taken, eur("20.00"), "one replacement");
        assert_eq!(waiting(&shop).await.len(), usize::from(!is_decided));
        if !is_decided {
            // Staff find the key in it after all.
            let (emails, id) = (email_settings(&keys(), false), waiting(&shop).await[0].id);
            let key = Secret::new("AAAA-BBBB-CCCC");
            let late = aside::accept(&shop.db.store, &keys(), &emails, id, &key, admin).await;
            assert_eq!(late.unwrap(), Recorded::Stock);
        }
    }
}

#[tokio::test]
async fn unreadable_answers_followed_by_the_key_need_no_review() {
    let (shop, _) = shop().await;
    // Not processed: the page came from a proxy.
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::Nonsense));
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert!(waiting(&shop).await.is_empty(), "its key came");
    assert_eq!(shop.check_books().await.money_taken, eur("10.00"));
}

#[tokio::test]
async fn unreadable_answers_are_requested_at_most_three_times() {
    let (shop, _) = shop().await;
    pages_instead_of_keys(&shop, 100);
    shop.order(1).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || shop.states().await == ["LOST"]).await;
    assert_eq!(waiting(&shop).await.len(), 3, "asked three times");
}

#[tokio::test]
async fn three_unreadable_orders_stop_a_game_until_staff_resume_it() {
    let (shop, admin) = shop().await;
    for _ in 0..3 {
        pages_instead_of_keys(&shop, 1);
        shop.order(1).await;
        let worker = shop.worker();
        let open = "order_units where state not in ('LOST', 'DONE', 'REFUNDED')";
        shop.work_until(&worker, async || shop.db.count(open).await == 0).await;
    }
    let stops = unreadable::game_stops(&shop.db.store).await.unwrap();
    assert_eq!(stops.len(), 1);
    assert_eq!(stops[0].product.as_deref(), Some(PRODUCT));
    // The shop does not sell what it would not buy, whatever the stock check reports meanwhile.
    let on_sale = "games where in_stock or g2a_stock";
    assert_eq!(shop.db.count(on_sale).await, 0);
    let restocked = "update games set in_stock = true, g2a_stock = true, g2a_depth = 5, popularity = popularity + 5";
    shop.db.execute(restocked).await;
    assert_eq!(shop.db.count(on_sale).await, 0);
    assert_eq!(shop.db.count("games where g2a_depth > 0 or popularity <> 0").await, 0);

    let order = shop.order(1).await;
    let worker = shop.worker();
    for _ in 0..5 {
        worker.drain().await.unwrap();
    }
    assert_eq!(shop.g2a.ledger().orders.len(), 3, "nothing more is bought");
    assert!(aside::buy_again(&shop.db.store, PRODUCT, admin).await.unwrap());
    assert!(!aside::buy_again(&shop.db.store, PRODUCT, admin).await.unwrap());
    shop.db.execute(restocked).await;
    assert_eq!(shop.db.count(on_sale).await, 1, "the next look at the stock");
    shop.work_until(&worker, async || shop.status(&order).await == "COMPLETED")
        .await;
    assert!(unreadable::game_stops(&shop.db.store).await.unwrap().is_empty());
    // Earlier answers no longer count.
    pages_instead_of_keys(&shop, 1);
    shop.order(1).await;
    let open = "order_units where state not in ('LOST', 'DONE', 'REFUNDED')";
    shop.work_until(&worker, async || shop.db.count(open).await == 0).await;
    assert!(unreadable::game_stops(&shop.db.store).await.unwrap().is_empty());
}
