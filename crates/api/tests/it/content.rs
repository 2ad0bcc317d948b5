//! Blog and frequently asked questions: written by staff, read by everybody.

use serde_json::{Value, json};

use crate::catalogue_by_staff::{audited, created, fields, root};
use crate::shop::Shop;

const NOBODY: &str = "0192f0c1-0000-7000-8000-000000000001";

/// The form of the existing console for an article.
fn article(title: &str, published: bool) -> Value {
    json!({
        "title": title, "slug": "", "content": "<p onclick=x>Hello <a href=\"javascript:x\">you</a></p><script>1</script>",
        "excerpt": "Hello", "imageUrl": "https://images.example.org/a.png", "category": "Game News",
        "tags": ["sale", "summer"], "published": published
    })
}

#[tokio::test]
async fn what_is_read_can_be_sent_back_and_titles_in_every_script_have_an_address() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    // What the existing console sends as a slug: the title in lower case, with hyphens for blanks.
    let mut sent = article("10% off: what's new?", true);
    sent["slug"] = json!("10%-off:-what's-new?");
    assert_eq!(
        created(&root.post("/api/admin/blog", sent).await)["slug"],
        "10-off-whats-new"
    );
    let long = created(
        &root
            .post("/api/admin/blog", article(&"Ведьмак ".repeat(30), true))
            .await,
    );
    let public = format!("/api/blog/articles/slug/{}", long["slug"].as_str().unwrap());
    assert_eq!(shop.get(&public).await.status, 200);

    for answer in ["Pay & play", "Line 1\nLine 2", "5 < 6", "<b>Yes</b> &amp; no"] {
        let question = json!({"category": "Key Activation", "question": "How?", "answer": answer});
        let made = created(&root.post("/api/admin/faqs", question).await);
        assert_eq!(made["answer"], answer);
        let path = format!("/api/admin/faqs/{}", made["id"].as_str().unwrap());
        assert_eq!(root.put(&path, made.clone()).await.data()["answer"], answer);
        // Its select sends the slug of a category.
        let moved = root.put(&path, json!({"category": "key-activation"})).await.data();
        assert_eq!(moved["category"], "Key Activation");
    }
    let categories = shop.get("/api/faq/categories").await.data();
    assert_eq!(
        categories,
        json!([{"name": "Key Activation", "slug": "key-activation", "count": 4}])
    );
    let deep = json!({"category": "x", "question": "How?", "answer": "<b>".repeat(200)});
    assert_eq!(fields(&root.post("/api/admin/faqs", deep).await), ["answer"]);
}

