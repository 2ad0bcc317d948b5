//! The command line: what `lockstep` can be asked to do.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{CommandFactory as _, Parser, Subcommand};
use lockstep_store::audit::chain::Head;
use rust_decimal::Decimal;

use crate::config::{Settings, hiding_values};

/// A game-key store whose database, cache and supplier never drift apart.
#[derive(Debug, Parser)]
#[command(
    name = "lockstep",
    version,
    after_help = "Examples:\n  lockstep                      the store at http://127.0.0.1:8080, with everything it needs\n  \
                  lockstep sync --full          bring the catalogue in line with G2A now\n  \
                  lockstep doctor               check every dependency and report what to do\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 75 try again later (another process is doing it, or a\n\
                  dependency is unavailable).\n\n\
                  Settings are flags, environment variables and lines of lockstep.toml: lockstep help settings"
)]
pub(crate) struct Cli {
    /// A file of settings. Default: lockstep.toml in this folder, when it is there
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Default: serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The end of every help page except that of the settings.
const ON_SETTINGS: &str =
    "Settings are flags, environment variables and lines of lockstep.toml: lockstep help settings";

/// The command line. Any command takes any setting; that there are dozens is shown in one place only.
pub(crate) fn command() -> clap::Command {
    let settings = Settings::arguments_of(clap::Command::new("settings"));
    let is_setting = |id: &clap::Id| settings.get_arguments().any(|setting| setting.get_id() == id);
    hiding_values(Cli::command())
        .mut_args(|argument| {
            let hidden = argument.is_hide_set() || is_setting(argument.get_id());
            argument.hide(hidden)
        })
        .mut_subcommands(pointing_to_settings)
        .mut_subcommand("settings", |command| {
            // The description of the table would replace that of the command.
            let about = command.get_about().cloned().unwrap_or_default();
            Settings::arguments_of(command).about(about)
        })
}

fn pointing_to_settings(command: clap::Command) -> clap::Command {
    let own = command
        .get_after_help()
        .map(|help| format!("{help}\n\n"))
        .unwrap_or_default();
    command
        .after_help(format!("{own}{ON_SETTINGS}"))
        .mut_subcommands(pointing_to_settings)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the store: pages, API and background work
    #[command(after_help = "Example:\n  lockstep serve --bind 0.0.0.0:8080")]
    Serve(Start),
    /// Run pages and API only; background work runs in another process
    #[command(
        after_help = "Example:\n  lockstep web --database-url postgres://lockstep@db/lockstep --redis-url redis://cache"
    )]
    Web(Start),
    /// Run background work only: synchronisation, buying, e-mail, maintenance
    #[command(after_help = "Example:\n  lockstep worker --database-url postgres://lockstep@db/lockstep")]
    Worker(Start),
    /// Bring the catalogue in line with G2A: what changed, or everything
    #[command(
        after_help = "Examples:\n  lockstep sync                 what changed since the last time\n  \
                            lockstep sync --full          everything; also withdraws what is gone\n  \
                            lockstep sync --product 10000000024005"
    )]
    Sync {
        /// Every product, and withdraw what G2A no longer has
        #[arg(long, conflicts_with = "product")]
        full: bool,
        /// One product, by G2A's id
        #[arg(long, value_name = "ID")]
        product: Option<String>,
        /// Read only: fetch one page and show what would be stored for its products
        #[arg(long, conflicts_with = "full")]
        dry_run: bool,
    },
    /// Check stock and prices of games in stock
    #[command(after_help = "Example:\n  lockstep stock --json")]
    Stock,
    /// Admins of the shop
    #[command(subcommand, after_help = "Example:\n  lockstep admin create ada@example.com")]
    Admin(AdminCommand),
    /// The audit log: check that it was not changed, or export it
    #[command(subcommand, after_help = "Example:\n  lockstep audit verify")]
    Audit(AuditCommand),
    /// Promo codes: create, list, end
    #[command(
        subcommand,
        after_help = "Example:\n  lockstep promo create SUMMER --percent 1.5 --max-uses 200 --until 2027-09-01"
    )]
    Promo(PromoCommand),
    /// VAT: the rates in force, and newer ones
    #[command(subcommand, after_help = "Example:\n  lockstep vat update")]
    Vat(VatCommand),
    /// Bring the database's schema up to date
    #[command(after_help = "Example:\n  lockstep migrate --database-url postgres://lockstep@db/lockstep")]
    Migrate,
    /// Check every dependency and invariant, and report what to do; exit code 1 when something is wrong
    #[command(after_help = "Examples:\n  lockstep doctor --json\n  lockstep doctor --send-mail you@example.com")]
    Doctor {
        /// Also send a test e-mail to this address
        #[arg(long, value_name = "EMAIL")]
        send_mail: Option<String>,
    },
    /// Prove every invariant of the database, of a restored copy for example, and name each row that violates one; exit code 1
    /// when there is one
    #[command(
        after_help = "Changes nothing: a role that may only read, and a standby, are enough.\n\n\
                      Examples:\n  lockstep verify\n  \
                      lockstep verify --database-url postgres://lockstep_verify@db/lockstep_restored --json"
    )]
    Verify {
        /// Open this many sealed values of each kind, from a random place, instead of all
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        sample: Option<u32>,
    },
    /// Compare orders, money, keys and G2A, and report what to do about each difference; exit code 1 when there is one
    #[command(after_help = "Examples:\n  lockstep reconcile            look only\n  \
                            lockstep reconcile --fix      and repair what is safe to repair\n  \
                            lockstep reconcile --credit 0193b0e6-…                 credit what was paid, in euro\n  \
                            lockstep reconcile --credit 0193b0e6-… --amount 11.90  or this\n  \
                            lockstep reconcile --reviewed 0193b0e6-…               it was paid back at the provider")]
    Reconcile {
        /// Repair what is safe to repair
        #[arg(long)]
        fix: bool,
        /// Close a top-up that waited for staff and was settled at the payment provider; nothing is credited
        #[arg(long, value_name = "TOP_UP", conflicts_with_all = ["credit", "fix"])]
        reviewed: Option<lockstep_domain::ids::TopUpId>,
        /// Credit a top-up that waits for staff with what was paid, and close it
        #[arg(long, value_name = "TOP_UP", conflicts_with = "fix")]
        credit: Option<lockstep_domain::ids::TopUpId>,
        /// How much to credit, when it was not paid in euro or the provider reported nothing
        #[arg(long, value_name = "EUR", requires = "credit")]
        amount: Option<lockstep_domain::Money>,
    },
    /// Manage the game keys in the database
    #[command(after_help = "Example:\n  LOCKSTEP_KEY_SECRET=NEW,OLD lockstep keys rotate")]
    Keys {
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// Case files of disputes that a shop has signed
    #[command(subcommand, after_help = "Example:\n  lockstep evidence verify evidence.json")]
    Evidence(EvidenceCommand),
    /// Signed events of G2A's relays and payment providers that had no effect, as received
    #[command(
        subcommand,
        after_help = "Examples:\n  lockstep events list\n  lockstep events show 0198c0de-0000-7000-8000-000000000000"
    )]
    Events(EventsCommand),
    /// Move in: bring another shop's customers, orders, keys and games into this one, and report what it got wrong
    #[command(
        subcommand,
        after_help = "Examples:\n  lockstep import prisma postgresql://shop@db/shop --dry-run --report report.html\n  \
                      lockstep import keys keys.csv --game portal-2"
    )]
    Import(ImportCommand),
    /// Erase what is stored about a person: their account, and whatever names their address or devices; orders and bookings
    /// stay without a name, and the law keeps receipts
    #[command(
        after_help = "Says what is stored, and asks for the address again unless --yes is given. It cannot be undone.\n\n\
                      Examples:\n  lockstep erase ada@example.com\n  lockstep erase ada@example.com --yes --json"
    )]
    Erase {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        /// Do not ask. A balance that is left stays in the books, and nobody can spend it any more
        #[arg(long)]
        yes: bool,
    },
    /// Write the database, its secrets, unsent e-mails and the spool to a folder; the store may be running
    #[command(after_help = "Example:\n  lockstep backup /var/backups/lockstep-monday\n\n\
                            The folder then contains the secrets that open every sealed key: protect it like a key.")]
    Backup {
        /// The folder to write
        folder: PathBuf,
        /// Replace an existing backup
        #[arg(long)]
        force: bool,
    },
    /// Restore a backup into the data folder, as the private database; the store must not be running
    #[command(after_help = "Example:\n  lockstep restore /var/backups/lockstep-monday --data-dir ./data")]
    Restore {
        /// The folder that `lockstep backup` wrote
        folder: PathBuf,
        /// Replace the existing database and secrets
        #[arg(long)]
        force: bool,
    },
    /// Show every setting with the value in force and its source; secrets are masked
    #[command(after_help = "Example:\n  G2A_MARKUP_PERCENT=3 lockstep config")]
    Config,
    /// Print a sample lockstep.toml with every setting; `lockstep help settings` explains them
    #[command(after_help = "Example:\n  lockstep settings > lockstep.toml")]
    Settings,
    /// Run the G2A sandbox alone: a server of G2A's contract with made-up games
    #[command(after_help = "Examples:\n  lockstep g2a-sandbox --listen 127.0.0.1:9100\n  \
                            lockstep g2a-sandbox --catalogue export.json --drift 0\n  \
                            G2A_DRIVE_CLIENT_SECRET=... lockstep g2a-sandbox --drive https://shop.example/g2a \\\n    \
                            --client-id g2a --product 10000000024005   call a seller's server the way G2A does, tell\n    \
                            every departure from the dropshipping contract, and exit with 1 when there is one")]
    G2aSandbox {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:9100", value_name = "ADDRESS:PORT")]
        listen: std::net::SocketAddr,
        /// How many made-up games
        #[arg(long, default_value_t = 12_000, value_name = "COUNT", conflicts_with = "catalogue")]
        games: u64,
        /// Use a real export instead: a file with G2A's product pages
        #[arg(long, value_name = "FILE")]
        catalogue: Option<PathBuf>,
        /// Changes of price and stock a second
        #[arg(long, default_value_t = 2, value_name = "CHANGES")]
        drift: u32,
        /// Seed of the made-up catalogue
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        seed: u64,
        /// Calls a minute before 429; 0 means no limit
        #[arg(long, default_value_t = 600, value_name = "CALLS")]
        rate: u32,
        #[command(flatten)]
        drive: Drive,
    },
    /// Print the description of the API (OpenAPI)
    #[command(hide = true)]
    Openapi,
}

