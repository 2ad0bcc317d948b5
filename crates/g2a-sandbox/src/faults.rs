//! Fault injection: an ordered list of rules that define which calls fail, how often, and how.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A call of the buyer API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// `GET /v1/products` and `GET /v1/products/{id}`.
    Products,
    /// `POST /v1/order`.
    Order,
    /// `PUT /v1/order/pay/{id}`.
    Pay,
    /// `GET /v1/order/details/{id}`.
    Details,
    /// `GET /v1/order/key/{id}`.
    Key,
}

/// The calls that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallMatch {
    /// Product lists and single products.
    Products,
    /// Creating an order.
    Order,
    /// Paying an order.
    Pay,
    /// Reading an order.
    Details,
    /// Reading a key.
    Key,
    /// All of `/v1`, including unknown addresses.
    Any,
}

impl From<Call> for CallMatch {
    fn from(call: Call) -> Self {
        match call {
            Call::Products => Self::Products,
            Call::Order => Self::Order,
            Call::Pay => Self::Pay,
            Call::Details => Self::Details,
            Call::Key => Self::Key,
        }
    }
}

/// How often a rule acts. In JSON a number or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// This many times.
    N(u32),
    /// Until it is removed.
    Forever,
}

/// A rule: the calls it matches, how many of them it lets pass first, how often it acts, and its fault.
///
/// Rules are evaluated in the order in which they were added. Every matching rule that still has calls to let pass
/// counts the call; the first one that has none acts, and no later rule is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The calls that it matches.
    pub call: CallMatch,
    /// How often it acts; in a list of rules, how often it still will.
    #[serde(default = "once")]
    pub times: Times,
    /// How many matching calls pass before it acts; in a list of rules, how many still will.
    #[serde(default)]
    pub skip: u32,
    /// Whether the call is processed before a fault that replaces its answer: the order is created and the money taken,
    /// but the client is told otherwise. Other faults define this themselves.
    #[serde(default)]
    pub process_first: bool,
    /// The fault.
    pub fault: Fault,
}

/// A fault. In JSON an object with `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The connection closes without an answer; the call is not processed.
    DropBefore,
    /// The call is processed, then the connection closes without an answer.
    DropAfter,
    /// The call is processed and answered, but the connection closes after this many bytes of the body, fewer than
    /// `Content-Length` announced. An answer that is not longer arrives complete.
    TruncateAt {
        /// Number of body bytes that arrive.
        bytes: u64,
    },
    /// An error in G2A's form replaces the real answer.
    Error {
        /// HTTP status, 200 to 599; another number becomes 500.
        status: u16,
        /// G2A's code.
        code: String,
        /// Message beside the code.
        #[serde(default)]
        message: String,
    },
    /// 502 with an empty body replaces the real answer.
    EmptyBody502,
    /// 429 `BR03` replaces the real answer.
    RateLimited {
        /// Seconds for the `Retry-After` header; `None` omits the header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The call is processed at once and answered this much later.
    Slow {
        /// Delay in milliseconds of real time.
        milliseconds: u64,
    },
    /// The call is processed at once and answered after [`Control::release`](crate::Control::release), unless the
    /// caller disconnects first. [`Control::held`](crate::Control::held) lists the held answers.
    Hold,
    /// 200 with a web page replaces the real answer.
    Nonsense,
    /// 200 with JSON of another shape replaces the real answer.
    WrongJson,
    /// The call is processed twice and the second answer is sent, as by a proxy that repeats a request after losing the
    /// first answer.
    Duplicate,
}

impl FaultRule {
    /// Creates a rule that acts once, on the next matching call.
    pub fn once(call: CallMatch, fault: Fault) -> Self {
        Self {
            call,
            times: Times::N(1),
            skip: 0,
            process_first: false,
            fault,
        }
    }

    /// Creates a rule that acts on every matching call until it is removed.
    pub fn forever(call: CallMatch, fault: Fault) -> Self {
        Self {
            times: Times::Forever,
            ..Self::once(call, fault)
        }
    }

    /// Makes the rule act this many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Times::N(times),
            ..self
        }
    }

    /// Makes the rule let this many calls pass first.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Makes the rule process the call before it answers wrongly.
    #[must_use]
    pub fn processed(self) -> Self {
        Self {
            process_first: true,
            ..self
        }
    }
}

fn once() -> Times {
    Times::N(1)
}

/// Evaluates the rules for a call (`None`: an unknown address under `/v1`) and counts the one that acts.
pub(crate) fn strike(rules: &mut Vec<FaultRule>, call: Option<Call>) -> Option<FaultRule> {
    let mut acting = None;
    for rule in rules.iter_mut() {
        let matches = rule.call == CallMatch::Any || call.is_some_and(|call| rule.call == call.into());
        if !matches {
            continue;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            continue;
        }
        if let Times::N(left) = &mut rule.times {
            if *left == 0 {
                continue;
            }
            *left -= 1;
        }
        acting = Some(rule.clone());
        break;
    }
    rules.retain(|rule| rule.times != Times::N(0));
    acting
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::N(times) => serializer.serialize_u32(*times),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            N(u32),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::N(times) => Ok(Self::N(times)),
            Form::Word(word) if word == "forever" => Ok(Self::Forever),
            Form::Word(_) => Err(serde::de::Error::custom("a number of times or \"forever\"")),
        }
    }
}
