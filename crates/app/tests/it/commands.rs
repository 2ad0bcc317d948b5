//! The commands: their output and their exit codes.

use lockstep_testkit::TestDb;

use crate::program::{lockstep, outcome, sandbox, text, with_account};

/// The output of a command with `--json`: one object per line, and nothing else.
fn objects(output: &std::process::Output) -> Vec<serde_json::Value> {
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().all(serde_json::Value::is_object), "{lines:?}");
    lines
}

#[tokio::test]
async fn json_lists_have_one_object_per_line() {
    let db = TestDb::new().await;
    let run = async |args: &[&str]| {
        let done = outcome(lockstep(args).env("DATABASE_URL", db.url())).await;
        assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
        done
    };
    run(&["promo", "create", "SUMMER", "--percent", "1"]).await;
    run(&["promo", "create", "WINTER", "--percent", "2"]).await;
    run(&["promo", "end", "WINTER"]).await;
    let codes = objects(&run(&["promo", "list", "--json"]).await);
    assert_eq!(
        codes
            .iter()
            .map(|code| (code["code"].as_str(), code["usable"].as_bool()))
            .collect::<Vec<_>>(),
        [(Some("WINTER"), Some(false)), (Some("SUMMER"), Some(true))]
    );
    // Numbers as in the API.
    let made = objects(
        &run(&[
            "promo",
            "create",
            "AUTUMN",
            "--percent",
            "2.50",
            "--max-uses",
            "3",
            "--json",
        ])
        .await,
    );
    let listed = objects(&run(&["promo", "list", "--json"]).await);
    let listed = listed.iter().find(|code| code["code"] == "AUTUMN").unwrap();
    assert_eq!(made[0]["discount"].to_string(), "2.5");
    assert_eq!(listed["discount"].to_string(), "2.5");
    assert_eq!(listed["maxUses"].to_string(), "3");
    assert_eq!(listed["given"].as_f64(), Some(0.0), "{listed}");
    assert_eq!(
        db.count("audit_log where action like 'promo.%' and admin_id is null")
            .await,
        4
    );
    for list in [&["keys", "aside", "list", "--json"][..], &["events", "list", "--json"]] {
        assert!(objects(&run(list).await).is_empty(), "nothing is listed: {list:?}");
    }
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_shows_the_correct_usage() {
    let wrong = outcome(&mut lockstep(&["sinc"])).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("sync"), "{}", text(&wrong.stderr));
    // For programs the same in one object.
    for call in [
        &["sinc", "--json"][..],
        &["--json", "promo", "create"],
        &["promo", "create", "X", "--percent", "much", "--json"],
        &["--json", "--no-such-flag"],
    ] {
        let wrong = outcome(&mut lockstep(call)).await;
        assert_eq!(wrong.status.code(), Some(2), "{call:?}");
        let line = text(&wrong.stderr);
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{call:?}: {line}"));
        assert!(said["error"].as_str().is_some_and(|words| words.len() > 20), "{said}");
        assert_eq!(
            (line.lines().count(), text(&wrong.stdout).as_str()),
            (1, ""),
            "{call:?}"
        );
    }
    let help = outcome(&mut lockstep(&["--help", "--json"])).await;
    assert!(help.status.success() && text(&help.stdout).contains("Usage"));
}

