//! Prices: rules, what they would change, their jobs, and the history of a price.

use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{Page, PriceHistory, PriceJobList, PricePreview, PriceRuleSet};
use lockstep_domain::price_rules::PriceRules;
use lockstep_domain::staff::Permission;
use lockstep_store::Result;
use lockstep_store::admin::price_rules;

use crate::{BackOffice, PriceRulesError, ReportError};

impl BackOffice {
    /// The price rules in force, with the newest job.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.price_rules", skip_all)]
    pub async fn price_rules(&self, _by: &Admin) -> Result<PriceRuleSet> {
        let pricing = self.pricing;
        let read = self
            .store
            .read(|tx| Box::pin(async move { price_rules::shown(tx, &pricing).await }));
        Ok(read.await?.value)
    }

    /// These rules as they are shown.
    pub fn shown_rules(&self, rules: &PriceRules) -> PriceRuleSet {
        PriceRuleSet::of(rules, self.pricing.markup_percent, None)
    }

    /// What rules would change over the whole catalogue, with a page of the changes. Changes nothing.
    ///
    /// # Errors
    /// [`ReportError`] when too many read everything at the same time, or when the database does not answer.
    #[tracing::instrument(name = "admin.preview_price_rules", skip_all)]
    pub async fn preview_price_rules(
        &self,
        _by: &Admin,
        rules: &PriceRules,
        page: Page,
    ) -> Result<PricePreview, ReportError> {
        let _place = self.reports.try_acquire().map_err(|_| ReportError::Busy)?;
        let (rules, pricing) = (rules.clone(), self.pricing);
        let read = self
            .store
            .read(|tx| Box::pin(async move { price_rules::preview(tx, &rules, &pricing, page).await }));
        let preview: Result<_> = read.await;
        Ok(preview?.value)
    }

    /// Saves rules in place of version `version`; a worker then gives all games their prices by them.
    ///
    /// # Errors
    /// [`PriceRulesError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.save_price_rules", skip_all)]
    pub async fn save_price_rules(
        &self,
        by: &Admin,
        version: i64,
        rules: &PriceRules,
    ) -> Result<PriceRuleSet, PriceRulesError> {
        price_rules::save(&self.store, by.caller().user(), version, rules).await?;
        Ok(self.price_rules(by).await?)
    }

    /// The jobs that give games their prices, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn price_jobs(&self, _by: &Admin, page: Page) -> Result<PriceJobList> {
        let read = self.store.read(|tx| Box::pin(price_rules::jobs(tx, page))).await?;
        Ok(read.value)
    }

    /// The history of a game's price, newest first; `None` if there is no such game. Without the supplier's prices for staff
    /// who may not read price rules.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn price_history(&self, by: &Admin, game: GameId, page: Page) -> Result<Option<PriceHistory>> {
        let read = self
            .store
            .read(|tx| Box::pin(price_rules::history(tx, game, page)))
            .await?;
        let mut history = read.value;
        if !by.may(Permission::PricesRead) {
            for change in history.iter_mut().flat_map(|history| &mut history.changes) {
                change.supplier_price = None;
            }
        }
        Ok(history)
    }
}
