//! Receipts and credit notes as PDF, in the language of the shopper.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::language::Language;
use lockstep_domain::tax::{PostalName, ReceiptKind, ReceiptView, Treatment, rate_text};
use ttf_parser::FaceParsingError;

use crate::paper::{Columns, MARGIN, Paper};

/// The texts of a language.
struct Texts {
    receipt: &'static str,
    credit_note: &'static str,
    number: &'static str,
    date: &'static str,
    order: &'static str,
    corrects: &'static str,
    seller: &'static str,
    buyer: &'static str,
    vat_id: &'static str,
    tax_number: &'static str,
    item: &'static str,
    quantity: &'static str,
    net: &'static str,
    vat: &'static str,
    gross: &'static str,
    refund_of: &'static str,
    total_net: &'static str,
    total_vat: &'static str,
    total: &'static str,
    paid: &'static str,
    returned: &'static str,
    exempt: &'static str,
    reverse_charge: &'static str,
    outside: &'static str,
    delivered: &'static str,
    page: &'static str,
    of: &'static str,
}

const ENGLISH: Texts = Texts {
    receipt: "Receipt",
    credit_note: "Credit note",
    number: "Number",
    date: "Date",
    order: "Order",
    corrects: "For receipt",
    seller: "Seller",
    buyer: "Buyer",
    vat_id: "VAT ID",
    tax_number: "Tax number",
    item: "Item",
    quantity: "Quantity",
    net: "Net",
    vat: "VAT",
    gross: "Gross",
    refund_of: "Refund",
    total_net: "Net total, EUR",
    total_vat: "VAT {}%, EUR",
    total: "Total incl. VAT, EUR",
    paid: "Paid from the balance of the account.",
    returned: "Returned to the balance of the account.",
    exempt: "No VAT is charged: the seller is a small business (Directive 2006/112/EC, Art. 284).",
    reverse_charge: "Reverse charge: the recipient owes the VAT (Directive 2006/112/EC, Art. 196).",
    outside: "Not subject to VAT in the EU: the recipient is outside the EU.",
    delivered: "Digital content; the date of the receipt is the date of the delivery.",
    page: "page",
    of: "of",
};

const GERMAN: Texts = Texts {
    receipt: "Rechnung",
    credit_note: "Rechnungskorrektur",
    number: "Nummer",
    date: "Datum",
    order: "Bestellung",
    corrects: "Zur Rechnung",
    seller: "Verkäufer",
    buyer: "Käufer",
    vat_id: "USt-IdNr.",
    tax_number: "Steuernummer",
    item: "Artikel",
    quantity: "Anzahl",
    net: "Netto",
    vat: "USt.",
    gross: "Brutto",
    refund_of: "Erstattung",
    total_net: "Summe netto, EUR",
    total_vat: "USt. {} %, EUR",
    total: "Gesamt inkl. USt., EUR",
    paid: "Bezahlt aus dem Guthaben des Kontos.",
    returned: "Dem Guthaben des Kontos gutgeschrieben.",
    exempt: "Keine Umsatzsteuer: Der Verkäufer ist Kleinunternehmer (Richtlinie 2006/112/EG, Art. 284; in Deutschland § 19 UStG).",
    reverse_charge: "Steuerschuldnerschaft des Leistungsempfängers (Richtlinie 2006/112/EG, Art. 196).",
    outside: "In der EU nicht steuerbar: Der Empfänger sitzt außerhalb der EU.",
    delivered: "Digitale Inhalte; das Rechnungsdatum ist das Datum der Lieferung.",
    page: "Seite",
    of: "von",
};

fn texts(language: Language) -> &'static Texts {
    if language == Language::German {
        &GERMAN
    } else {
        &ENGLISH
    }
}

