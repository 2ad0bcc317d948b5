//! Accounts from the view of their owners and of attackers: real database, low bcrypt cost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, AuthError, ClientInfo, CurrentUser, Keys, Settings, TokenSecrets, totp};
use lockstep_clock::ManualClock;
use lockstep_domain::account::{AuthData, Credentials, Email, ProfileChange, ProfileFacts, Registration, Role};
use lockstep_domain::cart::CartLimits;
use lockstep_domain::ids::{GameId, SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::{self, AccountError, AdminMade, Deleted};
use lockstep_store::{carts, sessions};
use lockstep_testkit::TestDb;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const PASSWORD: &str = "Correct7Horse";
const OTHER: &str = "Battery9Staple";

struct Shop {
    db: TestDb,
    auth: Auth,
    /// Stands still until a test moves it.
    clock: ManualClock,
}

fn settings() -> Settings {
    let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32)).unwrap();
    Settings {
        hashing: HashSettings {
            cost: 4,
            threads: 2,
            patience: Duration::from_mins(1),
        },
        ..Settings::new(secrets, Keys::parse(&"11".repeat(32)).unwrap())
    }
}

impl Shop {
    async fn open(settings: Settings) -> Self {
        let db = TestDb::new().await;
        let clock = ManualClock::at_present();
        let settings = Settings {
            clock: clock.clock(),
            ..settings
        };
        let auth = Auth::start(db.store.clone(), settings).unwrap();
        Self { db, auth, clock }
    }

    async fn register(&self, email: &str) -> AuthData {
        let registration = Registration::check(email, PASSWORD, None, None, None).unwrap();
        self.auth.register(registration, &home()).await.unwrap()
    }

    /// Marks an address as verified.
    async fn mark_verified(&self, email: &str) {
        self.db
            .execute(&format!(
                "update users set email_verified = true where email = '{email}'"
            ))
            .await;
    }

    async fn log_in(&self, email: &str, password: &str, device: &ClientInfo) -> Result<AuthData, AuthError> {
        self.auth
            .log_in(&Credentials::check(email, password, None).unwrap(), device)
            .await
    }

    async fn log_in_with_code(&self, email: &str, code: &str) -> Result<AuthData, AuthError> {
        self.auth
            .log_in(&Credentials::check(email, PASSWORD, Some(code)).unwrap(), &home())
            .await
    }

    async fn caller(&self, signed_in: &AuthData) -> CurrentUser {
        self.authenticate(signed_in.tokens.token.expose()).await.unwrap()
    }

    async fn authenticate(&self, token: &str) -> Result<CurrentUser, AuthError> {
        let find = async |user, session| {
            let found = self
                .db
                .store
                .read(move |tx| Box::pin(sessions::remember(tx, session, user)))
                .await?;
            Ok(found
                .value
                .and_then(|remembered| remembered.holder_at(self.clock.now())))
        };
        self.auth.authenticate(token, find).await
    }

