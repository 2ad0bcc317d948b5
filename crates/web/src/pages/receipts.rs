//! Receipts of the reader's orders: as a page, as PDF, and as an electronic invoice.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use lockstep_domain::ids::OrderId;
use lockstep_domain::tax::{PostalName, ReceiptKind, ReceiptView, Treatment, rate_text};
use lockstep_page::countries::country_name;
use lockstep_shop::{ReceiptFileError, ReceiptFormat};

use crate::error::PageError;
use crate::i18n::Language;
use crate::layout::Layout;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    layout: Layout,
    title: String,
    order: OrderId,
    order_number: String,
    number: String,
    date: String,
    machine_date: String,
    corrects: Option<String>,
    seller: Vec<String>,
    buyer: Vec<String>,
    lines: Vec<Line>,
    net: String,
    /// Rate and amount; `None` when no VAT is charged.
    vat: Option<(String, String)>,
    gross: String,
    /// Why no VAT is charged.
    reason: Option<&'static str>,
}

struct Line {
    title: String,
    quantity: u32,
    net: String,
    vat: String,
    gross: String,
}

fn address(words: Language, name: &PostalName, country: &str, ids: [Option<String>; 2]) -> Vec<String> {
    let town = format!("{} {}", name.postcode, name.city).trim().to_owned();
    [
        name.name.clone(),
        name.street.clone(),
        town,
        country_name(words, country),
    ]
    .into_iter()
    .chain(ids.into_iter().flatten())
    .filter(|line| !line.is_empty())
    .collect()
}

/// The word for a document of this kind.
pub(crate) fn kind(words: Language, kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Receipt => words.text("receipt.receipt"),
        ReceiptKind::CreditNote => words.text("receipt.credit_note"),
    }
}

async fn read(id: &str, visit: &Preferences, member: &SignedInUser) -> Result<ReceiptView, PageError> {
    let order: OrderId = id.parse().map_err(|_| PageError::NotFound)?;
    let number = visit
        .pairs()
        .find(|(name, _)| name == "number")
        .map(|(_, number)| number);
    Ok(member.context.receipt(order, number.as_deref()).await?)
}

/// `GET /orders/{id}/receipt`
pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let receipt = read(&id, &visit, &member).await?;
    let row = &receipt.row;
    let vat_id = |id: &Option<String>| id.as_ref().map(|id| words.with("receipt.vat_id", id));
    let tax_number = receipt
        .seller_tax_number
        .as_ref()
        .filter(|_| receipt.seller_vat_id.is_none())
        .map(|number| words.with("receipt.tax_number", number));
    let lines = receipt.lines.iter().map(|line| Line {
        title: match (line.title.as_str(), &receipt.corrects) {
            ("", Some(corrects)) => words.with("receipt.refund_of", corrects),
            (title, _) => title.to_owned(),
        },
        quantity: line.quantity,
        net: format::price(words, line.net),
        vat: format::price(words, line.vat),
        gross: format::price(words, line.gross),
    });
    let page = ReceiptPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        title: format!("{} {}", kind(words, row.kind), row.number),
        order: row.order_id,
        order_number: row.order_number.clone(),
        number: row.number.clone(),
        date: format::date(words, row.issued_at),
        machine_date: row.issued_at.to_rfc3339(),
        corrects: receipt.corrects.clone(),
        seller: address(
            words,
            &receipt.seller,
            receipt.seller_country.as_str(),
            [vat_id(&receipt.seller_vat_id), tax_number],
        ),
        buyer: address(
            words,
            &receipt.buyer,
            receipt.buyer_country.as_str(),
            [vat_id(&receipt.buyer_vat_id), None],
        ),
        lines: lines.collect(),
        net: format::price(words, row.net),
        vat: (row.treatment == Treatment::Standard).then(|| (rate_text(row.rate.0), format::price(words, row.vat))),
        gross: format::price(words, row.gross),
        reason: match row.treatment {
            Treatment::Standard => None,
            Treatment::Exempt => Some(words.text("receipt.exempt")),
            Treatment::ReverseCharge => Some(words.text("receipt.reverse_charge")),
            Treatment::Outside => Some(words.text("receipt.outside")),
        },
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

/// `GET /orders/{id}/receipt.pdf`
pub(crate) async fn pdf(
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    file(&read(&id, &visit, &member).await?, ReceiptFormat::Pdf)
}

/// `GET /orders/{id}/receipt.xml`
pub(crate) async fn xml(
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    file(&read(&id, &visit, &member).await?, ReceiptFormat::Xml)
}

fn file(receipt: &ReceiptView, format: ReceiptFormat) -> Result<Response, PageError> {
    let bytes = format.file(receipt).map_err(|error| match error {
        ReceiptFileError::Standard(_) => PageError::NotFound,
        ReceiptFileError::Font(_) => PageError::Internal,
    })?;
    let mut response = Response::new(Body::from(bytes));
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
