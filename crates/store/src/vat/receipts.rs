//! Receipts and credit notes, as they were issued.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{Exact, Page};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::language::Language;
use lockstep_domain::tax::{Country, PostalName, Proof, ReceiptKind, ReceiptLine, ReceiptRow, ReceiptView, Treatment};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::country_of;
use crate::paging::bounds;
use crate::row::{count_of, how_many_of, money_of};
use crate::{Result, Store, StoreError, Tx};

/// Which receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptFilter {
    /// Of this kind.
    pub kind: Option<ReceiptKind>,
    /// Issued at or after.
    pub from: Option<DateTime<Utc>>,
    /// Issued before.
    pub until: Option<DateTime<Utc>>,
    /// With this number, or of the order with it.
    pub number: Option<String>,
    /// Whether staff should look at the country.
    pub to_review: bool,
}

struct Row {
    id: Uuid,
    number: String,
    kind: String,
    order_id: Uuid,
    order_number: String,
    issued_at: DateTime<Utc>,
    treatment: String,
    country: String,
    rate: Decimal,
    proof: String,
    net: Decimal,
    vat: Decimal,
    gross: Decimal,
}

fn unknown(name: &str) -> StoreError {
    StoreError::Schema(format!("unexpected word {name:?} about VAT"))
}

impl Row {
    fn read(self) -> Result<ReceiptRow> {
        Ok(ReceiptRow {
            id: self.id,
            kind: ReceiptKind::of(&self.kind).ok_or_else(|| unknown(&self.kind))?,
            number: self.number,
            order_id: OrderId(self.order_id),
            order_number: self.order_number,
            issued_at: self.issued_at,
            treatment: Treatment::of(&self.treatment).ok_or_else(|| unknown(&self.treatment))?,
            country: country_of(&self.country)?,
            rate: Exact(self.rate),
            proof: Proof::of(&self.proof).ok_or_else(|| unknown(&self.proof))?,
            net: money_of(self.net)?,
            vat: money_of(self.vat)?,
            gross: money_of(self.gross)?,
        })
    }
}

/// A page of receipts, newest first, and how many there are.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, filter: &ReceiptFilter, page: Page) -> Result<(Vec<ReceiptRow>, u64)> {
    let (limit, offset) = bounds(page);
    let kind = filter.kind.map(ReceiptKind::as_str);
    let rows = sqlx::query_as!(
        Row,
        r#"-- store.vat.receipts.list
        select r.id, r.number, r.kind, r.order_id, o.number as order_number, r.issued_at, t.treatment, t.country, t.rate, t.proof,
               r.net, r.vat, r.gross
          from receipts r join order_taxes t on t.order_id = r.order_id join orders o on o.id = r.order_id
         where ($1::text is null or r.kind = $1) and ($2::timestamptz is null or r.issued_at >= $2)
           and ($3::timestamptz is null or r.issued_at < $3) and ($4::text is null or r.number = $4 or o.number = $4)
           and (not $5 or t.proof in ('INSUFFICIENT', 'CONTRADICTED', 'MISSING'))
         order by r.issued_at desc, r.id desc offset $6 limit $7"#,
        kind,
        filter.from,
        filter.until,
        filter.number.as_deref(),
        filter.to_review,
        offset,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let total: i64 = sqlx::query_scalar!(
        r#"-- store.vat.receipts.count
        select count(*) as "count!"
          from receipts r join order_taxes t on t.order_id = r.order_id join orders o on o.id = r.order_id
         where ($1::text is null or r.kind = $1) and ($2::timestamptz is null or r.issued_at >= $2)
           and ($3::timestamptz is null or r.issued_at < $3) and ($4::text is null or r.number = $4 or o.number = $4)
           and (not $5 or t.proof in ('INSUFFICIENT', 'CONTRADICTED', 'MISSING'))"#,
        kind,
        filter.from,
        filter.until,
        filter.number.as_deref(),
        filter.to_review
    )
    .fetch_one(tx.conn())
    .await?;
    let rows = rows.into_iter().map(Row::read).collect::<Result<_>>()?;
    Ok((rows, how_many_of(total)))
}

/// The receipts of an order, the oldest first; those of `owner` only, if given.
///
/// # Errors
/// [`StoreError`].
pub async fn of_order(store: &Store, order: OrderId, owner: Option<UserId>) -> Result<Vec<ReceiptRow>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- store.vat.receipts.of_order
        select r.id, r.number, r.kind, r.order_id, o.number as order_number, r.issued_at, t.treatment, t.country, t.rate, t.proof,
               r.net, r.vat, r.gross
          from receipts r join order_taxes t on t.order_id = r.order_id join orders o on o.id = r.order_id
         where r.order_id = $1 and ($2::uuid is null or o.user_id = $2) order by r.kind desc, r.position limit 500"#,
        order.0,
        owner.map(|owner| owner.0)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// A receipt with its lines; of an order of `owner` only, if given.