#[tokio::test]
async fn an_article_is_written_published_and_deleted() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let made = root.post("/api/admin/blog", article("Summer Sale", false)).await;
    let made = created(&made);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made,
        json!({"id": id, "title": "Summer Sale", "slug": "summer-sale", "createdAt": made["createdAt"]})
    );
    let path = format!("/api/admin/blog/{id}");
    let nickname = root.get("/api/auth/me").await.data()["nickname"].take();
    let detail = root.get(&path).await.data();
    let expected = json!({
        "id": id, "slug": "summer-sale", "title": "Summer Sale", "excerpt": "Hello",
        "content": "<p>Hello <a rel=\"noopener noreferrer\">you</a></p>", "coverImage": "https://images.example.org/a.png",
        "category": "Game News", "author": nickname, "published": false, "readTime": 1, "tags": ["sale", "summer"],
        "createdAt": made["createdAt"], "updatedAt": detail["updatedAt"]
    });
    assert_eq!(detail, expected);
    assert_eq!(
        root.get("/api/admin/blog").await.data(),
        json!({"posts": [{"id": id, "title": "Summer Sale", "slug": "summer-sale", "excerpt": "Hello", "category": "Game News",
                          "published": false, "author": nickname, "createdAt": made["createdAt"]}],
               "total": 1, "page": 1, "pageSize": 20, "totalPages": 1})
    );
    // Nobody else sees it before it is published.
    for hidden in [
        format!("/api/blog/articles/{id}"),
        "/api/blog/articles/slug/summer-sale".to_owned(),
    ] {
        assert_eq!(
            shop.get(&hidden).await.failure(),
            (404, "not_found".to_owned()),
            "{hidden}"
        );
    }
    assert_eq!(shop.get("/api/blog/articles").await.data()["total"], 0);
    assert_eq!(shop.get("/api/blog/categories").await.data(), json!({"data": []}));

    let changed = root
        .put(&path, json!({"published": true, "slug": "sale", "imageUrl": ""}))
        .await
        .data();
    assert_eq!(
        changed,
        json!({"id": id, "title": "Summer Sale", "slug": "sale", "updatedAt": changed["updatedAt"]})
    );
    // Sent once more as it is, nothing has changed.
    let again = json!({"slug": "sale", "title": "Summer Sale", "tags": expected["tags"], "published": true, "category": "Game News"});
    let unchanged = root.put(&path, again).await.data();
    assert_eq!(unchanged["updatedAt"], changed["updatedAt"]);
    let public = shop.get("/api/blog/articles/slug/sale").await.data();
    let mut expected = expected;
    expected["slug"] = json!("sale");
    expected["coverImage"] = json!("");
    expected["published"] = json!(true);
    expected["publishedAt"] = public["publishedAt"].clone();
    expected["updatedAt"] = public["updatedAt"].clone();
    assert!(public["publishedAt"].is_string());
    assert_eq!(public, expected);
    assert_eq!(shop.get(&format!("/api/blog/articles/{id}")).await.data(), expected);
    assert_eq!(
        shop.get("/api/blog/articles").await.data(),
        json!({"data": [expected], "total": 1, "page": 1, "pageSize": 20, "totalPages": 1})
    );
    assert_eq!(
        shop.get("/api/blog/categories").await.data(),
        json!({"data": [{"name": "Game News", "slug": "game-news", "count": 1}]})
    );
    // Taken back and published again, it keeps the time of its first publication.
    root.put(&path, json!({"published": false})).await.data();
    assert_eq!(shop.get("/api/blog/articles/slug/sale").await.failure().0, 404);
    root.put(&path, json!({"published": true})).await.data();
    assert_eq!(
        shop.get("/api/blog/articles/slug/sale").await.data()["publishedAt"],
        expected["publishedAt"]
    );
    let deleted = root.delete(&path).await;
    assert_eq!(
        deleted.json(),
        json!({"success": true, "message": "The article is deleted"})
    );
    for missing in [&path, &format!("/api/admin/blog/{NOBODY}")] {
        assert_eq!(root.get(missing).await.failure().0, 404);
        assert_eq!(root.put(missing, json!({})).await.failure().0, 404);
        assert_eq!(root.delete(missing).await.failure().0, 404);
    }
    assert_eq!(
        audited(&shop).await,
        [
            "blog.create",
            "blog.update",
            "blog.update",
            "blog.update",
            "blog.delete"
        ]
    );
}