#[tokio::test]
async fn doctor_says_what_to_do_about_every_finding() {
    let doctor =
        outcome(lockstep(&["doctor", "--json"]).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")).await;
    assert_eq!(doctor.status.code(), Some(1));
    let findings = objects(&doctor);
    let database = findings
        .iter()
        .find(|one| one["what"] == "database" && one["state"] != "well")
        .expect("a database that does not answer");
    assert!(
        database["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("DATABASE_URL")),
        "{database}"
    );
    for finding in findings {
        let remedy = finding["remedy"].as_str();
        assert_eq!(remedy.is_some(), finding["state"] != "well", "{finding}");
        assert!(
            !remedy.is_some_and(|remedy| remedy.contains("see the message")),
            "{finding}"
        );
    }
}

#[tokio::test]
async fn production_with_missing_settings_names_them_and_starts_nothing() {
    let refused = outcome(lockstep(&["serve"]).env("LOCKSTEP_ENV", "production")).await;
    assert_eq!(refused.status.code(), Some(1));
    for name in ["DATABASE_URL", "LOCKSTEP_PUBLIC_URL", "G2A_API_URL", "G2A_API_SECRET"] {
        assert!(
            text(&refused.stderr).contains(name),
            "{name}: {}",
            text(&refused.stderr)
        );
    }
}

#[tokio::test]
async fn flags_override_environment_and_environment_overrides_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    std::fs::write(&file, "bind = \"127.0.0.1:1\"\nredis_url = \"redis://secret-word@h\"\ng2a_markup_percent = \"5\"\ncors_origins = \"https://a.example\"\n").unwrap();
    let shown = outcome(
        lockstep(&[
            "config",
            "--json",
            "--config",
            file.to_str().unwrap(),
            "--bind",
            "127.0.0.1:3",
        ])
        .env("LOCKSTEP_BIND", "127.0.0.1:2")
        .env("G2A_MARKUP_PERCENT", "4"),
    )
    .await;
    assert!(!text(&shown.stdout).contains("secret-word"), "secrets are masked");
    let lines = text(&shown.stdout);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let setting = |name: &str| {
        rows.iter()
            .find(|row| row["name"] == name)
            .map(|row| (row["value"].clone(), row["source"].clone()))
    };
    assert_eq!(setting("LOCKSTEP_BIND"), Some(("127.0.0.1:3".into(), "flag".into())));
    assert_eq!(setting("G2A_MARKUP_PERCENT"), Some(("4".into(), "environment".into())));
    assert_eq!(
        setting("CORS_ORIGINS"),
        Some(("https://a.example".into(), "file".into()))
    );
    assert_eq!(setting("G2A_PRICE_BASIS"), Some(("minPrice".into(), "default".into())));
    assert_eq!(
        setting("LOCKSTEP_PUBLIC_URL"),
        Some(("http://127.0.0.1:3".into(), "default".into()))
    );
    assert_eq!(setting("SMTP_URL"), Some((serde_json::Value::Null, "default".into())));
}

#[tokio::test]
async fn sample_settings_file_is_valid_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    let sample = outcome(&mut lockstep(&["settings"])).await;
    assert!(sample.status.success() && text(&sample.stdout).contains("# bind = \"127.0.0.1:8080\""));
    std::fs::write(&file, &sample.stdout).unwrap();
    let with = outcome(&mut lockstep(&["config", "--config", file.to_str().unwrap()])).await;
    let without = outcome(&mut lockstep(&["config"])).await;
    assert_eq!(text(&with.stdout), text(&without.stdout), "{}", text(&with.stderr));
}

#[tokio::test]
async fn only_serve_migrate_and_restore_create_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("data");
    let data = nothing.to_str().unwrap();
    let anything = "0198c0de-0000-7000-8000-000000000001";
    for words in [
        &["sync", "--full"][..],
        &["stock"],
        &["admin", "create", "zoltan@example.org"],
        &["promo", "list"],
        &["promo", "create", "SUMMER", "--percent", "1"],
        &["doctor"],
        &["reconcile"],
        &["reconcile", "--fix"],
        &["keys", "rotate"],
        &["keys", "aside", "list"],
        &["keys", "aside", "show", anything, "--by", "zoltan@example.org"],
        &["backup", folder.path().join("kept").to_str().unwrap()],
        &["web"],
        &["worker"],
    ] {
        let mut command = lockstep(words);
        let refused = outcome(command.args(["--data-dir", data]).env("LOCKSTEP_BIND", "127.0.0.1:0")).await;
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", text(&refused.stderr));
        let printed = text(&refused.stderr) + &text(&refused.stdout);
        assert!(
            printed.contains("no store in") && printed.contains("--data-dir"),
            "{words:?}: {printed}"
        );
        assert!(!nothing.exists(), "{words:?} made {data}");
    }
    let made = outcome(&mut lockstep(&["migrate", "--data-dir", data])).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let listed = outcome(&mut lockstep(&["promo", "list", "--json", "--data-dir", data])).await;
    assert!(listed.status.success(), "{}", text(&listed.stderr));
}

