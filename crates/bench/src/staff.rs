//! Staff's questions: does a list, a search, the dashboard or a file cost more in a shop a hundred times as large?
//!
//! Two shops are asked alternately over HTTP by their owner, one request at a time: one with ten thousand users, orders
//! and keys, and one with a million of each and 100,000 games. The small one is the reference of the large one. Files
//! are timed to their first byte, and read whole once to see the server's memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lockstep_domain::ids::KeyId;
use lockstep_store::fulfilment::keys::{HASH, place};
use lockstep_testkit::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::client::{self, Connection};
use crate::figures::{Aim, Figure, Section, Times, milliseconds, number};
use crate::servers::{self, Database, Role, Server};
use crate::{Run, catalogue, say};

/// Target for the 99th percentile of a list or search, in milliseconds.
const LIST: f64 = 50.0;
/// The same for the dashboard.
const DASHBOARD: f64 = 100.0;
/// Target for the first byte of a file, in milliseconds.
const FIRST_BYTE: f64 = 200.0;
/// Target for imported keys a second.
const IMPORTED: f64 = 20_000.0;
/// Target for how much more memory a large file needs than a small one, in mebibytes.
const MEMORY: f64 = 32.0;

const EMAIL: &str = "owner@example.com";
const PASSWORD: &str = "Correct-Horse-1";

/// A request with a part that changes with each turn.
type Question = fn(&Samples, usize) -> String;

const LISTS: [(&str, f64, Question); 25] = [
    ("dashboard", DASHBOARD, |_, _| "/api/admin/dashboard".into()),
    ("orders, pages 1-5", LIST, |_, turn| {
        format!("/api/admin/orders?page={}", 1 + turn % 5)
    }),
    ("orders that failed", LIST, |_, turn| {
        format!("/api/admin/orders?status=FAILED&page={}", 1 + turn % 5)
    }),
    ("orders, 1,000 a page", LIST, |_, _| {
        "/api/admin/orders?pageSize=1000".into()
    }),
    ("one order", LIST, |samples, turn| {
        format!("/api/admin/orders/{}", Samples::at(&samples.orders, turn))
    }),
    ("users, pages 1-5", LIST, |_, turn| {
        format!("/api/admin/users?page={}", 1 + turn % 5)
    }),
    ("users by a part of a name", LIST, |samples, turn| {
        format!("/api/admin/users?query={}", Samples::at(&samples.parts, turn))
    }),
    ("users by their address", LIST, |samples, turn| {
        format!("/api/admin/users?email={}", Samples::at(&samples.emails, turn))
    }),
    ("one user", LIST, |samples, turn| {
        format!("/api/admin/users/{}", Samples::at(&samples.users, turn))
    }),
    ("activity of one user", LIST, |samples, turn| {
        format!("/api/admin/users/{}/activity", Samples::at(&samples.users, turn))
    }),
    ("transactions, pages 1-5", LIST, |_, turn| {
        format!("/api/admin/transactions?page={}", 1 + turn % 5)
    }),
    ("transactions of one method", LIST, |_, _| {
        "/api/admin/transactions?method=stripe".into()
    }),
    ("payments", LIST, |_, turn| {
        format!("/api/admin/payments/transactions?page={}", 1 + turn % 5)
    }),
    ("carts", LIST, |_, turn| {
        format!("/api/admin/carts?page={}", 1 + turn % 5)
    }),
    ("wishlists", LIST, |_, turn| {
        format!("/api/admin/wishlists?page={}", 1 + turn % 5)
    }),
    ("statistics of wishlists", LIST, |_, _| {
        "/api/admin/wishlists/statistics".into()
    }),
    ("games, pages 1-5", LIST, |_, turn| {
        format!("/api/admin/games?page={}", 1 + turn % 5)
    }),
    ("games, 1,000 a page", LIST, |_, _| {
        "/api/admin/games?pageSize=1000".into()
    }),
    ("one game", LIST, |samples, turn| {
        format!("/api/admin/games/{}", Samples::at(&samples.games, turn))
    }),
    ("genres with counts", LIST, |_, _| "/api/admin/genres".into()),
    ("keys, pages 1-5", LIST, |_, turn| {
        format!("/api/admin/game-keys?page={}", 1 + turn % 5)
    }),
    ("a whole key", LIST, |_, turn| {
        format!("/api/admin/game-keys?search={}", key_text(1 + turn % 5_000))
    }),
    ("keys of one game", LIST, |samples, turn| {
        format!("/api/admin/game-keys?gameId={}", Samples::at(&samples.games, turn))
    }),
    ("statistics of keys", LIST, |_, _| {
        "/api/admin/game-keys/statistics".into()
    }),
    ("e-mail queue", LIST, |_, _| "/api/admin/email-queue?state=sent".into()),
];

const FILES: [(&str, &str); 3] = [
    ("orders", "/api/admin/orders?format=csv"),
    ("users", "/api/admin/users?format=csv"),
    ("transactions", "/api/admin/transactions?format=csv"),
];

