//! One page of the browser as the protocol sees it: its context, its session, and what it tells unasked.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::launch::Chromium;
use crate::{Visitor, locked};

/// What a page has told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Documents that the page has shown, the empty one at the start not counted.
    pub(crate) documents: u32,
    /// Whether the current one has loaded.
    pub(crate) loaded: bool,
    /// What a visitor must never meet, in words.
    pub(crate) troubles: Vec<String>,
    /// Files that were sent to be kept, in the order in which they came.
    pub(crate) downloads: Vec<Download>,
    /// Requests for documents: an error page is an answer, not trouble.
    document_requests: HashSet<String>,
}

/// A file that a page has sent to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Download {
    /// Under which it lies in the folder for downloads.
    pub(crate) id: String,
    /// What it is to be called.
    pub(crate) name: String,
    /// It is there as a whole.
    pub(crate) is_complete: bool,
}

impl Told {
    fn hear(&mut self, event: &str, params: &Value) {
        match event {
            "Page.frameNavigated" if params["frame"]["parentId"].is_null() => {
                self.documents += 1;
                // A page out of the back-forward cache is there at once and does not load again.
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

/// A target in a context of its own, and the session that talks to it.
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
        // Bodies are not asked for, so none are kept.
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

    /// The same for a call that may fail.
    pub(crate) fn try_call(&self, method: &str, params: &Value) -> Result<Value, String> {
        self.browser
            .pipe()
            .call(Some(&self.session), method, params, crate::DEADLINE)
    }

    /// Has what this page's visitor downloads put into `folder`, each file under an id.
    pub(crate) fn download_into(&self, folder: &Path) {
        self.browser.call(
            None,
            "Browser.setDownloadBehavior",
            &json!({"behavior": "allowAndName", "browserContextId": self.context, "downloadPath": folder}),
        );
    }

    /// Looks at what the page has told.
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
            // A browser that is gone has closed its pages.
            drop(pipe.call(None, method, &params, crate::DEADLINE));
        }
    }
}
