//! What callers send in a body, read forgivingly in form and strictly in meaning: no body at all is an empty object,
//! whatever its content type says, and fields that are not known are ignored; a field that is known has to be of its
//! type, and every one that is not is named.

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, Request};
use futures::TryStreamExt as _;
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::ids::GameId;
use lockstep_domain::money::MoneyError;
use serde_json::{Map, Value};

use crate::edge::MAX_BODY;
use crate::error::ApiError;

/// A JSON object.
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
            // The parser's own words would repeat what was sent.
            Err(_) => Err(ApiError::NotAnObject("it cannot be read")),
        }
    }
}

/// The bytes as they were sent, for what is signed.
pub(crate) struct RawBody(pub(crate) Vec<u8>);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(read(request.into_body()).await?))
    }
}

/// The whole body, as far as it is not too large.
async fn read(body: HttpBody) -> Result<Vec<u8>, ApiError> {
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

impl Body {
    /// Begins to read the fields.
    pub(crate) fn form(&self) -> Form<'_> {
        Form {
            fields: &self.0,
            faults: Vec::new(),
        }
    }

    /// Whether there is such a field, and it says something.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }
}

/// Fields being read; what is wrong is gathered.
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

    /// A text that has to be there; empty while it is not.
    pub(crate) fn text(&mut self, path: &'static str) -> &'b str {
        if self.get(path).is_none() {
            self.fault(path, "required", "This field is required");
        }
        self.optional_text(path).unwrap_or_default()
    }

    /// A text that may be left out.
    pub(crate) fn optional_text(&mut self, path: &'static str) -> Option<&'b str> {
        let value = self.get(path)?;
        let text = value.as_str();
        if text.is_none() {
            self.fault(path, "wrong_type", "This field must be a text");
        }
        text
    }

    /// A text that may be left out, or emptied by `null`.
    pub(crate) fn changed_text(&mut self, path: &'static str) -> Option<&'b str> {
        match self.fields.get(path) {
            Some(Value::Null) => Some(""),
            _ => self.optional_text(path),
        }
    }

    /// `true` or `false`; `false` when it is left out.
    pub(crate) fn flag(&mut self, path: &'static str) -> bool {
        let value = self.get(path);
        if value.is_some_and(|value| !value.is_boolean()) {
            self.fault(path, "wrong_type", "This field must be true or false");
        }
        value.and_then(Value::as_bool).unwrap_or(false)
    }

    /// A whole number that may be left out. One that no number here can hold is wrong as well.
    pub(crate) fn whole_number(&mut self, path: &'static str) -> Option<i64> {
        let value = self.get(path)?;
        let number = value.as_i64();
        if number.is_none() {
            self.fault(path, "wrong_type", "This field must be a whole number");
        }
        number
    }

    /// A whole number that may be left out; `null` is not leaving it out.
    pub(crate) fn whole_number_or(&mut self, path: &'static str, default: i64) -> i64 {
        if self.fields.get(path).is_some_and(Value::is_null) {
            self.fault(path, "wrong_type", "This field must be a whole number");
        }
        self.whole_number(path).unwrap_or(default)
    }

    /// A whole number that has to be there.
    pub(crate) fn required_number(&mut self, path: &'static str) -> i64 {
        if self.get(path).is_none() {
            self.fault(path, "required", "This field is required");
        }
        self.whole_number(path).unwrap_or_default()
    }

    /// A game's id; the existing front-end sends the whole game in one place, which is understood as well.
    pub(crate) fn game(&mut self, path: &'static str) -> Option<GameId> {
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

    /// An amount of money that may be left out: a number with at most two decimals.
    pub(crate) fn money(&mut self, path: &'static str) -> Option<Money> {
        let value = self.get(path)?;
        // The digits as the shortest that stand for the number: what was written, for any amount that we keep.
        match value.as_number().map(|number| number.to_string().parse::<Money>()) {
            Some(Ok(amount)) => return Some(amount),
            Some(Err(MoneyError::TooPrecise)) => {
                self.fault(path, "too_precise", "This field must have at most two decimals");
            }
            Some(Err(MoneyError::OutOfRange)) => self.fault(path, "out_of_range", "This amount is too large"),
            Some(Err(MoneyError::NotANumber)) | None => self.fault(path, "wrong_type", "This field must be a number"),
        }
        None
    }

    /// An amount of money that has to be there.
    pub(crate) fn required_money(&mut self, path: &'static str) -> Money {
        if self.get(path).is_none() {
            self.fault(path, "required", "This field is required");
        }
        self.money(path).unwrap_or_default()
    }

    /// Games with quantities, `[{gameId, quantity}]`. Each needs both: an order never guesses how many copies it is for.
    pub(crate) fn games(&mut self, path: &'static str) -> Vec<(GameId, i64)> {
        let Some(value) = self.get(path) else {
            self.fault(path, "required", "This field is required");
            return Vec::new();
        };
        let read = |value: &Value| {
            let game = value.get("gameId")?;
            let game = game.get("id").unwrap_or(game).as_str().and_then(uuid)?;
            Some((GameId(game), value.get("quantity")?.as_i64()?))
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

    /// What the fields come to, when none of them was wrong.
    pub(crate) fn finish<T>(self, checked: Result<T, Vec<FieldError>>) -> Result<T, ApiError> {
        match checked {
            Ok(value) if self.faults.is_empty() => Ok(value),
            checked => {
                let mut faults = self.faults;
                // What was not there at all need not also be told to be too short.
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

/// A UUID in its usual form of 36 characters.
pub(crate) fn uuid(text: &str) -> Option<uuid::Uuid> {
    text.parse().ok().filter(|_| text.len() == 36)
}

/// The same as a parameter that has to be one.
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
    async fn nothing_is_an_empty_object_and_anything_but_an_object_is_refused() {
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
    async fn every_field_that_is_wrong_is_named_once() {
        let body = body(r#"{"b": 1, "c": null, "d": "x", "e": 1e30, "f": "2", "g": {"id": 7}, "h": "yes"}"#)
            .await
            .unwrap();
        let mut form = body.form();
        assert_eq!(
            (form.text("a"), form.text("b"), form.text("c"), form.text("d")),
            ("", "", "", "x")
        );
        assert_eq!(form.optional_text("c"), None);
        assert_eq!(form.changed_text("c"), Some(""));
        assert_eq!(
            (
                form.whole_number("e"),
                form.required_number("f"),
                form.required_number("i")
            ),
            (None, 0, 0)
        );
        assert_eq!(form.game("g"), None);
        assert!(!form.flag("h"));
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
    async fn a_game_is_named_by_its_id_or_by_itself() {
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
