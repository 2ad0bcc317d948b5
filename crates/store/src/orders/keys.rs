//! Sold keys in sealed form, returned only together with the record of their reveal.

use lockstep_domain::ids::{KeyId, OrderId, UserId};

use crate::fulfilment::keys::{self, How, Sold};
use crate::{Result, Store, StoreError, Subject};

/// Returns the keys of an order of `owner` and records the reveal, in one transaction; `only` restricts both to one
/// key. Keys that are files are only included in downloads. Empty if the order is another user's.
///
/// # Errors
/// [`StoreError`]; then nothing may be shown.
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

/// Returns the keys of several orders of `owner`, without files, and records the reveal, in one transaction. Orders of
/// other users have none.
///
/// # Errors
/// [`StoreError`]; then nothing may be shown.
pub async fn reveal_all(store: &Store, owner: UserId, orders: &[OrderId], how: How) -> Result<Vec<(KeyId, Vec<u8>)>> {
    let orders = orders.to_vec();
    store
        .tx_about("orders.reveal_all", &[owner.into()], move |tx| {
            let orders = orders.clone();
            Box::pin(async move {
                let sold = keys::of_orders(tx, &orders, owner).await?;
                let ids: Vec<KeyId> = sold.iter().map(|(id, _)| *id).collect();
                keys::reveal(tx, &ids, owner, how).await?;
                Ok::<_, StoreError>(sold)
            })
        })
        .await
}
