//! Processes of one shop need the same settings; one that differs is refused, and the error names the setting.

use futures::future::join_all;
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, ClientInfo, Keys, Settings, TokenSecrets, totp};
use lockstep_domain::account::{Credentials, Registration};
use lockstep_domain::ids::SessionId;
use lockstep_domain::secret::Secret;
use lockstep_store::sessions;
use lockstep_testkit::TestDb;
use tokio::process::Command;

use crate::program::{DEADLINE, Running, lockstep, outcome, text};

/// `lockstep web` of a shop on `db`, with the settings of this file except for `changed`.
fn web(db: &TestDb, folder: &tempfile::TempDir, changed: &[(&str, &str)]) -> Command {
    set(lockstep(&["web"]), db, folder, changed)
}

fn set(mut command: Command, db: &TestDb, folder: &tempfile::TempDir, changed: &[(&str, &str)]) -> Command {
    command
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", folder.path())
        .env("LOCKSTEP_BIND", "127.0.0.1:0")
        .env("LOCKSTEP_PUBLIC_URL", "http://shop.example")
        .env("JWT_SECRET", "a".repeat(40))
        .env("JWT_REFRESH_SECRET", "b".repeat(40))
        .env("LOCKSTEP_KEY_SECRET", "11".repeat(32))
        .env("G2A_API_URL", "http://127.0.0.1:1/v1")
        .env("G2A_API_HASH", "hash-of-one")
        .env("G2A_API_EMAIL", "one@example.org")
        .env("G2A_API_SECRET", "secret")
        .envs(changed.iter().copied());
    command
}

#[tokio::test]
async fn a_time_zone_that_the_database_does_not_know_is_refused() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let refused = outcome(&mut web(&db, &folder, &[("LOCKSTEP_TIME_ZONE", "Europe/Atlantis")])).await;
    let output = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{output}");
    assert!(
        output.contains("LOCKSTEP_TIME_ZONE") && output.contains("Europe/Berlin"),
        "{output}"
    );
}

#[tokio::test]
async fn process_with_different_settings_is_refused_by_name() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let first = Running::start(&mut web(&db, &folder, &[])).await;
    let (jwt, other_key) = ("c".repeat(40), "22".repeat(32));
    let differing = [
        ("LOCKSTEP_KEY_SECRET", other_key.as_str()),
        ("JWT_SECRET", &jwt),
        ("JWT_REFRESH_SECRET", &jwt),
        ("G2A_MARKUP_PERCENT", "5"),
        ("G2A_PRICE_BASIS", "max"),
        ("G2A_ALLOWED_LOSS", "0.50"),
        ("LOCKSTEP_REPLACEMENT_BUDGET", "20"),
        ("G2A_API_URL", "http://127.0.0.1:2/v1"),
        ("G2A_API_HASH", "hash-of-two"),
        ("G2A_API_EMAIL", "two@example.org"),
        ("LOCKSTEP_PREORDER_DAYS", "30"),
        ("LOCKSTEP_CART_MAX_COPIES", "7"),
        ("LOCKSTEP_CART_MAX_LINES", "7"),
        ("LOCKSTEP_TIME_ZONE", "Europe/Berlin"),
    ];
    let attempts = differing.iter().map(|change| {
        let mut command = web(&db, &folder, &[*change]);
        async move { outcome(&mut command).await }
    });
    for ((name, value), refused) in differing.iter().zip(join_all(attempts).await) {
        let output = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{name}: {output}");
        assert!(
            output.contains(name) && output.contains("stop the others first"),
            "{name}: {output}"
        );
        for (other, _) in differing.iter().filter(|(other, _)| !name.starts_with(other)) {
            assert!(!output.contains(&format!("{other} is ")), "{name}: {output}");
        }
        assert!(
            !name.contains("SECRET") && *name != "G2A_API_HASH" || !output.contains(value),
            "{name} is shown: {output}"
        );
    }
    // Another spelling is not another value, and a new password of the same account is not another account.
    let alike = [("G2A_MARKUP_PERCENT", "2.00"), ("G2A_API_SECRET", "new")];
    let second = Running::start(&mut web(&db, &folder, &alike)).await;

    let doctor = async |changed: &[(&str, &str)]| {
        text(
            &outcome(&mut set(lockstep(&["doctor"]), &db, &folder, changed))
                .await
                .stdout,
        )
    };
    let well = doctor(&[]).await;
    assert!(well.contains("2 running, with the same settings"), "{well}");
    let ill = doctor(&[("G2A_MARKUP_PERCENT", "5")]).await;
    assert!(
        ill.contains("WRONG instances") && ill.contains("G2A_MARKUP_PERCENT is 5 here and 2 at"),
        "{ill}"
    );

    let kept: Vec<String> = lockstep_testkit::sqlx::query_scalar("select settings::text from instances")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    for secret in ["aaaaaaaa", "bbbbbbbb", "11111111", "hash-of-one", "one@example.org"] {
        assert!(!kept.concat().contains(secret), "{secret} is in the database: {kept:?}");
    }

    // When no process is left, settings may change.
    for running in [first, second] {
        running.signal("TERM").await;
        assert_eq!(running.ended().await.code(), Some(0));
    }
    let changed = [("G2A_MARKUP_PERCENT", "5"), ("JWT_SECRET", &jwt)];
    let alone = Running::start(&mut web(&db, &folder, &changed)).await;
    // After a kill as well, with a delay.
    alone.signal("KILL").await;
    alone.ended().await;
    Running::start(&mut web(&db, &folder, &[])).await;
}

