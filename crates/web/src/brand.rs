//! The stylesheet of the accent colours that staff have chosen, and the logo.
//!
//! The policy of the pages allows no style within a page, so the colours come as a file of their own, after the shop's
//! stylesheet. Its address holds the colours and a digest of the contents: it is made from its address alone, in every
//! process, and browsers keep it without expiry.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockstep_domain::branding::{Accent, Color, Ground, Logo, Look};
use sha2::{Digest as _, Sha256};

use crate::WebState;
use crate::assets::FOR_EVER;
use crate::error::PageError;

/// The stylesheet.
fn text(light: Accent, dark: Accent) -> String {
    let tokens = |accent: Accent| {
        format!(
            "--accent: {}; --accent-ink: {}; --accent-hover: {}; --accent-soft: {};",
            accent.color,
            accent.ink(),
            accent.hover(),
            accent.soft()
        )
    };
    let (light, dark) = (tokens(light), tokens(dark));
    format!(
        ":root, [data-theme=\"light\"] {{ {light} }}\n\
         [data-theme=\"dark\"] {{ {dark} }}\n\
         @media (prefers-color-scheme: dark) {{ :root[data-theme=\"system\"] {{ {dark} }} }}\n"
    )
}

/// The name of the file with these colours.
fn file_name(light: Accent, dark: Accent, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digest = digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    });
    format!("{}-{}.{digest}.css", light.color.digits(), dark.color.digits())
}

/// The address of the stylesheet; `None` if the shop has its usual colours.
pub(crate) fn address(look: &Look) -> Option<String> {
    let (light, dark) = look.accents()?;
    Some(format!("/brand/{}", file_name(light, dark, &text(light, dark))))
}

/// `GET /logo/{file}`, and below `/api` for e-mails and other front-ends.
pub(crate) async fn logo(State(state): State<Arc<WebState>>, Path(file): Path<String>) -> Result<Response, PageError> {
    let id = Logo::id_in(&file).ok_or(PageError::NotFound)?;
    let image = state.shop.logo_image(id).await?.ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (header::CACHE_CONTROL, FOR_EVER),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    Ok((headers, image).into_response())
}

/// `GET /brand/{file}`
pub(crate) async fn stylesheet(Path(file): Path<String>) -> Result<Response, PageError> {
    let color = |at: usize| file.get(at..at + 6).and_then(Color::parse);
    let (Some(light), Some(dark)) = (color(0), color(7)) else {
        return Err(PageError::NotFound);
    };
    let (light, dark) = (Accent::new(Ground::Light, light), Accent::new(Ground::Dark, dark));
    let text = text(light, dark);
    // Another digest is of another version of the program, which the browser must not keep under this name.
    if file != file_name(light, dark, &text) {
        return Err(PageError::NotFound);
    }
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/css; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, FOR_EVER),
    ];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What contrast is computed against is what the stylesheet shows.
    #[test]
    fn backgrounds_and_usual_accents_are_those_of_the_stylesheet() {
        let css = include_str!("../assets/site.css");
        for (opening, ground) in [
            (":root, [data-theme=\"light\"] {", Ground::Light),
            ("[data-theme=\"dark\"] {", Ground::Dark),
            (":root[data-theme=\"system\"] {", Ground::Dark),
        ] {
            let (_, block) = css.split_once(opening).unwrap();
            let (block, _) = block.split_once('}').unwrap();
            let token = |name: &str| {
                let (_, rest) = block.split_once(&format!("{name}: ")).unwrap();
                let value = rest.split(';').next().unwrap();
                let value = if value == "#fff" { "#ffffff" } else { value };
                Color::parse(value).unwrap()
            };
            assert_eq!(
                ["--ground", "--surface", "--raised"].map(token),
                ground.backgrounds(),
                "{opening}"
            );
            assert_eq!(token("--accent"), ground.usual_accent(), "{opening}");
        }
    }

    #[tokio::test]
    async fn the_stylesheet_is_at_its_address_only() {
        let look = Look {
            accent_light: Some(Color::new(0x12, 0x34, 0x56)),
            ..Look::default()
        };
        let address = address(&look).unwrap();
        let file = address.strip_prefix("/brand/").unwrap().to_owned();
        assert!(file.starts_with("123456-6fdcc2."), "{file}");
        let answer = stylesheet(Path(file.clone())).await.unwrap();
        assert_eq!(answer.headers()[header::CACHE_CONTROL], FOR_EVER);
        for other in [
            file.replace("123456", "123457"),
            "x".into(),
            "é".repeat(9),
            file.replace(".css", ".CSS"),
        ] {
            assert!(stylesheet(Path(other.clone())).await.is_err(), "{other}");
        }
        assert_eq!(super::address(&Look::default()), None);
    }
}
