//! The words on a cover: those of the game's address, without what shops append, set so that they fit.

use std::fmt::Write as _;

use super::{HEIGHT, WIDTH};

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
    "latam",
    "ru",
    "cis",
    "ps4",
    "ps5",
];

/// The slug's words, less what shops append, at most nine of them.
pub(super) fn words(slug: &str) -> Vec<&str> {
    let mut words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    // G2A's product id, or what keeps two equal titles apart.
    while words.len() > 1
        && words
            .last()
            .is_some_and(|word| word.trim_start_matches('i').len() >= 8 && word.bytes().any(|b| b.is_ascii_digit()))
    {
        words.pop();
    }
    while words.len() > 1 {
        match words.as_slice() {
            [.., "series", "x", "s"] => words.truncate(words.len() - 3),
            [.., last] if APPENDED.contains(last) => words.truncate(words.len() - 1),
            _ => break,
        }
    }
    words.truncate(9);
    words
}

/// How the words of a series look.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    family: &'static str,
    weight: u32,
    /// Hundredths of the size between letters.
    spacing: i64,
    is_upper: bool,
    /// Hundredths of the size that a letter takes on average, generously.
    width: i64,
}

/// Fonts that every system has one of.
pub(super) const LETTERINGS: [Lettering; 3] = [
    Lettering {
        family: "'Avenir Next','Segoe UI',Inter,Roboto,'Helvetica Neue',Arial,sans-serif",
        weight: 800,
        spacing: -1,
        is_upper: true,
        width: 72,
    },
    Lettering {
        family: "'Iowan Old Style','Palatino Linotype',Palatino,Georgia,'Times New Roman',serif",
        weight: 700,
        spacing: 0,
        is_upper: false,
        width: 58,
    },
    Lettering {
        family: "'Avenir Next Condensed','Arial Narrow','Roboto Condensed','Helvetica Neue',Arial,sans-serif",
        weight: 600,
        spacing: 9,
        is_upper: true,
        width: 80,
    },
];

/// The words in at most four lines above the lower edge. They are letters, digits and spaces, so nothing is escaped.
pub(super) fn set(svg: &mut String, words: &[&str], style: Lettering, colour: &str) {
    const MARGIN: i64 = 22;
    let longest_word = words.iter().map(|word| word.len()).max().unwrap_or(1).clamp(10, 16);
    // As large as four lines allow.
    let mut lines = (longest_word..=20)
        .map(|room| broken(words, style, room))
        .find(|lines| lines.len() <= 4)
        .unwrap_or_else(|| broken(words, style, 20));
    lines.truncate(4);
    let longest = lines.iter().map(String::len).max().unwrap_or(1);
    let longest = i64::try_from(longest).unwrap_or(16).max(6);
    let size = ((WIDTH - 2 * MARGIN) * 100 / (longest * (style.width + style.spacing))).min(46);
    let step = size * 112 / 100;
    let count = i64::try_from(lines.len()).unwrap_or(1);
    let first = HEIGHT - 28 - (count - 1) * step;
    let _infallible = write!(
        svg,
        "<g fill=\"{colour}\" font-family=\"{}\" font-weight=\"{}\" font-size=\"{size}\" letter-spacing=\"{}\">",
        style.family,
        style.weight,
        size * style.spacing / 100
    );
    for (row, line) in (0i64..).zip(&lines) {
        let _infallible = write!(svg, "<text x=\"{MARGIN}\" y=\"{}\">{line}</text>", first + row * step);
    }
    svg.push_str("</g>");
}

fn broken(words: &[&str], style: Lettering, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let mut word = if style.is_upper {
            word.to_ascii_uppercase()
        } else {
            capitalised(word)
        };
        word.truncate(room);
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn capitalised(word: &str) -> String {
    if matches!(word, "of" | "the" | "and" | "a" | "in" | "to") {
        return word.to_owned();
    }
    if word.bytes().all(|b| b"ivx".contains(&b)) {
        return word.to_ascii_uppercase();
    }
    let mut word = word.to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
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
        assert_eq!(
            words("ostermark-citadel-2-xbox-live-key-latam"),
            ["ostermark", "citadel", "2"]
        );
        assert_eq!(
            words("dagger-of-ostermark-pc-steam-key-ru-cis"),
            ["dagger", "of", "ostermark"]
        );
        assert_eq!(words("key"), ["key"]);
    }

    #[test]
    fn words_fit_whatever_they_are() {
        for slug in [
            "a",
            "pneumonoultramicroscopicsilicovolcanoconiosis",
            "a-b-c-d-e-f-g-h-i-j-k-l",
            "the-gathering-dark-2-anniversary-edition",
        ] {
            for style in LETTERINGS {
                let mut svg = String::new();
                set(&mut svg, &words(slug), style, "#fff");
                let size: i64 = svg
                    .split("font-size=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                for line in svg.split("<text").skip(1) {
                    let text = line.split('>').nth(1).unwrap().split('<').next().unwrap();
                    let width = i64::try_from(text.len()).unwrap() * size * (style.width + style.spacing) / 100;
                    assert!(width <= WIDTH - 40, "{text} is {width} wide");
                }
            }
        }
    }
}
