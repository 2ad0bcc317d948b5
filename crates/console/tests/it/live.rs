//! Pages that follow what happens, over real HTTP: each change is an event, streams are bounded, and end with the session
//! and the permission of their reader.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::shop::{Browser, PASSWORD, Shop};

/// What does not happen within this time does not happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pages that a member of staff may follow at one time.
const MOST: usize = 6;

/// An open stream of events.
struct Stream {
    status: String,
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Closed with the stream.
    _write: OwnedWriteHalf,
}

impl Stream {
    async fn open(address: SocketAddr, reader: &Browser<'_>, path: &str) -> Self {
        let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: shop.example\r\nCookie: {}\r\n\r\n",
            reader.cookies()
        );
        write.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(read).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        Self {
            status,
            lines,
            _write: write,
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        let next = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(event) = line.strip_prefix("event: ") {
                    return Some(event.to_owned());
                }
                // The last chunk of a response.
                if line == "0" {
                    return None;
                }
            }
            None
        };
        tokio::time::timeout(DEADLINE, next).await.unwrap()
    }
}

/// Members of the support.
async fn team(shop: &Shop, count: usize) -> Vec<Browser<'_>> {
    let mut team = Vec::new();
    for n in 0..count {
        team.push(shop.customer(&format!("support{n}")).await);
    }
    shop.db
        .execute("update users set staff_role = 'SUPPORT' where email like 'support%'")
        .await;
    team
}

#[tokio::test]
async fn many_pages_follow_an_order_at_once_and_end_with_the_permission() {
    let shop = Shop::open().await;
    let (order, address) = (shop.delivered().await, shop.serve().await);
    let team = team(&shop, 4).await;
    let path = format!("/admin/live/orders/{}", order.id);
    let page = team[0].page(&format!("/admin/orders/{}", order.id)).await;
    assert!(page.contains(&format!("data-live=\"{path}\"")), "{page}");
    let readers = team.iter().flat_map(|reader| std::iter::repeat_n(reader, MOST));
    let mut streams = join_all(readers.map(|reader| Stream::open(address, reader, &path))).await;
    // The first event comes at once, so that nothing is missed.
    for next in join_all(streams.iter_mut().map(Stream::next)).await {
        assert_eq!(next.as_deref(), Some("news"));
    }
    let more = Stream::open(address, &team[0], &path).await;
    assert!(more.status.contains("503"), "{}", more.status);
    shop.db
        .execute(&format!(
            "update order_units set last_error = 'It waits' where id = '{}'",
            order.units[0]
        ))
        .await;
    for next in join_all(streams.iter_mut().map(Stream::next)).await {
        assert_eq!(next.as_deref(), Some("news"));
    }
    shop.db
        .execute("update users set staff_role = null where email like 'support%'")
        .await;
    for next in join_all(streams.iter_mut().map(Stream::next)).await {
        assert_eq!(next, None);
    }
    let late = Stream::open(address, &team[1], &path).await;
    assert!(late.status.contains("404"), "{}", late.status);
    // A place is free again when its stream has ended.
    shop.db
        .execute("update users set staff_role = 'SUPPORT' where email like 'support%'")
        .await;
    let mut again = Stream::open(address, &team[0], &path).await;
    assert!(again.status.contains("200"), "{}", again.status);
    assert_eq!(again.next().await.as_deref(), Some("news"));
}

/// The role stays, but it no longer has the permission; and a log-out ends streams as well.
#[tokio::test]
async fn a_stream_ends_when_its_role_shrinks_and_when_its_reader_logs_out() {
    let shop = Shop::open().await;
    let (order, address) = (shop.delivered().await, shop.serve().await);
    let (support, manager) = (shop.staff("SUPPORT").await, shop.staff("MANAGER").await);
    let path = format!("/admin/live/orders/{}", order.id);
    let mut first = Stream::open(address, &support, &path).await;
    let mut second = Stream::open(address, &manager, &path).await;
    assert_eq!(first.next().await.as_deref(), Some("news"));
    assert_eq!(second.next().await.as_deref(), Some("news"));
    shop.db
        .execute("delete from staff_role_permissions where role = 'SUPPORT' and permission = 'orders.read'")
        .await;
    assert_eq!(first.next().await, None);
    manager.post("/logout", "").await;
    assert_eq!(second.next().await, None);
    // Another log-in of the same person has a stream of its own.
    let form = format!("email=manager@example.org&password={PASSWORD}&next=/admin");
    assert_eq!(shop.stranger().post("/login", &form).await.status, 303);
}

#[tokio::test]
async fn a_job_is_followed_to_its_end() {
    let shop = Shop::open().await;
    let address = shop.serve().await;
    let manager = shop.staff("MANAGER").await;
    let page = manager.page("/admin/supplier/sync").await;
    let started = manager.submit(&page, "kind=FULL&product=").await;
    let job = started.header("location").unwrap().to_owned();
    let mut stream = Stream::open(address, &manager, &job.replace("/supplier/", "/live/")).await;
    let mut room = Stream::open(address, &manager, "/admin/live/supplier").await;
    assert_eq!(stream.next().await.as_deref(), Some("news"));
    assert_eq!(room.next().await.as_deref(), Some("news"));
    manager.post("/admin/supplier/sync/cancel", "").await;
    assert_eq!(stream.next().await.as_deref(), Some("over"));
    assert_eq!(stream.next().await, None);
    assert_eq!(room.next().await.as_deref(), Some("news"));
}

#[tokio::test]
async fn the_first_page_follows_orders_and_incidents() {
    let shop = Shop::open().await;
    let (order, address) = (shop.delivered().await, shop.serve().await);
    let manager = shop.staff("MANAGER").await;
    assert!(manager.page("/admin").await.contains("data-live=\"/admin/live/today\""));
    let mut stream = Stream::open(address, &manager, "/admin/live/today").await;
    assert_eq!(stream.next().await.as_deref(), Some("news"));
    shop.db
        .execute(&format!(
            "insert into incidents (kind, order_unit_id, detail) values ('KEY_LATE', '{}', 'It came late')",
            order.units[0]
        ))
        .await;
    assert_eq!(stream.next().await.as_deref(), Some("news"));
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_followed() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let nothing = uuid::Uuid::new_v4();
    for path in ["jobs", "orders", "bulk"] {
        let status = owner.open(&format!("/admin/live/{path}/{nothing}")).await;
        assert_eq!(status, http::StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            owner.open(&format!("/admin/live/{path}/x")).await,
            http::StatusCode::NOT_FOUND
        );
    }
}