    async fn is_signed_in(&self, signed_in: &AuthData) -> bool {
        match self.authenticate(signed_in.tokens.token.expose()).await {
            Ok(_) => true,
            Err(AuthError::NotSignedIn) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn profile(&self, user: UserId) -> ProfileFacts {
        self.db
            .store
            .read(|tx| Box::pin(accounts::profile(tx, user)))
            .await
            .unwrap()
            .value
            .unwrap()
    }

    async fn one<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    /// Returns a field of the newest queued e-mail of a kind.
    async fn email_field(&self, kind: &str, field: &str) -> String {
        self.db.queued_email(kind).await[field].as_str().unwrap().to_owned()
    }

    async fn email_count(&self, kind: &str) -> i64 {
        self.one(&format!("select count(*) from mail_outbox where kind = '{kind}'"))
            .await
    }
}

fn device(address: &str) -> ClientInfo {
    ClientInfo::new(Some(address.parse().unwrap()), Some("Test Browser 1.0"))
}

fn home() -> ClientInfo {
    device("203.0.113.7")
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

#[tokio::test]
async fn registration_creates_account_session_code_and_email_atomically() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("A.da+shop@GoogleMail.com").await;
    assert_eq!(
        (ada.user.email.as_str(), ada.user.nickname.as_str()),
        ("ada@gmail.com", "Newbie Guy")
    );
    assert_eq!((ada.user.role, ada.tokens.expires_in), (Role::User, 604_800));
    assert_eq!(shop.caller(&ada).await.user(), ada.user.id);
    let facts = shop.profile(ada.user.id).await;
    assert_eq!(
        (facts.email_verified, facts.nickname.as_deref()),
        (false, Some("Newbie Guy"))
    );
    let hash: String = shop.one("select password_hash from users").await;
    assert!(hash.starts_with("$2b$04$") && !hash.contains(PASSWORD));
    assert_eq!(shop.email_count("welcome").await, 1);
    assert_eq!(shop.email_field("welcome", "code").await.len(), 6);

    // If one part cannot be written, none is.
    shop.db
        .execute("alter table mail_outbox add constraint no_more check (false) not valid")
        .await;
    let registration = Registration::check("bob@example.com", PASSWORD, None, None, None).unwrap();
    assert!(shop.auth.register(registration, &home()).await.is_err());
    assert_eq!(shop.one::<i64>("select count(*) from users").await, 1);
    assert_eq!(shop.one::<i64>("select count(*) from user_sessions").await, 1);
}

#[tokio::test]
async fn an_address_is_registered_once_in_any_case_and_concurrently() {
    let shop = Shop::open(Settings {
        limits: false,
        ..settings()
    })
    .await;
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..10 {
        let auth = shop.auth.clone();
        let address = if i % 2 == 0 {
            "Ada@Example.com"
        } else {
            "ada@EXAMPLE.com"
        };
        let registration = Registration::check(address, PASSWORD, None, None, None).unwrap();
        tasks.spawn(async move { auth.register(registration, &home()).await });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|result| result.is_ok()).count(), 1);
    for error in done.into_iter().filter_map(Result::err) {
        assert!(matches!(error, AuthError::EmailTaken), "{error:?}");
        assert!(error.to_string().contains("already exists"));
    }
}

#[tokio::test]
async fn failed_logins_hide_the_wrong_part_and_cost_the_same_work() {
    let shop = Shop::open(settings()).await;
    shop.register("ada@example.com").await;
    let mut errors = BTreeSet::new();
    let long = "x".repeat(200);
    for (address, password) in [
        ("ada@example.com", OTHER),
        ("nobody@example.com", PASSWORD),
        ("ada@example.com", long.as_str()),
    ] {
        let before = shop.auth.hashes();
        let noted: i64 = shop.one("select count(*) from login_history").await;
        let error = shop.log_in(address, password, &home()).await.unwrap_err();
        errors.insert((error.code(), error.to_string()));
        assert_eq!(shop.auth.hashes(), before + 1, "{address}");
        assert_eq!(
            shop.one::<i64>("select count(*) from login_history").await,
            noted + 1,
            "{address}"
        );
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(shop.log_in("ADA@example.com", PASSWORD, &home()).await.is_ok());
    let history = accounts::login_history(&shop.db.store, shop.register("bob@example.com").await.user.id, 10)
        .await
        .unwrap();
    assert_eq!(history.len(), 1, "only one's own");
}

#[tokio::test]
async fn logout_ends_the_session_and_both_tokens() {
    let shop = Shop::open(settings()).await;
    let phone = shop.register("ada@example.com").await;
    let laptop = shop.log_in("ada@example.com", PASSWORD, &home()).await.unwrap();
    let caller = shop.caller(&phone).await;
    shop.auth.log_out(&caller).await.unwrap();
    shop.auth.log_out(&caller).await.unwrap();
    assert!(!shop.is_signed_in(&phone).await);
    assert!(matches!(
        shop.auth.refresh(phone.tokens.refresh_token.expose()).await,
        Err(AuthError::NotSignedIn)
    ));
    assert!(shop.is_signed_in(&laptop).await, "the other device stays");
}

#[tokio::test]
async fn concurrent_refreshes_share_a_successor_and_late_ones_end_the_session() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    let first = ada.tokens.refresh_token.clone();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (auth, token) = (shop.auth.clone(), first.clone());
        tasks.spawn(async move { auth.refresh(token.expose()).await.unwrap() });
    }
    let pairs = tasks.join_all().await;
    assert!(
        pairs
            .iter()
            .all(|pair| *pair == pairs[0] && pair.refresh_token != first)
    );
    assert!(shop.authenticate(pairs[0].token.expose()).await.is_ok());
    // The old access token stays valid as long as its session: other tabs hold it.
    assert!(shop.is_signed_in(&ada).await);
    // After the grace period, an old refresh token shows that two clients hold the chain.
    shop.db
        .execute("update user_sessions set rotated_at = rotated_at - interval '2 minutes'")
        .await;
    assert!(matches!(
        shop.auth.refresh(first.expose()).await,
        Err(AuthError::NotSignedIn)
    ));
    for pair in &pairs {
        assert!(matches!(
            shop.auth.refresh(pair.refresh_token.expose()).await,
            Err(AuthError::NotSignedIn)
        ));
        assert!(matches!(
            shop.authenticate(pair.token.expose()).await,
            Err(AuthError::NotSignedIn)
        ));
    }
}

#[tokio::test]
async fn a_token_two_steps_old_ends_the_session_within_the_grace_period() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    let second = shop.auth.refresh(ada.tokens.refresh_token.expose()).await.unwrap();
    let third = shop.auth.refresh(second.refresh_token.expose()).await.unwrap();
    assert!(shop.auth.refresh(ada.tokens.refresh_token.expose()).await.is_err());
    assert!(shop.auth.refresh(third.refresh_token.expose()).await.is_err());
}

#[tokio::test]
async fn tokens_are_valid_to_the_last_second_of_their_lifetime() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    let (day, second) = (24 * 60 * 60, Duration::from_secs(1));
    shop.clock.advance(Duration::from_secs(7 * day - 1));
    assert!(shop.is_signed_in(&ada).await);
    shop.clock.advance(second);
    assert!(!shop.is_signed_in(&ada).await);

    shop.clock.advance(Duration::from_secs(23 * day - 1));
    let refresh_token = ada.tokens.refresh_token.expose();
    assert!(shop.auth.refresh(refresh_token).await.is_ok());
    shop.clock.advance(second);
    assert!(matches!(
        shop.auth.refresh(refresh_token).await,
        Err(AuthError::NotSignedIn)
    ));
}

#[tokio::test]
async fn access_and_refresh_tokens_are_not_interchangeable() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    assert!(matches!(
        shop.auth.refresh(ada.tokens.token.expose()).await,
        Err(AuthError::NotSignedIn)
    ));
    for token in [ada.tokens.refresh_token.expose(), "", "a.b.c", &"x".repeat(10_000)] {
        assert!(matches!(shop.authenticate(token).await, Err(AuthError::NotSignedIn)));
    }
}

