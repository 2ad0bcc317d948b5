//! Deletes old records that would otherwise grow without limit and that no other module deletes. `docs/operations.md`
//! states the retention time of each table and its reason.

use crate::{Result, Store, cards, supplier_calls, webhooks, withdrawals};

/// Reveals of sold keys: longer than a payment can be disputed (540 days).
const REVEALS_DAYS: i32 = 730;
/// Incidents that are closed, or whose order unit is settled.
const INCIDENTS_DAYS: i32 = 365;
/// Top-ups that were never paid. Longer than payment events, which refer to them.
const UNPAID_DAYS: i32 = 180;

/// Who the buyer of a receipt was: ten years after the end of the year (Regulation 282/2011, Art. 63c), which
/// `order_taxes_frozen` holds, too.
const RECEIPTS_YEARS: i32 = 10;

/// API tokens that have expired: long enough to see why a program no longer works.
const TOKENS_DAYS: i32 = 30;

/// Changes of prices: longer than any rule about advertised reductions looks back.
const PRICES_DAYS: i32 = 730;

/// Scheduled changes and bulk changes that are over, and jobs of price rules: as long as the changes of prices that they explain.
const SCHEDULED_DAYS: i32 = PRICES_DAYS;

/// Jobs that have ended: as long as the runs that they caused.
const JOBS_DAYS: i32 = 90;
/// Impersonations with their requests: as long as incidents.
const IMPERSONATIONS_DAYS: i32 = INCIDENTS_DAYS;
/// Nightly verifications.
const VERIFICATIONS_DAYS: i32 = 90;
/// Recipients of announcements who have not unsubscribed, after the last one.
const SUBSCRIPTIONS_DAYS: i32 = 365;
/// Jobs of announcements.
const EMAIL_JOBS_DAYS: i32 = 90;

