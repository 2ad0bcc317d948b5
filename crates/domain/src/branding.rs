//! The shop's looks that staff choose: its name, its accent colours, and the rows of the home page.
//!
//! An accent colour is accepted only where it can be read: with at least 4.5:1 (WCAG 2.2, level AA) on every background of
//! its theme, as text, and under the text of a button.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::FieldError;
pub use crate::catalogue::Shelf;

/// Maximum length of the shop's name, in characters.
pub const MAX_NAME: usize = 60;
/// Most games that are picked by hand.
pub const MAX_PICKS: usize = 24;
/// Lowest contrast of text with its background.
pub const LEAST_CONTRAST: f64 = 4.5;

/// A colour, sRGB. Written as `#0b6356`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color([u8; 3]);

impl Color {
    /// A colour of its parts.
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// A colour in hexadecimal, with or without `#`, in either case: `#0b6356`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix('#').unwrap_or(text);
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// The relative luminance of WCAG 2.2, 0–1.
    #[expect(clippy::float_arithmetic, reason = "light is no amount of money")]
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// The contrast of two colours by WCAG 2.2, 1–21.
    #[expect(clippy::float_arithmetic, reason = "light is no amount of money")]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    /// A mixture: `share` of 255 parts are `other`.
    fn towards(self, other: Self, share: u8) -> Self {
        let [red, green, blue] = self.0;
        let [other_red, other_green, other_blue] = other.0;
        let mixed = |one: u8, other: u8| {
            let sum = u16::from(one) * u16::from(u8::MAX - share) + u16::from(other) * u16::from(share);
            u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
        };
        Self([
            mixed(red, other_red),
            mixed(green, other_green),
            mixed(blue, other_blue),
        ])
    }

    /// The six digits.
    pub fn digits(self) -> String {
        let [red, green, blue] = self.0;
        format!("{red:02x}{green:02x}{blue:02x}")
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.digits())
    }
}

impl From<Color> for String {
    fn from(color: Color) -> Self {
        color.to_string()
    }
}

impl TryFrom<String> for Color {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no colour such as #0b6356")
    }
}

/// One of the two themes of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Dark text on light grounds.
    Light,
    /// Light text on dark grounds.
    Dark,
}

impl Ground {
    /// The backgrounds that text stands on: `--ground`, `--surface` and `--raised` of the stylesheet.
    pub const fn backgrounds(self) -> [Color; 3] {
        match self {
            Self::Light => [
                Color::new(0xfb, 0xfa, 0xf7),
                Color::new(0xff, 0xff, 0xff),
                Color::new(0xf3, 0xf1, 0xec),
            ],
            Self::Dark => [
                Color::new(0x10, 0x14, 0x19),
                Color::new(0x18, 0x1d, 0x24),
                Color::new(0x21, 0x28, 0x30),
            ],
        }
    }

    /// The accent colour of a shop that has chosen none.
    pub const fn usual_accent(self) -> Color {
        match self {
            Self::Light => Color::new(0x0b, 0x63, 0x56),
            Self::Dark => Color::new(0x6f, 0xdc, 0xc2),
        }
    }

    /// The colour with the highest contrast.
    const fn extreme(self) -> Color {
        match self {
            Self::Light => Color::new(0, 0, 0),
            Self::Dark => Color::new(255, 255, 255),
        }
    }
}

/// An accent colour in a theme, and the colours that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent {
    ground: Ground,
    /// The colour itself: links, buttons, marks.
    pub color: Color,
}

impl Accent {
    /// `color` in a theme.
    pub const fn new(ground: Ground, color: Color) -> Self {
        Self { ground, color }
    }

    /// Text on the colour.
    pub const fn ink(self) -> Color {
        match self.ground {
            Ground::Light => Color::new(255, 255, 255),
            Ground::Dark => Color::new(0x10, 0x14, 0x19),
        }
    }

    /// The colour under the pointer: farther from the background.
    pub fn hover(self) -> Color {
        self.color.towards(self.ground.extreme(), 64)
    }

    /// A background with a hint of the colour.
    pub fn soft(self) -> Color {
        let [_, surface, _] = self.ground.backgrounds();
        let share = match self.ground {
            Ground::Light => 229,
            Ground::Dark => 209,
        };
        self.color.towards(surface, share)
    }

