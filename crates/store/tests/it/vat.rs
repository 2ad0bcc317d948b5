//! VAT: the evidence that is frozen with an order, receipts and credit notes against the books, and numbers without gaps.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lockstep_domain::Money;
use lockstep_domain::admin::Page;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, OrderId, UserId};
use lockstep_domain::tax::{
    BillingForm, Country, PostalName, Quarter, ReceiptKind, ReceiptRow, TaxSettings, TaxSettingsForm, VatRates, vat_of,
};
use lockstep_store::audit::By;
use lockstep_store::orders::{self, Placed};
use lockstep_store::vat::{self, PutRatesError, ReceiptFilter, Standing, StateError, VatIdCheck};
use lockstep_testkit::TestDb;
use proptest::strategy::{Strategy as _, ValueTree as _};
use rust_decimal::Decimal;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn seller() -> PostalName {
    PostalName {
        name: "Key Shop GmbH".to_owned(),
        street: "Hauptstr. 1".to_owned(),
        postcode: "10115".to_owned(),
        city: "Berlin".to_owned(),
    }
}

/// A shop in Germany that charges VAT and can number receipts.
fn statement(change: impl FnOnce(&mut TaxSettingsForm)) -> TaxSettings {
    let mut form = TaxSettingsForm {
        status: "STANDARD".to_owned(),
        country: "DE".to_owned(),
        evidence_pieces: 2,
        seller: seller(),
        vat_id: "DE123456789".to_owned(),
        ..TaxSettingsForm::default()
    };
    change(&mut form);
    form.checked().unwrap()
}

async fn state(db: &TestDb, change: impl FnOnce(&mut TaxSettingsForm)) -> TaxSettings {
    let admin = db.user(&format!("{}@staff.example", Uuid::new_v4()), "0").await;
    let version = vat::settings(&db.store).await.unwrap().version;
    let new = statement(|form| {
        change(form);
        form.version = version;
    });
    vat::state(&db.store, UserId(admin), &new).await.unwrap()
}

struct Shop {
    db: TestDb,
    user: Uuid,
    game: Uuid,
}

impl Shop {
    async fn open() -> Self {
        let db = TestDb::new().await;
        let user = db.user("ada@example.org", "1000.00").await;
        let game = db.game("Portal", "portal", "19.99").await;
        Self { db, user, game }
    }

    /// Places an order of so many copies, requested from this country.
    async fn order(&self, copies: i64, ip: Option<&str>) -> Uuid {
        let checkout = Checkout::new([(GameId(self.game), copies)], None, None, OrderLimits::default()).unwrap();
        let checkout = checkout.ordered_from(ip.and_then(Country::new));
        match orders::place(&self.db.store, UserId(self.user), &checkout, None)
            .await
            .unwrap()
        {
            Placed::Now(order) => order.id.0,
            Placed::Before(id) => panic!("{id} without a key"),
        }
    }

    async fn units(&self, order: Uuid) -> Vec<Uuid> {
        sqlx::query_scalar("select id from order_units where order_id = $1 order by position")
            .bind(order)
            .fetch_all(&self.db.sql)
            .await
            .unwrap()
    }

    async fn complete(&self, order: Uuid) {
        complete(&self.db, order).await;
    }

    /// Delivers everything of an order and completes it.
    async fn deliver(&self, order: Uuid) {
        for unit in self.units(order).await {
            self.db.deliver(unit).await;
        }
        self.complete(order).await;
    }

    async fn billing(&self, country: &str, vat_id: Option<&str>, check: Option<VatIdCheck>) {
        let form = BillingForm {
            country: country.to_owned(),
            address: seller(),
            vat_id: vat_id.unwrap_or_default().to_owned(),
        };
        let (profile, _) = form.checked().unwrap();
        vat::put_billing(&self.db.store, UserId(self.user), &profile, check)
            .await
            .unwrap();
    }

