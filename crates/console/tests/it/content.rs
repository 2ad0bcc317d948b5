//! The room "Content": articles, questions and e-mails, written, shown as readers will see them, and changed by two at once.

use http::StatusCode;

use crate::shop::{Shop, between, unescaped};

const ARTICLE: &str = "title=Sale&slug=&category=News&excerpt=&imageUrl=&tags=one%2C+two&content=";

#[tokio::test]
async fn an_article_is_previewed_as_the_cleaner_leaves_it_and_nothing_is_saved() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let page = staff.page("/admin/content/articles/new").await;
    let dirty = "%3Cp%3EHello+%3Cb%3Eyou%3C%2Fb%3E%3C%2Fp%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    let shown = staff.submit(&page, &format!("{ARTICLE}{dirty}&do=preview")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text());
    let preview = between(shown.text(), "<section class=\"preview\"", "</section>");
    assert!(preview.contains("<p>Hello") && preview.contains("you"), "{preview}");
    assert!(!shown.text().contains("<script>"), "{}", shown.text());
    // What was entered stays as it was entered.
    assert!(unescaped(shown.text()).contains("<script>alert(1)</script></textarea>"));
    assert_eq!(shop.value("select count(*)::text from blog_articles").await, "0");
    let saved = staff.submit(&page, &format!("{ARTICLE}{dirty}")).await;
    let page = staff.follow(&saved).await;
    assert!(page.contains("Saved.") && page.contains("value=\"sale\""), "{page}");
    let stored = shop.value("select content from blog_articles").await;
    assert!(stored.contains("Hello") && !stored.contains("script"), "{stored}");
    assert_eq!(shop.value("select published::text from blog_articles").await, "false");
}

#[tokio::test]
async fn an_invalid_article_keeps_its_text() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let page = staff.page("/admin/content/articles/new").await;
    let refused = staff
        .submit(
            &page,
            "title=&category=News&content=A+long+text+%26+more&imageUrl=&tags=",
        )
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("id=\"title-error\""), "{}", refused.text());
    assert!(unescaped(refused.text()).contains("A long text & more</textarea>"));
}

#[tokio::test]
async fn a_stale_article_shows_both_versions_and_can_be_saved_again() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let new = staff.page("/admin/content/articles/new").await;
    staff.submit(&new, &format!("{ARTICLE}First")).await;
    let id = shop.value("select id::text from blog_articles").await;
    let address = format!("/admin/content/articles/{id}");
    let (mine, other) = (staff.page(&address).await, staff.page(&address).await);
    staff.submit(&other, &format!("{ARTICLE}Theirs&published=yes")).await;
    let stale = staff.submit(&mine, &format!("{ARTICLE}Mine")).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(conflict.contains("Theirs") && conflict.contains("Mine"), "{conflict}");
    assert!(shop.value("select content from blog_articles").await.contains("Theirs"));
    let saved = staff.submit(stale.text(), &format!("{ARTICLE}Mine")).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    assert!(shop.value("select content from blog_articles").await.contains("Mine"));
    let delete = staff.page(&format!("{address}/delete")).await;
    let list = staff.follow(&staff.submit(&delete, "").await).await;
    assert!(list.contains("Deleted.") && list.contains("No articles yet"));
}

#[tokio::test]
async fn a_question_is_written_found_hidden_and_deleted() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let page = staff.page("/admin/content/questions/new").await;
    let form = "question=Where+is+my+key%3F&category=Keys&answer=On+its+page&order=2";
    let list = staff
        .follow(&staff.submit(&page, &format!("{form}&active=yes")).await)
        .await;
    assert!(list.contains("Where is my key?"), "{list}");
    assert!(
        !staff
            .page("/admin/content/questions?search=refund")
            .await
            .contains("Where is my key?")
    );
    let id = shop.value("select id::text from faqs").await;
    let address = format!("/admin/content/questions/{id}");
    let changed = staff.submit(&staff.page(&address).await, form).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text());
    assert_eq!(shop.value("select active::text || position from faqs").await, "false2");
    let list = staff.submit(&staff.page(&format!("{address}/delete")).await, "").await;
    assert!(staff.follow(&list).await.contains("No questions yet"));
}

