//! What shoppers enter for their receipts.

use std::sync::Arc;

use lockstep_domain::ids::UserId;
use lockstep_domain::tax::{BillingProfile, PostalName};

use super::country_of;
use crate::{Result, Store};

/// What VIES says of a VAT id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VatIdCheck {
    /// It exists.
    Valid,
    /// It does not.
    Invalid,
    /// There was no answer.
    Unavailable,
}

impl VatIdCheck {
    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Invalid => "INVALID",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// The billing data of a user; `None` if nothing was entered.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn billing(store: &Store, user: UserId) -> Result<Option<BillingProfile>> {
    let row = sqlx::query!(
        "-- store.vat.billing.of
        select country, name, street, postcode, city, vat_id, vat_id_check from billing_profiles where user_id = $1",
        user.0
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| {
        Ok(BillingProfile {
            country: country_of(&row.country)?,
            address: PostalName {
                name: row.name,
                street: row.street,
                postcode: row.postcode,
                city: row.city,
            },
            vat_id: row.vat_id,
            vat_id_check: row.vat_id_check,
        })
    })
    .transpose()
}

/// Stores the billing data of a user, with what VIES said of the VAT id; `None`: it was not asked, and what it said of the same id
/// before stays.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn put_billing(store: &Store, user: UserId, new: &BillingProfile, check: Option<VatIdCheck>) -> Result<()> {
    let new = Arc::new(new.clone());
    store
        .tx("vat.billing.put", move |tx| {
            let new = Arc::clone(&new);
            Box::pin(async move {
                sqlx::query!(
                    "-- store.vat.billing.put
                    insert into billing_profiles as b (user_id, country, name, street, postcode, city, vat_id, vat_id_check, checked_at)
                    select id, $2, $3, $4, $5, $6, $7, $8::text, case when $8::text is not null then now() end
                      from users where id = $1 and deleted_at is null
                    on conflict (user_id) do update set country = excluded.country, name = excluded.name, street = excluded.street,
                           postcode = excluded.postcode, city = excluded.city, vat_id = excluded.vat_id,
                           vat_id_check = case when excluded.vat_id_check is null and b.vat_id = excluded.vat_id
                                               then b.vat_id_check else excluded.vat_id_check end,
                           checked_at = case when excluded.vat_id_check is null and b.vat_id = excluded.vat_id
                                             then b.checked_at else excluded.checked_at end",
                    user.0,
                    new.country.as_str(),
                    new.address.name,
                    new.address.street,
                    new.address.postcode,
                    new.address.city,
                    new.vat_id.as_deref(),
                    check.map(VatIdCheck::as_str)
                )
                .execute(tx.conn())
                .await?;
                Ok::<_, crate::StoreError>(())
            })
        })
        .await
}