#[tokio::test]
async fn two_differing_processes_that_start_at_once_do_not_both_run() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let mut migrate = set(lockstep(&["migrate"]), &db, &folder, &[]);
    assert!(outcome(&mut migrate).await.status.success());
    let start = |markup: &str| {
        let mut command = web(&db, &folder, &[("G2A_MARKUP_PERCENT", markup)]);
        command.stderr(std::process::Stdio::piped()).spawn().expect("it starts")
    };
    let (mut one, mut two) = (start("3"), start("4"));
    let first_ended = async {
        tokio::select! {
            ended = one.wait() => (ended, true),
            ended = two.wait() => (ended, false),
        }
    };
    let (ended, is_one) = tokio::time::timeout(DEADLINE, first_ended)
        .await
        .expect("one of them is refused");
    assert_eq!(ended.unwrap().code(), Some(1));
    let (refused, mut runs) = if is_one { (one, two) } else { (two, one) };
    let output = text(&refused.wait_with_output().await.unwrap().stderr);
    assert!(output.contains("G2A_MARKUP_PERCENT"), "{output}");
    assert!(runs.try_wait().unwrap().is_none(), "the other runs");
    assert_eq!(db.count("instances").await, 1);
}

#[tokio::test]
async fn key_secret_rotates_in_front_and_dropping_the_old_one_is_refused() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let (both, reversed) = (format!("{new},{old}"), format!("{old},{new}"));
    let first = Running::start(&mut web(&db, &folder, &[])).await;
    let user = db.user("ada@example.org", "10.00").await;
    db.execute(&format!(
        "insert into user_totp (user_id, nonce) values ('{user}', sha256('x'))"
    ))
    .await;

    let second = Running::start(&mut web(&db, &folder, &[("LOCKSTEP_KEY_SECRET", &both)])).await;
    // The process without the new secret cannot open what the other seals, and doctor reports it.
    let doctor = outcome(&mut set(lockstep(&["doctor"]), &db, &folder, &[])).await;
    let output = text(&doctor.stdout);
    assert!(
        output.contains("WRONG instances") && output.contains("LOCKSTEP_KEY_SECRET"),
        "{output}"
    );
    for running in [first, second] {
        running.signal("TERM").await;
        running.ended().await;
    }

    // Even alone it is refused: the stored values are sealed with the new secret now.
    let refused = outcome(&mut web(&db, &folder, &[])).await;
    let output = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{output}");
    assert!(
        output.contains("LOCKSTEP_KEY_SECRET") && output.contains("end of the list") && output.contains("keys accept"),
        "{output}"
    );
    Running::start(&mut web(&db, &folder, &[("LOCKSTEP_KEY_SECRET", &reversed)])).await;

    // A secret that is lost for good does not close the shop for good.
    let lost = "33".repeat(32);
    let with_lost = [("LOCKSTEP_KEY_SECRET", lost.as_str())];
    assert_eq!(outcome(&mut web(&db, &folder, &with_lost)).await.status.code(), Some(1));
    let accepted = outcome(&mut set(lockstep(&["keys", "accept"]), &db, &folder, &with_lost)).await;
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    Running::start(&mut web(&db, &folder, &with_lost)).await;
}

