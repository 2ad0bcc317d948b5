//! The private server from the outside, with real programs, as seen by its owner, a second process and an unrelated
//! process.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests may")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_embedded_postgres::{Durability, Error, Options, Postgres, provide};
use rustix::process::{Pid, Signal, geteuid, getpgid, getpid, kill_process, test_kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

/// A folder that the server's user can reach, as for a shop.
fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("embedded-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// The programs to test with: `LOCKSTEP_PG_BIN`, else those found as for a shop. Tests never fetch them.
fn programs() -> PathBuf {
    std::env::var_os("LOCKSTEP_PG_BIN").map_or_else(
        || {
            let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.test-tools");
            provide(&tools, false).unwrap().bin_dir().to_path_buf()
        },
        PathBuf::from,
    )
}

fn options(data_dir: &Path) -> Options {
    Options {
        bin_dir: Some(programs()),
        fetch: false,
        durability: Durability::TestOnly,
        ..Options::new(data_dir)
    }
}

/// Returns the single text in the result of a query.
fn try_ask(url: &str, sql: &str) -> Result<String, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let answer = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(answer)
    })
}

fn ask(url: &str, sql: &str) -> String {
    try_ask(url, sql).unwrap()
}

fn tell(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    });
}

/// Waits until `is_so` returns `true`; `what` names the condition.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited a minute until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The server's process, from the pid file in its cluster.
fn server_of(data_dir: &Path) -> Pid {
    let text = fs::read_to_string(data_dir.join("postgres/cluster/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Another process that owns a data folder. Dropping it kills the process.
struct Owner {
    child: Child,
}

impl Owner {
    fn command(data_dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_private-postgres"));
        command.arg(data_dir).arg("--test-only").arg("--pg-bin").arg(programs());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the process; returns without waiting for its server.
    fn spawn(data_dir: &Path) -> Self {
        Self {
            child: Self::command(data_dir).spawn().unwrap(),
        }
    }

    /// Waits for its server and returns the URL.
    fn url(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("postgres://"), "no URL but {line:?}");
        line.trim().to_owned()
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it cleanly.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_new_folder_gives_a_multilingual_database_without_network() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).unwrap();
    let url = postgres.connection_string();
    assert!(postgres.created());
    assert_eq!(
        ask(&url, "select concat(current_user, ' in ', current_database())"),
        "lockstep in lockstep"
    );
    assert_eq!(ask(&url, "select current_setting('is_superuser')"), "off");
    assert_eq!(ask(&url, "select current_setting('listen_addresses')"), "");
    assert_eq!(ask(&url, "select current_setting('server_encoding')"), "UTF8");
    assert_eq!(ask(&url, "select current_setting('timezone')"), "UTC");
    assert_eq!(ask(&url, "select current_setting('data_checksums')"), "on");
    assert_eq!(ask(&url, "select lower('ÀÉÎÖŠŽЖΩ')"), "àéîöšžжω");

    assert_eq!(postgres.has_extension("pg_trgm"), Some(true));
    assert_eq!(postgres.has_extension("no_such_thing"), Some(false));
    tell(&url, "create extension pg_trgm");
    assert_eq!(ask(&url, "select (similarity('Ведьмак', 'ведьмак') = 1)::text"), "true");

    let socket_dir = fs::metadata(postgres.socket_dir()).unwrap();
    assert_eq!(socket_dir.mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(postgres.cluster()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        ask(
            &postgres.superuser_connection_string(),
            "select current_setting('is_superuser')"
        ),
        "on"
    );
    let version = ask(&url, "select split_part(current_setting('server_version'), ' ', 1)");
    assert_eq!(version, postgres.version().to_string());
    postgres.stop().unwrap();
}

#[test]
fn stored_data_survives_a_restart() {
    let folder = folder();
    let data_dir = folder.path().join("not/there/yet");
    let postgres = Postgres::start(&Options {
        durability: Durability::Safe,
        ..options(&data_dir)
    })
    .unwrap();
    assert_eq!(
        ask(&postgres.connection_string(), "select current_setting('fsync')"),
        "on"
    );
    tell(
        &postgres.connection_string(),
        "create table game (title text); insert into game values ('Ōkami')",
    );
    let server = server_of(&data_dir);
    postgres.stop().unwrap();
    assert!(
        test_kill_process(server).is_err(),
        "the server is gone when stop returns"
    );

    let postgres = Postgres::start(&options(&data_dir)).unwrap();
    assert!(!postgres.created());
    assert_eq!(ask(&postgres.connection_string(), "select title from game"), "Ōkami");
    drop(postgres);
    assert!(
        !data_dir.join("postgres/cluster/postmaster.pid").exists(),
        "dropping stops the server too"
    );
}

#[test]
fn a_server_ends_with_its_killed_owner_and_keeps_the_data() {
    let folder = folder();
    let mut owner = Owner::spawn(folder.path());
    let url = owner.url();
    tell(&url, "create table game (title text); insert into game values ('kept')");
    let server = server_of(folder.path());
    owner.kill();

    // Immediately, while the server may still be ending.
    let postgres = Postgres::start(&options(folder.path())).unwrap();
    assert_eq!(ask(&postgres.connection_string(), "select title from game"), "kept");
    drop(postgres);

    let mut owner = Owner::spawn(folder.path());
    owner.url();
    let next = server_of(folder.path());
    assert_ne!(server, next);
    owner.kill();
    until("the server is gone", || test_kill_process(next).is_err());
    assert!(
        !folder.path().join("postgres/cluster/postmaster.pid").exists(),
        "it shut down in good order"
    );
}

#[test]
fn a_folder_in_use_is_refused_with_its_owner() {
    let folder = folder();
    let mut owner = Owner::spawn(folder.path());
    owner.url();
    match Postgres::start(&options(folder.path())) {
        Err(Error::InUse { pid: Some(pid), .. }) => assert_eq!(pid, owner.child.id()),
        other => panic!("{other:?}"),
    }
    owner.end();

    let postgres = Postgres::start(&options(folder.path())).unwrap();
    let text = Postgres::start(&options(folder.path())).unwrap_err().to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    postgres.stop().unwrap();
}

#[test]
fn another_process_can_attach_to_the_owners_server() {
    let folder = folder();
    assert_eq!(Postgres::attach(folder.path()).unwrap(), None);
    let mut owner = Owner::spawn(folder.path());
    // Not ready yet: attaching waits for it.
    until("the owner has the lock", || {
        fs::read_to_string(folder.path().join("postgres.lock")).is_ok_and(|text| text.ends_with('\n'))
    });
    let attached = Postgres::attach(folder.path()).unwrap().unwrap();
    assert_eq!(attached.owner_pid, owner.child.id());
    assert_eq!(attached.connection_string(), owner.url());
    assert_eq!(
        ask(&attached.connection_string(), "select current_user::text"),
        "lockstep"
    );
    owner.end();
    assert_eq!(Postgres::attach(folder.path()).unwrap(), None);
}

#[test]
fn data_of_another_major_version_is_refused_and_unchanged() {
    let folder = folder();
    Postgres::start(&options(folder.path())).unwrap().stop().unwrap();
    let version = folder.path().join("postgres/cluster/PG_VERSION");
    fs::write(&version, "12\n").unwrap();
    let text = Postgres::start(&options(folder.path())).unwrap_err().to_string();
    for words in [
        "was written by PostgreSQL 12",
        "Nothing was changed",
        "pg_upgrade",
        programs().to_str().unwrap(),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(fs::read_to_string(version).unwrap(), "12\n");
}

#[test]
fn an_interrupted_cluster_creation_is_restarted() {
    let folder = folder();
    let home = folder.path().join("postgres");
    let unfinished = || {
        let entries = fs::read_dir(&home).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("cluster.new-"))
    };
    let mut owner = Owner::spawn(folder.path());
    until("initdb has begun", || {
        unfinished().is_some_and(|path| path.join("PG_VERSION").exists())
    });
    owner.kill();
    assert!(!home.join("cluster").exists(), "what is not complete has no name");

    let postgres = Postgres::start(&options(folder.path())).unwrap();
    assert!(postgres.created());
    assert_eq!(
        ask(&postgres.connection_string(), "select current_database()::text"),
        "lockstep"
    );
    assert_eq!(unfinished(), None);
}

#[test]
fn a_path_too_long_for_a_socket_uses_another_folder() {
    let folder = folder();
    let data_dir = folder.path().join("a, \"long\" näme ".repeat(6));
    let postgres = Postgres::start(&options(&data_dir)).unwrap();
    let socket_dir = postgres.socket_dir().to_path_buf();
    assert!(!socket_dir.starts_with(&data_dir));
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        ask(&postgres.connection_string(), "select current_user::text"),
        "lockstep"
    );
    assert_eq!(
        Postgres::attach(&data_dir).unwrap().unwrap().connection(),
        postgres.connection()
    );
    postgres.stop().unwrap();
    fs::remove_dir(socket_dir).unwrap();
}

#[test]
fn a_path_with_odd_characters_works() {
    let folder = folder();
    let postgres = Postgres::start(&options(&folder.path().join("a, \"b\" +ü%"))).unwrap();
    assert!(postgres.socket_dir().starts_with(folder.path().canonicalize().unwrap()));
    assert_eq!(
        ask(&postgres.connection_string(), "select current_user::text"),
        "lockstep"
    );
}

#[test]
fn a_killed_server_restarts_with_its_data() {
    let folder = folder();
    let postgres = Postgres::start(&Options {
        durability: Durability::Safe,
        ..options(folder.path())
    })
    .unwrap();
    let url = postgres.connection_string();
    tell(&url, "create table game (title text); insert into game values ('kept')");
    let first = server_of(folder.path());
    kill_process(first, Signal::KILL).unwrap();
    until("the server answers again", || {
        try_ask(&url, "select title from game").is_ok_and(|title| title == "kept") && server_of(folder.path()) != first
    });
    postgres.stop().unwrap();
}

/// A process that cannot notice the death of its server keeps the shared memory, and PostgreSQL refuses to start.
#[test]
fn a_stopped_process_of_a_killed_server_does_not_block_its_restart() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).unwrap();
    let url = postgres.connection_string();
    let first = server_of(folder.path());
    let children = format!("/proc/{0}/task/{0}/children", first.as_raw_nonzero());
    let child = fs::read_to_string(children).unwrap();
    let child: i32 = child.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(child).unwrap(), Signal::STOP).unwrap();
    kill_process(first, Signal::KILL).unwrap();
    until("the server answers again", || {
        try_ask(&url, "select current_user::text").is_ok() && server_of(folder.path()) != first
    });
    postgres.stop().unwrap();
}

