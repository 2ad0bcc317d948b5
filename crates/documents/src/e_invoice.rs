//! Receipts as electronic invoices: EN 16931 in UBL 2.1.
//!
//! The rules of the standard are those of the crate `en16931`, which every document has to pass before it is written.

use en16931::invoice::{
    DocumentTotals, Party, PaymentInstructions, PostalAddress, PrecedingInvoice, PriceDetails, VatBreakdown,
};
use en16931::{
    Date, DocumentReference, En16931, Identifier, Invoice, InvoiceAmount, InvoiceLine, Percentage, Quantity,
    UnitPriceAmount, Validated,
};
use en16931_formats::Syntax;
use lockstep_domain::Money;
use lockstep_domain::tax::{Country, PostalName, ReceiptKind, ReceiptView, Treatment};
use rust_decimal::Decimal;

/// BT-24 of the core model.
const CORE: &str = "urn:cen.eu:en16931:2017";
/// UNECE Rec 20: one piece.
const PIECE: &str = "C62";

/// Why there is no electronic invoice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EInvoiceError {
    /// The standard asks for something that the receipt does not have.
    #[error("the receipt does not fulfil {0}")]
    Rules(String),
    /// A value that cannot be in one.
    #[error("the receipt has a value that no electronic invoice can have")]
    Value,
}

/// The receipt as UBL.
///
/// # Errors
/// [`EInvoiceError`].
pub fn e_invoice(receipt: &ReceiptView) -> Result<String, EInvoiceError> {
    let invoice = invoice(receipt)?;
    let proof = Validated::<En16931>::new(invoice).map_err(|rejected| {
        let rules: Vec<&str> = rejected.report().fatal().map(|finding| finding.rule.as_str()).collect();
        EInvoiceError::Rules(rules.join(", "))
    })?;
    Ok(en16931_formats::write(&proof, Syntax::Ubl).xml)
}

fn invoice(receipt: &ReceiptView) -> Result<Invoice, EInvoiceError> {
    let row = &receipt.row;
    let category = match row.treatment {
        Treatment::Standard => "S",
        Treatment::Exempt => "E",
        Treatment::ReverseCharge => "AE",
        Treatment::Outside => "O",
    };
    let rate = (row.treatment != Treatment::Outside).then(|| Percentage::new(row.rate.0));
    let is_credit = row.kind == ReceiptKind::CreditNote;
    let date = |at: chrono::DateTime<chrono::Utc>| {
        Date::parse(&at.format("%Y-%m-%d").to_string()).map_err(|_| EInvoiceError::Value)
    };
    let mut invoice = Invoice::builder(
        CORE,
        row.number.clone(),
        date(row.issued_at)?,
        if is_credit { "381" } else { "380" },
        "EUR",
    )
    .seller(seller(receipt)?)
    .buyer(buyer(receipt)?)
    .vat_breakdown(VatBreakdown {
        taxable_amount: amount(row.net),
        tax_amount: amount(row.vat),
        category: category.into(),
        rate,
        exemption_reason: reason(row.treatment).map(str::to_owned),
        exemption_reason_code: match row.treatment {
            Treatment::ReverseCharge => Some("VATEX-EU-AE".into()),
            Treatment::Outside => Some("VATEX-EU-O".into()),
            Treatment::Standard | Treatment::Exempt => None,
        },
    })
    .totals(DocumentTotals {
        line_total: amount(row.net),
        taxable_total: amount(row.net),
        vat_total: Some(amount(row.vat)),
        gross_total: amount(row.gross),
        // Paid from the balance when it was ordered, or returned to it.
        paid: Some(amount(row.gross)),
        due: InvoiceAmount::from_minor_units(0),
        ..DocumentTotals::default()
    })
    .build();
    if is_credit {
        invoice.kind = en16931::DocumentKind::CreditNote;
    }
    invoice.sales_order_reference = Some(DocumentReference::new(row.order_number.clone()));
    // The order is what the buyer knows.
    invoice.purchase_order_reference = Some(DocumentReference::new(row.order_number.clone()));
    invoice.payment = Some(PaymentInstructions {
        // UNTDID 4461: clearing between partners.
        means_code: Some("97".into()),
        ..PaymentInstructions::default()
    });
    if let Some(corrects) = &receipt.corrects {
        invoice.preceding_invoices.push(PrecedingInvoice {
            reference: DocumentReference::new(corrects.clone()),
            issue_date: receipt.corrects_issued_at.map(date).transpose()?,
        });
    }
    for (number, line) in (1_u32..).zip(&receipt.lines) {
        let name = match (line.title.as_str(), &receipt.corrects) {
            ("", Some(corrects)) => format!("Refund on {corrects}"),
            (title, _) => title.to_owned(),
        };
        let quantity = Quantity::new(Decimal::from(line.quantity));
        invoice.lines.push(
            InvoiceLine::new(
                number.to_string(),
                name,
                quantity,
                PIECE,
                amount(line.net),
                category,
                rate,
            )
            // The price of all copies, so that it is exact.
            .with_price(PriceDetails {
                net_price: UnitPriceAmount::new(line.net.decimal()),
                base_quantity: Some(quantity),
                base_quantity_code: Some(PIECE.into()),
                ..PriceDetails::default()
            }),
        );
    }
    Ok(invoice)
}