/// The account service of one process of the shop, without a network, with these secrets.
fn accounts(db: &TestDb, secrets: &str) -> Auth {
    let tokens = TokenSecrets::new(&"a".repeat(40), &"b".repeat(40)).unwrap();
    let hashing = HashSettings {
        cost: 4,
        threads: 1,
        patience: DEADLINE,
    };
    let settings = Settings {
        hashing,
        ..Settings::new(tokens, Keys::parse(secrets).unwrap())
    };
    Auth::start(db.store.clone(), settings).unwrap()
}

#[tokio::test]
async fn authenticators_work_after_the_documented_secret_rotation() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let both = format!("{new},{old}");
    let here = ClientInfo::new(None, None);
    let password = Secret::new("Correct7Horse");

    let before = accounts(&db, &old);
    let registration = Registration::check("ada@example.com", password.expose(), None, None, None).unwrap();
    let ada = before.register(registration, &here).await.unwrap();
    let (user, session) = (ada.user.id, uuid_of_session(&db).await);
    let caller = before
        .authenticate(ada.tokens.token.expose(), async |_, _| {
            let found = db
                .store
                .read(move |tx| Box::pin(sessions::remember(tx, session, user)))
                .await?;
            Ok::<_, lockstep_auth::AuthError>(found.value.and_then(|found| found.holder_at(chrono::Utc::now())))
        })
        .await
        .unwrap();
    let enrolment = before.offer_second_factor(&caller, &password, &here).await.unwrap();
    let code = |later: i64| {
        let at = chrono::Utc::now() + chrono::TimeDelta::seconds(later);
        Secret::new(totp::code_at(&enrolment, at).unwrap())
    };
    before.confirm_second_factor(&caller, &code(0), &here).await.unwrap();
    // Created by an older version, which stored no sealed secret.
    db.execute("update user_totp set sealed = null").await;

    let with_both = [("LOCKSTEP_KEY_SECRET", both.as_str())];
    let doctor = |list: &str| {
        let mut command = set(lockstep(&["doctor"]), &db, &folder, &[("LOCKSTEP_KEY_SECRET", list)]);
        async move { text(&outcome(&mut command).await.stdout) }
    };
    let output = doctor(&both).await;
    assert!(
        output.contains("1 second factor(s), 1 waiting e-mail(s)")
            || output.contains("1 second factor(s), 2 waiting e-mail(s)"),
        "{output}"
    );
    assert!(output.contains("keys rotate"), "{output}");
    let rotated = outcome(&mut set(lockstep(&["keys", "rotate"]), &db, &folder, &with_both)).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let output = doctor(&both).await;
    assert!(
        output.contains("the first secret of LOCKSTEP_KEY_SECRET opens"),
        "{output}"
    );

    // The old secret is lost for good.
    let after = accounts(&db, &new);
    let credentials = Credentials::check("ada@example.com", password.expose(), Some(code(30).expose())).unwrap();
    after.log_in(&credentials, &here).await.unwrap();
    let output = doctor(&old).await;
    assert!(
        output.contains("no secret of LOCKSTEP_KEY_SECRET opens 1 second factor(s)"),
        "{output}"
    );
}

async fn uuid_of_session(db: &TestDb) -> SessionId {
    let id = lockstep_testkit::sqlx::query_scalar("select id from user_sessions")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    SessionId(id)
}

/// Without a G2A account and without given secrets: they are generated in the data folder.
fn at_home(command: &str, db: &TestDb, folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let arguments: Vec<&str> = [command].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = lockstep(&arguments);
    command
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", folder.path())
        .env("LOCKSTEP_BIND", "127.0.0.1:0");
    command
}