#[tokio::test]
async fn role_changes_apply_to_the_next_request_and_one_admin_remains() {
    let shop = Shop::open(Settings {
        admin_second_factor: false,
        ..settings()
    })
    .await;
    let (ada, bob) = (
        shop.register("ada@example.com").await,
        shop.register("bob@example.com").await,
    );
    assert!(matches!(
        shop.auth.admin(shop.caller(&ada).await).await,
        Err(AuthError::Forbidden)
    ));
    shop.mark_verified("ada@example.com").await;
    assert_eq!(
        shop.auth
            .create_admin(&email("ada@example.com"), OTHER, "test")
            .await
            .unwrap(),
        AdminMade::Promoted
    );
    let admin = shop.auth.admin(shop.caller(&ada).await).await.unwrap();
    assert!(
        shop.log_in("ada@example.com", PASSWORD, &home()).await.is_ok(),
        "the password stays"
    );
    let last = shop.auth.change_role(&admin, ada.user.id, Role::User).await;
    assert!(matches!(last, Err(AuthError::Account(AccountError::LastAdmin))));
    shop.mark_verified("bob@example.com").await;
    shop.auth.change_role(&admin, bob.user.id, Role::Admin).await.unwrap();
    assert_eq!(shop.caller(&bob).await.role(), Role::Admin);
    // Two administrators resign at the same moment: one stays.
    let (one, two) = tokio::join!(
        shop.auth.change_role(&admin, ada.user.id, Role::User),
        shop.auth.change_role(&admin, bob.user.id, Role::User)
    );
    assert_eq!(
        [&one, &two].iter().filter(|result| result.is_ok()).count(),
        1,
        "{one:?} {two:?}"
    );
    assert_eq!(
        shop.auth
            .create_admin(&email("root@example.com"), OTHER, "test")
            .await
            .unwrap(),
        AdminMade::Created
    );
    assert_eq!(
        shop.log_in("root@example.com", OTHER, &home()).await.unwrap().user.role,
        Role::Admin
    );
}

#[tokio::test]
async fn a_password_change_ends_other_sessions_and_notifies_by_email() {
    let shop = Shop::open(settings()).await;
    let phone = shop.register("ada@example.com").await;
    let laptop = shop.log_in("ada@example.com", PASSWORD, &home()).await.unwrap();
    let caller = shop.caller(&laptop).await;
    let wrong = shop
        .auth
        .change_password(&caller, &Secret::new(OTHER), OTHER, &home())
        .await;
    assert!(matches!(wrong, Err(AuthError::WrongPassword)));
    let weak = shop
        .auth
        .change_password(&caller, &Secret::new(PASSWORD), "Password1", &home())
        .await;
    assert!(matches!(weak, Err(AuthError::Invalid(_))), "{weak:?}");
    assert!(shop.is_signed_in(&phone).await);
    shop.auth
        .change_password(&caller, &Secret::new(PASSWORD), OTHER, &home())
        .await
        .unwrap();
    assert!(shop.is_signed_in(&laptop).await && !shop.is_signed_in(&phone).await);
    assert!(shop.log_in("ada@example.com", PASSWORD, &home()).await.is_err());
    assert!(shop.log_in("ada@example.com", OTHER, &home()).await.is_ok());
    assert_eq!(shop.email_count("password-changed").await, 1);
}

#[tokio::test]
async fn a_reset_link_works_once_ends_all_sessions_and_hides_accounts() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    shop.auth
        .forgot_password(&email("nobody@example.com"), &home())
        .await
        .unwrap();
    assert_eq!(shop.email_count("reset").await, 0);
    shop.auth
        .forgot_password(&email("ada@example.com"), &home())
        .await
        .unwrap();
    let earlier = shop.email_field("reset", "token").await;
    shop.auth
        .forgot_password(&email("ada@example.com"), &home())
        .await
        .unwrap();
    let link = shop.email_field("reset", "token").await;
    let stored: i64 = shop
        .one(&format!(
            "select count(*) from one_time_codes where encode(hash, 'hex') = '{link}'"
        ))
        .await;
    assert_eq!(stored, 0, "only the keyed hash is stored");

    let weak = shop.auth.reset_password(&link, "short", &home()).await;
    assert!(matches!(weak, Err(AuthError::Invalid(_))));
    for bad in ["", "00", &"0".repeat(64)] {
        assert!(matches!(
            shop.auth.reset_password(bad, OTHER, &home()).await,
            Err(AuthError::LinkNotValid)
        ));
    }
    let here = home();
    let (one, two) = tokio::join!(
        shop.auth.reset_password(&link, OTHER, &here),
        shop.auth.reset_password(&link, OTHER, &here)
    );
    assert_eq!(
        [&one, &two].iter().filter(|result| result.is_ok()).count(),
        1,
        "{one:?} {two:?}"
    );
    assert!(!shop.is_signed_in(&ada).await);
    for used in [&link, &earlier] {
        assert!(matches!(
            shop.auth.reset_password(used, PASSWORD, &home()).await,
            Err(AuthError::LinkNotValid)
        ));
    }
    assert!(shop.log_in("ada@example.com", OTHER, &home()).await.is_ok());
    assert!(
        shop.profile(ada.user.id).await.email_verified,
        "the link went to that address"
    );

    shop.auth
        .forgot_password(&email("ada@example.com"), &home())
        .await
        .unwrap();
    let late = shop.email_field("reset", "token").await;
    shop.db
        .execute("update one_time_codes set created_at = now() - interval '1 hour', expires_at = now()")
        .await;
    assert!(matches!(
        shop.auth.reset_password(&late, PASSWORD, &home()).await,
        Err(AuthError::LinkNotValid)
    ));
}

#[tokio::test]
async fn an_address_is_verified_by_the_newest_code_within_five_attempts() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    let caller = shop.caller(&ada).await;
    let old = shop.email_field("welcome", "code").await;
    shop.auth.send_verification(&caller, &home()).await.unwrap();
    let code = shop.email_field("verification", "code").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for left in (0..5).rev() {
        let typed = if left == 4 && old != code { old.as_str() } else { wrong };
        let error = shop.auth.verify_email(&caller, typed, &home()).await.unwrap_err();
        assert!(
            matches!(error, AuthError::WrongCode { left: l } if l == left),
            "{error:?}"
        );
    }
    // The right code comes too late.
    assert!(matches!(
        shop.auth.verify_email(&caller, &code, &home()).await,
        Err(AuthError::CodeNotValid)
    ));
    shop.auth.send_verification(&caller, &home()).await.unwrap();
    let code = shop.email_field("verification", "code").await;
    shop.auth.verify_email(&caller, &code, &home()).await.unwrap();
    assert!(shop.profile(ada.user.id).await.email_verified && shop.caller(&ada).await.email_verified());
    assert!(matches!(
        shop.auth.verify_email(&caller, &code, &home()).await,
        Err(AuthError::CodeNotValid)
    ));
    let again = shop.auth.send_verification(&caller, &home()).await;
    assert!(matches!(again, Err(AuthError::Account(AccountError::AlreadyVerified))));
}

