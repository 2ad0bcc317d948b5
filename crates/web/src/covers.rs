//! Generated covers: a picture for every game that has none, drawn from its address alone.
//!
//! The same slug always gives the same picture, so it can be cached anywhere for long. Colours, pattern and layout come
//! from a hash of the slug; the words are the slug's, without what shops append ("steam key global").

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::error::PageError;

/// Width and height of a cover in its own units; games' covers are upright, 3 to 4.
const WIDTH: i64 = 300;
const HEIGHT: i64 = 400;

/// Words that shops append to a title and that no cover would show.
const APPENDED: &[&str] = &[
    "key",
    "global",
    "europe",
    "row",
    "united",
    "states",
    "kingdom",
    "north",
    "america",
    "latin",
    "asia",
    "steam",
    "pc",
    "gog",
    "com",
    "epic",
    "games",
    "origin",
    "ea",
    "app",
    "ubisoft",
    "connect",
    "uplay",
    "xbox",
    "live",
    "psn",
    "playstation",
    "nintendo",
    "switch",
    "eshop",
    "battle",
    "net",
    "rockstar",
    "microsoft",
    "store",
    "windows",
    "code",
    "gift",
    "turkey",
    "argentina",
    "brazil",
    "germany",
    "poland",
    "france",
    "eu",
    "us",
    "uk",
    "na",
];

/// `GET /covers/{slug}.svg`, and `{slug}.wide.svg` for what stands behind other things: the same picture, wide, without
/// words.
pub(crate) async fn cover(Path(file): Path<String>) -> Result<Response, PageError> {
    let name = file.strip_suffix(".svg").unwrap_or_default();
    let (slug, is_wide) = name.strip_suffix(".wide").map_or((name, false), |slug| (slug, true));
    let sound = !slug.is_empty()
        && slug.len() <= 200
        && slug
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !sound {
        return Err(PageError::NotFound);
    }
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=604800"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    Ok((headers, draw(slug, is_wide)).into_response())
}

/// A cover as SVG. `slug` has to consist of lower-case letters, digits and `-`, so nothing in it needs escaping.
fn draw(slug: &str, is_wide: bool) -> String {
    let words = words(slug);
    // The same series keeps its colours: they come from the first two words, the pattern from all of them.
    let mut colour = Dice::new(&words.iter().take(2).copied().collect::<Vec<_>>().join("-"));
    let mut shape = Dice::new(slug);
    let hue = colour.below(360);
    let second = (hue + 25 + colour.below(70)) % 360;
    let light = (hue + 180 + colour.below(40)) % 360;
    let view = if is_wide {
        format!("0 40 {WIDTH} 150")
    } else {
        format!("0 0 {WIDTH} {HEIGHT}")
    };
    let mut svg = String::with_capacity(4096);
    let _infallible = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{view}\" preserveAspectRatio=\"xMidYMid slice\" role=\"img\" aria-label=\"{}\">\
         <defs><linearGradient id=\"g\" x1=\"0\" y1=\"0\" x2=\"{}\" y2=\"1\"><stop offset=\"0\" stop-color=\"hsl({hue} 62% 34%)\"/>\
         <stop offset=\"1\" stop-color=\"hsl({second} 70% 14%)\"/></linearGradient>\
         <linearGradient id=\"s\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"1\"><stop offset=\"0\" stop-color=\"#000\" stop-opacity=\"0\"/>\
         <stop offset=\"1\" stop-color=\"#000\" stop-opacity=\".72\"/></linearGradient></defs>\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"url(#g)\"/>",
        words.join(" "),
        colour.below(2),
    );
    match shape.below(6) {
        0 => moon_and_ridges(&mut svg, &mut shape, light, second),
        1 => rings(&mut svg, &mut shape, light),
        2 => rays(&mut svg, &mut shape, light),
        3 => city(&mut svg, &mut shape, light, second),
        4 => shards(&mut svg, &mut shape, light),
        _ => orbit(&mut svg, &mut shape, light),
    }
    if !is_wide {
        let _infallible = write!(
            svg,
            "<rect y=\"190\" width=\"{WIDTH}\" height=\"210\" fill=\"url(#s)\"/>"
        );
        title(&mut svg, &words);
    }
    svg.push_str("</svg>");
    svg
}

/// The slug's words, less what shops append, at most nine of them.
fn words(slug: &str) -> Vec<&str> {
    let mut words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    // G2A's product id, or what keeps two equal titles apart.
    while words.len() > 1
        && words
            .last()
            .is_some_and(|word| word.trim_start_matches('i').len() >= 8 && word.bytes().any(|b| b.is_ascii_digit()))
    {
        words.pop();
    }
    while words.len() > 1 && words.last().is_some_and(|word| APPENDED.contains(word)) {
        words.pop();
    }
    words.truncate(9);
    words
}

fn title(svg: &mut String, words: &[&str]) {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let mut word = word.to_ascii_uppercase();
        word.truncate(14);
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= 13 => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines.truncate(4);
    let longest = lines.iter().map(String::len).max().unwrap_or(1).max(7);
    let size = (262 * 100 / (i64::try_from(longest).unwrap_or(14) * 67)).min(44);
    let step = size + size / 8;
    let count = i64::try_from(lines.len()).unwrap_or(1);
    let first = HEIGHT - 26 - (count - 1) * step;
    let _infallible = write!(
        svg,
        "<g fill=\"#fff\" font-family=\"'Avenir Next','Segoe UI',Inter,Roboto,'Helvetica Neue',Arial,sans-serif\" font-weight=\"800\" font-size=\"{size}\" letter-spacing=\"-.5\">"
    );
    for (row, line) in (0i64..).zip(&lines) {
        let _infallible = write!(svg, "<text x=\"20\" y=\"{}\">{line}</text>", first + row * step);
    }
    svg.push_str("</g>");
}