#[tokio::test]
async fn articles_are_found_by_category_and_text() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    for (title, category) in [("One", "Game News"), ("Two", "Guides"), ("Three", "Guides")] {
        let mut article = article(title, true);
        article["category"] = json!(category);
        article["content"] = json!(format!("<p>About {title} at 100%</p>"));
        assert_eq!(root.post("/api/admin/blog", article).await.status, 201);
    }
    let titles = async |query: &str| -> Vec<String> {
        let page = shop.get(&format!("/api/blog/articles?{query}")).await.data();
        let articles = page["data"].as_array().unwrap().clone();
        articles
            .iter()
            .map(|article| article["title"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(titles("").await, ["Three", "Two", "One"]);
    assert_eq!(titles("category=guides").await, ["Three", "Two"]);
    assert_eq!(titles("category=Game%20News").await, ["One"]);
    assert_eq!(titles("category=game-news").await, ["One"]);
    assert_eq!(titles("category=all").await.len(), 3);
    assert_eq!(titles("category=none").await, [] as [&str; 0]);
    assert_eq!(titles("search=ABOUT%20two").await, ["Two"]);
    assert_eq!(titles("search=100%25").await.len(), 3);
    assert_eq!(titles("search=1%25%25").await, [] as [&str; 0]);
    assert_eq!(titles("page=2&pageSize=2").await, ["One"]);
    for wrong in ["page=0", "pageSize=51", "search=%00", "category=a%0Ab"] {
        let refused = shop.get(&format!("/api/blog/articles?{wrong}")).await;
        assert_eq!(refused.failure(), (400, "invalid_parameter".to_owned()), "{wrong}");
    }
    assert_eq!(shop.get("/api/blog/articles/x").await.failure().0, 400);
    assert_eq!(shop.get("/api/blog/articles/slug/%00").await.failure().0, 400);
}

#[tokio::test]
async fn invalid_fields_of_an_article_are_named() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    assert_eq!(
        fields(&root.post("/api/admin/blog", json!({})).await),
        ["title", "content", "category"]
    );
    let made = created(&root.post("/api/admin/blog", article("One", true)).await);
    let path = format!("/api/admin/blog/{}", made["id"].as_str().unwrap());
    for (field, value) in [
        ("title", json!("")),
        ("slug", json!("a\nb")),
        ("content", json!("<script>only</script>")),
        ("excerpt", json!("x".repeat(1001))),
        ("imageUrl", json!("data:image/png;base64,x")),
        ("category", json!(" ")),
        ("tags", json!("sale")),
        ("published", json!("yes")),
    ] {
        assert_eq!(
            fields(&root.put(&path, json!({field: value})).await),
            [field],
            "{value}"
        );
    }
    assert_eq!(
        root.post("/api/admin/blog", article("One", true)).await.failure(),
        (409, "slug_taken".to_owned())
    );
    created(&root.post("/api/admin/blog", article("Two", true)).await);
    assert_eq!(
        root.put(&path, json!({"slug": "two"})).await.failure(),
        (409, "slug_taken".to_owned())
    );
}

#[tokio::test]
async fn questions_are_written_ordered_and_hidden() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let mut ids = Vec::new();
    for (category, question, order) in [
        ("General", "Second?", 2),
        ("General", "First?", 1),
        ("Payment", "How?", 0),
    ] {
        let made = root
            .post(
                "/api/admin/faqs",
                json!({"category": category, "question": question, "answer": "So <b onclick=x>it</b> is", "order": order}),
            )
            .await;
        let made = created(&made);
        assert_eq!(
            made,
            json!({"id": made["id"], "category": category, "question": question, "answer": "So <b>it</b> is", "order": order,
                   "active": true, "createdAt": made["createdAt"]})
        );
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let questions = async |query: &str| -> Vec<String> {
        let faqs = shop.get(&format!("/api/faq?{query}")).await.data();
        let faqs = faqs.as_array().unwrap().clone();
        faqs.iter()
            .map(|faq| faq["question"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(questions("").await, ["First?", "Second?", "How?"]);
    assert_eq!(questions("category=all").await.len(), 3);
    assert_eq!(questions("category=general&active=true").await, ["First?", "Second?"]);
    assert_eq!(questions("search=HOW").await, ["How?"]);
    assert_eq!(questions("active=false").await, [] as [&str; 0]);
    assert_eq!(
        shop.get("/api/faq?active=x").await.failure(),
        (400, "invalid_parameter".to_owned())
    );

    let path = format!("/api/admin/faqs/{}", ids[2]);
    let hidden = root.put(&path, json!({"active": false, "order": 7})).await.data();
    assert_eq!(
        (&hidden["active"], &hidden["order"], &hidden["question"]),
        (&json!(false), &json!(7), &json!("How?"))
    );
    assert_eq!(questions("category=payment").await, [] as [&str; 0]);
    assert_eq!(
        shop.get("/api/faq/categories").await.data(),
        json!([{"name": "General", "slug": "general", "count": 2}])
    );
    assert_eq!(
        root.get("/api/admin/faqs/categories").await.data(),
        json!([{"name": "General", "slug": "General", "count": 2}, {"name": "Payment", "slug": "Payment", "count": 1}])
    );
    for (query, total) in [
        ("", 3),
        ("?active=false", 1),
        ("?category=ener", 2),
        ("?category=Payment", 1),
        ("?search=first", 1),
        ("?search=%25", 0),
    ] {
        let listed = root.get(&format!("/api/admin/faqs{query}")).await.data();
        assert_eq!(
            (&listed["total"], &listed["pageSize"]),
            (&json!(total), &json!(20)),
            "{query}"
        );
        assert_eq!(listed["faqs"].as_array().unwrap().len(), total, "{query}");
    }
    for (field, value) in [
        ("category", json!("")),
        ("question", json!(1)),
        ("answer", json!("")),
        ("order", json!(-1)),
        ("order", json!("1")),
        ("active", json!(1)),
    ] {
        assert_eq!(
            fields(&root.put(&path, json!({field: value})).await),
            [field],
            "{value}"
        );
    }
    assert_eq!(
        fields(&root.post("/api/admin/faqs", json!({})).await),
        ["category", "question", "answer"]
    );
    let deleted = root.delete(&path).await;
    assert_eq!(
        deleted.json(),
        json!({"success": true, "message": "The question is deleted"})
    );
    assert_eq!(root.delete(&path).await.failure(), (404, "not_found".to_owned()));
    assert_eq!(root.put(&path, json!({})).await.failure().0, 404);
    assert_eq!(
        audited(&shop).await,
        ["faq.create", "faq.create", "faq.create", "faq.update", "faq.delete"]
    );
}