///
/// # Errors
/// [`StoreError`].
pub async fn receipt(store: &Store, id: Uuid, owner: Option<UserId>) -> Result<Option<ReceiptView>> {
    let read = store.read(move |tx| Box::pin(read(tx, id, owner)));
    Ok(read.await?.value)
}

async fn read(tx: &mut Tx, id: Uuid, owner: Option<UserId>) -> Result<Option<ReceiptView>> {
    let row = sqlx::query!(
        r#"-- store.vat.receipts.receipt
        select r.id, r.number, r.kind, r.order_id, o.number as order_number, r.issued_at, t.treatment, t.country, t.rate, t.proof,
               r.net, r.vat, r.gross, r.language, f.number as "corrects?", f.issued_at as "corrects_issued_at?",
               s.seller_name, s.seller_street, s.seller_postcode, s.seller_city, coalesce(s.country, t.country) as "seller_country!",
               s.vat_id as seller_vat_id, s.tax_number as seller_tax_number,
               t.buyer_name, t.buyer_street, t.buyer_postcode, t.buyer_city, coalesce(t.billing_country, t.country) as "buyer_country!",
               case when t.proof = 'VAT_ID' then t.buyer_vat_id end as buyer_vat_id
          from receipts r join order_taxes t on t.order_id = r.order_id join orders o on o.id = r.order_id
          join tax_settings s on s.version = r.settings left join receipts f on f.id = r.corrects
         where r.id = $1 and ($2::uuid is null or o.user_id = $2)"#,
        id,
        owner.map(|owner| owner.0)
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let lines = sqlx::query!(
        "-- store.vat.receipts.lines
        select title, quantity, net, vat, gross from receipt_lines where receipt_id = $1 order by position",
        id
    )
    .fetch_all(tx.conn())
    .await?;
    let lines = lines
        .into_iter()
        .map(|line| {
            Ok(ReceiptLine {
                title: line.title,
                quantity: count_of(line.quantity)?,
                net: money_of(line.net)?,
                vat: money_of(line.vat)?,
                gross: money_of(line.gross)?,
            })
        })
        .collect::<Result<_>>()?;
    let brief = Row {
        id: row.id,
        number: row.number,
        kind: row.kind,
        order_id: row.order_id,
        order_number: row.order_number,
        issued_at: row.issued_at,
        treatment: row.treatment,
        country: row.country,
        rate: row.rate,
        proof: row.proof,
        net: row.net,
        vat: row.vat,
        gross: row.gross,
    };
    let buyer_country: Country = country_of(&row.buyer_country)?;
    Ok(Some(ReceiptView {
        row: brief.read()?,
        corrects: row.corrects,
        corrects_issued_at: row.corrects_issued_at,
        language: Language::of_code(&row.language).unwrap_or_default(),
        seller: PostalName {
            name: row.seller_name,
            street: row.seller_street,
            postcode: row.seller_postcode,
            city: row.seller_city,
        },
        seller_country: country_of(&row.seller_country)?,
        seller_vat_id: row.seller_vat_id,
        seller_tax_number: row.seller_tax_number,
        buyer: PostalName {
            name: row.buyer_name.unwrap_or_default(),
            street: row.buyer_street.unwrap_or_default(),
            postcode: row.buyer_postcode.unwrap_or_default(),
            city: row.buyer_city.unwrap_or_default(),
        },
        buyer_country,
        buyer_vat_id: row.buyer_vat_id,
        lines,
    }))
}

/// Opens the cursor of a file of receipts: the export for accountants, oldest first. Amounts of credit notes are negative.
///
/// # Errors
/// [`StoreError`].
pub async fn open_file(tx: &mut Tx, filter: &ReceiptFilter) -> Result<()> {
    sqlx::query!(
        r#"-- store.vat.receipts.file
        declare rows_of_list no scroll cursor for
        select array[r.number, r.kind, to_char(r.issued_at at time zone 'UTC', 'YYYY-MM-DD'), o.number, f.number, t.treatment, t.country,
                     t.rate::text, (case r.kind when 'RECEIPT' then r.net else -r.net end)::text,
                     (case r.kind when 'RECEIPT' then r.vat else -r.vat end)::text,
                     (case r.kind when 'RECEIPT' then r.gross else -r.gross end)::text, 'EUR', t.proof, t.billing_country, t.ip_country,
                     t.card_country, t.rates_date::text, t.rates_source,
                     case when t.proof = 'VAT_ID' then t.buyer_vat_id end, t.buyer_name]
          from receipts r join order_taxes t on t.order_id = r.order_id join orders o on o.id = r.order_id
          left join receipts f on f.id = r.corrects
         where ($1::text is null or r.kind = $1) and ($2::timestamptz is null or r.issued_at >= $2)
           and ($3::timestamptz is null or r.issued_at < $3) and ($4::text is null or r.number = $4 or o.number = $4)
           and (not $5 or t.proof in ('INSUFFICIENT', 'CONTRADICTED', 'MISSING'))
         order by r.issued_at, r.id"#,
        filter.kind.map(ReceiptKind::as_str),
        filter.from,
        filter.until,
        filter.number.as_deref(),
        filter.to_review
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}
