//! A page as a visitor uses it: opens URLs, clicks, types, reads, waits.
//!
//! Elements are given by CSS selector, or by selector and visible name: `"a|Cart"` is the first visible link whose name
//! contains "Cart". A missing element fails the test after a deadline, with the text that the page shows instead.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::launch::Chromium;
use crate::tab::Tab;
use crate::{Key, Place, Visitor, wait_until};

/// Finds an element by `selector` or `selector|name`; prepended to every evaluation that needs it.
const FIND: &str = r"
const all = (what) => {
  const [selector, name] = what.split('|');
  const shown = (e) => e.checkVisibility({visibilityProperty: true});
  const named = (e) => [e.getAttribute('aria-label'), e.innerText, e.value, e.textContent]
      .some((text) => typeof text === 'string' && text.replace(/\s+/g, ' ').includes(name));
  return [...document.querySelectorAll(selector)].filter((e) => name === undefined || (shown(e) && named(e)));
};
const find = (what) => all(what)[0];
";

/// Protocol errors of an evaluation during a navigation.
const BETWEEN_DOCUMENTS: &[&str] = &["navigated or closed", "context was destroyed", "Cannot find context"];

/// Whether the document has been painted. Chromium drops clicks and keys that come before, and gives the focus to an element with
/// `autofocus` just before it paints; on a busy machine all that may be some time after a document has loaded.
const PAINTED: &str = "performance.getEntriesByName('first-contentful-paint').length > 0";

/// Largest height of a screenshot, in CSS pixels.
const TALLEST: f64 = 8000.0;

/// An open page.
#[derive(Debug)]
pub struct Page {
    pub(crate) tab: Tab,
    origin: String,
    visitor: Visitor,
    _place: Place,
}

impl Page {
    pub(crate) fn open(browser: Arc<Chromium>, place: Place, origin: &str, visitor: &Visitor) -> Self {
        Self {
            tab: Tab::open(browser, origin, visitor),
            origin: origin.to_owned(),
            visitor: visitor.clone(),
            _place: place,
        }
    }

    /// Opens a path of the shop, such as `/cart`, and waits until it has loaded.
    pub fn goto(&self, path: &str) {
        let address = format!("{}{path}", self.origin);
        self.following(path, || {
            let answer = self.tab.call("Page.navigate", &json!({"url": address}));
            assert!(answer["errorText"].is_null(), "{address}: {}", answer["errorText"]);
        });
    }

    /// Reloads the page.
    pub fn reload(&self) {
        self.following("a reload", || drop(self.tab.call("Page.reload", &json!({}))));
    }

    /// Goes back in the history, like the browser's button.
    pub fn back(&self) {
        self.following("the page before", || drop(self.evaluate("history.back()")));
    }

    /// Path and query of the current URL.
    pub fn path(&self) -> String {
        self.string("location.pathname + location.search")
    }

    /// The page's title.
    pub fn title(&self) -> String {
        self.string("document.title")
    }

    /// The visible text of the page.
    pub fn text(&self) -> String {
        self.string("document.body.innerText")
    }