#[tokio::test]
async fn empty_database_is_not_migrated_by_other_commands() {
    let db = TestDb::empty().await;
    for words in [&["sync"][..], &["admin", "create", "zoltan@example.org"]] {
        let refused = outcome(lockstep(words).env("DATABASE_URL", db.url())).await;
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", text(&refused.stderr));
        assert!(
            text(&refused.stderr).contains("no shop in this database"),
            "{}",
            text(&refused.stderr)
        );
    }
    let doctor = outcome(lockstep(&["doctor", "--json"]).env("DATABASE_URL", db.url())).await;
    for line in text(&doctor.stdout).lines() {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            finding["what"].is_string() && finding["state"].is_string(),
            "one finding a line: {line}"
        );
    }
    assert!(
        text(&doctor.stdout).contains("lockstep migrate"),
        "{}",
        text(&doctor.stdout)
    );
}

#[tokio::test]
async fn unknown_key_in_the_settings_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    std::fs::write(&file, "databse_url = \"x\"\n").unwrap();
    let refused = outcome(&mut lockstep(&["config", "--config", file.to_str().unwrap()])).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("databse_url"),
        "{}",
        text(&refused.stderr)
    );
}

#[tokio::test]
async fn sync_stock_and_doctor_work_on_an_external_database() {
    let (db, g2a) = (TestDb::new().await, sandbox(45).await);
    let run = async |args: &[&str]| {
        let mut command = lockstep(args);
        with_account(&mut command, &g2a).env("DATABASE_URL", db.url());
        outcome(&mut command).await
    };
    let report = |output: &std::process::Output| -> serde_json::Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    };

    let first = run(&["sync", "--full", "--json"]).await;
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let created = report(&first)["created"].as_u64().unwrap();
    assert!(created >= 40, "{created}");

    let second = report(&run(&["sync", "--full", "--json"]).await);
    assert_eq!(
        (second["created"].as_u64(), second["updated"].as_u64()),
        (Some(0), Some(0)),
        "nothing changed, nothing is written"
    );

    let stock = run(&["stock"]).await;
    assert_eq!(stock.status.code(), Some(0), "{}", text(&stock.stderr));
    assert!(
        text(&stock.stdout).contains("stock sync completed"),
        "{}",
        text(&stock.stdout)
    );

    let dry = run(&["sync", "--dry-run"]).await;
    assert!(text(&dry.stdout).contains("in stock"), "{}", text(&dry.stdout));
    // Prices in it are those by the price rules.
    db.execute("update price_policy set min_margin = 500").await;
    let dry = run(&["sync", "--dry-run", "--json"]).await;
    let prices: Vec<f64> = (text(&dry.stdout).lines())
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["price"].as_f64())
        .collect();
    assert!(
        prices.len() > 10 && prices.iter().all(|price| *price > 500.0),
        "{prices:?}"
    );
    db.execute("update price_policy set min_margin = 0").await;

    let healthy = run(&["doctor"]).await;
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy.stdout));
    assert!(text(&healthy.stdout).contains("Everything works."));

    // A scheduled change that no worker carries out is wrong once it is five minutes late.
    let late = |minutes: u32| {
        format!(
            "insert into scheduled_changes (id, game_id, field, value, starts_at)
             select gen_random_uuid(), id, 'FEATURED', true, now() - interval '{minutes} minutes' from games order by id desc limit 1"
        )
    };
    db.execute(&late(4)).await;
    assert_eq!(run(&["doctor"]).await.status.code(), Some(0));
    db.execute("delete from scheduled_changes").await;
    db.execute(&late(7)).await;
    let overdue = run(&["doctor"]).await;
    assert_eq!(overdue.status.code(), Some(1));
    let told = text(&overdue.stdout);
    assert!(
        told.contains("WRONG schedule") && told.contains("that are overdue: 1, the oldest by 7 minutes"),
        "{told}"
    );
    db.execute("delete from scheduled_changes").await;

    db.execute("delete from game_search").await;
    let unhealthy = run(&["doctor"]).await;
    assert_eq!(unhealthy.status.code(), Some(1));
    assert!(
        text(&unhealthy.stdout).contains("WRONG invariants"),
        "{}",
        text(&unhealthy.stdout)
    );
}

