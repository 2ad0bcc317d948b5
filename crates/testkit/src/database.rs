//! A private database for each test.

use lockstep_store::{Options, Store};
use lockstep_vault::Keys;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

/// The secrets with which stores of [`TestDb`] seal e-mails.
pub fn secrets() -> Keys {
    Keys::parse(&"11".repeat(32)).expect("a secret")
}

/// A fresh database with the schema and no rows; dropped with the value.
#[derive(Debug)]
pub struct TestDb {
    /// The product's own access to it.
    pub store: Store,
    /// Plain SQL, as `psql` would send it: for tests that try to break a rule or change data without Lockstep.
    pub sql: PgPool,
    url: String,
    name: String,
    server: PgConnectOptions,
}

impl TestDb {
    /// Creates a database. Takes some tens of milliseconds.
    pub async fn new() -> Self {
        let server_url = crate::server::url();
        let server: PgConnectOptions = server_url.parse().expect("test server address");
        let template = template(&server).await;
        Self::made_from(server, &template).await
    }

    /// Creates a database without the schema.
    pub async fn empty() -> Self {
        let server: PgConnectOptions = crate::server::url().parse().expect("test server address");
        Self::made_from(server, "template0").await
    }

    async fn made_from(server: PgConnectOptions, template: &str) -> Self {
        let name = format!("t_{}", Uuid::new_v4().simple());
        let mut admin = server.clone().connect().await.expect("test server");
        create(&mut admin, &format!("create database {name} template {template}")).await;
        admin.close().await.ok();
        let url = server.clone().database(&name).to_url_lossy().to_string();
        let store = Store::new(&url, &Options::default()).expect("store");
        store.seal_mail_with(secrets());
        let sql = PgPool::connect_lazy_with(server.clone().database(&name));
        Self {
            store,
            sql,
            url,
            name,
            server,
        }
    }

    /// URL of this database, for another process or another [`Store`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of this database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements as `psql` would.
    pub async fn execute(&self, statements: &str) {
        self.sql
            .execute(AssertSqlSafe(statements.to_owned()))
            .await
            .expect("plain SQL");
    }

    /// Enables the triggers by which a game of the shop's own is in stock while an unsold key of it is stored, as in
    /// production. They are disabled in a new test database, where the test sets the stock.
    pub async fn keep_own_stock(&self) {
        own_stock(&self.server.clone().database(&self.name), "enable").await;
    }

    /// Number of rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        let question = AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(question)
            .fetch_one(&self.sql)
            .await
            .expect("a count")
    }

    /// The contents of the queued e-mails of a kind, as JSON, in the order of writing.
    pub async fn queued_emails(&self, kind: &str) -> Vec<serde_json::Value> {
        let sealed: Vec<(Uuid, Vec<u8>)> =
            sqlx::query_as("select id, sealed from mail_outbox where kind = $1 and sealed is not null order by seq")
                .bind(kind)
                .fetch_all(&self.sql)
                .await
                .expect("e-mails");
        let open = |(id, sealed): &(Uuid, Vec<u8>)| {
            let plain = secrets()
                .open(&lockstep_store::mail::place(*id), sealed)
                .expect("our secrets");
            serde_json::from_slice(&plain).expect("JSON")
        };
        sealed.iter().map(open).collect()
    }

    /// The newest of these e-mails.
    pub async fn queued_email(&self, kind: &str) -> serde_json::Value {
        self.queued_emails(kind)
            .await
            .pop()
            .expect("an e-mail of this kind waits")
    }

    /// Makes new sessions read-only, as hosting providers do when the disk is full, or reverts that.
    pub async fn set_read_only(&self, on: bool) {
        let value = if on { "on" } else { "off" };
        let mut admin = self.server.clone().connect().await.expect("test server");
        let statement = format!(
            "alter database {} set default_transaction_read_only = {value}",
            self.name
        );
        admin.execute(AssertSqlSafe(statement)).await.expect("read-only or not");
    }

    /// Terminates every other connection to this database, as an administrator or a restart would.
    pub async fn cut_connections(&self) {
        let mut admin = self.server.clone().connect().await.expect("test server");
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(&self.name)
            .execute(&mut admin)
            .await
            .expect("terminate");
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), std::mem::take(&mut self.name));
        // Drop cannot block the test's runtime; a thread with a small runtime of its own can.
        let _unused = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut admin = server.connect().await.ok()?;
                admin
                    .execute(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
                    .await
                    .ok()
            })
        })
        .join();
    }
}

/// The template database with the schema of this build; the first caller creates it.
async fn template(server: &PgConnectOptions) -> String {
    static MADE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(|| async {
        let name = format!("template_{}", lockstep_store::migrations::digest());
        let mut admin = server.clone().connect().await.expect("test server");
        sqlx::query("select pg_advisory_lock(4711)")
            .execute(&mut admin)
            .await
            .expect("lock");
        let exists: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut admin)
            .await
            .expect("databases");
        if !exists {
            let building = format!("building_{}", Uuid::new_v4().simple());
            create(&mut admin, &format!("create database {building}")).await;
            let url = server.clone().database(&building).to_url_lossy().to_string();
            let store = Store::new(&url, &Options::default()).expect("store");
            store.migrate().await.expect("migrations");
            store.close().await;
            // Most tests sell games of the shop's own and have no key for them.
            own_stock(&server.clone().database(&building), "disable").await;
            create(&mut admin, &format!("alter database {building} rename to {name}")).await;
        }
        sqlx::query("select pg_advisory_unlock(4711)")
            .execute(&mut admin)
            .await
            .expect("unlock");
        admin.close().await.ok();
        name
    })
    .await
    .clone()
}

/// Enables or disables the triggers that derive the stock of the shop's own games from their keys.
async fn own_stock(database: &PgConnectOptions, switch: &str) {
    let mut connection = database.clone().connect().await.expect("test database");
    let statements = format!(
        "alter table games {switch} trigger games_own_stock;
         alter table game_keys {switch} trigger game_keys_keep_stock_insert;
         alter table game_keys {switch} trigger game_keys_keep_stock_update;
         alter table game_keys {switch} trigger game_keys_keep_stock_delete;
         alter table game_keys {switch} trigger game_keys_keep_stock_truncate"
    );
    connection.execute(AssertSqlSafe(statements)).await.expect("triggers");
    connection.close().await.ok();
}

/// Creating from a template fails while another session is connected to it: retry.
async fn create(admin: &mut PgConnection, statement: &str) {
    for attempt in 0..200 {
        match admin.execute(AssertSqlSafe(statement.to_owned())).await {
            Ok(_) => return,
            Err(error)
                if attempt < 199
                    && error
                        .as_database_error()
                        .is_some_and(|e| e.code().as_deref() == Some("55006")) =>
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
}
