//! The catalogue as a list, a game as its form shows it, and changes of many games at once.

use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{GameForm, GameUpdated, Page, Paging};
use lockstep_domain::staff::Permission;
use lockstep_store::admin::catalogue::{self, Filter, Place, Rows, Sheet, Sort};
use lockstep_store::bulk::{self, Bulk, BulkError, BulkGame, BulkGroup, BulkKind, BulkSheet, NewBulk};
use lockstep_store::{Result, StoreError};
use uuid::Uuid;

use crate::{BackOffice, ChangeError, Taxonomy};

/// Leaves out what only staff who may read price rules may know.
fn conceal(game: &mut BulkGame) {
    game.cost = None;
    game.reason.take_if(|reason| reason == "BELOW_COST");
}

impl BackOffice {
    /// A page of the listed games of a filter, with the number of all of them. Without the supplier's prices for staff who
    /// may not read price rules.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.catalogue", skip_all)]
    pub async fn catalogue(
        &self,
        by: &Admin,
        filter: &Filter,
        sort: Sort,
        place: Option<&Place>,
        size: u32,
    ) -> Result<Rows> {
        let (filter, place) = (filter.clone(), place.cloned());
        let read = self
            .store
            .read(|tx| Box::pin(async move { catalogue::list(tx, &filter, sort, place.as_ref(), size).await }));
        let read: Result<_> = read.await;
        let mut rows = read?.value;
        if !by.may(Permission::PricesRead) {
            for row in &mut rows.rows {
                row.cost = None;
            }
        }
        Ok(rows)
    }

