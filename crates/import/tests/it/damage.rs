//! Each damage is found, with its amount, and nothing else is; and the books hold whatever was wrong.

use lockstep_store::fulfilment::{claim, events};
use lockstep_testkit::{TestDb, secrets, sqlx};

use crate::support::{books, damaged, dry_run, found, import, rows};

#[tokio::test]
async fn each_damage_is_found_with_its_amount_and_nothing_else_is() {
    let (from, to) = (damaged().await, TestDb::new().await);
    to.execute(
        "insert into games (id, title, slug, description, price, image, release_date, g2a_product_id, supplier_price, in_stock, g2a_stock)
         values ('00000000-0000-4000-8000-0000000000f1', 'Synced', 'synced', '', 12, '', '2020-01-01', '7001', 11.5, true, true)",
    )
    .await;
    let report = import(&from, &to, &[]).await;
    for (kind, expected) in [
        (
            "refund_lost",
            vec![("o-cancelled", Some("10.00")), ("o-lost", Some("10.00"))],
        ),
        ("keys_missing", vec![("o-missing", Some("10.00"))]),
        ("paid_stuck", vec![("o-stuck", Some("10.00"))]),
        ("order_open", vec![("o-young", Some("10.00"))]),
        ("g2a_ids_joined", vec![("o-done", None), ("o-missing", None)]),
        ("g2a_id_orphan", vec![("o-missing", None)]),
        (
            "balance_differs",
            vec![
                ("u-again", Some("20.00")),
                ("u-less", Some("-6.00")),
                ("u-unbooked", Some("7.00")),
            ],
        ),
        (
            "double_credit",
            vec![("t-again", Some("20.00")), ("t-hash-2", Some("10.00"))],
        ),
        ("credit_unbooked", vec![("u-unbooked", Some("7.00"))]),
        ("balance_negative", vec![("u-negative", Some("-5.00"))]),
        (
            "promo_overrun",
            vec![("p-counter", Some("0.00")), ("p-orders", Some("1.00"))],
        ),
        ("key_twice", vec![("k5", Some("10.00"))]),
        ("key_duplicate", vec![("k9", None)]),
        (
            "price_below_cost",
            vec![("00000000-0000-4000-8000-000000000011", Some("1.50"))],
        ),
        ("g2a_product_twice", vec![("g-later", None)]),
        ("email_collision", vec![("u-collides", None)]),
        ("order_unpaid", vec![("o-unpaid", Some("10.00"))]),
        ("order_impossible", vec![("o-nothing", Some("10.00"))]),
        ("purchase_fabricated", vec![("o-fake", Some("5.00"))]),
        ("address_invalid", vec![("u-no-address", None)]),
        ("key_unreadable", vec![("k11", None)]),
        ("price_impossible", vec![("g-free", None)]),
        ("slug_changed", vec![("g-later", None)]),
        ("game_matched", vec![("00000000-0000-4000-8000-000000000011", None)]),
    ] {
        assert_eq!(found(&report, kind), expected, "{kind}");
    }
    for (name, table) in &report.tables {
        assert_eq!(table.rows, table.taken + table.duplicates + table.refused, "{name}");
    }
    let users = report.tables["users"];
    assert_eq!(
        (users.rows, users.taken, users.refused),
        (13, 12, 1),
        "the guest who is gone is left out"
    );
}

