//! Drives headless Chromium for tests: real pages, real clicks, real keys.
//!
//! Chromium speaks its DevTools protocol over two pipes, so this needs no port, no WebSocket and no driver program, and
//! the browser ends when the test program does, however that ends. Everything blocks: a test reads from top to bottom.
//! Waiting is always for a state, with a deadline, never for a time.
//!
//! A [`Page`] lies in a browser context of its own (cookies, cache), so tests do not see each other. What a visitor must
//! never meet fails the test that met it: an error in the console, a breach of the Content-Security-Policy, a request
//! that came to nothing. [`Page::close`] says so; a page that is just dropped panics with it.

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

/// Generous: the machine may be busy, and nothing waits longer than it has to.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at a state that has not come yet.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// Tests that have pages open at a time. Each page is a process that draws; more would only wait for each other.
const TESTS_AT_A_TIME: u32 = 2;

/// A running Chromium that tests of one program share; it ends with its last holder.
#[derive(Debug, Clone)]
pub struct Browser(Arc<Chromium>);

impl Browser {
    /// The browser of this test program, started if nobody holds it.
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

    /// A new page for `visitor`, with cookies and a cache of its own, showing nothing yet. Relative addresses are below
    /// `origin`, `http://127.0.0.1:8080`. Waits while too many other tests have pages open.
    pub fn page(&self, origin: &str, visitor: &Visitor) -> Page {
        let place = Place::take();
        Page::open(self.0.clone(), place, origin, visitor)
    }
}

/// A page's share in the place of its test. All pages of one test (a thread) have one place between them: two tests that
/// hold one each and want a second would wait for each other for ever.
#[derive(Debug)]
struct Place(PhantomData<*const ()>);

static TAKEN: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

thread_local! {
    /// Pages that this thread has open.
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

/// A test that panicked must not take the others with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Looks until `look` finds something; `None` after [`DEADLINE`].
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