    /// Ids and names of the entries of a taxonomy, at most 500, to choose from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn terms_to_choose(&self, _by: &Admin, taxonomy: Taxonomy) -> Result<Vec<(Uuid, String)>> {
        let read = self.store.read(|tx| Box::pin(catalogue::choices(tx, taxonomy))).await?;
        Ok(read.value)
    }

    /// The tag with this name, in any case, or this slug.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tag_named(&self, _by: &Admin, name: &str) -> Result<Option<Uuid>> {
        let name = name.to_owned();
        let read = self
            .store
            .read(|tx| Box::pin(async move { catalogue::tag(tx, &name).await }));
        let read: Result<_> = read.await;
        Ok(read?.value)
    }

    /// A game with what its form needs. Without the supplier's price for staff who may not read price rules.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.game_sheet", skip_all, fields(game = %id))]
    pub async fn game_sheet(&self, by: &Admin, id: GameId) -> Result<Option<Sheet>> {
        let read = self.store.read(|tx| Box::pin(catalogue::sheet(tx, id))).await?;
        let mut sheet = read.value;
        if let Some(sheet) = sheet.as_mut().filter(|_| !by.may(Permission::PricesRead)) {
            sheet.cost = None;
        }
        Ok(sheet)
    }

    /// Changes a game as [`update_game`](Self::update_game) does, unless it is no longer in this version.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`] in another version; those of [`update_game`](Self::update_game).
    pub async fn update_game_version(
        &self,
        by: &Admin,
        id: GameId,
        version: &str,
        form: &GameForm,
    ) -> Result<GameUpdated, ChangeError> {
        self.save_game(by, id, Some(version), form).await
    }

    /// Works out what a bulk change would do, and returns the id of its preview. Changes no game.
    ///
    /// # Errors
    /// [`BulkError`].
    #[tracing::instrument(name = "admin.look_at_bulk", skip_all)]
    pub async fn look_at_bulk(&self, by: &Admin, new: &NewBulk) -> Result<Uuid, BulkError> {
        if new.kind.is_price() && !by.may(Permission::PricesWrite) {
            return Err(BulkError::Forbidden);
        }
        bulk::look(&self.store, by.caller().user(), new).await
    }

    /// A bulk change with its figures and some of its games. Without the supplier's prices, and what is below them, for staff
    /// who may not read price rules.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.bulk_change", skip_all, fields(bulk = %id))]
    pub async fn bulk_change(&self, by: &Admin, id: Uuid) -> Result<Option<BulkSheet>> {
        let read = self.store.read(|tx| Box::pin(bulk::sheet(tx, id))).await?;
        let mut sheet = read.value;
        if let Some(sheet) = sheet.as_mut().filter(|_| !by.may(Permission::PricesRead)) {
            sheet.counts.below_cost = None;
            sheet.below_cost.clear();
            for game in sheet.changes.iter_mut().chain(&mut sheet.left_out) {
                conceal(game);
            }
        }
        Ok(sheet)
    }

    /// A page of the games of a group of a bulk change; `None` for staff who may not read price rules and ask for those below
    /// the supplier's prices.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.bulk_group", skip_all, fields(bulk = %id))]
    pub async fn bulk_group(
        &self,
        by: &Admin,
        id: Uuid,
        group: BulkGroup,
        page: Page,
    ) -> Result<Option<(Vec<BulkGame>, Paging)>> {
        let may_know = by.may(Permission::PricesRead);
        if group == BulkGroup::BelowCost && !may_know {
            return Ok(None);
        }
        let read = self
            .store
            .read(|tx| Box::pin(async move { bulk::group(tx, id, group, page).await }));
        let read: Result<_, StoreError> = read.await;
        let (mut games, paging) = read?.value;
        if !may_know {
            for game in &mut games {
                conceal(game);
            }
        }
        Ok(Some((games, paging)))
    }

    /// The state of a bulk change, and the game that a worker is at: changes with each step.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bulk_position(&self, _by: &Admin, id: Uuid) -> Result<Option<(String, Option<Uuid>)>> {
        let read = self.store.read(|tx| Box::pin(bulk::position(tx, id)));
        let read: Result<_, StoreError> = read.await;
        Ok(read?.value)
    }

    /// The bulk changes that were confirmed, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.bulk_changes", skip_all)]
    pub async fn bulk_changes(&self, _by: &Admin, page: Page) -> Result<(Vec<Bulk>, Paging)> {
        let read = self.store.read(|tx| Box::pin(bulk::list(tx, page)));
        let read: Result<_, StoreError> = read.await;
        Ok(read?.value)
    }

    /// Lets a worker carry out what a preview shows; prices below the supplier's only with `below_cost`. Recorded in the
    /// audit log.
    ///
    /// # Errors
    /// [`BulkError`]; then nothing has changed.
    pub async fn confirm_bulk(&self, by: &Admin, id: Uuid, below_cost: bool) -> Result<(), BulkError> {
        self.may_change(by, id, below_cost).await?;
        bulk::confirm(&self.store, by.caller().user(), id, below_cost).await
    }

    /// Lets a worker take a bulk change back, unless something was sold by it; prices that are below the supplier's by now
    /// only with `below_cost`. Recorded in the audit log.
    ///
    /// # Errors
    /// [`BulkError`]; then nothing has changed.
    pub async fn undo_bulk(&self, by: &Admin, id: Uuid, below_cost: bool) -> Result<(), BulkError> {
        self.may_change(by, id, below_cost).await?;
        bulk::undo(&self.store, by.caller().user(), id, below_cost).await
    }

    /// How many prices an undo would bring back below the supplier's; 0 for staff who may not read price rules.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bulk_undo_below_cost(&self, by: &Admin, id: Uuid) -> Result<u64> {
        if !by.may(Permission::PricesRead) {
            return Ok(0);
        }
        let read = self.store.read(|tx| Box::pin(bulk::undo_below_cost(tx, id)));
        Ok(read.await?.value)
    }

    /// Prices are changed by those who may change prices, and below the supplier's by those who may know that.
    async fn may_change(&self, by: &Admin, id: Uuid, below_cost: bool) -> Result<(), BulkError> {
        let read = self.store.read(|tx| Box::pin(bulk::kind(tx, id)));
        let read: Result<_, StoreError> = read.await;
        let is_price = read?.value.is_some_and(BulkKind::is_price);
        let may = by.may(Permission::PricesWrite) && (!below_cost || by.may(Permission::PricesRead));
        if is_price && !may {
            return Err(BulkError::Forbidden);
        }
        Ok(())
    }
}