#[tokio::test]
async fn lost_secrets_file_stops_the_shop_until_the_operator_accepts() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("secrets.toml");
    let first = Running::start(&mut at_home("web", &db, &folder, &[])).await;
    first.signal("TERM").await;
    first.ended().await;
    // No value is sealed, so nothing is lost with it.
    std::fs::remove_file(&file).unwrap();
    let second = Running::start(&mut at_home("web", &db, &folder, &[])).await;
    second.signal("TERM").await;
    second.ended().await;

    let game = db.game("Portal", "portal", "1.00").await;
    let kept = std::fs::read(&file).unwrap();
    let keys = toml_secret(&kept);
    let (id, keys) = (
        lockstep_testkit::sqlx::types::Uuid::new_v4(),
        Keys::parse(&keys).unwrap(),
    );
    let place = lockstep_store::fulfilment::keys::place(lockstep_domain::ids::KeyId(id));
    lockstep_testkit::sqlx::query(
        "insert into game_keys (id, game_id, key_ciphertext, key_hash) values ($1, $2, $3, sha256('x'))",
    )
    .bind(id)
    .bind(game)
    .bind(keys.seal(&place, b"AAAA-BBBB"))
    .execute(&db.sql)
    .await
    .unwrap();
    std::fs::remove_file(&file).unwrap();

    for command in [
        &["web"][..],
        &["worker"],
        &["keys", "rotate"],
        &["admin", "reset-second-factor", "a@example.org"],
    ] {
        let refused = outcome(&mut at_home(command[0], &db, &folder, &command[1..])).await;
        let output = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {output}");
        for what in [
            "secrets.toml is missing",
            "sold keys cannot be shown",
            "--accept-lost-keys",
            "backup",
        ] {
            assert!(output.contains(what), "{what:?} is not told by {command:?}: {output}");
        }
        assert!(!file.exists(), "{command:?} made new secrets");
    }
    let doctor = outcome(&mut at_home("doctor", &db, &folder, &[])).await;
    let output = text(&doctor.stdout);
    assert!(
        output.contains("WRONG secrets") && output.contains("secrets.toml is missing"),
        "{output}"
    );
    assert!(!file.exists(), "doctor made new secrets");

    // The file comes back: everything works.
    std::fs::write(&file, &kept).unwrap();
    let back = Running::start(&mut at_home("web", &db, &folder, &[])).await;
    back.signal("TERM").await;
    back.ended().await;
    // It does not: the operator accepts the loss, for one start.
    std::fs::remove_file(&file).unwrap();
    let knowing = Running::start(&mut at_home("web", &db, &folder, &["--accept-lost-keys"])).await;
    assert!(file.exists(), "new secrets");
    knowing.signal("TERM").await;
    knowing.ended().await;
    let after = Running::start(&mut at_home("web", &db, &folder, &[])).await;
    after.signal("TERM").await;
    after.ended().await;
    let doctor = outcome(&mut at_home("doctor", &db, &folder, &[])).await;
    let output = text(&doctor.stdout);
    assert!(
        output.contains("no secret of LOCKSTEP_KEY_SECRET opens 1 game key(s)"),
        "{output}"
    );
}

fn toml_secret(file: &[u8]) -> String {
    let file = text(file);
    let line = file.lines().find(|line| line.starts_with("key_secret")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_secrets_of_the_containers_are_settings_and_are_created_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/secrets.sh");
    let create = async || {
        let created = outcome(Command::new("sh").arg(script).arg(folder.path())).await;
        assert!(created.status.success(), "{}", text(&created.stderr));
        std::fs::read_to_string(&file).unwrap()
    };
    let settings = create().await;
    assert_eq!(create().await, settings, "secrets that seal keys are never replaced");
    for name in ["lockstep.toml", "postgres-password"] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    let shown = outcome(lockstep(&["config", "--json", "--config"]).arg(&file)).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let password = std::fs::read_to_string(folder.path().join("postgres-password")).unwrap();
    assert!(
        settings.contains(&format!(":{password}@postgres/")),
        "both containers know it"
    );
    assert!(!text(&shown.stdout).contains(&password));

    // The lines that are comments are settings as well.
    let sample = text(&outcome(&mut lockstep(&["settings"])).await.stdout);
    let names: Vec<&str> = settings
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = \""))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(sample.contains(&format!("\n# {name} = ")), "{name} is no setting");
    }
}