#[test]
fn a_server_left_by_a_dead_owner_is_ended_first() {
    let folder = folder();
    Postgres::start(&options(folder.path())).unwrap().stop().unwrap();
    // Not tied to any process, as if the owner had died before that was set up.
    let cluster = folder.path().join("postgres/cluster");
    let owner = fs::metadata(&cluster).unwrap();
    let mut command = Command::new(programs().join("postgres"));
    command
        .arg("-D")
        .arg(&cluster)
        .args(["-c", "listen_addresses=", "-k"])
        .arg(cluster.with_file_name("run"));
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut left_behind = command.spawn().unwrap();
    until("it runs", || {
        fs::read_to_string(cluster.join("postmaster.pid")).is_ok_and(|text| text.contains("ready"))
    });

    let reaper = thread::spawn(move || left_behind.wait().unwrap());
    let postgres = Postgres::start(&options(folder.path())).unwrap();
    assert!(reaper.join().unwrap().success(), "it was asked to stop in good order");
    assert_eq!(
        ask(&postgres.connection_string(), "select current_user::text"),
        "lockstep"
    );
}

#[test]
fn a_stale_pid_file_does_not_kill_an_unrelated_process() {
    let folder = folder();
    Postgres::start(&options(folder.path())).unwrap().stop().unwrap();
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let file = folder.path().join("postgres/cluster/postmaster.pid");
    fs::write(
        &file,
        format!("{}\n/\n1\n5432\n/run\n\n  1  2\nready   \n", bystander.id()),
    )
    .unwrap();
    let cluster = fs::metadata(folder.path().join("postgres/cluster")).unwrap();
    if geteuid().is_root() {
        chown(&file, Some(cluster.uid()), Some(cluster.gid())).unwrap();
    }
    let outcome = Postgres::start(&options(folder.path()));
    assert_eq!(bystander.try_wait().unwrap(), None, "the bystander lives");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    // PostgreSQL refuses to start if the pid belongs to a live process of its own user, and ignores processes of other
    // users.
    match outcome {
        Ok(postgres) => postgres.stop().unwrap(),
        Err(Error::Start { tail, .. }) => assert!(tail.to_string().contains("postmaster.pid"), "{tail}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_server_outlives_its_starting_thread_and_ignores_the_terminal() {
    let folder = folder();
    let options = options(folder.path());
    let postgres = thread::spawn(move || Postgres::start(&options))
        .join()
        .unwrap()
        .unwrap();
    let server = server_of(folder.path());
    assert_ne!(getpgid(Some(server)).unwrap(), getpgid(Some(getpid())).unwrap());
    assert_eq!(
        ask(&postgres.connection_string(), "select current_user::text"),
        "lockstep"
    );
    postgres.stop().unwrap();
}

#[test]
fn the_servers_environment_has_none_of_the_owners_secrets() {
    let folder = folder();
    let mut owner = Owner {
        child: Owner::command(folder.path())
            .env("G2A_API_SECRET", "hush-hush")
            .spawn()
            .unwrap(),
    };
    owner.url();
    let environment = fs::read(format!("/proc/{}/environ", server_of(folder.path()).as_raw_nonzero())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("hush-hush"));
    owner.end();
}

#[test]
fn settings_are_passed_override_ours_and_are_validated() {
    let folder = folder();
    let set = |name: &str, value: &str| Options {
        settings: vec![(name.to_owned(), value.to_owned())],
        max_connections: 7,
        ..options(folder.path())
    };
    assert!(matches!(
        Postgres::start(&set("fsync=on -c port", "1")),
        Err(Error::BadSetting { .. })
    ));
    let postgres = Postgres::start(&set("shared_buffers", "16MB")).unwrap();
    assert_eq!(
        ask(
            &postgres.connection_string(),
            "select current_setting('shared_buffers')"
        ),
        "16MB"
    );
    assert_eq!(
        ask(
            &postgres.connection_string(),
            "select current_setting('max_connections')"
        ),
        "7"
    );
    postgres.stop().unwrap();
    let text = Postgres::start(&set("shared_buffers", "plenty"))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("invalid value for parameter \"shared_buffers\""),
        "{text}"
    );
    assert!(text.contains("postgres/log"), "{text}");
}

#[test]
fn neither_rows_nor_statements_are_logged() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).unwrap();
    let url = postgres.connection_string();
    tell(
        &url,
        "create table code (code text primary key); insert into code values ('XXXX-SECRET-KEY')",
    );
    assert!(try_ask(&url, "insert into code values ('XXXX-SECRET-KEY') returning code").is_err());
    let log = postgres.log().to_path_buf();
    postgres.stop().unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains("duplicate key value"), "{text}");
    assert!(!text.contains("XXXX-SECRET-KEY"), "{text}");
}

