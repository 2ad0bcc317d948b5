//! Mistakes that tests put in on purpose, to show that a test finds each (`cargo xtask mutants`).
//!
//! The program is never built with the feature; without it no mistake is made and this is nothing.

/// Whether this mistake is to be made: `LOCKSTEP_MUTANT` names it.
#[cfg(feature = "mutants")]
pub fn make(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LOCKSTEP_MUTANT").ok()).as_deref() == Some(name)
}

/// No mistake is made.
#[cfg(not(feature = "mutants"))]
pub const fn make(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
mod old {
    use lockstep_domain::Money;
    use lockstep_domain::ids::UserId;

    use crate::{Result, Store, StoreError};

    /// What the old store looked at before it began a transaction.
    pub(crate) async fn has_balance(store: &Store, user: UserId, total: Money) -> Result<bool> {
        store
            .tx("mutants.has_balance", move |tx| {
                Box::pin(async move {
                    sqlx::query_scalar("select exists (select from users where id = $1 and balance >= $2)")
                        .bind(user.0)
                        .bind(total.decimal())
                        .fetch_one(tx.conn())
                        .await
                        .map_err(StoreError::from)
                })
            })
            .await
    }

    /// Counts a use after the order stands, as far as the limit lets it.
    pub(crate) async fn count_promo_code(store: &Store, code: &str) -> Result<()> {
        let code = code.to_owned();
        store
            .tx("mutants.count_promo_code", move |tx| {
                let code = code.clone();
                Box::pin(async move {
                    sqlx::query(
                        "update promo_codes set used_count = used_count + 1
                          where code = $1 and (max_uses is null or used_count < max_uses)",
                    )
                    .bind(code)
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