#[tokio::test]
async fn an_email_is_changed_previewed_refused_and_brought_back() {
    let shop = Shop::open().await;
    let (staff, reader) = (shop.staff("CONTENT").await, shop.staff("MANAGER").await);
    let address = "/admin/content/emails/welcome/en";
    let page = staff.page(address).await;
    let shipped = unescaped(between(
        page.split("<textarea id=\"field-content\"").nth(1).unwrap(),
        ">\n",
        "</textarea>",
    ));
    let form = |subject: &str, content: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("subject", subject)
            .append_pair("content", content)
            .finish()
    };
    let preview = staff
        .submit(&page, &(form("Hello there", &shipped) + "&do=preview"))
        .await;
    assert!(
        preview.text().contains("<section class=\"preview\"") && preview.text().contains("Hello there"),
        "{}",
        preview.text()
    );
    assert_eq!(shop.value("select count(*)::text from email_template_edits").await, "0");
    // A placeholder that the e-mail does not have is named at its field, and the text stays.
    let refused = staff
        .submit(&page, &form("Hello", &format!("{shipped}<p>{{{{nonsense}}}}</p>")))
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = unescaped(refused.text());
    assert!(
        text.contains("id=\"content-error\"") && text.contains("{{nonsense}}</p></textarea>"),
        "{text}"
    );
    let other = staff.page(address).await;
    let saved = staff.submit(&other, &form("Hello there", &shipped)).await;
    assert!(staff.follow(&saved).await.contains("Saved."));
    let stale = staff.submit(&page, &form("Something else", &shipped)).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(
        conflict.contains("Hello there") && conflict.contains("Something else"),
        "{conflict}"
    );
    // Who may only read sees what is sent, and no button that saves.
    let seen = reader.page(address).await;
    assert!(
        seen.contains("Hello there")
            && seen.contains("<section class=\"preview\"")
            && !seen.contains("value=\"preview\"")
    );
    let reset = staff.submit(&staff.page(&format!("{address}/reset")).await, "").await;
    assert!(staff.follow(&reset).await.contains("The shipped text is in use again."));
}

/// What the operator writes stands on every page with the next request, also on pages that were kept.
#[tokio::test]
async fn an_own_page_is_linked_and_shown_once_it_is_published() {
    let shop = Shop::open().await;
    let (staff, reader) = (shop.staff("CONTENT").await, shop.stranger());
    assert!(!reader.page("/help").await.contains("/pages/imprint"));
    let new = staff.page("/admin/content/pages/new").await;
    let form = "title=Imprint&slug=&language=en&source=We+are+**the+shop**.%0A%0A%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let preview = staff.submit(&new, &format!("{form}&do=preview")).await;
    let shown = between(preview.text(), "<section class=\"preview\"", "</section>");
    assert!(
        shown.contains("<strong>the shop</strong>") && !shown.contains("<script>"),
        "{shown}"
    );
    let made = staff.submit(&new, form).await;
    assert_eq!(
        made.header("location"),
        Some("/admin/content/pages/imprint/en?done=saved"),
        "{}",
        made.text()
    );
    shop.cache.catch_up().await.unwrap();
    assert_eq!(reader.get("/pages/imprint").await.status, StatusCode::NOT_FOUND);
    let address = "/admin/content/pages/imprint/en";
    let change = |source: &str| format!("title=Imprint&source={source}&published=yes");
    let (mine, other) = (staff.page(address).await, staff.page(address).await);
    let published = staff.submit(&other, &change("We+are+**the+shop**.")).await;
    assert_eq!(published.status, StatusCode::SEE_OTHER, "{}", published.text());
    shop.cache.catch_up().await.unwrap();
    assert!(
        reader
            .page("/help")
            .await
            .contains("<a href=\"/pages/imprint\">Imprint</a>")
    );
    let page = reader.page("/pages/imprint").await;
    assert!(
        page.contains("<h1>Imprint</h1>") && page.contains("<strong>the shop</strong>"),
        "{page}"
    );
    // Two forms at once: nothing is lost, and both versions are shown.
    let stale = staff.submit(&mine, &change("Somebody+else")).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(
        conflict.contains("We are **the shop**.") && conflict.contains("Somebody else"),
        "{conflict}"
    );
    let saved = staff.submit(stale.text(), &change("Somebody+else")).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    shop.cache.catch_up().await.unwrap();
    assert!(reader.page("/pages/imprint").await.contains("Somebody else"));
    // A second one with the address is no change of the first.
    let twice = staff.submit(&new, &form.replace("slug=", "slug=imprint")).await;
    assert!(
        twice.text().contains("There is such a page in this language already."),
        "{}",
        twice.text()
    );
    let gone = staff.submit(&staff.page(&format!("{address}/delete")).await, "").await;
    assert!(staff.follow(&gone).await.contains("No pages yet"));
    shop.cache.catch_up().await.unwrap();
    assert_eq!(reader.get("/pages/imprint").await.status, StatusCode::NOT_FOUND);
    assert!(!reader.page("/help").await.contains("/pages/imprint"));
}

