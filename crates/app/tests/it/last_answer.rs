//! The supplier's only answer with the key, which cannot be requested again, for a real `lockstep worker` that is
//! suspended, disconnected and killed while it waits for keys.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Control, Fault, FaultRule, Sandbox};
use lockstep_testkit::{DatabaseProxy, TestDb};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::crash::{PRODUCT, all_end, check_books, stop, supplier, worker};
use crate::program::DEADLINE;

struct Shop {
    db: TestDb,
    g2a: Sandbox,
    folder: TempDir,
}

impl Shop {
    /// Orders of one copy each, and a supplier that holds back the answers to key calls.
    async fn with_orders(orders: u32) -> Self {
        let (db, g2a) = tokio::join!(TestDb::new(), supplier());
        let game = db.game("Portal", "portal", "10.20").await;
        db.at_g2a(game, PRODUCT).await;
        for buyer in 0..orders {
            let user = db.user(&format!("buyer-{buyer}@example.org"), "100.00").await;
            db.order(user, game, 1).await;
        }
        g2a.control()
            .add_fault(FaultRule::once(CallMatch::Key, Fault::Hold).times(orders));
        Self {
            db,
            g2a,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn control(&self) -> Control {
        self.g2a.control()
    }

    fn worker(&self, data: &Path) -> Command {
        worker(&self.db, &self.g2a, data, None)
    }

    /// Waits until all key calls have arrived and were processed.
    async fn keys_are_given_out(&self, count: usize) {
        until("the key calls", async || self.control().held().len() == count).await;
    }

    fn release(&self) {
        for number in self.control().held() {
            self.control().release(number);
        }
    }

    async fn stored(&self) -> i64 {
        self.db.count("game_keys").await
    }
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !reached().await {
        assert!(began.elapsed() < DEADLINE, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn keys_received_without_a_database_survive_a_worker_crash() {
    without_a_database(false).await;
}

#[tokio::test]
async fn keys_survive_when_the_spool_is_removed_in_transit() {
    without_a_database(true).await;
}

async fn without_a_database(and_without_a_folder: bool) {
    const ORDERS: u32 = 4;
    let shop = Shop::with_orders(ORDERS).await;
    let (data, way) = (shop.data("data"), DatabaseProxy::before(&shop.db));
    let child = shop.worker(&data).env("DATABASE_URL", way.url()).spawn().unwrap();
    shop.keys_are_given_out(4).await;
    way.refuse();
    if and_without_a_folder {
        // The worker may be recreating the folder meanwhile.
        until("the folder is gone", async || {
            std::fs::remove_dir_all(data.join("spool")).is_ok()
        })
        .await;
    }
    shop.release();
    let whole = || {
        let slot = std::fs::read_dir(data.join("spool/0")).into_iter().flatten().flatten();
        slot.filter(|file| file.path().extension().is_some_and(|kind| kind == "key"))
            .count()
    };
    until("all keys are on disk", async || whole() == 4).await;
    stop(child).await;
    assert_eq!((shop.stored().await, whole()), (0, 4));

    let again = shop.worker(&data).spawn().unwrap();
    all_end(&shop.db, "after the death").await;
    stop(again).await;
    check_books(&shop.db, &shop.g2a, 0, "after the death").await;
    assert_eq!(shop.stored().await, 4);
    assert_eq!(shop.db.count("incidents").await, 0, "no key was lost");
    assert_eq!(shop.control().ledger().orders.len(), 4, "nothing was bought twice");
}

#[tokio::test]
async fn suspended_worker_stores_received_keys_on_resume() {
    const ORDERS: u32 = 3;
    let shop = Shop::with_orders(ORDERS).await;
    let (data, elsewhere) = (shop.data("data"), shop.data("elsewhere"));
    let hasty = |data: &Path| {
        let mut command = shop.worker(data);
        command.env("LOCKSTEP_PACE", "hasty");
        command
    };
    let stopped = hasty(&data).spawn().unwrap();
    shop.keys_are_given_out(3).await;
    signal(&stopped, "STOP").await;
    // Its answers arrive while it is suspended; its leases expire, and another worker finds the keys already delivered.
    shop.release();
    let other = hasty(&elsewhere).spawn().unwrap();
    all_end(&shop.db, "taken over").await;
    assert_eq!(shop.db.count("incidents where kind = 'KEY_LOST'").await, 3);
    signal(&stopped, "CONT").await;
    until("the late keys are stored", async || shop.stored().await == 6).await;
    let stock = "game_keys where order_unit_id is null";
    assert_eq!(shop.db.count(stock).await, 3, "what was paid for twice is stock");
    assert_eq!(
        shop.db
            .count("incidents where kind = 'KEY_LOST' and resolved_at is null")
            .await,
        0
    );
    stop(stopped).await;
    stop(other).await;
    check_books(&shop.db, &shop.g2a, 0, "after waking").await;
}

#[tokio::test]
async fn suspended_sole_worker_delivers_received_keys_on_resume() {
    let shop = Shop::with_orders(2).await;
    let data = shop.data("data");
    let child = shop.worker(&data).env("LOCKSTEP_PACE", "hasty").spawn().unwrap();
    shop.keys_are_given_out(2).await;
    signal(&child, "STOP").await;
    shop.release();
    // Longer than the timeout of a key call and than the lease.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    signal(&child, "CONT").await;
    all_end(&shop.db, "after waking").await;
    stop(child).await;
    check_books(&shop.db, &shop.g2a, 0, "after waking").await;
    assert_eq!(shop.db.count("incidents").await, 0);
    assert_eq!(shop.control().ledger().orders.len(), 2, "nothing was bought twice");
}