    /// The lowest contrast among those in which the pages show the colour.
    pub fn contrast(self) -> f64 {
        let on = self.ground.backgrounds().into_iter().chain([self.soft(), self.ink()]);
        on.map(|background| self.color.contrast(background))
            .fold(f64::INFINITY, f64::min)
    }

    /// Whether it can be read everywhere.
    pub fn is_readable(self) -> bool {
        self.contrast() >= LEAST_CONTRAST
    }

    /// The nearest colour of the same hue that can be read: itself, or a darker one on light grounds, a lighter one on
    /// dark grounds.
    pub fn nearest_readable(self) -> Color {
        (0..=u8::MAX)
            .map(|share| self.color.towards(self.ground.extreme(), share))
            .find(|color| Self { color: *color, ..self }.is_readable())
            .unwrap_or(self.ground.extreme())
    }
}

/// What of the looks stands on every page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Look {
    /// The shop's name; `None` if staff have chosen none.
    pub name: Option<String>,
    /// The accent colour of the light theme.
    pub accent_light: Option<Color>,
    /// The accent colour of the dark theme.
    pub accent_dark: Option<Color>,
    /// The logo.
    #[serde(default)]
    pub logo: Option<Logo>,
}

/// The shop's logo, as pages and e-mails show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Logo {
    /// In its address; new with every picture.
    pub id: Uuid,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// In the light theme it stands on a dark plate: without it could hardly be seen.
    pub plate_light: bool,
    /// In the dark theme it stands on a light plate.
    pub plate_dark: bool,
}

impl Logo {
    /// Maximum width of a stored logo, in pixels.
    pub const MAX_WIDTH: u32 = 480;
    /// Maximum height.
    pub const MAX_HEIGHT: u32 = 160;
    /// Minimum of both: smaller pictures are no logos, and narrower ones are lines.
    pub const MIN_SIDE: u32 = 24;
    /// Lowest contrast of what is no text with its background (WCAG 2.2, 1.4.11).
    pub const LEAST_CONTRAST: f64 = 3.0;

    /// A logo of this size, whose visible pixels are `color` on average; `None` if no page could show it. If it is
    /// `is_transparent`, its colour meets that of the page.
    pub fn new(id: Uuid, (width, height): (u32, u32), color: Color, is_transparent: bool) -> Option<Self> {
        let plate = |ground: Ground| {
            let [_, surface, _] = ground.backgrounds();
            is_transparent && color.contrast(surface) < Self::LEAST_CONTRAST
        };
        let fits = (Self::MIN_SIDE..=Self::MAX_WIDTH).contains(&width)
            && (Self::MIN_SIDE..=Self::MAX_HEIGHT).contains(&height);
        fits.then(|| Self {
            id,
            width,
            height,
            plate_light: plate(Ground::Light),
            plate_dark: plate(Ground::Dark),
        })
    }

    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.png", self.id)
    }

    /// The id in the name of a file.
    pub fn id_in(file: &str) -> Option<Uuid> {
        file.strip_suffix(".png")?.parse().ok()
    }
}

impl Look {
    /// The accent colours of both themes; `None` if staff have chosen none.
    pub fn accents(&self) -> Option<(Accent, Accent)> {
        if self.accent_light.is_none() && self.accent_dark.is_none() {
            return None;
        }
        let accent = |ground: Ground, chosen: Option<Color>| {
            Accent::new(ground, chosen.unwrap_or_else(|| ground.usual_accent()))
        };
        Some((
            accent(Ground::Light, self.accent_light),
            accent(Ground::Dark, self.accent_dark),
        ))
    }
}

/// A game of the row that staff have picked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PickedGame {
    /// ID of the game.
    pub id: Uuid,
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
}

/// The looks as staff see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Branding {
    /// The shop's name that staff have chosen.
    pub name: Option<String>,
    /// The name that the settings of the program give the shop, which wins.
    pub name_of_settings: Option<String>,
    /// The accent colour of the light theme, as `#0b6356`; null for the usual one.
    pub accent_light: Option<String>,
    /// The accent colour of the dark theme.
    pub accent_dark: Option<String>,
    /// The rows of the home page in their order (`best`, `new`, `preorders`, `genres`, `picked`); null for the usual ones.
    pub shelves: Option<Vec<String>>,
    /// The games of the row `picked`, in their order.
    pub picked: Vec<PickedGame>,
    /// Number of the last change.
    pub version: i64,
}