#[tokio::test]
async fn a_banner_is_shown_within_its_window_to_readers_of_its_language() {
    let shop = Shop::open().await;
    let (staff, reader) = (shop.staff("CONTENT").await, shop.stranger());
    let page = staff.page("/admin/content/banners/en").await;
    let foreign = "text=Sale&link=%2F%2Fevil.example&from=2000-01-01T00%3A00&until=2999-01-01T00%3A00";
    let refused = staff.submit(&page, foreign).await;
    assert!(refused.text().contains("id=\"link-error\"") && refused.text().contains("value=\"Sale\""));
    let now = "text=Sale+%3C3&link=%2Fgames&from=2000-01-01T00%3A00&until=2999-01-01T00%3A00";
    let set = staff.submit(&page, now).await;
    assert!(staff.follow(&set).await.contains("Shown"));
    shop.cache.catch_up().await.unwrap();
    let shown = unescaped(&reader.page("/").await);
    assert!(shown.contains("<a href=\"/games\">Sale <3</a>"), "{shown}");
    assert!(!reader.page("/?lang=de").await.contains("Sale"));
    // One that is over disappears, and a stale form does not bring it back.
    let over = now.replace("2999", "2001");
    let current = staff.page("/admin/content/banners/en").await;
    let set = staff.submit(&current, &over).await;
    assert_eq!(set.status, StatusCode::SEE_OTHER, "{}", set.text());
    let stale = staff.submit(&current, now).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    shop.cache.catch_up().await.unwrap();
    assert!(!reader.page("/").await.contains("Sale"));
}

