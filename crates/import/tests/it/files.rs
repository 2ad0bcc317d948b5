//! Files of keys, products and customers.

use std::path::Path;

use lockstep_import::{Report, keys, shops};
use lockstep_store::audit::By;
use lockstep_store::imports::{self, Source, Undone};
use lockstep_testkit::{TestDb, secrets};

use crate::support::rows;

const GAME: &str = "insert into games (id, title, slug, description, price, image, release_date)
    values ('00000000-0000-4000-8000-0000000000a1', 'Quay', 'quay', '', 5, '', '2020-01-01')";

async fn bring(
    to: &TestDb,
    name: &str,
    content: &[u8],
    game: Option<&str>,
) -> Result<Report, lockstep_import::ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    let secrets = secrets();
    let target = keys::Target {
        store: &to.store,
        secrets: &secrets,
        by: By::Operator("test".into()),
    };
    keys::run(
        &target,
        &keys::Request {
            file: &file,
            game,
            dry_run: false,
        },
    )
    .await
}

async fn bring_products(to: &TestDb, source: Source, content: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, content).unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let target = shops::Target {
        store: &to.store,
        by: By::Operator("test".into()),
        now,
        dry_run: false,
    };
    let files: [&Path; 1] = [&file];
    shops::run(&target, source, &files).await.unwrap()
}

fn outcomes(report: &Report) -> Vec<(usize, &str)> {
    report.lines.iter().map(|row| (row.line, row.outcome)).collect()
}

#[tokio::test]
async fn a_list_is_stored_as_stock_and_each_line_that_is_not_taken_is_named() {
    let to = TestDb::new().await;
    to.execute(GAME).await;
    let list =
        b"\xef\xbb\xbfAAAA-0001\r\nAAAA-0002\r\n1.23E+15\r\nAAAA-0001\r\nMar-24\r\n\r\nAAAA-0003\r\n\xe4BCD-1\r\n";
    let report = bring(&to, "keys.txt", list, Some("quay")).await.unwrap();
    assert_eq!(
        outcomes(&report),
        [(3, "refused"), (4, "duplicate"), (5, "refused"), (8, "refused")]
    );
    let table = report.tables["keys"];
    assert_eq!((table.rows, table.taken, table.duplicates, table.refused), (7, 3, 1, 3));
    let again = bring(&to, "keys.txt", list, Some("quay")).await.unwrap();
    assert_eq!((again.tables["keys"].taken, again.tables["keys"].duplicates), (0, 4));
    assert!(again.lines.iter().any(|row| row.reason.contains("in stock already")));
}

#[tokio::test]
async fn the_forms_of_plugins_are_recognised_and_what_they_have_sold_is_not_sold_again() {
    let to = TestDb::new().await;
    to.execute(GAME).await;
    let manager = "order_id;product_id;license_key;status\n;quay;BBBB-0001;active\n17;quay;BBBB-0002;active\n;quay;BBBB-0003;sold\n\
                   ;unknown;BBBB-0004;active\n;quay;def50200a1b2c3d4e5f60718293a4b5c6d7e8f90def50200a1b2c3d4e5f60718293a4b5c;active\n";
    let report = bring(&to, "licenses.csv", manager.as_bytes(), None).await.unwrap();
    assert_eq!(outcomes(&report), [(5, "refused"), (6, "refused")]);
    assert!(report.notes[0].contains("License Manager"));
    let serials = "serial_key,product_id,order_id,status\n\"user: ada\npassword: 1234\",quay,0,available\n\"CCCC-0001\",quay,0,expired\n";
    let report = bring(&to, "serials.csv", serials.as_bytes(), None).await.unwrap();
    assert_eq!(report.tables["keys"].taken, 2);
    assert_eq!(
        rows(
            &to,
            "select count(*)::text || ' ' || activated from game_keys group by activated order by 1"
        )
        .await,
        ["2 false", "3 true"]
    );
}

#[tokio::test]
async fn a_file_in_another_encoding_and_one_without_a_game_are_refused_whole() {
    let to = TestDb::new().await;
    to.execute(GAME).await;
    let utf16 = bring(&to, "k.txt", b"\xff\xfeA\0B\0C\0D\0", Some("quay"))
        .await
        .unwrap_err()
        .to_string();
    assert!(utf16.contains("UTF-16"), "{utf16}");
    let nameless = bring(&to, "k.txt", b"ABCD-1234\n", None).await.unwrap_err().to_string();
    assert!(nameless.contains("--game"), "{nameless}");
    assert!(bring(&to, "k.txt", b"ABCD-1234\n", Some("none")).await.is_err());
    assert_eq!(to.count("game_keys").await, 0);
}

