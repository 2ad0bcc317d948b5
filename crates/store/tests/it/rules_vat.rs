//! VAT: what the operator states, rates, billing data, how orders are taxed, and receipts.

use crate::world::World;

/// A statement with which receipts are numbered. How orders are taxed can be written later than they here.
const STATED: &str =
    "insert into tax_settings (status, country, seller_name, seller_street, seller_postcode, seller_city, vat_id)
    values ('STANDARD', 'DE', 'S', 'S 1', '1', 'B', 'DE123456789');
    alter table order_taxes disable trigger order_taxes_frozen; ";

/// A constraint, statements that it refuses, and similar ones that it allows.
macro_rules! tried {
    ($($rule:literal refuses [$($refused:literal),+ $(,)?] allows [$($allowed:literal),+ $(,)?])+) => {
        pub(crate) const RULES: &[&str] = &[$($rule),+];
        const TRIED: &[(&str, &[&str], &[&str])] = &[$(($rule, &[$($refused),+], &[$($allowed),+])),+];
    };
}

#[tokio::test]
async fn every_rule_refuses_what_it_should_and_nothing_else() {
    let world = World::new().await;
    let whole = |sql: &&str| {
        format!(
            "{STATED}{}",
            sql.replace("{version}", "(select max(version) from tax_settings)")
        )
    };
    let mut broken = Vec::new();
    for (rule, refused, allowed) in TRIED {
        let (refused, allowed): (Vec<String>, Vec<String>) =
            (refused.iter().map(whole).collect(), allowed.iter().map(whole).collect());
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        broken.extend(world.try_rule(rule, &refused, &allowed).await);
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

tried! {
    "tax_settings_status_known"
        refuses [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('ON', 'DE', 2, 'BUYER', null)",
        ]
        allows [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'BUYER', null)",
        ]
    "tax_settings_country_when_on"
        refuses [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'D', 2, 'BUYER', null)",
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'de', 2, 'BUYER', null)",
        ]
        allows [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('OFF', null, 2, 'BUYER', null)",
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'BUYER', null)",
        ]
    "tax_settings_taxed_at_known"
        refuses [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'MOON', null)",
        ]
        allows [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'SHOP', null)",
        ]
    "tax_settings_evidence_pieces_known"
        refuses [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 3, 'BUYER', null)",
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 0, 'BUYER', null)",
        ]
        allows [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 1, 'BUYER', null)",
        ]
    "tax_settings_seller_bounded"
        refuses [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'BUYER', 'DE')",
            "insert into tax_settings (status, country, seller_name) values ('STANDARD', 'DE', repeat('x', 201))",
        ]
        allows [
            "insert into tax_settings (status, country, evidence_pieces, taxed_at, vat_id) values ('STANDARD', 'DE', 2, 'BUYER', 'DE123456789')",
        ]
    "vat_rate_sets_source_bounded"
        refuses [
            "insert into vat_rate_sets (source, url, dated, rates) values ('', 'u', '2026-01-01', '{}')",
        ]
        allows [
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', 'u', '2026-01-01', '{}')",
        ]
    "vat_rate_sets_url_bounded"
        refuses [
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', '', '2026-01-01', '{}')",
        ]
        allows [
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', 'u', '2026-01-01', '{}')",
        ]
    "vat_rate_sets_rates_by_country"
        refuses [
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', 'u', '2026-01-01', '[]')",
        ]
        allows [
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', 'u', '2026-01-01', '{}')",
        ]
    "billing_profiles_country_code"
        refuses [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'de', null, null, null)",
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DEU', null, null, null)",
        ]
        allows [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', null, null, null)",
        ]
    "billing_profiles_vat_id_check_known"
        refuses [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', 'GOOD', now())",
        ]
        allows [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', 'VALID', now())",
        ]
    "billing_profiles_checked_once_asked"
        refuses [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', 'VALID', null)",
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', null, now())",
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', null, 'VALID', now())",
        ]
        allows [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', null, null)",
        ]
    "billing_profiles_bounded"
        refuses [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE1', null, null)",
        ]
        allows [
            "insert into billing_profiles (user_id, country, vat_id, vat_id_check, checked_at) values ({user}, 'DE', 'DE123456789', null, null)",
        ]
    "order_taxes_treatment_known"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'FREE', 'DE', 0, 's', '2026-01-01', 'AGREED')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_country_code"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'de', 19, 's', '2026-01-01', 'AGREED')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_rates_source_bounded"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, '', '2026-01-01', 'AGREED')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_proof_known"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'SURE')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_rate_of_treatment"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 0, 's', '2026-01-01', 'AGREED')",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'EXEMPT', 'DE', 19, 's', '2026-01-01', 'AGREED')",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 100, 's', '2026-01-01', 'AGREED')",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'OUTSIDE', 'DE', -1, 's', '2026-01-01', 'AGREED')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'EXEMPT', 'DE', 0, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_reverse_charge_has_vat_id"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'REVERSE_CHARGE', 'DE', 0, 's', '2026-01-01', 'AGREED')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'REVERSE_CHARGE', 'DE', 0, 's', '2026-01-01', 'VAT_ID')",
        ]
    "order_taxes_pieces_are_codes"
        refuses [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof, ip_country) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'ONE', 'de')",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
        ]
    "order_taxes_frozen"
        refuses [
            "alter table order_taxes enable trigger order_taxes_frozen; insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED')",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED'); alter table order_taxes enable trigger order_taxes_frozen; update order_taxes set rate = 7",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED'); alter table order_taxes enable trigger order_taxes_frozen; delete from order_taxes",
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED'); update order_taxes set buyer_name = 'n'; alter table order_taxes enable trigger order_taxes_frozen; update order_taxes set buyer_name = null",
        ]
        allows [
            "insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof) values ({delivered_order}, {version}, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED'); update order_taxes set buyer_name = 'n', frozen_at = now() - interval '11 years'; alter table order_taxes enable trigger order_taxes_frozen; update order_taxes set buyer_name = null",
        ]
    "receipt_series_last_positive"
        refuses [
            "alter table receipt_series disable trigger receipt_series_step; insert into receipt_series values ('RECEIPT', 2026, 0)",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipt_series_step"
        refuses [
            "insert into receipt_series values ('RECEIPT', 2026, 2)",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; update receipt_series set last = 3",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; update receipt_series set last = 2, year = 2027",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; delete from receipt_series",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipt_series_used"
        refuses [
            "insert into receipt_series values ('RECEIPT', 2026, 1)",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_kind_known"
        refuses [
            "alter table receipts disable trigger receipts_number; insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('BILL', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_number_key"
        refuses [
            "alter table receipts disable trigger receipts_number; insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {order}, {version}, 'en', 1, 0, 1, null, null, 2026, 2, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_numbered_once"
        refuses [
            "alter table receipts disable trigger receipts_number; insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-2')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_transaction_id_key"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, (select min(id::text)::uuid from transactions), 2026, 1, 'R-1'); insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {order}, {version}, 'en', 1, 0, 1, null, (select min(id::text)::uuid from transactions), 2026, 1, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_language_code"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'EN', 1, 0, 1, null, null, 2026, 1, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_add_up"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 2, 0, 1, null, null, 2026, 1, 'R-1')",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 2, -1, 1, null, null, 2026, 1, 'R-1')",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 0, 0, 0, null, null, 2026, 1, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_corrects_a_receipt"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('CREDIT_NOTE', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1')",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {order}, {version}, 'en', 1, 0, 1, (select id from receipts), null, 2026, 1, 'R-1')",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipts_lines_are_its_sums"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1')",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, 0.5, 0, 0.5 from receipts",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 2, 0.5, 0, 0.5 from receipts; insert into receipt_lines select id, 2, 't', 1, 0.5, 0, 0.5 from receipts",
        ]
    "receipt_lines_quantity_positive"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 0, net, vat, gross from receipts",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "receipt_lines_add_up"
        refuses [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross + 1 from receipts",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
    "vat_rows_kept"
        refuses [
            "update tax_settings set country = 'FR'",
            "delete from tax_settings",
            "insert into vat_rate_sets (source, url, dated, rates) values ('s', 'u', '2026-01-01', '{}'); delete from vat_rate_sets",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; update receipts set gross = 2",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; delete from receipt_lines",
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts; update receipt_lines set title = 'x'",
        ]
        allows [
            "insert into receipts (kind, order_id, settings, language, net, vat, gross, corrects, transaction_id, year, position, number) values ('RECEIPT', {delivered_order}, {version}, 'en', 1, 0, 1, null, null, 2026, 1, 'R-1'); insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross) select id, 1, 't', 1, net, vat, gross from receipts",
        ]
}
