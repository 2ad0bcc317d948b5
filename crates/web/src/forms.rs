//! Forms, all in one way: a POST is read into a [`Form`]; what is wrong is written beside its field and the page is shown
//! again with everything that was typed; what is right answers with a redirect ([`done`]), so that going back or
//! reloading never sends it twice. That it came from a page of ours is checked around all pages (`lib.rs`).

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use lockstep_auth::AuthError;
use lockstep_domain::account::FieldError;
use lockstep_shop::ShopError;

use crate::error::PageError;
use crate::i18n::Language;

/// No form of ours is longer.
const MAX_BYTES: usize = 64 * 1024;
/// No form of ours has more fields.
const MAX_FIELDS: usize = 200;

/// What was sent, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    values: Vec<(String, String)>,
    errors: Vec<(&'static str, String)>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded"
            });
        if !is_form {
            return Err(PageError::BadRequest);
        }
        let body = to_bytes(request.into_body(), MAX_BYTES)
            .await
            .map_err(|_| PageError::BadRequest)?;
        let values: Vec<(String, String)> = form_urlencoded::parse(&body)
            .take(MAX_FIELDS + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if values.len() > MAX_FIELDS || values.iter().any(|(_, value)| value.contains('\0')) {
            return Err(PageError::BadRequest);
        }
        Ok(Self {
            values,
            errors: Vec::new(),
        })
    }
}

impl Form {
    /// The first value of a field, without spaces around it; empty when it is missing.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a field as it was typed, for passwords.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of a field that may be there more than once.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Writes `error` beside a field; the first one stays.
    pub(crate) fn wrong(&mut self, name: &'static str, error: impl Into<String>) {
        if !self.errors.iter().any(|(known, _)| *known == name) {
            self.errors.push((name, error.into()));
        }
    }

    /// What is wrong with the form as a whole.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.error("")
    }

    /// What is wrong with a field.
    pub(crate) fn error(&self, name: &str) -> Option<&str> {
        self.errors
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, error)| error.as_str())
    }

    /// Writes each error beside the field that it names.
    pub(crate) fn wrong_fields(&mut self, words: Language, errors: &[FieldError]) {
        for error in errors {
            self.wrong(error.path, reason(words, error.code).unwrap_or(error.msg));
        }
    }

    /// Writes why something was refused beside the field that `places` names for it, else above the form. What a form
    /// cannot tell, because nothing in it is to blame, is a page of its own.
    pub(crate) fn refuse(
        &mut self,
        words: Language,
        error: AuthError,
        places: &[(&str, &'static str)],
    ) -> Result<(), PageError> {
        let code = error.code();
        match error {
            AuthError::Invalid(errors) => self.wrong_fields(words, &errors),
            AuthError::RateLimited { retry_after } => {
                let minutes = retry_after.as_secs().div_ceil(60).max(1);
                self.wrong("", words.count("error.429.advice", minutes));
            }
            AuthError::WrongCode { left } => self.wrong("code", words.count("wrong.wrong_code", left.into())),
            error => {
                let Some(text) = reason(words, code) else {
                    return Err(error.into());
                };
                let place = places.iter().find(|(known, _)| *known == code);
                self.wrong(place.map_or("", |(_, field)| field), text);
            }
        }
        Ok(())
    }

    /// The same for whatever a use case of the shop answers.
    pub(crate) fn refuse_shop(
        &mut self,
        words: Language,
        error: ShopError,
        places: &[(&str, &'static str)],
    ) -> Result<(), PageError> {
        match error {
            ShopError::Refused(error) => self.refuse(words, error, places),
            error => Err(error.into()),
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// 422 when something is wrong, else 200.
    pub(crate) fn status(&self) -> StatusCode {
        if self.is_sound() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }

    /// A field as `components/field.html` shows it, with what was typed and what is wrong. A password is not repeated.
    pub(crate) fn field(&self, name: &'static str, kind: &'static str, label: &'static str) -> Field {
        Field {
            name,
            kind,
            label,
            value: if kind == "password" {
                String::new()
            } else {
                self.value(name).to_owned()
            },
            error: self
                .errors
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, error)| error.clone()),
            hint: None,
            autocomplete: "off",
            keyboard: None,
            is_required: false,
            is_first: self.errors.first().is_some_and(|(known, _)| *known == name),
        }
    }
}

/// One labelled input.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// `type` of the input.
    pub(crate) kind: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) error: Option<String>,
    pub(crate) hint: Option<&'static str>,
    pub(crate) autocomplete: &'static str,
    /// `inputmode`: which keyboard a phone shows.
    pub(crate) keyboard: Option<&'static str>,
    pub(crate) is_required: bool,
    /// The first that is wrong: the focus goes there, with and without scripts.
    pub(crate) is_first: bool,
}

impl Field {
    /// A sentence under the label.
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What browsers and password managers may fill in.
    pub(crate) fn autocomplete(mut self, kind: &'static str) -> Self {
        self.autocomplete = kind;
        self
    }

    /// Digits: a phone shows its numbers.
    pub(crate) fn digits(mut self) -> Self {
        self.keyboard = Some("numeric");
        self
    }

    /// Already filled in, unless something was typed.
    pub(crate) fn filled(mut self, value: &str) -> Self {
        if self.value.is_empty() && self.error.is_none() {
            value.clone_into(&mut self.value);
        }
        self
    }

    /// It has to be filled in.
    pub(crate) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Ids of what describes the input, for screen readers.
    pub(crate) fn described_by(&self) -> String {
        let hint = self.hint.map(|_| format!("{}-hint", self.name));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.name));
        [hint, error].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Why something was refused, in the reader's language; the names are those of the API's errors.
fn reason(words: Language, code: &str) -> Option<&'static str> {
    words.find(&format!("wrong.{code}"))
}

