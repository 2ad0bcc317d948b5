//! The picture proxy: what it serves and what it refuses. It connects only to a server on loopback.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use image::{DynamicImage, ImageFormat, RgbImage};
use lockstep_testkit::TestDb;

use crate::html::values;
use crate::shop::{Answered, Shop, complete_game};

/// A picture server that counts its requests.
struct Server {
    address: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut jpeg = Cursor::new(Vec::new());
        let picture = RgbImage::from_fn(600, 800, |x, y| {
            image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 80])
        });
        DynamicImage::from(picture)
            .write_to(&mut jpeg, ImageFormat::Jpeg)
            .unwrap();
        let jpeg = jpeg.into_inner();
        let kinds = [("content-type", "image/jpeg")];
        let whole = jpeg.clone();
        let count = Arc::clone(&asked);
        let router = Router::new()
            .route("/good.jpg", get(move || async move { (kinds, whole) }))
            .route("/moved.jpg", get(|| async { Redirect::temporary("/good.jpg") }))
            .route("/loop.jpg", get(|| async { Redirect::temporary("/loop.jpg") }))
            .route(
                "/page.jpg",
                get(|| async { ([(header::CONTENT_TYPE, "text/html")], "<html>") }),
            )
            .route("/lie.jpg", get(move || async move { (kinds, "<svg onload=alert(1)>") }))
            .route("/cut.jpg", get(move || async move { (kinds, jpeg[..500].to_vec()) }))
            .route(
                "/huge.jpg",
                get(move || async move { (kinds, vec![0_u8; 13 * 1024 * 1024]) }),
            )
            .route("/gone.jpg", get(|| async { StatusCode::NOT_FOUND.into_response() }))
            .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { request }
            }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn shop(trusts_private_addresses: bool) -> Shop {
    let db = TestDb::new().await;
    let store = db.store.clone();
    Shop::open_on(db, store, |settings| {
        settings.pictures.trusts_private_addresses = trusts_private_addresses;
    })
    .await
}

/// Repeats the request until the picture is ready; a slow machine shows the generated cover first.
async fn made(shop: &Shop, path: &str) -> Answered {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = shop.get(path).await;
        if answer.header("content-type") == Some("image/webp") || Instant::now() > deadline {
            return answer;
        }
    }
}

#[tokio::test]
async fn pictures_are_scaled_to_webp_from_a_single_fetch() {
    let (shop, server) = (shop(true).await, Server::start().await);
    let game = complete_game("Portal").with(|game| {
        game.image = format!("{}/moved.jpg", server.address);
        game.images = vec![format!("{}/good.jpg", server.address)];
    });
    shop.put(std::slice::from_ref(&game)).await;
    let page = shop.get("/game/portal").await;
    assert!(page.page().contains(&format!("/images/{}/1/1280.webp", game.id)));
    assert!(
        !page.text().contains(&server.address),
        "readers never ask other servers"
    );
    for (place, width, real) in [(0, 320, 320), (0, 160, 160), (1, 480, 480), (1, 1280, 600)] {
        let answer = made(&shop, &format!("/images/{}/{place}/{width}.webp", game.id)).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, Some("image/webp"))
        );
        assert!(answer.header("cache-control").unwrap().contains("immutable"));
        let picture = image::load_from_memory_with_format(&answer.bytes, ImageFormat::WebP).unwrap();
        assert_eq!(picture.width(), real);
    }
    assert_eq!(server.asked(), 3, "once through the redirect, once directly");
}