/// A preview, or an error of a field, takes up nothing that somebody else has saved meanwhile.
#[tokio::test]
async fn a_save_after_a_preview_overwrites_nobody() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = "title=Imprint&slug=&language=en&source=First&published=yes";
    owner.submit(&owner.page("/admin/content/pages/new").await, page).await;
    let new = owner.page("/admin/content/articles/new").await;
    owner.submit(&new, &format!("{ARTICLE}First")).await;
    let new = owner.page("/admin/content/questions/new").await;
    let question = "question=Why%3F&category=Keys&order=2&active=yes&answer=";
    owner.submit(&new, &format!("{question}First")).await;
    let article = shop.value("select id::text from blog_articles").await;
    let faq = shop.value("select id::text from faqs").await;
    for (address, form, broken) in [
        (
            "/admin/content/pages/imprint/en".to_owned(),
            "title=Imprint&published=yes&source=",
            "title=&source=",
        ),
        (format!("/admin/content/articles/{article}"), ARTICLE, "title=&content="),
        (format!("/admin/content/questions/{faq}"), question, "question=&answer="),
    ] {
        for between_the_two in [format!("{form}Mine&do=preview"), format!("{broken}Mine")] {
            let mine = owner.page(&address).await;
            let other = owner.page(&address).await;
            let theirs = format!("{form}Theirs+{}", between_the_two.len());
            let saved = owner.submit(&other, &theirs).await;
            assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
            let shown = owner.submit(&mine, &between_the_two).await;
            let stale = owner.submit(shown.text(), &format!("{form}Mine")).await;
            assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}");
            assert!(
                stale.text().contains("class=\"note warn conflict\""),
                "{}",
                stale.text()
            );
            assert!(owner.page(&address).await.contains("Theirs"), "{address}");
        }
        // Nor does a form without what was seen.
        let blind = owner.post(&address, &format!("{form}Blind")).await;
        assert_eq!(blind.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}");
    }
    let (mine, other) = (
        owner.page("/admin/system/roles/ANALYST").await,
        owner.page("/admin/system/roles/ANALYST").await,
    );
    owner.submit(&other, "permissions=audit.read").await;
    let shown = owner
        .submit(&mine, "permissions=orders.read&refund_limit=nothing")
        .await;
    let stale = owner.submit(shown.text(), "permissions=orders.read").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", stale.text());
}

/// The longest text is sent as three times as many bytes; a longer one is an error of its field, and is not lost.
#[tokio::test]
async fn a_page_may_be_as_long_as_it_may_be() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let new = staff.page("/admin/content/pages/new").await;
    let form = |letters: usize| format!("title=Terms&slug=&language=de&source={}", "%C3%BC".repeat(letters));
    let refused = staff.submit(&new, &form(45_001)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("id=\"source-error\""));
    assert!(refused.text().contains(&"\u{fc}".repeat(45_001)));
    let saved = staff.submit(&new, &form(45_000)).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    // Each id stands once: what skips to the contents does not end in a field.
    let page = staff.page("/admin/content/articles/new").await;
    assert_eq!(page.matches(" id=\"content\"").count(), 1);
    assert!(page.contains("<label for=\"field-content\"") && page.contains("id=\"field-content\""));
}