/// The user `nobody` on every Linux.
const NOBODY: u32 = 65534;

/// Only root can switch users: for an ordinary user, every other test here covers the same.
#[test]
fn root_can_open_the_data_of_an_ordinary_users_server() {
    if !geteuid().is_root() {
        return;
    }
    let folder = folder();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // That user may not be able to reach the workspace, but it can reach the copy.
    let program = folder.path().join("private-postgres");
    fs::copy(env!("CARGO_BIN_EXE_private-postgres"), &program).unwrap();
    let data_dir = folder.path().join("data");
    let mut command = Command::new(&program);
    command
        .arg(&data_dir)
        .arg("--test-only")
        .arg("--pg-bin")
        .arg(programs())
        .current_dir("/");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .uid(NOBODY)
        .gid(NOBODY);
    let mut owner = Owner {
        child: command.spawn().unwrap(),
    };
    let url = owner.url();
    tell(&url, "create table game (title text); insert into game values ('kept')");
    let cluster = data_dir.join("postgres/cluster");
    assert_eq!(fs::metadata(&cluster).unwrap().uid(), NOBODY);
    assert_eq!(
        fs::metadata(format!("/proc/{}", server_of(&data_dir).as_raw_nonzero()))
            .unwrap()
            .uid(),
        NOBODY
    );
    owner.end();

    // Root runs it as the data's owner and leaves it usable for that owner.
    let postgres = Postgres::start(&options(&data_dir)).unwrap();
    assert_eq!(ask(&postgres.connection_string(), "select title from game"), "kept");
    assert_eq!(
        fs::metadata(format!("/proc/{}", server_of(&data_dir).as_raw_nonzero()))
            .unwrap()
            .uid(),
        NOBODY
    );
    postgres.stop().unwrap();
    let mut owner = Owner {
        child: command.spawn().unwrap(),
    };
    assert_eq!(ask(&owner.url(), "select title from game"), "kept");
    owner.end();
}

