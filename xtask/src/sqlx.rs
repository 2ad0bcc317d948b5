//! Renews and checks `crates/store/.sqlx`: what PostgreSQL says about each statement of the store, from which the
//! compiler checks parameters and columns without a database.
//!
//! The store cannot be built while data is missing, so the schema is made here from the migrations alone. Then a check of
//! the store in a target folder of its own, where every statement is described by the new database, writes the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::sqlx::migrate::Migrator;
use ::sqlx::postgres::{PgConnectOptions, PgConnection};
use ::sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools;

const STORE: &str = "crates/store";

/// The data of one statement by its file's name, which is the hash of the statement's text.
type Data = BTreeMap<String, Described>;

struct Described {
    text: String,
    value: Value,
}

impl Described {
    /// The statement's name, from its first line.
    fn name(&self) -> &str {
        let statement = self.value.get("query").and_then(Value::as_str).unwrap_or_default();
        let first = statement.lines().next().unwrap_or_default();
        first.strip_prefix("-- ").unwrap_or(first)
    }

    /// The part that any supported PostgreSQL describes alike: the statement, the types of its parameters, and the names
    /// and types of its columns, with `nullable` where the code relies on it.
    ///
    /// Left out are where a column comes from, and `nullable` of a column that overrides it (`as "name!"`, `"name?"`).
    /// It depends on the plan, and so on the version, for columns of outer joins, which therefore say `?`.
    fn comparable(&self) -> Value {
        let field = |name: &str| {
            self.value
                .pointer(&format!("/describe/{name}"))
                .cloned()
                .unwrap_or_default()
        };
        let (columns, nullable) = (field("columns"), field("nullable"));
        let columns: Vec<Value> = columns
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(at, column)| {
                let name = column.get("name").and_then(Value::as_str).unwrap_or_default();
                let overrides = name.contains(['!', '?']);
                let nullable = nullable.get(at).filter(|_| !overrides);
                serde_json::json!([name, column.get("type_info"), nullable])
            })
            .collect();
        serde_json::json!([self.value.get("query"), field("parameters"), columns])
    }
}

/// Renews the data; with `--check` only compares it, and fails when it is missing, outdated or left over.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let only_checks = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask sqlx [--check]"),
    };
    let folder = root.join(STORE).join(".sqlx");
    let fresh = describe(root)?;
    let kept = read(&folder)?;
    let changes = changes(&kept, &fresh);
    if only_checks {
        if changes.is_empty() {
            return Ok(());
        }
        bail!(
            "{STORE}/.sqlx does not fit the statements and migrations; run `cargo xtask sqlx` and commit what it \
             changes:\n  {}",
            changes.join("\n  ")
        );
    }
    std::fs::create_dir_all(&folder)?;
    for (file, statement) in &fresh {
        // An equal file stays as it is: another version of PostgreSQL must not change all of them.
        if kept
            .get(file)
            .is_none_or(|kept| kept.comparable() != statement.comparable())
        {
            std::fs::write(folder.join(file), &statement.text)?;
        }
    }
    for file in kept.keys().filter(|file| !fresh.contains_key(*file)) {
        std::fs::remove_file(folder.join(file))?;
    }
    eprintln!("{} statements; {} changes", fresh.len(), changes.len());
    for change in changes {
        eprintln!("  {change}");
    }
    Ok(())
}

/// What differs, a line for each statement.
fn changes(kept: &Data, fresh: &Data) -> Vec<String> {
    let of_fresh = fresh.iter().filter_map(|(file, statement)| match kept.get(file) {
        None => Some(format!("missing: {}", statement.name())),
        Some(kept) if kept.comparable() != statement.comparable() => Some(format!("outdated: {}", statement.name())),
        Some(_) => None,
    });
    let left_over = kept
        .iter()
        .filter(|(file, _)| !fresh.contains_key(*file))
        .map(|(_, statement)| format!("left over: {}", statement.name()));
    of_fresh.chain(left_over).collect()
}

/// Has a database with the present schema describe every statement.
fn describe(root: &Path) -> Result<Data> {
    let server = tools::postgres(root)?;
    let described = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime")
        .and_then(|runtime| {
            let database = runtime.block_on(Database::create(root, server.url()))?;
            let described = expand(root, &database.url());
            runtime.block_on(database.remove())?;
            described
        });
    server.stop();
    described
}

