//! Billing data and receipts of shoppers.

use lockstep_auth::CurrentUser;
use lockstep_documents::{EInvoiceError, FaceParsingError, e_invoice, receipt_pdf};
use lockstep_domain::ids::OrderId;
use lockstep_domain::tax::{BillingProfile, ReceiptRow, ReceiptView, TaxSettings, VatId, VatRates};
use lockstep_store::vat::{self, VatIdCheck};
use lockstep_vat::ViesAnswer;

use crate::{RequestContext, Shop, ShopError};

/// A receipt as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFormat {
    /// PDF.
    Pdf,
    /// An electronic invoice, EN 16931 in UBL.
    Xml,
}

impl ReceiptFormat {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Xml => "application/xml",
        }
    }

    /// The ending of its name.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Xml => "xml",
        }
    }

    /// The file of a receipt.
    ///
    /// # Errors
    /// [`ReceiptFileError`].
    pub fn file(self, receipt: &ReceiptView) -> Result<Vec<u8>, ReceiptFileError> {
        Ok(match self {
            Self::Pdf => receipt_pdf(receipt)?,
            Self::Xml => e_invoice(receipt)?.into_bytes(),
        })
    }
}

/// Why there is no file of a receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFileError {
    /// The embedded font cannot be read.
    #[error("the font of PDF files cannot be read")]
    Font(#[from] FaceParsingError),
    /// It is no electronic invoice.
    #[error(transparent)]
    Standard(#[from] EInvoiceError),
}

impl Shop {
    /// What the operator has stated about VAT.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn tax_settings(&self) -> Result<TaxSettings, ShopError> {
        Ok(vat::settings(self.store()).await?)
    }

    /// The rates of VAT in force.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn vat_rates(&self) -> Result<VatRates, ShopError> {
        Ok(vat::rates(self.store()).await?)
    }

    /// The caller's billing data; `None` if nothing was entered.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    pub async fn billing(&self, caller: &CurrentUser) -> Result<Option<BillingProfile>, ShopError> {
        Ok(vat::billing(self.store(), caller.user()).await?)
    }

    /// Stores the caller's billing data. A VAT id is looked up in VIES if the operator wants that; its silence prevents nothing.
    ///
    /// # Errors
    /// [`ShopError::Store`]; [`ShopError::Refused`] when too many VAT ids were looked up.
    #[tracing::instrument(name = "shop.change_billing", skip_all)]
    pub async fn change_billing(
        &self,
        caller: &CurrentUser,
        new: &BillingProfile,
        vat_id: Option<&VatId>,
    ) -> Result<BillingProfile, ShopError> {
        let known = self.billing(caller).await?;
        let is_known = |id: &VatId| {
            known.as_ref().is_some_and(|known| {
                known.vat_id.as_deref() == Some(id.as_str()) && known.vat_id_check.as_deref() == Some("VALID")
            })
        };
        let check = match (vat_id, self.vies()) {
            (Some(id), Some(vies)) if !is_known(id) => {
                self.allow_order(caller).await?;
                Some(match vies.ask(id).await {
                    ViesAnswer::Valid => VatIdCheck::Valid,
                    ViesAnswer::Invalid => VatIdCheck::Invalid,
                    ViesAnswer::Unavailable => VatIdCheck::Unavailable,
                })
            }
            _ => None,
        };
        vat::put_billing(self.store(), caller.user(), new, check).await?;
        self.billing(caller).await?.ok_or(ShopError::NotFound("Account"))
    }
}

impl RequestContext {
    /// The receipt of the caller's order and its credit notes, the oldest first; none while there are none.
    ///
    /// # Errors
    /// [`ShopError`]; [`ShopError::NotFound`] when the order is not the caller's.
    #[tracing::instrument(name = "shop.receipts", skip_all)]
    pub async fn receipts(&self, order: OrderId) -> Result<Vec<ReceiptRow>, ShopError> {
        let user = self.signed_in()?.user();
        self.shop()
            .order_of(user, order)
            .await?
            .ok_or(ShopError::NotFound("Order"))?;
        Ok(vat::of_order(self.shop().store(), order, Some(user)).await?)
    }

    /// The document of the caller's order with this number; without a number, its receipt.
    ///
    /// # Errors
    /// [`ShopError`]; [`ShopError::NotFound`] when there is none.
    #[tracing::instrument(name = "shop.receipt", skip_all)]
    pub async fn receipt(&self, order: OrderId, number: Option<&str>) -> Result<ReceiptView, ShopError> {
        let user = self.signed_in()?.user();
        let all = vat::of_order(self.shop().store(), order, Some(user)).await?;
        let wanted = all.iter().find(|row| number.is_none_or(|number| row.number == number));
        let id = wanted.ok_or(ShopError::NotFound("Receipt"))?.id;
        vat::receipt(self.shop().store(), id, Some(user))
            .await?
            .ok_or(ShopError::NotFound("Receipt"))
    }
}
