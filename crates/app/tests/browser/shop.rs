//! The store under test: one for the whole test program, with its own database and sandbox.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lockstep_browser_testing::{Browser, Key, Page, Visitor, wait_until};
use lockstep_domain::Money;
use lockstep_g2a_sandbox::{Catalogue, Config, Control, Knobs, Sandbox};
use lockstep_testkit::TestDb;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Number of games in the sandbox: a few pages of the catalogue, synchronised within a second.
const GAMES: u64 = 80;

/// Generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// An open store full of games, and the browser to visit it. Concurrent tests share it, and it is dropped with the last
/// of them; tests stay independent by using separate accounts and carts.
pub(crate) struct Shop {
    browser: Browser,
    origin: String,
    games: Vec<Game>,
    settings: Settings,
    // Dropped in this order: the program, then what it depends on.
    _program: Program,
    folder: TempDir,
    database: TestDb,
    sandbox: Sandbox,
    runtime: Runtime,
}

/// The program's settings, as environment variables.
type Settings = Vec<(&'static str, String)>;

impl Shop {
    /// The store of this test program.
    pub(crate) fn open() -> Arc<Self> {
        static OPEN: Mutex<Weak<Shop>> = Mutex::new(Weak::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shop) = open.upgrade() {
            return shop;
        }
        let shop = Self::open_with(Vec::new());
        *open = Arc::downgrade(&shop);
        shop
    }

    /// A store with other settings and its own database and sandbox: all processes of one store need the same settings.
    pub(crate) fn open_with(other: Settings) -> Arc<Self> {
        Arc::new(Self::start(other))
    }

    fn start(other: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("set-up");
        let (database, sandbox) = runtime.block_on(async { (TestDb::new().await, sandbox().await) });
        let folder = tempfile::Builder::new()
            .prefix("lockstep-shop-")
            .tempdir()
            .expect("set-up");
        let port = free_port();
        let origin = format!("http://127.0.0.1:{port}");
        let account = sandbox.credentials();
        let mut settings: Settings = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("DATABASE_URL", database.url().to_owned()),
            ("LOCKSTEP_DATA_DIR", folder.path().display().to_string()),
            ("LOCKSTEP_BIND", format!("127.0.0.1:{port}")),
            ("LOCKSTEP_PUBLIC_URL", origin.clone()),
            ("LOCKSTEP_RATE_LIMITS", "off".to_owned()),
            ("G2A_API_URL", sandbox.base_url()),
            ("G2A_API_HASH", account.hash),
            ("G2A_API_EMAIL", account.email),
            ("G2A_API_SECRET", account.secret),
            ("G2A_RATE_PER_MINUTE", "100000".to_owned()),
            // Some made-up offers cost more when they are bought than when they were listed; here all are delivered.
            ("G2A_ALLOWED_LOSS", "5".to_owned()),
        ];
        settings.extend(other);
        // The catalogue is synchronised before the store opens.
        let filled = command(PROGRAM, &settings, folder.path())
            .args(["sync", "--full"])
            .output()
            .expect("set-up");
        assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        let code = command(PROGRAM, &settings, folder.path())
            .args(["promo", "create", "GKEYS10", "--percent", "10"])
            .output()
            .expect("set-up");
        assert!(code.status.success(), "{}", String::from_utf8_lossy(&code.stderr));
        let program = Program::open(command("sh", &settings, folder.path()), "serve");
        let games = runtime.block_on(games(&database));
        Self {
            games,
            browser: Browser::shared(),
            origin,
            settings,
            _program: program,
            folder,
            database,
            sandbox,
            runtime,
        }
    }

    /// Controls of the supplier.
    pub(crate) fn supplier(&self) -> Control {
        self.sandbox.control()
    }

    /// Sets the supplier's stock of a game to `copies` and synchronises the game.
    pub(crate) fn stock(&self, game: &Game, copies: i64) {
        assert!(self.supplier().set_stock(&game.product, copies));
        self.fetch(game);
    }

    /// Synchronises one game from the supplier now.
    pub(crate) fn fetch(&self, game: &Game) {
        let mut told = String::new();
        let asked = wait_until(|| {
            let output = command(PROGRAM, &self.settings, self.folder.path())
                .args(["sync", "--product", &game.product])
                .output()
                .expect("the program");
            told = String::from_utf8_lossy(&output.stderr).into_owned();
            // Another synchronisation may be running.
            (output.status.code() != Some(75)).then(|| output.status.success())
        });
        assert_eq!(asked, Some(true), "{told}");
    }

    /// The text of the newest e-mail to `address` that contains `words`.
    pub(crate) fn queued_email(&self, address: &str, words: &str) -> String {
        let folder = self.folder.path().join("mail");
        let found = wait_until(|| {
            let mut files: Vec<_> = std::fs::read_dir(&folder)
                .ok()?
                .filter_map(|file| Some(file.ok()?.path()))
                .filter(|file| file.extension().is_some_and(|ending| ending == "eml"))
                .collect();
            files.sort();
            files.iter().rev().find_map(|file| {
                let message = std::fs::read_to_string(file).ok()?;
                let is_theirs = message.lines().any(|line| line == format!("To: {address}"));
                Some(text_part(&message)).filter(|text| is_theirs && text.contains(words))
            })
        });
        found.unwrap_or_else(|| panic!("nobody has written to {address} about {words:?}"))
    }

    /// Makes an owner of the shop, as its operator does; returns their address and password.
    pub(crate) fn new_admin(&self) -> (String, String) {
        let address = new_address();
        let made = command(PROGRAM, &self.settings, self.folder.path())
            .args(["--json", "admin", "create", &address])
            .output()
            .expect("the program");
        let words = String::from_utf8_lossy(&made.stdout);
        let result: serde_json::Value = serde_json::from_str(words.trim())
            .unwrap_or_else(|error| panic!("{error}: {words}{}", String::from_utf8_lossy(&made.stderr)));
        let password = result["password"].as_str().expect("a password").to_owned();
        assert_eq!(
            result["console"].as_str(),
            Some(format!("{}{}", self.origin, self.console()).as_str())
        );
        (address, password)
    }

    /// The path of the console.
    pub(crate) fn console(&self) -> &str {
        let set = self.settings.iter().rfind(|(name, _)| *name == "LOCKSTEP_CONSOLE_PATH");
        set.map_or("/admin", |(_, path)| path)
    }

    /// Runs SQL in this store's database, for what no page can set up.
    pub(crate) fn sql(&self, statements: &str) {
        self.run(self.database.execute(statements));
    }

    /// Runs a future on this store's runtime.
    pub(crate) fn run<T>(&self, doing: impl Future<Output = T>) -> T {
        self.runtime.block_on(doing)
    }

    /// The `n`th game that is in stock.
    pub(crate) fn game(&self, n: usize) -> Game {
        self.games.get(n).expect("a game in stock").clone()
    }

    /// Opens a blank page of the store for `visitor`.
    pub(crate) fn visit(self: &Arc<Self>, visitor: &Visitor) -> Visit {
        Visit {
            page: self.browser.page(&self.origin, visitor),
            _shop: self.clone(),
        }
    }
}