#[tokio::test]
async fn mismatched_payment_is_reported_and_settled_by_one_command() {
    let (db, g2a) = (TestDb::new().await, sandbox(45).await);
    let run = async |args: &[&str]| {
        let mut command = lockstep(args);
        with_account(&mut command, &g2a).env("DATABASE_URL", db.url());
        outcome(&mut command).await
    };
    let user = db.user("ada@example.org", "0").await;
    let (more, dollars) = (
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000002",
    );
    db.execute(&format!(
        "insert into top_ups (id, user_id, amount, method, provider, reference, review, review_since, problem, paid_amount, paid_currency)
         values ('{more}', '{user}', 10, 'card', 'stripe', 'cs_1', 'OTHER_AMOUNT', now(), 'paid were 11.90 EUR instead of 10.00 EUR', 11.90, 'EUR'),
                ('{dollars}', '{user}', 20, 'card', 'stripe', 'cs_2', 'OTHER_AMOUNT', now(), 'paid were 21.00 USD instead of 20.00 EUR', 21, 'USD')"
    ))
    .await;
    let found = objects(&run(&["reconcile", "--json"]).await);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| one["remedy"] == "person"), "{found:?}");
    for command in ["doctor", "reconcile"] {
        let printed = run(&[command]).await;
        assert_eq!(printed.status.code(), Some(1), "{command}: {}", text(&printed.stdout));
        let printed = text(&printed.stdout);
        assert!(
            printed.contains("paid were 11.90 EUR") && printed.contains(&format!("lockstep reconcile --credit {more}")),
            "{command}: {printed}"
        );
    }
    let credited = run(&["reconcile", "--credit", more]).await;
    assert_eq!(credited.status.code(), Some(0), "{}", text(&credited.stderr));
    assert!(
        text(&credited.stdout).contains("11.90 EUR were credited"),
        "{}",
        text(&credited.stdout)
    );
    let again = run(&["reconcile", "--credit", more]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("waits for staff"),
        "{}",
        text(&again.stderr)
    );
    let unsaid = run(&["reconcile", "--credit", dollars]).await;
    assert!(
        text(&unsaid.stderr).contains("--amount EUR"),
        "{}",
        text(&unsaid.stderr)
    );
    let said = run(&["reconcile", "--credit", dollars, "--amount", "19.50", "--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(report["credited"], 19.5, "{report}");
    let balance: String = lockstep_testkit::sqlx::query_scalar("select balance::text from users")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(balance, "31.40");
    assert_eq!(db.count("audit_log where action = 'payment.credit'").await, 2);
    let healthy = run(&["reconcile"]).await;
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy.stdout));
    db.assert_books_balance().await;
}

#[tokio::test]
async fn doctor_in_production_reports_missing_operator_details() {
    let (db, g2a) = (TestDb::new().await, sandbox(45).await);
    let folder = tempfile::tempdir().unwrap();
    let doctor = async |said: &[(&str, &str)]| {
        let mut command = lockstep(&["doctor"]);
        with_account(&mut command, &g2a)
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_DATA_DIR", folder.path())
            .env("LOCKSTEP_ENV", "production")
            .env("LOCKSTEP_PUBLIC_URL", "https://shop.example")
            .env("JWT_SECRET", "0f1e2d3c4b5a6978".repeat(4))
            .env("JWT_REFRESH_SECRET", "f0e1d2c3b4a59687".repeat(4))
            .env("LOCKSTEP_KEY_SECRET", "8796a5b4c3d2e1f0".repeat(4))
            .env("SMTP_URL", "smtp://127.0.0.1:1")
            .env("LOCKSTEP_MAIL_FROM", "Shop <shop@shop.example>")
            .envs(said.iter().copied());
        text(&outcome(&mut command).await.stdout)
    };
    let silent = doctor(&[("LOCKSTEP_TERMS_URL", "https://shop.example/terms")]).await;
    assert!(
        silent.contains("set LOCKSTEP_CONTACT_EMAIL, LOCKSTEP_IMPRINT_URL, LOCKSTEP_PRIVACY_URL\n"),
        "{silent}"
    );
    let printed = doctor(&[
        ("LOCKSTEP_CONTACT_EMAIL", "help@shop.example"),
        ("LOCKSTEP_IMPRINT_URL", "https://shop.example/imprint"),
        ("LOCKSTEP_TERMS_URL", "https://shop.example/terms"),
        ("LOCKSTEP_PRIVACY_URL", "https://shop.example/privacy"),
    ])
    .await;
    assert!(printed.contains("the pages say who runs the shop"), "{printed}");

    let refused = outcome(lockstep(&["config"]).env("LOCKSTEP_TERMS_URL", "shop.example/terms")).await;
    assert!(
        text(&refused.stderr).contains("LOCKSTEP_TERMS_URL"),
        "{}",
        text(&refused.stderr)
    );
}