#[tokio::test]
async fn a_second_factor_is_required_and_each_code_works_once() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    shop.mark_verified("ada@example.com").await;
    shop.auth
        .create_admin(&email("ada@example.com"), OTHER, "test")
        .await
        .unwrap();
    let other_session = shop.log_in("ada@example.com", PASSWORD, &home()).await.unwrap();
    let caller = shop.caller(&ada).await;
    assert!(matches!(
        shop.auth.admin(caller.clone()).await,
        Err(AuthError::AdminNeedsSecondFactor)
    ));

    let wrong = shop
        .auth
        .offer_second_factor(&caller, &Secret::new(OTHER), &home())
        .await;
    assert!(matches!(wrong, Err(AuthError::WrongPassword)));
    let enrolment = shop
        .auth
        .offer_second_factor(&caller, &Secret::new(PASSWORD), &home())
        .await
        .unwrap();
    // Nothing changes until it is confirmed.
    assert!(shop.log_in("ada@example.com", PASSWORD, &home()).await.is_ok());
    let wrong = shop
        .auth
        .confirm_second_factor(&caller, &Secret::new("000"), &home())
        .await;
    assert!(matches!(wrong, Err(AuthError::SecondFactorWrong)));
    let code = totp::code_at(&enrolment, shop.clock.now()).unwrap();
    shop.auth
        .confirm_second_factor(&caller, &Secret::new(code.clone()), &home())
        .await
        .unwrap();
    assert!(shop.auth.admin(shop.caller(&ada).await).await.is_ok());
    assert!(!shop.is_signed_in(&other_session).await);

    assert!(matches!(
        shop.log_in("ada@example.com", PASSWORD, &home()).await,
        Err(AuthError::SecondFactorNeeded)
    ));
    assert!(
        matches!(
            shop.log_in_with_code("ada@example.com", &code).await,
            Err(AuthError::SecondFactorWrong)
        ),
        "used before"
    );
    let next = totp::code_at(&enrolment, shop.clock.now() + Duration::from_secs(30)).unwrap();
    let (one, two) = tokio::join!(
        shop.log_in_with_code("ada@example.com", &next),
        shop.log_in_with_code("ada@example.com", &next)
    );
    assert_eq!(
        [&one, &two].iter().filter(|result| result.is_ok()).count(),
        1,
        "a code works once"
    );
    let signed_in = one.or(two).unwrap();
    assert!(shop.auth.admin(shop.caller(&signed_in).await).await.is_ok());
    // A front-end without a field for the code takes it behind the password.
    let third = totp::code_at(&enrolment, shop.clock.now() + Duration::from_mins(1)).unwrap();
    shop.clock.advance(Duration::from_mins(1));
    let behind = |password: &str, code: &str| format!("{password} {code}");
    let log_in = async |typed: String| shop.log_in("ada@example.com", &typed, &home()).await;
    assert!(matches!(
        log_in(behind(OTHER, &third)).await,
        Err(AuthError::WrongCredentials)
    ));
    assert!(log_in(behind(PASSWORD, &third)).await.is_ok());
    assert!(matches!(
        log_in(behind(PASSWORD, &third)).await,
        Err(AuthError::SecondFactorWrong)
    ));
    // With a wrong password, no code is requested.
    assert!(matches!(
        shop.log_in("ada@example.com", OTHER, &home()).await,
        Err(AuthError::WrongCredentials)
    ));
    // The operator helps an owner who lost it: the action is recorded, the owner is notified, and all sessions end.
    let address = email("ada@example.com");
    assert!(shop.auth.reset_second_factor(&address, "shop-1").await.unwrap());
    assert!(!shop.is_signed_in(&ada).await && !shop.is_signed_in(&signed_in).await);
    let deed: String = shop
        .one("select action || ' ' || (subject_id = (select id from users))::text || ' ' || (admin_id is null)::text || details::text from audit_log where action <> 'user.role'")
        .await;
    assert_eq!(deed, "account.second_factor_reset true true{\"machine\": \"shop-1\"}");
    assert_eq!(shop.email_count("second-factor-reset").await, 1);
    let again = shop.log_in("ada@example.com", PASSWORD, &home()).await.unwrap();
    assert!(matches!(
        shop.auth.admin(shop.caller(&again).await).await,
        Err(AuthError::AdminNeedsSecondFactor)
    ));
    assert!(!shop.auth.reset_second_factor(&address, "shop-1").await.unwrap());
    assert_eq!(
        shop.email_count("second-factor-reset").await,
        1,
        "nothing happened, nothing is told"
    );
    let unknown = shop.auth.reset_second_factor(&email("eve@example.com"), "shop-1").await;
    assert!(matches!(unknown, Err(AuthError::Account(AccountError::NotFound))));
}

/// A user with an authenticator and ten recovery codes.
async fn with_second_factor(shop: &Shop, address: &str) -> (AuthData, totp::Enrolment, Vec<Secret>) {
    let signed_in = shop.register(address).await;
    let caller = shop.caller(&signed_in).await;
    let enrolment = shop
        .auth
        .offer_second_factor(&caller, &Secret::new(PASSWORD), &home())
        .await
        .unwrap();
    let code = Secret::new(totp::code_at(&enrolment, shop.clock.now()).unwrap());
    let codes = shop.auth.confirm_second_factor(&caller, &code, &home()).await.unwrap();
    (signed_in, enrolment, codes)
}

