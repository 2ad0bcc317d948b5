//! The use cases of staff, shared by the JSON API and the console.
//!
//! Every use case takes the [`Admin`] who calls it, which only a checked session of staff can create; the route has
//! checked the permission. Lists are read in one snapshot, so that a page matches its total. Nothing is cached: staff
//! decide from what they see.

mod announcements;
mod branding;
mod cards;
mod catalogue;
mod changes;

mod content;
mod email_servers;
mod emails;
mod evidence;
mod files;
mod game_pictures;
mod games;
mod history;
mod holds;
mod key_csv;
mod keys;
mod mailing;
mod operation;
mod order_emails;
mod prices;
mod promotions;
mod reports;
mod schedule;
mod shoppers;
mod site;
mod staff;
mod supplier;
mod supplier_accounts;
mod taxonomies;
mod tokens;
mod user_export;
mod user_report;
mod vat;
mod views;
mod webhooks;
mod withdrawals;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_clock::Random;
use lockstep_domain::GameId;
use lockstep_domain::admin::{
    Activity, CartList, Dashboard, GameDetail, GameList, OrderDetail, OrderList, Page, SyncProgress, SyncStatus,
    TaxonomyRow, TransactionList, UserDetail, UserList, WishlistList,
};
use lockstep_domain::cart::{Cart, CartOwner, Wishlist};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_domain::price::Pricing;
use lockstep_domain::staff::Permission;
use lockstep_images::Scaler;
use lockstep_store::admin::{
    carts, dashboard, game_edits, games as catalogue_games, orders, sync, transactions, user_change, users,
};
use lockstep_store::{Result, Store};
use tokio::sync::{Semaphore, watch};

pub use branding::{LogoError, MAX_LOGO_BYTES};
pub use emails::EmailDraft;
pub use files::{FileError, ListFile, Truncated};
pub use game_pictures::{AddPictureError, MAX_PICTURE_BYTES};
pub use key_csv::CsvFault;
pub use keys::{
    GameKeyChange, KeyChangeError, KeyFilter, KeyImportError, KeyInput, KeyService, MAX_IMPORT_BYTES, NewGameKey,
    RevealError,
};
pub use lockstep_mail::edited::SourceError;
pub use lockstep_store::admin::carts::Filter as CartFilter;
pub use lockstep_store::admin::catalogue::{
    Filter as CatalogueFilter, Place as CataloguePlace, Row as CatalogueRow, Sheet as GameSheet, Sort as CatalogueSort,
};
pub use lockstep_store::admin::changes::ChangeError;
pub use lockstep_store::admin::faqs::Filter as FaqFilter;
pub use lockstep_store::admin::files::List;
pub use lockstep_store::admin::game_pictures::PictureError;
pub use lockstep_store::admin::games::Taxonomy;
pub use lockstep_store::admin::keys::KeyError;
pub use lockstep_store::admin::price_rules::PriceRulesError;
pub use lockstep_store::admin::promo_codes::PromoCodeChange;
pub use lockstep_store::admin::reports::TimeZone;
pub use lockstep_store::admin::supplier::{CloseError, ReservationFilter, job_row};
pub use lockstep_store::admin::top_ups::Filter as TopUpFilter;
pub use lockstep_store::admin::transactions::{Filter as TransactionFilter, Method};
pub use lockstep_store::admin::user_change::{UserChange, UserChangeError};
pub use lockstep_store::admin::users::{Filter as UserFilter, Kind as ActivityKind, Span};
pub use lockstep_store::bulk::{
    Bulk, BulkCounts, BulkError, BulkGame, BulkGroup, BulkKind, BulkSheet, NewBulk, Selection as BulkSelection,
};
pub use lockstep_store::cards::disputes::DisputeState;
pub use lockstep_store::cards::evidence::EvidenceError;
pub use lockstep_store::cards::holds::{
    DecideError as HoldDecideError, Decision as HoldDecision, FraudRule, RuleError as FraudRuleError,
};
pub use lockstep_store::cards::incidents::CloseError as IncidentCloseError;
pub use lockstep_store::cards::refunds::RefundError as CardRefundError;
pub use lockstep_store::fulfilment::NotRefundable;
pub use lockstep_store::fulfilment::{EmailSettings, ReplaceError, ReplacementBudget, ReplacementWay};
pub use lockstep_store::jobs::{Cancelled as JobCancelled, Job, JobKind, JobState, NewJob, Submitted};
pub use lockstep_store::orders::{ChangeError as OrderChangeError, Changed as ChangedOrder, OrderChange};
pub use lockstep_store::promo_codes::{NewPromoCode, PromoCodeError};
pub use lockstep_store::scheduled::{Filter as ScheduleFilter, NewScheduledChange, ScheduleError};
pub use lockstep_store::vat::{ReceiptFilter, StateError as TaxSettingsError};
pub use lockstep_store::views::{MAX_VIEWS, NamedThing, SavedView, ViewError, ViewForm};
pub use promotions::NewBatch;
pub use reports::{MAX_COUNTED_DAYS, MAX_REPORT_DAYS, ReportDays, ReportError, WrongDays};
pub use supplier::MAX_PRODUCTS;
use supplier_accounts::SupplierWay;
pub use supplier_accounts::{
    IssuedToken, SupplierAccess, SupplierAccessError, SupplierAccountError, SupplierCredentials, supplier_api_key,
};