/// What there is to ask for.
struct Samples {
    orders: Vec<String>,
    users: Vec<String>,
    games: Vec<String>,
    emails: Vec<String>,
    /// Parts of nicknames.
    parts: Vec<String>,
}

impl Samples {
    fn at(of: &[String], turn: usize) -> &str {
        of.get(turn % of.len().max(1)).map_or("", String::as_str)
    }
}

/// A shop that its owner asks.
struct Shop {
    server: Server,
    token: String,
    samples: Samples,
}

impl Shop {
    async fn open(run: &Run, name: &str, games: usize, count: usize) -> Result<Self> {
        let database = run.cluster.database(name).await?;
        let began = Instant::now();
        catalogue::fill(&database, games).await?;
        fill(&database, count).await?;
        say(&format!(
            "filled a shop of {count} users, orders and keys in {:.0} s",
            began.elapsed().as_secs_f64()
        ));
        let server = Server::start(&Role::Api {
            database: database.url.clone(),
            l1_bytes: lockstep_cache::Config::default().l1_bytes,
        })
        .await?;
        let column = async |query: &str| {
            sqlx::query_scalar(AssertSqlSafe(format!("{query} limit 300")))
                .fetch_all(&database.sql)
                .await
        };
        let samples = Samples {
            orders: column("select id::text from orders order by md5(id::text)").await?,
            users: column("select id::text from users order by md5(id::text)").await?,
            games: column("select id::text from games where withdrawn_at is null order by md5(id::text)").await?,
            emails: column("select email from users order by md5(id::text)").await?,
            parts: column("select substr(nickname, 7, 6) from users where nickname is not null order by md5(id::text)")
                .await?,
        };
        Ok(Self {
            token: owner(&database, &server).await?,
            server,
            samples,
        })
    }

    /// Asks until there are `most` answers or `time` is over.
    async fn ask(&self, question: Question, most: usize, time: Duration) -> Result<Times> {
        let mut connection = Connection::open(self.server.address).await?;
        let mut times = Times::default();
        let end = Instant::now() + time;
        for turn in 0..most {
            let path = question(&self.samples, turn);
            let request = client::request("GET", &path, Some(&self.token), "");
            let began = Instant::now();
            connection.ask(&request).await.with_context(|| path.clone())?;
            times.add(began.elapsed());
            if Instant::now() > end {
                break;
            }
        }
        Ok(times)
    }