    async fn card(&self, country: Option<&str>) {
        let country = country.map_or("null".to_owned(), |code| format!("'{code}'"));
        self.db
            .execute(&format!(
                "with paid as (insert into top_ups (user_id, amount, method, provider, created_at)
                               values ('{}', 5, 'card', 'stripe', clock_timestamp()) returning id)
                 insert into top_up_charges (top_up_id, charge, amount, currency, card_country)
                 select id, 'ch_' || id, 5, 'EUR', {country} from paid",
                self.user
            ))
            .await;
    }

    /// Country, treatment, rate, proof and the pieces of evidence.
    async fn tax(&self, order: Uuid) -> Option<String> {
        sqlx::query_scalar(
            "select concat_ws(' ', country, treatment, trim_scale(rate), proof, '|', coalesce(billing_country, '-'),
                              coalesce(ip_country, '-'), coalesce(card_country, '-')) from order_taxes where order_id = $1",
        )
        .bind(order)
        .fetch_optional(&self.db.sql)
        .await
        .unwrap()
    }

    async fn receipts(&self, order: Uuid) -> Vec<ReceiptRow> {
        vat::of_order(&self.db.store, OrderId(order), Some(UserId(self.user)))
            .await
            .unwrap()
    }

    /// Kind, number, net, VAT and gross of each document.
    async fn documents(&self, order: Uuid) -> Vec<String> {
        let rows = self.receipts(order).await;
        let line = |row: &ReceiptRow| {
            let series = row.number.split('-').nth(2).unwrap_or_default();
            format!("{} {series} {} {} {}", row.kind.as_str(), row.net, row.vat, row.gross)
        };
        rows.iter().map(line).collect()
    }

    /// Refunds a part of the first delivered unit, as staff do.
    async fn goodwill(&self, order: Uuid, amount: &str) {
        goodwill(&self.db, order, amount).await;
    }
}

async fn complete(db: &TestDb, order: Uuid) {
    db.execute(&format!(
        "begin; update orders set status = 'PROCESSING' where id = '{order}';
         update orders set status = 'COMPLETED' where id = '{order}'; commit"
    ))
    .await;
}

async fn goodwill(db: &TestDb, order: Uuid, amount: &str) {
    db.execute(&format!(
        "begin; update order_units set goodwill = goodwill + {amount}
           where id = (select id from order_units where order_id = '{order}' and state = 'DONE' and price_paid - goodwill >= {amount}
                        order by position limit 1);
         update users set balance = balance + {amount} where id = (select user_id from orders where id = '{order}');
         insert into transactions (user_id, order_id, type, amount, status) select user_id, id, 'REFUND', {amount}, 'COMPLETED'
           from orders where id = '{order}'; commit"
    ))
    .await;
}

async fn standing(db: &TestDb) -> Standing {
    vat::standing(&db.store).await.unwrap()
}

#[tokio::test]
async fn nothing_is_taxed_until_the_operator_states_it() {
    let shop = Shop::open().await;
    let order = shop.order(1, Some("DE")).await;
    shop.deliver(order).await;
    assert_eq!((shop.tax(order).await, shop.documents(order).await), (None, Vec::new()));
    // What was ordered before is never taxed afterwards.
    state(&shop.db, |_| {}).await;
    shop.goodwill(order, "1.00").await;
    assert_eq!(shop.documents(order).await, Vec::<String>::new());
    assert_eq!(standing(&shop.db).await, Standing::default());
}

#[tokio::test]
async fn each_piece_of_evidence_is_frozen_with_the_order() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    let taxed = async |ip: Option<&str>| shop.tax(shop.order(1, ip).await).await.unwrap();
    assert_eq!(taxed(None).await, "DE STANDARD 19 MISSING | - - -");
    assert_eq!(taxed(Some("FR")).await, "FR STANDARD 20 INSUFFICIENT | - FR -");
    shop.billing("FR", None, None).await;
    assert_eq!(taxed(Some("FR")).await, "FR STANDARD 20 AGREED | FR FR -");
    assert_eq!(taxed(Some("HU")).await, "HU STANDARD 27 CONTRADICTED | FR HU -");
    shop.card(Some("FR")).await;
    assert_eq!(taxed(Some("HU")).await, "FR STANDARD 20 AGREED | FR HU FR");
    // The newest card counts.
    shop.card(Some("AT")).await;
    assert_eq!(taxed(None).await, "FR STANDARD 20 CONTRADICTED | FR - AT");
    shop.card(None).await;
    assert_eq!(taxed(Some("CH")).await, "FR STANDARD 20 CONTRADICTED | FR CH -");
    state(&shop.db, |form| form.evidence_pieces = 1).await;
    assert_eq!(taxed(None).await, "FR STANDARD 20 ONE | FR - -");
    state(&shop.db, |form| form.taxed_at = "SHOP".to_owned()).await;
    assert_eq!(taxed(Some("FR")).await, "DE STANDARD 19 AGREED | FR FR -");
    state(&shop.db, |form| form.status = "EXEMPT".to_owned()).await;
    assert_eq!(taxed(Some("FR")).await, "DE EXEMPT 0 AGREED | FR FR -");
    state(&shop.db, |form| form.status = "OFF".to_owned()).await;
    let order = shop.order(1, Some("FR")).await;
    assert_eq!(shop.tax(order).await, None);
}

