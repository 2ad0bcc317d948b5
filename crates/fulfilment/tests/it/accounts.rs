//! Accounts at G2A that change while copies are being bought.

use lockstep_domain::Secret;
use lockstep_domain::admin::account_mark;
use lockstep_fulfilment::Fulfilment;
use lockstep_g2a::Auth;

use crate::support::{Shop, keys};

#[tokio::test]
async fn a_copy_is_paid_and_fetched_with_the_account_that_ordered_it() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    let client = shop.client();
    let folder = shop.folder.path().join("spool");
    let worker = Fulfilment::open(
        shop.db.store.clone(),
        client.clone(),
        keys(),
        &folder,
        shop.settings.clone(),
    )
    .unwrap();
    // Payments stop after the order is placed at G2A.
    shop.execute("create function hold() returns trigger language plpgsql as $$ begin new.not_before := now() + interval '1 hour'; return new; end $$;
                  create trigger hold before update on order_units for each row when (new.state = 'ORDERED') execute function hold();
                  create function hold_pay() returns trigger language plpgsql as $$ begin raise exception 'held'; end $$;
                  create trigger hold_pay before update on order_units for each row when (old.state = 'ORDERED' and new.state = 'PAYING') execute function hold_pay()")
        .await;
    shop.until("the order is placed", async || {
        // The step that pays fails in the database.
        let _held = worker.drain().await;
        shop.states().await == ["ORDERED"]
    })
    .await;
    let ours = shop.sandbox.credentials();
    let account: String = sqlx::query_scalar("select g2a_account from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(account, account_mark(&ours.hash));

    // Another account comes into use, which this sandbox does not know.
    let other = Auth::Hash {
        api_hash: Secret::new("another-account"),
        email: "other@example.org".into(),
        secret: Secret::new("another-secret"),
    };
    let former = Auth::Hash {
        api_hash: Secret::new(ours.hash.clone()),
        email: ours.email.clone(),
        secret: Secret::new(ours.secret.clone()),
    };
    // Without the former one's credentials the copy waits for them: the other account is not asked about its order.
    client.set_accounts(Some(&other), &[]).unwrap();
    let calls = client.calls();
    shop.execute("drop trigger hold on order_units; drop trigger hold_pay on order_units; update order_units set not_before = now()")
        .await;
    shop.work_until(&worker, async || shop.incidents().await == ["SUPPLIER_ACCOUNT"])
        .await;
    assert_eq!(shop.states().await, ["ORDERED"]);
    assert_eq!(client.calls(), calls);
    // With credentials that G2A refuses it waits too, and others are bought meanwhile.
    let wrong = Auth::Hash {
        api_hash: Secret::new(ours.hash.clone()),
        email: ours.email.clone(),
        secret: Secret::new("wrong"),
    };
    client.set_accounts(Some(&other), &[wrong]).unwrap();
    shop.execute("update order_units set not_before = now()").await;
    let is_refused = |(_, why): &(String, Option<String>)| why.as_ref().is_some_and(|why| why.contains("refused pay"));
    shop.work_until(&worker, async || shop.units().await.iter().all(is_refused))
        .await;
    assert_eq!(shop.states().await, ["ORDERED"]);
    assert_eq!(shop.db.count("supplier_alarms").await, 0);
    client
        .set_accounts(Some(&other), std::slice::from_ref(&former))
        .unwrap();
    shop.execute("update order_units set not_before = now()").await;
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let ledger = shop.check_books().await;
    assert_eq!((ledger.orders.len(), ledger.keys_delivered), (1, 1));
    assert_eq!(shop.db.count("incidents where resolved_at is null").await, 0);

    // The next copy is ordered with the new account; refused, it waits with an alarm, and goes on with one that G2A knows.
    let next = shop.order(1).await;
    shop.work_until(&worker, async || shop.db.count("supplier_alarms").await == 1)
        .await;
    client.set_accounts(None, &[]).unwrap();
    shop.execute("update order_units set not_before = now(); delete from supplier_alarms")
        .await;
    shop.work_until(&worker, async || shop.db.count("supplier_alarms").await == 1)
        .await;
    client.set_accounts(Some(&former), &[]).unwrap();
    shop.settle(&worker).await;
    assert_eq!(shop.status(&next).await, "COMPLETED");
    assert_eq!(shop.check_books().await.keys_delivered, 2);
}