/// Name, colours and rows of the home page: a colour that cannot be read is refused with one that can, and two forms at
/// once show both versions.
#[tokio::test]
async fn branding_is_checked_saved_and_on_every_page() {
    const ADDRESS: &str = "/admin/content/branding";
    const ROWS: &str = "place1=picked&place2=best&place3=&place4=&place5=";
    let shop = Shop::open().await;
    shop.db.game("Portal", "portal", "10.00").await;
    let (staff, reader) = (shop.staff("CONTENT").await, shop.stranger());
    let page = staff.page(ADDRESS).await;
    let pale = "name=Key+Corner&accentLight=%23ff8800&accentDark=&picked=portal";
    let refused = staff.submit(&page, &format!("{pale}&{ROWS}")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let error = between(refused.text(), "id=\"accentLight-error\">", "</p>").to_owned();
    assert!(error.contains(":1 and must be at least 4.5:1"), "{error}");
    assert!(
        refused.text().contains("value=\"Key Corner\""),
        "what was entered stays"
    );
    let (_, nearest) = error.rsplit_once(' ').unwrap();
    let nearest = nearest
        .trim_end_matches('.')
        .replace('#', "%23")
        .replace("&%2335;", "%23");
    let readable = format!("name=Key+Corner&accentLight={nearest}&accentDark=&picked=%2Fgame%2Fportal%3Flang%3Dde");
    let (mine, other) = (staff.page(ADDRESS).await, staff.page(ADDRESS).await);
    let saved = staff.submit(&other, &format!("{readable}&{ROWS}")).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    let page = staff.follow(&saved).await;
    assert!(page.contains("Saved.") && page.contains("portal</textarea>"), "{page}");
    shop.cache.catch_up().await.unwrap();
    let home = reader.page("/").await;
    assert!(
        home.contains("Key Corner") && home.contains("/brand/") && home.contains("Our picks"),
        "{home}"
    );
    assert!(staff.page("/admin/content").await.contains("<span>Key Corner</span>"));
    let stale = staff
        .submit(&mine, &format!("name=Other&accentLight=&accentDark=&picked=&{ROWS}"))
        .await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(
        conflict.contains("Key Corner") && conflict.contains("Other"),
        "{conflict}"
    );
    for (form, words) in [
        (
            "name=&accentLight=teal&accentDark=&picked=&place1=best",
            "Enter a colour",
        ),
        (
            "name=&accentLight=&accentDark=&picked=&place1=best&place2=best",
            "Choose each row at most once.",
        ),
        (
            "name=&accentLight=&accentDark=&picked=no-such-game&place1=best",
            "One of these games does not exist",
        ),
    ] {
        let refused = staff.submit(&staff.page(ADDRESS).await, form).await;
        assert!(refused.text().contains(words), "{form}: {}", refused.text());
    }
}

/// Regression of a rule, not of a fault: the console is in English and German, whatever the shop is in.
#[tokio::test]
async fn the_console_of_a_french_reader_is_in_english() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    for (asked, language, title) in [("?lang=fr", "en", "Content"), ("?lang=de", "de", "Inhalte")] {
        let page = staff.page(&format!("/admin/content{asked}")).await;
        assert!(page.contains(&format!("<html lang=\"{language}\"")), "{asked}: {page}");
        assert!(page.contains(title) && !page.contains('…'), "{asked}: {page}");
        assert!(
            page.contains("hreflang=\"de\"") && !page.contains("hreflang=\"fr\""),
            "{asked}"
        );
    }
    assert!(
        shop.stranger()
            .page("/help?lang=fr")
            .await
            .contains("<html lang=\"fr\"")
    );
}

/// Regression: two saves of one version in the same moment both counted.
#[tokio::test]
async fn of_several_saves_in_the_same_moment_one_counts() {
    let shop = Shop::open().await;
    let staff = shop.staff("CONTENT").await;
    let new = staff.page("/admin/content/articles/new").await;
    staff.submit(&new, &format!("{ARTICLE}First")).await;
    let new = staff.page("/admin/content/questions/new").await;
    staff
        .submit(&new, "question=Why%3F&category=General&answer=First&order=0&active=yes")
        .await;
    let article = shop.value("select id::text from blog_articles").await;
    let question = shop.value("select id::text from faqs").await;
    for (address, form) in [
        (format!("/admin/content/articles/{article}"), ARTICLE.to_owned()),
        (
            format!("/admin/content/questions/{question}"),
            "question=Why%3F&category=General&order=0&active=yes&answer=".to_owned(),
        ),
    ] {
        let page = staff.page(&address).await;
        let saves = (0..8).map(|number| {
            let (staff, page, form) = (&staff, &page, format!("{form}Version+{number}"));
            async move { staff.submit(page, &form).await }
        });
        let answers = futures::future::join_all(saves).await;
        let (saved, stale): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status == StatusCode::SEE_OTHER);
        assert_eq!((saved.len(), stale.len()), (1, 7), "{address}");
        for answer in stale {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(
                answer.text().contains("<section class=\"note warn conflict\""),
                "{}",
                answer.text()
            );
        }
    }
}

