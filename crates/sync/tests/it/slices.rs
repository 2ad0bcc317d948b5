//! Lists that are longer than G2A's last page.

use lockstep_g2a_sandbox::{Catalogue, Knobs};
use lockstep_store::sync::RunStatus;
use lockstep_sync::{Settings, What};

use crate::support::{Shop, row};

/// A supplier that returns five pages of each list.
async fn five_pages(catalogue: Catalogue) -> Shop {
    let knobs = Knobs {
        max_page: 5,
        ..Knobs::default()
    };
    Shop::start(
        catalogue,
        knobs,
        Settings {
            max_page: 5,
            ..Settings::default()
        },
    )
    .await
}

#[tokio::test]
async fn slices_cover_a_catalogue_longer_than_one_list() {
    let shop = five_pages(Catalogue::Generated { count: 1_000, seed: 3 }).await;
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.counts.created),
        (RunStatus::Completed, 1_000),
        "{report}"
    );
    shop.assert_in_line().await;
    assert!(
        shop.g2a
            .requests(20_000)
            .iter()
            .all(|request| request.status == Some(200)),
        "no page too far was asked for"
    );
}

#[tokio::test]
async fn products_of_equal_price_are_sliced_by_time_of_change() {
    let shop = five_pages(Catalogue::Empty).await;
    for n in 0..250_u64 {
        let mut product = row(n + 1, &format!("Game {n}"), "1.99");
        product.insert(
            "updated_at".into(),
            format!("2026-03-{:02} 10:{:02}:00", n % 28 + 1, n / 28).into(),
        );
        shop.g2a.add_product(product);
    }
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.counts.created),
        (RunStatus::Completed, 250),
        "{report}"
    );
}

#[tokio::test]
async fn an_indivisible_slice_is_read_partly_and_nothing_is_withdrawn() {
    let shop = five_pages(Catalogue::Empty).await;
    for n in 0..130_u64 {
        let mut product = row(n + 1, &format!("Game {n}"), "1.99");
        product.insert("updated_at".into(), "2026-03-01 10:00:00".into());
        shop.g2a.add_product(product);
    }
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.counts.created),
        (RunStatus::Completed, 100),
        "{report}"
    );
    shop.g2a.remove_product("3");
    let report = shop.run(What::Full).await;
    assert_eq!(report.counts.withdrawn, 0);
    assert!(
        report.problems[0].reason.contains("share one price"),
        "{:?}",
        report.problems
    );
}
