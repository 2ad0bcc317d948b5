//! Generated covers: a picture for every game that has none, drawn from its slug alone.
//!
//! The same slug always gives the same picture, so it can be cached for long. The games of a series share colours and
//! lettering; each has its own scene.

mod dice;
mod preview;
mod scenes;
mod words;

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use lockstep_domain::slug::is_slug;
use tokio::sync::Semaphore;

use crate::error::PageError;
use dice::Dice;
use words::{LETTERINGS, set, words};

/// Width and height of a cover in its own units; the covers of games are portrait, 3:4.
const WIDTH: i64 = 300;
const HEIGHT: i64 = 400;
/// Width and height of the wide form.
const WIDE: (i64, i64) = (800, 400);

/// Incremented when the drawing changes. Cover addresses contain it, so that browsers do not reuse old covers.
pub(crate) const EDITION: u32 = 3;

/// Five matching colours, as red, green and blue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    above: u32,
    below: u32,
    far: u32,
    near: u32,
    light: u32,
}

const PALETTES: [Palette; 14] = [
    palette(0x2b_1b4d, 0xe0_675b, 0x7b_3560, 0x1d_1233, 0xff_d9a0),
    palette(0x06_222e, 0x1f_6f78, 0x0f_4450, 0x04_1820, 0xf3_e9c6),
    palette(0x3a_0f14, 0xc8_452c, 0x7a_1f1e, 0x1e_070a, 0xff_c46b),
    palette(0x0d_2a22, 0x5a_9a6e, 0x2a_5d48, 0x07_1813, 0xf5_efc0),
    palette(0x0a_1f44, 0x3a_86c8, 0x1f_4f8f, 0x06_1431, 0xe9_f4ff),
    palette(0x6b_3e26, 0xe8_b673, 0xa9_653a, 0x3a_2013, 0xff_f1d0),
    palette(0x1c_1140, 0x7a_5bd0, 0x46_308c, 0x11_0a2b, 0xff_cfe8),
    palette(0x47_122b, 0xe3_8aa0, 0x93_325a, 0x28_0a19, 0xff_e9d6),
    palette(0x1a_222c, 0x7d_93a8, 0x42_5364, 0x0e_141b, 0xff_f4dc),
    palette(0x22_270f, 0xa8_b04a, 0x66_702c, 0x12_150a, 0xfd_f6c8),
    palette(0x18_2430, 0xd0_763f, 0x7c_4a38, 0x0d_151d, 0xff_e2b8),
    palette(0x12_3040, 0xa9_dbe6, 0x4c_92a8, 0x0a_1d28, 0xff_ffff),
    palette(0x0c_1a2b, 0xf0_9c7a, 0x54_4a74, 0x0a_1020, 0xff_ecc9),
    palette(0x14_2b1f, 0xd9_c56b, 0x4f_7a45, 0x0b_1711, 0xff_f8dc),
];

const fn palette(above: u32, below: u32, far: u32, near: u32, light: u32) -> Palette {
    Palette {
        above,
        below,
        far,
        near,
        light,
    }
}

/// `GET /covers/{slug}.svg`. `{slug}.wide.svg` is the same scene, wide and without words, for backdrops; `{slug}.png`
/// is for link previews elsewhere, which do not accept SVG.
pub(crate) async fn cover(Path(file): Path<String>) -> Result<Response, PageError> {
    let (slug, kind) = [".wide.svg", ".svg", ".png"]
        .into_iter()
        .find_map(|kind| Some((file.strip_suffix(kind)?, kind)))
        .filter(|(slug, _)| is_slug(slug))
        .ok_or(PageError::NotFound)?;
    if kind == ".png" {
        let slug = slug.to_owned();
        // The blocking task holds the permit: it continues after its reader disconnects, and must still count.
        let turn = PREVIEWS.acquire().await.map_err(|_| PageError::Internal)?;
        let png = tokio::task::spawn_blocking(move || {
            let png = preview::draw(&slug);
            drop(turn);
            png
        })
        .await;
        let png = png.ok().flatten().ok_or(PageError::Internal)?;
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
            (header::CACHE_CONTROL, KEEP),
        ];
        return Ok((headers, png).into_response());
    }
    Ok(served(draw(slug, kind == ".wide.svg"), KEEP))
}

/// Maximum number of previews drawn at once: each takes some tens of milliseconds of processor time.
static PREVIEWS: Semaphore = Semaphore::const_new(2);

/// Covers are cached for a week.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=604800");

/// The drawn cover in place of a picture that is not available; browsers ask again soon.
pub(crate) fn instead(slug: &str, is_wide: bool) -> Response {
    let slug = if is_slug(slug) { slug } else { "game" };
    served(draw(slug, is_wide), HeaderValue::from_static("public, max-age=300"))
}

