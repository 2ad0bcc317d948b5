//! `cargo xtask openapi`: checks the API's OpenAPI description with the tools of its consumers.
//!
//! Two linters with their default rules, and client generators whose output is compiled, detect invalid parts,
//! duplicate operation names and types without content. Finally Schemathesis sends valid and invalid requests to a shop
//! and checks the responses against the description. The tools' versions are in `xtask/openapi` and below; they are
//! installed into `.test-tools`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The Python packages of the generator that is not JavaScript, of its type checker, and of Schemathesis.
const PYTHON: [&str; 3] = ["openapi-python-client==0.29.1", "mypy==2.4.1", "schemathesis==4.32.5"];

/// Configuration files of the tools.
const FILES: [&str; 10] = [
    "package.json",
    "package-lock.json",
    "redocly.yaml",
    "spectral.yaml",
    "python-client.yaml",
    "orval.config.cjs",
    "tsconfig.json",
    "use.ts",
    "schemathesis.toml",
    "try.py",
];

/// Writes the description and runs every tool on it.
pub(crate) fn check(root: &Path, as_owner: bool) -> Result<()> {
    super::run(super::cargo().args(super::soak::BUILD))?;
    let program = built(root)?.join("lockstep");
    let document = Command::new(&program)
        .arg("openapi")
        .current_dir(std::env::temp_dir())
        .output()
        .context("lockstep openapi")?;
    let folder = root.join(".test-tools/openapi");
    std::fs::create_dir_all(&folder)?;
    for file in FILES {
        std::fs::copy(root.join("xtask/openapi").join(file), folder.join(file)).with_context(|| file.to_owned())?;
    }
    std::fs::write(folder.join("openapi.json"), document.stdout)?;
    install(&folder).context(
        "the check of the API's description needs Node.js with npm, and Python with pip, and reaches their packages",
    )?;

    let reader = |name: &str, args: &[&str]| {
        let program = folder.join("node_modules/.bin").join(name);
        // Some tools send usage data to their makers.
        let mut command = Command::new(program);
        command.args(args).current_dir(&folder);
        command
            .env("REDOCLY_TELEMETRY", "off")
            .env("DO_NOT_TRACK", "1")
            .env("CI", "true");
        super::run(&mut command)
    };
    reader("redocly", &["lint", "--config", "redocly.yaml", "openapi.json"])?;
    let strictly = ["--ruleset", "spectral.yaml", "--fail-severity", "warn"];
    reader("spectral", &[&["lint", "openapi.json"], &strictly[..]].concat())?;
    reader(
        "openapi-typescript",
        &["openapi.json", "--output", "openapi-typescript.ts"],
    )?;
    reader("orval", &["--config", "orval.config.cjs"])?;
    reader("openapi-ts", &["--input", "openapi.json", "--output", "hey-api"])?;
    reader("tsc", &["--project", "tsconfig.json"])?;

    let path = std::env::var("PATH").unwrap_or_default();
    let python = |args: &[&str]| {
        super::run(
            Command::new(folder.join("python/bin/python"))
                .args(args)
                // The generator formats its code with a program from the same environment.
                .env("PATH", format!("{}:{path}", folder.join("python/bin").display()))
                .current_dir(&folder),
        )
    };
    let generate = [
        "-m",
        "openapi_python_client",
        "generate",
        "--path",
        "openapi.json",
        "--config",
        "python-client.yaml",
        "--meta",
        "none",
    ];
    let strictly = ["--output-path", "shop_client", "--overwrite", "--fail-on-warning"];
    python(&[&generate[..], &strictly].concat())?;
    python(&[
        "-m",
        "mypy",
        "--no-error-summary",
        "--follow-imports=silent",
        "shop_client/models",
        "shop_client/api",
    ])?;
    eprintln!("the API's description is valid, and six readers understand it");
    try_out(root, &folder, &program, as_owner)
}

/// Starts a shop and checks its responses against the description, as a shopper or as an owner.
fn try_out(root: &Path, folder: &Path, program: &Path, as_owner: bool) -> Result<()> {
    let postgres = lockstep_embedded_postgres::provide(&root.join(".test-tools"), true)?;
    // Not in the checkout: an unprivileged PostgreSQL may not have access to it, below /root for example.
    let data = std::env::temp_dir().join(format!("lockstep-openapi-{}", std::process::id()));
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut shop = Command::new(program)
        .args(["serve", "--rate-limits", "off", "--log", "error", "--bind", &address])
        .arg("--data-dir")
        .arg(&data)
        .arg("--pg-bin")
        .arg(postgres.bin_dir())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(std::env::temp_dir())
        .spawn()
        .context("a shop to try the API of")?;
    let python = folder.join("python/bin");
    let tried = super::run(
        Command::new(python.join("python"))
            .args(["try.py", &format!("http://{address}")])
            .arg(python.join("schemathesis"))
            .args([program, &data])
            .arg(if as_owner { "owner" } else { "shopper" })
            .current_dir(folder),
    );
    // Gracefully, so that its private PostgreSQL terminates with it.
    super::run(Command::new("kill").arg(shop.id().to_string()))?;
    shop.wait()?;
    drop(std::fs::remove_dir_all(data));
    tried
}

/// Installs the tools into `folder`, unless the same versions are installed.
fn install(folder: &Path) -> Result<()> {
    let wanted = std::fs::read_to_string(folder.join("package-lock.json"))? + &PYTHON.concat();
    let mark = folder.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm(folder)?;
    super::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear", "python"])
            .current_dir(folder),
    )?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    super::run(
        Command::new(folder.join("python/bin/python"))
            .args(pip)
            .args(PYTHON)
            .current_dir(folder),
    )?;
    Ok(std::fs::write(mark, wanted)?)
}

/// Installs the packages of `package-lock.json` into `folder`, unless they are installed.
pub(crate) fn install_node(folder: &Path) -> Result<()> {
    let wanted = std::fs::read_to_string(folder.join("package-lock.json"))?;
    let mark = folder.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm(folder)?;
    Ok(std::fs::write(mark, wanted)?)
}

fn npm(folder: &Path) -> Result<()> {
    let quietly = [
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
    ];
    super::run(Command::new("npm").args(quietly).current_dir(folder))
}

/// The folder of cargo's build output.
pub(crate) fn built(root: &Path) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(std::path::absolute(target)
        .context("the folder of what was built")?
        .join("debug"))
}