#[tokio::test]
async fn what_was_brought_keeps_the_rules_of_the_books() {
    let (from, to) = (damaged().await, TestDb::new().await);
    to.keep_own_stock().await;
    import(&from, &to, &[]).await;
    assert_eq!(books(&to).await, Vec::<String>::new());
    assert_eq!(
        rows(
            &to,
            "select row from (select case when email like 'moved-%' then 'moved' else email end || ' ' || balance as row
                                from users where role = 'USER') u order by row collate \"C\""
        )
        .await,
        [
            "\"odd one\"@shop.example 0.00",
            "adjusted@shop.example 7.34",
            "again@shop.example 30.00",
            "anna@shop.example 12.50",
            "hash@shop.example 20.00",
            "less@shop.example 4.00",
            "moved 0.00",
            "moved 3.00",
            "negative@shop.example 0.00",
            "unbooked@shop.example 17.00",
        ]
    );
    assert_eq!(
        rows(
            &to,
            "select r.foreign_id || ' ' || o.status || ' ' || string_agg(u.state || coalesce(' (' || u.last_error || ')', ''), ', ' order by u.position)
               from orders o join import_rows r on r.own_id = o.id and r.kind = 'order' join order_units u on u.order_id = o.id
              group by r.foreign_id, o.status order by 1"
        )
        .await,
        [
            "o-cancelled PROCESSING NEW (import: refund_lost)",
            "o-done COMPLETED DONE, DONE",
            "o-fake COMPLETED DONE",
            "o-lost PROCESSING NEW (import: refund_lost)",
            "o-missing PROCESSING DONE, NEW (import: keys_missing)",
            "o-refunded FAILED REFUNDED",
            "o-replaced COMPLETED DONE",
            "o-second COMPLETED DONE",
            "o-stuck PROCESSING NEW (import: paid_stuck)",
            "o-twice PROCESSING NEW (import: key_twice)",
            "o-young PROCESSING NEW (import: order_open)",
        ]
    );
    assert_eq!(
        rows(
            &to,
            "select code || ' ' || used_count || '/' || coalesce(max_uses, 0) from promo_codes order by 1"
        )
        .await,
        ["COUNTER 3/3", "FINE 1/100", "ORDERS-10 2/2"]
    );
    assert_eq!(
        rows(&to, "select row from (select title || ' ' || in_stock || ' ' || coalesce(g2a_product_id, '-') as row from games) g order by row collate \"C\"").await,
        [
            "Harbour Lights GOTY false -",
            "Harbour Lights true 7001",
            "Own Stock true -",
            "Priced At Nothing false -"
        ]
    );
    assert_eq!(
        rows(&to, "select quantity::text from cart_items order by 1").await,
        ["1", "2"]
    );
    assert_eq!(
        rows(&to, "select host(address) from login_history").await,
        ["198.51.100.9"]
    );
    assert_eq!(rows(&to, "select content from blog_articles").await, ["<h2>Hello</h2>"]);
    assert_eq!(
        rows(
            &to,
            "select (is_active or passed_at is not null)::text from email_settings"
        )
        .await,
        ["false"]
    );
}

#[tokio::test]
async fn keys_are_sealed_at_once_and_open_for_their_row() {
    let (from, to) = (damaged().await, TestDb::new().await);
    import(&from, &to, &[]).await;
    let keys: Vec<(uuid::Uuid, Vec<u8>, String)> = sqlx::query_as(
        "select k.id, k.key_ciphertext, r.foreign_id from game_keys k join import_rows r on r.own_id = k.id and r.kind = 'key'",
    )
    .fetch_all(&to.sql)
    .await
    .unwrap();
    let mut texts: Vec<(String, String)> = (keys.into_iter())
        .map(|(id, sealed, foreign)| {
            let place = lockstep_store::fulfilment::keys::place(lockstep_domain::ids::KeyId(id));
            (
                foreign,
                String::from_utf8(secrets().open(&place, &sealed).unwrap()).unwrap(),
            )
        })
        .collect();
    texts.sort();
    assert_eq!(texts.len(), 8, "{texts:?}");
    assert_eq!(texts[0], ("k1".into(), "AAAA-BBBB-0001".into()));
    // The replaced key stays known as that unit's.
    assert_eq!(
        rows(&to, "select r.foreign_id from game_keys k join import_rows r on r.own_id = k.id where k.faulty_unit_id is not null").await,
        ["k6"]
    );
    assert_eq!(
        rows(
            &to,
            "select r.foreign_id from game_keys k join import_rows r on r.own_id = k.id
                    where k.order_unit_id is null and not k.activated"
        )
        .await,
        ["k8"],
        "only this one can be sold"
    );
}

