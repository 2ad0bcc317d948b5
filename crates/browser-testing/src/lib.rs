//! Drives headless Chromium for tests: real pages, real clicks, real keys.
//!
//! Chromium speaks its DevTools protocol over two pipes, so no port, no WebSocket and no driver program is needed, and
//! the browser terminates with the test program, however that ends. All calls block: a test reads from top to bottom.
//! Waiting is always for a state, with a deadline, never for a fixed time.
//!
//! Each [`Page`] has its own browser context (cookies, cache), so tests are isolated. Errors that a visitor must never
//! encounter fail the test: an error in the console, a violation of the Content-Security-Policy, a failed request.
//! [`Page::close`] reports them; a page that is merely dropped panics with them.

#![allow(clippy::disallowed_methods, reason = "a deadline bounds the wait for a real browser")]
#![expect(
    clippy::expect_used,
    reason = "a test whose browser does not do what it is told has failed"
)]

mod accessibility;
mod emulation;
mod input;
mod launch;
mod page;
mod pipe;
mod tab;

pub use accessibility::{Impact, Violation};
pub use emulation::{NETWORK_SLOW_4G, Network, Visitor};
pub use input::Key;
pub use page::Page;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::launch::Chromium;

/// Time limit of every wait. Generous, because the machine may be busy; no wait takes longer than necessary.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Interval at which a state is polled.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// Highest number of concurrent tests with open pages. Each page is a rendering process; more would compete for the
/// CPU.
const TESTS_AT_A_TIME: u32 = 2;

/// A running Chromium that the tests of one program share; it terminates with its last handle.
#[derive(Debug, Clone)]
pub struct Browser(Arc<Chromium>);

impl Browser {
    /// The browser of this test program, started if no test has a handle to it.
    ///
    /// Found in `LOCKSTEP_CHROMIUM_BIN`, else on the `PATH`; `cargo xtask test` provides it.
    pub fn shared() -> Self {
        static RUNNING: Mutex<Weak<Chromium>> = Mutex::new(Weak::new());
        let mut running = locked(&RUNNING);
        if let Some(browser) = running.upgrade().filter(|browser| browser.is_alive()) {
            return Self(browser);
        }
        let browser = Arc::new(Chromium::start());
        *running = Arc::downgrade(&browser);
        Self(browser)
    }

    /// Opens an empty page for `visitor`, with its own cookies and cache. Relative URLs are resolved against `origin`,
    /// such as `http://127.0.0.1:8080`. Blocks while too many other tests have pages open.
    pub fn page(&self, origin: &str, visitor: &Visitor) -> Page {
        let place = Place::take();
        Page::open(self.0.clone(), place, origin, visitor)
    }
}

/// A page's share of its test's slot. All pages of one test (a thread) share one slot: two tests that hold one slot
/// each and wait for a second would deadlock.
#[derive(Debug)]
struct Place(PhantomData<*const ()>);

static TAKEN: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

thread_local! {
    /// Number of pages that this thread has open.
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

impl Place {
    fn take() -> Self {
        if OPEN.replace(OPEN.get() + 1) == 0 {
            let mut taken = locked(&TAKEN.0);
            while *taken >= TESTS_AT_A_TIME {
                taken = TAKEN.1.wait(taken).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            *taken += 1;
        }
        Self(PhantomData)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if OPEN.replace(OPEN.get() - 1) == 1 {
            *locked(&TAKEN.0) -= 1;
            TAKEN.1.notify_one();
        }
    }
}

/// Locks a mutex even if it is poisoned, because a test that panicked must not fail the others.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Polls `look` until it returns something; `None` after [`DEADLINE`].
pub fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if started.elapsed() > DEADLINE {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