#[tokio::test]
async fn an_authenticator_code_is_accepted_from_the_step_before_its_own_to_the_end_of_the_next() {
    let shop = Shop::open(Settings {
        limits: false,
        ..settings()
    })
    .await;
    let (_, enrolment, _) = with_second_factor(&shop, "ada@example.com").await;
    let steps = shop.clock.now().timestamp() / 30;
    let begins = DateTime::from_timestamp((steps + 10) * 30, 0).unwrap();
    let code = totp::code_at(&enrolment, begins).unwrap();
    let at = async |seconds: i64| {
        shop.clock.set(begins + TimeDelta::seconds(seconds));
        match shop.log_in_with_code("ada@example.com", &code).await {
            Ok(_) => true,
            Err(AuthError::SecondFactorWrong) => false,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!((at(-31).await, at(60).await), (false, false));
    assert!(at(59).await, "clocks differ");
    assert!(!at(0).await, "it works once");
    let code = totp::code_at(&enrolment, begins + TimeDelta::seconds(120)).unwrap();
    shop.clock.set(begins + TimeDelta::seconds(90));
    assert!(shop.log_in_with_code("ada@example.com", &code).await.is_ok());
}

#[tokio::test]
async fn a_recovery_code_replaces_a_lost_authenticator_once() {
    let shop = Shop::open(Settings {
        limits: false,
        ..settings()
    })
    .await;
    let (ada, _, codes) = with_second_factor(&shop, "ada@example.com").await;
    let caller = shop.caller(&ada).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(shop.email_count("second-factor-added").await, 1);
    let stored: String = shop.one("select string_agg(t::text, '') from user_totp t").await;
    assert!(codes.iter().all(|code| !stored.contains(code.expose())), "only hashes");

    // Ten concurrent logins with the same code: one succeeds.
    let code = codes[0].expose().to_lowercase();
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (auth, code) = (shop.auth.clone(), code.clone());
        attempts.spawn(async move {
            let credentials = Credentials::check("ada@example.com", PASSWORD, Some(&code)).unwrap();
            auth.log_in(&credentials, &home()).await
        });
    }
    let attempts = attempts.join_all().await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    assert!(
        attempts
            .into_iter()
            .filter_map(Result::err)
            .all(|error| matches!(error, AuthError::SecondFactorWrong))
    );
    assert_eq!(shop.auth.recovery_codes_left(&caller).await.unwrap(), 9);
    assert!(
        shop.log_in_with_code("ada@example.com", codes[1].expose())
            .await
            .is_ok()
    );

    // New codes replace the old ones; a recovery code authorises this as well.
    let password = Secret::new(PASSWORD);
    let wrong = shop
        .auth
        .new_recovery_codes(&caller, &password, &codes[1], &home())
        .await;
    assert!(matches!(wrong, Err(AuthError::SecondFactorWrong)));
    let new = shop
        .auth
        .new_recovery_codes(&caller, &password, &codes[2], &home())
        .await
        .unwrap();
    assert!(matches!(
        shop.log_in_with_code("ada@example.com", codes[3].expose()).await,
        Err(AuthError::SecondFactorWrong)
    ));
    // Bob's codes do not work for Ada.
    let (_, _, bobs) = with_second_factor(&shop, "bob@example.com").await;
    assert!(matches!(
        shop.log_in_with_code("ada@example.com", bobs[0].expose()).await,
        Err(AuthError::SecondFactorWrong)
    ));
    shop.auth
        .remove_second_factor(&caller, &password, &new[0], &home())
        .await
        .unwrap();
    assert_eq!(shop.email_count("second-factor-removed").await, 1);
    assert!(shop.log_in("ada@example.com", PASSWORD, &home()).await.is_ok());
}

#[tokio::test]
async fn guesses_are_limited_without_locking_the_owner_out() {
    let shop = Shop::open(settings()).await;
    shop.register("ada@example.com").await;
    let mut refused = None;
    for i in 0..20 {
        let attacker = device(&format!("198.51.{i}.1"));
        match shop
            .log_in("ada@example.com", "Wrong1234", &attacker)
            .await
            .unwrap_err()
        {
            AuthError::WrongCredentials => assert!(refused.is_none()),
            AuthError::RateLimited { retry_after } => refused = Some(retry_after),
            error => panic!("{error:?}"),
        }
    }
    let retry_after = refused.unwrap();
    assert!(
        retry_after >= Duration::from_secs(1) && retry_after <= Duration::from_mins(1),
        "{retry_after:?}"
    );
    // The same for an address without an account.
    for i in 0..11 {
        let attacker = device(&format!("198.51.{i}.2"));
        let error = shop
            .log_in("nobody@example.com", "Wrong1234", &attacker)
            .await
            .unwrap_err();
        assert_eq!(matches!(error, AuthError::RateLimited { .. }), i == 10, "{i} {error:?}");
    }
    // The owner at home, and a client elsewhere with the right password.
    assert!(
        shop.log_in("ada@example.com", PASSWORD, &device("203.0.113.200"))
            .await
            .is_ok()
    );
    let away = device("192.0.2.55");
    assert!(matches!(
        shop.log_in("ada@example.com", PASSWORD, &away).await,
        Err(AuthError::RateLimited { .. })
    ));
    // The reset link makes the new network known.
    shop.auth
        .forgot_password(&email("ada@example.com"), &away)
        .await
        .unwrap();
    let link = shop.email_field("reset", "token").await;
    shop.auth.reset_password(&link, OTHER, &away).await.unwrap();
    assert!(shop.log_in("ada@example.com", OTHER, &away).await.is_ok());
}

#[tokio::test]
async fn correct_passwords_are_unlimited_per_account_but_not_per_address() {
    let shop = Shop::open(settings()).await;
    shop.register("ada@example.com").await;
    for _ in 0..15 {
        shop.log_in("ada@example.com", PASSWORD, &home()).await.unwrap();
    }
    let attacker = device("198.51.100.1");
    let mut outcomes = Vec::new();
    for i in 0..40 {
        outcomes.push(
            shop.log_in(&format!("user{i}@example.com"), "Wrong1234", &attacker)
                .await
                .unwrap_err()
                .code(),
        );
    }
    assert!(
        outcomes[..30].iter().all(|code| *code == "wrong_credentials"),
        "{outcomes:?}"
    );
    assert!(outcomes[32..].contains(&"rate_limited"), "{outcomes:?}");
    // No limit's key contains an e-mail address.
    let named: i64 = shop
        .one("select count(*) from rate_limits where key like '%example.com%'")
        .await;
    assert_eq!(named, 0);
}

#[tokio::test]
async fn only_logins_from_a_new_network_are_notified_by_email() {
    let shop = Shop::open(settings()).await;
    shop.register("ada@example.com").await;
    shop.log_in("ada@example.com", PASSWORD, &device("203.0.113.99"))
        .await
        .unwrap();
    assert_eq!(shop.email_count("new-device").await, 0);
    let away = device("192.0.2.55");
    assert!(shop.log_in("ada@example.com", OTHER, &away).await.is_err());
    assert_eq!(
        shop.email_count("new-device").await,
        0,
        "a failure makes no place known and writes no letter"
    );
    shop.log_in("ada@example.com", PASSWORD, &away).await.unwrap();
    assert_eq!(shop.email_field("new-device", "address").await, "192.0.2.55");
    shop.log_in("ada@example.com", PASSWORD, &away).await.unwrap();
    assert_eq!(shop.email_count("new-device").await, 1);
}

async fn game(db: &TestDb, name: &str) -> GameId {
    let id: Uuid = sqlx::query_scalar(
        "insert into games (title, slug, description, price, image, release_date) values ($1, $1, 'd', 5, 'i', now()) returning id",
    )
    .bind(name)
    .fetch_one(&db.sql)
    .await
    .unwrap();
    GameId(id)
}

#[tokio::test]
async fn profile_fields_change_independently() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await.user.id;
    let store = &shop.db.store;
    let change = |nickname, first, last| ProfileChange::check(nickname, first, last, None).unwrap();
    accounts::change_profile(store, ada, &change(Some("Ada"), Some("Augusta"), Some("King")))
        .await
        .unwrap();
    accounts::change_profile(store, ada, &change(None, Some(""), None))
        .await
        .unwrap();
    let facts = shop.profile(ada).await;
    assert_eq!(
        (
            facts.nickname.as_deref(),
            facts.first_name.as_deref(),
            facts.last_name.as_deref()
        ),
        (Some("Ada"), None, Some("King"))
    );
    let missing = accounts::change_profile(store, UserId(Uuid::new_v4()), &ProfileChange::default()).await;
    assert!(matches!(missing, Err(AccountError::NotFound)));
}