/// Deletes expired rows, at most a thousand of each kind, and makes one of old slots of sums; returns how many rows are gone for good. Call again while there are any.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let reveals = sqlx::query!(
        "-- store.retention.reveals
            delete from key_reveals where id in (
                select id from key_reveals where at < now() - make_interval(days => $1)
                 order by at limit 1000 for update skip locked)",
        REVEALS_DAYS
    );
    let incidents = sqlx::query!(
        "-- store.retention.incidents
            delete from incidents where id in (
                select id from incidents i where created_at < now() - make_interval(days => $1)
                   and (resolved_at is not null or not exists (
                        select from order_units u where u.id = i.order_unit_id and u.state not in ('DONE', 'REFUNDED')))
                 order by created_at limit 1000 for update skip locked)",
        INCIDENTS_DAYS
    );
    let unpaid = sqlx::query!(
        "-- store.retention.unpaid
            delete from top_ups where id in (
                select id from top_ups p where status in ('FAILED', 'CANCELLED') and updated_at < now() - make_interval(days => $1)
                   and not exists (select from payment_events e where e.top_up_id = p.id)
                 order by updated_at limit 1000 for update skip locked)",
        UNPAID_DAYS
    );
    let origins = sqlx::query!(
        "-- store.retention.origins
            delete from top_up_origins where top_up_id in (
                select top_up_id from top_up_origins where created_at < now() - make_interval(days => $1)
                 order by created_at limit 1000 for update skip locked)",
        REVEALS_DAYS
    );
    let prices = sqlx::query!(
        "-- store.retention.prices
            delete from price_changes where id in (
                select id from price_changes where at < now() - make_interval(days => $1)
                 order by at limit 1000 for update skip locked)",
        PRICES_DAYS
    );
    let scheduled = sqlx::query!(
        "-- store.retention.scheduled
            delete from scheduled_changes where id in (
                select id from scheduled_changes
                 where starts_at < now() - make_interval(days => $1) and finished_at < now() - make_interval(days => $1)
                 order by starts_at limit 1000 for update skip locked)",
        SCHEDULED_DAYS
    );
    let price_jobs = sqlx::query!(
        "-- store.retention.price_jobs
            delete from price_jobs where id in (
                select id from price_jobs
                 where requested_at < now() - make_interval(days => $1) and finished_at is not null
                 order by requested_at limit 1000 for update skip locked)",
        SCHEDULED_DAYS
    );
    let bulk_games = sqlx::query!(
        "-- store.retention.bulk_games
            delete from bulk_change_games where (bulk_id, game_id) in (
                select c.bulk_id, c.game_id from bulk_changes b join bulk_change_games c on c.bulk_id = b.id
                 where b.created_at < now() - make_interval(days => case b.state when 'PREVIEW' then 1 else $1 end)
                   and b.state not in ('OPEN', 'UNDOING')
                 limit 1000 for update of c skip locked)",
        SCHEDULED_DAYS
    );
    let bulk_changes = sqlx::query!(
        "-- store.retention.bulk_changes
            delete from bulk_changes where id in (
                select id from bulk_changes b
                 where created_at < now() - make_interval(days => case state when 'PREVIEW' then 1 else $1 end)
                   and state not in ('OPEN', 'UNDOING') and not exists (select from bulk_change_games c where c.bulk_id = b.id)
                 order by created_at limit 1000 for update skip locked)",
        SCHEDULED_DAYS
    );
    let jobs = sqlx::query!(
        "-- store.retention.jobs
            delete from supplier_jobs where id in (
                select id from supplier_jobs
                 where requested_at < now() - make_interval(days => $1) and finished_at is not null
                 order by requested_at limit 1000 for update skip locked)",
        JOBS_DAYS
    );
    let subscriptions = sqlx::query!(
        "-- store.retention.subscriptions
            delete from email_subscriptions where id in (
                select id from email_subscriptions
                 where unsubscribed_at is null and written_at < now() - make_interval(days => $1)
                 order by written_at limit 1000 for update skip locked)",
        SUBSCRIPTIONS_DAYS
    );
    let email_jobs = sqlx::query!(
        "-- store.retention.email_jobs
            delete from email_jobs where id in (
                select id from email_jobs where created_at < now() - make_interval(days => $1)
                 order by created_at limit 1000 for update skip locked)",
        EMAIL_JOBS_DAYS
    );
    // Each with up to two thousand requests.
    let impersonations = sqlx::query!(
        "-- store.retention.impersonations
            delete from impersonations where id in (
                select id from impersonations where began_at < now() - make_interval(days => $1) and ended_at is not null
                 order by began_at limit 20 for update skip locked)",
        IMPERSONATIONS_DAYS
    );
    let verifications = sqlx::query!(
        "-- store.retention.verifications
            delete from verifications where id in (
                select id from verifications where began_at < now() - make_interval(days => $1) and ended_at is not null
                 order by began_at limit 1000 for update skip locked)",
        VERIFICATIONS_DAYS
    );
    let tokens = sqlx::query!(
        "-- store.retention.api_tokens
            delete from api_tokens where id in (
                select id from api_tokens where expires_at < now() - make_interval(days => $1)
                 order by expires_at limit 1000 for update skip locked)",
        TOKENS_DAYS
    );
    // The receipts stay. The index is on the time of the order.
    let buyers = sqlx::query!(
        "-- store.retention.buyers
            update order_taxes set buyer_name = null, buyer_street = null, buyer_postcode = null, buyer_city = null, buyer_vat_id = null
             where order_id in (
                select order_id from order_taxes
                 where buyer_name is not null and frozen_at < date_trunc('year', now() - make_interval(years => $1))
                 order by frozen_at limit 1000 for update skip locked)",
        RECEIPTS_YEARS
    );
    // Writers take one of the newest four slots: the older ones count together as one from then on.
    let old_sums = sqlx::query!(
        "-- store.retention.old_sums
            with crowded as (select at, (array_agg(slot order by slot desc))[4] as newest from sales_sums
                              group by at having count(*) > 8 limit 1000),
                 old as (select s.at, s.slot from sales_sums s join crowded c on c.at = s.at and s.slot < c.newest
                            for update of s skip locked),
                 gone as (delete from sales_sums s using old o where s.at = o.at and s.slot = o.slot returning s.*)
            insert into sales_sums (at, uses, users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned, cost, own_cost, no_cost)
            select at, 50, sum(users), sum(orders), sum(completed), sum(purchases), sum(purchased), sum(refunds), sum(refunded), sum(delivered), sum(earned), sum(cost), sum(own_cost), sum(no_cost) from gone group by at"
    );
    let old_games = sqlx::query!(
        "-- store.retention.old_games
            with crowded as (select game_id, (array_agg(slot order by slot desc))[4] as newest from game_sums
                              group by game_id having count(*) > 8 limit 1000),
                 old as (select s.game_id, s.slot from game_sums s join crowded c on c.game_id = s.game_id and s.slot < c.newest
                            for update of s skip locked),
                 gone as (delete from game_sums s using old o where s.game_id = o.game_id and s.slot = o.slot returning s.*)
            insert into game_sums (game_id, uses, copies, earned)
            select game_id, 50, sum(copies), sum(earned) from gone group by game_id"
    );
    let old_keys = sqlx::query!(
        "-- store.retention.old_keys
            with crowded as (select game_id, (array_agg(slot order by slot desc))[4] as newest from key_counts
                              group by game_id having count(*) > 8 limit 1000),
                 old as (select s.game_id, s.slot from key_counts s join crowded c on c.game_id = s.game_id and s.slot < c.newest
                            for update of s skip locked),
                 gone as (delete from key_counts s using old o where s.game_id = o.game_id and s.slot = o.slot returning s.*)
            insert into key_counts (game_id, uses, keys, used)
            select game_id, 50, sum(keys), sum(used) from gone group by game_id"
    );
    let mut forgotten = supplier_calls::sweep(store).await?
        + webhooks::sweep(store).await?
        + cards::inbox::sweep(store).await?
        + withdrawals::sweep(store).await?;
    for statement in [
        reveals,
        origins,
        incidents,
        unpaid,
        prices,
        scheduled,
        price_jobs,
        bulk_games,
        bulk_changes,
        jobs,
        subscriptions,
        email_jobs,
        tokens,
        buyers,
        impersonations,
        verifications,
    ] {
        forgotten += statement.execute(store.alone()).await?.rows_affected();
    }
    for statement in [old_sums, old_games, old_keys] {
        statement.execute(store.alone()).await?;
    }
    Ok(forgotten)
}
