//! Rules about the files that run and observe a shop: what they name has to exist in the product, and the programs that
//! read them have to accept them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::on_path;

/// Files that set variables of the product or of its tests.
const CONTAINERS: &[&str] = &[
    "Dockerfile",
    "compose.yaml",
    "deploy/backup.sh",
    "deploy/caddy/Caddyfile",
    "deploy/kubernetes/database.yaml",
    "deploy/kubernetes/kustomization.yaml",
    "deploy/kubernetes/web.yaml",
    "deploy/kubernetes/worker.yaml",
    "deploy/nginx/lockstep.conf",
    "deploy/secrets.sh",
    "deploy/systemd/lockstep-backup.service",
    "deploy/systemd/lockstep-web@.service",
    "deploy/systemd/lockstep-worker.service",
    "deploy/systemd/lockstep.service",
    ".devcontainer/Dockerfile",
    ".devcontainer/devcontainer.json",
];

/// Files that name metrics.
const OBSERVABILITY: &[&str] = &["deploy/observability/alerts.yml", "deploy/observability/dashboard.json"];

/// The Python package with the schemas of Kubernetes' resources.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// The version of Kubernetes that the manifests are for.
const KUBERNETES: &str = "1.34";
/// The most exposure that `systemd-analyze security` may see in a unit, in tenths: 2.0 of 10.
const EXPOSURE: &str = "20";

/// How names of settings begin.
const SETTINGS: &[&str] = &[
    "CORS_",
    "DATABASE_",
    "G2A_",
    "JWT_",
    "LOCKSTEP_",
    "MOLLIE_",
    "PAYMENT_",
    "REDIS_",
    "SMTP_",
    "STRIPE_",
];

/// How names of metrics begin.
const METRICS: &[&str] = &["lockstep_", "http_"];

/// What follows the name of a histogram in the names of its series.
const OF_HISTOGRAM: &[&str] = &["_bucket", "_count", "_sum"];

/// Checks both kinds of files; `sources` is all Rust code of the project.
pub(crate) fn check(root: &Path, sources: &str, breaches: &mut Vec<String>) -> Result<()> {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
    for file in CONTAINERS {
        for name in unknown(&read(file)?, SETTINGS, sources) {
            breaches.push(format!("{file} names {name}, which no source reads"));
        }
    }
    let operations = read("docs/operations.md")?;
    let sections: BTreeSet<String> = operations.lines().filter_map(anchor).collect();
    for file in OBSERVABILITY {
        for name in unknown(&read(file)?, METRICS, sources) {
            breaches.push(format!("{file} names the metric {name}, which no source records"));
        }
    }
    for alert in read("deploy/observability/alerts.yml")?
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .filter(|alert| !operations.contains(&format!("| `{alert}` |")))
    {
        breaches.push(format!(
            "docs/operations.md does not say what to do at the alert {alert}"
        ));
    }
    for file in CONTAINERS.iter().chain(OBSERVABILITY) {
        let text = read(file)?;
        for section in text.split("docs/operations.md#").skip(1) {
            let section: String = section.chars().take_while(|&c| is_of_anchor(c)).collect();
            if !sections.contains(&section) {
                breaches.push(format!(
                    "{file} refers to docs/operations.md#{section}, which is no section"
                ));
            }
        }
    }
    // The images compile with a toolchain that the sources support.
    let supported = read("Cargo.toml")?;
    let supported = supported
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap_or_default()
        .trim_matches('"');
    for file in ["Dockerfile", ".devcontainer/Dockerfile"] {
        let text = read(file)?;
        let image = format!("FROM rust:{supported}.");
        let toolchain = format!("RUSTUP_TOOLCHAIN={supported}.");
        if !text.contains(&image) || !text.contains(&toolchain) {
            breaches.push(format!(
                "{file} does not use Rust {supported}, the rust-version of Cargo.toml, as image and RUSTUP_TOOLCHAIN"
            ));
        }
    }
    Ok(())
}

/// Checks the files with the programs that read them: the manifests against Kubernetes' schemas, the examples of reverse
/// proxies with nginx and Caddy, the units with systemd. What is not installed is named and left out.
pub(crate) fn validate(root: &Path) -> Result<()> {
    let folder = root.join(".test-tools/deploy");
    std::fs::create_dir_all(&folder)?;
    match validator(&folder) {
        Ok(python) => super::run(
            Command::new(python)
                .arg(root.join("xtask/deploy/validate.py"))
                .arg(root.join("deploy/kubernetes"))
                .arg(KUBERNETES),
        )?,
        Err(error) => eprintln!("the manifests for Kubernetes were NOT checked: {error:#}"),
    }
    super::run(Command::new("sh").arg("-n").arg(root.join("deploy/backup.sh")))?;
    match installed("nginx") {
        Some(nginx) => accepted_by_nginx(&nginx, root, &folder)?,
        None => eprintln!("deploy/nginx was NOT checked: no nginx on this machine"),
    }
    match installed("caddy") {
        Some(caddy) => super::run(
            Command::new(caddy)
                .args(["validate", "--adapter", "caddyfile", "--config"])
                .arg(root.join("deploy/caddy/Caddyfile"))
                .env("SHOP_DOMAIN", "shop.example")
                .env("HOME", &folder),
        )?,
        None => eprintln!("deploy/caddy was NOT checked: no Caddy on this machine"),
    }
    let Some(analyze) = installed("systemd-analyze") else {
        eprintln!("deploy/systemd was NOT checked: no systemd-analyze on this machine");
        return Ok(());
    };
    accepted_by_systemd(&analyze, root, &folder)
}

