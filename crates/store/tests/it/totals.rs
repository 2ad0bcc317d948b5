//! `catalog_totals` equals a count of the games after any change.

use lockstep_testkit::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Executor as _};

/// One statement on the games numbered 0 to 7.
fn statement() -> impl Strategy<Value = String> {
    let number = 0..8_u8;
    let state = "not in_stock, g2a_stock = not g2a_stock";
    prop_oneof![
        3 => (number.clone(), any::<bool>(), any::<bool>()).prop_map(|(n, in_stock, preorder)| format!(
            "insert into games (title, slug, description, price, image, release_date, in_stock, is_preorder)
             values ('G', 'g{n}', 'd', 1, 'i', now(), {in_stock}, {preorder}) on conflict (slug)
             do update set in_stock = excluded.in_stock, is_preorder = excluded.is_preorder, withdrawn_at = null")),
        1 => number.clone().prop_map(|n| format!(
            "insert into games (title, slug, description, price, image, release_date)
             select 'G', 'g' || i, 'd', 1, 'i', now() from generate_series(0, {n}) i on conflict do nothing")),
        2 => number.clone().prop_map(|n| format!("delete from games where slug = 'g{n}'")),
        2 => number.clone().prop_map(move |n| format!("update games set in_stock = {state} where slug >= 'g{n}' and withdrawn_at is null")),
        1 => number.clone().prop_map(|n| format!("update games set is_preorder = not is_preorder where slug < 'g{n}'")),
        2 => number.clone().prop_map(|n| format!("update games set withdrawn_at = now(), in_stock = false where slug = 'g{n}'")),
        1 => number.clone().prop_map(|n| format!("update games set price = price + 1 where slug <> 'g{n}'")),
        1 => number.prop_map(|n| format!(
            "merge into games g using (values ('g{n}'), ('g8')) s (slug) on g.slug = s.slug
             when matched and g.is_preorder then delete
             when matched then update set is_preorder = true
             when not matched then insert (title, slug, description, price, image, release_date)
                  values ('G', s.slug, 'd', 1, 'i', now())")),
        1 => Just("truncate games cascade".to_owned()),
        1 => Just("savepoint s; delete from games; rollback to s".to_owned()),
    ]
}

#[test]
fn catalog_totals_match_a_count() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let db = runtime.block_on(TestDb::new());
    let transactions = prop::collection::vec((prop::collection::vec(statement(), 1..5), any::<bool>()), 1..6);
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&transactions, |transactions| {
            runtime.block_on(async {
                for (statements, commits) in &transactions {
                    let mut tx = db.sql.begin().await.unwrap();
                    for statement in statements {
                        tx.execute(AssertSqlSafe(statement.clone())).await.unwrap();
                    }
                    if *commits {
                        tx.commit().await.unwrap();
                    } else {
                        tx.rollback().await.unwrap();
                    }
                    let (totals, count): (String, String) = sqlx::query_as(
                        "select (select concat_ws(' ', sum(listed), sum(buyable)) from catalog_totals),
                                concat_ws(' ', count(*), count(*) filter (where in_stock and not is_preorder))
                           from games where withdrawn_at is null",
                    )
                    .fetch_one(&db.sql)
                    .await
                    .unwrap();
                    prop_assert_eq!(totals, count, "listed, buyable");
                }
                Ok(())
            })
        })
        .unwrap();
}