/// How the store starts.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Start {
    /// Start although the secret that stored keys were sealed with is lost for good; they can no longer be shown. For
    /// one start only
    #[arg(long)]
    pub(crate) accept_lost_keys: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Create an admin: a new account, or promote an existing one, which keeps its password if its address was verified
    #[command(
        after_help = "Asks for the password without showing it. Left empty, or without a terminal, one is made up and\n\
                      printed once.\n\nExample:\n  lockstep admin create ada@example.com"
    )]
    Create {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
    },
    /// Change the role of an account: user, owner, or a role of the database (manager, support, content, analyst). It
    /// counts with their next request, and the audit log records it
    #[command(after_help = "Examples:\n  lockstep admin role bob@example.com support\n  \
                            lockstep admin role bob@example.com user     no staff any more")]
    Role {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        /// Name of the role, in any case
        #[arg(value_name = "ROLE")]
        role: String,
    },
    /// Remove the second factor of an account whose owner has lost it; they get an e-mail and are logged out
    /// everywhere, and the audit log records it
    #[command(after_help = "Example:\n  lockstep admin reset-second-factor ada@example.com")]
    ResetSecondFactor {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Bring everything from the PostgreSQL database of a Prisma shop, which may still run; run again, it brings what is new
    #[command(
        after_help = "The report names each finding with its amount, what shows it, and what to do. Nothing of it is changed\n\
                      without --settle.\n\nExamples:\n  \
                      lockstep import prisma postgresql://shop@db/shop --dry-run --report report.html\n  \
                      lockstep import prisma postgresql://shop@db/shop --report report.json\n  \
                      lockstep import prisma postgresql://shop@db/shop --since 2027-06-01T08:00:00Z --settle refund_lost"
    )]
    Prisma {
        /// The shop's own DATABASE_URL, or its DIRECT_URL
        #[arg(value_name = "URL")]
        url: String,
        /// Write nothing; report what would be brought, and every finding
        #[arg(long)]
        dry_run: bool,
        /// Write the report to this file: JSON (.json), a page (.html), else text; may be given several times
        #[arg(long, value_name = "FILE")]
        report: Vec<PathBuf>,
        /// Only what changed since this day or moment (UTC), for the final switch
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<DateTime<Utc>>,
        /// Book what the report proposes for this kind of finding: refund_lost, keys_missing or paid_stuck (the money goes back
        /// to the balance); may be given several times
        #[arg(long, value_name = "KIND", conflicts_with = "dry_run", value_parser = lockstep_import::prisma::SETTLED_KINDS)]
        settle: Vec<String>,
    },
    /// Bring keys from a file of License Manager or WC Serial Numbers, or from a list with one key a line, as stock
    #[command(
        after_help = "A line that a spreadsheet has damaged is refused with its number and the cure.\n\nExamples:\n  \
                      lockstep import keys licenses.csv --dry-run\n  lockstep import keys keys.txt --game portal-2"
    )]
    Keys {
        /// The file
        file: PathBuf,
        /// The game of all keys, by id or slug
        #[arg(long, value_name = "ID|SLUG")]
        game: Option<String>,
        /// Write nothing; report each line that would not be taken
        #[arg(long)]
        dry_run: bool,
        /// Write the report to this file: JSON (.json), a page (.html), else text; may be given several times
        #[arg(long, value_name = "FILE")]
        report: Vec<PathBuf>,
    },
    /// Bring products and customers from files of WooCommerce: its product CSV, and the JSON of its REST interface
    #[command(after_help = "Example:\n  lockstep import woocommerce products.csv customers.json --dry-run")]
    Woocommerce(Files),
    /// Bring products and customers from CSV files of Shopify
    #[command(after_help = "Example:\n  lockstep import shopify products_export.csv customers_export.csv --dry-run")]
    Shopify(Files),
    /// Delete what a run brought, as long as none of it was sold or shown
    #[command(after_help = "Example:\n  lockstep import undo 0198c0de-0000-7000-8000-000000000000")]
    Undo {
        /// The run, as the import printed it
        #[arg(value_name = "RUN")]
        run: uuid::Uuid,
    },
}

