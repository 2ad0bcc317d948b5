//! VAT: receipts and credit notes, the report of a quarter, and what the operator states.

use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderValue;
use axum::response::Response;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use lockstep_admin::{List, ReceiptFilter, TaxSettingsError};
use lockstep_domain::staff::Permission;
use lockstep_domain::tax::{
    MEMBER_STATES, PostalName, Quarter, ReceiptKind, ReceiptRow, TaxSettings, TaxSettingsForm, TaxedAt, VatReport,
    VatReportRow, VatStatus, rate_text,
};
use lockstep_page::countries::country_name;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::{format, page};
use lockstep_shop::ReceiptFormat;

use super::{found, id};
use crate::action::Choice;
use crate::edit::{self, Control, EditPage};
use crate::gate::{Confirmed, Route, StaffForm, at};
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, Filter, ListPage, Row, Table, with_query};

const RECEIPTS: &str = "/admin/payments/receipts";
const REPORT: &str = "/admin/payments/vat";
const SETTINGS: &str = "/admin/payments/vat/settings";
/// How many quarters before the present one the report offers.
const QUARTERS: usize = 12;

/// Every page of the room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        at(RECEIPTS).get(Permission::PaymentsRead, list),
        at("/admin/payments/receipts/{id}/{format}").get(Permission::PaymentsRead, file),
        at(REPORT).get(Permission::PaymentsRead, report),
        at(SETTINGS)
            .get(Permission::SystemWrite, settings_page)
            .post(Confirmed(Permission::SystemWrite), state),
    ]
}

/// A day of the address, as its beginning in UTC. What is none is no filter.
fn day(staff: &Staff, name: &str) -> Option<DateTime<Utc>> {
    let day = NaiveDate::parse_from_str(&staff.parameter(name)?, "%Y-%m-%d").ok()?;
    let day = Some(day).filter(|day| (1..=9999).contains(&chrono::Datelike::year(day)))?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

/// `GET /admin/payments/receipts`
async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let filter = ReceiptFilter {
        kind: staff.parameter("kind").and_then(|kind| ReceiptKind::of(&kind)),
        from: day(&staff, "from"),
        until: day(&staff, "to").and_then(|day| day.checked_add_days(Days::new(1))),
        number: staff
            .parameter("number")
            .map(|number| number.chars().take(100).collect()),
        to_review: staff.parameter("review").is_some(),
    };
    if table::wants_file(&staff) {
        return table::file(&staff, List::Receipts(filter), false).await;
    }
    let listed = staff.office().receipts(&staff.admin, &filter, staff.page()).await?;
    let rows = listed.receipts.into_iter().map(|receipt| row(&staff, receipt));
    let filters = vec![
        Filter::choice(
            &staff,
            "kind",
            words.text("console.column.kind"),
            show::choices(words, "receipt", ReceiptKind::ALL.map(ReceiptKind::as_str)),
        ),
        Filter::choice(
            &staff,
            "review",
            words.text("console.vat.proof"),
            vec![("yes".to_owned(), words.text("console.vat.to_review").to_owned())],
        ),
        Filter::text(&staff, "number", words.text("console.vat.number")),
        Filter::day(&staff, "from", words.text("console.filter.from")),
        Filter::day(&staff, "to", words.text("console.filter.to")),
    ];
    let head = [
        "console.vat.number",
        "console.column.kind",
        "console.vat.country",
        "console.vat.treatment",
        "#console.vat.rate",
        "#console.vat.net",
        "#console.vat.vat",
        "#console.vat.gross",
        "console.vat.proof",
        "console.column.time",
        "console.vat.order",
        "console.vat.file",
    ];
    let table = Table::plain(words, "console.vat.receipts", &head, rows.collect())
        .filtered(&staff, filters)
        .paged(&staff, listed.paging)
        .with_file(&staff)
        .or_else(words, "console.vat.none", "console.vat.none.advice");
    page::private(&ListPage {
        layout: layout(&staff, "console.vat.receipts"),
        lead: None,
        actions: vec![(words.text("console.vat.report"), REPORT.to_owned())],
        table,
    })
}

fn layout(staff: &Staff, title: &str) -> Layout {
    let words = staff.words();
    let payments = (words.text("console.room.payments"), "/admin/payments");
    Layout::new(staff, words.text(title).to_owned(), &[payments])
}

