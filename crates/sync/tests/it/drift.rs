//! A list that changes while it is read. The changes are made before chosen calls, so every run is deterministic.

use lockstep_domain::Money;
use lockstep_g2a_sandbox::{Catalogue, Knobs};
use lockstep_store::sync::RunStatus;
use lockstep_sync::{Settings, What};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::{Shop, one_at_a_time, row};

#[tokio::test]
async fn a_product_removed_between_pages_hides_no_other() {
    for at in 2..9 {
        let shop = Shop::start(
            Catalogue::Generated { count: 140, seed: 5 },
            Knobs::default(),
            one_at_a_time(),
        )
        .await;
        let (g2a, first) = (shop.g2a.clone(), shop.id_at(0));
        shop.gate.before_each(move |call| {
            if call == at {
                g2a.remove_product(&first);
            }
        });
        let report = shop.run(What::Full).await;
        assert_eq!(report.status, RunStatus::Completed, "{report}");
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn an_inserted_product_hides_no_other() {
    for at in 2..9 {
        let shop = Shop::start(Catalogue::Empty, Knobs::default(), one_at_a_time()).await;
        for n in 1..=140_u64 {
            let mut product = row(n * 10, &format!("Game {n}"), "5");
            product.insert("updated_at".into(), "2026-03-01 10:00:00".into());
            shop.g2a.add_product(product);
        }
        let g2a = shop.g2a.clone();
        shop.gate.before_each(move |call| {
            if call == at {
                for id in 1..=3 {
                    g2a.add_product(row(id, &format!("Newcomer {id}"), "5"));
                }
            }
        });
        let report = shop.run(What::Full).await;
        assert_eq!(report.status, RunStatus::Completed, "{report}");
        assert_eq!(
            shop.games().await.len(),
            143,
            "inserted in front of call {at}: {report}"
        );
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn no_product_is_missed_under_random_changes() {
    for seed in 0..6 {
        let mut dice = StdRng::seed_from_u64(seed);
        let knobs = Knobs {
            max_page: 5,
            ..Knobs::default()
        };
        let settings = Settings {
            max_page: 5,
            max_in_flight: 1 + dice.random_range(0..4),
            ..Settings::default()
        };
        let shop = Shop::start(Catalogue::Generated { count: 220, seed }, knobs, settings).await;
        if seed % 2 == 0 {
            shop.run(What::Full).await;
        }
        let (g2a, mut next_id) = (shop.g2a.clone(), 90_000_000_000_000_u64);
        let begin = shop.gate.calls();
        shop.gate.before_each(move |call| {
            // The last changes are made while pages are still being read.
            if call > begin + 20 || dice.random_bool(0.4) {
                return;
            }
            let products = g2a.products(1, 10_000);
            let id = products[dice.random_range(0..products.len())]["id"]
                .as_str()
                .unwrap()
                .to_owned();
            let price = Money::from_cents(dice.random_range(20..8_000)).unwrap();
            match dice.random_range(0..6) {
                0 => assert!(g2a.remove_product(&id)),
                1 => {
                    next_id += 1;
                    let mut newcomer = row(next_id, &format!("Newcomer {next_id}"), &price.to_string());
                    newcomer.remove("updated_at"); // so its time of change is now
                    g2a.add_product(newcomer);
                }
                2 => assert!(g2a.set_stock(&id, dice.random_range(0..3))),
                _ => assert!(g2a.set_price(&id, price, price)),
            }
        });
        let report = shop.run(What::Full).await;
        assert_eq!(report.status, RunStatus::Completed, "seed {seed}: {report}");
        shop.assert_nothing_overlooked().await;
        let calls = shop.gate.calls() - begin;
        assert!(calls < 100, "seed {seed}: {calls} calls for 11 pages");
        // The next pass detects products that disappeared after they were seen.
        shop.run(What::Full).await;
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn a_stock_check_handles_products_that_sell_out_during_it() {
    for at in 1..9 {
        let shop = Shop::start(
            Catalogue::Generated { count: 140, seed: 5 },
            Knobs::default(),
            one_at_a_time(),
        )
        .await;
        shop.run(What::Full).await;
        let (g2a, begin) = (shop.g2a.clone(), shop.gate.calls());
        let products = shop.products();
        let (mut selling, sold_out): (Vec<_>, Vec<_>) = products
            .into_iter()
            .partition(|product| product["qty"].as_u64() > Some(0));
        selling.truncate(4);
        shop.gate.before_each(move |call| {
            if call == begin + at {
                for product in &selling {
                    assert!(g2a.set_stock(product["id"].as_str().unwrap(), 0));
                }
                assert!(g2a.set_stock(sold_out[0]["id"].as_str().unwrap(), 7));
            }
        });
        let report = shop.run(What::Stock).await;
        assert_eq!(report.status, RunStatus::Completed, "{report}");
        shop.assert_in_line().await;
    }
}
