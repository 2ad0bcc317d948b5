//! One page at the level of the protocol: its context, its session, and its events.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::launch::Chromium;
use crate::{Visitor, locked};

/// State collected from a page's events.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Number of documents shown, without the initial empty one.
    pub(crate) documents: u32,
    /// Whether the current document has loaded.
    pub(crate) loaded: bool,
    /// Errors that a visitor must never encounter, in words.
    pub(crate) troubles: Vec<String>,
    /// Downloads, in the order of their start.
    pub(crate) downloads: Vec<Download>,
    /// Ids of document requests: an error page is a valid response to these, not a failed request.
    document_requests: HashSet<String>,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Download {
    /// Its file name in the folder for downloads.
    pub(crate) id: String,
    /// Its suggested name.
    pub(crate) name: String,
    /// Whether it is complete.
    pub(crate) is_complete: bool,
}

impl Told {
    fn hear(&mut self, event: &str, params: &Value) {
        match event {
            "Page.frameNavigated" if params["frame"]["parentId"].is_null() => {
                self.documents += 1;
                // A page restored from the back-forward cache is complete at once and fires no load event.
                self.loaded = params["type"] == "BackForwardCacheRestore";
            }
            "Page.loadEventFired" => self.loaded = true,
            "Page.downloadWillBegin" => self.downloads.push(Download {
                id: text(&params["guid"]).unwrap_or_default(),
                name: text(&params["suggestedFilename"]).unwrap_or_default(),
                is_complete: false,
            }),
            "Page.downloadProgress" if params["state"] == "completed" => {
                for download in self
                    .downloads
                    .iter_mut()
                    .filter(|download| params["guid"] == download.id)
                {
                    download.is_complete = true;
                }
            }
            "Network.requestWillBeSent" if params["type"] == "Document" => {
                self.document_requests.extend(text(&params["requestId"]));
            }
            "Network.loadingFailed" if params["canceled"] != true && params["errorText"] != "net::ERR_ABORTED" => {
                self.troubles.push(format!(
                    "a request failed: {} {}",
                    params["errorText"], params["blockedReason"]
                ));
            }
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let what = text(&details["exception"]["description"]).unwrap_or_else(|| details["text"].to_string());
                self.troubles.push(format!("uncaught in a script: {what}"));
            }
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "assert" => {
                self.troubles.push(format!("console.error: {}", params["args"]));
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                let of_a_document =
                    text(&entry["networkRequestId"]).is_some_and(|id| self.document_requests.contains(&id));
                if !of_a_document {
                    self.troubles
                        .push(format!("console: {} ({})", entry["text"], entry["url"]));
                }
            }
            "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                let details = &params["issue"]["details"]["contentSecurityPolicyIssueDetails"];
                self.troubles
                    .push(format!("against the Content-Security-Policy: {details}"));
            }
            _ => {}
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A target with its own context, and the session that controls it.
#[derive(Debug)]
pub(crate) struct Tab {
    browser: Arc<Chromium>,
    context: String,
    target: String,
    session: String,
    told: Arc<Mutex<Told>>,
}

impl Tab {
    pub(crate) fn open(browser: Arc<Chromium>, origin: &str, visitor: &Visitor) -> Self {
        let ask = |method: &str, params: Value, field: &str| {
            let answer = browser.call(None, method, &params);
            text(&answer[field]).unwrap_or_else(|| panic!("{method} answered {answer}"))
        };
        let context = ask("Target.createBrowserContext", json!({}), "browserContextId");
        let target = ask(
            "Target.createTarget",
            json!({"url": "about:blank", "browserContextId": context}),
            "targetId",
        );
        let session = ask(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
            "sessionId",
        );
        browser.call(
            None,
            "Browser.grantPermissions",
            &json!({
                "origin": origin,
                "browserContextId": context,
                "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"],
            }),
        );
        let told = Arc::new(Mutex::new(Told::default()));
        let heard = told.clone();
        browser.pipe().listen(
            &session,
            Box::new(move |event, params| locked(&heard).hear(event, params)),
        );
        let tab = Self {
            browser,
            context,
            target,
            session,
            told,
        };
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        // Response bodies are not read, so none are buffered.
        tab.call(
            "Network.enable",
            &json!({"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}),
        );
        tab.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        visitor.apply(&tab);
        tab
    }

    /// Calls a method on this page.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Like `call`, for a call that may fail.
    pub(crate) fn try_call(&self, method: &str, params: &Value) -> Result<Value, String> {
        self.browser
            .pipe()
            .call(Some(&self.session), method, params, crate::DEADLINE)
    }

    /// Saves this page's downloads to `folder`, each file under an id.
    pub(crate) fn download_into(&self, folder: &Path) {
        self.browser.call(
            None,
            "Browser.setDownloadBehavior",
            &json!({"behavior": "allowAndName", "browserContextId": self.context, "downloadPath": folder}),
        );
    }

    /// Accesses the collected state.
    pub(crate) fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut locked(&self.told))
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let pipe = self.browser.pipe();
        pipe.forget(&self.session);
        for (method, params) in [
            ("Target.closeTarget", json!({"targetId": self.target})),
            (
                "Target.disposeBrowserContext",
                json!({"browserContextId": self.context}),
            ),
        ] {
            // If the browser has terminated, its pages are closed already.
            drop(pipe.call(None, method, &params, crate::DEADLINE));
        }
    }
}
