//! Changes of accounts by staff.
//!
//! A form sends the balance that it wants, not the one that it replaces: those that the session was shown are kept, and
//! what it is compared with decides whether the form is still true.

use lockstep_domain::Money;
use lockstep_domain::account::{ProfileChange, Role};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::{Permission, StaffRole};
use serde_json::json;

use crate::accounts::{AccountError, staff};
use crate::audit::{self, By};
use crate::ledger::{self, AdjustError};
use crate::row::{money_of, role_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx, accounts};

/// Shown to the owner of a balance that was changed without a reason.
const NO_REASON: &str = "Balance corrected by the shop";

/// What a form of staff says about a user; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Names. The picture stays.
    pub names: ProfileChange,
    /// The role.
    pub role: Option<Role>,
    /// Whether a new role may be given: the caller gave their password a moment ago.
    pub confirmed: bool,
    /// The new balance.
    pub balance: Option<Money>,
    /// The balance that the form showed; by default the one that the session was shown, if it was only one.
    pub expected_balance: Option<Money>,
    /// Why the balance changes.
    pub reason: Option<String>,
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserChangeError {
    /// The account does not exist, or the caller may not do this to it.
    #[error(transparent)]
    Account(AccountError),
    /// The balance cannot become what was asked for.
    #[error(transparent)]
    Adjust(AdjustError),
    /// The balance is another one than the form showed.
    #[error("The balance has changed to {balance} EUR since it was shown. Look at it again.")]
    BalanceChanged {
        /// The current balance.
        balance: Money,
    },
    /// It is not known which balance the form showed.
    #[error("Look at the user first: the balance may have changed since.")]
    BalanceNotSeen,
    /// A new role needs the caller's password again.
    #[error("A new role needs your password again. Log in anew, then repeat this.")]
    NotConfirmed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(UserChangeError);

impl From<AccountError> for UserChangeError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            error => Self::Account(error),
        }
    }
}

impl From<AdjustError> for UserChangeError {
    fn from(error: AdjustError) -> Self {
        match error {
            AdjustError::Store(error) => Self::Store(error),
            error => Self::Adjust(error),
        }
    }
}

