//! The use cases of staff, shared by the JSON API and the console.
//!
//! Every use case takes the [`Admin`] who calls it, which only a checked session with that role can create. Lists are
//! read in one snapshot, so that a page matches its total. Nothing is cached: staff decide from what they see.

mod content;
mod games;
mod shoppers;
mod taxonomies;

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{
    Activity, CartList, Dashboard, GameDetail, GameList, OrderDetail, OrderList, Page, SyncProgress, SyncStatus,
    TaxonomyRow, TransactionList, UserDetail, UserList, WishlistList,
};
use lockstep_domain::cart::{Cart, CartOwner, Wishlist};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_store::admin::{carts, dashboard, games as catalogue, orders, sync, transactions, users};
use lockstep_store::{Result, Store};

pub use lockstep_store::admin::carts::Filter as CartFilter;
pub use lockstep_store::admin::changes::ChangeError;
pub use lockstep_store::admin::faqs::Filter as FaqFilter;
pub use lockstep_store::admin::games::Taxonomy;
pub use lockstep_store::admin::transactions::{Filter as TransactionFilter, Method};
pub use lockstep_store::admin::users::{Filter as UserFilter, Kind as ActivityKind, Span};

/// The use cases of staff over one store. Cheap to create.
///
/// Every function fails with [`lockstep_store::StoreError`] when the database does not answer, and returns `None` for
/// what does not exist.
#[derive(Debug, Clone)]
pub struct BackOffice {
    store: Store,
}

impl BackOffice {
    /// Creates the use cases over `store`.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Key figures of the shop as of `now`.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn dashboard(&self, _by: &Admin, now: DateTime<Utc>) -> Result<Dashboard> {
        let read = self.store.read(|tx| Box::pin(dashboard::read(tx, now))).await?;
        Ok(read.value)
    }

    /// Lists users.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn users(&self, _by: &Admin, filter: &UserFilter, page: Page) -> Result<UserList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { users::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// A user with their newest orders and transactions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn user(&self, _by: &Admin, id: UserId) -> Result<Option<UserDetail>> {
        let read = self.store.read(|tx| Box::pin(users::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// A user's activity: log-ins, orders, transactions, or all of them.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn activity(&self, _by: &Admin, id: UserId, kind: ActivityKind, span: Span) -> Result<Option<Activity>> {
        let read = self
            .store
            .read(|tx| Box::pin(users::activity(tx, id, kind, span)))
            .await?;
        Ok(read.value)
    }

    /// Lists orders.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn orders(&self, _by: &Admin, status: Option<OrderStatus>, page: Page) -> Result<OrderList> {
        let read = self.store.read(|tx| Box::pin(orders::list(tx, status, page))).await?;
        Ok(read.value)
    }

    /// An order with its items, units and transaction.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn order(&self, _by: &Admin, id: OrderId) -> Result<Option<OrderDetail>> {
        let read = self.store.read(|tx| Box::pin(orders::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// Lists transactions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn transactions(&self, _by: &Admin, filter: &TransactionFilter, page: Page) -> Result<TransactionList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { transactions::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// Lists users' carts.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn carts(&self, _by: &Admin, filter: &CartFilter, page: Page) -> Result<CartList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { carts::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// A user's cart.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn cart(&self, by: &Admin, id: UserId) -> Result<Option<Cart>> {
        if self.user(by, id).await?.is_none() {
            return Ok(None);
        }
        let owner = CartOwner::User(id);
        let read = self
            .store
            .read(|tx| Box::pin(lockstep_store::carts::load(tx, owner)))
            .await?;
        Ok(Some(read.value))
    }

    /// Lists users' wishlists.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn wishlists(&self, _by: &Admin, filter: &CartFilter, page: Page) -> Result<WishlistList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { carts::wishlists(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// A user's wishlist.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn wishlist(&self, by: &Admin, id: UserId) -> Result<Option<Wishlist>> {
        if self.user(by, id).await?.is_none() {
            return Ok(None);
        }
        let owner = CartOwner::User(id);
        let read = self
            .store
            .read(|tx| Box::pin(lockstep_store::wishlists::load(tx, owner)))
            .await?;
        Ok(Some(read.value))
    }

    /// Lists the games of the catalogue.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn games(&self, _by: &Admin, page: Page) -> Result<GameList> {
        let read = self.store.read(|tx| Box::pin(catalogue::list(tx, page))).await?;
        Ok(read.value)
    }

    /// A game, listed or withdrawn.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn game(&self, _by: &Admin, id: GameId) -> Result<Option<GameDetail>> {
        let read = self.store.read(|tx| Box::pin(catalogue::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// All entries of a taxonomy, with the number of games of each.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn taxonomy(&self, _by: &Admin, taxonomy: Taxonomy) -> Result<Vec<TaxonomyRow>> {
        let read = self
            .store
            .read(|tx| Box::pin(catalogue::taxonomy(tx, taxonomy)))
            .await?;
        Ok(read.value)
    }

    /// The state of the synchronisation with G2A.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn sync_status(&self, _by: &Admin, now: DateTime<Utc>) -> Result<SyncStatus> {
        let read = self.store.read(|tx| Box::pin(sync::status(tx, now))).await?;
        Ok(read.value)
    }

    /// Progress of the running synchronisation.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn sync_progress(&self, _by: &Admin, now: DateTime<Utc>) -> Result<SyncProgress> {
        let read = self.store.read(|tx| Box::pin(sync::progress(tx, now))).await?;
        Ok(read.value)
    }
}
