//! What happened: the events of an order, the audit log, and what a text names exactly.

use lockstep_domain::admin::{AuditList, AuditRow, Found, OrderEvent, OrderHistory, Page};
use lockstep_domain::ids::{OrderId, UserId};
use uuid::Uuid;

use super::bounds;
use crate::row::{how_many_of, money_of};
use crate::{Result, Tx};

/// Maximum number of events of an order.
const MAX_EVENTS: i64 = 500;

/// Everything that happened to an order; `None` if there is no such order.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn of_order(tx: &mut Tx, id: OrderId) -> Result<Option<OrderHistory>> {
    let number = sqlx::query_scalar!(
        "-- store.admin.history.order_number\nselect number from orders where id = $1",
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(number) = number else { return Ok(None) };
    let rows = sqlx::query!(
        r#"-- store.admin.history.of_order
        with units as (
            select u.id, u.position, g.title from order_units u join games g on g.id = u.game_id where u.order_id = $1
        ), keys as (
            select k.id, u.title, u.position from game_keys k join units u on u.id = coalesce(k.order_unit_id, k.faulty_unit_id)
             where k.order_id = $1 or k.faulty_order_id = $1
        ), payment as (
            select c.created_at, p.id, p.amount, p.method, p.provider, c.user_id, t.created_at as credited_at, t.amount as credited
              from pending_checkouts c join top_ups p on p.id = c.top_up_id join transactions t on t.id = p.transaction_id
             where c.order_id = $1
        ), events (at, what, game, position, amount, g2a_order_id, note, actor, top_up) as (
            select created_at, 'order.placed', null, null::integer, total, null, promo_code, user_id, null::uuid
              from orders where id = $1
            union all
            select created_at, 'payment.begun', null, null, amount, null, provider || ' · ' || method, user_id, id from payment
            union all
            select credited_at, 'payment.credited', null, null, credited, null, null, null, id from payment
            union all
            select completed_at, 'order.completed', null, null, null, null, null, null, null from orders
             where id = $1 and completed_at is not null
            union all
            select created_at, 'booking.' || lower(type::text), null, null, amount, null, coalesce(reason, description), null, null
              from transactions where order_id = $1
            union all
            select g.created_at, 'supplier.ordered', u.title, u.position, g.price, g.g2a_order_id, null, null, null
              from g2a_orders g join units u on u.id = g.order_unit_id
            union all
            select g.paid_at, 'supplier.paid', u.title, u.position, null, g.g2a_order_id, null, null, null
              from g2a_orders g join units u on u.id = g.order_unit_id where g.paid_at is not null
            union all
            select g.given_up_at, 'supplier.given_up', u.title, u.position, null, g.g2a_order_id, g.why, null, null
              from g2a_orders g join units u on u.id = g.order_unit_id where g.given_up_at is not null
            union all
            select g.key_stored_at, 'key.stored', u.title, u.position, null, g.g2a_order_id, null, null, null
              from g2a_orders g join units u on u.id = g.order_unit_id where g.key_stored_at is not null
            union all
            select r.at, 'key.seen', k.title, k.position, null, null, r.how, r.user_id, null
              from key_reveals r join keys k on k.id = r.game_key_id
            union all
            select i.created_at, 'incident.opened', u.title, u.position, null, i.g2a_order_id, i.kind, null, null
              from incidents i join units u on u.id = i.order_unit_id
            union all
            select i.resolved_at, 'incident.closed', u.title, u.position, null, i.g2a_order_id, i.note, null, null
              from incidents i join units u on u.id = i.order_unit_id where i.resolved_at is not null
            union all
            select l.at, 'audit.' || l.action, s.title, s.position, null, null, l.details ->> 'reason', l.admin_id, null
              from (select $1, null, null union all table keys union all select id, title, position from units)
                   s (id, title, position) join audit_log l on l.subject_id = s.id
        )
        select e.at as "at!", e.what as "what!", e.game, e.position, e.amount, e.g2a_order_id, e.note, e.actor, e.top_up,
               a.email as "actor_email?"
          from events e left join users a on a.id = e.actor and a.deleted_at is null
         order by e.at, e.what limit $2"#,
        id.0,
        MAX_EVENTS
    )
    .fetch_all(tx.conn())
    .await?;
    let mut events = rows
        .into_iter()
        .map(|row| {
            Ok(OrderEvent {
                at: row.at,
                what: row.what,
                game: row.game,
                position: row.position,
                amount: row.amount.map(money_of).transpose()?,
                g2a_order_id: row.g2a_order_id,
                note: row.note,
                actor: row.actor,
                actor_email: row.actor_email,
                webhook: None,
                top_up: row.top_up,
                email: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let told = sqlx::query!(
        r#"-- store.admin.history.webhooks_of_order
        select coalesce(d.attempted_at, d.created_at) as "at!", d.state, p.id, p.name, e.kind, e.data
          from outgoing_events e join webhook_deliveries d on d.event_id = e.id join webhook_endpoints p on p.id = d.endpoint_id
         where e.data ->> 'orderId' = $1 order by 1 limit $2"#,
        id.0.to_string(),
        MAX_EVENTS
    )
    .fetch_all(tx.conn())
    .await?;
    events.extend(told.into_iter().map(|row| OrderEvent {
        at: row.at,
        what: format!("webhook.{}", row.state),
        game: None,
        position: None,
        amount: None,
        g2a_order_id: None,
        note: Some(format!("{}: {} {}", row.name, row.kind, row.data)),
        actor: None,
        actor_email: None,
        webhook: Some(row.id),
        top_up: None,
        email: None,
    }));
    let emails = sqlx::query!(
        r#"-- store.admin.history.emails_of_order
        select m.id, m.kind, coalesce(m.sent_at, m.gave_up_at, m.created_at) as "at!",
               case when m.sent_at is not null then 'email.sent' when m.gave_up_at is not null then 'email.failed'
                    else 'email.waiting' end as "what!"
          from orders o join mail_outbox m on m.user_id = o.user_id and m.order_id = o.id
         where o.id = $1 order by m.created_at limit $2"#,
        id.0,
        MAX_EVENTS
    )
    .fetch_all(tx.conn())
    .await?;
    events.extend(emails.into_iter().map(|row| OrderEvent {
        at: row.at,
        what: row.what,
        game: None,
        position: None,
        amount: None,
        g2a_order_id: None,
        note: Some(row.kind),
        actor: None,
        actor_email: None,
        webhook: None,
        top_up: None,
        email: Some(row.id),
    }));
    // It is written in the transaction of what follows from it.
    events.sort_by_key(|event: &OrderEvent| (event.at, event.what != "order.placed"));
    Ok(Some(OrderHistory { number, events }))
}

/// The audit log, newest first; of one action and about one thing, if given.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn audit(tx: &mut Tx, action: Option<&str>, subject: Option<Uuid>, page: Page) -> Result<AuditList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        r#"-- store.admin.history.audit
        select l.at, l.action, l.subject_kind, l.subject_id, l.details::text as "details!", l.admin_id,
               a.email as "actor_email?"
          from audit_log l left join users a on a.id = l.admin_id and a.deleted_at is null
         where ($1::text is null or l.action = $1) and ($2::uuid is null or l.subject_id = $2)
         order by l.at desc, l.id limit $3 offset $4"#,
        action,
        subject,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.history.audit_count
        select count(*) as "count!" from audit_log
         where ($1::text is null or action = $1) and ($2::uuid is null or subject_id = $2)"#,
        action,
        subject
    )
    .fetch_one(tx.uncached())
    .await?;
    let entries = rows
        .into_iter()
        .map(|row| AuditRow {
            at: row.at,
            action: row.action,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            details: row.details,
            actor: row.admin_id,
            actor_email: row.actor_email,
        })
        .collect();
    Ok(AuditList {
        entries,
        paging: page.of(how_many_of(total)),
    })
}

/// What `text` names exactly: an ID, an order's number, an order at G2A, an e-mail address, a slug, or a promo code; or
/// a key with one of `hashes`. No key is opened for it.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn find(tx: &mut Tx, text: &str, hashes: &[Vec<u8>]) -> Result<Vec<Found>> {
    let id: Option<Uuid> = text.parse().ok();
    let rows = sqlx::query!(
        r#"-- store.admin.history.find
        select 'order' as "kind!", id as "id!" from orders where id = $1 or number = upper($2)
        union select 'order', order_id from transactions where (id = $1 or transaction_hash = $2) and order_id is not null
        union select 'order', u.order_id from g2a_orders g join order_units u on u.id = g.order_unit_id where g.g2a_order_id = $2
        union select 'order', order_id from order_units where id = $1
        union select 'user', id from users where (id = $1 or email = lower($2)) and deleted_at is null
        union select 'game', id from games where id = $1 or slug = $2
        union select 'promo', id from promo_codes where id = $1 or code = upper($2)
        union select 'key', id from game_keys where id = $1 or key_hash = any($3)
        limit 20"#,
        id,
        text,
        hashes
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| match row.kind.as_str() {
            "order" => Found::Order(row.id),
            "user" => Found::User(row.id),
            "game" => Found::Game(row.id),
            "promo" => Found::PromoCode(row.id),
            _ => Found::Key(row.id),
        })
        .collect())
}

/// The name of a user's role: `USER`, `OWNER`, or one of `staff_roles`.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn role_of(tx: &mut Tx, user: UserId) -> Result<Option<String>> {
    let role = sqlx::query_scalar!(
        r#"-- store.admin.history.role_of
        select case when role = 'ADMIN' then 'OWNER' else coalesce(staff_role, 'USER') end as "role!"
          from users where id = $1 and deleted_at is null"#,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(role)
}
