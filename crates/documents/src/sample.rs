//! Receipts for tests.

use lockstep_domain::Money;
use lockstep_domain::admin::Exact;
use lockstep_domain::ids::OrderId;
use lockstep_domain::language::Language;
use lockstep_domain::tax::{
    Country, PostalName, Proof, ReceiptKind, ReceiptLine, ReceiptRow, ReceiptView, Treatment, vat_of,
};
use rust_decimal::Decimal;
use uuid::Uuid;

fn euro(cents: i64) -> Money {
    Money::from_cents(cents).unwrap()
}

/// A receipt with lines of this quantity and amount in cents, divided as the database divides them.
pub(crate) fn receipt(lines: &[(u32, i64)], treatment: Treatment) -> ReceiptView {
    let rate = if treatment == Treatment::Standard {
        Decimal::from(19)
    } else {
        Decimal::ZERO
    };
    let mut upto = 0;
    let lines: Vec<ReceiptLine> = lines
        .iter()
        .map(|(quantity, cents)| {
            let before = vat_of(euro(upto), rate).cents();
            upto += cents;
            let vat = vat_of(euro(upto), rate).cents() - before;
            ReceiptLine {
                title: "Portal 2 & <more>".to_owned(),
                quantity: *quantity,
                net: euro(cents - vat),
                vat: euro(vat),
                gross: euro(*cents),
            }
        })
        .collect();
    let vat = vat_of(euro(upto), rate);
    let at = "2026-11-30T12:00:00Z".parse().unwrap();
    ReceiptView {
        row: ReceiptRow {
            id: Uuid::nil(),
            number: "R-2026-000007".to_owned(),
            kind: ReceiptKind::Receipt,
            order_id: OrderId(Uuid::nil()),
            order_number: "7ZK3M0Q9XA".to_owned(),
            issued_at: at,
            treatment,
            country: Country::new(if treatment == Treatment::ReverseCharge {
                "FR"
            } else {
                "DE"
            })
            .unwrap(),
            rate: Exact(rate),
            proof: Proof::Agreed,
            net: euro(upto - vat.cents()),
            vat,
            gross: euro(upto),
        },
        corrects: None,
        corrects_issued_at: None,
        language: Language::English,
        seller: PostalName {
            name: "Key Shop GmbH".to_owned(),
            street: "Hauptstr. 1".to_owned(),
            postcode: "10115".to_owned(),
            city: "Berlin".to_owned(),
        },
        seller_country: Country::new("DE").unwrap(),
        seller_vat_id: Some("DE123456789".to_owned()),
        seller_tax_number: None,
        buyer: PostalName {
            name: "Ada Lovelace".to_owned(),
            ..PostalName::default()
        },
        buyer_country: Country::new("FR").unwrap(),
        buyer_vat_id: None,
        lines,
    }
}

/// A credit note of this amount in cents.
pub(crate) fn credit_note(cents: i64) -> ReceiptView {
    let mut note = receipt(&[(1, cents)], Treatment::Standard);
    note.row.kind = ReceiptKind::CreditNote;
    note.row.number = "C-2026-000001".to_owned();
    note.corrects = Some("R-2026-000007".to_owned());
    note.corrects_issued_at = Some(note.row.issued_at);
    for line in &mut note.lines {
        line.title.clear();
    }
    note
}
