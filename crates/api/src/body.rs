//! Request bodies: lenient in form, strict in content.
//!
//! An empty body counts as an empty object, the content type is ignored, and unknown fields are ignored. A known field
//! must have its documented type; the error lists every field that does not.
//!
//! Each body is defined once, with [`request_body!`]: the struct in the OpenAPI document is the struct that is read.

mod objects;

use std::collections::BTreeMap;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, Request};
use futures::TryStreamExt as _;
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::Percent;
use lockstep_domain::ids::GameId;
use lockstep_domain::money::MoneyError;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::{ApiError, MAX_BODY};

pub(crate) use objects::{Objects, rate};

/// A JSON object from a request body.
#[derive(Default)]
pub(crate) struct Body(Map<String, Value>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body()).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::NotAnObject("it is something else")),
            // The parser's message would echo the request body.
            Err(_) => Err(ApiError::NotAnObject("it cannot be read")),
        }
    }
}

/// The unparsed body bytes, for endpoints that verify a signature.
pub(crate) struct RawBody(pub(crate) Vec<u8>);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(read(request.into_body()).await?))
    }
}

/// Reads the whole body. Fails with [`ApiError::TooLarge`] beyond [`MAX_BODY`] bytes.
pub(crate) async fn read(body: HttpBody) -> Result<Vec<u8>, ApiError> {
    let most = usize::try_from(MAX_BODY).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(part) = stream
        .try_next()
        .await
        .map_err(|_| ApiError::NotAnObject("it ended early"))?
    {
        if part.len() > most - bytes.len() {
            return Err(ApiError::TooLarge);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Defines the body of a request: the struct that describes it in the OpenAPI document and that is read from it.
///
/// Each field names its path in the JSON. Its type decides how it is read ([`Field`]), unless a method of [`Form`] is
/// named after `=>`. Fields are read, and their errors reported, in the order in which they stand.
macro_rules! request_body {
    (
        $(#[$meta:meta])*
        struct $name:ident {
            $(
                $(#[$about:meta])*
                $field:ident: $type:ty = $path:tt $(=> $method:ident($($argument:expr)?))?
            ),* $(,)?
        }
    ) => {
        #[derive(utoipa::ToSchema)]
        $(#[$meta])*
        struct $name {
            $($(#[$about])* #[schema(rename = $path)] $field: $type),*
        }

        impl $crate::body::Fields for $name {
            fn read(form: &mut $crate::body::Form<'_>) -> Self {
                Self {
                    $($field: $crate::body::request_body!(@read form, $path $(, $method($($argument)?))?)),*
                }
            }
        }
    };
    (@read $form:ident, $path:tt) => {
        $crate::body::Field::read($form, $path)
    };
    (@read $form:ident, $path:tt, $method:ident($($argument:expr)?)) => {
        $form.$method($path $(, $argument)?)
    };
}
pub(crate) use request_body;

/// A body with named, typed fields; see [`request_body!`].
pub(crate) trait Fields {
    /// Reads all fields. A field that is missing or has another type is recorded, and has a default value here.
    fn read(form: &mut Form<'_>) -> Self;
}

/// A type of fields.
pub(crate) trait Field {
    /// Reads the field at `path`, or records why it cannot be read.
    fn read(form: &mut Form<'_>, path: &'static str) -> Self;
}

impl Field for String {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.text(path).to_owned()
    }
}

impl Field for Option<String> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.optional_text(path).map(str::to_owned)
    }
}

impl Field for Option<bool> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.flag(path)
    }
}

impl Field for i64 {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.required_number(path)
    }
}

impl Field for GameId {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.game(path).unwrap_or(Self(uuid::Uuid::nil()))
    }
}

impl Field for Money {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.required_money(path)
    }
}

impl Field for Option<Money> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.money(path)
    }
}

impl Field for Option<i64> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.whole_number(path)
    }
}

impl Field for Option<Vec<String>> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.texts(path)
    }
}

impl Field for Vec<NewOrderItem> {
    fn read(form: &mut Form<'_>, path: &'static str) -> Self {
        form.games(path)
    }
}

/// A field of an update that can also be cleared. Outer `None`: it is left out; inner `None`: it is `null`.
pub(crate) type Given<T> = Option<Option<T>>;

/// A game and its quantity.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewOrderItem {
    pub(crate) game_id: GameId,
    /// Number of units, at least 1.
    #[schema(value_type = u32, minimum = 1, maximum = 10_000)]
    pub(crate) quantity: i64,
}

