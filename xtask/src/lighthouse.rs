//! `cargo xtask lighthouse`: has Lighthouse judge pages of the console, for accessibility and best practices.
//!
//! It starts a demo, whose printed link signs its owner in, and buys something there. The versions of Lighthouse and of what
//! drives Chromium are in `xtask/lighthouse`; they are installed into `.test-tools`. The reports are left in
//! `target/lighthouse`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::{browser, openapi};

const FILES: [&str; 3] = ["package.json", "package-lock.json", "run.mjs"];

/// What stands before the link on the demo's output.
const LINK: &str = "Open the console as the owner of this demo";

/// Fails when a score is below 100.
pub(crate) fn check(root: &Path) -> Result<()> {
    super::run(super::cargo().args(super::soak::BUILD))?;
    let program = openapi::built(root)?.join("lockstep");
    let tools = root.join(".test-tools");
    let folder = tools.join("lighthouse");
    std::fs::create_dir_all(&folder)?;
    for file in FILES {
        std::fs::copy(root.join("xtask/lighthouse").join(file), folder.join(file)).with_context(|| file.to_owned())?;
    }
    openapi::install_node(&folder).context("this needs Node.js with npm, and reaches their packages")?;
    let chromium = browser::prepare(&tools)?.chromium;
    let reports = root.join("target/lighthouse");
    std::fs::create_dir_all(&reports)?;

    let postgres = lockstep_embedded_postgres::provide(&tools, true)?;
    // Not in the checkout: an unprivileged PostgreSQL may not have access to it, below /root for example.
    let data = std::env::temp_dir().join(format!("lockstep-lighthouse-{}", std::process::id()));
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut shop = Command::new(program)
        .args(["serve", "--rate-limits", "off", "--log", "error", "--bind"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(&data)
        .arg("--pg-bin")
        .arg(postgres.bin_dir())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .spawn()
        .context("a demo to look at")?;
    let looked = look(&mut shop, &folder, &chromium, &reports, port);
    // Gracefully, so that its private PostgreSQL terminates with it.
    super::run(Command::new("kill").arg(shop.id().to_string()))?;
    shop.wait()?;
    drop(std::fs::remove_dir_all(data));
    looked.with_context(|| format!("the reports are in {}", reports.display()))
}

fn look(shop: &mut std::process::Child, folder: &Path, chromium: &Path, reports: &Path, port: u16) -> Result<()> {
    let output = shop.stdout.take().context("the demo's output")?;
    let link = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            line.starts_with(LINK)
                .then(|| line.rsplit(' ').next().map(str::to_owned))?
        })
        .context("the demo printed no link for its owner")?;
    super::run(
        Command::new("node")
            .arg("run.mjs")
            .arg(format!("http://127.0.0.1:{port}"))
            .arg(link)
            .args([chromium, reports])
            .current_dir(folder),
    )
}