#[tokio::test]
async fn a_vat_id_counts_unless_vies_has_not_confirmed_it() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    let taxed = async || shop.tax(shop.order(1, Some("FR")).await).await.unwrap();
    let id = Some("FR12345678901");
    for (check, expected) in [
        (None, "FR REVERSE_CHARGE 0 VAT_ID | FR FR -"),
        (Some(VatIdCheck::Valid), "FR REVERSE_CHARGE 0 VAT_ID | FR FR -"),
        (Some(VatIdCheck::Invalid), "FR STANDARD 20 AGREED | FR FR -"),
        (Some(VatIdCheck::Unavailable), "FR STANDARD 20 AGREED | FR FR -"),
    ] {
        shop.billing("FR", id, check).await;
        assert_eq!(taxed().await, expected, "{check:?}");
    }
    // Saved again without a question, what VIES said stays; another id has not been asked about.
    shop.billing("FR", id, None).await;
    assert_eq!(taxed().await, "FR STANDARD 20 AGREED | FR FR -");
    shop.billing("FR", Some("FR99999999999"), None).await;
    assert_eq!(taxed().await, "FR REVERSE_CHARGE 0 VAT_ID | FR FR -");
    // A company at home pays VAT.
    shop.billing("DE", Some("DE123456789"), None).await;
    assert_eq!(taxed().await, "DE STANDARD 19 VAT_ID | DE FR -");
}