#[tokio::test]
async fn uploaded_pictures_are_served_scaled_and_with_their_texts() {
    let shop = shop(false).await;
    let mut file = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(900, 600)
        .write_to(&mut file, ImageFormat::WebP)
        .unwrap();
    let (cover, door) = (
        "0192f0c1-0000-7000-8000-000000000001",
        "0192f0c1-0000-7000-8000-000000000002",
    );
    let game = complete_game("Portal").with(|game| {
        game.image = format!("/api/pictures/{cover}.webp");
        game.images = vec![
            format!("/api/pictures/{door}.webp"),
            "https://img.example/2.jpg".to_owned(),
        ];
    });
    shop.put(std::slice::from_ref(&game)).await;
    for (id, alt) in [(cover, "Chell & a door"), (door, "")] {
        sqlx::query("insert into game_pictures (game_id, address, alt, id, image) values ($1, '/api/pictures/' || $2 || '.webp', $3, $2::uuid, $4)")
            .bind(game.id)
            .bind(id)
            .bind(alt)
            .bind(file.get_ref())
            .execute(&shop.db.sql)
            .await
            .unwrap();
    }
    sqlx::query("insert into game_pictures (game_id, address, alt) values ($1, 'https://img.example/2.jpg', 'A hall')")
        .bind(game.id)
        .execute(&shop.db.sql)
        .await
        .unwrap();
    for (place, width, real) in [(0, 320, 320), (1, 480, 480), (1, 1280, 900)] {
        let answer = shop.get(&format!("/images/{}/{place}/{width}.webp", game.id)).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, Some("image/webp"))
        );
        let picture = image::load_from_memory_with_format(&answer.bytes, ImageFormat::WebP).unwrap();
        assert_eq!(picture.width(), real, "{place}, {width}");
    }
    // As it is stored, also for front-ends on other origins.
    let whole = shop.get(&format!("/api/pictures/{door}.webp")).await;
    assert_eq!(&whole.bytes[..], &file.get_ref()[..]);
    assert_eq!(whole.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert!(whole.header("cache-control").unwrap().contains("immutable"));
    for missing in ["0192f0c1-0000-7000-8000-000000000003.webp", "x.webp", cover] {
        assert_eq!(
            shop.get(&format!("/api/pictures/{missing}")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    // The page says what staff have written, and numbers the others.
    let page = shop.get("/game/portal").await;
    let texts = values(page.page(), "alt");
    assert!(
        texts.iter().any(|text| text == "A hall") && texts.iter().any(|text| text == "Picture 1"),
        "{texts:?}"
    );
    sqlx::query("update games set images = '{}'")
        .execute(&shop.db.sql)
        .await
        .unwrap();
    shop.cache.catch_up().await.unwrap();
    let page = shop.get("/game/portal").await;
    let texts = values(page.page(), "alt");
    assert!(texts.iter().any(|text| text == "Chell & a door"), "{texts:?}");
}

#[tokio::test]
async fn failed_fetches_serve_the_generated_cover_and_are_not_repeated() {
    let (shop, server) = (shop(true).await, Server::start().await);
    for bad in ["loop", "page", "lie", "cut", "huge", "gone"] {
        let game = complete_game(bad).with(|game| game.image = format!("{}/{bad}.jpg", server.address));
        shop.put(std::slice::from_ref(&game)).await;
        let path = format!("/images/{}/0/320.webp", game.id);
        let answer = shop.get(&path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, Some("image/svg+xml")),
            "{bad}"
        );
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"), "{bad}");
        let asked = server.asked();
        shop.get(&path).await;
        assert_eq!(server.asked(), asked, "{bad} is not asked for again at once");
    }
}

#[tokio::test]
async fn private_network_addresses_are_never_fetched() {
    let (shop, server) = (shop(false).await, Server::start().await);
    let port = server.address.rsplit(':').next().unwrap();
    for (n, address) in [
        format!("{}/good.jpg", server.address),
        format!("http://localhost:{port}/good.jpg"),
        format!("http://[::ffff:127.0.0.1]:{port}/good.jpg"),
        format!("http://2130706433:{port}/good.jpg"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://user:password@example.com/a.jpg".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let game = complete_game(&format!("Game {n}")).with(|game| game.image.clone_from(&address));
        shop.put(std::slice::from_ref(&game)).await;
        let answer = shop.get(&format!("/images/{}/0/320.webp", game.id)).await;
        assert_eq!(answer.header("content-type"), Some("image/svg+xml"), "{address}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn only_pictures_of_the_catalogue_are_served() {
    let shop = shop(false).await;
    let game = complete_game("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let unknown = uuid::Uuid::new_v4();
    for path in [
        format!("/images/{}/1/480.webp", game.id),
        format!("/images/{}/0/321.webp", game.id),
        format!("/images/{}/0/320.png", game.id),
        format!("/images/{}/-1/320.webp", game.id),
        format!("/images/{unknown}/0/320.webp"),
        "/images/http:%2F%2F127.0.0.1%2F/0/320.webp".to_owned(),
    ] {
        let status = shop.get(&path).await.status;
        assert!(
            matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST),
            "{path}: {status}"
        );
    }
}

#[tokio::test]
async fn invalid_picture_addresses_get_the_not_found_page() {
    let shop = Shop::stocked().await;
    for path in [
        "/images/01a21640-5fcd-7527-ad1a-afba61c926de/%3Cscript%3E/320.webp",
        "/images/01a21640-5fcd-7527-ad1a-afba61c926de/99999999999999999999/320.webp",
        "/images/x/0/320.webp",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(
            answer.text().starts_with("<!doctype html>"),
            "{path}: {}",
            answer.text()
        );
    }
}
