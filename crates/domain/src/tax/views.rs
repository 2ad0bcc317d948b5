//! What people see and enter of VAT: the shop's statement, a shopper's billing data, receipts, and the report.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::{Country, Proof, TaxRules, TaxedAt, Treatment, VatId, VatIdFault, VatStatus};
use crate::account::{FieldError, is_printable};
use crate::admin::{Exact, Paging};
use crate::ids::OrderId;
use crate::language::Language;
use crate::money::Money;

/// Maximum length of a line of an address, in characters.
const MAX_LINE: usize = 200;
/// Maximum length of a postcode, in characters.
const MAX_POSTCODE: usize = 20;

/// A name with its postal address. Empty lines are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostalName {
    /// Name of the person or company.
    pub name: String,
    /// Street and number.
    pub street: String,
    /// Postcode.
    pub postcode: String,
    /// Town.
    pub city: String,
}

/// What the operator has stated, with the seller's details on receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaxSettings {
    /// Number of the statement; 0 while nothing was stated.
    pub version: i64,
    /// Whether VAT is charged.
    pub status: VatStatus,
    /// The shop's country.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 2, max_length = 2))]
    pub country: Option<Country>,
    /// Where sales to consumers in other member states are taxed.
    pub taxed_at: TaxedAt,
    /// Pieces of evidence that have to agree: 2, or 1 below 100,000 EUR a year.
    pub evidence_pieces: u8,
    /// Name and address.
    pub seller: PostalName,
    /// VAT id.
    pub vat_id: Option<String>,
    /// Tax number, of a small business without a VAT id.
    pub tax_number: Option<String>,
    /// Whether receipts can be numbered: name, address, and a VAT id (of a small business also a tax number) are there.
    pub is_complete: bool,
}

impl TaxSettings {
    /// While nothing was stated.
    pub fn nothing() -> Self {
        Self {
            version: 0,
            status: VatStatus::Off,
            country: None,
            taxed_at: TaxedAt::Buyer,
            evidence_pieces: 2,
            seller: PostalName::default(),
            vat_id: None,
            tax_number: None,
            is_complete: false,
        }
    }

    /// The rules; `None` while VAT is off.
    pub fn rules(&self) -> Option<TaxRules> {
        let shop = self.country.filter(|_| self.status != VatStatus::Off)?;
        Some(TaxRules {
            status: self.status,
            shop,
            taxed_at: self.taxed_at,
            pieces: self.evidence_pieces,
        })
    }
}

/// What staff enter of [`TaxSettings`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaxSettingsForm {
    /// `OFF`, `EXEMPT` or `STANDARD`.
    pub status: String,
    /// Code of the shop's country.
    pub country: String,
    /// `BUYER` or `SHOP`; empty is `BUYER`.
    pub taxed_at: String,
    /// 1 or 2.
    pub evidence_pieces: i64,
    /// Name and address.
    pub seller: PostalName,
    /// VAT id, or nothing.
    pub vat_id: String,
    /// Tax number, or nothing.
    pub tax_number: String,
    /// The version that the form showed.
    pub version: i64,
}

impl TaxSettingsForm {
    /// Checks what was entered. The seller's details may follow later; receipts are numbered from then on.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self) -> Result<TaxSettings, Vec<FieldError>> {
        let mut faults = Faults::default();
        let status = VatStatus::of(self.status.trim()).unwrap_or_else(|| {
            faults.add(
                "status",
                "vat_status_unknown",
                "This field must be OFF, EXEMPT or STANDARD",
            );
            VatStatus::Off
        });
        let country = Country::new(&self.country).filter(Country::is_member_state);
        if country.is_none() && (status != VatStatus::Off || !self.country.trim().is_empty()) {
            faults.add(
                "country",
                "country_not_eu",
                "This field must be the code of an EU country, such as DE",
            );
        }
        let taxed_at = match self.taxed_at.trim() {
            "" => TaxedAt::Buyer,
            name => TaxedAt::of(name).unwrap_or_else(|| {
                faults.add("taxedAt", "taxed_at_unknown", "This field must be BUYER or SHOP");
                TaxedAt::Buyer
            }),
        };
        let evidence_pieces = u8::try_from(self.evidence_pieces).ok().filter(|n| matches!(n, 1 | 2));
        if evidence_pieces.is_none() {
            faults.add("evidencePieces", "evidence_pieces_unknown", "This field must be 1 or 2");
        }
        let seller = faults.address(&self.seller);
        let vat_id = faults.vat_id(&self.vat_id).map(|id| id.to_string());
        let tax_number = faults.line("taxNumber", &self.tax_number, 50);
        let tax_number = (!tax_number.is_empty()).then_some(tax_number);
        let is_complete = [&seller.name, &seller.street, &seller.postcode, &seller.city]
            .iter()
            .all(|line| !line.is_empty())
            && match status {
                VatStatus::Off => false,
                VatStatus::Exempt => vat_id.is_some() || tax_number.is_some(),
                VatStatus::Standard => vat_id.is_some(),
            };
        faults.finish(TaxSettings {
            version: self.version,
            status,
            country,
            taxed_at,
            evidence_pieces: evidence_pieces.unwrap_or(2),
            seller,
            vat_id,
            tax_number,
            is_complete,
        })
    }
}

