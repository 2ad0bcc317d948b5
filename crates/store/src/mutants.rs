//! Deliberate faults for mutation testing, which shows that a test detects each (`cargo xtask mutants`).
//!
//! The released program is built without this feature and contains none of them.

/// Whether this fault is active: `LOCKSTEP_MUTANT` names it.
#[cfg(feature = "mutants")]
pub fn make(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LOCKSTEP_MUTANT").ok()).as_deref() == Some(name)
}

/// No fault is active.
#[cfg(not(feature = "mutants"))]
pub const fn make(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
mod old {
    use lockstep_domain::Money;
    use lockstep_domain::ids::UserId;

    use crate::{Result, Store, StoreError};

    /// The existing shop's check of the balance, outside the transaction.
    pub(crate) async fn has_balance(store: &Store, user: UserId, total: Money) -> Result<bool> {
        store
            .tx("mutants.has_balance", move |tx| {
                Box::pin(async move {
                    sqlx::query_scalar!(
                        r#"-- store.mutants.has_balance
                        select exists (select from users where id = $1 and balance >= $2) as "enough!""#,
                        user.0,
                        total.decimal()
                    )
                    .fetch_one(tx.conn())
                    .await
                    .map_err(StoreError::from)
                })
            })
            .await
    }

    /// Counts a use after the order was placed, up to the limit.
    pub(crate) async fn count_promo_code(store: &Store, code: &str) -> Result<()> {
        let code = code.to_owned();
        store
            .tx("mutants.count_promo_code", move |tx| {
                let code = code.clone();
                Box::pin(async move {
                    sqlx::query!(
                        "-- store.mutants.count_promo_code
                        update promo_codes set used_count = used_count + 1
                         where code = $1 and (max_uses is null or used_count < max_uses)",
                        code
                    )
                    .execute(tx.conn())
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

#[cfg(feature = "mutants")]
pub(crate) use old::{count_promo_code, has_balance};