impl Body {
    /// Reads a request. The form holds the errors: give it the result of further checks.
    pub(crate) fn read<T: Fields>(&self) -> (T, Form<'_>) {
        let mut form = self.form();
        (T::read(&mut form), form)
    }

    /// Reads a request that needs no further checks.
    pub(crate) fn valid<T: Fields>(&self) -> Result<T, ApiError> {
        let (request, form) = self.read();
        form.finish(Ok(request))
    }

    fn form(&self) -> Form<'_> {
        Form {
            fields: &self.0,
            faults: Vec::new(),
        }
    }

    /// Whether the field is present and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }
}

/// Reads typed fields and collects the errors.
pub(crate) struct Form<'b> {
    fields: &'b Map<String, Value>,
    faults: Vec<FieldError>,
}

impl<'b> Form<'b> {
    fn get(&self, path: &str) -> Option<&'b Value> {
        self.fields.get(path).filter(|value| !value.is_null())
    }

    fn fault(&mut self, path: &'static str, code: &'static str, msg: &'static str) {
        self.faults.push(FieldError { path, code, msg });
    }

    /// A required string; empty if it is missing, which is recorded as an error.
    fn text(&mut self, path: &'static str) -> &'b str {
        self.missing(path);
        self.optional_text(path).unwrap_or_default()
    }

    /// Records that a field is missing, unless it is there with another type.
    pub(crate) fn missing(&mut self, path: &'static str) {
        if self.get(path).is_none() {
            self.fault(path, "required", "This field is required");
        }
    }

    /// An optional string.
    fn optional_text(&mut self, path: &'static str) -> Option<&'b str> {
        let value = self.get(path)?;
        let text = value.as_str();
        if text.is_none() {
            self.fault(path, "wrong_type", "This field must be a string");
        }
        text
    }

    /// An optional string of an update; `null` clears it.
    pub(crate) fn changed_text(&mut self, path: &'static str) -> Option<String> {
        match self.fields.get(path) {
            Some(Value::Null) => Some(String::new()),
            _ => self.optional_text(path).map(str::to_owned),
        }
    }

    /// An optional list of strings.
    fn texts(&mut self, path: &'static str) -> Option<Vec<String>> {
        let value = self.get(path)?;
        let texts = value
            .as_array()
            .and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        if texts.is_none() {
            self.fault(path, "wrong_type", "This field must be a list of strings");
        }
        texts
    }

    /// Optional values by name: texts, numbers and booleans, as text.
    pub(crate) fn values(&mut self, path: &'static str) -> BTreeMap<String, String> {
        let Some(value) = self.get(path) else {
            return BTreeMap::new();
        };
        let text = |(name, value): (&String, &Value)| {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => return None,
            };
            Some((name.clone(), text))
        };
        let values = value.as_object().and_then(|values| values.iter().map(text).collect());
        values.unwrap_or_else(|| {
            self.fault(path, "wrong_type", "This field must be an object of texts by name");
            BTreeMap::new()
        })
    }

    /// An optional boolean.
    fn flag(&mut self, path: &'static str) -> Option<bool> {
        let value = self.get(path)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.fault(path, "wrong_type", "This field must be true or false");
        }
        flag
    }

    /// An optional integer. A number outside the range of `i64` is an error as well.
    pub(crate) fn whole_number(&mut self, path: &'static str) -> Option<i64> {
        let value = self.get(path)?;
        let number = value.as_i64();
        if number.is_none() {
            self.fault(path, "wrong_type", "This field must be a whole number");
        }
        number
    }

    /// An optional integer with a default; `null` is an error.
    pub(crate) fn whole_number_or(&mut self, path: &'static str, default: i64) -> i64 {
        if self.fields.get(path).is_some_and(Value::is_null) {
            self.fault(path, "wrong_type", "This field must be a whole number");
        }
        self.whole_number(path).unwrap_or(default)
    }

    /// A required integer.
    fn required_number(&mut self, path: &'static str) -> i64 {
        self.missing(path);
        self.whole_number(path).unwrap_or_default()
    }

    /// An optional integer that `null` clears.
    pub(crate) fn given_number(&mut self, path: &'static str) -> Given<i64> {
        match self.fields.get(path)? {
            Value::Null => Some(None),
            _ => self.whole_number(path).map(Some),
        }
    }

    /// An optional amount of money in EUR that `null` clears.
    pub(crate) fn given_money(&mut self, path: &'static str) -> Given<Money> {
        match self.fields.get(path)? {
            Value::Null => Some(None),
            _ => self.money(path).map(Some),
        }
    }

    /// An optional string that `null` or an empty text clears.
    pub(crate) fn given_text(&mut self, path: &'static str) -> Given<String> {
        self.changed_text(path)
            .map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// An optional percentage: a number above 0 and at most 100 with at most two decimals.
    pub(crate) fn percent(&mut self, path: &'static str) -> Option<Percent> {
        let value = self.get(path)?;
        let number = value.as_number().map(ToString::to_string);
        let percent = number.and_then(|number| number.parse().ok());
        if percent.is_none() {
            self.fault(
                path,
                "not_a_percentage",
                "This field must be a number above 0 and at most 100, with at most two decimals",
            );
        }
        percent
    }

    /// An optional percentage, inner `None` for 0: what a form shows of a code that has none.
    pub(crate) fn percent_or_zero(&mut self, path: &'static str) -> Given<Percent> {
        let number = self.fields.get(path).and_then(Value::as_number);
        let is_zero = number.is_some_and(|number| number.to_string().parse() == Ok(Money::ZERO));
        if is_zero {
            Some(None)
        } else {
            self.percent(path).map(Some)
        }
    }

    /// A required game ID. The existing front-end sends the whole game object in one place; its `id` is read then.
    fn game(&mut self, path: &'static str) -> Option<GameId> {
        let Some(value) = self.get(path) else {
            self.fault(path, "required", "This field is required");
            return None;
        };
        let id = value.get("id").unwrap_or(value).as_str().and_then(uuid);
        if id.is_none() {
            self.fault(path, "invalid_id", "This field must be the id of a game (a UUID)");
        }
        id.map(GameId)
    }

    /// An optional amount of money in EUR: a number with at most two decimals, or a sum of such that a client has computed
    /// in binary floating point (0.1 + 0.2 = 0.30000000000000004).
    fn money(&mut self, path: &'static str) -> Option<Money> {
        let value = self.get(path)?;
        // The shortest decimal form of the number is what the client wrote, for every amount that the store can hold.
        match value.as_number().map(|number| number.to_string().parse::<Money>()) {
            Some(Ok(amount)) => return Some(amount),
            Some(Err(MoneyError::TooPrecise)) => {
                let sum = value
                    .as_number()
                    .and_then(|number| Money::of_binary_sum(&number.to_string()));
                if sum.is_some() {
                    return sum;
                }
                self.fault(path, "too_precise", "This field must have at most two decimals");
            }
            Some(Err(MoneyError::OutOfRange)) => self.fault(path, "out_of_range", "This amount is too large"),
            Some(Err(MoneyError::NotANumber)) | None => self.fault(path, "wrong_type", "This field must be a number"),
        }
        None
    }

    /// An optional amount of money of an update; `null` is zero.
    pub(crate) fn changed_money(&mut self, path: &'static str) -> Option<Money> {
        match self.fields.get(path) {
            Some(Value::Null) => Some(Money::ZERO),
            _ => self.money(path),
        }
    }

    /// A required amount of money in EUR.
    fn required_money(&mut self, path: &'static str) -> Money {
        self.missing(path);
        self.money(path).unwrap_or_default()
    }

    /// A list of games with quantities, `[{gameId, quantity}]`. Both are required: an order must not guess its
    /// quantity.
    fn games(&mut self, path: &'static str) -> Vec<NewOrderItem> {
        let Some(value) = self.get(path) else {
            self.fault(path, "required", "This field is required");
            return Vec::new();
        };
        let read = |value: &Value| {
            let game = value.get("gameId")?;
            let game = game.get("id").unwrap_or(game).as_str().and_then(uuid)?;
            Some(NewOrderItem {
                game_id: GameId(game),
                quantity: value.get("quantity")?.as_i64()?,
            })
        };
        let games = value
            .as_array()
            .map(|list| list.iter().map(read).collect::<Option<Vec<_>>>());
        if let Some(Some(games)) = games {
            return games;
        }
        self.fault(
            path,
            "invalid_items",
            "This field must be a list of {gameId, quantity}: a UUID and a whole number, both required",
        );
        Vec::new()
    }

    /// Returns the checked value, or all errors if a field is invalid.
    pub(crate) fn finish<T>(self, checked: Result<T, Vec<FieldError>>) -> Result<T, ApiError> {
        match checked {
            Ok(value) if self.faults.is_empty() => Ok(value),
            checked => {
                let mut faults = self.faults;
                // A missing field need not be reported as too short as well.
                for fault in checked.err().into_iter().flatten() {
                    if faults.iter().all(|known| known.path != fault.path) {
                        faults.push(fault);
                    }
                }
                Err(ApiError::Fields(faults))
            }
        }
    }
}

