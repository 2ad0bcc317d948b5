//! The user's picture: uploaded with a form, scaled, served, exported, and removed.

use std::io::Cursor;

use axum::body::Body;
use http::{Request, StatusCode};
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::html::values;
use crate::shop::{Answered, Shop};

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 90])
    });
    DynamicImage::from(pixels).write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// Sends bytes like a browser that uploads a chosen file.
async fn send(shop: &Shop, cookies: &str, bytes: &[u8]) -> Answered {
    let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"me.png\"\r\n\
        Content-Type: image/png\r\n\r\n"
        .to_vec();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let request = Request::post("/account/profile/picture")
        .header("content-type", "multipart/form-data; boundary=edge")
        .header("host", "shop.example")
        .header("cookie", cookies);
    shop.send(request.body(Body::from(body)).unwrap()).await
}

/// The address of the uploaded picture on the profile page.
async fn shown(shop: &Shop, cookies: &str) -> Option<String> {
    let page = shop.get_with("/account/profile", &[("cookie", cookies)]).await;
    values(page.page(), "src")
        .into_iter()
        .find(|address| address.starts_with("/avatars/"))
}

async fn stored(shop: &Shop) -> (Option<String>, i64) {
    sqlx::query_as("select (select avatar from users limit 1), (select count(*) from avatars)")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn uploaded_pictures_are_scaled_served_exported_and_removed() {
    let shop = Shop::open().await;
    let cookies = shop.register("zoltan@example.org").await;
    let with = [("cookie", cookies.as_str())];
    let page = shop.get_with("/account/profile", &with).await;
    assert!(page.page().contains("enctype=\"multipart/form-data\"") && !page.text().contains("Remove picture"));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let answer = send(&shop, &cookies, &picture(500, 300, format)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{format:?}: {}", answer.text());
        assert_eq!(answer.header("location"), Some("/account/profile?done=picture"));
    }
    let path = shown(&shop, &cookies).await.expect("a picture");
    // Only the path is stored: the address follows the public URL. Earlier pictures are deleted.
    assert_eq!(stored(&shop).await, (Some(path.clone()), 1));
    let image = shop.get(&path).await;
    assert_eq!(image.status, StatusCode::OK);
    assert_eq!(image.header("content-type"), Some("image/webp"));
    assert_eq!(image.header("cache-control"), Some("private, max-age=86400, immutable"));
    assert_eq!(image.header("x-content-type-options"), Some("nosniff"));
    let pixels = image::load_from_memory_with_format(&image.bytes, ImageFormat::WebP).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (256, 256));

    // Saving the names leaves it unchanged.
    let saved = shop
        .post(
            "/account/profile",
            "nickname=Zoltan&firstName=&lastName=&avatar=",
            &with,
        )
        .await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    assert_eq!(shown(&shop, &cookies).await.as_ref(), Some(&path));

    let data = shop.get_with("/account/data/download", &with).await;
    let data: serde_json::Value = serde_json::from_str(data.page()).unwrap();
    let exported = data["pictures"][0]["image"].as_str().expect("the picture");
    assert!(exported.starts_with("UklGR"), "WebP in Base64: {exported}");

    let removed = shop.post("/account/profile/no-picture", "", &with).await;
    assert_eq!(removed.header("location"), Some("/account/profile?done=no_picture"));
    assert_eq!(stored(&shop).await, (None, 0));
    assert_eq!(shop.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(shown(&shop, &cookies).await, None);
}

#[tokio::test]
async fn external_addresses_and_account_deletion_remove_the_picture() {
    for (has_records, leave) in [(false, "address"), (false, "account"), (true, "account")] {
        let shop = Shop::open().await;
        let cookies = shop.register("zoltan@example.org").await;
        let with = [("cookie", cookies.as_str())];
        send(&shop, &cookies, &picture(64, 64, ImageFormat::Png)).await;
        let path = shown(&shop, &cookies).await.expect("a picture");
        if has_records {
            shop.db
                .execute(
                    "begin;
                     insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 20, 'COMPLETED' from users;
                     insert into transactions (user_id, type, amount, status) select id, 'PURCHASE', -20, 'COMPLETED' from users;
                     commit",
                )
                .await;
        }
        let answer = if leave == "account" {
            shop.post("/account/delete", "password=Correct-Horse-1", &with).await
        } else {
            let form = "nickname=&firstName=&lastName=&avatar=https%3A%2F%2Fpictures.example%2Fme.png";
            shop.post("/account/profile", form, &with).await
        };
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{leave}: {}", answer.text());
        assert_eq!(shop.db.count("avatars").await, 0, "{leave}");
        assert_eq!(shop.get(&path).await.status, StatusCode::NOT_FOUND, "{leave}");
    }
}

#[tokio::test]
async fn rejected_pictures_show_the_reason_and_keep_the_previous_one() {
    let shop = Shop::open().await;
    let cookies = shop.register("zoltan@example.org").await;
    send(&shop, &cookies, &picture(64, 64, ImageFormat::Png)).await;
    let before = shown(&shop, &cookies).await.expect("a picture");
    let mut huge = picture(8, 8, ImageFormat::Png);
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    for (what, bytes, reason) in [
        ("nothing", Vec::new(), "Choose a picture first."),
        ("a text", b"hello".to_vec(), "We can’t read this picture."),
        (
            "SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "We can’t read this picture.",
        ),
        ("GIF", picture(8, 8, ImageFormat::Gif), "We can’t read this picture."),
        (
            "half of one",
            picture(64, 64, ImageFormat::Png)[..90].to_vec(),
            "Part of this file is missing.",
        ),
        (
            "nearly all of one",
            {
                let whole = picture(64, 64, ImageFormat::Jpeg);
                whole[..whole.len() - 40].to_vec()
            },
            "Part of this file is missing.",
        ),
        ("one of 65,535 pixels", huge, "We can’t read this picture."),
        (
            "more than a megabyte",
            vec![0x89; 1024 * 1024 + 1],
            "This picture is larger than 1 MB.",
        ),
        (
            "more than is read",
            vec![0x89; 17 * 1024 * 1024],
            "This picture is larger than 1 MB.",
        ),
    ] {
        let answer = send(&shop, &cookies, &bytes).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
        assert!(answer.text().contains(reason), "{what}: {}", answer.text());
        assert!(
            answer.text().contains("id=\"picture-error\""),
            "{what}: beside its field"
        );
    }
    assert_eq!(shown(&shop, &cookies).await, Some(before));
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "picture=1"),
        ("multipart/form-data", "--edge"),
        ("multipart/form-data; boundary=edge", "--edge--"),
        ("multipart/form-data; boundary=edge", "--edge"),
        ("multipart/mixed; boundary=edge", "--edge--"),
        (
            "multipart/form-data; boundary=edge",
            "--edge\r\nContent-Disposition: form-data; name=\"picture\"\r\n\r\nnever ends",
        ),
        (
            "multipart/form-data; boundary=edge",
            "--edge\r\nContent-Disposition: form-data; name=\"pictures\"\r\n\r\n1\r\n--edge--",
        ),
    ] {
        let request = Request::post("/account/profile/picture")
            .header("content-type", kind)
            .header("host", "shop.example")
            .header("cookie", &cookies);
        let answer = shop.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind} {body}");
    }
    // Without a session nothing is uploaded, and a form of another site is rejected.
    assert_eq!(send(&shop, "", b"x").await.status, StatusCode::SEE_OTHER);
    let foreign = shop
        .post(
            "/account/profile/no-picture",
            "",
            &[("cookie", &cookies), ("origin", "https://evil.example")],
        )
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    for nowhere in [
        "/avatars/x.webp",
        "/avatars/00000000-0000-4000-8000-000000000000.webp",
        "/avatars/a.png",
    ] {
        assert_eq!(shop.get(nowhere).await.status, StatusCode::NOT_FOUND, "{nowhere}");
    }
}