#[tokio::test]
async fn settling_books_what_the_report_proposes_once() {
    let (from, to) = (damaged().await, TestDb::new().await);
    to.keep_own_stock().await;
    import(&from, &to, &[]).await;
    for _ in 0..2 {
        import(&from, &to, &["refund_lost", "keys_missing", "paid_stuck"]).await;
        assert_eq!(
            rows(&to, "select balance::text from users where email = 'anna@shop.example'").await,
            ["52.50"]
        );
    }
    assert_eq!(
        rows(
            &to,
            "select count(*)::text from audit_log where action = 'import.settle'"
        )
        .await,
        ["4"]
    );
    assert_eq!(
        rows(
            &to,
            "select r.foreign_id || ' ' || o.status from orders o join import_rows r on r.own_id = o.id
              where r.kind = 'order' and r.foreign_id in ('o-lost', 'o-missing', 'o-stuck', 'o-twice') order by 1"
        )
        .await,
        [
            "o-lost FAILED",
            "o-missing COMPLETED",
            "o-stuck FAILED",
            "o-twice PROCESSING"
        ]
    );
    assert_eq!(books(&to).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_dry_run_finds_the_same_and_a_database_of_something_else_is_refused() {
    let (from, to) = (damaged().await, TestDb::new().await);
    let dry = dry_run(from.url()).await.unwrap();
    let real = import(&from, &to, &[]).await;
    for kind in [
        "refund_lost",
        "keys_missing",
        "paid_stuck",
        "double_credit",
        "email_collision",
        "order_impossible",
        "key_twice",
    ] {
        assert_eq!(found(&dry, kind), found(&real, kind), "{kind}");
    }
    assert_eq!(dry.run, None);
    assert_eq!(dry.tables["orders"], real.tables["orders"]);
    assert_eq!(dry.tables["game_keys"], real.tables["game_keys"]);
    let other = TestDb::empty().await;
    other.execute("create table users (id text, email text)").await;
    let why = dry_run(other.url()).await.unwrap_err().to_string();
    assert!(
        why.contains("users.\"passwordHash\"") && why.contains("the table orders"),
        "{why}"
    );
}

#[tokio::test]
async fn a_database_that_stopped_half_way_through_its_migrations_is_brought_without_what_it_lacks() {
    let (from, to) = (damaged().await, TestDb::new().await);
    from.execute(
        "alter table orders drop column \"externalOrderId\"; drop table sessions, faqs, login_history, g2a_settings, email_settings",
    )
    .await;
    let report = import(&from, &to, &[]).await;
    assert_eq!(found(&report, "g2a_ids_joined"), []);
    assert_eq!(report.tables["orders"].taken, 11);
}

#[tokio::test]
async fn nothing_of_an_imported_order_is_bought_by_itself() {
    let (from, to) = (damaged().await, TestDb::new().await);
    import(&from, &to, &[]).await;
    // A webhook of G2A about the order makes due what waits, except what staff decide about.
    to.execute(
        "insert into webhook_events (source, event_id, order_ref, kind, payload, order_uuid, due)
         select 'g2a', 'e' || foreign_id, foreign_id, 'order', '{}', own_id, true from import_rows where kind = 'order'",
    )
    .await;
    while events::apply_due(&to.store).await.unwrap() > 0 {}
    let lease = std::time::Duration::from_mins(1);
    let claimed = claim(&to.store, uuid::Uuid::new_v4(), 100, lease, &[]).await.unwrap();
    assert!(claimed.is_empty(), "{} unit(s) would be bought", claimed.len());
    assert_eq!(
        rows(&to, "select count(*)::text from order_units where state = 'NEW'").await,
        ["6"]
    );
}