/// Only root runs the server as another user.
#[test]
fn roots_data_folder_may_be_inaccessible_to_other_users() {
    if !geteuid().is_root() {
        return;
    }
    let folder = folder();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let data_dir = closed.join("data");
    let postgres = Postgres::start(&options(&data_dir)).unwrap();
    tell(
        &postgres.connection_string(),
        "create table game (title text); insert into game values ('kept')",
    );
    postgres.stop().unwrap();
    assert_eq!(
        fs::metadata(&closed).unwrap().mode() & 0o777,
        0o700,
        "root's folders are left as they are"
    );
    let home = fs::read_link(data_dir.join("postgres")).unwrap();
    assert!(home.starts_with("/var/lib/lockstep"));

    // The link determines the location: the folder can be moved. And data that root restored from a backup gets its
    // owner.
    let moved = closed.join("moved");
    fs::rename(&data_dir, &moved).unwrap();
    assert!(
        Command::new("chown")
            .arg("-R")
            .arg("root:root")
            .arg(home.join("cluster"))
            .status()
            .unwrap()
            .success()
    );
    let postgres = Postgres::start(&options(&moved)).unwrap();
    assert_eq!(ask(&postgres.connection_string(), "select title from game"), "kept");
    postgres.stop().unwrap();

    fs::remove_dir_all(&home).unwrap();
    let text = Postgres::start(&options(&moved)).unwrap_err().to_string();
    assert!(text.contains("which does not exist"), "{text}");
}