/// As other clients write it: other fields around the picture, a quoted boundary, names in other letters.
#[tokio::test]
async fn the_picture_is_found_among_other_fields() {
    let shop = Shop::open().await;
    let cookies = shop.register("zoltan@example.org").await;
    let mut body = b"--ed ge\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--ed ge\r\n\
        content-disposition: form-data; name=\"picture\"; filename=\"a; name=\"\r\ncontent-type: image/png\r\n\r\n"
        .to_vec();
    body.extend_from_slice(&picture(64, 64, ImageFormat::Png));
    body.extend_from_slice(b"\r\n--ed ge\r\nContent-Disposition: form-data; name=\"picture\"\r\n\r\n\r\n--ed ge--\r\n");
    let request = Request::post("/account/profile/picture")
        .header("content-type", "Multipart/Form-Data; charset=utf-8; Boundary=\"ed ge\"")
        .header("host", "shop.example")
        .header("cookie", &cookies);
    let answer = shop.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
}

/// Many concurrent uploads of one user: one picture is left, and the profile has its address.
#[tokio::test]
async fn concurrent_uploads_leave_one_picture() {
    let shop = Shop::open().await;
    let cookies = shop.register("zoltan@example.org").await;
    let bytes = picture(32, 32, ImageFormat::Png);
    let answers = futures::future::join_all((0..12).map(|_| send(&shop, &cookies, &bytes))).await;
    assert!(answers.iter().any(|answer| answer.status == StatusCode::SEE_OTHER));
    let refused = answers.iter().find(|answer| answer.status != StatusCode::SEE_OTHER);
    let refused = refused.expect("ten at once are enough for anybody");
    assert!(
        refused.text().contains("too many attempts in a short time"),
        "{}",
        refused.text()
    );
    let path = shown(&shop, &cookies).await.expect("a picture");
    assert_eq!(stored(&shop).await, (Some(path.clone()), 1));
    assert_eq!(shop.get(&path).await.status, StatusCode::OK);
}