const fn reason(treatment: Treatment) -> Option<&'static str> {
    match treatment {
        Treatment::Standard => None,
        Treatment::Exempt => Some("Small business, Directive 2006/112/EC Art. 284"),
        Treatment::ReverseCharge => Some("Reverse charge"),
        Treatment::Outside => Some("Not subject to VAT"),
    }
}

fn amount(money: Money) -> InvoiceAmount {
    InvoiceAmount::from_minor_units(money.cents())
}

fn party(name: &PostalName, otherwise: &str, country: Country) -> Result<Party, EInvoiceError> {
    let or_nothing = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let address = PostalAddress::new(
        name.street.clone(),
        name.city.clone(),
        name.postcode.clone(),
        country.as_str(),
    )
    .map_err(|_| EInvoiceError::Value)?;
    let address = PostalAddress {
        line1: or_nothing(&name.street),
        city: or_nothing(&name.city),
        post_code: or_nothing(&name.postcode),
        ..address
    };
    let name = or_nothing(&name.name).unwrap_or_else(|| otherwise.to_owned());
    Ok(Party::new(name, address))
}

fn seller(receipt: &ReceiptView) -> Result<Party, EInvoiceError> {
    let mut seller = party(&receipt.seller, "-", receipt.seller_country)?;
    // What is not subject to VAT names no VAT ids (BR-O-02).
    if receipt.row.treatment != Treatment::Outside {
        seller.vat_identifier.clone_from(&receipt.seller_vat_id);
    }
    seller.tax_registration.clone_from(&receipt.seller_tax_number);
    if seller.vat_identifier.is_none() {
        // Somebody has to be named who can be found (BR-CO-26): BT-29.
        let known = receipt.seller_tax_number.as_ref().or(receipt.seller_vat_id.as_ref());
        seller.identifiers.extend(known.map(|id| Identifier::new(id.clone())));
    }
    Ok(seller)
}

