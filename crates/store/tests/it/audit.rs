//! The chain of the audit log.

use std::fmt::Write as _;

use lockstep_store::audit::chain::{self, Fault, Head};
use lockstep_testkit::TestDb;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Writes an entry in a transaction of its own and returns its id.
async fn write(db: &TestDb, details: &str) -> Uuid {
    sqlx::query_scalar(
        "insert into audit_log (action, subject_kind, subject_id, details)
         values ('order.refund', 'order', gen_random_uuid(), $1::text::jsonb) returning id",
    )
    .bind(details)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

async fn faults(db: &TestDb, expected: Option<Head>) -> Vec<Fault> {
    chain::verify(&db.store, expected).await.unwrap().faults
}

/// What a superuser does who disables the triggers.
async fn tamper(db: &TestDb, change: &str) {
    db.execute(&format!(
        "begin; set local session_replication_role = replica; {change}; commit"
    ))
    .await;
}

#[tokio::test]
async fn every_kind_of_entry_has_the_digest_that_is_computed_for_it() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    assert_eq!(faults(&db, None).await, []);
    for details in [
        "{}",
        r#"{"reason": "Zeile 1\nZeile 2\t\"quoted\" \\ \u0001 Žižek 🦔", "amount": 12.340, "b": null, "a": [1, {"x": 1e30}]}"#,
        "\"only a text\"",
    ] {
        write(&db, details).await;
    }
    db.execute(&format!(
        "insert into audit_log (admin_id, action, subject_kind, subject_id, at)
         values ('{user}', 'user.role', E'two\nlines', '{user}', '1969-12-31 23:59:59.999999Z'),
                ('{user}', 'user.role', '', '{user}', '9999-12-31Z')"
    ))
    .await;
    let checked = chain::verify(&db.store, None).await.unwrap();
    assert_eq!((checked.faults, checked.head.position), (vec![], 5));
    let entries = chain::export(&db.store, 2).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.position).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert_eq!(entries[1].previous, entries[0].digest);
    // Whoever has the export can compute it again.
    for entry in &entries {
        let mut hash = Sha256::new();
        let previous = (0..32).map(|byte| u8::from_str_radix(&entry.previous[byte * 2..byte * 2 + 2], 16).unwrap());
        hash.update(previous.collect::<Vec<u8>>());
        hash.update(&entry.content);
        let mut digest = String::new();
        for byte in hash.finalize() {
            write!(digest, "{byte:02x}").unwrap();
        }
        assert_eq!(digest, entry.digest);
    }
    assert_eq!(format!("5:{}", entries[2].digest), checked.head.to_string());
}

#[tokio::test]
async fn changed_removed_and_inserted_rows_are_named() {
    let db = TestDb::new().await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(write(&db, &format!("{{\"number\": {number}}}")).await);
    }
    let (id, position) = (ids[2], 3);
    for (change, undo, found) in [
        (
            format!("update audit_log set details = '{{}}' where id = '{id}'"),
            format!("update audit_log set details = '{{\"number\": 3}}' where id = '{id}'"),
            vec![Fault::Changed { position, entry: id }],
        ),
        (
            format!("update audit_log set at = at + interval '1 microsecond' where id = '{id}'"),
            format!("update audit_log set at = at - interval '1 microsecond' where id = '{id}'"),
            vec![Fault::Changed { position, entry: id }],
        ),
        (
            format!(
                "create table gone as select * from audit_log where id = '{id}'; delete from audit_log where id = '{id}'"
            ),
            "insert into audit_log select * from gone; drop table gone".to_owned(),
            vec![Fault::Removed { position, entry: id }],
        ),
        (
            "create table gone as select * from audit_chain where position in (3, 4);
             delete from audit_chain where position in (3, 4)"
                .to_owned(),
            "insert into audit_chain select * from gone; drop table gone".to_owned(),
            vec![
                Fault::Gap { from: 3, to: 4 },
                Fault::Outside { entry: ids[2] },
                Fault::Outside { entry: ids[3] },
            ],
        ),
        // Its digest is computed anew as well: then the next one does not follow.
        (
            format!(
                "update audit_log set details = '{{}}' where id = '{id}';
                 update audit_chain c set digest = audit_digest(c.position, l, c.previous)
                   from audit_log l where l.id = c.entry_id and c.position = 3"
            ),
            format!(
                "update audit_log set details = '{{\"number\": 3}}' where id = '{id}';
                 update audit_chain c set digest = audit_digest(c.position, l, c.previous)
                   from audit_log l where l.id = c.entry_id and c.position = 3"
            ),
            vec![Fault::Unlinked {
                position: 4,
                entry: ids[3],
            }],
        ),
    ] {
        tamper(&db, &change).await;
        assert_eq!(faults(&db, None).await, found, "{change}");
        tamper(&db, &undo).await;
        assert_eq!(faults(&db, None).await, [], "{undo}");
    }
    let past = Uuid::from_u128(7);
    tamper(
        &db,
        &format!("insert into audit_log (id, action, subject_kind, subject_id) values ('{past}', 'order.refund', 'order', '{past}')"),
    )
    .await;
    assert_eq!(faults(&db, None).await, [Fault::Outside { entry: past }]);
}

#[tokio::test]
async fn an_older_head_finds_a_cut_end_and_a_chain_that_was_computed_anew() {
    let db = TestDb::new().await;
    for _ in 0..3 {
        write(&db, "{}").await;
    }
    let head = chain::verify(&db.store, None).await.unwrap().head;
    write(&db, "{}").await;
    assert_eq!(faults(&db, Some(head)).await, []);
    tamper(
        &db,
        "create table cut as select entry_id from audit_chain where position >= 3;
         delete from audit_chain where position >= 3; delete from audit_log where id in (select entry_id from cut)",
    )
    .await;
    assert_eq!(faults(&db, None).await, [], "nothing else shows it");
    assert_eq!(faults(&db, Some(head)).await, [Fault::OtherChain { expected: head }]);
    write(&db, "{}").await;
    assert_eq!(faults(&db, Some(head)).await, [Fault::OtherChain { expected: head }]);
}

/// Many transactions write at once, some of several entries, some of which roll back; the chain has no gap and no fork.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_make_one_chain() {
    let db = TestDb::new().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..24_usize {
        let pool = db.sql.clone();
        writers.spawn(async move {
            for round in 0..10_usize {
                let mut tx = pool.begin().await.unwrap();
                for _ in 0..=(writer + round) % 3 {
                    sqlx::query("insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'order', gen_random_uuid())")
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                }
                if (writer + round) % 5 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let checked = chain::verify(&db.store, None).await.unwrap();
    assert_eq!(checked.faults, []);
    assert_eq!(db.count("audit_log").await, checked.head.position);
    assert!(checked.head.position > 240, "{}", checked.head.position);
}

/// An entry in a transaction that goes on does not keep others from theirs.
#[tokio::test]
async fn an_open_transaction_with_an_entry_holds_nobody_up() {
    let db = TestDb::new().await;
    let mut open = db.sql.begin().await.unwrap();
    sqlx::query(
        "insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'order', gen_random_uuid())",
    )
    .execute(&mut *open)
    .await
    .unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(30), write(&db, "{}"))
        .await
        .expect("it waits for nobody");
    open.commit().await.unwrap();
    assert_eq!(faults(&db, None).await, []);
    assert_eq!(db.count("audit_chain").await, 2);
}
