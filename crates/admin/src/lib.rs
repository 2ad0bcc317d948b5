//! The use cases of staff, shared by the JSON API and the console.
//!
//! Every use case takes the [`Admin`] who calls it, which only a checked session of staff can create; the route has
//! checked the permission. Lists are read in one snapshot, so that a page matches its total. Nothing is cached: staff
//! decide from what they see.

mod changes;

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
use lockstep_domain::staff::Permission;
use lockstep_store::admin::{
    carts, dashboard, game_edits, games as catalogue, orders, sync, transactions, user_change, users,
};
use lockstep_store::{Result, Store};

pub use lockstep_store::admin::carts::Filter as CartFilter;
pub use lockstep_store::admin::changes::ChangeError;
pub use lockstep_store::admin::faqs::Filter as FaqFilter;
pub use lockstep_store::admin::games::Taxonomy;
pub use lockstep_store::admin::promo_codes::PromoCodeChange;
pub use lockstep_store::admin::transactions::{Filter as TransactionFilter, Method};
pub use lockstep_store::admin::user_change::{UserChange, UserChangeError};
pub use lockstep_store::admin::users::{Filter as UserFilter, Kind as ActivityKind, Span};
pub use lockstep_store::orders::{ChangeError as OrderChangeError, Changed as ChangedOrder, OrderChange};
pub use lockstep_store::promo_codes::{NewPromoCode, PromoCodeError};

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

    /// Key figures of the shop as of `now`; without addresses for those who may not read users.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.dashboard", skip_all)]
    pub async fn dashboard(&self, by: &Admin, now: DateTime<Utc>) -> Result<Dashboard> {
        let read = self.store.read(|tx| Box::pin(dashboard::read(tx, now))).await?;
        Ok(if by.may(Permission::UsersRead) {
            read.value
        } else {
            read.value.without_people()
        })
    }

    /// Lists users.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.users", skip_all)]
    pub async fn users(&self, _by: &Admin, filter: &UserFilter, page: Page) -> Result<UserList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { users::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// A user with their newest orders and transactions. The session is remembered to have been shown the balance, with
    /// which a form of [`change_user`](Self::change_user) is compared.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.user", skip_all)]
    pub async fn user(&self, by: &Admin, id: UserId) -> Result<Option<UserDetail>> {
        let read = self.store.read(|tx| Box::pin(users::detail(tx, id))).await?;
        if let Some(shown) = read.value.as_ref().filter(|_| by.may(Permission::UsersWrite)) {
            // Without this record a form is refused until the user is read again: no reason to show nothing now.
            let _noted = user_change::note_balance(&self.store, by.caller().session(), id, shown.user.balance).await;
        }
        Ok(read.value)
    }

    /// A user's activity: log-ins, orders, transactions, or all of them.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.activity", skip_all)]
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
    #[tracing::instrument(name = "admin.orders", skip_all)]
    pub async fn orders(&self, _by: &Admin, status: Option<OrderStatus>, page: Page) -> Result<OrderList> {
        let read = self.store.read(|tx| Box::pin(orders::list(tx, status, page))).await?;
        Ok(read.value)
    }

    /// An order with its items, units and transaction.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.order", skip_all, fields(order = %id))]
    pub async fn order(&self, _by: &Admin, id: OrderId) -> Result<Option<OrderDetail>> {
        let read = self.store.read(|tx| Box::pin(orders::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// Lists transactions.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.transactions", skip_all)]
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
    #[tracing::instrument(name = "admin.carts", skip_all)]
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
    #[tracing::instrument(name = "admin.cart", skip_all)]
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
    #[tracing::instrument(name = "admin.wishlists", skip_all)]
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
    #[tracing::instrument(name = "admin.wishlist", skip_all)]
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
    #[tracing::instrument(name = "admin.games", skip_all)]
    pub async fn games(&self, _by: &Admin, page: Page) -> Result<GameList> {
        let read = self.store.read(|tx| Box::pin(catalogue::list(tx, page))).await?;
        Ok(read.value)
    }

    /// A game, listed or withdrawn.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game", skip_all, fields(game = %id))]
    pub async fn game(&self, by: &Admin, id: GameId) -> Result<Option<GameDetail>> {
        let read = self.store.read(|tx| Box::pin(catalogue::detail(tx, id))).await?;
        if let Some(shown) = read.value.as_ref().filter(|_| by.may(Permission::CatalogueWrite)) {
            // Without this record a form is compared with the game as it is then.
            let _noted = game_edits::note_shown(&self.store, by.caller().session(), shown).await;
        }
        Ok(read.value)
    }

    /// All entries of a taxonomy, with the number of games of each.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.taxonomy", skip_all)]
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
    #[tracing::instrument(name = "admin.sync_status", skip_all)]
    pub async fn sync_status(&self, _by: &Admin, now: DateTime<Utc>) -> Result<SyncStatus> {
        let read = self.store.read(|tx| Box::pin(sync::status(tx, now))).await?;
        Ok(read.value)
    }

    /// Progress of the running synchronisation.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.sync_progress", skip_all)]
    pub async fn sync_progress(&self, _by: &Admin, now: DateTime<Utc>) -> Result<SyncProgress> {
        let read = self.store.read(|tx| Box::pin(sync::progress(tx, now))).await?;
        Ok(read.value)
    }
}