#[tokio::test]
async fn deleting_an_account_without_purchases_leaves_nothing() {
    let shop = Shop::open(settings()).await;
    let ada = shop.register("ada@example.com").await;
    let portal = game(&shop.db, "portal").await;
    let caller = shop.caller(&ada).await;
    carts::add(&shop.db.store, caller.principal(), portal, 1, CartLimits::default())
        .await
        .unwrap();
    let wrong = shop
        .auth
        .delete_account(&caller, &Secret::new(OTHER), false, &home())
        .await;
    assert!(matches!(wrong, Err(AuthError::WrongPassword)));
    assert_eq!(
        shop.auth
            .delete_account(&caller, &Secret::new(PASSWORD), false, &home())
            .await
            .unwrap(),
        Deleted::Completely
    );
    assert!(!shop.is_signed_in(&ada).await);
    for table in [
        "users",
        "shoppers",
        "cart_items",
        "user_sessions",
        "one_time_codes",
        "mail_outbox where kind <> 'account-deleted'",
        "login_history",
    ] {
        assert_eq!(
            shop.one::<i64>(&format!("select count(*) from {table}")).await,
            0,
            "{table}"
        );
    }
    shop.register("ada@example.com").await;
}

#[tokio::test]
async fn orders_and_transactions_of_a_deleted_account_stay_anonymous() {
    let shop = Shop::open(settings()).await;
    let zoltan = shop.register("zoltan@example.com").await;
    let caller = shop.caller(&zoltan).await;
    shop.db
        .execute(&format!(
            "begin;
             insert into transactions (user_id, type, amount, status, gateway_response)
             values ('{0}', 'TOP_UP', 20, 'COMPLETED', '{{\"email\": \"zoltan@example.com\", \"name\": \"Zoltan\", \"reference\": 7}}');
             update users set balance = 20 where id = '{0}';
             commit",
            zoltan.user.id
        ))
        .await;
    let password = Secret::new(PASSWORD);
    let refused = shop.auth.delete_account(&caller, &password, false, &home()).await;
    assert!(matches!(refused, Err(AuthError::Account(AccountError::HasBalance))));
    assert!(shop.is_signed_in(&zoltan).await, "a refusal changes nothing");
    assert_eq!(
        shop.auth
            .delete_account(&caller, &password, true, &home())
            .await
            .unwrap(),
        Deleted::Anonymised
    );

    assert!(!shop.is_signed_in(&zoltan).await);
    assert!(shop.log_in("zoltan@example.com", PASSWORD, &home()).await.is_err());
    let sums: String = shop
        .one("select u.balance || ' ' || sum(t.amount) from users u join transactions t on t.user_id = u.id group by u.id")
        .await;
    assert_eq!(sums, "20.00 20.00");
    let everything: String = shop
        .one("select (select jsonb_agg(u) from users u)::text || (select jsonb_agg(t) from transactions t)::text")
        .await;
    assert!(
        !everything.to_lowercase().contains("zoltan") && everything.contains("\"gateway_response\": null"),
        "{everything}"
    );
    assert_eq!(shop.email_count("account-deleted").await, 1);
    for table in [
        "user_sessions",
        "one_time_codes",
        "mail_outbox where kind <> 'account-deleted'",
    ] {
        assert_eq!(
            shop.one::<i64>(&format!("select count(*) from {table}")).await,
            0,
            "{table}"
        );
    }
    assert_eq!(
        shop.one::<i64>("select count(*) from login_history where user_id is not null")
            .await,
        0
    );
    // The address is free again.
    shop.register("zoltan@example.com").await;
}