fn row(staff: &Staff, receipt: ReceiptRow) -> Row {
    let words = staff.words();
    Row {
        href: Some(format!("{RECEIPTS}/{}/pdf", receipt.id)),
        cells: vec![
            Cell::Main(receipt.number),
            Cell::Text(show::name(words, "receipt", receipt.kind.as_str())),
            Cell::Text(country_name(words, receipt.country.as_str())),
            Cell::Text(show::name(words, "treatment", receipt.treatment.as_str())),
            Cell::Number(rate_text(receipt.rate.0)),
            Cell::money(words, receipt.net),
            Cell::money(words, receipt.vat),
            Cell::money(words, receipt.gross),
            Cell::Tag(
                if receipt.proof.needs_review() { "warn" } else { "good" },
                show::name(words, "proof", receipt.proof.as_str()),
            ),
            Cell::time(words, receipt.issued_at),
            if staff.may(Permission::OrdersRead) {
                Cell::Link(receipt.order_number, format!("/admin/orders/{}", receipt.order_id))
            } else {
                Cell::Code(receipt.order_number)
            },
            Cell::Link("XML".to_owned(), format!("{RECEIPTS}/{}/xml", receipt.id)),
        ],
    }
}

/// `GET /admin/payments/receipts/{id}/{format}`
async fn file(staff: Staff, Path((receipt, format)): Path<(String, String)>) -> Result<Response, PageError> {
    let format = match format.as_str() {
        "pdf" => ReceiptFormat::Pdf,
        "xml" => ReceiptFormat::Xml,
        _ => return Err(PageError::NotFound),
    };
    let receipt = found(staff.office().receipt(&staff.admin, id(&receipt)?).await?)?;
    // What lacks something that the standard asks for is no electronic invoice.
    let bytes = format.file(&receipt).map_err(|_| PageError::NotFound)?;
    let name = format!("attachment; filename=\"{}.{}\"", receipt.row.number, format.ending());
    let kind = HeaderValue::from_static(format.media_type());
    Ok(table::attachment(Body::from(bytes), kind, &name))
}

/// `GET /admin/payments/vat`
async fn report(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let present = Quarter::of(staff.now.date_naive());
    let asked = staff.parameter("quarter").and_then(|name| Quarter::new(&name));
    let report = staff
        .office()
        .vat_report(&staff.admin, asked.unwrap_or(present))
        .await?;
    let settings = staff.office().tax_settings(&staff.admin).await?;
    let quarters = std::iter::successors(Some(present), |quarter| Some(quarter.before())).take(QUARTERS);
    let filters = vec![Filter::choice(
        &staff,
        "quarter",
        words.text("console.vat.quarter"),
        quarters
            .map(|quarter| (quarter.to_string(), quarter.to_string()))
            .collect(),
    )];
    let head = [
        "console.vat.country",
        "console.vat.treatment",
        "#console.vat.rate",
        "console.vat.oss",
        "#console.vat.receipts",
        "#console.vat.credit_notes",
        "#console.vat.net",
        "#console.vat.vat",
        "#console.vat.gross",
    ];
    let rows = report.rows.iter().map(|row| report_row(&staff, row)).collect();
    let table = Table::plain(words, "console.vat.report", &head, rows)
        .filtered(&staff, filters)
        .or_else(words, "console.vat.none", "console.vat.none.advice");
    let range = [
        ("from", report.from.to_string()),
        ("to", report.to.to_string()),
        ("format", "csv".to_owned()),
    ];
    let mut actions = vec![(
        words.text("console.vat.export"),
        with_query(RECEIPTS, range.iter().map(|(name, value)| (*name, value.as_str()))),
    )];
    actions.push((words.text("console.vat.receipts"), RECEIPTS.to_owned()));
    if staff.may(Permission::SystemWrite) {
        actions.push((words.text("console.vat.settings"), SETTINGS.to_owned()));
    }
    page::private(&ListPage {
        layout: layout(&staff, "console.vat.report"),
        lead: Some(lead(&staff, &report, &settings)),
        actions,
        table,
    })
}

/// What to know about the report: its sums, or why there is nothing.
fn lead(staff: &Staff, report: &VatReport, settings: &TaxSettings) -> String {
    let words = staff.words();
    let mut lead = words.with_all(
        "console.vat.sums",
        &[
            &report.quarter,
            &format::price(words, report.net),
            &format::price(words, report.vat),
            &format::price(words, report.gross),
        ],
    );
    if settings.status == VatStatus::Off {
        words.text("console.vat.off").clone_into(&mut lead);
    } else if !settings.is_complete {
        lead = format!("{} {lead}", words.text("console.vat.incomplete"));
    }
    if report.to_review > 0 {
        lead = format!("{lead} {}", words.count("console.vat.review", report.to_review));
    }
    lead
}

fn report_row(staff: &Staff, row: &VatReportRow) -> Row {
    let words = staff.words();
    Row {
        href: None,
        cells: vec![
            Cell::Main(country_name(words, row.country.as_str())),
            Cell::Text(show::name(words, "treatment", row.treatment.as_str())),
            Cell::Number(rate_text(row.rate.0)),
            if row.is_oss {
                Cell::Tag("", words.text("console.vat.oss").to_owned())
            } else {
                Cell::Nothing
            },
            Cell::number(words, row.receipts),
            Cell::number(words, row.credit_notes),
            Cell::money(words, row.net),
            Cell::money(words, row.vat),
            Cell::money(words, row.gross),
        ],
    }
}