fn moon_and_ridges(svg: &mut String, dice: &mut Dice, light: i64, dark: i64) {
    let (x, y, r) = (70 + dice.below(160), 70 + dice.below(50), 34 + dice.below(30));
    let _infallible = write!(
        svg,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"hsl({light} 85% 80%)\" opacity=\".92\"/>"
    );
    for ridge in 0..3 {
        let base = 180 + ridge * 52;
        let mut path = format!("M0 {HEIGHT}V{}", base + dice.below(40));
        for step in 1..=6 {
            let _infallible = write!(path, "L{} {}", step * WIDTH / 6, base - 36 + dice.below(78));
        }
        let _infallible = write!(
            svg,
            "<path d=\"{path}V{HEIGHT}Z\" fill=\"hsl({dark} 55% {}%)\" opacity=\".85\"/>",
            26 - ridge * 8
        );
    }
}

fn rings(svg: &mut String, dice: &mut Dice, light: i64) {
    let (x, y) = (60 + dice.below(180), 90 + dice.below(90));
    for ring in 1..9 {
        let _infallible = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"none\" stroke=\"hsl({light} 80% 72%)\" stroke-width=\"{}\" opacity=\".{}\"/>",
            ring * (16 + dice.below(6)),
            1 + dice.below(7),
            75 - ring * 7
        );
    }
}

fn rays(svg: &mut String, dice: &mut Dice, light: i64) {
    let (x, y) = (40 + dice.below(220), 120 + dice.below(60));
    for ray in 0..10 {
        let from = ray * 60 - 150 + dice.below(24);
        let _infallible = write!(
            svg,
            "<path d=\"M{x} {y}L{from} -20H{}Z\" fill=\"hsl({light} 85% 72%)\" opacity=\".{}\"/>",
            from + 14 + dice.below(26),
            18 + dice.below(30)
        );
    }
    let _infallible = write!(
        svg,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"hsl({light} 90% 82%)\"/>",
        16 + dice.below(22)
    );
}

fn city(svg: &mut String, dice: &mut Dice, light: i64, dark: i64) {
    let mut x = 0;
    while x < WIDTH {
        let (width, height) = (22 + dice.below(34), 90 + dice.below(170));
        let top = HEIGHT - 60 - height;
        let _infallible = write!(
            svg,
            "<rect x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"hsl({dark} 50% {}%)\"/>",
            10 + dice.below(9)
        );
        for _ in 0..5 {
            let _infallible = write!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"5\" height=\"8\" fill=\"hsl({light} 90% 70%)\" opacity=\".8\"/>",
                x + 4 + dice.below((width - 10).max(1)),
                top + 8 + dice.below(120)
            );
        }
        x += width + 2;
    }
}

fn shards(svg: &mut String, dice: &mut Dice, light: i64) {
    for _ in 0..11 {
        let (x, y) = (dice.below(WIDTH), dice.below(280));
        let _infallible = write!(
            svg,
            "<path d=\"M{x} {y}L{} {}L{} {}Z\" fill=\"hsl({} 80% 68%)\" opacity=\".{}\"/>",
            x + 30 + dice.below(90),
            y - 40 + dice.below(90),
            x - 20 + dice.below(60),
            y + 40 + dice.below(110),
            (light + dice.below(40)) % 360,
            14 + dice.below(44)
        );
    }
}

fn orbit(svg: &mut String, dice: &mut Dice, light: i64) {
    let (x, y, r) = (90 + dice.below(120), 110 + dice.below(60), 46 + dice.below(30));
    for _ in 0..40 {
        let _infallible = write!(
            svg,
            "<circle cx=\"{}\" cy=\"{}\" r=\"1\" fill=\"#fff\" opacity=\".{}\"/>",
            dice.below(WIDTH),
            dice.below(300),
            30 + dice.below(60)
        );
    }
    let tilt = dice.below(50) - 25;
    let _infallible = write!(
        svg,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"hsl({light} 70% 66%)\"/>\
         <ellipse cx=\"{x}\" cy=\"{y}\" rx=\"{}\" ry=\"{}\" fill=\"none\" stroke=\"hsl({light} 90% 84%)\" stroke-width=\"5\" opacity=\".8\" transform=\"rotate({tilt} {x} {y})\"/>",
        r + 44,
        r / 3
    );
}

/// A small repeatable source of numbers (splitmix64 over an FNV hash): pictures must not change with a library.
struct Dice(u64);

impl Dice {
    fn new(seed: &str) -> Self {
        Self(seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// A number from 0 to `limit` − 1.
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_shows_the_title_and_not_what_shops_append() {
        assert_eq!(words("stellar-harvest-2-steam-key-global"), ["stellar", "harvest", "2"]);
        assert_eq!(
            words("stellar-harvest-pc-xbox-live-key-united-states-10000000024005"),
            ["stellar", "harvest"]
        );
        assert_eq!(words("key"), ["key"]);
        assert!(draw("stellar-harvest-2-steam-key-global", false).contains(">STELLAR<"));
    }

    #[test]
    fn the_same_game_always_has_the_same_cover_and_others_have_others() {
        assert_eq!(draw("stellar-harvest", false), draw("stellar-harvest", false));
        let different: std::collections::HashSet<String> =
            (0..200).map(|n| draw(&format!("game-{n}"), false)).collect();
        assert_eq!(different.len(), 200);
    }

    #[tokio::test]
    async fn an_address_that_is_no_slug_has_no_cover() {
        for file in ["a\"b.svg", "A.svg", "../x.svg", ".svg", "a.png", "a<b.svg"] {
            assert!(cover(Path(file.to_owned())).await.is_err(), "{file}");
        }
    }
}
