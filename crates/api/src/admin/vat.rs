//! `/api/admin/receipts…`, `/api/admin/reports/vat` and `/api/admin/vat-settings`.

use std::str::FromStr;

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{List, ReceiptFilter, TaxSettingsError};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use lockstep_domain::tax::{
    PostalName, Quarter, ReceiptKind, ReceiptList, ReceiptView, TaxSettings, TaxSettingsForm, VatReport,
};
use lockstep_shop::ReceiptFormat;
use utoipa::{OpenApi, ToSchema};

use super::routes::{Confirmed, StaffRoute, at};
use super::{Paged, RequireStaff, days, files, found};
use crate::answer::{self, Answered, PdfFile};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;
use crate::receipts::file;

#[derive(OpenApi)]
#[openapi(
    paths(list, one, pdf, xml, report, settings, change_settings),
    components(schemas(ListedReceipts))
)]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/receipts").get(Permission::PaymentsRead, list),
        at("/api/admin/receipts/{id}").get(Permission::PaymentsRead, one),
        at("/api/admin/receipts/{id}/pdf").get(Permission::PaymentsRead, pdf),
        at("/api/admin/receipts/{id}/xml").get(Permission::PaymentsRead, xml),
        at("/api/admin/reports/vat").get(Permission::PaymentsRead, report),
        at("/api/admin/vat-settings")
            .get(Permission::PaymentsRead, settings)
            .put(Confirmed(Permission::SystemWrite), change_settings),
    ]
}

/// The kind of the receipts of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ListedReceipts {
    /// Receipts.
    Receipt,
    /// Credit notes.
    Credit,
}

impl FromStr for ListedReceipts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "receipt" => Ok(Self::Receipt),
            "credit" => Ok(Self::Credit),
            _ => Err("must be receipt or credit"),
        }
    }
}

/// Returns receipts and credit notes, newest first.
///
/// With `format=csv`, everything is returned as a file for accountants, oldest first, with the frozen evidence; amounts of credit
/// notes are negative there. Days are days in UTC.
#[utoipa::path(get, path = "/api/admin/receipts", tag = "admin", operation_id = "adminReceipts", security(("bearer" = [])), params(
    ("kind" = Option<ListedReceipts>, Query, description = "Only receipts, or only credit notes"),
    ("number" = Option<String>, Query, max_length = 100, description = "Number of a receipt or of an order"),
    ("review" = Option<bool>, Query, description = "Only those whose country is not proven"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default) or `csv`"), Paged<20>),
    responses((status = 200, description = "A page of receipts", content((Answer<ReceiptList> = "application/json"), (String = "text/csv"))),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as staff with the permission payments.read"),
    (status = 503, description = "Too many files at the same time")))]
pub(crate) async fn list(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let span = days(&ask)?;
    let filter = ReceiptFilter {
        kind: ask.parsed::<ListedReceipts>("kind")?.map(|kind| match kind {
            ListedReceipts::Receipt => ReceiptKind::Receipt,
            ListedReceipts::Credit => ReceiptKind::CreditNote,
        }),
        from: span.from,
        until: span.until,
        number: ask.text("number")?,
        to_review: ask.flag("review")?.unwrap_or_default(),
    };
    if files::wanted(&ask)? {
        return files::csv(&staff, List::Receipts(filter), false).await;
    }
    answer::data(
        StatusCode::OK,
        &staff.office.receipts(&staff.admin, &filter, page).await?,
    )
}

async fn read(staff: &RequireStaff, id: &str) -> Result<ReceiptView, ApiError> {
    let receipt = staff.office.receipt(&staff.admin, uuid_in("id", id)?).await?;
    found(receipt, "Receipt")
}

/// Returns a receipt or credit note with its lines.
#[utoipa::path(get, path = "/api/admin/receipts/{id}", tag = "admin", operation_id = "adminReceipt", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the receipt")),
    responses((status = 200, description = "The receipt", body = Answer<ReceiptView>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission payments.read"), (status = 404, description = "There is no such receipt")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &read(&staff, &id).await?)
}

/// Returns a receipt or credit note as PDF, in the language of its buyer.
#[utoipa::path(get, path = "/api/admin/receipts/{id}/pdf", tag = "admin", operation_id = "adminReceiptPdf", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the receipt")),
    responses((status = 200, description = "The file", body = PdfFile, content_type = "application/pdf"), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission payments.read"), (status = 404, description = "There is no such receipt")))]
pub(crate) async fn pdf(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    file(&read(&staff, &id).await?, ReceiptFormat::Pdf)
}

/// Returns a receipt or credit note as an electronic invoice: EN 16931 in UBL 2.1.
#[utoipa::path(get, path = "/api/admin/receipts/{id}/xml", tag = "admin", operation_id = "adminReceiptXml", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the receipt")),
    responses((status = 200, description = "The file", body = String, content_type = "application/xml"), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission payments.read"), (status = 404, description = "There is no such receipt"),
    (status = 409, description = "`no_e_invoice`: the receipt lacks something that the standard asks for")))]
