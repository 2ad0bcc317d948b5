//! VAT, as staff see it: receipts, the report of a quarter, and what the operator has stated.

use lockstep_auth::Admin;
use lockstep_domain::admin::Page;
use lockstep_domain::ids::OrderId;
use lockstep_domain::tax::{Quarter, ReceiptList, ReceiptRow, ReceiptView, TaxSettings, VatReport};
use lockstep_store::Result;
use lockstep_store::vat::{self, ReceiptFilter, StateError};
use uuid::Uuid;

use crate::BackOffice;

impl BackOffice {
    /// A page of receipts and credit notes, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn receipts(&self, _by: &Admin, filter: &ReceiptFilter, page: Page) -> Result<ReceiptList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(move |tx| Box::pin(async move { vat::list(tx, &filter, page).await }));
        let (receipts, total) = read.await?.value;
        Ok(ReceiptList {
            receipts,
            paging: page.of(total),
        })
    }

    /// The receipt of an order and its credit notes, the oldest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn receipts_of(&self, _by: &Admin, order: OrderId) -> Result<Vec<ReceiptRow>> {
        vat::of_order(&self.store, order, None).await
    }

    /// A receipt with its lines.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn receipt(&self, _by: &Admin, id: Uuid) -> Result<Option<ReceiptView>> {
        vat::receipt(&self.store, id, None).await
    }

    /// The report of a quarter.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.report.vat", skip_all)]
    pub async fn vat_report(&self, _by: &Admin, quarter: Quarter) -> Result<VatReport> {
        let read = self.store.read(move |tx| Box::pin(vat::quarter(tx, quarter)));
        Ok(read.await?.value)
    }

    /// What the operator has stated.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn tax_settings(&self, _by: &Admin) -> Result<TaxSettings> {
        vat::settings(&self.store).await
    }

    /// States country, status and the seller's details. Recorded in the audit log.
    ///
    /// # Errors
    /// [`StateError`].
    #[tracing::instrument(name = "admin.state_vat", skip_all)]
    pub async fn state_vat(&self, by: &Admin, new: &TaxSettings) -> std::result::Result<TaxSettings, StateError> {
        vat::state(&self.store, by.caller().user(), new).await
    }
}