    /// The visible text of an element.
    pub fn text_of(&self, what: &str) -> String {
        self.of(what, "e.innerText.trim()")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The value of a field.
    pub fn value_of(&self, what: &str) -> String {
        self.of(what, "e.value").as_str().unwrap_or_default().to_owned()
    }

    /// An attribute of an element, if present.
    pub fn attribute(&self, what: &str, name: &str) -> Option<String> {
        let value = self.of(what, &format!("e.getAttribute({})", json!(name)));
        value.as_str().map(str::to_owned)
    }

    /// The number of matching elements at present.
    pub fn count(&self, what: &str) -> u64 {
        let count = self.evaluate(&format!("{FIND} all({}).length", json!(what)));
        count.as_u64().expect("a count")
    }

    /// The name of the focused element: its label, its name, or its tag.
    pub fn focused(&self) -> String {
        self.string(
            "(() => { const e = document.activeElement;
               return (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.name || e.id
                   || e.tagName).trim(); })()",
        )
    }

    /// Whether an element has or contains the focus.
    pub fn has_focus(&self, what: &str) -> bool {
        self.of(what, "e.contains(document.activeElement)") == true
    }

    /// Waits until an element exists.
    pub fn wait_for(&self, what: &str) {
        self.wait(&format!("{what} to appear"), &format!("{FIND} !!find({})", json!(what)));
    }

    /// Waits until an element is gone.
    pub fn wait_for_no(&self, what: &str) {
        self.wait(&format!("{what} to go"), &format!("{FIND} !find({})", json!(what)));
    }

    /// Waits until the page shows a text.
    pub fn wait_for_text(&self, text: &str) {
        self.wait(
            &format!("{text:?} to be shown"),
            &format!("document.body.innerText.includes({})", json!(text)),
        );
    }

    /// Waits until an expression is true in the page.
    pub fn wait(&self, meaning: &str, expression: &str) {
        // During a navigation there is no document to evaluate in: retry.
        let came = wait_until(|| {
            self.try_evaluate(expression)
                .is_ok_and(|value| value == true)
                .then_some(())
        });
        assert!(
            came.is_some(),
            "waited in vain for {meaning} at {}; the page shows:\n{}",
            self.path(),
            self.text()
        );
    }

    /// Waits until the document at a URL that starts with `start` is completely loaded; before that, its later elements
    /// do not exist.
    pub fn wait_for_path(&self, start: &str) {
        self.wait(
            &format!("the page {start}"),
            &format!(
                "document.readyState === 'complete' && {PAINTED} && location.pathname.startsWith({})",
                json!(start)
            ),
        );
    }

    /// Clicks (or taps) the middle of an element, as a visitor would; panics if another element covers it.
    pub fn click(&self, what: &str) {
        self.wait_for(what);
        // Waits until it has stopped moving: a button that is pressed in one place and released in another is not
        // clicked.
        let mut before = Value::Null;
        let point = wait_until(|| {
            let point = self.of(
                what,
                "(() => { if (document.readyState !== 'complete') return null;
                   e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
                   const box = e.getClientRects()[0];
                   if (!box) return null;
                   const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                   const hit = document.elementFromPoint(x, y);
                   const meant = hit && (e.contains(hit) || hit.contains(e) || hit.control === e
                       || hit.closest('label')?.control === e);
                   return meant ? {x, y} : null; })()",
            );
            let stays = point.is_object() && point == before;
            before = point;
            stays.then(|| before.clone())
        });
        let Some(point) = point else {
            panic!(
                "{what} at {} cannot be clicked: it is hidden, or something lies over it",
                self.path()
            );
        };
        let (x, y) = (&point["x"], &point["y"]);
        self.tab.call(
            "Input.dispatchMouseEvent",
            &json!({"type": "mouseMoved", "x": x, "y": y}),
        );
        for kind in ["mousePressed", "mouseReleased"] {
            self.tab.call(
                "Input.dispatchMouseEvent",
                &json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}),
            );
        }
    }

    /// Clicks an element that navigates to another document and waits until that has loaded.
    pub fn follow(&self, what: &str) {
        self.following(what, || self.click(what));
    }

    /// Clicks an element that downloads a file and waits for it; returns its suggested name and its contents.
    pub fn download(&self, what: &str) -> (String, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a folder for downloads");
        self.tab.download_into(folder.path());
        let before = self.tab.told(|told| told.downloads.len());
        self.click(what);
        let came = wait_until(|| {
            self.tab
                .told(|told| told.downloads.get(before).filter(|file| file.is_complete).cloned())
        });
        let Some(file) = came else {
            panic!("{what} at {} brought no file", self.path());
        };
        let bytes = std::fs::read(folder.path().join(&file.id)).expect("the downloaded file");
        (file.name, bytes)
    }

    /// Types into a field, replacing its value.
    pub fn fill(&self, what: &str, text: &str) {
        self.wait_for(what);
        self.of(
            what,
            "(e.scrollIntoView({block: 'center', behavior: 'instant'}), e.focus(), e.select?.(), true)",
        );
        if text.is_empty() {
            self.press(Key::Backspace);
        } else {
            self.write(text);
        }
    }

    /// Selects an option of a list by its value.
    pub fn choose(&self, what: &str, value: &str) {
        self.wait_for(what);
        let chosen = self.of(
            what,
            &format!(
                "(e.value = {}, e.dispatchEvent(new Event('input', {{bubbles: true}})),
                  e.dispatchEvent(new Event('change', {{bubbles: true}})), e.value)",
                json!(value)
            ),
        );
        assert_eq!(chosen, value, "{what} has no such option");
    }

    /// Types into the focused element.
    pub fn write(&self, text: &str) {
        self.tab.call("Input.insertText", &json!({"text": text}));
    }

    /// Presses and releases a key.
    pub fn press(&self, key: Key) {
        for event in key.events() {
            self.tab.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Presses a key that navigates to another document and waits until that has loaded.
    pub fn press_and_follow(&self, key: Key) {
        self.following(&format!("{key:?}"), || self.press(key));
    }

    /// Presses Tab until an element has the focus; panics if it cannot be reached with the keyboard.
    pub fn tab_to(&self, what: &str) {
        for _ in 0..150 {
            if self.count(what) > 0 && self.has_focus(what) {
                return;
            }
            self.press(Key::Tab);
        }
        panic!("{what} at {} cannot be reached with the tabulator", self.path());
    }

    /// The text in the visitor's clipboard.
    pub fn clipboard(&self) -> String {
        self.string("navigator.clipboard.readText()")
    }

    /// All cookies, as the protocol describes them (`name`, `value`, `httpOnly`, `sameSite`, `secure`).
    pub fn cookies(&self) -> Vec<Value> {
        let answer = self.tab.call("Network.getCookies", &json!({"urls": [self.origin]}));
        answer["cookies"].as_array().cloned().unwrap_or_default()
    }

    /// Deletes a cookie.
    pub fn forget_cookie(&self, name: &str) {
        self.tab
            .call("Network.deleteCookies", &json!({"name": name, "url": self.origin}));
    }

    /// Evaluates an expression in the page and returns its value; promises are awaited.
    pub fn evaluate(&self, expression: &str) -> Value {
        // During a navigation there is no document to evaluate in: retry.
        wait_until(|| match self.try_evaluate(expression) {
            Err(error) if BETWEEN_DOCUMENTS.iter().any(|between| error.contains(between)) => None,
            answer => Some(answer),
        })
        .unwrap_or_else(|| Err("no document stays".to_owned()))
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_evaluate(&self, expression: &str) -> Result<Value, String> {
        let mut answer = self.tab.try_call(
            "Runtime.evaluate",
            &json!({
                // A block, so that definitions of one evaluation do not conflict with those of the next.
                "expression": format!("{{ {expression} }}"),
                "awaitPromise": true,
                "returnByValue": true,
                "userGesture": true,
            }),
        )?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Resizes the window, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let visitor = Visitor {
            width,
            height,
            ..self.visitor.clone()
        };
        visitor.resize(&self.tab);
    }

    /// The elements that exceed the width of the window, so that the page would scroll sideways.
    pub fn overflow(&self) -> Vec<String> {
        let found = self.evaluate(
            "(() => { const width = document.documentElement.clientWidth;
               if (document.documentElement.scrollWidth <= width) return [];
               const scrolls = (e) => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
               const wide = [...document.body.querySelectorAll('*')].filter((e) =>
                   e.checkVisibility() && e.getBoundingClientRect().right > width + 0.5 && !scrolls(e.parentElement));
               return [`${document.documentElement.scrollWidth} px in a window of ${width} px`,
                   ...wide.slice(0, 8).map((e) => e.cloneNode().outerHTML.slice(0, 120))]; })()",
        );
        strings(&found)
    }

    /// Largest contentful paint, in milliseconds, as reported by the browser.
    pub fn largest_paint_ms(&self) -> u64 {
        let found = self.evaluate(
            "new Promise((done) => new PerformanceObserver((list) =>
                 done(Math.round(list.getEntries().at(-1).startTime)))
                 .observe({type: 'largest-contentful-paint', buffered: true}))",
        );
        found.as_u64().expect("milliseconds")
    }

    /// Bytes transferred for this document including headers, without pictures.
    pub fn bytes_without_pictures(&self) -> u64 {
        let found = self.evaluate(
            "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
                 .filter((e) => e.initiatorType !== 'img' && e.initiatorType !== 'image')
                 .reduce((sum, e) => sum + e.transferSize, 0)",
        );
        found.as_u64().expect("bytes")
    }

    /// Writes a screenshot of the whole page as PNG.
    pub fn screenshot(&self, file: &Path) {
        let metrics = self.tab.call("Page.getLayoutMetrics", &json!({}));
        let height = metrics["cssContentSize"]["height"]
            .as_f64()
            .unwrap_or_default()
            .min(TALLEST);
        // As tall as the page, so that lazily loaded content is loaded and sticky elements do not appear in the middle.
        let (width, height) = (self.visitor.width, self.visitor.height.max(whole(height)));
        self.resize(width, height);
        // Including pictures that would be loaded only on scrolling.
        self.evaluate("for (const picture of document.images) picture.loading = 'eager'");
        self.wait("pictures", "[...document.images].every((picture) => picture.complete)");
        let shot = self.tab.call("Page.captureScreenshot", &json!({"format": "png"}));
        self.resize(self.visitor.width, self.visitor.height);
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap_or_default())
            .expect("a picture");
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).expect("a folder for pictures");
        }
        std::fs::write(file, bytes).expect("a picture on the disk");
    }

    /// The errors that a visitor must never encounter, in words: errors in the console, failed scripts, violations of
    /// the Content-Security-Policy, failed requests. Clears them.
    pub fn take_troubles(&self) -> Vec<String> {
        self.tab.told(|told| std::mem::take(&mut told.troubles))
    }

    /// Waits for an error that the test provokes, and clears it.
    pub fn expect_trouble(&self, text: &str) {
        let came = wait_until(|| {
            self.tab.told(|told| {
                let at = told.troubles.iter().position(|trouble| trouble.contains(text))?;
                Some(told.troubles.remove(at))
            })
        });
        assert!(came.is_some(), "{text:?} did not come: {:?}", self.take_troubles());
    }

    /// Panics if errors occurred since the page was opened or errors were last cleared.
    pub fn assert_no_trouble(&self) {
        let troubles = self.take_troubles();
        assert!(troubles.is_empty(), "at {}:\n  {}", self.path(), troubles.join("\n  "));
    }

    /// Closes the page; panics if errors occurred.
    pub fn close(self) {
        self.assert_no_trouble();
    }

    /// Performs an action that navigates to another document, and waits until that has loaded.
    fn following(&self, what: &str, act: impl FnOnce()) {
        let before = self.tab.told(|told| told.documents);
        act();
        let came = wait_until(|| {
            self.tab
                .told(|told| told.documents > before && told.loaded)
                .then_some(())
        });
        assert!(
            came.is_some(),
            "{what} at {} led nowhere; the page shows:\n{}",
            self.path(),
            self.text()
        );
        self.wait("its first paint", PAINTED);
    }

    /// The value of an expression over the first matching element `e`.
    fn of(&self, what: &str, expression: &str) -> Value {
        self.evaluate(&format!(
            "{FIND} ((e) => {{ if (!e) throw new Error('there is no ' + {0}); return {expression}; }})(find({0}))",
            json!(what)
        ))
    }

    fn string(&self, expression: &str) -> String {
        self.evaluate(expression).as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Page {
    /// On failure, prints the page's URL and the errors it met.
    #[expect(clippy::print_stderr, reason = "the output of a failed test is read by a person")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_trouble();
            return;
        }
        let address = self.try_evaluate("location.href").unwrap_or_default();
        eprintln!("the test failed at {address}; troubles: {:?}", self.take_troubles());
    }
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// Rounds up to whole pixels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a height between 0 and TALLEST"
)]
fn whole(height: f64) -> u32 {
    height.ceil() as u32
}
