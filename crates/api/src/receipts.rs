//! `/api/user/billing` and `/api/orders/{id}/receipt…`: billing data, receipts and credit notes of the signed-in user.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::OrderId;
use lockstep_domain::tax::{BillingForm, BillingProfile, PostalName, ReceiptRow, ReceiptView};
use lockstep_shop::{ReceiptFileError, ReceiptFormat};
use utoipa::OpenApi;

use crate::answer::{self, Answered, PdfFile};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;
use crate::visit::SignedInUser;
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(billing, change_billing, list, pdf, xml))]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/billing", get(billing).put(change_billing)),
        ("/api/orders/{id}/receipt", get(list)),
        ("/api/orders/{id}/receipt.pdf", get(pdf)),
        ("/api/orders/{id}/receipt.xml", get(xml)),
    ]
}

request_body! {
    /// Billing data. With a VAT ID, name and address are required.
    struct Billing {
        /// ISO code of the country.
        #[schema(min_length = 2, max_length = 2)]
        country: String = "country",
        /// Name of the person or company.
        #[schema(max_length = 200)]
        name: Option<String> = "name",
        /// Street and number.
        #[schema(max_length = 200)]
        street: Option<String> = "street",
        /// Postcode.
        #[schema(max_length = 20)]
        postcode: Option<String> = "postcode",
        /// Town.
        #[schema(max_length = 200)]
        city: Option<String> = "city",
        /// VAT ID of a company in the EU, with its prefix.
        #[schema(max_length = 30)]
        vat_id: Option<String> = "vatId",
    }
}

/// Returns the billing data of the user; `null` if nothing was entered.
#[utoipa::path(get, path = "/api/user/billing", tag = "user", operation_id = "getBilling", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Option<BillingProfile>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn billing(State(api): Api, member: SignedInUser) -> Answered {
    answer::data(StatusCode::OK, &api.shop.billing(&member.caller).await?)
}

/// Replaces the billing data of the user.
///
/// Later orders are taxed by it; how an earlier order is taxed never changes. Where the operator wants it, the VAT ID is looked up in
/// VIES; without an answer the request succeeds, and `vatIdCheck` says so.
#[utoipa::path(put, path = "/api/user/billing", tag = "user", operation_id = "changeBilling", security(("bearer" = [])), request_body = Billing, responses(
    (status = 200, body = Answer<BillingProfile>), (status = 400, description = "Invalid fields, listed in `errors`"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many requests; retry after `Retry-After` seconds")))]
pub(crate) async fn change_billing(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let (sent, form) = body.read::<Billing>();
    let entered = BillingForm {
        country: sent.country,
        address: PostalName {
            name: sent.name.unwrap_or_default(),
            street: sent.street.unwrap_or_default(),
            postcode: sent.postcode.unwrap_or_default(),
            city: sent.city.unwrap_or_default(),
        },
        vat_id: sent.vat_id.unwrap_or_default(),
    };
    let (profile, vat_id) = form.finish(entered.checked())?;
    let stored = api
        .shop
        .change_billing(&member.caller, &profile, vat_id.as_ref())
        .await?;
    answer::data(StatusCode::OK, &stored)
}

/// Returns the receipt of an order of the user and its credit notes, oldest first.
///
/// An order has its receipt when it is complete, if the shop issues receipts.
#[utoipa::path(get, path = "/api/orders/{id}/receipt", tag = "orders", operation_id = "listReceipts", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, body = Answer<Vec<ReceiptRow>>), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order, or it belongs to another user")))]
pub(crate) async fn list(Path(id): Path<String>, member: SignedInUser) -> Answered {
    let order = uuid_in("id", &id).map(OrderId)?;
    answer::data(StatusCode::OK, &member.context.receipts(order).await?)
}

/// Returns the receipt of an order of the user as PDF.
#[utoipa::path(get, path = "/api/orders/{id}/receipt.pdf", tag = "orders", operation_id = "getReceiptPdf", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the order"),
    ("number" = Option<String>, Query, max_length = 100, description = "Number of a credit note; by default the receipt")),
    responses((status = 200, description = "The file", body = PdfFile, content_type = "application/pdf"), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order or receipt, or it belongs to another user")))]
pub(crate) async fn pdf(Path(id): Path<String>, member: SignedInUser, ask: Ask) -> Answered {
    document(&id, &member, &ask, ReceiptFormat::Pdf).await
}

/// Returns the receipt of an order of the user as an electronic invoice: EN 16931 in UBL 2.1.
#[utoipa::path(get, path = "/api/orders/{id}/receipt.xml", tag = "orders", operation_id = "getReceiptXml", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the order"),
    ("number" = Option<String>, Query, max_length = 100, description = "Number of a credit note; by default the receipt")),
    responses((status = 200, description = "The file", body = String, content_type = "application/xml"), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order or receipt, or it belongs to another user"),
    (status = 409, description = "`no_e_invoice`: the receipt lacks something that the standard asks for")))]
pub(crate) async fn xml(Path(id): Path<String>, member: SignedInUser, ask: Ask) -> Answered {
    document(&id, &member, &ask, ReceiptFormat::Xml).await
}

async fn document(id: &str, member: &SignedInUser, ask: &Ask, format: ReceiptFormat) -> Answered {
    let order = uuid_in("id", id).map(OrderId)?;
    let number = ask.text("number")?;
    let receipt = member.context.receipt(order, number.as_deref()).await?;
    file(&receipt, format)
}

/// The receipt as a file to store.
pub(crate) fn file(receipt: &ReceiptView, format: ReceiptFormat) -> Answered {
    let mut response = Response::new(HttpBody::from(format.file(receipt)?));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Numbers consist of letters, digits and hyphens.
    let name = format!("attachment; filename=\"{}.{}\"", receipt.row.number, format.ending());
    if let Ok(disposition) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

impl From<ReceiptFileError> for ApiError {
    fn from(error: ReceiptFileError) -> Self {
        match error {
            ReceiptFileError::Font(_) => Self::Bug(Some(Arc::new(error))),
            ReceiptFileError::Standard(_) => Self::refused(StatusCode::CONFLICT, "no_e_invoice", &error),
        }
    }
}