/// What a shopper has entered for receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BillingProfile {
    /// Country.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 2, max_length = 2))]
    pub country: Country,
    /// Name and address, as far as they were entered.
    #[serde(flatten)]
    pub address: PostalName,
    /// VAT id of a company.
    pub vat_id: Option<String>,
    /// What VIES said of it: `VALID`, `INVALID`, `UNAVAILABLE`; `null` if it was not asked.
    pub vat_id_check: Option<String>,
}

/// What a shopper enters of [`BillingProfile`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillingForm {
    /// Code of the country.
    pub country: String,
    /// Name and address, or nothing.
    pub address: PostalName,
    /// VAT id, or nothing.
    pub vat_id: String,
}

impl BillingForm {
    /// Checks what was entered. A VAT id needs a name and an address, which its invoice has to show, and its own country.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self) -> Result<(BillingProfile, Option<VatId>), Vec<FieldError>> {
        let mut faults = Faults::default();
        let country = Country::new(&self.country);
        if country.is_none() {
            faults.add("country", "country_missing", "Choose a country");
        }
        let address = faults.address(&self.address);
        let vat_id = faults.vat_id(&self.vat_id);
        if let Some(id) = &vat_id {
            if country.is_some_and(|country| country != id.country()) {
                faults.add(
                    "country",
                    "vat_id_other_country",
                    "This must be the country of the VAT ID",
                );
            }
            for (path, line) in [
                ("name", &address.name),
                ("street", &address.street),
                ("postcode", &address.postcode),
                ("city", &address.city),
            ] {
                if line.is_empty() {
                    faults.add(
                        path,
                        "vat_id_needs_address",
                        "An invoice with a VAT ID needs this field",
                    );
                }
            }
        }
        match country {
            Some(country) => faults.finish((
                BillingProfile {
                    country,
                    address,
                    vat_id: vat_id.as_ref().map(VatId::to_string),
                    vat_id_check: None,
                },
                vat_id,
            )),
            None => Err(faults.0),
        }
    }
}

/// Collects the errors of a form.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, path: &'static str, code: &'static str, msg: &'static str) {
        self.0.push(FieldError { path, code, msg });
    }

    /// One line of text, trimmed, or nothing.
    fn line(&mut self, path: &'static str, text: &str, most: usize) -> String {
        let text = text.trim();
        if !is_printable(text) {
            self.add(
                path,
                "control_characters",
                "This field must not hold control characters",
            );
        } else if text.chars().nth(most).is_some() {
            self.add(path, "too_long", "This field is too long");
        }
        text.to_owned()
    }

    fn address(&mut self, entered: &PostalName) -> PostalName {
        PostalName {
            name: self.line("name", &entered.name, MAX_LINE),
            street: self.line("street", &entered.street, MAX_LINE),
            postcode: self.line("postcode", &entered.postcode, MAX_POSTCODE),
            city: self.line("city", &entered.city, MAX_LINE),
        }
    }

    fn vat_id(&mut self, text: &str) -> Option<VatId> {
        if text.trim().is_empty() {
            return None;
        }
        match VatId::new(text) {
            Ok(id) => Some(id),
            Err(VatIdFault::Country) => {
                self.add(
                    "vatId",
                    "vat_id_country",
                    "A VAT ID begins with the letters of an EU country, such as DE",
                );
                None
            }
            Err(VatIdFault::Form) => {
                self.add("vatId", "vat_id_form", "This is not how VAT IDs of this country look");
                None
            }
        }
    }

    fn finish<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// A receipt, or a note that takes back a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReceiptKind {
    /// Of what an order has delivered.
    Receipt,
    /// Of a refund after that.
    CreditNote,
}

