//! Deletion of accounts: financial records are kept in anonymised form.

use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::Permission;

use super::roles::not_the_last_admin;
use super::{AccountError, NOTICE, staff};
use crate::audit::{self, By};
use crate::row::nickname_of;
use crate::{Store, Tx, mail};

/// What remains of a deleted account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Nothing.
    Completely,
    /// Orders, financial records and an admin's audit records, anonymised.
    Anonymised,
}

/// Deletes an account and queues an e-mail about it to its owner in their language: cart, wishlist, sessions, codes,
/// e-mails, picture and history are deleted, and the address becomes available. Orders, bookings and an admin's audit
/// records stay under an anonymised row.
///
/// # Errors
/// [`AccountError::OrdersUnderWay`]; [`AccountError::PaymentUnderWay`]; [`AccountError::HasBalance`] unless
/// `give_up_balance`; [`AccountError::LastAdmin`]; [`AccountError::NotFound`].
pub async fn delete(store: &Store, id: UserId, give_up_balance: bool) -> Result<Deleted, AccountError> {
    store
        .tx_about("accounts.delete", &[id.into()], move |tx| {
            Box::pin(delete_in(tx, id, give_up_balance, Farewell::Sent))
        })
        .await
}

/// As [`delete`], by a member of staff: only an account without orders, and without a balance, of somebody who has no
/// permission that `by` lacks. The audit log records it.
///
/// # Errors
/// [`AccountError::Refused`]; [`AccountError::HasOrders`]; those of [`delete`].
pub async fn delete_by_staff(store: &Store, by: UserId, id: UserId) -> Result<Deleted, AccountError> {
    store
        .tx_about("accounts.delete_by_staff", &[id.into()], move |tx| {
            Box::pin(async move {
                // Before all other locks, as whoever changes a role does.
                staff::lock_owners(tx).await?;
                let by = By::Staff(by);
                staff::allow(tx, &by, Permission::UsersDelete, id).await?;
                // Before the deletion: an account with an entry is kept, so one may delete one's own.
                audit::record(tx, &by, "user.delete", ("user", id.0), serde_json::json!({})).await?;
                let deleted = delete_in(tx, id, false, Farewell::Sent).await?;
                // No order was placed since the account is locked.
                let has_orders = sqlx::query_scalar!(
                    r#"-- store.accounts.delete_by_staff.orders
                    select exists (select 1 from orders where user_id = $1) as "has_orders!""#,
                    id.0
                )
                .fetch_one(tx.conn())
                .await?;
                if has_orders {
                    return Err(AccountError::HasOrders);
                }
                Ok(deleted)
            })
        })
        .await
}

/// Whether the person gets an e-mail about the deletion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Its address is stored until it is sent.
    Sent,
    /// The operator tells them.
    Left,
}