#[tokio::test]
async fn accounts_with_open_top_ups_or_admin_records_can_be_deleted() {
    let shop = Shop::open(Settings {
        admin_second_factor: false,
        ..settings()
    })
    .await;
    shop.auth
        .create_admin(&email("root@example.com"), OTHER, "test")
        .await
        .unwrap();
    for (address, record) in [
        (
            "ada@example.com",
            "insert into top_ups (user_id, amount, method, provider, redirect_url)
             values ('{user}', 20, 'card', 'test', 'https://pay.example/ada')",
        ),
        (
            "bob@example.com",
            "update users set role = 'ADMIN' where id = '{user}';
             insert into audit_log (admin_id, action, subject_kind, subject_id)
             values ('{user}', 'balance.adjust', 'user', '{user}')",
        ),
    ] {
        let signed_in = shop.register(address).await;
        let caller = shop.caller(&signed_in).await;
        shop.db
            .execute(&record.replace("{user}", &signed_in.user.id.to_string()))
            .await;
        let left = shop
            .auth
            .delete_account(&caller, &Secret::new(PASSWORD), false, &home())
            .await;
        assert_eq!(left.unwrap(), Deleted::Anonymised, "{address}");
        assert!(!shop.is_signed_in(&signed_in).await);
    }
    let intent: String = shop
        .one("select status::text || coalesce(redirect_url, '') from top_ups")
        .await;
    assert_eq!(intent, "CANCELLED", "nobody is led to pay for it any more");
}

#[tokio::test]
async fn the_verified_owner_of_an_address_reclaims_it_from_a_squatter() {
    let shop = Shop::open(settings()).await;
    // An attacker registers Ada's address and locks it with their own authenticator.
    let squatter = shop.register("ada@example.com").await;
    let caller = shop.caller(&squatter).await;
    let enrolment = shop
        .auth
        .offer_second_factor(&caller, &Secret::new(PASSWORD), &home())
        .await
        .unwrap();
    let code = totp::code_at(&enrolment, shop.clock.now()).unwrap();
    shop.auth
        .confirm_second_factor(&caller, &Secret::new(code), &home())
        .await
        .unwrap();

    shop.auth
        .forgot_password(&email("ada@example.com"), &device("198.51.100.1"))
        .await
        .unwrap();
    let link = shop.email_field("reset", "token").await;
    shop.auth
        .reset_password(&link, OTHER, &device("198.51.100.1"))
        .await
        .unwrap();
    let ada = shop
        .log_in("ada@example.com", OTHER, &device("198.51.100.1"))
        .await
        .unwrap();
    assert!(!shop.is_signed_in(&squatter).await);

    // After an address is verified, a reset link alone does not open the account.
    let caller = shop.caller(&ada).await;
    let enrolment = shop
        .auth
        .offer_second_factor(&caller, &Secret::new(OTHER), &home())
        .await
        .unwrap();
    let code = totp::code_at(&enrolment, shop.clock.now()).unwrap();
    shop.auth
        .confirm_second_factor(&caller, &Secret::new(code), &home())
        .await
        .unwrap();
    shop.auth
        .forgot_password(&email("ada@example.com"), &home())
        .await
        .unwrap();
    let link = shop.email_field("reset", "token").await;
    shop.auth.reset_password(&link, PASSWORD, &home()).await.unwrap();
    assert!(matches!(
        shop.log_in("ada@example.com", PASSWORD, &home()).await,
        Err(AuthError::SecondFactorNeeded)
    ));
}

#[tokio::test]
async fn registering_the_operators_address_first_grants_no_admin_role() {
    let shop = Shop::open(Settings {
        admin_second_factor: false,
        ..settings()
    })
    .await;
    let squatter = shop.register("owner@example.com").await;
    assert_eq!(
        shop.auth
            .create_admin(&email("owner@example.com"), OTHER, "test")
            .await
            .unwrap(),
        AdminMade::Reclaimed
    );
    assert!(!shop.is_signed_in(&squatter).await);
    assert!(matches!(
        shop.log_in("owner@example.com", PASSWORD, &home()).await,
        Err(AuthError::WrongCredentials)
    ));
    let owner = shop.log_in("owner@example.com", OTHER, &home()).await.unwrap();
    assert!(shop.auth.admin(shop.caller(&owner).await).await.is_ok());
}

#[tokio::test]
async fn sessions_are_listed_and_ended_only_by_their_owner() {
    let shop = Shop::open(settings()).await;
    let phone = shop.register("ada@example.com").await;
    let laptop = shop
        .log_in("ada@example.com", PASSWORD, &device("203.0.113.8"))
        .await
        .unwrap();
    let (ada, bob) = (
        shop.caller(&laptop).await,
        shop.caller(&shop.register("bob@example.com").await).await,
    );
    let listed = shop.auth.sessions(&ada).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (listed[0].id, listed[0].address.as_deref()),
        (ada.session(), Some("203.0.113.8"))
    );
    shop.auth.end_session(&bob, listed[1].id).await.unwrap();
    assert!(shop.is_signed_in(&phone).await, "bob cannot end ada's");
    assert_eq!(shop.auth.end_other_sessions(&ada).await.unwrap(), 1);
    assert!(!shop.is_signed_in(&phone).await && shop.is_signed_in(&laptop).await);
    // Expired sessions are deleted.
    shop.db
        .execute("update user_sessions set created_at = now() - interval '31 days', expires_at = now()")
        .await;
    assert!(!shop.is_signed_in(&laptop).await);
    assert_eq!(sessions::sweep(&shop.db.store).await.unwrap(), 2);
}

