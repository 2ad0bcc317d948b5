//! A page as a visitor uses it: opens addresses, clicks, types, reads, waits.
//!
//! Things are named by CSS selector, or by selector and visible name: `"a|Cart"` is the first visible link whose name
//! contains "Cart". What is not there fails the test after a deadline, with what the page shows instead.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::launch::Chromium;
use crate::tab::Tab;
use crate::{Key, Place, Visitor, wait_until};

/// Finds a thing by `selector` or `selector|name`; defined in every evaluation that looks for things.
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

/// What the browser says when a document goes while it is asked something.
const BETWEEN_DOCUMENTS: &[&str] = &["navigated or closed", "context was destroyed", "Cannot find context"];

/// The tallest picture of a page that is taken.
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

    /// Goes to an address of the store, `/cart`, and waits until it has loaded.
    pub fn goto(&self, path: &str) {
        let address = format!("{}{path}", self.origin);
        self.following(path, || {
            let answer = self.tab.call("Page.navigate", &json!({"url": address}));
            assert!(answer["errorText"].is_null(), "{address}: {}", answer["errorText"]);
        });
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.following("a reload", || drop(self.tab.call("Page.reload", &json!({}))));
    }

    /// Goes back, as with the browser's button.
    pub fn back(&self) {
        self.following("the page before", || drop(self.evaluate("history.back()")));
    }

    /// Path and query of the current address.
    pub fn path(&self) -> String {
        self.string("location.pathname + location.search")
    }

    /// The page's title.
    pub fn title(&self) -> String {
        self.string("document.title")
    }

    /// The text that the page shows.
    pub fn text(&self) -> String {
        self.string("document.body.innerText")
    }

    /// The text that a thing shows.
    pub fn text_of(&self, what: &str) -> String {
        self.of(what, "e.innerText.trim()")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What a field holds.
    pub fn value_of(&self, what: &str) -> String {
        self.of(what, "e.value").as_str().unwrap_or_default().to_owned()
    }

    /// An attribute of a thing, if it has it.
    pub fn attribute(&self, what: &str, name: &str) -> Option<String> {
        let value = self.of(what, &format!("e.getAttribute({})", json!(name)));
        value.as_str().map(str::to_owned)
    }

    /// How many there are now.
    pub fn count(&self, what: &str) -> u64 {
        let count = self.evaluate(&format!("{FIND} all({}).length", json!(what)));
        count.as_u64().expect("a count")
    }

    /// Name of what has the focus: its label, its name, or what it is.
    pub fn focused(&self) -> String {
        self.string(
            "(() => { const e = document.activeElement;
               return (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.name || e.id
                   || e.tagName).trim(); })()",
        )
    }

    /// Whether the focus is on (or in) a thing.
    pub fn has_focus(&self, what: &str) -> bool {
        self.of(what, "e.contains(document.activeElement)") == true
    }

    /// Waits until a thing is there.
    pub fn wait_for(&self, what: &str) {
        self.wait(&format!("{what} to appear"), &format!("{FIND} !!find({})", json!(what)));
    }

    /// Waits until a thing is gone.
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

    /// Waits until an expression in the page is true.
    pub fn wait(&self, meaning: &str, expression: &str) {
        // Between two documents there is nothing to ask; that passes.
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

    /// Waits until the document at an address that starts so has come whole; while it is still arriving, what is
    /// further down on it is not there yet.
    pub fn wait_for_path(&self, start: &str) {
        self.wait(
            &format!("the page {start}"),
            &format!(
                "document.readyState === 'complete' && location.pathname.startsWith({})",
                json!(start)
            ),
        );
    }

    /// Clicks (or taps) a thing in its middle, where a visitor would; fails if something else lies over it.
    pub fn click(&self, what: &str) {
        self.wait_for(what);
        // Where nothing moves any more: a button that is pressed in one place and let go in another is not clicked.
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

    /// Clicks a thing that leads to another document and waits until that has loaded.
    pub fn follow(&self, what: &str) {
        self.following(what, || self.click(what));
    }

    /// Clicks a thing that leads to a file, and waits until that has come: what it is to be called, and what is in it.
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

    /// Types into a field, over what it holds.
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

    /// Chooses an option of a list by its value.
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

    /// Types where the focus is.
    pub fn write(&self, text: &str) {
        self.tab.call("Input.insertText", &json!({"text": text}));
    }

    /// Presses and releases a key.
    pub fn press(&self, key: Key) {
        for event in key.events() {
            self.tab.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Presses a key that leads to another document and waits until that has loaded.
    pub fn press_and_follow(&self, key: Key) {
        self.following(&format!("{key:?}"), || self.press(key));
    }

    /// Moves on with the tabulator until a thing has the focus; fails if it cannot be reached with the keyboard.
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

    /// Loses a cookie.
    pub fn forget_cookie(&self, name: &str) {
        self.tab
            .call("Network.deleteCookies", &json!({"name": name, "url": self.origin}));
    }

    /// What an expression is worth in the page; promises are waited for.
    pub fn evaluate(&self, expression: &str) -> Value {
        // Between two documents there is nobody to ask; that passes.
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
                // A block of its own: what one evaluation defines is not in the way of the next.
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

    /// Gives the window another size, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let visitor = Visitor {
            width,
            height,
            ..self.visitor.clone()
        };
        visitor.resize(&self.tab);
    }

    /// What does not fit into the width of the window, so that the page would scroll sideways.
    pub fn overflow(&self) -> Vec<String> {
        let found = self.evaluate(
            "(() => { const width = document.documentElement.clientWidth;
               if (document.documentElement.scrollWidth <= width) return [];
               const wide = [...document.body.querySelectorAll('*')].filter((e) =>
                   e.checkVisibility() && e.getBoundingClientRect().right > width + 0.5);
               return [`${document.documentElement.scrollWidth} px in a window of ${width} px`,
                   ...wide.slice(0, 8).map((e) => e.cloneNode().outerHTML.slice(0, 120))]; })()",
        );
        strings(&found)
    }

    /// Milliseconds until the largest content was painted, as the browser reports it.
    pub fn largest_paint_ms(&self) -> u64 {
        let found = self.evaluate(
            "new Promise((done) => new PerformanceObserver((list) =>
                 done(Math.round(list.getEntries().at(-1).startTime)))
                 .observe({type: 'largest-contentful-paint', buffered: true}))",
        );
        found.as_u64().expect("milliseconds")
    }

    /// Bytes that came over the network for this document, pictures not counted, headers included.
    pub fn bytes_without_pictures(&self) -> u64 {
        let found = self.evaluate(
            "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
                 .filter((e) => e.initiatorType !== 'img' && e.initiatorType !== 'image')
                 .reduce((sum, e) => sum + e.transferSize, 0)",
        );
        found.as_u64().expect("bytes")
    }

    /// Writes a picture of the whole page as PNG.
    pub fn screenshot(&self, file: &Path) {
        let metrics = self.tab.call("Page.getLayoutMetrics", &json!({}));
        let height = metrics["cssContentSize"]["height"]
            .as_f64()
            .unwrap_or_default()
            .min(TALLEST);
        // As tall as the page, so that what is loaded late is loaded and nothing sticks in the middle.
        let (width, height) = (self.visitor.width, self.visitor.height.max(whole(height)));
        self.resize(width, height);
        // Also those that would wait until somebody scrolls to them.
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

    /// What a visitor must never meet and did, in words: errors in the console, scripts that failed, breaches of the
    /// Content-Security-Policy, requests that came to nothing. Forgets them.
    pub fn take_troubles(&self) -> Vec<String> {
        self.tab.told(|told| std::mem::take(&mut told.troubles))
    }

    /// Waits for trouble that a test means to cause, and forgets it.
    pub fn expect_trouble(&self, text: &str) {
        let came = wait_until(|| {
            self.tab.told(|told| {
                let at = told.troubles.iter().position(|trouble| trouble.contains(text))?;
                Some(told.troubles.remove(at))
            })
        });
        assert!(came.is_some(), "{text:?} did not come: {:?}", self.take_troubles());
    }

    /// Fails if the page met trouble since it was opened or since troubles were taken.
    pub fn assert_no_trouble(&self) {
        let troubles = self.take_troubles();
        assert!(troubles.is_empty(), "at {}:\n  {}", self.path(), troubles.join("\n  "));
    }

    /// Ends the visit; fails if it met trouble.
    pub fn close(self) {
        self.assert_no_trouble();
    }

    /// Does something that leads to another document, and waits until that has loaded.
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
    }

    /// What an expression over the first `e` is worth.
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
    /// A test that fails leaves word of where it was.
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

/// Whole pixels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a height between 0 and TALLEST"
)]
fn whole(height: f64) -> u32 {
    height.ceil() as u32
}