impl ReceiptKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Receipt, Self::CreditNote];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "RECEIPT",
            Self::CreditNote => "CREDIT_NOTE",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A receipt in a list. Amounts of a credit note are positive, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptRow {
    /// ID of the receipt.
    pub id: Uuid,
    /// Number of the receipt.
    pub number: String,
    /// Receipt or credit note.
    pub kind: ReceiptKind,
    /// ID of the order.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
    pub order_id: OrderId,
    /// Number of the order.
    pub order_number: String,
    /// When it was issued.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub issued_at: DateTime<Utc>,
    /// How the sale is taxed.
    pub treatment: Treatment,
    /// Where it is taxed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub country: Country,
    /// Percent.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub rate: Exact,
    /// How well the buyer's country is proven.
    pub proof: Proof,
    /// Amount without VAT.
    pub net: Money,
    /// VAT.
    pub vat: Money,
    /// Amount with VAT.
    pub gross: Money,
}

/// A page of receipts, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptList {
    /// The receipts.
    pub receipts: Vec<ReceiptRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptLine {
    /// What was sold; empty on a credit note.
    pub title: String,
    /// How many.
    pub quantity: u32,
    /// Amount without VAT.
    pub net: Money,
    /// VAT.
    pub vat: Money,
    /// Amount with VAT.
    pub gross: Money,
}

/// A whole receipt, as it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptView {
    /// What its list shows.
    #[serde(flatten)]
    pub row: ReceiptRow,
    /// Number of the receipt that a credit note takes back.
    pub corrects: Option<String>,
    /// When that one was issued.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub corrects_issued_at: Option<DateTime<Utc>>,
    /// Language of the documents.
    #[serde(serialize_with = "code_of")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub language: Language,
    /// The seller.
    pub seller: PostalName,
    /// Country of the seller.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub seller_country: Country,
    /// VAT id of the seller.
    pub seller_vat_id: Option<String>,
    /// Tax number of the seller.
    pub seller_tax_number: Option<String>,
    /// The buyer, as far as it is known.
    pub buyer: PostalName,
    /// Country that the buyer has stated, or where the sale is taxed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub buyer_country: Country,
    /// VAT id of the buyer.
    pub buyer_vat_id: Option<String>,
    /// Its lines.
    pub lines: Vec<ReceiptLine>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn code_of<S: serde::Serializer>(language: &Language, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(language.code())
}

/// Receipts less credit notes of one country, rate and treatment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VatReportRow {
    /// Where the sales are taxed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub country: Country,
    /// How.
    pub treatment: Treatment,
    /// Percent.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub rate: Exact,
    /// Whether the row belongs into the report of the one-stop shop.
    pub is_oss: bool,
    /// Number of receipts.
    pub receipts: u64,
    /// Number of credit notes.
    pub credit_notes: u64,
    /// Amount without VAT.
    pub net: Money,
    /// VAT.
    pub vat: Money,
    /// Amount with VAT.
    pub gross: Money,
}

/// The report of a quarter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VatReport {
    /// The quarter, such as `2026-Q4`.
    pub quarter: String,
    /// First day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub from: NaiveDate,
    /// Last day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub to: NaiveDate,
    /// By country, treatment and rate.
    pub rows: Vec<VatReportRow>,
    /// Amount without VAT, of all rows.
    pub net: Money,
    /// VAT of all rows.
    pub vat: Money,
    /// Amount with VAT, of all rows.
    pub gross: Money,
    /// Completed orders whose country is not proven, all in all.
    pub to_review: u64,
}

/// A quarter of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarter {
    year: i32,
    /// 1 to 4.
    number: u32,
}

impl Quarter {
    /// The quarter of a name such as `2026-Q4`.
    pub fn new(name: &str) -> Option<Self> {
        let (year, number) = name.split_once("-Q")?;
        let (year, number) = (year.parse().ok()?, number.parse().ok()?);
        ((2000..=9998).contains(&year) && (1..=4).contains(&number)).then_some(Self { year, number })
    }

    /// The quarter of a day.
    pub fn of(day: NaiveDate) -> Self {
        use chrono::Datelike as _;
        Self {
            year: day.year(),
            number: day.month0() / 3 + 1,
        }
    }

    /// The one before.
    #[must_use]
    pub const fn before(self) -> Self {
        if self.number == 1 {
            Self {
                year: self.year - 1,
                number: 4,
            }
        } else {
            Self {
                year: self.year,
                number: self.number - 1,
            }
        }
    }

