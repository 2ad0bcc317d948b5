//! Sold keys, sealed as they are stored: handed out only together with the record that they were.

use lockstep_domain::ids::{KeyId, OrderId, UserId};
use sqlx::Row as _;

use crate::{Result, Store, StoreError};

/// Where a key is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// In an answer of the API.
    Api,
    /// On a page.
    Page,
    /// Downloaded as a file.
    File,
}

impl Seen {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Page => "PAGE",
            Self::File => "FILE",
        }
    }
}

/// A key that only the vault can open.
#[derive(Clone)]
pub struct SealedKey {
    /// Which.
    pub id: KeyId,
    /// Sealed for its [`place`](crate::fulfilment::keys::place).
    pub sealed: Vec<u8>,
    /// It is a file in base64.
    pub is_file: bool,
}

/// The keys of an order of `owner`'s, and the record that they are shown, in one transaction; `only` restricts both to
/// one key. Keys that are files are shown by a download alone and left out of everything else. Nothing when the order is
/// somebody else's.
///
/// # Errors
/// [`StoreError`]; nothing may be shown then.
pub async fn reveal(
    store: &Store,
    owner: UserId,
    order: OrderId,
    only: Option<KeyId>,
    seen: Seen,
) -> Result<Vec<SealedKey>> {
    store
        .tx("orders.reveal", move |tx| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "-- store.orders.reveal
                    with shown as (
                        select k.id, k.key_ciphertext, k.is_file from game_keys k join orders o on o.id = k.order_id
                         where o.id = $1 and o.user_id = $2 and ($3::uuid is null or k.id = $3)
                           and ($4 = 'FILE' or not k.is_file)),
                    noted as (
                        insert into key_reveals (game_key_id, user_id, how) select id, $2, $4 from shown)
                    select * from shown",
                )
                .bind(order.0)
                .bind(owner.0)
                .bind(only.map(|key| key.0))
                .bind(seen.as_str())
                .fetch_all(tx.conn())
                .await?;
                rows.iter()
                    .map(|row| {
                        Ok::<_, StoreError>(SealedKey {
                            id: KeyId(row.try_get("id")?),
                            sealed: row.try_get("key_ciphertext")?,
                            is_file: row.try_get("is_file")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}