/// Rows as npm's validator 13.15 and bcrypt 6.0 left them in the database of the existing shop.
#[tokio::test]
async fn existing_customers_can_log_in_and_their_hash_is_renewed() {
    let shop = Shop::open(Settings {
        limits: false,
        ..settings()
    })
    .await;
    let long = format!("Ab1{}", "é".repeat(40));
    let apart = "Zu\u{308}rich-2027";
    for (n, (stored, typed, password)) in [
        ("user@m\u{fc}nchen.de", "User@M\u{fc}nchen.de", PASSWORD),
        ("j\u{f6}rg@example.com", "J\u{f6}rg@example.com", PASSWORD),
        ("\"ada lovelace\"@example.com", "\"Ada Lovelace\"@example.com", PASSWORD),
        ("a.@hotmail.com", "a.+c@hotmail.com", PASSWORD),
        ("grace@example.com", "grace@example.com", long.as_str()),
        ("yves@example.com", "yves@example.com", apart),
        ("mu\u{308}ller@example.com", "m\u{fc}ller@example.com", PASSWORD),
        ("g\u{f6}ran@example.com", "go\u{308}ran@example.com", PASSWORD),
        ("\"\"@example.com", "\"\"@example.com", PASSWORD),
    ]
    .into_iter()
    .enumerate()
    {
        let cut = &password.as_bytes()[..password.len().min(72)];
        let hash = bcrypt::hash(cut, 4).unwrap().replacen("$2b$", "$2a$", 1);
        sqlx::query("insert into users (email, password_hash) values ($1, $2)")
            .bind(stored)
            .bind(&hash)
            .execute(&shop.db.sql)
            .await
            .unwrap();
        for round in 0..2 {
            let signed_in = shop.log_in(typed, password, &home()).await;
            let signed_in = signed_in.unwrap_or_else(|error| panic!("{stored} {round}: {error:?}"));
            assert_eq!(signed_in.user.email, stored);
        }
        assert!(matches!(
            shop.log_in(typed, "Wrong1234", &home()).await,
            Err(AuthError::WrongCredentials)
        ));
        let renewed: i64 = shop
            .one("select count(*) from users where password_hash like '$2b$04$%'")
            .await;
        assert_eq!(renewed, i64::try_from(n).unwrap() + 1, "{stored}");
    }
    // And from a device that types accents in composed form.
    assert!(
        shop.log_in("yves@example.com", "Z\u{fc}rich-2027", &home())
            .await
            .is_ok()
    );
    // A reset link is sent as well; registration stays strict.
    shop.auth
        .forgot_password(&Email::of_existing_account("user@m\u{fc}nchen.de").unwrap(), &home())
        .await
        .unwrap();
    assert_eq!(shop.email_count("reset").await, 1);
    // However its accents are typed, to the address as it is stored.
    for typed in ["m\u{fc}ller@example.com", "mu\u{308}ller@example.com"] {
        let email = Email::of_existing_account(typed).unwrap();
        shop.auth.forgot_password(&email, &home()).await.unwrap();
    }
    let to: i64 = shop
        .one("select count(*) from mail_outbox where kind = 'reset' and recipient = U&'mu\\0308ller@example.com'")
        .await;
    assert_eq!(to, 2);
    // Nothing is promised where no e-mail can go.
    for address in ["\"\"@example.com", "a.@hotmail.com"] {
        let email = Email::of_existing_account(address).unwrap();
        let refused = shop.auth.forgot_password(&email, &home()).await;
        assert!(
            matches!(&refused, Err(AuthError::Invalid(errors)) if errors[0].code == "email_unreachable"),
            "{refused:?}"
        );
    }
    let unreachable = shop.log_in("\"\"@example.com", PASSWORD, &home()).await.unwrap();
    let refused = shop
        .auth
        .send_verification(&shop.caller(&unreachable).await, &home())
        .await;
    assert!(matches!(refused, Err(AuthError::Invalid(_))), "{refused:?}");
    assert_eq!(shop.email_count("reset").await, 3);
    assert!(Registration::check("neu@m\u{fc}nchen.de", PASSWORD, None, None, None).is_err());
}

#[tokio::test]
async fn sessions_expire_after_90_days_and_staff_sessions_earlier() {
    let shop = Shop::open(Settings {
        admin_second_factor: false,
        limits: false,
        ..settings()
    })
    .await;
    shop.auth
        .create_admin(&email("root@example.com"), OTHER, "test")
        .await
        .unwrap();
    let shopper = shop.register("ada@example.com").await;
    let staff = shop.log_in("root@example.com", OTHER, &home()).await.unwrap();
    let age = async |created: &str, used: &str| {
        shop.db
            .execute(&format!(
                "update user_sessions set created_at = now() - interval '{created}', last_used_at = now() - interval '{used}',
                        expires_at = now() + interval '20 days'"
            ))
            .await;
        (shop.is_signed_in(&shopper).await, shop.is_signed_in(&staff).await)
    };
    assert_eq!(age("6 days 23 hours", "11 hours").await, (true, true));
    assert_eq!(age("6 days", "13 hours").await, (true, false));
    assert_eq!(age("7 days 1 hour", "1 minute").await, (true, false));
    assert_eq!(age("89 days", "19 days").await, (true, false));
    assert_eq!(age("91 days", "1 minute").await, (false, false));
    // Neither use nor a refresh revives it.
    let refresh_token = shopper.tokens.refresh_token.expose();
    assert!(matches!(
        shop.auth.refresh(refresh_token).await,
        Err(AuthError::NotSignedIn)
    ));
    shop.db
        .execute("update user_sessions set created_at = now() - interval '3 days', last_used_at = now() - interval '13 hours'")
        .await;
    let session = shop
        .one::<Uuid>("select s.id from user_sessions s join users u on u.id = s.user_id where u.role = 'ADMIN'")
        .await;
    sessions::touch(&shop.db.store, SessionId(session)).await.unwrap();
    assert_eq!(
        (shop.is_signed_in(&shopper).await, shop.is_signed_in(&staff).await),
        (true, false)
    );
}

#[tokio::test]
async fn reset_requests_take_the_same_time_with_and_without_an_account() {
    let floor = Duration::from_millis(400);
    let shop = Shop::open(Settings {
        limits: false,
        reset_time: floor,
        ..settings()
    })
    .await;
    shop.register("ada@example.com").await;
    for address in ["ada@example.com", "nobody@example.com"] {
        let began = tokio::time::Instant::now();
        shop.auth.forgot_password(&email(address), &home()).await.unwrap();
        assert!(began.elapsed() >= floor, "{address}: {:?}", began.elapsed());
    }
    assert_eq!(shop.email_count("reset").await, 1);
}
