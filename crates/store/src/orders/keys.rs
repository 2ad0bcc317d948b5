//! Sold keys, sealed as they are stored: handed out only together with the record that they were.

use lockstep_domain::ids::{KeyId, OrderId, UserId};

use crate::fulfilment::keys::{self, How, Sold};
use crate::{Result, Store, StoreError, Subject};

/// The keys of an order of `owner`'s, and the record that they are shown, in one transaction; `only` restricts both to
/// one key. Keys that are files are shown by a download alone and left out of everything else. Nothing when the order is
/// somebody else's.
///
/// # Errors
/// [`StoreError`]; nothing may be shown then.
pub async fn reveal(store: &Store, owner: UserId, order: OrderId, only: Option<KeyId>, how: How) -> Result<Vec<Sold>> {
    store
        .tx_about("orders.reveal", &[owner.into(), Subject::Order(order)], move |tx| {
            Box::pin(async move {
                let mut sold = keys::of_order(tx, order, owner).await?;
                sold.retain(|key| only.is_none_or(|only| only == key.id) && (how == How::File || !key.is_file));
                let ids: Vec<KeyId> = sold.iter().map(|key| key.id).collect();
                keys::reveal(tx, &ids, owner, how).await?;
                Ok::<_, StoreError>(sold)
            })
        })
        .await
}