/// A command with no environment but the store's settings.
fn command(program: &str, settings: &Settings, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        // No lockstep.toml of the checkout may interfere.
        .current_dir(folder);
    command
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("set-up")
        .port()
}

/// The plain-text part of an e-mail, which is not encoded in a file.
fn text_part(message: &str) -> String {
    let message = message.replace("\r\n", "\n");
    let part = message.split_once("Content-Type: text/plain").unwrap_or_default().1;
    let (head, body) = part.split_once("\n\n").unwrap_or_default();
    assert!(head.contains("8bit"), "{head}");
    body.split("\n--").next().unwrap_or_default().to_owned()
}

/// A valid password.
pub(crate) const PASSWORD: &str = "Correct-Horse-7";

/// An unused e-mail address.
pub(crate) fn new_address() -> String {
    format!("{}@example.com", uuid::Uuid::new_v4().simple())
}

/// The authenticator's code for this secret, `later` steps of 30 seconds from now.
pub(crate) fn code_of(secret: &str, later: u64) -> String {
    let secret = totp_rs::Secret::Encoded(secret.to_owned()).to_bytes().expect("base32");
    let totp = totp_rs::TOTP::new(totp_rs::Algorithm::SHA1, 6, 1, 30, secret, None, String::new()).expect("TOTP");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    totp.generate(now.as_secs() + 30 * later)
}

/// A game of the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Game {
    pub(crate) id: String,
    /// The supplier's id of the product.
    pub(crate) product: String,
    /// The price in EUR.
    pub(crate) price: Money,
    /// The title of its row, including the description of the offer.
    pub(crate) title: String,
    pub(crate) slug: String,
}

impl Game {
    /// The game's name without the offer, as pages show it.
    pub(crate) fn name(&self) -> String {
        lockstep_domain::title::Title::new(&self.title).name().to_owned()
    }

    /// The name with the offer, as labels of buttons show it.
    pub(crate) fn shown(&self) -> String {
        let title = lockstep_domain::title::Title::new(&self.title);
        let offer = title.offer(lockstep_domain::language::Language::English);
        if offer.is_empty() {
            title.name().to_owned()
        } else {
            format!("{} ({offer})", title.name())
        }
    }

    /// Words to search it by.
    pub(crate) fn words(&self) -> String {
        self.title.split(' ').take(3).collect::<Vec<_>>().join(" ")
    }

    /// The selector of its link in a list.
    pub(crate) fn link(&self) -> String {
        format!("main article a[href='/game/{}']", self.slug)
    }
}

/// A page, which keeps the store open.
pub(crate) struct Visit {
    page: Page,
    _shop: Arc<Shop>,
}