/// Parses a UUID in its canonical form of 36 characters.
pub(crate) fn uuid(text: &str) -> Option<uuid::Uuid> {
    text.parse().ok().filter(|_| text.len() == 36)
}

/// Parses the UUID of a path parameter. Fails with [`ApiError::Invalid`], naming `parameter`.
pub(crate) fn uuid_in(parameter: &'static str, text: &str) -> Result<uuid::Uuid, ApiError> {
    uuid(text).ok_or_else(|| ApiError::invalid(parameter, "must be a UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use proptest::prelude::*;

    async fn body(bytes: impl Into<Bytes>) -> Result<Body, ApiError> {
        let request = Request::new(HttpBody::from(bytes.into()));
        Body::from_request(request, &()).await
    }

    fn paths(error: &ApiError) -> Vec<(&str, &str)> {
        match error {
            ApiError::Fields(faults) => faults.iter().map(|fault| (fault.path, fault.code)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn empty_body_is_an_empty_object_and_non_objects_are_refused() {
        for empty in ["", " \r\n"] {
            assert!(body(empty).await.is_ok_and(|body| body.0.is_empty()), "{empty:?}");
        }
        for wrong in [
            "[]",
            "null",
            "1",
            "\"x\"",
            "{",
            "{}x",
            "a=b",
            "\u{feff}{}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert!(matches!(body(wrong).await, Err(ApiError::NotAnObject(_))), "{wrong}");
        }
        let deep = "[".repeat(50_000);
        assert!(matches!(body(deep).await, Err(ApiError::NotAnObject(_))));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100 * 1024));
        assert!(matches!(body(large).await, Err(ApiError::TooLarge)));
    }

    #[tokio::test]
    async fn each_invalid_field_is_reported_once() {
        let body = body(r#"{"b": 1, "c": null, "d": "x", "e": 1e30, "f": "2", "g": {"id": 7}, "h": "yes"}"#)
            .await
            .unwrap();
        let mut form = body.form();
        assert_eq!(
            (form.text("a"), form.text("b"), form.text("c"), form.text("d")),
            ("", "", "", "x")
        );
        assert_eq!(form.optional_text("c"), None);
        assert_eq!(form.changed_text("c").as_deref(), Some(""));
        assert_eq!(
            (
                form.whole_number("e"),
                form.required_number("f"),
                form.required_number("i")
            ),
            (None, 0, 0)
        );
        assert_eq!(form.game("g"), None);
        assert_eq!(form.flag("h"), None);
        let also = vec![FieldError {
            path: "a",
            code: "other",
            msg: "",
        }];
        let error = form.finish::<()>(Err(also)).unwrap_err();
        assert_eq!(
            paths(&error),
            [
                ("a", "required"),
                ("b", "wrong_type"),
                ("c", "required"),
                ("e", "wrong_type"),
                ("f", "wrong_type"),
                ("i", "required"),
                ("g", "invalid_id"),
                ("h", "wrong_type")
            ]
        );
    }

    #[tokio::test]
    async fn a_game_is_accepted_as_its_id_or_as_an_object() {
        let id = "0192f0c1-0000-7000-8000-000000000001";
        for (text, known) in [
            (format!(r#"{{"g": "{id}"}}"#), true),
            (format!(r#"{{"g": {{"id": "{id}", "title": "x"}}}}"#), true),
            (format!(r#"{{"g": ["{id}"]}}"#), false),
            (format!(r#"{{"g": "{}"}}"#, id.replace('-', "")), false),
            (format!(r#"{{"g": {{"slug": "{id}"}}}}"#), false),
        ] {
            let body = body(text.clone()).await.unwrap();
            assert_eq!(body.form().game("g").is_some(), known, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(body) = runtime.block_on(body(bytes)) {
                let mut form = body.form();
                form.text("a");
                form.game("a");
                form.whole_number("a");
            }
        }
    }
}