fn settings_form(staff: &Staff, form: &Form, stored: &TaxSettings) -> Result<Response, PageError> {
    let words = staff.words();
    let mut edit_page = EditPage::new(
        layout(staff, "console.vat.settings"),
        form,
        SETTINGS.to_owned(),
        words.text("form.save"),
        REPORT.to_owned(),
    );
    edit_page.lead = Some(words.text("console.vat.settings.lead").to_owned());
    let chosen = |name: &str, value: &str| {
        if edit::has_input(form) {
            form.value(name).to_owned()
        } else {
            value.to_owned()
        }
    };
    let options = |name: &str, stored: &str, values: Vec<(String, String)>| {
        let chosen = chosen(name, stored);
        values
            .into_iter()
            .map(|(value, text)| {
                let is_chosen = value == chosen;
                (value, text, is_chosen)
            })
            .collect()
    };
    let country = stored.country.map(|country| country.to_string()).unwrap_or_default();
    let mut countries: Vec<(String, String)> = MEMBER_STATES
        .into_iter()
        .map(|code| (code.to_owned(), country_name(words, code)))
        .collect();
    countries.sort_by(|(_, one), (_, other)| one.cmp(other));
    countries.insert(0, (String::new(), words.text("console.vat.country.choose").to_owned()));
    let line =
        |name, text, value: &str| Control::Line(edit::stored(form, form.field(name, "text", words.text(text)), value));
    edit_page.controls = vec![
        Control::Choice(Choice {
            name: "status",
            label: words.text("console.vat.status"),
            options: options(
                "status",
                stored.status.as_str(),
                show::choices(words, "vat_status", VatStatus::ALL.map(VatStatus::as_str)),
            ),
        }),
        Control::Choice(Choice {
            name: "country",
            label: words.text("console.vat.shop_country"),
            options: options("country", &country, countries),
        }),
        Control::Choice(Choice {
            name: "taxedAt",
            label: words.text("console.vat.taxed_at"),
            options: options(
                "taxedAt",
                stored.taxed_at.as_str(),
                show::choices(words, "taxed_at", TaxedAt::ALL.map(TaxedAt::as_str)),
            ),
        }),
        Control::Choice(Choice {
            name: "evidencePieces",
            label: words.text("console.vat.pieces"),
            options: options(
                "evidencePieces",
                &stored.evidence_pieces.to_string(),
                show::choices(words, "evidence_pieces", ["2", "1"]),
            ),
        }),
        line("name", "console.vat.seller_name", &stored.seller.name),
        line("street", "console.vat.seller_street", &stored.seller.street),
        line("postcode", "console.vat.seller_postcode", &stored.seller.postcode),
        line("city", "console.vat.seller_city", &stored.seller.city),
        line(
            "vatId",
            "console.vat.vat_id",
            stored.vat_id.as_deref().unwrap_or_default(),
        ),
        line(
            "taxNumber",
            "console.vat.tax_number",
            stored.tax_number.as_deref().unwrap_or_default(),
        ),
    ];
    edit_page.problem = form.problem().or_else(|| form.error("country")).map(str::to_owned);
    edit_page.hidden = vec![edit::seen(form, "version", stored.version)];
    edit_page.answer(form)
}

/// `GET /admin/payments/vat/settings`
async fn settings_page(staff: Staff) -> Result<Response, PageError> {
    let stored = staff.office().tax_settings(&staff.admin).await?;
    settings_form(&staff, &Form::default(), &stored)
}

/// `POST /admin/payments/vat/settings`
async fn state(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let text = |name: &str| form.value(name).to_owned();
    let entered = TaxSettingsForm {
        status: text("status"),
        country: text("country"),
        taxed_at: text("taxedAt"),
        evidence_pieces: form.value("evidencePieces").parse().unwrap_or(0),
        seller: PostalName {
            name: text("name"),
            street: text("street"),
            postcode: text("postcode"),
            city: text("city"),
        },
        vat_id: text("vatId"),
        tax_number: text("taxNumber"),
        version: form.value("version").parse().unwrap_or(-1),
    };
    match entered.checked() {
        Ok(statement) => match staff.office().state_vat(&staff.admin, &statement).await {
            Ok(_) => return Ok(forms::done(&format!("{REPORT}?done=vat"))),
            Err(TaxSettingsError::Store(error)) => return Err(error.into()),
            Err(TaxSettingsError::Outdated) => edit::outdated(words, &mut form, "version"),
        },
        Err(errors) => form.wrong_fields(words, &errors),
    }
    let stored = staff.office().tax_settings(&staff.admin).await?;
    settings_form(&staff, &form, &stored)
}