/// Renders a receipt or credit note, in its language.
///
/// # Errors
/// If the embedded font is no font.
pub fn receipt_pdf(receipt: &ReceiptView) -> Result<Vec<u8>, FaceParsingError> {
    let texts = texts(receipt.language);
    let row = &receipt.row;
    let amount = |amount: Money| amount_text(receipt.language, amount);
    let title = match row.kind {
        ReceiptKind::Receipt => texts.receipt,
        ReceiptKind::CreditNote => texts.credit_note,
    };
    let mut paper = Paper::new()?;
    paper.heading(18, title);
    paper.pair(texts.number, &row.number);
    paper.pair(texts.date, &date(row.issued_at));
    paper.pair(texts.order, &row.order_number);
    if let Some(corrects) = &receipt.corrects {
        let of = receipt.corrects_issued_at.map(date).unwrap_or_default();
        paper.pair(texts.corrects, &format!("{corrects} ({of})"));
    }
    paper.gap();
    address(
        &mut paper,
        texts.seller,
        &receipt.seller,
        receipt.seller_country.as_str(),
    );
    match (&receipt.seller_vat_id, &receipt.seller_tax_number) {
        (Some(id), _) => paper.pair(texts.vat_id, id),
        (None, Some(number)) => paper.pair(texts.tax_number, number),
        (None, None) => {}
    }
    paper.gap();
    address(&mut paper, texts.buyer, &receipt.buyer, receipt.buyer_country.as_str());
    if let Some(id) = &receipt.buyer_vat_id {
        paper.pair(texts.vat_id, id);
    }
    paper.gap();
    let columns: Columns<'_> = &[
        (MARGIN, texts.item, false),
        (300, texts.quantity, true),
        (360, texts.net, true),
        (430, texts.vat, true),
        (490, texts.gross, true),
    ];
    let mut rows = Vec::new();
    for line in &receipt.lines {
        let name = match (line.title.as_str(), &receipt.corrects) {
            ("", Some(corrects)) => format!("{}: {corrects}", texts.refund_of),
            (title, _) => title.to_owned(),
        };
        // The amounts stand beside the first line of a long title.
        for (number, part) in paper.wrapped(&name, 240).into_iter().enumerate() {
            rows.push(if number == 0 {
                [
                    part,
                    line.quantity.to_string(),
                    amount(line.net),
                    amount(line.vat),
                    amount(line.gross),
                ]
            } else {
                [part, String::new(), String::new(), String::new(), String::new()]
            });
        }
    }
    paper.table(columns, rows.into_iter());
    paper.gap();
    if row.treatment == Treatment::Standard {
        paper.pair(texts.total_net, &amount(row.net));
        paper.pair(&texts.total_vat.replace("{}", &rate_text(row.rate.0)), &amount(row.vat));
    }
    paper.pair(texts.total, &amount(row.gross));
    paper.gap();
    match row.treatment {
        Treatment::Standard => {}
        Treatment::Exempt => paper.paragraph(texts.exempt),
        Treatment::ReverseCharge => paper.paragraph(texts.reverse_charge),
        Treatment::Outside => paper.paragraph(texts.outside),
    }
    match row.kind {
        ReceiptKind::Receipt => {
            paper.paragraph(texts.paid);
            paper.paragraph(texts.delivered);
        }
        ReceiptKind::CreditNote => paper.paragraph(texts.returned),
    }
    Ok(paper.document(
        &format!("{title} {}", row.number),
        receipt.language.code(),
        |number, count| format!("{} {number} {} {count}", texts.page, texts.of),
    ))
}

fn address(paper: &mut Paper, label: &str, name: &PostalName, country: &str) {
    let town = format!("{} {}", name.postcode, name.city);
    let lines = [name.name.as_str(), name.street.as_str(), town.trim(), country];
    for (number, line) in lines.into_iter().filter(|line| !line.is_empty()).enumerate() {
        paper.pair(if number == 0 { label } else { "" }, line);
    }
}

/// The day, in UTC.
fn date(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

fn amount_text(language: Language, amount: Money) -> String {
    let text = amount.to_string();
    if language == Language::German {
        text.replace('.', ",")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use pdf_writer::{Content, Str};
    use ttf_parser::Face;

    use super::*;
    use crate::sample;

    /// Whether the file shows the text: as numbers of glyphs, or as a string with escapes.
    fn shows(file: &[u8], text: &str) -> bool {
        let face = Face::parse(epaint_default_fonts::UBUNTU_LIGHT, 0).unwrap();
        let glyphs: Vec<u8> = text
            .chars()
            .flat_map(|c| face.glyph_index(c).unwrap().0.to_be_bytes())
            .collect();
        let mut content = Content::new();
        content.show(Str(&glyphs));
        let operator = content.finish();
        let quoted: &[u8] = &operator;
        let part = quoted.trim_ascii();
        file.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_receipt_shows_seller_buyer_lines_and_vat_in_the_shoppers_language() {
        let mut receipt = sample::receipt(&[(1, 1_999), (2, 998)], Treatment::Standard);
        for (language, title, sum, vat) in [
            (Language::English, "Receipt", "29.97", "VAT 19%, EUR"),
            (Language::German, "Rechnung", "29,97", "USt. 19 %, EUR"),
        ] {
            receipt.language = language;
            let file = receipt_pdf(&receipt).unwrap();
            assert!(file.starts_with(b"%PDF-1."));
            for text in [
                title,
                sum,
                vat,
                "R-2026-000007",
                "Key Shop GmbH",
                "DE123456789",
                "Ada Lovelace",
                "2026-11-30",
            ] {
                assert!(shows(&file, text), "{language:?} {text}");
            }
        }
    }

    #[test]
    fn what_is_not_taxed_says_why() {
        for (treatment, text) in [
            (Treatment::Exempt, "No VAT is charged"),
            (Treatment::ReverseCharge, "Reverse charge"),
            (Treatment::Outside, "Not subject to VAT"),
        ] {
            let receipt = sample::receipt(&[(1, 1_999)], treatment);
            let file = receipt_pdf(&receipt).unwrap();
            let line = [ENGLISH.exempt, ENGLISH.reverse_charge, ENGLISH.outside]
                .into_iter()
                .find(|line| line.starts_with(text))
                .unwrap();
            let first = Paper::new().unwrap().wrapped(line, crate::WIDTH - 2 * MARGIN).remove(0);
            assert!(shows(&file, &first), "{text}");
            assert!(!shows(&file, "VAT 0%, EUR"));
        }
    }

    #[test]
    fn a_credit_note_names_its_receipt() {
        let file = receipt_pdf(&sample::credit_note(500)).unwrap();
        assert!(shows(&file, "Credit note") && shows(&file, "R-2026-000007 (2026-11-30)") && shows(&file, "5.00"));
    }
}
