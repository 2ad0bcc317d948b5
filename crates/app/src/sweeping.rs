//! Deletes expired rows, so that no table grows without bound: every few minutes, until none are left.
//!
//! The kinds take turns, a small statement at a time and with pauses, so that a backlog of one kind neither delays the
//! others nor occupies the database at the shoppers' expense. Any number of processes may do it at once.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use lockstep_store::clock::ClockWatch;
use lockstep_store::{Result, SWEEP, Store, accounts, deliveries, fulfilment, guests, idempotency, limits, mail};
use lockstep_store::{retention, sessions, stock_alerts, top_ups};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Interval between two sweeps.
const EVERY: Duration = Duration::from_mins(5);

/// Minimum pause after a statement; otherwise the pause is as long as the statement took.
const PAUSE: Duration = Duration::from_millis(10);

type Swept<'a> = Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>>;

/// A kind of rows that expire.
struct Kind {
    /// Its name in the log.
    name: &'static str,
    /// Deletes at most [`SWEEP`] of them; returns the number.
    sweep: fn(&Store) -> Swept<'_>,
}

macro_rules! kinds {
    ($($name:literal: $sweep:path,)*) => {
        &[$(Kind { name: $name, sweep: |store| Box::pin($sweep(store)) }),*]
    };
}

const KINDS: &[Kind] = kinds! {
    "guests": guests::sweep,
    "sessions": sessions::sweep,
    "codes": accounts::sweep_codes,
    "log-ins": accounts::sweep_logins,
    "attempts on unknown accounts": accounts::sweep_attempts,
    "rate limits": limits::sweep,
    "e-mails": mail::sweep,
    "webhook events": fulfilment::events::sweep,
    "payment events": top_ups::sweep,
    "deliveries without effect": deliveries::sweep,
    "idempotency keys": idempotency::sweep,
    "stock alerts": stock_alerts::sweep,
    "records": retention::sweep,
};

/// Sweeps periodically until `stop` is cancelled.
pub(crate) async fn keep(store: Store, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let clock = ClockWatch::default();
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        // After a clock step, rows may only appear to be expired. The next sweep sees a steady clock.
        let Some(observed) = stop.run_until_cancelled(clock.look(&store)).await else {
            return;
        };
        match observed {
            Ok(None) => {}
            Ok(Some(step)) => {
                tracing::warn!(
                    ?step,
                    "the database's clock was set: no expired rows are deleted for {} s",
                    EVERY.as_secs()
                );
                continue;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not delete expired rows"
                );
                continue;
            }
        }
        stop.run_until_cancelled(until_done(&store, KINDS)).await;
    }
}