    /// Time until the first byte of a file's first line, and the number of bytes of the file, of which at most `most`
    /// are read.
    async fn file(&self, path: &str, most: usize) -> Result<(Duration, usize)> {
        let mut stream = TcpStream::connect(self.server.address).await?;
        let began = Instant::now();
        stream
            .write_all(&client::request("GET", path, Some(&self.token), ""))
            .await?;
        let (mut buffer, mut head) = (vec![0; 256 << 10], Vec::new());
        let (mut first, mut read) = (None, 0);
        while read < most {
            let got = tokio::time::timeout(Duration::from_mins(2), stream.read(&mut buffer)).await??;
            let some = buffer.get(..got).unwrap_or_default();
            if first.is_none() {
                head.extend_from_slice(some);
                let text = String::from_utf8_lossy(&head);
                ensure!(
                    !text.starts_with("HTTP/1.1") || text.starts_with("HTTP/1.1 200"),
                    "{path}: {text}"
                );
                if text.split_once("\r\n\r\n").is_some_and(|(_, body)| !body.is_empty()) {
                    ensure!(text.contains("text/csv"), "{path} is no file: {text}");
                    first = Some(began.elapsed());
                }
            }
            read += got;
            // Chunks: the last one is empty.
            if got == 0 || some.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        Ok((first.with_context(|| format!("{path}: no byte"))?, read))
    }
}

/// Fills a database that has games, with `count` users, orders and keys.
async fn fill(database: &Database, count: usize) -> Result<()> {
    let mut connection = PgConnection::connect(&database.url).await?;
    connection
        .execute("create unlogged table bench_keys (n bigint primary key, id uuid, sealed bytea, hash bytea)")
        .await?;
    let keys = servers::keys()?;
    let numbers: Vec<i64> = (1..=i64::try_from(count)?).collect();
    for some in numbers.chunks(10_000) {
        let (mut ids, mut sealed, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for n in some {
            let id = Uuid::new_v4();
            let text = key_text(usize::try_from(*n)?);
            ids.push(id);
            sealed.push(keys.seal(&place(KeyId(id)), text.as_bytes()));
            hashes.push(keys.hash(HASH, &[text.as_bytes()]).to_vec());
        }
        sqlx::query("insert into bench_keys select * from unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bytea[])")
            .bind(some)
            .bind(ids)
            .bind(sealed)
            .bind(hashes)
            .execute(&mut connection)
            .await?;
    }
    let statements = include_str!("staff.sql").replace("$COUNT", &count.to_string());
    connection.execute(AssertSqlSafe(statements)).await?;
    connection.close().await?;
    database.sql.execute("vacuum (analyze)").await?;
    database.sql.execute("checkpoint").await?;
    Ok(())
}

/// The text of a key of the filled shops.
fn key_text(n: usize) -> String {
    format!("BENCH-{:05}-{n:07}-AAAAA", n % 7)
}

/// Registers the owner and returns their token.
async fn owner(database: &Database, server: &Server) -> Result<String> {
    let body = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let mut connection = Connection::open(server.address).await?;
    connection
        .ask(&client::request("POST", "/api/auth/register", None, &body))
        .await?;
    sqlx::query("update users set role = 'ADMIN' where email = $1")
        .bind(EMAIL)
        .execute(&database.sql)
        .await?;
    let answer = connection
        .ask(&client::request("POST", "/api/auth/login", None, &body))
        .await?;
    let answer: Value = serde_json::from_slice(answer)?;
    let token = answer.pointer("/data/token").and_then(Value::as_str);
    Ok(token.context("no token")?.to_owned())
}

/// Imports files of `lines` new keys of one game each.
async fn imports(shop: &Shop, lines: usize) -> Result<Vec<Figure>> {
    let game = Samples::at(&shop.samples.games, 0);
    let (mut speeds, before) = (Vec::new(), shop.server.most_memory()?);
    for round in 0..3 {
        let mut file = String::from("game,key,cost\n");
        for line in 0..lines {
            writeln!(file, "{game},IMPORT-{round}-{line:07}-XXXXX-YYYYY,4.20")?;
        }
        let mut connection = Connection::open(shop.server.address).await?;
        let request = client::request("POST", "/api/admin/game-keys/import", Some(&shop.token), &file);
        let began = Instant::now();
        let answer: Value = serde_json::from_slice(connection.ask(&request).await?)?;
        speeds.push(number(lines) / began.elapsed().as_secs_f64());
        let imported = answer.pointer("/data/imported").and_then(Value::as_u64);
        ensure!(imported == Some(u64::try_from(lines)?), "{answer}");
    }
    let grown = (shop.server.most_memory()? - before).max(0.0);
    Ok(vec![
        Figure::alone(format!("files of {lines} keys: imported"), "1/s", &speeds).aim(Aim::AtLeast(IMPORTED)),
        Figure::alone("importing: more memory at its peak", "MiB", &[grown]).aim(Aim::AtMost(MEMORY)),
    ])
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let large = if run.quick { 100_000 } else { 1_000_000 };
    let few = Shop::open(run, "staff_few", 1_000, 10_000).await?;
    let many = Shop::open(run, "staff_many", 100_000, large).await?;
    let (most, time) = if run.quick {
        (100, Duration::from_secs(1))
    } else {
        (300, Duration::from_secs(4))
    };
    let mut figures = imports(&many, if run.quick { 50_000 } else { 400_000 }).await?;
    for (name, aim, question) in LISTS {
        // Both read their pages into memory once.
        for shop in [&few, &many] {
            shop.ask(question, 20, Duration::from_secs(3)).await?;
        }
        let (mut small, mut big) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            small.push(few.ask(question, most, time).await?.percentile(99));
            big.push(many.ask(question, most, time).await?.percentile(99));
        }
        figures.push(Figure::against(format!("{name}, p99"), "ms", &big, &small).aim_of_value(Aim::AtMost(aim)));
    }
    for (name, path) in FILES {
        let (mut small, mut big) = (Vec::new(), Vec::new());
        for _ in 0..run.rounds() {
            small.push(milliseconds(few.file(path, 1).await?.0));
            big.push(milliseconds(many.file(path, 1).await?.0));
        }
        figures.push(
            Figure::against(format!("{name} as CSV: first byte"), "ms", &big, &small)
                .aim_of_value(Aim::AtMost(FIRST_BYTE)),
        );
    }
    for (name, path) in FILES {
        let before = many.server.most_memory()?;
        let began = Instant::now();
        let (_, bytes) = many.file(path, usize::MAX).await?;
        let grown = (many.server.most_memory()? - before).max(0.0);
        let speed = number(bytes) / began.elapsed().as_secs_f64() / 1_048_576.0;
        figures.push(
            Figure::alone(
                format!("{name} as CSV, {} MiB: more memory at its peak", bytes >> 20),
                "MiB",
                &[grown],
            )
            .aim(Aim::AtMost(MEMORY)),
        );
        figures.push(Figure::alone(format!("{name} as CSV: speed"), "MiB/s", &[speed]));
    }
    Ok(Section {
        name: "staff",
        about: format!(
            "Staff's requests to a shop of {large} users, orders and keys and 100,000 games over one connection; reference: \
             the same requests to a shop of 10,000 and 1,000 games."
        ),
        figures,
    })
}