#[tokio::test]
async fn operator_creates_the_first_admin_with_a_password_shown_once() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let run = async |email: &str| {
        outcome(
            lockstep(&["admin", "create", email, "--json"])
                .env("DATABASE_URL", db.url())
                .env("LOCKSTEP_DATA_DIR", folder.path()),
        )
        .await
    };
    let made = run("Ada@Example.com").await;
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (&printed["email"], &printed["created"]),
        (&"ada@example.com".into(), &true.into())
    );
    let password = printed["password"].as_str().unwrap();
    assert_eq!(password.len(), 24);
    assert!(!text(&made.stderr).contains(password), "on stdout only");
    let admins: i64 = lockstep_testkit::sqlx::query_scalar(
        "select count(*) from users where role = 'ADMIN' and email_verified and email = 'ada@example.com'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(admins, 1);
    // Again: nothing is changed, and no password is printed that would not be valid.
    let again: serde_json::Value = serde_json::from_slice(&run("ada@example.com").await.stdout).unwrap();
    assert_eq!(
        (&again["promoted"], &again["password"]),
        (&true.into(), &serde_json::Value::Null)
    );
    let wrong = run("nobody").await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("not a valid e-mail address"),
        "{}",
        text(&wrong.stderr)
    );
}

#[tokio::test]
async fn production_refuses_unsafe_settings() {
    let sound = [
        ("LOCKSTEP_ENV", "production"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/nothing"),
        ("LOCKSTEP_PUBLIC_URL", "https://shop.example"),
        ("G2A_API_URL", "https://api.g2a.com/v1"),
        ("G2A_API_HASH", "hash"),
        ("G2A_API_EMAIL", "shop@shop.example"),
        ("G2A_API_SECRET", "secret"),
        ("JWT_SECRET", "0f1e2d3c4b5a69780f1e2d3c4b5a6978"),
        ("JWT_REFRESH_SECRET", "f0e1d2c3b4a59687f0e1d2c3b4a59687"),
        (
            "LOCKSTEP_KEY_SECRET",
            "8796a5b4c3d2e1f08796a5b4c3d2e1f08796a5b4c3d2e1f08796a5b4c3d2e1f0",
        ),
        ("SMTP_URL", "smtps://u:p@mail.example"),
        ("LOCKSTEP_MAIL_FROM", "Shop <shop@shop.example>"),
    ];
    let with = async |changed: &[(&str, &str)]| {
        let mut command = lockstep(&["config"]);
        command.envs(sound).envs(changed.iter().copied());
        let done = outcome(&mut command).await;
        (done.status.code(), text(&done.stderr))
    };
    assert_eq!(with(&[]).await.0, Some(0));
    let zeros = "0".repeat(64);
    for (name, value) in [
        ("LOCKSTEP_PUBLIC_URL", "http://shop.example"),
        ("G2A_API_URL", "http://api.g2a.com/v1"),
        ("JWT_SECRET", &"a".repeat(40)),
        ("LOCKSTEP_KEY_SECRET", &zeros),
        ("SMTP_URL", "smtp://u:a/b@mail.example"),
    ] {
        let (code, printed) = with(&[(name, value)]).await;
        assert_eq!(code, Some(1), "{name}: {printed}");
        assert!(printed.contains(name), "{name}: {printed}");
    }
    // And doctor reports a file with secrets that all users can read.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    std::fs::write(&file, "jwt_secret = \"0f1e2d3c4b5a69780f1e2d3c4b5a6978\"\n").unwrap();
    let doctor = async |mode: u32| {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let mut command = lockstep(&["doctor", "--config", file.to_str().unwrap()]);
        command
            .env("DATABASE_URL", "postgres://127.0.0.1:1/nothing")
            .env("LOCKSTEP_DATA_DIR", folder.path());
        text(&outcome(&mut command).await.stdout)
    };
    let printed = doctor(0o644).await;
    assert!(
        printed.contains("can be read by every user of this machine and contains JWT_SECRET"),
        "{printed}"
    );
    assert!(!doctor(0o640).await.contains("can be read by every user"));
}

#[tokio::test]
async fn operator_resets_a_lost_second_factor() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let user = db.user("ada@example.com", "0").await;
    db.execute(&format!(
        "insert into user_totp (user_id, nonce, confirmed_at) values ('{user}', sha256('x'), now())"
    ))
    .await;
    let run = async |email: &str| {
        outcome(
            lockstep(&["admin", "reset-second-factor", email])
                .env("DATABASE_URL", db.url())
                .env("LOCKSTEP_DATA_DIR", folder.path())
                .env("LOCKSTEP_KEY_SECRET", "11".repeat(32)),
        )
        .await
    };
    let reset = run("Ada@Example.com").await;
    assert_eq!(reset.status.code(), Some(0), "{}", text(&reset.stderr));
    assert!(
        text(&reset.stdout).contains("password alone"),
        "{}",
        text(&reset.stdout)
    );
    assert_eq!(db.count("user_totp").await, 0);
    assert_eq!(
        db.count("audit_log where action = 'account.second_factor_reset'").await,
        1
    );
    assert_eq!(db.count("mail_outbox where kind = 'second-factor-reset'").await, 1);
    assert!(text(&run("ada@example.com").await.stdout).contains("no second factor"));
    let unknown = run("eve@example.com").await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("no account"),
        "{}",
        text(&unknown.stderr)
    );
}