/// How a game is named in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// By its id.
    Id(Uuid),
    /// By its slug.
    Slug(String),
}

impl Pick {
    /// Reads an id, a slug, or the address of a game's page.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.rsplit_once("/game/").map_or(text, |(_, end)| end);
        let slug = end.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        if let Ok(id) = Uuid::parse_str(slug) {
            return Some(Self::Id(id));
        }
        let is_slug = !slug.is_empty()
            && slug.len() <= 300
            && slug
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        is_slug.then(|| Self::Slug(slug.to_owned()))
    }
}

/// What staff enter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrandingFields {
    /// The shop's name; empty for that of the settings.
    pub name: String,
    /// The accent colour of the light theme; empty for the usual one.
    pub accent_light: String,
    /// The accent colour of the dark theme.
    pub accent_dark: String,
    /// The rows of the home page; `None` for the usual ones.
    pub shelves: Option<Vec<String>>,
    /// The picked games: ids, slugs or addresses.
    pub picked: Vec<String>,
}

/// The same, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrandingForm {
    /// What stands on every page.
    pub look: Look,
    /// The rows of the home page.
    pub shelves: Option<Vec<Shelf>>,
    /// The picked games.
    pub picked: Vec<Pick>,
}

/// Why the looks were rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrandingFault {
    /// A field is not valid.
    Field(FieldError),
    /// A colour cannot be read.
    Contrast {
        /// Name of the field.
        path: &'static str,
        /// Its lowest contrast, with two decimals: `3.12`.
        contrast: String,
        /// The nearest colour that can be read.
        nearest: Color,
    },
}

impl fmt::Display for BrandingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => f.write_str(error.msg),
            Self::Contrast { contrast, nearest, .. } => write!(
                f,
                "The contrast is {contrast}:1 and must be at least 4.5:1. The nearest colour that passes is {nearest}"
            ),
        }
    }
}

impl BrandingFault {
    /// Name of the field.
    pub const fn path(&self) -> &'static str {
        match self {
            Self::Field(error) => error.path,
            Self::Contrast { path, .. } => path,
        }
    }
}

