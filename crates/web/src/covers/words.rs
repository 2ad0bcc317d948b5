//! The words on a cover: those of the game's slug, without what shops append, set to fit.

use std::fmt::Write as _;

use super::{HEIGHT, WIDTH};

/// Words that shops append to a title and that covers omit.
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

/// The words of the slug without those that shops append, at most nine.
pub(super) fn words(slug: &str) -> Vec<&str> {
    let mut words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    // G2A's product id, or the number that distinguishes two equal titles.
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

/// The typography of a series.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    family: &'static str,
    weight: u32,
    /// Letter spacing in hundredths of the font size.
    spacing: i64,
    is_upper: bool,
    /// Width of the widest of these fonts, in percent of [`LETTERS`].
    width: i64,
}

/// Width of each character from space on, in hundredths of the font size: the values of a bold sans-serif.
const LETTERS: [i64; 95] = [
    28, 33, 47, 56, 56, 89, 72, 24, 33, 33, 39, 58, 28, 33, 28, 28, // space to /
    56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 33, 33, 58, 58, 58, 61, // 0 to ?
    98, 72, 72, 72, 72, 67, 61, 78, 72, 28, 56, 72, 61, 83, 72, 78, // @ to O
    67, 78, 72, 67, 61, 72, 67, 94, 67, 67, 61, 33, 28, 33, 58, 56, // P to _
    33, 56, 61, 56, 61, 56, 33, 61, 61, 28, 28, 56, 28, 89, 61, 61, // ` to o
    61, 61, 39, 56, 33, 61, 56, 78, 56, 56, 50, 39, 28, 39, 58, // p to ~
];

impl Lettering {
    /// Width of `line` in hundredths of the font size.
    fn width_of(self, line: &str) -> i64 {
        line.bytes()
            .map(|letter| {
                let letter = LETTERS.get(usize::from(letter.saturating_sub(b' ')));
                letter.copied().unwrap_or(100) * self.width / 100 + self.spacing
            })
            .sum()
    }
}

/// Font stacks of which every system has at least one font.
pub(super) const LETTERINGS: [Lettering; 3] = [
    Lettering {
        family: "'Avenir Next','Segoe UI',Inter,Roboto,'Helvetica Neue',Arial,sans-serif",
        weight: 800,
        spacing: -1,
        is_upper: true,
        width: 108,
    },
    Lettering {
        family: "'Iowan Old Style','Palatino Linotype',Palatino,Georgia,'Times New Roman',serif",
        weight: 700,
        spacing: 0,
        is_upper: false,
        width: 112,
    },
    Lettering {
        family: "'Avenir Next Condensed','Arial Narrow','Roboto Condensed','Helvetica Neue',Arial,sans-serif",
        weight: 600,
        spacing: 9,
        is_upper: true,
        width: 104,
    },
];

/// Sets the words in at most four lines above the lower edge. They consist of letters, digits and spaces, so nothing is
/// escaped.
pub(super) fn set(svg: &mut String, words: &[&str], style: Lettering, colour: &str) {
    const MARGIN: i64 = 22;
    let longest_word = words.iter().map(|word| word.len()).max().unwrap_or(1).clamp(10, 16);
    // The largest size at which four lines suffice.
    let mut lines = (longest_word..=20)
        .map(|room| broken(words, style, room))
        .find(|lines| lines.len() <= 4)
        .unwrap_or_else(|| broken(words, style, 20));
    lines.truncate(4);
    let widest = lines.iter().map(|line| style.width_of(line)).max().unwrap_or(0);
    let size = ((WIDTH - 2 * MARGIN) * 100 / widest.max(1)).min(46);
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
    for (place, word) in words.iter().enumerate() {
        // A number at the end does not get a line of its own.
        let room = if place + 1 == words.len() && word.len() <= 3 {
            room + 4
        } else {
            room
        };
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
    fn covers_show_the_title_without_appended_words() {
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
    fn arbitrary_words_fit_on_a_cover() {
        for slug in [
            "a",
            "pneumonoultramicroscopicsilicovolcanoconiosis",
            "a-b-c-d-e-f-g-h-i-j-k-l",
            "the-gathering-dark-2-anniversary-edition",
            "dunmarrow-cipher",
            "mmmmmmmmmmm-wwwwwwwwww",
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
                    let width = style.width_of(text) * size / 100;
                    assert!(width <= WIDTH - 40, "{text} is {width} wide");
                }
            }
        }
    }

    #[test]
    fn a_trailing_number_shares_a_line() {
        let mut svg = String::new();
        set(&mut svg, &words("anselm-and-the-grove-3"), LETTERINGS[2], "#fff");
        assert!(svg.contains(">ANSELM AND<") && svg.contains(">THE GROVE 3<"), "{svg}");
    }
}