pub(super) async fn delete_in(
    tx: &mut Tx,
    id: UserId,
    give_up_balance: bool,
    farewell: Farewell,
) -> Result<Deleted, AccountError> {
    not_the_last_admin(tx, id).await?;
    // The lock order that all code uses: a write for a user locks the shopper's row, then the user's; a report about a
    // payment locks its intent, then the user's row. Once all are locked, nothing can be added (`refuse_deleted_owner`
    // in migration 0141 waits for the user's row). The rows are read afterwards in a separate statement, because a
    // statement that waited for a lock would not see what it waited for.
    sqlx::query_scalar!(
        "-- store.accounts.delete.lock_shopper\nselect 1 from shoppers where id = $1 for update",
        id.0
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query_scalar!(
        "-- store.accounts.delete.lock_top_ups
        select 1 from top_ups where user_id = $1 and status in ('PENDING', 'PROCESSING') order by id for no key update",
        id.0
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query_scalar!(
        "-- store.accounts.delete.lock\nselect 1 from users where id = $1 and deleted_at is null for update",
        id.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(AccountError::NotFound)?;
    let row = sqlx::query!(
        r#"-- store.accounts.delete.look
        select u.email, u.email_verified, u.nickname, u.language, u.balance <> 0 as "has_balance!",
               exists (select 1 from orders o where o.user_id = u.id and o.status in ('PENDING', 'PROCESSING'))
                   or exists (select 1 from orders o join order_units n on n.order_id = o.id
                               where o.user_id = u.id and n.faulty_key_id is not null)
                   or exists (select 1 from withdrawals w where w.user_id = u.id and w.order_id is not null and w.state = 'OPEN') as "under_way!",
               exists (select 1 from top_ups p where p.user_id = u.id and p.status = 'PROCESSING')
                   or buyer_is_held(u.id)
                   or exists (select 1 from card_refunds r where r.user_id = u.id and r.state in ('REQUESTED', 'PENDING'))
                   as "is_paying!",
               exists (select 1 from orders o where o.user_id = u.id)
                   or exists (select 1 from transactions t where t.user_id = u.id)
                   or exists (select 1 from top_ups p where p.user_id = u.id)
                   or exists (select 1 from withdrawals w where w.user_id = u.id)
                   or exists (select 1 from audit_log a where a.admin_id = u.id) as "has_records!"
          from users u where u.id = $1"#,
        id.0
    )
    .fetch_one(tx.conn())
    .await?;
    if row.under_way {
        return Err(AccountError::OrdersUnderWay);
    }
    if row.is_paying {
        return Err(AccountError::PaymentUnderWay);
    }
    if row.has_balance && !give_up_balance {
        return Err(AccountError::HasBalance);
    }
    let letter = EmailTemplate::AccountDeleted {
        nickname: nickname_of(row.nickname),
        language: row.language,
    };
    // What payment services reported about the person without an effect: the rows stay, their content is erased. An
    // address that was never proved to be theirs says nothing about who they are.
    let proved = row.email_verified.then_some(row.email.as_str());
    sqlx::query!(
        "-- store.accounts.delete.deliveries
        update unused_deliveries set body = '', payers = '{}', user_id = null
         where user_id = $1 or payers @> array[$2::text]",
        id.0,
        proved
    )
    .execute(tx.conn())
    .await?;
    if !row.has_records {
        sqlx::query!("-- store.accounts.delete\ndelete from users where id = $1", id.0)
            .execute(tx.conn())
            .await?;
        if farewell == Farewell::Sent {
            mail::enqueue_to_address(tx, &row.email, &letter, NOTICE).await?;
        }
        return Ok(Deleted::Completely);
    }
    // Executes statements about the user, in this order.
    macro_rules! for_user {
        ($($statement:literal),* $(,)?) => {
            $(sqlx::query!($statement, id.0).execute(tx.conn()).await?;)*
        };
    }
    for_user!(
        "-- store.accounts.delete.cart\ndelete from cart_items where user_id = $1",
        "-- store.accounts.delete.wishlist\ndelete from wishlist where user_id = $1",
        "-- store.accounts.delete.stock_alerts\ndelete from stock_alerts where user_id = $1",
        "-- store.accounts.delete.sessions\ndelete from user_sessions where user_id = $1",
        "-- store.accounts.delete.api_tokens\ndelete from api_tokens where user_id = $1",
        "-- store.accounts.delete.views\ndelete from saved_views where user_id = $1",
        "-- store.accounts.delete.recent\ndelete from recent_things where user_id = $1",
        // Receipts keep the name and country that they were issued with, as long as the law asks for it.
        "-- store.accounts.delete.billing\ndelete from billing_profiles where user_id = $1",
        "-- store.accounts.delete.totp\ndelete from user_totp where user_id = $1",
        "-- store.accounts.delete.codes\ndelete from one_time_codes where user_id = $1",
        "-- store.accounts.delete.history\ndelete from login_history where user_id = $1",
        "-- store.accounts.delete.mail\ndelete from mail_outbox where user_id = $1",
        // Nothing is ordered for them any more.
        "-- store.accounts.delete.checkouts
        update pending_checkouts set state = 'ABANDONED', reason = null, due_at = null, changed_at = now(), consent_source = null,
               consent_wording = null, consent_language = null, consent_address = null, consent_user_agent = null
         where user_id = $1 and state in ('WAITING', 'EXPIRED', 'ASK')",
        // No user is sent to pay any more, and open payments are closed at the provider next. A payment that happens
        // all the same is shown to staff (`top_ups::apply`).
        "-- store.accounts.delete.top_ups
        update top_ups set redirect_url = null, status = case status when 'PENDING' then 'CANCELLED' else status end,
               closing_since = case status when 'PENDING' then now() else closing_since end,
               not_before = case status when 'PENDING' then now() else not_before end
         where user_id = $1 and (redirect_url is not null or status = 'PENDING')",
        "-- store.accounts.delete.idempotency_keys\ndelete from idempotency_keys where owner = $1",
        // What a payment provider reported, apart from the booking itself and what G2A says of an order.
        "-- store.accounts.delete.gateway
        update transactions
           set gateway_response = case when gateway_response ? 'g2a' then jsonb_build_object('g2a', gateway_response -> 'g2a') end
         where user_id = $1 and jsonb_typeof(gateway_response) = 'object' and gateway_response - 'g2a' <> '{}'",
        "-- store.accounts.delete.origins
        delete from top_up_origins where top_up_id in (select id from top_ups where user_id = $1)",
        // A well-formed hash without a known password; log-ins do not read the row anyway.
        "-- store.accounts.delete.anonymise
        update users set email = 'deleted-' || id || '@deleted.invalid', nickname = null, first_name = null,
               last_name = null, avatar = null, role = 'USER', staff_role = null, email_verified = false,
               deleted_at = now(),
               password_hash = '$2b$12$' || repeat('.', 53)
         where id = $1",
        // What the books and the law need says nothing of who it was; the database allows it for deleted accounts only.
        "-- store.accounts.delete.consents
        update order_consents set address = null, user_agent = null
         where num_nonnulls(address, user_agent) > 0 and order_id in (select id from orders where user_id = $1)",
        "-- store.accounts.delete.withdrawals
        update withdrawals set name = 'erased', contact = 'erased', address = null,
               reason = case when reason is not null then 'erased' end
         where user_id = $1 and state <> 'OPEN'",
        "-- store.accounts.delete.evidence
        update dispute_evidence set fields = '{}', problem = null
         where state <> 'REQUESTED' and dispute_id in (select id from disputes where user_id = $1)",
    );
    if farewell == Farewell::Sent {
        mail::enqueue_to_address(tx, &row.email, &letter, NOTICE).await?;
    }
    Ok(Deleted::Anonymised)
}