#[tokio::test]
async fn operator_gives_roles_and_the_audit_log_shows_who_changed_it() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    for address in ["ada@example.com", "bob@example.com"] {
        db.user(address, "0").await;
    }
    let mut run_unverified = lockstep(&["admin", "role", "ada@example.com", "owner"]);
    run_unverified
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", folder.path())
        .env("LOCKSTEP_KEY_SECRET", "11".repeat(32));
    let refused = text(&outcome(&mut run_unverified).await.stderr);
    assert!(refused.contains("not verified"), "{refused}");
    db.execute("update users set email_verified = true").await;
    let run = async |arguments: &[&str]| {
        let mut command = lockstep(arguments);
        command
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_DATA_DIR", folder.path())
            .env("LOCKSTEP_KEY_SECRET", "11".repeat(32));
        let done = outcome(&mut command).await;
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let (code, said, _) = run(&["admin", "role", "Ada@example.com", "owner"]).await;
    assert_eq!(
        (code, said.contains("has the role OWNER now")),
        (Some(0), true),
        "{said}"
    );
    let (code, said, _) = run(&["admin", "role", "bob@example.com", "support", "--json"]).await;
    assert_eq!((code, said.contains(r#""before":"USER""#)), (Some(0), true), "{said}");
    assert_eq!(db.count("users where staff_role = 'SUPPORT'").await, 1);
    for (arguments, told) in [
        (["ada@example.com", "user"], "last administrator"),
        (
            ["bob@example.com", "king"],
            "there are user, owner, analyst, content, manager, support",
        ),
        (["eve@example.com", "support"], "no account"),
    ] {
        let (code, _, said) = run(&["admin", "role", arguments[0], arguments[1]]).await;
        assert_eq!((code, said.contains(told)), (Some(1), true), "{said}");
    }
    let (code, said, _) = run(&["audit", "verify"]).await;
    assert_eq!(
        (code, said.contains("2 entries, none of them changed")),
        (Some(0), true),
        "{said}"
    );
    let head = said.lines().last().unwrap().to_owned();
    let (code, said, _) = run(&["audit", "export"]).await;
    assert_eq!((code, said.lines().count()), (Some(0), 2));
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(format!("2:{}", last["digest"].as_str().unwrap()), head);
    assert!(!said.contains('@'), "no addresses: {said}");
    // A superuser changes a row.
    db.execute(
        r#"begin; set local session_replication_role = replica;
           update audit_log set details = '{"from": "USER", "to": "CONTENT"}' where details ->> 'to' = 'SUPPORT'; commit"#,
    )
    .await;
    let entry = format!("entry 2 ({}) was changed", last["id"].as_str().unwrap());
    let (code, said, _) = run(&["audit", "verify", "--head", &head]).await;
    assert_eq!((code, said.contains(&entry)), (Some(1), true), "{said}");
    let (code, said, _) = run(&["doctor"]).await;
    assert_eq!((code, said.contains(&entry)), (Some(1), true), "{said}");
}

#[tokio::test]
async fn wrong_g2a_password_is_explained_and_nothing_is_written() {
    let (db, g2a) = (TestDb::new().await, sandbox(20).await);
    let mut command = lockstep(&["sync", "--full"]);
    with_account(&mut command, &g2a)
        .env("DATABASE_URL", db.url())
        .env("G2A_API_SECRET", "a-wrong-secret");
    let refused = outcome(&mut command).await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("G2A_API"), "{}", text(&refused.stderr));
    assert!(!text(&refused.stderr).contains("a-wrong-secret"));
    assert_eq!(db.count("games").await, 0);
}

#[tokio::test]
async fn unavailable_database_exits_with_try_again_later() {
    let away = outcome(lockstep(&["migrate"]).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")).await;
    assert_eq!(away.status.code(), Some(75), "{}", text(&away.stderr));
}

#[tokio::test]
async fn backup_restores_games_and_secrets_and_overwrites_only_with_force() {
    let (from, to, kept) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let (from, to) = (from.path().to_str().unwrap(), to.path().to_str().unwrap());
    let kept = kept.path().join("monday");
    let kept = kept.to_str().unwrap();
    let supplier = sandbox(50).await;
    let made = outcome(&mut lockstep(&["migrate", "--data-dir", from])).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let synced = async |folder: &str| {
        let mut sync = lockstep(&["sync", "--full", "--json", "--data-dir", folder]);
        let out = outcome(with_account(&mut sync, &supplier)).await;
        assert!(out.status.success(), "{}", text(&out.stderr));
        let lines = text(&out.stdout);
        serde_json::from_str::<serde_json::Value>(lines.lines().last().unwrap()).unwrap()
    };
    assert_eq!(synced(from).await["created"], 50);
    std::fs::write(format!("{from}/secrets.toml"), "these").unwrap();
    std::fs::create_dir_all(format!("{from}/mail")).unwrap();
    std::fs::write(format!("{from}/mail/letter.eml"), "Dear").unwrap();

    let run = async |args: &[&str]| outcome(&mut lockstep(args)).await;
    let made = run(&["backup", kept, "--json", "--data-dir", from]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (&said["secrets"], &said["files"]),
        (&serde_json::json!(true), &serde_json::json!(1))
    );
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(kept), mode(&format!("{kept}/secrets.toml"))), (0o700, 0o600));
    let again = run(&["backup", kept, "--data-dir", from]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    let forced = run(&["backup", kept, "--force", "--data-dir", from]).await;
    assert!(forced.status.success(), "{}", text(&forced.stderr));

    let restored = run(&["restore", kept, "--data-dir", to]).await;
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(std::fs::read_to_string(format!("{to}/secrets.toml")).unwrap(), "these");
    assert_eq!(
        std::fs::read_to_string(format!("{to}/mail/letter.eml")).unwrap(),
        "Dear"
    );
    let report = synced(to).await;
    assert_eq!(
        (&report["created"], &report["unchanged"]),
        (&0.into(), &50.into()),
        "{report}"
    );

    let refused = run(&["restore", kept, "--data-dir", to]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("--force replaces it"),
        "{}",
        text(&refused.stderr)
    );
    std::fs::write(format!("{to}/secrets.toml"), "others").unwrap();
    let refused = run(&["restore", kept, "--data-dir", to]).await;
    assert!(
        text(&refused.stderr).contains("secrets.toml.replaced"),
        "{}",
        text(&refused.stderr)
    );
    let forced = run(&["restore", kept, "--force", "--data-dir", to]).await;
    assert!(forced.status.success(), "{}", text(&forced.stderr));
    assert_eq!(
        std::fs::read_to_string(format!("{to}/secrets.toml.replaced")).unwrap(),
        "others"
    );
    assert_eq!(synced(to).await["unchanged"], 50);
}

/// The dump of a database of the operator's own is one that `pg_restore` and the private database take.
#[tokio::test]
async fn backup_saves_an_external_database_which_can_be_restored_as_a_private_one() {
    let db = TestDb::new().await;
    db.user("ada@example.org", "5.00").await;
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, other) = (folder.path().to_str().unwrap(), other.path().to_str().unwrap());
    let kept = folder.path().join("kept");
    let made = outcome(
        lockstep(&["backup", kept.to_str().unwrap(), "--json", "--data-dir", place]).env("DATABASE_URL", db.url()),
    )
    .await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(
        objects(&made)[0]["bytes"].as_u64().unwrap() > 10_000,
        "{}",
        text(&made.stdout)
    );
    assert_eq!(db.count("audit_log where action = 'backup.create'").await, 1);
    let restored = outcome(&mut lockstep(&["restore", kept.to_str().unwrap(), "--data-dir", other])).await;
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let proved = outcome(&mut lockstep(&["verify", "--json", "--data-dir", other])).await;
    assert!(
        proved.status.success(),
        "{}{}",
        text(&proved.stdout),
        text(&proved.stderr)
    );
    let balances = objects(&proved)
        .into_iter()
        .find(|verdict| verdict["check"] == "balances")
        .unwrap();
    assert_eq!(balances["rows"], 1);
}

#[tokio::test]
async fn restore_refuses_external_databases_and_other_folders() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let out = outcome(lockstep(&["restore", place]).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/x")).await;
    assert!(text(&out.stderr).contains("pg_restore"), "{}", text(&out.stderr));
    let out = outcome(&mut lockstep(&["restore", place, "--data-dir", place])).await;
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("holds no backup"), "{}", text(&out.stderr));
}