#[tokio::test]
async fn an_order_gets_its_receipt_when_it_is_complete_and_a_credit_note_for_each_refund_after_that() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    shop.billing("DE", None, None).await;
    let order = shop.order(3, Some("DE")).await;
    let units = shop.units(order).await;
    shop.db.deliver(units[0]).await;
    shop.db.deliver(units[1]).await;
    assert_eq!(shop.documents(order).await, Vec::<String>::new());
    shop.db.refund(units[2]).await;
    shop.complete(order).await;
    // Two of three copies: 39.98, of which 6.38 is VAT.
    assert_eq!(shop.documents(order).await, ["RECEIPT 000001 33.60 6.38 39.98"]);
    shop.goodwill(order, "5.00").await;
    shop.goodwill(order, "14.99").await;
    shop.goodwill(order, "19.99").await;
    assert_eq!(
        shop.documents(order).await,
        [
            "RECEIPT 000001 33.60 6.38 39.98",
            "CREDIT_NOTE 000001 4.21 0.79 5.00",
            "CREDIT_NOTE 000002 12.59 2.40 14.99",
            "CREDIT_NOTE 000003 16.80 3.19 19.99"
        ]
    );
    let receipt = vat::receipt(&shop.db.store, shop.receipts(order).await[0].id, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            receipt.lines.len(),
            receipt.lines[0].quantity,
            receipt.lines[0].title.as_str()
        ),
        (1, 2, "Portal")
    );
    assert_eq!(
        (&receipt.seller, receipt.seller_vat_id.as_deref()),
        (&seller(), Some("DE123456789"))
    );
    assert_eq!(
        (receipt.buyer.name.as_str(), receipt.buyer_country.as_str()),
        ("Key Shop GmbH", "DE")
    );
    let note = vat::receipt(&shop.db.store, shop.receipts(order).await[1].id, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(note.corrects.as_deref(), Some(receipt.row.number.as_str()));
    assert_eq!(standing(&shop.db).await, Standing::default());
    // Another user sees none of it.
    let stranger = shop.db.user("bob@example.org", "0").await;
    assert_eq!(
        vat::of_order(&shop.db.store, OrderId(order), Some(UserId(stranger)))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        vat::receipt(&shop.db.store, receipt.row.id, Some(UserId(stranger)))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn what_was_refunded_before_completion_is_credited_with_the_receipt() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    let order = shop.order(2, None).await;
    let units = shop.units(order).await;
    shop.db.deliver(units[0]).await;
    shop.goodwill(order, "3.00").await;
    shop.db.deliver(units[1]).await;
    shop.complete(order).await;
    assert_eq!(
        shop.documents(order).await,
        ["RECEIPT 000001 33.60 6.38 39.98", "CREDIT_NOTE 000001 2.52 0.48 3.00"]
    );
    assert_eq!(standing(&shop.db).await, Standing::default());
}

#[tokio::test]
async fn receipts_wait_for_the_sellers_details_and_then_follow() {
    let shop = Shop::open().await;
    state(&shop.db, |form| form.seller.city.clear()).await;
    let order = shop.order(1, None).await;
    shop.deliver(order).await;
    assert_eq!(shop.documents(order).await, Vec::<String>::new());
    assert_eq!(
        standing(&shop.db).await,
        Standing {
            missing: 1,
            differing: 0
        }
    );
    state(&shop.db, |_| {}).await;
    assert_eq!(shop.documents(order).await, ["RECEIPT 000001 16.80 3.19 19.99"]);
    assert_eq!(standing(&shop.db).await, Standing::default());
}

#[tokio::test]
async fn a_statement_that_was_changed_meanwhile_is_not_overwritten() {
    let db = TestDb::new().await;
    let admin = UserId(db.user("ada@example.org", "0").await);
    let first = state(&db, |_| {}).await;
    assert!(first.is_complete && first.version > 0);
    let stale = statement(|_| {});
    assert!(matches!(
        vat::state(&db.store, admin, &stale).await,
        Err(StateError::Outdated)
    ));
    assert_eq!(vat::settings(&db.store).await.unwrap(), first);
    let recorded: i64 = sqlx::query_scalar("select count(*) from audit_log where action = 'vat.state'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(recorded, 1);
}

#[tokio::test]
async fn an_order_keeps_the_rate_with_which_it_was_placed() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    let by = By::Operator("test".to_owned());
    let before = shop.order(1, None).await;
    let changed = |rate: &str, date: &str| {
        let shipped = VatRates::shipped();
        let mut json = serde_json::json!({"source": "test", "date": date, "rates": shipped.to_json()});
        json["rates"]["DE"] = rate.into();
        VatRates::read(&json, None).unwrap()
    };
    let set = changed("21", "2026-10-01");
    assert!(
        vat::put_rates(&shop.db.store, &set, "https://rates.example", &by)
            .await
            .unwrap()
    );
    assert!(
        !vat::put_rates(&shop.db.store, &set, "https://rates.example", &by)
            .await
            .unwrap()
    );
    assert_eq!(vat::rates(&shop.db.store).await.unwrap(), set);
    let after = shop.order(1, None).await;
    shop.deliver(before).await;
    shop.deliver(after).await;
    assert_eq!(shop.documents(before).await, ["RECEIPT 000001 16.80 3.19 19.99"]);
    assert_eq!(shop.documents(after).await, ["RECEIPT 000002 16.52 3.47 19.99"]);
    // A refund later is credited at the rate of its order, too.
    shop.goodwill(before, "19.99").await;
    assert_eq!(shop.documents(before).await[1], "CREDIT_NOTE 000001 16.80 3.19 19.99");
    for nonsense in [
        changed("27", "2026-10-02"),
        changed("21", "2026-09-30"),
        changed("21", "2999-01-01"),
    ] {
        let refused = vat::put_rates(&shop.db.store, &nonsense, "https://rates.example", &by).await;
        assert!(matches!(refused, Err(PutRatesError::Fault(_))), "{refused:?}");
    }
}

/// A hundred transactions at once, half of them given up after they have drawn a number: the numbers have no gap.
#[tokio::test]
async fn numbers_have_no_gaps_when_a_hundred_complete_at_once() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    let mut orders = Vec::new();
    for _ in 0..50 {
        let order = shop.order(1, None).await;
        for unit in shop.units(order).await {
            shop.db.deliver(unit).await;
        }
        orders.push(order);
    }
    let url = Arc::new(shop.db.url().to_owned());
    let places = Arc::new(tokio::sync::Semaphore::new(SESSIONS));
    let at_once = orders.iter().enumerate().flat_map(|(n, order)| {
        // The one that is given up comes before or after the other.
        let ends = if n % 2 == 0 {
            ["rollback", "commit"]
        } else {
            ["commit", "rollback"]
        };
        ends.map(|end| tokio::spawn(complete_until(*order, end, Arc::clone(&url), Arc::clone(&places))))
    });
    let ended = tokio::time::timeout(Duration::from_mins(1), join_all(at_once))
        .await
        .unwrap();
    let drawn = ended.into_iter().map(Result::unwrap).filter(|drawn| *drawn).count();
    assert!(drawn > orders.len(), "some that were given up had drawn a number");
    let numbers: Vec<i32> =
        sqlx::query_scalar("select position from receipts where kind = 'RECEIPT' order by position")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(numbers, (1..=50).collect::<Vec<i32>>());
    let last: i32 = sqlx::query_scalar("select last from receipt_series where kind = 'RECEIPT'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(last, 50);
    assert_eq!(standing(&shop.db).await, Standing::default());
}

/// Sessions at one time.
const SESSIONS: usize = 100;

/// Completes an order in a transaction of its own and ends it so; whether it has drawn a number.
async fn complete_until(order: Uuid, end: &'static str, url: Arc<String>, places: Arc<tokio::sync::Semaphore>) -> bool {
    let _place = places.acquire().await.unwrap();
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    let sql = format!(
        "begin; update orders set status = 'PROCESSING' where id = '{order}' and status = 'PENDING';
         update orders set status = 'COMPLETED' where id = '{order}' and status = 'PROCESSING'; set constraints orders_documented immediate"
    );
    session.execute(AssertSqlSafe(sql)).await.unwrap();
    let drawn: bool =
        sqlx::query_scalar("select exists (select from receipts where order_id = $1 and issued_at = now())")
            .bind(order)
            .fetch_one(&mut session)
            .await
            .unwrap();
    session.execute(end).await.unwrap();
    session.close().await.unwrap();
    drawn
}

/// What orders of random sizes leave after random refunds: report, export and receipts are the bookings, to the cent.
#[tokio::test]
async fn report_and_export_are_the_books_to_the_cent() {
    let shop = Shop::open().await;
    shop.db
        .execute(&format!("update games set price = 7.77 where id = '{}'", shop.game))
        .await;
    state(&shop.db, |_| {}).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let plan = proptest::collection::vec(
        (
            1_i64..4,
            0_usize..4,
            proptest::collection::vec(1_i64..300, 0..3),
            0_usize..4,
        ),
        24,
    );
    let plan = plan.new_tree(&mut runner).unwrap().current();
    let countries = [None, Some("FR"), Some("LU"), Some("CH")];
    for (copies, refunded, goodwill, country) in plan {
        let order = shop.order(copies, countries[country]).await;
        let units = shop.units(order).await;
        // At least one copy is delivered.
        let refunded = refunded.min(units.len() - 1);
        for unit in &units[..refunded] {
            shop.db.refund(*unit).await;
        }
        for unit in &units[refunded..] {
            shop.db.deliver(*unit).await;
        }
        shop.complete(order).await;
        for cents in goodwill {
            shop.goodwill(order, &Money::from_cents(cents).unwrap().to_string())
                .await;
        }
    }
    let booked: Decimal = sqlx::query_scalar(
        "select -sum(t.amount) from transactions t join order_taxes x on x.order_id = t.order_id where t.status = 'COMPLETED'",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    let today: chrono::NaiveDate = sqlx::query_scalar("select (now() at time zone 'UTC')::date")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let quarter = Quarter::of(today);
    let read = shop.db.store.read(move |tx| Box::pin(vat::quarter(tx, quarter))).await;
    let report = read.unwrap().value;
    assert_eq!(report.gross.decimal(), booked);
    assert_eq!(report.net.checked_add(report.vat), Some(report.gross));
    assert_eq!(
        report
            .rows
            .iter()
            .map(|row| row.country.to_string())
            .collect::<Vec<_>>(),
        ["CH", "DE", "FR", "LU"]
    );
    assert_eq!(
        report.rows.iter().map(|row| row.is_oss).collect::<Vec<_>>(),
        [false, false, true, true]
    );
    assert_eq!(report.to_review, 24);
    let before = shop
        .db
        .store
        .read(move |tx| Box::pin(vat::quarter(tx, quarter.before())))
        .await;
    assert_eq!(before.unwrap().value.rows, []);
    // The export has the same rows, credit notes with a minus.
    let read = shop.db.store.read(|tx| {
        Box::pin(async move {
            vat::open_file(tx, &ReceiptFilter::default()).await?;
            lockstep_store::admin::files::next(tx).await
        })
    });
    let rows = read.await.unwrap().value;
    let column = |at: usize| -> Decimal {
        rows.iter()
            .map(|row| row[at].clone().unwrap().parse::<Decimal>().unwrap())
            .sum()
    };
    assert_eq!(
        (column(8), column(9), column(10)),
        (report.net.decimal(), report.vat.decimal(), booked)
    );
    let page = Page { number: 1, size: 1_000 };
    let read = shop
        .db
        .store
        .read(move |tx| Box::pin(async move { vat::list(tx, &ReceiptFilter::default(), page).await }));
    let (listed, total) = read.await.unwrap().value;
    assert_eq!((listed.len() as u64, rows.len() as u64), (total, total));
    let notes = ReceiptFilter {
        kind: Some(ReceiptKind::CreditNote),
        ..ReceiptFilter::default()
    };
    let read = shop
        .db
        .store
        .read(move |tx| Box::pin(async move { vat::list(tx, &notes, page).await }));
    assert!(
        read.await
            .unwrap()
            .value
            .0
            .iter()
            .all(|row| row.kind == ReceiptKind::CreditNote)
    );
    assert_eq!(standing(&shop.db).await, Standing::default());
}

#[tokio::test]
async fn the_database_divides_amounts_as_the_program_does() {
    let db = TestDb::new().await;
    let rates = ["0", "17", "19", "25.5", "27"];
    for rate in rates {
        let shares: Vec<Decimal> =
            sqlx::query_scalar("select vat_of(n / 100.0, $1::numeric) from generate_series(0, 5000) n order by n")
                .bind(rate.parse::<Decimal>().unwrap())
                .fetch_all(&db.sql)
                .await
                .unwrap();
        for (cents, share) in (0_i64..).zip(shares) {
            let ours = vat_of(Money::from_cents(cents).unwrap(), rate.parse().unwrap());
            assert_eq!(ours, Money::new(share).unwrap(), "{cents} cents at {rate} %");
        }
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_what_the_law_asks_for_and_nothing_else() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    shop.billing("DE", None, None).await;
    let order = shop.order(1, Some("DE")).await;
    shop.deliver(order).await;
    lockstep_store::accounts::delete(&shop.db.store, UserId(shop.user), true)
        .await
        .unwrap();
    assert_eq!(shop.db.count("billing_profiles").await, 0);
    let receipt = shop.receipts(order).await.remove(0);
    let receipt = vat::receipt(&shop.db.store, receipt.id, None).await.unwrap().unwrap();
    assert_eq!(
        (receipt.buyer.name.as_str(), receipt.row.gross),
        ("Key Shop GmbH", money("19.99"))
    );
}

#[tokio::test]
async fn who_the_buyer_was_is_forgotten_after_ten_years() {
    let shop = Shop::open().await;
    state(&shop.db, |_| {}).await;
    shop.billing("DE", None, None).await;
    let (old, new) = (shop.order(1, Some("DE")).await, shop.order(1, Some("DE")).await);
    shop.db
        .execute(&format!(
            "alter table order_taxes disable trigger order_taxes_frozen;
             update order_taxes set frozen_at = now() - interval '11 years' where order_id = '{old}';
             alter table order_taxes enable trigger order_taxes_frozen"
        ))
        .await;
    lockstep_store::retention::sweep(&shop.db.store).await.unwrap();
    let named: Vec<Uuid> =
        sqlx::query_scalar("select order_id from order_taxes where buyer_name is not null or buyer_city is not null")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(named, [new]);
}
