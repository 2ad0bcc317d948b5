//! No table grows without bound by accident: each has a documented retention or a documented reason, and expired rows
//! are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lockstep_store::retention;
use lockstep_testkit::TestDb;

use crate::world::World;

/// The rows of the table in `docs/operations.md`: by table name, what deletes old rows.
fn stated() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text
        .split_once("\n## Growth: what is kept, and for how long\n")
        .expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let mut stated = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [tables, kept, how] = cells[..] else {
            panic!("three cells: {line}");
        };
        assert!(!kept.is_empty() && !how.is_empty(), "{line}");
        for table in tables.split(", ") {
            let before = stated.insert(table.trim_matches('`').to_owned(), how.to_owned());
            assert!(before.is_none(), "{table} is stated twice");
        }
    }
    stated
}

/// Appends all statements and functions of this crate to `text`.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[tokio::test]
async fn every_table_has_a_documented_retention() {
    let db = TestDb::new().await;
    let tables: BTreeSet<String> = sqlx::query_scalar::<_, String>(
        "select relname::text from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap()
    .into_iter()
    .collect();
    let stated = stated();
    let unstated: Vec<&String> = tables.iter().filter(|table| !stated.contains_key(*table)).collect();
    assert!(
        unstated.is_empty(),
        "docs/operations.md, \"Growth\", does not say how long these are kept: {unstated:?}"
    );
    let gone: Vec<&String> = stated.keys().filter(|table| !tables.contains(*table)).collect();
    assert!(gone.is_empty(), "there are no such tables: {gone:?}");

    // The table names a sweep by its statement, which must exist.
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    for (table, how) in &stated {
        for name in how.split('`').filter(|word| word.starts_with("store.")) {
            let lines = text.lines().filter(|line| line.contains(&format!("-- {name}")));
            assert!(lines.count() > 0, "{table}: no statement is called {name}");
        }
    }
}

#[tokio::test]
async fn reveals_incidents_prices_jobs_and_unpaid_top_ups_expire_on_time() {
    let world = World::new().await;
    let db = &world.db;
    db.execute(&world.fill(
        "insert into key_reveals (game_key_id, user_id, how, at, last_at)
         select {sold_key}, {user}, 'API', t, t from unnest(array[now() - interval '729 days', now() - interval '731 days']) t;
         insert into incidents (kind, order_unit_id, g2a_order_id, detail, created_at, resolved_at) values
            ('KEY_LATE', null, 'old and closed', 'x', now() - interval '366 days', now()),
            ('KEY_LATE', null, 'old', 'x', now() - interval '366 days', null),
            ('KEY_LATE', {unit}, 'old, of a copy under way', 'x', now() - interval '366 days', null),
            ('KEY_LATE', null, 'young', 'x', now() - interval '364 days', now());
         alter table top_ups disable trigger top_ups_touch;
         insert into top_ups (user_id, amount, method, provider, reference, status, updated_at)
         select {user}, 1, 'card', 'test', name, status::payment_status, now() - age
           from (values ('old', 'CANCELLED', interval '181 days'), ('old and told of', 'FAILED', interval '181 days'),
                        ('old and open', 'PENDING', interval '181 days'), ('young', 'FAILED', interval '179 days')) t (name, status, age);
         insert into price_changes (game_id, at, previous_price, price) values
            ({game}, now() - interval '729 days', 1, 2), ({game}, now() - interval '731 days', 1, 2);
         insert into supplier_jobs (id, kind, state, requested_at, finished_at) values
            (gen_random_uuid(), 'FULL', 'COMPLETED', now() - interval '91 days', now()),
            (gen_random_uuid(), 'FULL', 'WAITING', now() - interval '91 days', null),
            (gen_random_uuid(), 'FULL', 'FAILED', now() - interval '89 days', now());
         insert into verifications (id, began_at, ended_at, outcome)
         select gen_random_uuid(), t, t, 'HOLDS' from unnest(array[now() - interval '89 days', now() - interval '91 days']) t;
         insert into scheduled_changes (id, game_id, field, value, starts_at, state, finished_at)
         select gen_random_uuid(), {game}, 'VISIBLE', true, t, 'DONE', t
           from unnest(array[now() - interval '729 days', now() - interval '731 days']) t;
         insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at, state, before) values
            (gen_random_uuid(), {game}, 'VISIBLE', true, now() - interval '731 days', now() + interval '1 day', 'ACTIVE', '{}');
         insert into price_jobs (id, version, state, requested_at, finished_at) values
            (gen_random_uuid(), 1, 'COMPLETED', now() - interval '731 days', now()),
            (gen_random_uuid(), 2, 'OPEN', now() - interval '731 days', null);
         insert into bulk_changes (id, kind, as_of, created_at)
         select gen_random_uuid(), 'HIDE', now(), t from unnest(array[now() - interval '23 hours', now() - interval '25 hours']) t;
         insert into bulk_change_games (bulk_id, game_id, price_before) select id, {game}, 1 from bulk_changes;
         insert into supplier_calls (process, is_worker, seen_at) values
            (gen_random_uuid(), true, now() - interval '8 days'), (gen_random_uuid(), true, now() - interval '6 days');
         insert into impersonations (id, staff_id, user_id, reason, began_at, expires_at, ended_at)
         select gen_random_uuid(), {other_user}, {user}, 'r', t, t + interval '1 minute', t
           from unnest(array[now() - interval '364 days', now() - interval '366 days']) t;
         insert into payment_events (provider, event_id, kind, top_up_id, outcome)
         select 'test', 'e', 'k', id, 'nothing' from top_ups where reference = 'old and told of'",
    ))
    .await;
    let before = db.count("key_reveals").await;
    assert_eq!(
        retention::sweep(&db.store).await.unwrap(),
        1 + 2 + 1 + 1 + 1 + 1 + 1 + 2 + 1 + 1 + 1
    );
    assert_eq!(retention::sweep(&db.store).await.unwrap(), 0);
    assert_eq!(db.count("key_reveals").await, before - 1);
    assert_eq!(
        (db.count("price_changes").await, db.count("verifications").await),
        (1, 1)
    );
    assert_eq!(
        (db.count("bulk_changes").await, db.count("bulk_change_games").await),
        (1, 1)
    );
    assert_eq!(
        (db.count("scheduled_changes").await, db.count("price_jobs").await),
        (2, 1)
    );
    assert_eq!(
        (db.count("supplier_jobs").await, db.count("supplier_calls").await),
        (2, 1)
    );
    let names = async |question: &'static str| -> Vec<String> {
        sqlx::query_scalar(question).fetch_all(&db.sql).await.unwrap()
    };
    assert_eq!(
        names("select g2a_order_id from incidents where detail = 'x' order by 1").await,
        ["old, of a copy under way", "young"]
    );
    assert_eq!(
        names("select reference from top_ups where updated_at < now() - interval '170 days' order by 1").await,
        ["old and open", "old and told of", "young"]
    );
}

/// Repeated sweeps delete everything that has expired, however much there is.
#[tokio::test]
async fn ten_sweeps_delete_ten_thousand_old_reveals() {
    let world = World::new().await;
    let db = &world.db;
    db.execute(&world.fill(
        "insert into key_reveals (game_key_id, user_id, how, at, last_at)
         select {sold_key}, {user}, 'API', t, t
           from generate_series(1, 10000) n, lateral (select now() - interval '800 days' - n * interval '1 minute' as t) _",
    ))
    .await;
    let mut calls = 0;
    while retention::sweep(&db.store).await.unwrap() > 0 {
        calls += 1;
        assert!(calls <= 10, "each takes a thousand");
    }
    assert_eq!(db.count("key_reveals where at < now() - interval '799 days'").await, 0);
}