impl Visit {
    /// Registers a new user in this page and returns their address.
    pub(crate) fn register(&self) -> String {
        let email = new_address();
        self.goto("/register");
        self.fill("#email", &email);
        self.fill("#password", PASSWORD);
        self.press_and_follow(Key::Enter);
        assert_eq!(self.path(), "/account?done=registered");
        email
    }

    /// Logs a user in.
    pub(crate) fn log_in(&self, email: &str) {
        self.goto("/login");
        self.fill("#email", email);
        self.fill("#password", PASSWORD);
        self.press_and_follow(Key::Enter);
        assert_eq!(self.path(), "/account");
    }

    /// Puts a game into the cart, as the form on a game's page does.
    pub(crate) fn put_into_cart(&self, game: &str) {
        self.send("/cart/add", game);
    }

    /// Puts a game onto the wishlist.
    pub(crate) fn put_onto_wishlist(&self, game: &str) {
        self.send("/wishlist/add", game);
    }

    fn send(&self, address: &str, game: &str) {
        if self.path() == "blank" {
            self.goto("/cart");
        }
        let sent = self.evaluate(&format!(
            "fetch('{address}', {{method: 'POST', body: new URLSearchParams({{game: '{game}'}})}})
                 .then((answer) => answer.status)"
        ));
        assert_eq!(sent, 200, "{address} does not take {game}");
    }

    /// Tops up what the balance lacks for the content of the cart, and returns to the checkout.
    pub(crate) fn pay(&self) {
        let missing = self.value_of("input[name=payment]");
        self.goto("/account/balance");
        self.fill("#amount", &missing);
        self.follow("main button|Top up");
        self.wait_for("button[value=pay]");
        self.follow("button[value=pay]");
        self.wait_for_path("/checkout");
    }

    /// Pays directly for the content of the cart, on the payment provider's page, and waits for its keys.
    pub(crate) fn pay_directly(&self, copies: u64) {
        self.follow("main button|Pay €");
        self.wait_for("button[value=pay]");
        self.follow("button[value=pay]");
        self.wait_for_text("Thank you!");
        assert!(self.path().starts_with("/orders/"), "{}", self.path());
        self.wait_for_text(&format!("{copies} of {copies} keys are there"));
        assert_eq!(self.count("code.key"), copies);
    }

    /// Buys the content of the cart and waits for its keys.
    pub(crate) fn buy(&self, copies: u64) {
        self.follow("main button|Pay €");
        assert!(self.path().starts_with("/orders/"), "{}", self.path());
        self.wait_for_text("Thank you!");
        self.wait_for_text(&format!("{copies} of {copies} keys are there"));
        assert_eq!(self.count("code.key"), copies);
    }

    /// Closes the page; fails if it had errors.
    pub(crate) fn close(self) {
        self.page.close();
    }
}

impl Deref for Visit {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.page
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_lockstep");

async fn games(database: &TestDb) -> Vec<Game> {
    let rows: Vec<(uuid::Uuid, String, String, String, String)> = lockstep_testkit::sqlx::query_as(
        "select id, title, slug, g2a_product_id, price::text from games where in_stock and not is_preorder
          order by price, id limit 30",
    )
    .fetch_all(&database.sql)
    .await
    .expect("games");
    rows.into_iter()
        .map(|(id, title, slug, product, price)| Game {
            id: id.to_string(),
            product,
            price: price.parse().expect("a price"),
            title,
            slug,
        })
        .collect()
}

async fn sandbox() -> Sandbox {
    Sandbox::start(Config {
        catalogue: Catalogue::Generated { count: GAMES, seed: 7 },
        knobs: Knobs {
            rate_per_minute: 0,
            ..Knobs::default()
        },
        ..Config::default()
    })
    .await
    .expect("set-up")
}

/// `lockstep serve`, stopped when this value is dropped or the test program ends.
struct Program {
    child: Child,
    holder: Option<ChildStdin>,
}

impl Program {
    /// Starts it in the shell's environment and waits until it reports that it is open.
    fn open(mut shell: Command, half: &str) -> Self {
        #[expect(
            clippy::zombie_processes,
            reason = "a store that does not open fails the test program"
        )]
        let mut child = shell
            .args([
                "-c",
                "\"$@\" </dev/null & store=$!; cat >/dev/null; kill $store; wait $store",
                "sh",
            ])
            .args([PROGRAM, half])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("set-up");
        let holder = child.stdin.take();
        let log = BufReader::new(child.stderr.take().expect("stderr"));
        let (told, tells) = channel();
        // Reads to the end: a full pipe would block the program.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                drop(told.send(line));
            }
        });
        let mut log = String::new();
        loop {
            let line = tells
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("the store did not open ({error}):\n{log}"));
            if line.contains("the store is open at") {
                return Self { child, holder };
            }
            log.push_str(&line);
            log.push('\n');
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.holder.take());
        drop(self.child.wait());
    }
}
