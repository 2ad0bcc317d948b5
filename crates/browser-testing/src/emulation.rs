//! Emulated visitors: screen, colours, motion, scripts, language, network.

use serde_json::{Value, json};

use crate::tab::Tab;

/// The environment in which pages are opened. [`Visitor::default`] is a desktop: 1440 × 900, light, scripts on,
/// English.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "preferences do not depend on each other")]
pub struct Visitor {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Height of the window in CSS pixels.
    pub height: u32,
    /// Touch input and the layout of a mobile viewport.
    pub phone: bool,
    /// Prefers dark colours.
    pub dark: bool,
    /// Prefers reduced motion. On by default: a test does not wait for an animation.
    pub still: bool,
    /// Whether scripts run.
    pub scripts: bool,
    /// `Accept-Language`.
    pub language: &'static str,
    /// Speed of the network; `None`: unlimited.
    pub network: Option<Network>,
}

/// Speed of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Minimum latency from a request to the first byte of its response, in milliseconds.
    pub latency_ms: u32,
    /// Download speed, in bytes per second.
    pub down: u32,
    /// Upload speed, in bytes per second.
    pub up: u32,
}

/// Slow 4G as Lighthouse defines it: 150 ms, 1.6 Mbit/s down, 750 kbit/s up.
pub const NETWORK_SLOW_4G: Network = Network {
    latency_ms: 150,
    down: 1_600_000 / 8,
    up: 750_000 / 8,
};

impl Default for Visitor {
    fn default() -> Self {
        Self {
            width: 1440,
            height: 900,
            phone: false,
            dark: false,
            still: true,
            scripts: true,
            language: "en-GB,en",
            network: None,
        }
    }
}

impl Visitor {
    /// A phone: 390 × 844.
    pub fn on_a_phone() -> Self {
        Self {
            width: 390,
            height: 844,
            phone: true,
            ..Self::default()
        }
    }

    /// Resizes the window of `tab` to this visitor's size.
    pub(crate) fn resize(&self, tab: &Tab) {
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": self.width, "height": self.height, "deviceScaleFactor": 1, "mobile": self.phone}),
        );
    }

    /// Applies the emulation to `tab`.
    pub(crate) fn apply(&self, tab: &Tab) {
        let tell = |method: &str, params: Value| drop(tab.call(method, &params));
        self.resize(tab);
        tell(
            "Emulation.setTouchEmulationEnabled",
            json!({"enabled": self.phone, "maxTouchPoints": 5}),
        );
        let scheme = if self.dark { "dark" } else { "light" };
        let motion = if self.still { "reduce" } else { "no-preference" };
        tell(
            "Emulation.setEmulatedMedia",
            json!({"features": [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": motion},
            ]}),
        );
        tell("Emulation.setScriptExecutionDisabled", json!({"value": !self.scripts}));
        tell(
            "Network.setExtraHTTPHeaders",
            json!({"headers": {"Accept-Language": self.language}}),
        );
        let locale = self.language.split(',').next().unwrap_or("en-GB");
        tell("Emulation.setLocaleOverride", json!({"locale": locale}));
        if let Some(network) = self.network {
            tell(
                "Network.emulateNetworkConditions",
                json!({
                    "offline": false,
                    "latency": network.latency_ms,
                    "downloadThroughput": network.down,
                    "uploadThroughput": network.up,
                }),
            );
        }
    }
}