pub(crate) async fn xml(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    file(&read(&staff, &id).await?, ReceiptFormat::Xml)
}

/// Returns what was taxed in a quarter, by country, treatment and rate: receipts less credit notes that were issued in it (UTC).
///
/// Rows with `isOss` belong into the report of the one-stop shop.
#[utoipa::path(get, path = "/api/admin/reports/vat", tag = "admin", operation_id = "adminVatReport", security(("bearer" = [])), params(
    ("quarter" = Option<String>, Query, max_length = 100, description = "Such as `2026-Q4`; by default the present one")),
    responses((status = 200, description = "The report", body = Answer<VatReport>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn report(staff: RequireStaff, ask: Ask) -> Answered {
    let quarter = match ask.text("quarter")? {
        None => Quarter::of(staff.now.date_naive()),
        Some(name) => Quarter::new(&name).ok_or_else(|| ApiError::invalid("quarter", "must be like 2026-Q4"))?,
    };
    answer::data(StatusCode::OK, &staff.office.vat_report(&staff.admin, quarter).await?)
}

request_body! {
    /// The operator's statement about VAT. It replaces the one before.
    struct VatStatement {
        /// `OFF`; `EXEMPT`: a small business, receipts show no VAT; `STANDARD`: VAT is charged.
        #[schema(max_length = 20)]
        status: String = "status",
        /// ISO code of the shop's country, a member state of the EU. Required unless the status is `OFF`.
        #[schema(max_length = 2)]
        country: Option<String> = "country",
        /// Where sales to consumers in other member states are taxed: `BUYER` (default, reported by OSS) or `SHOP` (below 10,000 EUR a year).
        #[schema(max_length = 20)]
        taxed_at: Option<String> = "taxedAt",
        /// Pieces of evidence for the buyer's country that have to agree: 2 (default), or 1 below 100,000 EUR a year.
        #[schema(minimum = 1, maximum = 2)]
        evidence_pieces: Option<i64> = "evidencePieces",
        /// Name of the seller. Without name, address and VAT ID, no receipt is numbered.
        #[schema(max_length = 200)]
        name: Option<String> = "name",
        /// Street and number of the seller.
        #[schema(max_length = 200)]
        street: Option<String> = "street",
        /// Postcode of the seller.
        #[schema(max_length = 20)]
        postcode: Option<String> = "postcode",
        /// Town of the seller.
        #[schema(max_length = 200)]
        city: Option<String> = "city",
        /// VAT ID of the seller.
        #[schema(max_length = 30)]
        vat_id: Option<String> = "vatId",
        /// Tax number of a small business without a VAT ID.
        #[schema(max_length = 50)]
        tax_number: Option<String> = "taxNumber",
        /// The version that the form showed; 0 if nothing was stated before.
        #[schema(minimum = 0)]
        version: i64 = "version",
    }
}

/// Returns the operator's statement about VAT.
#[utoipa::path(get, path = "/api/admin/vat-settings", tag = "admin", operation_id = "adminVatSettings", security(("bearer" = [])),
    responses((status = 200, description = "The statement", body = Answer<TaxSettings>),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn settings(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.tax_settings(&staff.admin).await?)
}

/// States the shop's country and VAT status, and the seller's details on receipts.
///
/// It holds for later orders; how an earlier order is taxed never changes. If receipts can be numbered from then on, those of orders
/// that completed without one are made, at most a thousand at a time.
#[utoipa::path(put, path = "/api/admin/vat-settings", tag = "admin", operation_id = "changeVatSettings", security(("bearer" = [])), request_body = VatStatement,
    responses((status = 200, description = "The statement", body = Answer<TaxSettings>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"),
    (status = 409, description = "`outdated`: changed meanwhile")))]
pub(crate) async fn change_settings(staff: RequireStaff, body: Body) -> Answered {
    let (sent, form) = body.read::<VatStatement>();
    let entered = TaxSettingsForm {
        status: sent.status,
        country: sent.country.unwrap_or_default(),
        taxed_at: sent.taxed_at.unwrap_or_default(),
        evidence_pieces: sent.evidence_pieces.unwrap_or(2),
        seller: PostalName {
            name: sent.name.unwrap_or_default(),
            street: sent.street.unwrap_or_default(),
            postcode: sent.postcode.unwrap_or_default(),
            city: sent.city.unwrap_or_default(),
        },
        vat_id: sent.vat_id.unwrap_or_default(),
        tax_number: sent.tax_number.unwrap_or_default(),
        version: sent.version,
    };
    let statement = form.finish(entered.checked())?;
    let stated = staff.office.state_vat(&staff.admin, &statement).await;
    let stated = stated.map_err(|error| match error {
        TaxSettingsError::Outdated => ApiError::refused(StatusCode::CONFLICT, "outdated", &error),
        TaxSettingsError::Store(error) => error.into(),
    })?;
    answer::data(StatusCode::OK, &stated)
}