/// 303 to a page of ours, after a form that was right. An address that leads elsewhere leads to the home page.
pub(crate) fn done(path: &str) -> Response {
    let path = if is_ours(path) { path } else { "/" };
    let address = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response()
}

/// Whether an address is a path of this site.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn sent(kind: &str, body: impl Into<Body>) -> Result<Form, PageError> {
        let request = http::Request::post("/")
            .header("content-type", kind)
            .body(body.into())
            .unwrap();
        Form::from_request(request, &()).await
    }

    #[tokio::test]
    async fn what_was_typed_comes_back_with_what_is_wrong_but_never_a_password() {
        let mut form = sent(
            "application/x-www-form-urlencoded; charset=utf-8",
            "email=+a%40b+&password=+geheim",
        )
        .await
        .unwrap();
        assert_eq!(
            (form.value("email"), form.raw("password"), form.value("none")),
            ("a@b", " geheim", "")
        );
        form.wrong("email", "no such address");
        form.wrong("email", "a second reason");
        assert_eq!(form.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let field = form.field("email", "email", "E-mail").hint("hint").required();
        assert_eq!(
            (field.value.as_str(), field.error.as_deref()),
            ("a@b", Some("no such address"))
        );
        assert_eq!(field.described_by(), "email-hint email-error");
        assert_eq!(form.field("password", "password", "Password").value, "");
    }

    #[tokio::test]
    async fn a_form_that_is_none_or_too_large_is_refused() {
        assert!(sent("application/json", "{}").await.is_err());
        assert!(sent("application/x-www-form-urlencoded", "a=%00").await.is_err());
        assert!(
            sent("application/x-www-form-urlencoded", "a".repeat(MAX_BYTES + 1))
                .await
                .is_err()
        );
        assert!(
            sent("application/x-www-form-urlencoded", "a=1&".repeat(MAX_FIELDS + 1))
                .await
                .is_err()
        );
    }

    #[test]
    fn a_redirect_stays_on_this_site() {
        for (path, led) in [
            ("/games?page=2", "/games?page=2"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x=y", "/"),
            ("", "/"),
        ] {
            assert_eq!(done(path).headers()["location"], led, "{path:?}");
        }
    }
}