/// A copy of a shop, and a role that may only read it.
#[tokio::test]
async fn verify_names_violations_to_a_role_that_may_only_read() {
    let (db, g2a) = (TestDb::new().await, sandbox(5).await);
    let user = db.user("ada@example.org", "100.00").await;
    let game = db.game("Portal", "portal", "25.00").await;
    let order = db.order(user, game, 2).await;
    let key = db.key(game).await;
    let role = format!("reader_of_{}", db.name());
    db.execute(&format!(
        "create role {role} login password 'only-reads'; grant usage on schema public to {role};
         grant select on all tables in schema public to {role}"
    ))
    .await;
    let (_, place) = db.url().split_once('@').unwrap();
    let url = format!("postgres://{role}:only-reads@{place}");
    let data = tempfile::tempdir().unwrap();
    let verify = async |args: &[&str]| {
        let mut command = lockstep(&[&["verify", "--data-dir", data.path().to_str().unwrap()], args].concat());
        command
            .env("DATABASE_URL", &url)
            .env("JWT_SECRET", "a".repeat(32))
            .env("JWT_REFRESH_SECRET", "b".repeat(32))
            .env("LOCKSTEP_KEY_SECRET", "11".repeat(32));
        outcome(&mut command).await
    };
    let broken = |output: &std::process::Output| -> Vec<(String, Vec<String>)> {
        let verdicts = objects(output);
        assert!(verdicts.len() > 30, "{verdicts:?}");
        let wrong = verdicts
            .iter()
            .filter(|verdict| verdict["violations"] != 0 || !verdict["error"].is_null());
        wrong
            .map(|verdict| {
                let examples = verdict["examples"].as_array().unwrap().iter();
                (
                    verdict["check"].as_str().unwrap().to_owned(),
                    examples
                        .map(|example| example["id"].as_str().unwrap().to_owned())
                        .collect(),
                )
            })
            .collect()
    };
    // The builders of tests do not seal.
    let found = verify(&["--json"]).await;
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stderr));
    assert_eq!(broken(&found), [("sealed_game_keys".to_owned(), vec![key.to_string()])]);
    db.execute("delete from game_keys; update games set in_stock = false")
        .await;
    let found = verify(&[]).await;
    assert_eq!(
        found.status.code(),
        Some(0),
        "{}{}",
        text(&found.stdout),
        text(&found.stderr)
    );
    assert!(
        text(&found.stdout).ends_with("Every invariant holds.\n"),
        "{}",
        text(&found.stdout)
    );

    db.execute(&format!(
        "begin; set local session_replication_role = replica; delete from order_units where id = '{}'; commit",
        order.units[0]
    ))
    .await;
    let found = verify(&["--json", "--sample", "10"]).await;
    assert_eq!(found.status.code(), Some(1));
    let of_order = vec![order.id.to_string()];
    assert_eq!(
        broken(&found),
        [("copies".to_owned(), of_order.clone()), ("paid".to_owned(), of_order)]
    );
    let told = verify(&[]).await;
    let words = format!("{} (paid 50.00, delivered 0, refunded 0, in flight 25.00)", order.id);
    assert!(text(&told.stdout).contains(&words), "{}", text(&told.stdout));
    // The same is counted by the other two.
    for command in ["doctor", "reconcile"] {
        let mut told = lockstep(&[command]);
        with_account(&mut told, &g2a).env("DATABASE_URL", db.url());
        let told = outcome(&mut told).await;
        let words = "every copy of an order has its unit: 1 row(s)";
        assert!(text(&told.stdout).contains(words), "{command}: {}", text(&told.stdout));
    }
    db.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
