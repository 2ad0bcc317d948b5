//! Keys of the shop's own stock: each is sold once, and nothing is bought while there are any.

use std::collections::BTreeSet;

use lockstep_domain::ids::{GameId, KeyId, UserId};
use lockstep_fulfilment::Fulfilment;
use lockstep_store::admin::key_import::{GameRef, ImportedKey, KeyImport, Refusals};
use lockstep_store::audit::By;
use lockstep_store::fulfilment::keys::{HASH, place};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::support::{Shop, keys};

/// Imports keys as staff do.
async fn import(shop: &Shop, game: Uuid, texts: impl Iterator<Item = String>) {
    let mut import = KeyImport::begin(&shop.db.store).await.unwrap();
    for (line, text) in (1..).zip(texts) {
        let id = KeyId(Uuid::now_v7());
        let key = ImportedKey {
            line,
            game: GameRef::Id(GameId(game)),
            id,
            sealed: keys().seal(&place(id), text.as_bytes()),
            hashes: keys().hashes(HASH, &[text.as_bytes()]).collect(),
            cost: None,
        };
        import.add(&key).await.unwrap();
    }
    let by = By::Staff(UserId(shop.user));
    let done = import.finish(&by, false, Refusals::default()).await.unwrap();
    assert_eq!(done.refused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_keys_are_sold_once_each_before_anything_is_bought() {
    let shop = Shop::open().await;
    import(&shop, shop.game, (0..24).map(|n| format!("OWN-{n:04}"))).await;
    let mut orders = Vec::new();
    for n in 0..24 {
        let user = shop.db.user(&format!("buyer-{n}@example.org"), "50.00").await;
        orders.push(shop.db.order(user, shop.game, 1).await);
    }
    // Four machines with a spool of their own each.
    let workers: Vec<Fulfilment> = (0..4)
        .map(|n| {
            let spool = shop.folder.path().join(format!("spool-{n}"));
            Fulfilment::open(
                shop.db.store.clone(),
                shop.client(),
                keys(),
                &spool,
                shop.settings.clone(),
            )
            .unwrap()
        })
        .collect();
    let [one, two, three, four] = &workers[..] else {
        unreachable!()
    };
    let drained = tokio::join!(one.drain(), two.drain(), three.drain(), four.drain());
    for claimed in [drained.0, drained.1, drained.2, drained.3] {
        claimed.unwrap();
    }
    shop.settle(&workers[0]).await;
    assert!(shop.g2a.ledger().orders.is_empty(), "nothing was bought");
    let sold: Vec<Uuid> = sqlx::query_scalar("select order_id from game_keys where order_id is not null")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    let buyers: BTreeSet<Uuid> = orders.iter().map(|order| order.id).collect();
    assert_eq!(sold.len(), 24);
    assert_eq!(sold.into_iter().collect::<BTreeSet<_>>(), buyers);
    // The next one is bought.
    let last = shop.order(1).await;
    shop.settle(&workers[0]).await;
    assert_eq!(shop.status(&last).await, "COMPLETED");
    assert_eq!(shop.g2a.ledger().orders.len(), 1);
    shop.check_books().await;
}

/// The last key is locked by somebody who edits it: it is waited for, not taken for sold out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_key_is_not_sold_out() {
    let shop = Shop::open().await;
    let own = shop.db.game("Myst", "myst", "5.00").await;
    let key = shop.db.key(own).await;
    let order = shop.db.order(shop.user, own, 1).await;
    let mut editor = sqlx::PgConnection::connect(shop.db.url()).await.unwrap();
    let mut edit = editor.begin().await.unwrap();
    sqlx::query("select from game_keys where id = $1 for update")
        .bind(key)
        .execute(&mut *edit)
        .await
        .unwrap();
    let worker = shop.worker();
    let selling = {
        let worker = worker.clone();
        tokio::spawn(async move { worker.drain().await })
    };
    shop.until("the sale waits for the key or has ended", async || {
        let waits = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        selling.is_finished() || shop.db.count(waits).await > 0
    })
    .await;
    edit.commit().await.unwrap();
    selling.await.unwrap().unwrap();
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.reasons().await, [] as [String; 0]);
    shop.check_books().await;
}
