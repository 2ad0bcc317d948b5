//! The DevTools protocol over two pipes: JSON messages, each terminated by a NUL.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::locked;

/// A listener for the events of one session.
type Listener = Box<dyn Fn(&str, &Value) + Send>;

/// Both pipes, and the callers that wait for responses.
pub(crate) struct Pipe {
    input: Mutex<(u64, ChildStdin)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Callers that wait for the response to a message number; dropping a sender signals that the browser has
    /// terminated.
    waiting: Mutex<HashMap<u64, Sender<Value>>>,
    listeners: Mutex<HashMap<String, Listener>>,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipe")
    }
}

impl Pipe {
    pub(crate) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        std::thread::spawn(move || {
            state.read(output);
            // The end of the output means that the browser has terminated: release all waiting callers.
            locked(&state.waiting).clear();
        });
        Self {
            input: Mutex::new((0, input)),
            shared,
        }
    }

    /// Calls `method` and waits for its response.
    pub(crate) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: &Value,
        patience: Duration,
    ) -> Result<Value, String> {
        let (answered, answer) = channel();
        let id = {
            let mut input = locked(&self.input);
            input.0 += 1;
            let id = input.0;
            locked(&self.shared.waiting).insert(id, answered);
            let mut message = json!({"id": id, "method": method, "params": params});
            if let Some(session) = session {
                message["sessionId"] = session.into();
            }
            let mut bytes = message.to_string().into_bytes();
            bytes.push(0);
            input
                .1
                .write_all(&bytes)
                .and_then(|()| input.1.flush())
                .map_err(|error| format!("the browser does not listen: {error}"))?;
            id
        };
        let mut answer = match answer.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                locked(&self.shared.waiting).remove(&id);
                return Err(format!("no answer within {} s", patience.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the browser ended".to_owned()),
        };
        match answer.get("error") {
            Some(error) => Err(error["message"].as_str().unwrap_or("an error").to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Passes every event of `session` to `listener`, which must not call the browser.
    pub(crate) fn listen(&self, session: &str, listener: Listener) {
        locked(&self.shared.listeners).insert(session.to_owned(), listener);
    }

    /// Stops passing on events of `session`.
    pub(crate) fn forget(&self, session: &str) {
        locked(&self.shared.listeners).remove(session);
    }
}

impl Shared {
    fn read(&self, output: ChildStdout) {
        let mut output = BufReader::new(output);
        let mut message = Vec::new();
        loop {
            message.clear();
            match output.read_until(0, &mut message) {
                Ok(1..) if message.pop() == Some(0) => {}
                _ => return,
            }
            let Ok(message) = serde_json::from_slice::<Value>(&message) else {
                continue;
            };
            if let Some(id) = message["id"].as_u64() {
                if let Some(waiting) = locked(&self.waiting).remove(&id) {
                    // A caller that has timed out does not need the response.
                    drop(waiting.send(message));
                }
            } else if let (Some(session), Some(method)) = (message["sessionId"].as_str(), message["method"].as_str())
                && let Some(listener) = locked(&self.listeners).get(session)
            {
                listener(method, &message["params"]);
            }
        }
    }
}