impl BrandingFields {
    /// Checks what was entered.
    ///
    /// # Errors
    /// The invalid fields.
    #[expect(clippy::float_arithmetic, reason = "a contrast is rounded down")]
    pub fn checked(&self) -> Result<BrandingForm, Vec<BrandingFault>> {
        let mut faults = Vec::new();
        let mut fault = |path, code, msg| faults.push(BrandingFault::Field(FieldError { path, code, msg }));
        let name = self.name.trim();
        if name.chars().count() > MAX_NAME {
            fault("name", "too_long", "This field is too long");
        } else if name.chars().any(char::is_control) {
            fault(
                "name",
                "control_characters",
                "This field must not hold control characters",
            );
        }
        let shelves = self.shelves.as_ref().map(|names| {
            let known: Vec<Shelf> = names.iter().filter_map(|name| Shelf::of_name(name)).collect();
            let is_twice = known
                .iter()
                .enumerate()
                .any(|(at, shelf)| known.iter().take(at).any(|before| before == shelf));
            if known.len() != names.len() {
                fault("shelves", "unknown_shelf", "This field names a row that does not exist");
            } else if is_twice {
                fault("shelves", "shelf_twice", "This field names a row twice");
            }
            known
        });
        let named: Vec<&String> = self.picked.iter().filter(|text| !text.trim().is_empty()).collect();
        let picked: Vec<Pick> = named.iter().filter_map(|text| Pick::parse(text)).collect();
        if named.len() > MAX_PICKS {
            fault("picked", "too_many_picks", "This field names more than 24 games");
        } else if picked.len() != named.len() {
            fault(
                "picked",
                "game_invalid",
                "This field must name games by slug, id or address",
            );
        }
        let mut accent = |path, ground, text: &str| {
            if text.trim().is_empty() {
                return None;
            }
            let Some(color) = Color::parse(text) else {
                faults.push(BrandingFault::Field(FieldError {
                    path,
                    code: "color_invalid",
                    msg: "This field must be a colour such as #0b6356",
                }));
                return None;
            };
            let accent = Accent::new(ground, color);
            if !accent.is_readable() {
                faults.push(BrandingFault::Contrast {
                    path,
                    // Rounded down: what is refused must not look as if it passed.
                    contrast: format!("{:.2}", (accent.contrast() * 100.0).floor() / 100.0),
                    nearest: accent.nearest_readable(),
                });
            }
            Some(color)
        };
        let look = Look {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            accent_light: accent("accentLight", Ground::Light, &self.accent_light),
            accent_dark: accent("accentDark", Ground::Dark, &self.accent_dark),
            logo: None,
        };
        if faults.is_empty() {
            Ok(BrandingForm { look, shelves, picked })
        } else {
            Err(faults)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn contrast_is_that_of_wcag() {
        let contrast = |one: &str, other: &str| {
            let found = Color::parse(one).unwrap().contrast(Color::parse(other).unwrap());
            format!("{found:.2}")
        };
        assert_eq!(contrast("#000000", "#ffffff"), "21.00");
        assert_eq!(contrast("#ffffff", "#ffffff"), "1.00");
        // The lightest grey that passes on white, and the next one.
        assert_eq!(contrast("#767676", "#ffffff"), "4.54");
        assert_eq!(contrast("#777777", "#ffffff"), "4.48");
        assert_eq!(contrast("#ff0000", "#ffffff"), "4.00");
    }

    #[test]
    fn colours_are_read_and_written() {
        let color = Color::parse(" #0B6356 ").unwrap();
        assert_eq!(color.to_string(), "#0b6356");
        assert_eq!(serde_json::to_string(&color).unwrap(), "\"#0b6356\"");
        assert_eq!(serde_json::from_str::<Color>("\"#0b6356\"").unwrap(), color);
        assert_eq!(Color::parse("0b6356"), Some(color));
        for bad in ["", "#fff", "#0b635", "#0b63567", "#0b635g", "teal", "+12345", "##12345"] {
            assert_eq!(Color::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn usual_accents_can_be_read() {
        for ground in [Ground::Light, Ground::Dark] {
            let accent = Accent::new(ground, ground.usual_accent());
            assert!(accent.is_readable(), "{ground:?} {}", accent.contrast());
        }
    }

    #[test]
    fn a_colour_that_cannot_be_read_is_refused_with_its_contrast_and_one_that_passes() {
        let fields = BrandingFields {
            accent_light: "#ff8800".into(),
            ..BrandingFields::default()
        };
        let faults = fields.checked().unwrap_err();
        let [
            BrandingFault::Contrast {
                path,
                contrast,
                nearest,
            },
        ] = faults.as_slice()
        else {
            panic!("{faults:?}");
        };
        assert_eq!((*path, contrast.starts_with("2.")), ("accentLight", true), "{contrast}");
        let accepted = BrandingFields {
            accent_light: nearest.to_string(),
            ..BrandingFields::default()
        };
        assert_eq!(accepted.checked().unwrap().look.accent_light, Some(*nearest));
    }

    #[test]
    fn fields_are_checked() {
        let faults = |fields: BrandingFields| -> Vec<&'static str> {
            let faults = fields.checked().unwrap_err();
            faults.iter().map(BrandingFault::path).collect()
        };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let usual = BrandingFields::default();
        assert_eq!(usual.checked(), Ok(BrandingForm::default()));
        for (fields, path) in [
            (
                BrandingFields {
                    name: "x".repeat(61),
                    ..usual.clone()
                },
                "name",
            ),
            (
                BrandingFields {
                    name: "a\u{7}b".into(),
                    ..usual.clone()
                },
                "name",
            ),
            (
                BrandingFields {
                    accent_dark: "blue".into(),
                    ..usual.clone()
                },
                "accentDark",
            ),
            (
                BrandingFields {
                    shelves: Some(texts(&["best", "best"])),
                    ..usual.clone()
                },
                "shelves",
            ),
            (
                BrandingFields {
                    shelves: Some(texts(&["worst"])),
                    ..usual.clone()
                },
                "shelves",
            ),
            (
                BrandingFields {
                    picked: texts(&["a b"]),
                    ..usual.clone()
                },
                "picked",
            ),
            (
                BrandingFields {
                    picked: vec!["a".into(); 25],
                    ..usual.clone()
                },
                "picked",
            ),
        ] {
            assert_eq!(faults(fields.clone()), [path], "{fields:?}");
        }
        let id = Uuid::from_u128(7);
        let fields = BrandingFields {
            name: " Keys ".into(),
            shelves: Some(texts(&["picked", "best"])),
            picked: vec![
                "portal-2".into(),
                "https://shop.example/game/myst?lang=de".into(),
                String::new(),
                id.to_string(),
            ],
            ..usual
        };
        let form = fields.checked().unwrap();
        assert_eq!(form.look.name.as_deref(), Some("Keys"));
        assert_eq!(form.shelves, Some(vec![Shelf::Picked, Shelf::Best]));
        assert_eq!(
            form.picked,
            [Pick::Slug("portal-2".into()), Pick::Slug("myst".into()), Pick::Id(id)]
        );
    }

    #[test]
    fn one_chosen_accent_comes_with_the_usual_one_of_the_other_theme() {
        assert_eq!(Look::default().accents(), None);
        let look = Look {
            accent_light: Some(Color::new(0, 0, 0)),
            ..Look::default()
        };
        let (light, dark) = look.accents().unwrap();
        assert_eq!(
            (light.color, dark.color),
            (Color::new(0, 0, 0), Ground::Dark.usual_accent())
        );
    }

    #[test]
    fn a_logo_stands_on_a_plate_where_it_could_hardly_be_seen() {
        let id = Uuid::from_u128(7);
        let plates = |color: &str, is_transparent| {
            let logo = Logo::new(id, (200, 50), Color::parse(color).unwrap(), is_transparent).unwrap();
            (logo.plate_light, logo.plate_dark)
        };
        assert_eq!(plates("#000000", true), (false, true));
        assert_eq!(plates("#ffffff", true), (true, false));
        assert_eq!(plates("#0b6356", true), (false, true));
        assert_eq!(plates("#d0342c", true), (false, false));
        // What is no part of the page has its own background.
        assert_eq!(plates("#ffffff", false), (false, false));
        for size in [(23, 50), (50, 23), (481, 50), (50, 161)] {
            assert_eq!(Logo::new(id, size, Color::new(0, 0, 0), true), None, "{size:?}");
        }
        let logo = Logo::new(id, (480, 160), Color::new(0, 0, 0), true).unwrap();
        assert_eq!(Logo::id_in(&logo.file()), Some(id));
        assert_eq!(Logo::id_in("x.png"), None);
    }

    proptest! {
        /// Whatever is entered, the proposed colour passes everywhere it is shown, and what passes is left alone.
        #[test]
        fn the_nearest_colour_can_be_read(parts: [u8; 3], is_dark: bool) {
            let ground = if is_dark { Ground::Dark } else { Ground::Light };
            let entered = Accent::new(ground, Color(parts));
            let proposed = Accent::new(ground, entered.nearest_readable());
            prop_assert!(proposed.is_readable(), "{} of {}", proposed.color, entered.color);
            if entered.is_readable() {
                prop_assert_eq!(proposed.color, entered.color);
            }
            for background in ground.backgrounds().into_iter().chain([proposed.soft()]) {
                prop_assert!(proposed.color.contrast(background) >= LEAST_CONTRAST);
                prop_assert!(proposed.hover().contrast(background) >= LEAST_CONTRAST);
            }
            prop_assert!(proposed.ink().contrast(proposed.color) >= LEAST_CONTRAST);
            prop_assert!(proposed.ink().contrast(proposed.hover()) >= LEAST_CONTRAST);
        }

        #[test]
        #[expect(clippy::float_arithmetic, reason = "light is no amount of money")]
        fn contrast_is_symmetric_and_bounded(one: [u8; 3], other: [u8; 3]) {
            let (one, other) = (Color(one), Color(other));
            let found = one.contrast(other);
            prop_assert!((1.0..=21.01).contains(&found));
            prop_assert!((found - other.contrast(one)).abs() < 1e-9);
        }

        #[test]
        fn colours_round_trip(parts: [u8; 3]) {
            let color = Color(parts);
            prop_assert_eq!(Color::parse(&color.to_string()), Some(color));
        }
    }
}