    /// The first day, and that of the next quarter.
    pub fn days(self) -> (NaiveDate, NaiveDate) {
        let first = |year, month| NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default();
        let begin = first(self.year, self.number * 3 - 2);
        let end = if self.number == 4 {
            first(self.year + 1, 1)
        } else {
            first(self.year, self.number * 3 + 1)
        };
        (begin, end)
    }
}

impl std::fmt::Display for Quarter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-Q{}", self.year, self.number)
    }
}

/// The rate as it is shown: `19`, `25.5`.
pub fn rate_text(rate: Decimal) -> String {
    rate.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> PostalName {
        PostalName {
            name: "Muster GmbH".to_owned(),
            street: "Hauptstr. 1".to_owned(),
            postcode: "10115".to_owned(),
            city: "Berlin".to_owned(),
        }
    }

    fn settings() -> TaxSettingsForm {
        TaxSettingsForm {
            status: "STANDARD".to_owned(),
            country: "de".to_owned(),
            evidence_pieces: 2,
            seller: address(),
            vat_id: "DE 123 456 789".to_owned(),
            ..TaxSettingsForm::default()
        }
    }

    fn paths<T: std::fmt::Debug>(checked: Result<T, Vec<FieldError>>) -> Vec<&'static str> {
        checked.unwrap_err().iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn a_statement_is_complete_with_name_address_and_vat_id() {
        let full = settings().checked().unwrap();
        assert!(full.is_complete && full.rules().is_some());
        assert_eq!(full.vat_id.as_deref(), Some("DE123456789"));
        let without = |change: fn(&mut TaxSettingsForm)| {
            let mut form = settings();
            change(&mut form);
            form.checked().unwrap().is_complete
        };
        assert!(!without(|form| form.vat_id.clear()));
        assert!(!without(|form| form.seller.city.clear()));
        assert!(without(|form| {
            form.status = "EXEMPT".to_owned();
            form.vat_id.clear();
            form.tax_number = "12/345/67890".to_owned();
        }));
        let off = TaxSettingsForm {
            status: "OFF".to_owned(),
            evidence_pieces: 2,
            ..TaxSettingsForm::default()
        };
        let off = off.checked().unwrap();
        assert!(!off.is_complete && off.rules().is_none());
    }

    #[test]
    fn a_statement_names_what_is_wrong() {
        let form = TaxSettingsForm {
            status: "ON".to_owned(),
            country: "US".to_owned(),
            taxed_at: "MOON".to_owned(),
            evidence_pieces: 3,
            vat_id: "DE1".to_owned(),
            tax_number: "1\u{7}".to_owned(),
            ..TaxSettingsForm::default()
        };
        assert_eq!(
            paths(form.checked()),
            ["status", "country", "taxedAt", "evidencePieces", "vatId", "taxNumber"]
        );
    }

    #[test]
    fn a_consumer_needs_a_country_and_a_company_its_address_too() {
        let consumer = BillingForm {
            country: "FR".to_owned(),
            ..BillingForm::default()
        };
        assert_eq!(consumer.clone().checked().unwrap().0.country.as_str(), "FR");
        assert_eq!(paths(BillingForm::default().checked()), ["country"]);
        let company = BillingForm {
            vat_id: "FR12345678901".to_owned(),
            address: address(),
            ..consumer.clone()
        };
        assert!(company.clone().checked().unwrap().1.is_some());
        let elsewhere = BillingForm {
            country: "DE".to_owned(),
            ..company
        };
        assert_eq!(paths(elsewhere.checked()), ["country"]);
        let nameless = BillingForm {
            vat_id: "FR12345678901".to_owned(),
            ..consumer
        };
        assert_eq!(paths(nameless.checked()), ["name", "street", "postcode", "city"]);
    }

    #[test]
    fn quarters_follow_each_other() {
        let quarter = Quarter::new("2026-Q4").unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(quarter.days(), (day("2026-10-01"), day("2027-01-01")));
        assert_eq!(Quarter::new("2027-Q1").unwrap().before(), quarter);
        assert_eq!(quarter.before().to_string(), "2026-Q3");
        for last in ["2026-10-01", "2026-12-31"] {
            assert_eq!(Quarter::of(day(last)), quarter);
        }
        for nothing in ["2026", "2026-Q0", "2026-Q5", "1999-Q1", "9999-Q1", "x-Q1", "2026-Q"] {
            assert_eq!(Quarter::new(nothing), None, "{nothing}");
        }
    }
}