/// Records the balance that a session of staff is shown.
///
/// # Errors
/// [`StoreError`].
pub async fn note_balance(store: &Store, session: SessionId, user: UserId, balance: Money) -> Result<()> {
    sqlx::query!(
        "-- store.admin.user_change.note_balance
        insert into seen_balances (session_id, user_id, balance) select id, $2, $3 from user_sessions where id = $1
        on conflict (session_id, user_id, balance) do update set at = now(), refused = false",
        session.0,
        user.0,
        balance.decimal()
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records that a form of a session was refused for its balance: what the session is shown next is what its next form is
/// compared with, and a form with a balance that it was shown before stays refused.
///
/// # Errors
/// [`StoreError`].
pub async fn refuse_balances(store: &Store, session: SessionId, user: UserId) -> Result<()> {
    sqlx::query!(
        "-- store.admin.user_change.refuse_balances
        update seen_balances set refused = true where session_id = $1 and user_id = $2",
        session.0,
        user.0
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Changes a user on behalf of `by` in `session`, all or nothing. The audit log records each kind of change.
///
/// # Errors
/// [`UserChangeError`]; then nothing has changed.
pub async fn change(
    store: &Store,
    by: UserId,
    session: SessionId,
    user: UserId,
    change: &UserChange,
) -> Result<(), UserChangeError> {
    let change = change.clone();
    store
        .tx_about("admin.user_change", &[user.into()], move |tx| {
            let change = change.clone();
            Box::pin(async move { change_in(tx, by, session, user, &change).await })
        })
        .await
}

async fn change_in(
    tx: &mut Tx,
    by: UserId,
    session: SessionId,
    user: UserId,
    change: &UserChange,
) -> Result<(), UserChangeError> {
    let staff = By::Staff(by);
    if change.role.is_some() {
        // Before the user's row, as whoever changes a role does.
        staff::lock_owners(tx).await?;
    }
    let now = sqlx::query!(
        r#"-- store.admin.user_change.lock
        select balance, role::text as "role!", nickname, first_name, last_name
          from users where id = $1 and deleted_at is null for no key update"#,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(UserChangeError::Account(AccountError::NotFound))?;
    staff::allow(tx, &staff, Permission::UsersWrite, user).await?;
    let new = |said: &Option<Option<String>>, is: &Option<String>| said.as_ref().is_some_and(|said| said != is);
    let fields: Vec<&str> = [
        ("nickname", new(&change.names.nickname, &now.nickname)),
        ("firstName", new(&change.names.first_name, &now.first_name)),
        ("lastName", new(&change.names.last_name, &now.last_name)),
    ]
    .into_iter()
    .filter_map(|(name, is_new)| is_new.then_some(name))
    .collect();
    if !fields.is_empty() {
        accounts::change_profile_in(tx, user, &change.names).await?;
        // The names themselves stay out of the log: it outlives the account.
        audit::record(tx, &staff, "user.change", ("user", user.0), json!({ "fields": fields })).await?;
    }
    if let Some(balance) = change.balance {
        set_balance(tx, by, session, user, money_of(now.balance)?, balance, change).await?;
    }
    if let Some(role) = change.role.filter(|role| role_of(&now.role).ok() != Some(*role)) {
        if !change.confirmed {
            return Err(UserChangeError::NotConfirmed);
        }
        staff::change_role_in(tx, &staff, user, &given(role)).await?;
    }
    Ok(())
}

/// The role of staff that a role of the API stands for.
pub const fn given(role: Role) -> StaffRole {
    match role {
        Role::User => StaffRole::None,
        Role::Admin => StaffRole::Owner,
    }
}

/// Books the difference to `wanted`, if the form asks for another balance than the one it showed. The caller holds the
/// lock of the user, whose balance is `balance`.
async fn set_balance(
    tx: &mut Tx,
    by: UserId,
    session: SessionId,
    user: UserId,
    balance: Money,
    wanted: Money,
    change: &UserChange,
) -> Result<(), UserChangeError> {
    if wanted == balance {
        return Ok(());
    }
    let (seen, refused) = seen(tx, session, user).await?;
    if change.expected_balance.is_none() && refused.contains(&wanted) {
        return Err(UserChangeError::BalanceChanged { balance });
    }
    let shown = match (change.expected_balance, &*seen) {
        (Some(shown), _) | (None, &[shown]) => shown,
        (None, []) => return Err(UserChangeError::BalanceNotSeen),
        (None, &[last, ..]) if wanted == last => last,
        // Two windows: which of the balances this form shows is not known, and an old one must not be booked.
        (None, _) => return Err(UserChangeError::BalanceChanged { balance }),
    };
    if wanted == shown {
        // The form leaves the balance alone, whatever it is by now.
        return Ok(());
    }
    if shown != balance {
        return Err(UserChangeError::BalanceChanged { balance });
    }
    staff::allow(tx, &By::Staff(by), Permission::BalanceAdjust, user).await?;
    let amount = wanted.checked_sub(balance).ok_or(AdjustError::TooMuch)?;
    let reason = change.reason.as_deref().unwrap_or(NO_REASON);
    ledger::book_adjustment(tx, by, user, balance, amount, reason, None).await?;
    // The next form of this session shows the new one.
    sqlx::query!(
        "-- store.admin.user_change.forget\ndelete from seen_balances where session_id = $1 and user_id = $2",
        session.0,
        user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The balances of `user` that `session` was shown within the last half hour, the last one first.
async fn seen(tx: &mut Tx, session: SessionId, user: UserId) -> Result<(Vec<Money>, Vec<Money>)> {
    let seen = sqlx::query!(
        "-- store.admin.user_change.seen
        select balance, refused from seen_balances
         where session_id = $1 and user_id = $2 and at > now() - interval '30 minutes' order by at desc",
        session.0,
        user.0
    )
    .fetch_all(tx.conn())
    .await?;
    let (mut shown, mut refused) = (Vec::new(), Vec::new());
    for row in seen {
        let list = if row.refused { &mut refused } else { &mut shown };
        list.push(money_of(row.balance)?);
    }
    Ok((shown, refused))
}