/// Compiles the store against `database`, whatever it was compiled against before.
fn expand(root: &Path, database: &str) -> Result<Data> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |given| root.join(given));
    let target = target.join("sqlx");
    let data = target.join("data");
    drop(std::fs::remove_dir_all(&data));
    std::fs::create_dir_all(&data)?;
    // Macros run when their crate is compiled, and only then.
    super::run(
        super::cargo()
            .args(["clean", "--quiet", "--package", "lockstep-store"])
            .env("CARGO_TARGET_DIR", &target),
    )?;
    super::run(
        super::cargo()
            .args([
                "check",
                "--quiet",
                "--package",
                "lockstep-store",
                "--lib",
                "--all-features",
            ])
            .env("CARGO_TARGET_DIR", &target)
            .env("DATABASE_URL", database)
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", &data),
    )?;
    read(&data)
}

fn read(folder: &Path) -> Result<Data> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Ok(Data::new());
    };
    let mut data = Data::new();
    for file in files {
        let path: PathBuf = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("query-") {
            continue;
        }
        let shown = path.display();
        let text = std::fs::read_to_string(&path).with_context(|| format!("{shown}"))?;
        let value = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
        data.insert(name, Described { text, value });
    }
    Ok(data)
}

/// A database with the schema of the migrations.
struct Database {
    admin: PgConnection,
    options: PgConnectOptions,
    name: String,
}

impl Database {
    async fn create(root: &Path, server: &str) -> Result<Self> {
        let options: PgConnectOptions = server.parse()?;
        let mut admin = options.connect().await.context("the PostgreSQL of tests")?;
        let name = format!("sqlx_{}", std::process::id());
        admin
            .execute(AssertSqlSafe(format!("create database {name} template template0")))
            .await?;
        let options = options.database(&name);
        let database = Self { admin, options, name };
        match database.migrate(root).await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.remove().await?;
                Err(error)
            }
        }
    }

    async fn migrate(&self, root: &Path) -> Result<()> {
        let migrations = Migrator::new(root.join(STORE).join("migrations")).await?;
        let mut connection = self.options.connect().await?;
        migrations.run(&mut connection).await.context("migrations")?;
        connection.close().await?;
        Ok(())
    }

    fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    async fn remove(mut self) -> Result<()> {
        let drop = format!("drop database {} with (force)", self.name);
        self.admin.execute(AssertSqlSafe(drop)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(columns: &[(&str, &str, bool)]) -> Data {
        let value = serde_json::json!({
            "query": "-- store.a.b\nselect 1",
            "describe": {
                "columns": columns.iter().map(|(name, kind, _)| serde_json::json!({ "name": name, "type_info": kind })).collect::<Vec<_>>(),
                "parameters": { "Left": ["Int4"] },
                "nullable": columns.iter().map(|(.., nullable)| nullable).collect::<Vec<_>>(),
            },
        });
        let text = value.to_string();
        Data::from([("query-1.json".to_owned(), Described { text, value })])
    }

    #[test]
    fn a_difference_that_code_relies_on_is_named() {
        let kept = described(&[("id", "Uuid", false), ("place?", "Text", false)]);
        assert_eq!(changes(&kept, &kept), [] as [String; 0]);
        assert_eq!(changes(&Data::new(), &kept), ["missing: store.a.b"]);
        assert_eq!(changes(&kept, &Data::new()), ["left over: store.a.b"]);
        for other in [
            described(&[("id", "Int8", false), ("place?", "Text", false)]),
            described(&[("id", "Uuid", true), ("place?", "Text", false)]),
            described(&[("id", "Uuid", false), ("place", "Text", false)]),
        ] {
            assert_eq!(changes(&kept, &other), ["outdated: store.a.b"]);
        }
    }

    #[test]
    fn a_difference_between_versions_of_postgresql_is_none() {
        let kept = described(&[("id", "Uuid", false), ("place?", "Text", false)]);
        let other = described(&[("id", "Uuid", false), ("place?", "Text", true)]);
        assert_eq!(changes(&kept, &other), [] as [String; 0]);
    }
}