pub use lockstep_store::admin::staff::{NewRole, RoleError};
pub use lockstep_store::withdrawals::{
    Decision as WithdrawalDecision, DecisionError as WithdrawalError, WithdrawalState,
};
pub use lockstep_webhooks::AddressPolicy;
pub use mailing::{EmailError, FixedServer, Mailing};
pub use operation::{
    CheckState, Diagnosis, Finding, FirstStep, FirstSteps, Operation, ProcessInfo, SettingInForce, Versions,
};
pub use order_emails::{EmailContent, SentEmail};
pub use views::sharing;
pub use webhooks::{MAX_OVERLAP_HOURS, OVERLAP_HOURS, WebhookError, WebhookSettings};

/// The use cases of staff over one store. Cheap to clone.
///
/// Every function fails with [`lockstep_store::StoreError`] when the database does not answer, and returns `None` for
/// what does not exist.
#[derive(Debug, Clone)]
pub struct BackOffice {
    store: Store,
    keys: KeyService,
    mailing: Arc<Mailing>,
    supplier: SupplierWay,
    webhooks: Arc<WebhookSettings>,
    zone: TimeZone,
    pricing: Pricing,
    random: Random,
    /// The payment providers in use that take cards.
    cards: Vec<&'static str>,
    /// Places for reports that read every sale of their period.
    reports: Arc<Semaphore>,
    /// Scales uploaded pictures.
    pictures: Scaler,
    /// Places for lists as files.
    files: Arc<Semaphore>,
    /// Changes whenever the invalidation log has news.
    news: Option<watch::Receiver<u64>>,
    /// What the process knows of itself.
    checkups: operation::Checkups,
    /// The shop's name by the settings of the program.
    shop_name: Option<String>,
}

impl BackOffice {
    /// Creates the use cases over `store`, with what those about keys need, with days in UTC and in a process without
    /// e-mail settings of its own.
    pub fn new(store: Store, keys: KeyService) -> Self {
        Self {
            store,
            keys,
            mailing: Arc::default(),
            supplier: SupplierWay::default(),
            webhooks: Arc::default(),
            zone: TimeZone::default(),
            pricing: Pricing::default(),
            random: Random::system(),
            cards: Vec::new(),
            reports: Arc::new(Semaphore::new(reports::REPORTS_AT_ONCE)),
            pictures: Scaler::new(game_pictures::SCALED_AT_ONCE),
            files: Arc::new(Semaphore::new(files::FILES_AT_ONCE)),
            news: None,
            checkups: operation::Checkups::default(),
            shop_name: None,
        }
    }

    /// Sets what the process can say of itself.
    #[must_use]
    pub fn with_operation(self, operation: Arc<dyn Operation>) -> Self {
        Self {
            checkups: operation::Checkups::of(operation),
            ..self
        }
    }

    /// Sets what changes whenever the invalidation log has news: the end of a job is noticed at once then.
    #[must_use]
    pub fn with_news(self, news: watch::Receiver<u64>) -> Self {
        Self {
            news: Some(news),
            ..self
        }
    }

    /// Sets the e-mail settings of the process.
    #[must_use]
    pub fn with_mailing(self, mailing: Mailing) -> Self {
        Self {
            mailing: Arc::new(mailing),
            ..self
        }
    }

    /// Sets the payment providers in use that take cards: only their payments can be refunded to them.
    #[must_use]
    pub fn with_cards(self, cards: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            cards: cards.into_iter().collect(),
            ..self
        }
    }

    /// Sets the random source of promo codes.
    #[must_use]
    pub fn with_random(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// Sets what price rules start from: the settings of the synchronisation.
    #[must_use]
    pub fn with_pricing(self, pricing: Pricing) -> Self {
        Self { pricing, ..self }
    }

    /// Sets how this process reaches G2A with credentials that staff enter.
    #[must_use]
    pub fn with_supplier(self, access: Arc<dyn SupplierAccess>) -> Self {
        Self {
            supplier: SupplierWay::new(access),
            ..self
        }
    }

    /// Sets what the process needs for outgoing webhooks.
    #[must_use]
    pub fn with_webhooks(self, settings: WebhookSettings) -> Self {
        Self {
            webhooks: Arc::new(settings),
            ..self
        }
    }

    /// Key figures of the shop as of `now`; without addresses for those who may not read users.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.dashboard", skip_all)]
    pub async fn dashboard(&self, by: &Admin, now: DateTime<Utc>) -> Result<Dashboard> {
        let zone = self.zone.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { dashboard::read(tx, now, &zone).await }))
            .await?;
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
        let read = self.store.read(|tx| Box::pin(catalogue_games::list(tx, page))).await?;
        Ok(read.value)
    }

    /// A game, listed or withdrawn.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game", skip_all, fields(game = %id))]
    pub async fn game(&self, by: &Admin, id: GameId) -> Result<Option<GameDetail>> {
        let read = self.store.read(|tx| Box::pin(catalogue_games::detail(tx, id))).await?;
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
            .read(|tx| Box::pin(catalogue_games::taxonomy(tx, taxonomy)))
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