fn served(svg: String, keep: HeaderValue) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CACHE_CONTROL, keep),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'"),
        ),
    ];
    (headers, svg).into_response()
}

/// Draws a cover as SVG. `slug` must consist of lower-case letters, digits and `-`, so nothing in it needs escaping.
fn draw(slug: &str, is_wide: bool) -> String {
    let words = words(slug);
    let (palette, mut series) = look(&words);
    let (width, height) = if is_wide { WIDE } else { (WIDTH, HEIGHT) };
    let mut svg = String::with_capacity(6 * 1024);
    let _infallible = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"xMidYMid slice\" \
         role=\"img\" aria-label=\"{}\"><defs><linearGradient id=\"g\" x2=\"0\" y2=\"1\"><stop stop-color=\"{}\"/>\
         <stop offset=\".85\" stop-color=\"{}\"/></linearGradient><radialGradient id=\"l\"><stop stop-color=\"{}\" \
         stop-opacity=\".55\"/><stop offset=\"1\" stop-color=\"{}\" stop-opacity=\"0\"/></radialGradient>\
         <linearGradient id=\"s\" x2=\"0\" y2=\"1\"><stop stop-color=\"{}\" stop-opacity=\"0\"/>\
         <stop offset=\".55\" stop-color=\"{}\" stop-opacity=\".78\"/><stop offset=\"1\" stop-color=\"{}\" stop-opacity=\".94\"/>\
         </linearGradient></defs><rect width=\"{width}\" height=\"{height}\" fill=\"url(#g)\"/>",
        words.join(" "),
        hex(palette.above),
        hex(palette.below),
        hex(palette.light),
        hex(palette.light),
        hex(palette.near),
        hex(palette.near),
        hex(palette.near),
    );
    scenes::draw(&mut svg, &mut Dice::new(slug), palette, width, height);
    if !is_wide {
        let _infallible = write!(
            svg,
            "<rect y=\"200\" width=\"{WIDTH}\" height=\"200\" fill=\"url(#s)\"/>"
        );
        let lettering = LETTERINGS
            .get(usize::try_from(series.below(3)).unwrap_or(0))
            .copied()
            .unwrap_or(LETTERINGS[0]);
        set(&mut svg, &words, lettering, "#fff");
    }
    svg.push_str("</svg>");
    svg
}

/// The colours of a series, identified by its first two words, and the random numbers that follow.
fn look(words: &[&str]) -> (Palette, Dice) {
    let mut series = Dice::new(&words.iter().take(2).copied().collect::<Vec<_>>().join("-"));
    let count = i64::try_from(PALETTES.len()).unwrap_or(1);
    let palette = PALETTES
        .get(usize::try_from(series.below(count)).unwrap_or(0))
        .copied()
        .unwrap_or(PALETTES[0]);
    (palette, series)
}

/// `#rrggbb`
fn hex(colour: u32) -> String {
    format!("#{colour:06x}")
}

/// Mixes two colours, `percent` of the way from the first to the second.
fn mix(from: u32, to: u32, percent: i64) -> u32 {
    let part = |shift: u32| {
        let (from, to) = (i64::from((from >> shift) & 0xff), i64::from((to >> shift) & 0xff));
        let mixed = (from * (100 - percent) + to * percent) / 100;
        u32::try_from(mixed.clamp(0, 255)).unwrap_or(0) << shift
    };
    part(16) | part(8) | part(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_are_deterministic_and_distinct() {
        assert_eq!(draw("stellar-harvest", false), draw("stellar-harvest", false));
        let different: std::collections::HashSet<String> =
            (0..200).map(|n| draw(&format!("game-{n}"), false)).collect();
        assert_eq!(different.len(), 200);
        assert!(
            draw("stellar-harvest-2-steam-key-global", false)
                .to_lowercase()
                .contains(">stellar")
        );
        assert!(!draw("stellar-harvest", true).contains("<text"));
    }

    #[tokio::test]
    async fn invalid_slugs_have_no_cover() {
        for file in ["a\"b.svg", "A.svg", "../x.svg", ".svg", "a.jpg", "a<b.svg", "a", ".png"] {
            assert!(cover(Path(file.to_owned())).await.is_err(), "{file}");
        }
    }

    #[tokio::test]
    async fn disconnected_readers_still_count_against_the_preview_limit() {
        let mut asked = Box::pin(cover(Path("stellar-harvest.png".to_owned())));
        assert!(futures::poll!(asked.as_mut()).is_pending(), "it is being drawn");
        drop(asked);
        assert_eq!(PREVIEWS.available_permits(), 1);
    }

    #[tokio::test]
    async fn link_previews_are_png() {
        let response = cover(Path("stellar-harvest.png".to_owned())).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let picture = image::load_from_memory_with_format(&body, image::ImageFormat::Png).unwrap();
        assert_eq!((picture.width(), picture.height()), (1200, 630));
    }
}
