//! Finds Chromium, starts it without any user's profile, and terminates it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pipe::Pipe;
use crate::{DEADLINE, locked};

/// Program names of Chromium.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Headless, without background services, and without connections other than to the pages under test.
const FLAGS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    // Tests may run as root, and in containers that forbid namespaces; they open only our own pages.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication",
    "--password-store=basic",
    "--use-mock-keychain",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    // Local addresses only: not even DNS queries leave the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--proxy-server=direct://",
];

/// A running Chromium with an empty profile, which is removed with it.
#[derive(Debug)]
pub(crate) struct Chromium {
    pipe: Pipe,
    child: Mutex<Child>,
    /// Its profile; removed after the browser has terminated.
    _profile: TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let profile = tempfile::Builder::new()
            .prefix("lockstep-browser-")
            .tempdir()
            .expect("a folder for the browser's profile");
        // Chromium reads commands from descriptor 3 and writes responses to 4; a shell connects our pipes to them.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(binary())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // Fonts and settings are the machine's; a separate home directory excludes the user's.
            .env("HOME", profile.path())
            .env_remove("DISPLAY")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let pipe = Pipe::new(
            child.stdin.take().expect("the browser's input"),
            child.stdout.take().expect("the browser's output"),
        );
        let browser = Self {
            pipe,
            child: Mutex::new(child),
            _profile: profile,
        };
        browser.call(None, "Browser.getVersion", &json!({}));
        browser
    }

    pub(crate) fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// Calls a method of the protocol and returns its response.
    pub(crate) fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.pipe
            .call(session, method, params, DEADLINE)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn is_alive(&self) -> bool {
        matches!(locked(&self.child).try_wait(), Ok(None))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        drop(
            self.pipe
                .call(None, "Browser.close", &json!({}), Duration::from_secs(5)),
        );
        let mut child = locked(&self.child);
        drop(child.kill());
        drop(child.wait());
    }
}

fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("LOCKSTEP_CHROMIUM_BIN") {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)))
        .find(|file| Path::is_file(file))
        .expect(
            "browser tests need Chromium: install it (Debian: apt-get install chromium), name one in \
             LOCKSTEP_CHROMIUM_BIN, or run `cargo xtask test`, which provides it",
        )
}