/// Sweeps in turns until every kind has no expired rows left or has failed.
async fn until_done(store: &Store, kinds: &[Kind]) {
    let mut left: Vec<(&Kind, u64)> = kinds.iter().map(|kind| (kind, 0)).collect();
    while !left.is_empty() {
        let mut next = Vec::with_capacity(left.len());
        for (kind, before) in left {
            let began = Instant::now();
            match (kind.sweep)(store).await {
                Ok(count) if count >= u64::from(SWEEP) => next.push((kind, before + count)),
                Ok(count) => {
                    if before + count > 0 {
                        tracing::debug!(count = before + count, "deleted {} {}", before + count, kind.name);
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not delete old {}; it is retried",
                    kind.name
                ),
            }
            tokio::time::sleep(began.elapsed().max(PAUSE)).await;
        }
        left = next;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use lockstep_testkit::TestDb;

    use super::*;

    /// Ten thousand expired rows of each kind and ten current ones: the tables, and the statements that fill them.
    const RUN_OUT: &[(&str, &str)] = &[
        (
            "guest_sessions",
            "insert into guest_sessions (last_used_at, expires_at)
             select now() - interval '2 days', now() + case when n <= 10 then interval '1 day' else interval '-1 hour' end
               from generate_series(1, 10010) n",
        ),
        (
            "user_sessions",
            "insert into user_sessions (id, user_id, created_at, expires_at, refresh_id)
             select gen_random_uuid(), (select id from users), now() - interval '40 days',
                    now() + case when n <= 10 then interval '1 day' else interval '-1 hour' end, gen_random_uuid()
               from generate_series(1, 10010) n",
        ),
        (
            "one_time_codes",
            "insert into one_time_codes (user_id, purpose, hash, email, created_at, expires_at)
             select (select id from users), 'VERIFY_EMAIL', sha256(n::text::bytea), 'ada@example.org', now() - interval '2 days',
                    now() + case when n <= 10 then interval '1 day' else interval '-1 hour' end
               from generate_series(1, 10010) n",
        ),
        (
            "login_history where user_id is not null",
            "insert into login_history (user_id, succeeded, created_at)
             select (select id from users), true, now() - case when n <= 10 then interval '30 days' else interval '200 days' end
               from generate_series(1, 10010) n",
        ),
        (
            "login_history where user_id is null",
            "insert into login_history (succeeded, created_at)
             select false, now() - case when n <= 10 then interval '6 days' else interval '8 days' end
               from generate_series(1, 10010) n",
        ),
        (
            "rate_limits",
            "insert into rate_limits (key, debt)
             select 'k' || n, now() + case when n <= 10 then interval '1 day' else interval '-1 hour' end
               from generate_series(1, 10010) n",
        ),
        (
            "mail_outbox",
            "insert into mail_outbox (user_id, recipient, kind, not_after, sent_at, created_at)
             select (select id from users), 'ada@example.org', 'welcome', now(), now() - interval '29 days',
                    now() - case when n <= 10 then interval '29 days' else interval '31 days' end
               from generate_series(1, 10010) n",
        ),
        (
            "webhook_events",
            "insert into webhook_events (source, event_id, order_ref, kind, payload, received_at)
             select 'g2a', 'e' || n, 'o' || n, 'k', '{}', now() - case when n <= 10 then interval '29 days' else interval '31 days' end
               from generate_series(1, 10010) n",
        ),
        (
            "payment_events",
            "insert into payment_events (provider, event_id, kind, top_up_id, outcome, received_at)
             select 'test', 'e' || n, 'k', (select id from top_ups), 'nothing',
                    now() - case when n <= 10 then interval '80 days' else interval '91 days' end
               from generate_series(1, 10010) n",
        ),
        (
            "idempotency_keys",
            "insert into idempotency_keys (owner, route, key, request_hash, answer, at)
             select (select id from users), 'r', n::text, sha256('x'), 'null',
                    now() - case when n <= 10 then interval '1 hour' else interval '25 hours' end
               from generate_series(1, 10010) n",
        ),
    ];

    #[tokio::test]
    async fn one_sweep_deletes_all_expired_rows_and_no_others() {
        let db = TestDb::new().await;
        let user = db.user("ada@example.org", "0").await;
        db.execute(&format!(
            "insert into top_ups (user_id, amount, method, provider, reference) values ('{user}', 1, 'card', 'test', 'r')"
        ))
        .await;
        for (_, fill) in RUN_OUT {
            db.execute(fill).await;
        }
        // Each user who waited for a game that is back is due an e-mail: no trigger saw the game come back.
        db.execute(
            "insert into games (title, slug, description, price, image, release_date, in_stock)
             select 'G', 'g' || n, '', 1, 'i', now(), true from generate_series(1, 10010) n;
             insert into stock_alerts (user_id, game_id)
             select (select id from users where email = 'ada@example.org'), id from games;
             update games set in_stock = false where right(slug, 4) in ('0001', '0002', '0003')",
        )
        .await;
        let out_of_stock = db.count("games where not in_stock").await;

        until_done(&db.store, KINDS).await;

        for (table, _) in RUN_OUT {
            if !table.starts_with("mail_outbox") {
                assert_eq!(db.count(table).await, 10, "{table}");
            }
        }
        assert_eq!(db.count("stock_alerts").await, out_of_stock);
        assert_eq!(db.count("mail_outbox where letter is null").await, 10);
        assert_eq!(
            db.count("mail_outbox where kind = 'back-in-stock'").await,
            10_010 - out_of_stock
        );
    }

    #[tokio::test]
    async fn endless_kind_delays_neither_other_kinds_nor_a_stop() {
        static SHORT: AtomicU64 = AtomicU64::new(0);
        static ENDLESS: AtomicU64 = AtomicU64::new(0);
        let kinds = [
            Kind {
                name: "endless",
                sweep: |_| {
                    ENDLESS.fetch_add(1, Ordering::Relaxed);
                    Box::pin(std::future::ready(Ok(u64::from(SWEEP))))
                },
            },
            Kind {
                name: "short",
                sweep: |_| {
                    let before = SHORT.fetch_add(1, Ordering::Relaxed);
                    Box::pin(std::future::ready(Ok(if before < 3 { u64::from(SWEEP) } else { 7 })))
                },
            },
        ];
        let db = TestDb::new().await;
        let stop = CancellationToken::new();
        let sweeping = stop.run_until_cancelled(until_done(&db.store, &kinds));
        let stopped = async {
            while ENDLESS.load(Ordering::Relaxed) < 8 {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        let (swept, ()) = tokio::join!(sweeping, stopped);
        assert_eq!(swept, None, "it was stopped");
        assert_eq!(SHORT.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn without_a_database_each_kind_is_tried_once() {
        let db = TestDb::new().await;
        db.store.close().await;
        until_done(&db.store, KINDS).await;
    }
}
