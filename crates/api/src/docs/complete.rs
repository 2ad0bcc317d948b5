//! Completes the OpenAPI document with what all operations have in common.
//!
//! Handlers describe only what is specific to them. Every response needs a description and every failure a body; every
//! operation can fail because the shop is busy, and must state its authentication, even if it needs none. utoipa 6
//! omits the required `description` of a response if none is written, and gives operations of functions with the same
//! name the same ID.

use http::StatusCode;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayItems, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, Required};

/// Name of the schema of every failure, see `error::Envelope`.
const FAILURE: &str = "Failure";

/// Failures of any operation: status, name of the response, and description.
const ANYWHERE: [(&str, &str, &str); 3] = [
    (
        "500",
        "InternalError",
        "Internal error; the shop's log has its cause under `requestId`",
    ),
    (
        "503",
        "TryAgain",
        "The shop is busy or cannot reach its database; retry after `Retry-After` seconds",
    ),
    ("504", "Timeout", "The request exceeded its time limit"),
];
/// Failure of any operation that changes something.
const CROSS_SITE: (&str, &str, &str) = (
    "403",
    "CrossSite",
    "A browser sent this request for a page of another site",
);
/// Failure of any operation with a body.
const TOO_LARGE: (&str, &str, &str) = ("413", "TooLarge", "The body is larger than 102,400 bytes");

/// Adds the common parts to the document.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for (changes, operation) in operations(item) {
            complete_operation(operation, changes);
        }
    }
    let components = document.components.get_or_insert_default();
    // A body without required fields is optional itself: no body counts as an empty object.
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        let Some(body) = operation.request_body.as_mut().and_then(|body| match body {
            RefOr::T(body) => Some(body),
            RefOr::Ref(_) => None,
        }) else {
            continue;
        };
        let needs_nothing = body.content.values().all(|content| {
            let RefOr::T(content) = content else { return false };
            let Some(RefOr::Ref(reference)) = &content.schema else {
                return false;
            };
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            matches!(
                components.schemas.get(name),
                Some(RefOr::T(Schema::Object(object))) if object.required.is_empty()
            )
        });
        if needs_nothing {
            body.required = Some(Required::False);
        }
    }
    for (_, name, description) in ANYWHERE.into_iter().chain([CROSS_SITE, TOO_LARGE]) {
        components
            .responses
            .insert(name.to_owned(), failure(description).into());
    }
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    let named: Vec<(String, Schema)> = components
        .schemas
        .iter()
        .filter_map(|(name, schema)| match schema {
            RefOr::T(schema @ Schema::Object(object)) if !object.properties.is_empty() => {
                Some((name.clone(), schema.clone()))
            }
            RefOr::T(schema @ Schema::AllOf(_)) => Some((name.clone(), schema.clone())),
            _ => None,
        })
        .collect();
    for schema in components.schemas.values_mut() {
        if let RefOr::T(schema) = schema {
            name_parts(schema, &named);
        }
    }
    document
}

/// Replaces inlined copies of named schemas by references. utoipa inlines the parts of a generic type in each instance,
/// so a generated client would have a dozen types for one thing.
fn name_parts(schema: &mut Schema, named: &[(String, Schema)]) {
    let name = |part: &mut RefOr<Schema>| {
        let RefOr::T(schema) = part else { return };
        match named.iter().find(|(_, known)| known == schema) {
            Some((name, _)) => *part = Ref::from_schema_name(name).into(),
            None => name_parts(schema, named),
        }
    };
    match schema {
        Schema::Object(object) => object.properties.values_mut().for_each(name),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                name(items);
            }
        }
        _ => {}
    }
}

/// Returns the operations of a path, and whether each can change something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [
        (false, &mut item.get),
        (true, &mut item.post),
        (true, &mut item.put),
        (true, &mut item.delete),
        (true, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(changes, operation)| Some((changes, operation.as_mut()?)))
}

fn complete_operation(operation: &mut Operation, changes: bool) {
    // The summary is the first sentence; the description is the whole text.
    let words = [operation.summary.take(), operation.description.take()];
    let words: Vec<String> = words.into_iter().flatten().collect();
    let words = words
        .join("\n\n")
        .replace("\n\n", "\u{1}")
        .replace('\n', " ")
        .replace('\u{1}', "\n\n");
    let first = words.split_once(". ").map_or(words.as_str(), |(first, _)| first);
    let first = first.split("\n\n").next().unwrap_or_default().trim_end_matches('.');
    operation.summary = Some(first.to_owned());
    operation.description = Some(words);
    // `[]` states that no authentication is needed; without it nothing would be stated.
    operation.security.get_or_insert_default();
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            complete_parameter(parameter);
        }
    }
    let responses = &mut operation.responses.responses;
    for (status, response) in &mut *responses {
        if let RefOr::T(response) = response {
            complete_response(status, response);
        }
    }
    let more = [(changes, CROSS_SITE), (operation.request_body.is_some(), TOO_LARGE)];
    let more = more
        .into_iter()
        .filter_map(|(applies, failure)| applies.then_some(failure));
    for (status, name, _) in ANYWHERE.into_iter().chain(more) {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| Ref::from_response_name(name).into());
    }
}

fn complete_response(status: &str, response: &mut Response) {
    let status = status.parse::<StatusCode>().unwrap_or_default();
    if response.description.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("Done")
            .clone_into(&mut response.description);
    }
    if (status.is_client_error() || status.is_server_error()) && response.content.is_empty() {
        response.content = failure("").content;
    }
}

/// Removes `null` from header parameters: a header is either present or absent.
fn complete_parameter(parameter: &mut Parameter) {
    if let (ParameterIn::Header, Some(RefOr::T(Schema::Object(schema)))) =
        (&parameter.parameter_in, &mut parameter.schema)
        && let SchemaType::Array(types) = &mut schema.schema_type
    {
        types.retain(|kind| !matches!(kind, Type::Null));
        if let [only] = types.as_slice() {
            schema.schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn failure(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(Ref::from_schema_name(FAILURE))))
        .build()
}

/// Returns the authentication schemes.
fn schemes() -> [(&'static str, SecurityScheme); 5] {
    let header = |name, meaning| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, meaning)));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("Access token from registration, login or refresh"))
        .build();
    [
        ("bearer", SecurityScheme::Http(bearer)),
        (
            "guest",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                lockstep_auth::cookies::GUEST,
                "Session of a guest; the first write of a principal sets it",
            ))),
        ),
        (
            "g2aSignature",
            header(
                "X-G2A-Signature",
                "Hexadecimal HMAC-SHA-256 of payload, timestamp, nonce and secret",
            ),
        ),
        (
            "stripeSignature",
            header(
                "Stripe-Signature",
                "`t=<seconds>,v1=<hexadecimal HMAC-SHA-256 of seconds.body>`, sent by the payment provider",
            ),
        ),
        (
            "paymentSignature",
            header(
                "X-Payment-Signature",
                "The same format, sent by a relay with its own secret",
            ),
        ),
    ]
}
