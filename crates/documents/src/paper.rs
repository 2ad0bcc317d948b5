//! Pages of a PDF document: headings, paragraphs, pairs, tables.
//!
//! The font has Latin, Greek and Cyrillic letters. A character that it lacks is written as its code (`U+4E2D`), so nothing is
//! lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};
use ttf_parser::{Face, FaceParsingError};

const FONT: &[u8] = epaint_default_fonts::UBUNTU_LIGHT;
const FONT_NAME: Name<'_> = Name(b"Ubuntu-Light");

/// The font as it is embedded.
static COMPRESSED_FONT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    let _written = encoder.write_all(FONT);
    encoder.finish().unwrap_or_default()
});

/// A4, in points.
pub const WIDTH: u16 = 595;
const HEIGHT: u16 = 842;
/// Distance of what is written from the edge of the page, in points.
pub const MARGIN: u16 = 50;
/// Distance of two lines.
const LINE: u16 = 14;
/// Distance of two columns.
const COLUMN_GAP: u16 = 8;
/// Size of text.
const TEXT: u16 = 9;

/// What the columns of a table begin with, and whether their values are amounts. An amount ends where the next column begins.
pub type Columns<'t> = &'t [(u16, &'t str, bool)];

/// Pages that are being written.
pub struct Paper {
    face: Face<'static>,
    pages: Vec<Content>,
    /// Where the next line is written on the last page, from its bottom.
    y: u16,
    /// The glyphs in use, with their characters.
    used: BTreeMap<u16, char>,
}

impl std::fmt::Debug for Paper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paper")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Paper {
    /// One empty page.
    ///
    /// # Errors
    /// If the embedded font is no font.
    pub fn new() -> Result<Self, FaceParsingError> {
        Ok(Self {
            face: Face::parse(FONT, 0)?,
            pages: vec![Content::new()],
            y: HEIGHT - MARGIN,
            used: BTreeMap::new(),
        })
    }

    /// Begins a line of this height, on another page if there is no space left.
    fn line(&mut self, height: u16) {
        if self.y < 2 * MARGIN + height {
            self.pages.push(Content::new());
            self.y = HEIGHT - MARGIN;
        }
        self.y -= height;
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.line(LINE);
    }

    /// A heading in letters of this size, in points.
    pub fn heading(&mut self, size: u16, text: &str) {
        // Not the last line of a page.
        if self.y < 4 * MARGIN {
            self.y = 0;
        }
        self.line(size + 10);
        self.write(MARGIN, size, text);
    }

    /// Text, broken into lines.
    pub fn paragraph(&mut self, text: &str) {
        for line in self.wrapped(text, WIDTH - 2 * MARGIN) {
            self.line(LINE);
            self.write(MARGIN, TEXT, &line);
        }
    }

    /// A name and its value, on as many lines as it takes.
    pub fn pair(&mut self, name: &str, value: &str) {
        for (number, line) in self.wrapped(value, WIDTH - MARGIN - 160).into_iter().enumerate() {
            self.line(LINE);
            if number == 0 {
                self.write(MARGIN, TEXT, name);
            }
            self.write(160, TEXT, &line);
        }
    }

    /// A table with its head.
    pub fn table<const N: usize>(&mut self, columns: Columns<'_>, rows: impl Iterator<Item = [String; N]>) {
        self.line(LINE + 4);
        let end = |column: usize| {
            let next = columns.get(column + 1);
            next.map_or(WIDTH - MARGIN, |(x, ..)| x.saturating_sub(COLUMN_GAP))
        };
        for (column, (x, name, is_amount)) in columns.iter().enumerate() {
            self.cell(*x, name, is_amount.then(|| end(column)));
        }
        for row in rows {
            self.line(LINE);
            for (column, ((x, _, is_amount), value)) in columns.iter().zip(&row).enumerate() {
                self.cell(*x, value, is_amount.then(|| end(column)));
            }
        }
    }

    /// A value that begins at `x`, or ends at `end`.
    fn cell(&mut self, x: u16, value: &str, end: Option<u16>) {
        let x = end.map_or(x, |end| end.saturating_sub(self.width(value)));
        self.write(x, TEXT, value);
    }

    /// The text with what the font lacks as codes.
    fn writable(&self, text: &str) -> String {
        let mut writable = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_control() || self.face.glyph_index(character).is_none() {
                let _written = write!(writable, "U+{:04X} ", u32::from(character));
            } else {
                writable.push(character);
            }
        }
        writable
    }

    /// The advance of a character in thousandths of the font's size.
    fn advance(&self, character: char) -> u32 {
        let glyph = self.face.glyph_index(character);
        let advance = glyph.and_then(|glyph| self.face.glyph_hor_advance(glyph)).unwrap_or(0);
        u32::from(advance) * 1000 / u32::from(self.face.units_per_em())
    }

    /// The width of a line of text, in points.
    fn width(&self, text: &str) -> u16 {
        let thousandths: u32 = text.chars().map(|character| self.advance(character)).sum();
        u16::try_from(thousandths * u32::from(TEXT) / 1000).unwrap_or(u16::MAX)
    }

    /// Breaks text into lines of at most this width in points; at least one.
    pub fn wrapped(&self, text: &str, most: u16) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut width = 0;
        for character in self.writable(text).chars() {
            let advance = self.advance(character) * u32::from(TEXT);
            if width + advance > u32::from(most) * 1000 {
                lines.push(String::new());
                width = 0;
            }
            width += advance;
            if let Some(line) = lines.last_mut() {
                line.push(character);
            }
        }
        lines
    }

    fn write(&mut self, x: u16, size: u16, text: &str) {
        let mut glyphs = Vec::with_capacity(2 * text.len());
        for character in self.writable(text).chars() {
            if let Some(glyph) = self.face.glyph_index(character) {
                self.used.insert(glyph.0, character);
                glyphs.extend(glyph.0.to_be_bytes());
            }
        }
        let y = self.y;
        if let Some(page) = self.pages.last_mut() {
            page.begin_text();
            page.set_font(Name(b"F"), f32::from(size));
            page.next_line(f32::from(x), f32::from(y));
            page.show(Str(&glyphs));
            page.end_text();
        }
    }

    /// The finished file, in a language by its ISO 639-1 code. `page` is the word for a page with its number and how many there
    /// are, which stands below each.
    pub fn document(mut self, title: &str, language: &str, page: impl Fn(usize, usize) -> String) -> Vec<u8> {
        let count = self.pages.len();
        let pages = std::mem::take(&mut self.pages);
        let mut contents = Vec::with_capacity(count);
        for (number, content) in pages.into_iter().enumerate() {
            self.pages.push(content);
            self.y = MARGIN / 2;
            self.write(MARGIN, TEXT, &format!("{title} · {}", page(number + 1, count)));
            contents.extend(self.pages.pop());
        }
        let mut last = 0;
        let mut next = || {
            last += 1;
            Ref::new(last)
        };
        let (catalog, tree, info) = (next(), next(), next());
        let font = [next(), next(), next(), next(), next()];
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(tree).lang(TextStr(language));
        pdf.document_info(info)
            .title(TextStr(title))
            .producer(TextStr("Lockstep"));
        let ids: Vec<(Ref, Ref)> = contents.iter().map(|_| (next(), next())).collect();
        pdf.pages(tree)
            .kids(ids.iter().map(|(page, _)| *page))
            .count(i32::try_from(count).unwrap_or(i32::MAX));
        for ((page, stream), content) in ids.into_iter().zip(contents) {
            let mut about = pdf.page(page);
            about.media_box(Rect::new(0.0, 0.0, f32::from(WIDTH), f32::from(HEIGHT)));
            about.parent(tree).contents(stream);
            about.resources().fonts().pair(Name(b"F"), font[0]);
            about.finish();
            pdf.stream(stream, &content.finish());
        }
        self.embed(&mut pdf, font);
        pdf.finish()
    }

    /// Writes the font, whose glyphs the pages name by number, and the characters that they stand for.
    fn embed(&self, pdf: &mut Pdf, [font, by_number, about, file, characters]: [Ref; 5]) {
        let system = SystemInfo {
            registry: Str(b"Adobe"),
            ordering: Str(b"Identity"),
            supplement: 0,
        };
        pdf.type0_font(font)
            .base_font(FONT_NAME)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(by_number)
            .to_unicode(characters);
        let mut glyphs = pdf.cid_font(by_number);
        glyphs
            .subtype(CidFontType::Type2)
            .base_font(FONT_NAME)
            .system_info(system);
        glyphs.font_descriptor(about).default_width(0.0);
        glyphs.cid_to_gid_map_predefined(Name(b"Identity"));
        let mut widths = glyphs.widths();
        for (glyph, character) in &self.used {
            let width = u16::try_from(self.advance(*character)).unwrap_or(u16::MAX);
            widths.consecutive(*glyph, [f32::from(width)]);
        }
        widths.finish();
        glyphs.finish();
        let scaled = |units: i16| {
            let thousandths = i32::from(units) * 1000 / i32::from(self.face.units_per_em());
            f32::from(i16::try_from(thousandths).unwrap_or(i16::MAX))
        };
        let bounds = self.face.global_bounding_box();
        pdf.font_descriptor(about)
            .name(FONT_NAME)
            .flags(FontFlags::NON_SYMBOLIC)
            .bbox(Rect::new(
                scaled(bounds.x_min),
                scaled(bounds.y_min),
                scaled(bounds.x_max),
                scaled(bounds.y_max),
            ))
            .italic_angle(0.0)
            .ascent(scaled(self.face.ascender()))
            .descent(scaled(self.face.descender()))
            .cap_height(scaled(self.face.capital_height().unwrap_or_default()))
            .stem_v(80.0)
            .font_file2(file);
        let mut embedded = pdf.stream(file, &COMPRESSED_FONT);
        embedded.filter(Filter::FlateDecode);
        embedded.pair(Name(b"Length1"), i32::try_from(FONT.len()).unwrap_or(i32::MAX));
        embedded.finish();
        let mut map = UnicodeCmap::new(Name(b"Characters"), system);
        for (glyph, character) in &self.used {
            map.pair(*glyph, *character);
        }
        pdf.stream(characters, &map.finish());
    }
}