/// Files of another shop.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// The files; what each holds is seen from its content
    #[arg(required = true, value_name = "FILE")]
    pub(crate) paths: Vec<PathBuf>,
    /// Write nothing; report each row that would not be taken
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write the report to this file: JSON (.json), a page (.html), else text; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Compute every digest of the chain again; exit code 1 when a row was changed, removed or inserted
    #[command(
        after_help = "Keep the printed head elsewhere: with it, a later check also finds a log whose end was cut off.\n\n\
                      Examples:\n  lockstep audit verify\n  lockstep audit verify --head 12:4f0c…"
    )]
    Verify {
        /// A head that an earlier check printed, which the chain has to contain
        #[arg(long, value_name = "POSITION:DIGEST")]
        head: Option<Head>,
    },
    /// Print every entry as a line of JSON, with its position and digests
    #[command(after_help = "Example:\n  lockstep audit export > audit.jsonl")]
    Export,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VatCommand {
    /// Show the rates in force with their source and date, and what was stated about VAT
    #[command(after_help = "Example:\n  lockstep vat show --json")]
    Show,
    /// Fetch rates, check them and store them; refuses what is incomplete, implausible or older than those in force
    #[command(after_help = "Example:\n  lockstep vat update")]
    Update {
        /// Where the rates are. Default: LOCKSTEP_VAT_RATES_URL
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PromoCommand {
    /// Create a code that takes a percentage off an order
    #[command(after_help = "Example:\n  lockstep promo create SUMMER --percent 1.5 --max-uses 200 --until 2027-09-01")]
    Create {
        /// 2 to 40 letters, digits, - and _; shoppers may type it in any case
        code: String,
        /// Percent of the subtotal, above 0 and at most 100
        #[arg(long, value_name = "PERCENT")]
        percent: Decimal,
        /// Most orders that may use it. Default: no limit
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
        max_uses: Option<i32>,
        /// First day or moment (UTC), `2027-06-01` or `2027-06-01T08:00:00Z`. Default: now
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Option<DateTime<Utc>>,
        /// The day or moment (UTC) it ends; a day ends with its last second. Default: never
        #[arg(long, value_name = "TIME", value_parser = end_of)]
        until: Option<DateTime<Utc>>,
    },
    /// List every code with its uses and the sum of its discounts
    #[command(after_help = "Example:\n  lockstep promo list --json")]
    List,
    /// End a code now; orders that used it keep their price
    #[command(after_help = "Example:\n  lockstep promo end SUMMER")]
    End {
        /// The code
        code: String,
    },
}

/// The first second of a day, or a moment.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse::<NaiveDate>()
        .map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .or_else(|_| text.parse::<DateTime<Utc>>())
        .map_err(|_| "a day like 2027-06-01 or a moment like 2027-06-01T08:00:00Z".to_owned())
}

/// The end of a day, which is the beginning of the next, or a moment.
fn end_of(text: &str) -> Result<DateTime<Utc>, String> {
    match text.parse::<NaiveDate>().ok().and_then(|day| day.succ_opt()) {
        Some(next) => Ok(next.and_time(NaiveTime::MIN).and_utc()),
        None => moment(text),
    }
}

/// Instead of running a sandbox, act as G2A calling a seller's server.
#[derive(Debug, clap::Args)]
pub(crate) struct Drive {
    /// Drive the seller's server at this address through the dropshipping contract instead; its keys are really ordered
    #[arg(long = "drive", value_name = "URL", requires_all = ["client_id", "client_secret", "product"])]
    pub(crate) url: Option<String>,
    /// The client id that the seller issued to G2A
    #[arg(long, value_name = "ID", requires = "url")]
    pub(crate) client_id: Option<String>,
    /// The client secret that the seller issued to G2A
    #[arg(long, env = "G2A_DRIVE_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) client_secret: Option<String>,
    /// A product that the seller has in stock, by G2A's id; may be given several times
    #[arg(long, value_name = "ID", requires = "url")]
    pub(crate) product: Vec<u64>,
    /// How many of each are ordered at a time
    #[arg(long, value_name = "COUNT", default_value_t = 2, requires = "url")]
    pub(crate) quantity: u32,
    /// After how many seconds a reservation must have expired; without it expiry is not tried
    #[arg(long, value_name = "SECONDS", requires = "url")]
    pub(crate) expiry: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// The latest 200, newest first
    List {
        /// Also those whose kind is of no interest to the shop
        #[arg(long)]
        all: bool,
    },
    /// The bytes of one, as received
    Show {
        /// Its id in the list
        id: uuid::Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check the signature of a signed case file; needs no shop, and exits with 1 if it was changed
    Verify {
        /// The file
        file: PathBuf,
        /// The shop's public key, 64 hexadecimal digits, as the shop has published it. Default: the one in the file, which
        /// shows that nothing was changed, and not by whom it was signed
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Seal everything that is sealed (keys, second factors, waiting e-mails, answers of G2A) with the first secret of
    /// LOCKSTEP_KEY_SECRET; afterwards the others can be dropped
    #[command(after_help = "Example:\n  LOCKSTEP_KEY_SECRET=NEW,OLD lockstep keys rotate")]
    Rotate,
    /// Accept the first secret of LOCKSTEP_KEY_SECRET although stored keys were sealed with another, which is lost;
    /// those keys can no longer be shown
    Accept,
    /// Answers of G2A without a readable key: review them, and decide
    #[command(
        subcommand,
        after_help = "Examples:\n  lockstep keys aside list\n  \
                      lockstep keys aside show 0198c0de-... --by ada@example.com\n  \
                      lockstep keys aside accept 0198c0de-... --by ada@example.com < key.txt"
    )]
    Aside(AsideCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AsideCommand {
    /// List what waits for a decision, and the games that are not bought because of such answers
    List,
    /// Open an answer; the audit log records who opened it
    Show {
        /// The answer
        id: uuid::Uuid,
        #[command(flatten)]
        by: By,
    },
    /// Store the key that you found: its unit gets it, or it becomes stock
    Accept {
        /// The answer
        id: uuid::Uuid,
        /// The key. Without it, it is read from the standard input, where a list of processes does not show it
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
        #[command(flatten)]
        by: By,
    },
    /// There is no key in it: its unit is bought again, or refunded
    Discard {
        /// The answer
        id: uuid::Uuid,
        #[command(flatten)]
        by: By,
    },
    /// Resume buying a game that was stopped because its answers contained no keys
    BuyAgain {
        /// G2A's id of the product
        product: String,
        #[command(flatten)]
        by: By,
    },
}

/// In whose name the audit log records it.
#[derive(Debug, clap::Args)]
pub(crate) struct By {
    /// The e-mail address of the admin who does this
    #[arg(long = "by", value_name = "EMAIL")]
    pub(crate) email: String,
}

/// Whether a command line that could not be read asks for JSON.
pub(crate) fn asks_for_json(line: impl Iterator<Item = std::ffi::OsString>) -> bool {
    line.take_while(|word| word != "--").any(|word| word == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    /// Every command, flag and sentence of the help but the settings, whole. After an intended change:
    /// `INSTA_UPDATE=always cargo test -p lockstep`.
    #[test]
    fn the_help_of_every_command_is_as_reviewed() {
        fn add(command: &mut clap::Command, helps: &mut Vec<String>) {
            let name = command
                .get_display_name()
                .unwrap_or_else(|| command.get_name())
                .replace('-', " ");
            helps.push(format!("$ {name} --help\n{}", command.render_long_help()));
            for inner in command
                .get_subcommands_mut()
                .filter(|inner| !matches!(inner.get_name(), "help" | "settings"))
            {
                add(inner, helps);
            }
        }
        let (mut command, mut helps) = (command().term_width(100), Vec::new());
        command.build();
        add(&mut command, &mut helps);
        let helps: Vec<&str> = helps.iter().map(|help| help.trim_end()).collect();
        insta::assert_snapshot!("help", helps.join("\n\n"));
    }

    fn help_of(words: &[&str]) -> String {
        let arguments = [&["lockstep"], words].concat();
        command().try_get_matches_from(arguments).unwrap_err().to_string()
    }

    #[test]
    fn the_help_of_a_command_shows_its_own_options_and_where_the_settings_are() {
        for words in [
            &["--help"][..],
            &["serve", "--help"],
            &["sync", "--help"],
            &["help", "sync"],
            &["promo", "create", "--help"],
            &["keys", "aside", "show", "-h"],
        ] {
            let help = help_of(words);
            assert!(help.contains("lockstep help settings"), "{words:?}: {help}");
            assert!(
                help.contains("--config") && help.contains("--json"),
                "{words:?}: {help}"
            );
            for setting in ["--database-url <", "--bind <", "--smtp-url <", "[env:", "--pace <"] {
                assert!(!help.contains(setting), "{words:?} shows {setting}");
            }
        }
        assert!(help_of(&["sync", "--help"]).contains("--dry-run"));
        assert!(help_of(&["settings", "--help"]).starts_with("Print a sample lockstep.toml"));
        for words in [&["help", "settings"][..], &["settings", "--help"]] {
            let help = help_of(words);
            let all = Settings::arguments_of(clap::Command::new("all"));
            for setting in all.get_arguments() {
                let flag = format!("--{} ", setting.get_long().unwrap());
                assert_eq!(help.contains(&flag), !setting.is_hide_set(), "{flag}");
            }
        }
    }

    #[test]
    fn a_setting_is_taken_before_and_after_any_command() {
        for words in [
            &["lockstep", "--bind", "127.0.0.1:9", "sync", "--full"][..],
            &["lockstep", "sync", "--full", "--bind", "127.0.0.1:9"],
            &["lockstep", "settings", "--bind", "127.0.0.1:9"],
        ] {
            use clap::FromArgMatches as _;
            let matches = command().try_get_matches_from(words).unwrap();
            let cli = Cli::from_arg_matches(&matches).unwrap();
            assert_eq!(cli.settings.bind.as_deref(), Some("127.0.0.1:9"), "{words:?}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
    }
}