/// A sign of one colour in the middle of nothing.
fn sign(width: u32, height: u32, color: [u8; 3]) -> Vec<u8> {
    let [red, green, blue] = color;
    let picture = image::RgbaImage::from_fn(width, height, |x, _| {
        let alpha = if x >= width / 4 && x < width - width / 4 {
            255
        } else {
            0
        };
        image::Rgba([red, green, blue, alpha])
    });
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[tokio::test]
async fn a_logo_is_checked_encoded_anew_and_on_every_page() {
    const LOGO: &str = "/admin/content/branding/logo";
    let shop = Shop::open().await;
    let (staff, reader) = (shop.staff("CONTENT").await, shop.stranger());
    assert!(
        staff
            .page("/admin/content/branding")
            .await
            .contains(&format!("href=\"{LOGO}\""))
    );
    assert!(staff.page(LOGO).await.contains("There is no logo."));
    let upload = format!("{LOGO}/upload");
    for (file, problem) in [
        (Vec::new(), "Choose a picture first."),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec(),
            "Choose a PNG, JPEG or WebP file",
        ),
        (sign(900, 20, [0, 0, 0]), "This picture is too small or too narrow."),
        (sign(10, 10, [0, 0, 0]), "This picture is too small or too narrow."),
        (vec![0; 2 * 1024 * 1024 + 1], "This picture is larger than 2 MB."),
    ] {
        let refused = staff.upload(&upload, &file, "").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        let text = unescaped(refused.text());
        assert!(text.contains(problem), "{problem}: {text}");
    }
    assert_eq!(shop.value("select count(*)::text from branding_logo").await, "0");
    // Black on nothing: in the dark theme it stands on a plate.
    let used = staff.upload(&upload, &sign(960, 200, [0, 0, 0]), "").await;
    let page = staff.follow(&used).await;
    assert!(
        page.contains("The logo is in use.") && page.contains("480 × 100"),
        "{page}"
    );
    let id = shop.value("select id::text from branding_logo").await;
    let home = reader.page("/").await;
    let shown =
        format!("<img class=\"logo plate-dark\" src=\"/logo/{id}.png\" alt=\"Lockstep\" width=\"480\" height=\"100\">");
    assert!(home.contains(&shown), "{home}");
    for address in [format!("/logo/{id}.png"), format!("/api/logo/{id}.png")] {
        let file = reader.get(&address).await;
        assert_eq!(file.header("content-type"), Some("image/png"), "{address}");
        assert!(file.header("cache-control").unwrap().contains("immutable"));
        let picture = image::load_from_memory_with_format(&file.bytes, image::ImageFormat::Png).unwrap();
        assert_eq!((picture.width(), picture.height()), (480, 100));
    }
    // Another one has another address, and the former one is gone.
    let white = staff.upload(&upload, &sign(200, 100, [255, 255, 255]), "").await;
    assert_eq!(white.status, StatusCode::SEE_OTHER);
    shop.cache.catch_up().await.unwrap();
    let home = reader.page("/").await;
    assert!(
        home.contains("class=\"logo plate-light\"") && !home.contains(&id),
        "{home}"
    );
    for gone in [
        format!("/logo/{id}.png"),
        "/logo/x.png".to_owned(),
        format!("/logo/{id}.svg"),
    ] {
        assert_eq!(reader.get(&gone).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
    // Of many at once one is there, whole.
    let signs: Vec<Vec<u8>> = (1..=8_u8)
        .map(|n| sign(100 + u32::from(n), 50, [n * 20, 0, 0]))
        .collect();
    let answers = futures::future::join_all(signs.iter().map(|sign| staff.upload(&upload, sign, ""))).await;
    let used = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::SEE_OTHER)
        .count();
    assert!(used >= 1, "some may have to wait");
    assert_eq!(shop.value("select count(*)::text from branding_logo").await, "1");
    let removed = staff.post(&format!("{LOGO}/remove"), "").await;
    assert!(staff.follow(&removed).await.contains("The logo is removed."));
    assert!(!reader.page("/").await.contains("class=\"logo"));
    let recorded = shop
        .value("select count(*)::text from audit_log where action = 'branding.logo'")
        .await;
    assert_eq!(recorded, (used + 3).to_string());
}
