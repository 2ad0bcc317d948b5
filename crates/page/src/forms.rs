//! Forms. A POST is read into a [`Form`]. On errors the page is shown again with the input and each error beside its
//! field; on success the response is a redirect ([`done`]), so that going back or reloading never sends the form twice.
//! The CSRF check is a layer around all pages (`lib.rs`).

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use lockstep_auth::AuthError;
use lockstep_domain::account::FieldError;
use lockstep_shop::{ShopError, shopper_code};

use crate::error::PageError;
use crate::i18n::Language;

/// Maximum size of a form in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Maximum number of fields of a form.
const MAX_FIELDS: usize = 200;

/// The fields that were sent, and their errors.
#[derive(Debug, Clone, Default)]
pub struct Form {
    values: Vec<(String, String)>,
    errors: Vec<(&'static str, String)>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        Self::read(request, MAX_BYTES).await
    }
}

impl Form {
    /// Reads a form of at most `most` bytes.
    ///
    /// # Errors
    /// [`PageError::BadRequest`] for anything else.
    pub async fn read(request: Request, most: usize) -> Result<Self, PageError> {
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
        let body = to_bytes(request.into_body(), most)
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

    /// The first value of a field, trimmed; empty when the field is missing.
    pub fn value(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a field, untrimmed, for passwords.
    pub fn raw(&self, name: &str) -> &str {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of a field that may occur more than once.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every field that was sent, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Forgets what was sent in a field.
    pub fn forget(&mut self, name: &str) {
        self.values.retain(|(known, _)| known != name);
    }

    /// Records `error` at a field; the first error of a field is kept.
    pub fn wrong(&mut self, name: &'static str, error: impl Into<String>) {
        if !self.errors.iter().any(|(known, _)| *known == name) {
            self.errors.push((name, error.into()));
        }
    }

    /// The error of the form as a whole.
    pub fn problem(&self) -> Option<&str> {
        self.error("")
    }

    /// The error of a field.
    pub fn error(&self, name: &str) -> Option<&str> {
        self.errors
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, error)| error.as_str())
    }

    /// Records each error at the field that it names.
    pub fn wrong_fields(&mut self, words: Language, errors: &[FieldError]) {
        for error in errors {
            self.wrong(error.path, reason(words, error.code).unwrap_or(error.msg));
        }
    }

    /// Records the error at the field that `places` assigns to its code, else above the form. Errors that are not about
    /// the form's contents are returned as a [`PageError`], which has its own page.
    ///
    /// # Errors
    /// [`PageError`], for an error that is not about the form's contents.
    pub fn refuse(
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
            error => return self.refuse_code(words, code, error, places),
        }
        Ok(())
    }

    fn refuse_code(
        &mut self,
        words: Language,
        code: &str,
        error: impl Into<PageError>,
        places: &[(&str, &'static str)],
    ) -> Result<(), PageError> {
        let text = reason(words, code).ok_or_else(|| error.into())?;
        let place = places.iter().find(|(known, _)| *known == code);
        self.wrong(place.map_or("", |(_, field)| field), text);
        Ok(())
    }

    /// The same for an error of a shop use case.
    ///
    /// # Errors
    /// [`PageError`], for an error that is not about the form's contents.
    pub fn refuse_shop(
        &mut self,
        words: Language,
        error: ShopError,
        places: &[(&str, &'static str)],
    ) -> Result<(), PageError> {
        match error {
            ShopError::Refused(error) => self.refuse(words, error, places),
            ShopError::Shopper(error) => self.refuse_code(words, shopper_code(&error), error, places),
            error => Err(error.into()),
        }
    }

    /// Whether there are no errors.
    pub fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// 422 when there are errors, else 200.
    pub fn status(&self) -> StatusCode {
        if self.is_sound() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }

    /// A field for `components/field.html`, with the input and its error. A password is not repeated.
    pub fn field(&self, name: &'static str, kind: &'static str, label: &'static str) -> Field {
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
pub struct Field {
    /// Its name in the form, and its id.
    pub name: &'static str,
    /// The `type` attribute of the input.
    pub kind: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What it holds.
    pub value: String,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What helps to fill it.
    pub hint: Option<&'static str>,
    /// The `autocomplete` attribute.
    pub autocomplete: &'static str,
    /// The `inputmode` attribute: which keyboard a phone shows.
    pub keyboard: Option<&'static str>,
    /// Whether it has to be filled.
    pub is_required: bool,
    /// The first field with an error: it gets the focus, with and without scripts.
    pub is_first: bool,
}

impl Field {
    /// Adds a hint below the label.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Sets `autocomplete`: what browsers and password managers may fill in.
    #[must_use]
    pub fn autocomplete(mut self, kind: &'static str) -> Self {
        self.autocomplete = kind;
        self
    }

    /// Marks the field as digits: a phone shows its number pad.
    #[must_use]
    pub fn digits(mut self) -> Self {
        self.keyboard = Some("numeric");
        self
    }

    /// Sets a default value, used unless the reader typed another.
    #[must_use]
    pub fn filled(mut self, value: &str) -> Self {
        if self.value.is_empty() && self.error.is_none() {
            value.clone_into(&mut self.value);
        }
        self
    }

    /// Marks the field as required.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// The ids of the elements that describe the input, for screen readers.
    pub fn described_by(&self) -> String {
        let hint = self.hint.map(|_| format!("{}-hint", self.name));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.name));
        [hint, error].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The text for an error code in the reader's language; the codes are those of the API's errors.
fn reason(words: Language, code: &str) -> Option<&'static str> {
    words.find(&format!("wrong.{code}"))
}

/// 303 to a page of this site, after a valid form. An address of another site is replaced by the home page.
pub fn done(path: &str) -> Response {
    let path = if is_ours(path) { path } else { "/" };
    let address = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response()
}

/// Whether an address is a path of this site.
pub fn is_ours(path: &str) -> bool {
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
    async fn invalid_forms_keep_their_input_except_passwords() {
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
    async fn malformed_or_oversized_forms_are_rejected() {
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
    fn redirects_stay_on_this_site() {
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