#[tokio::test]
async fn a_run_is_undone_until_one_of_its_keys_was_sold() {
    let to = TestDb::new().await;
    to.execute(GAME).await;
    let by = By::Operator("test".into());
    let first = bring(&to, "k.txt", b"DDDD-0001\nDDDD-0002\n", Some("quay"))
        .await
        .unwrap()
        .run
        .unwrap();
    assert_eq!(
        imports::undo(&to.store, first, &by).await.unwrap(),
        Undone::Gone { keys: 2, games: 0 }
    );
    assert_eq!(to.count("game_keys").await, 0);
    let second = bring(&to, "k.txt", b"DDDD-0001\nDDDD-0002\n", Some("quay"))
        .await
        .unwrap()
        .run
        .unwrap();
    to.execute(
        "insert into users (id, email, password_hash) values ('00000000-0000-4000-8000-0000000000b1', 'a@shop.example', '$2b$12$' || repeat('.', 53));
         insert into key_reveals (game_key_id, user_id, how, last_at) select id, '00000000-0000-4000-8000-0000000000b1', 'CONSOLE', now() from game_keys limit 1",
    )
    .await;
    assert_eq!(imports::undo(&to.store, second, &by).await.unwrap(), Undone::Sold(1));
    assert_eq!(to.count("game_keys").await, 2);
}

#[tokio::test]
async fn products_of_woocommerce_become_games_and_keys_find_them_by_id_or_sku() {
    let to = TestDb::new().await;
    let csv = "ID;Typ;SKU;Name;Veröffentlicht;Beschreibung;Angebotspreis;Regulärer Preis;Kategorien;Bilder\n\
               11;\"simple, virtual\";HAR-1;Harbour;1;Ships.;9,50;12,00;Games > Sea, Games;https://a.example/1.jpg\n\
               12;variable;;Sets;1;;;;;\n13;simple;X-1;Odd;1;;;1,234;;\n14;simple;;Harbour;-1;;;3;;\n";
    let report = bring_products(&to, Source::WooCommerce, csv).await;
    assert_eq!(outcomes(&report), [(3, "refused"), (4, "refused")]);
    assert_eq!(
        rows(&to, "select title || ' ' || price || ' ' || coalesce(original_price::text, '-') || ' ' || (withdrawn_at is null) from games order by price").await,
        ["Harbour 3.00 - false", "Harbour 9.50 12.00 true"]
    );
    assert_eq!(
        rows(&to, "select name from categories order by 1").await,
        ["Games", "Sea"]
    );
    let keys = "license_key,product_id\nEEEE-0001,11\nEEEE-0002,HAR-1\n";
    assert_eq!(
        bring(&to, "l.csv", keys.as_bytes(), None).await.unwrap().tables["keys"].taken,
        2
    );
    let again = bring_products(&to, Source::WooCommerce, csv).await;
    assert_eq!(
        (again.tables["products"].taken, again.tables["products"].duplicates),
        (0, 2)
    );
}

#[tokio::test]
async fn both_generations_of_shopifys_products_are_read() {
    for headings in [
        "Handle,Title,Body (HTML),Vendor,Tags,Published,Option1 Value,Variant SKU,Variant Price,Variant Compare At Price,Image Src",
        "URL handle,Title,Description,Vendor,Tags,Published,Option1 value,SKU,Price,Compare-at price,Product image URL",
    ] {
        let to = TestDb::new().await;
        let csv = format!(
            "{headings}\npier,Pier,<p>Wood.</p>,Studio,sea,true,PC,P-1,4.99,9.99,https://a.example/1.jpg\npier,,,,,,Mac,P-2,5.99,,\npier,,,,,,,,,,https://a.example/2.jpg\n"
        );
        let report = bring_products(&to, Source::Shopify, &csv).await;
        let table = report.tables["products"];
        assert_eq!((table.rows, table.taken, table.duplicates), (3, 2, 1), "{headings}");
        assert_eq!(
            rows(&to, "select title || ' ' || price from games order by price").await,
            ["Pier 4.99", "Pier Mac 5.99"]
        );
    }
}

#[tokio::test]
async fn customers_are_brought_once_and_without_a_password() {
    let to = TestDb::new().await;
    let csv = "First Name,Last Name,Email\nAda,L,Ada@Shop.example\nAda,L,ada@shop.example\n,,nonsense\n";
    let report = bring_products(&to, Source::Shopify, csv).await;
    assert_eq!(outcomes(&report), [(3, "duplicate"), (4, "refused")]);
    let json =
        r#"[{"id": 5, "email": "ada@shop.example"}, {"id": 6, "email": "bob@shop.example", "first_name": "Bob"}]"#;
    let report = bring_products(&to, Source::WooCommerce, json).await;
    assert_eq!(
        (report.tables["customers"].taken, report.tables["customers"].duplicates),
        (1, 1)
    );
    assert_eq!(
        rows(&to, "select email from users order by 1").await,
        ["ada@shop.example", "bob@shop.example"]
    );
}