fn buyer(receipt: &ReceiptView) -> Result<Party, EInvoiceError> {
    // A consumer may be unnamed; the standard wants a name.
    let mut buyer = party(&receipt.buyer, "Consumer", receipt.buyer_country)?;
    if receipt.row.treatment != Treatment::Outside {
        buyer.vat_identifier.clone_from(&receipt.buyer_vat_id);
    }
    Ok(buyer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    /// The text of the first element with this name.
    fn text_of<'x>(xml: &'x str, element: &str) -> &'x str {
        let open = format!("<{element}");
        let rest = xml.split_once(&open).unwrap_or_else(|| panic!("no {element}")).1;
        let rest = rest.split_once('>').unwrap().1;
        rest.split_once('<').unwrap().0
    }

    #[test]
    fn the_terms_of_the_standard_are_in_the_document() {
        let xml = e_invoice(&sample::receipt(&[(1, 1_999), (2, 998)], Treatment::Standard)).unwrap();
        for (term, element, value) in [
            ("BT-24", "cbc:CustomizationID", CORE),
            ("BT-1", "cbc:ID", "R-2026-000007"),
            ("BT-2", "cbc:IssueDate", "2026-11-30"),
            ("BT-3", "cbc:InvoiceTypeCode", "380"),
            ("BT-5", "cbc:DocumentCurrencyCode", "EUR"),
            ("BT-27", "cbc:RegistrationName", "Key Shop GmbH"),
            ("BT-31", "cbc:CompanyID", "DE123456789"),
            ("BT-106", "cbc:LineExtensionAmount", "25.18"),
            ("BT-109", "cbc:TaxExclusiveAmount", "25.18"),
            ("BT-110", "cbc:TaxAmount", "4.79"),
            ("BT-112", "cbc:TaxInclusiveAmount", "29.97"),
            ("BT-113", "cbc:PrepaidAmount", "29.97"),
            ("BT-115", "cbc:PayableAmount", "0.00"),
        ] {
            assert_eq!(text_of(&xml, element), value, "{term}");
        }
        assert!(xml.contains("Portal 2 &amp; &lt;more&gt;"), "text is escaped");
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let receipt = sample::receipt(&[(3, 1_001), (1, 1)], Treatment::Standard);
        let read = en16931_formats::read(e_invoice(&receipt).unwrap().as_bytes())
            .unwrap()
            .invoice;
        assert_eq!(read.number.as_deref(), Some("R-2026-000007"));
        assert_eq!(read.lines.len(), 2);
        assert_eq!(read.totals, invoice(&receipt).unwrap().totals);
        assert_eq!(read.vat_breakdown, invoice(&receipt).unwrap().vat_breakdown);
    }

    #[test]
    fn every_treatment_fulfils_the_standard() {
        for treatment in Treatment::ALL {
            let mut receipt = sample::receipt(&[(1, 1_999)], treatment);
            if treatment == Treatment::ReverseCharge {
                let unnamed = e_invoice(&receipt);
                assert!(
                    matches!(unnamed, Err(EInvoiceError::Rules(_))),
                    "a reverse charge names the buyer's VAT ID"
                );
                receipt.buyer_vat_id = Some("FR12345678901".to_owned());
            }
            let xml = e_invoice(&receipt).unwrap_or_else(|error| panic!("{treatment:?}: {error}"));
            assert_eq!(text_of(&xml, "cbc:TaxInclusiveAmount"), "19.99");
        }
        let mut small = sample::receipt(&[(1, 1_999)], Treatment::Exempt);
        small.seller_vat_id = None;
        small.seller_tax_number = Some("12/345/67890".to_owned());
        assert!(e_invoice(&small).is_ok());
    }

    #[test]
    fn a_credit_note_names_the_receipt_that_it_takes_back() {
        let xml = e_invoice(&sample::credit_note(500)).unwrap();
        assert_eq!(text_of(&xml, "cbc:CreditNoteTypeCode"), "381");
        assert!(xml.contains("<cbc:ID>R-2026-000007</cbc:ID>"), "{xml}");
        assert_eq!(text_of(&xml, "cbc:TaxInclusiveAmount"), "5.00");
    }

    proptest! {
        #[test]
        fn any_amounts_fulfil_the_standard(lines in proptest::collection::vec((1_u32..100, 0_i64..200_000), 1..30)) {
            prop_assume!(lines.iter().any(|(_, cents)| *cents > 0));
            let receipt = sample::receipt(&lines, Treatment::Standard);
            prop_assert!(e_invoice(&receipt).is_ok(), "{:?}", e_invoice(&receipt));
        }
    }
}