/// A program of this machine, also one in a folder that is only on root's `PATH`.
fn installed(name: &str) -> Option<PathBuf> {
    let usual = Path::new("/usr/sbin").join(name);
    on_path(name).or_else(|| usual.is_file().then_some(usual))
}

/// A Python that has the package with Kubernetes' schemas.
fn validator(folder: &Path) -> Result<PathBuf> {
    let (python, mark) = (folder.join("python/bin/python"), folder.join("installed"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == SCHEMAS) {
        return Ok(python);
    }
    super::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder.join("python")),
    )?;
    super::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--retries", "2", "--timeout", "20"])
            .arg(SCHEMAS),
    )?;
    std::fs::write(mark, SCHEMAS)?;
    Ok(python)
}

/// Has nginx read the example, with a certificate made for the purpose where it has one by Let's Encrypt.
fn accepted_by_nginx(nginx: &Path, root: &Path, folder: &Path) -> Result<()> {
    let (key, certificate) = (folder.join("privkey.pem"), folder.join("fullchain.pem"));
    super::run(
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-batch",
                "-subj",
                "/CN=shop.example",
            ])
            .args(["-days", "1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    )?;
    let example = std::fs::read_to_string(root.join("deploy/nginx/lockstep.conf"))?
        .replace("/etc/letsencrypt/live/shop.example", &folder.display().to_string());
    std::fs::write(folder.join("lockstep.conf"), example)?;
    let around = format!(
        "pid {folder}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\ninclude {folder}/lockstep.conf;\n}}\n",
        folder = folder.display()
    );
    std::fs::write(folder.join("nginx.conf"), around)?;
    super::run(
        Command::new(nginx)
            .args(["-t", "-q", "-e", "stderr", "-c"])
            .arg(folder.join("nginx.conf")),
    )
}

/// Has systemd read the units, with the shop's program replaced by one that every machine has.
fn accepted_by_systemd(analyze: &Path, root: &Path, folder: &Path) -> Result<()> {
    let units = folder.join("units");
    drop(std::fs::remove_dir_all(&units));
    std::fs::create_dir_all(&units)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("deploy/systemd"))? {
        let entry = entry?;
        let text = std::fs::read_to_string(entry.path())?
            .replace("/usr/local/bin/lockstep ", "/bin/sh ")
            .replace("/usr/local/lib/lockstep/backup.sh", "/dev/null");
        // A template is read as one of its instances.
        let name = entry.file_name().to_string_lossy().replace("@.", "@8080.");
        std::fs::write(units.join(&name), text)?;
        files.push(units.join(name));
    }
    super::run(Command::new(analyze).args(["verify", "--man=no"]).args(&files))?;
    for unit in files
        .iter()
        .filter(|unit| unit.extension().is_some_and(|kind| kind == "service"))
    {
        super::run(
            Command::new(analyze)
                .args(["security", "--no-pager", "--offline=true", "--threshold"])
                .arg(EXPOSURE)
                .arg(unit)
                .stdout(std::process::Stdio::null()),
        )?;
    }
    Ok(())
}

/// Words of `text` that begin like one of `kinds` and are no string literal in `sources`, nor the series of a histogram
/// that is one.
fn unknown(text: &str, kinds: &[&str], sources: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_part(character))
        .filter(|word| {
            kinds
                .iter()
                .any(|kind| word.starts_with(kind) && word.len() > kind.len())
        })
        .filter(|word| {
            let is_named = |name: &str| sources.contains(&format!("\"{name}\""));
            let is_series = |end: &&str| word.strip_suffix(*end).is_some_and(is_named);
            !is_named(word) && !OF_HISTOGRAM.iter().any(is_series)
        })
        .map(str::to_owned)
        .collect()
}

/// The address of a heading within its page.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let heading = heading.to_lowercase().replace(' ', "-");
    Some(heading.chars().filter(|&c| is_of_anchor(c)).collect())
}

fn is_of_anchor(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_source_has_are_found() {
        let sources = "metrics::counter!(\"lockstep_sales_total\"); env = \"LOCKSTEP_BIND\"";
        let found = |text, kinds| unknown(text, kinds, sources).into_iter().collect::<Vec<_>>();
        assert_eq!(
            found("rate(lockstep_sales_total{x=\"y\"}[5m]) / lockstep_sales", METRICS),
            ["lockstep_sales"]
        );
        assert_eq!(
            found("lockstep_sales_total_bucket lockstep_sales_bucket", METRICS),
            ["lockstep_sales_bucket"]
        );
        assert_eq!(
            found("LOCKSTEP_BIND=0.0.0.0:8080 LOCKSTEP_BIN=x POSTGRES_USER=y", SETTINGS),
            ["LOCKSTEP_BIN"]
        );
    }

    #[test]
    fn headings_have_the_addresses_that_links_use() {
        assert_eq!(anchor("## E-mail").as_deref(), Some("e-mail"));
        assert_eq!(
            anchor("### A synchronisation that failed, or was interrupted").as_deref(),
            Some("a-synchronisation-that-failed-or-was-interrupted")
        );
        assert_eq!(anchor("#hashtag"), None);
        assert_eq!(anchor("text"), None);
    }
}
