//! The eight scenes of covers, each laid out at random and coloured by a palette.

use std::fmt::Write as _;

use super::dice::Dice;
use super::{Palette, hex, mix};

/// A scene that is being drawn.
struct Scene<'s> {
    svg: &'s mut String,
    dice: &'s mut Dice,
    palette: Palette,
    width: i64,
    height: i64,
}

/// Draws one of the scenes.
pub(super) fn draw(svg: &mut String, dice: &mut Dice, palette: Palette, width: i64, height: i64) {
    let which = dice.below(8);
    let mut scene = Scene {
        svg,
        dice,
        palette,
        width,
        height,
    };
    match which {
        0 => scene.ridges(),
        1 => scene.sea(),
        2 => scene.city(),
        3 => scene.forest(),
        4 => scene.planet(),
        5 => scene.dunes(),
        6 => scene.arches(),
        _ => scene.rays(),
    }
}

impl Scene<'_> {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _infallible = self.svg.write_fmt(text);
    }

    /// A random number in a range.
    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.dice.below((to - from).max(1))
    }

    fn depth(&self, percent: i64) -> String {
        hex(mix(self.palette.far, self.palette.near, percent))
    }

    /// A sun or moon with its glow.
    fn light(&mut self, x: i64, y: i64, r: i64) {
        let colour = hex(self.palette.light);
        self.put(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"url(#l)\"/><circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{colour}\"/>",
            r * 4
        ));
    }

    fn stars(&mut self, count: i64, below: i64) {
        for _ in 0..count {
            let (x, y) = (self.dice.below(self.width), self.dice.below(below));
            let (size, opacity) = (self.between(5, 16), self.between(25, 90));
            let colour = hex(self.palette.light);
            self.put(format_args!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}.{}\" fill=\"{colour}\" opacity=\".{opacity}\"/>",
                size / 10,
                size % 10
            ));
        }
    }

    /// A filled outline from left to right, jagged or round, down to the lower edge.
    fn outline(&mut self, base: i64, swing: i64, steps: i64, is_round: bool, fill: &str, opacity: i64) {
        let (width, height) = (self.width, self.height);
        let mut path = format!("M0 {height}V{}", base - self.dice.below(swing));
        let mut last = 0;
        for step in 1..=steps {
            let (x, y) = (width * step / steps, base - self.dice.below(swing));
            let _infallible = if is_round {
                write!(path, "S{} {y} {x} {y}", x - (x - last) / 2)
            } else {
                write!(path, "L{x} {y}")
            };
            last = x;
        }
        self.put(format_args!(
            "<path d=\"{path}V{height}Z\" fill=\"{fill}\" opacity=\".{opacity:02}\"/>"
        ));
    }

    fn ridges(&mut self) {
        let (width, height) = (self.width, self.height);
        let (x, y, r) = (
            self.between(width / 5, width * 4 / 5),
            self.between(70, 120),
            self.between(26, 46),
        );
        self.stars(24, height / 3);
        self.light(x, y, r);
        for ridge in 0..4 {
            let fill = self.depth(ridge * 30);
            self.outline(
                height * 42 / 100 + ridge * 46,
                74 - ridge * 8,
                width / 34,
                false,
                &fill,
                96,
            );
        }
    }

    fn dunes(&mut self) {
        let (width, height) = (self.width, self.height);
        let (x, y, r) = (
            self.between(width / 5, width * 4 / 5),
            self.between(60, 130),
            self.between(34, 62),
        );
        self.light(x, y, r);
        for dune in 0..5 {
            let fill = self.depth(dune * 24);
            let steps = self.between(2, 4) * width / 300;
            self.outline(height * 46 / 100 + dune * 40, 64, steps.max(2), true, &fill, 97);
        }
    }

    fn sea(&mut self) {
        let (width, height) = (self.width, self.height);
        let horizon = self.between(height * 44 / 100, height * 54 / 100);
        let (x, r) = (self.between(width / 4, width * 3 / 4), self.between(40, 74));
        let y = horizon - self.between(0, r);
        self.light(x, y, r);
        let water = self.depth(55);
        self.put(format_args!(
            "<path d=\"M0 {horizon}H{width}V{height}H0Z\" fill=\"{water}\"/>"
        ));
        let colour = hex(self.palette.light);
        for wave in 0..11 {
            let y = horizon + 6 + wave * wave;
            let half = (r - wave * 4).max(6) + self.dice.below(18);
            let shift = self.dice.below(14) - 7;
            self.put(format_args!(
                "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"2\" fill=\"{colour}\" opacity=\".{}\"/>",
                x - half + shift,
                half * 2,
                2 + wave / 3,
                62 - wave * 4
            ));
        }
        let fill = self.depth(85);
        let island = self.between(0, width * 2 / 3);
        let (wide, high) = (self.between(60, 130), self.between(18, 44));
        self.put(format_args!(
            "<path d=\"M{island} {horizon}q{} {} {wide} 0Z\" fill=\"{fill}\"/>",
            wide / 2,
            -high * 2
        ));
    }

    fn city(&mut self) {
        let (width, height) = (self.width, self.height);
        let (x, y, r) = (
            self.between(40, width - 40),
            self.between(60, 110),
            self.between(22, 40),
        );
        self.stars(30, height / 2);
        self.light(x, y, r);
        let window = hex(self.palette.light);
        for row in 0..3 {
            let fill = self.depth(20 + row * 38);
            let mut left = -self.dice.below(20);
            while left < width {
                let wide = self.between(20, 44) + row * 4;
                let top = self.between(height * 30 / 100, height * 56 / 100) + row * 48;
                self.put(format_args!(
                    "<path d=\"M{left} {height}V{top}h{wide}V{height}Z\" fill=\"{fill}\"/>"
                ));
                if self.dice.below(4) == 0 {
                    self.put(format_args!(
                        "<path d=\"M{} {top}v-16\" stroke=\"{fill}\" stroke-width=\"2\"/>",
                        left + wide / 2
                    ));
                }
                if row > 0 {
                    for _ in 0..self.between(2, 7) {
                        let (wx, wy) = (
                            left + 4 + self.dice.below((wide - 9).max(1)),
                            top + 8 + self.dice.below(90) / 9 * 9,
                        );
                        let opacity = self.between(35, 90);
                        self.put(format_args!(
                            "<rect x=\"{wx}\" y=\"{wy}\" width=\"3\" height=\"5\" fill=\"{window}\" opacity=\".{opacity}\"/>"
                        ));
                    }
                }
                left += wide + self.dice.below(6);
            }
        }
    }

    fn forest(&mut self) {
        let (width, height) = (self.width, self.height);
        let (x, y, r) = (
            self.between(width / 4, width * 3 / 4),
            self.between(90, 150),
            self.between(40, 66),
        );
        self.light(x, y, r);
        for row in 0..4 {
            let fill = self.depth(row * 32);
            let base = height * 62 / 100 + row * 42;
            let mut path = String::new();
            let mut at = -10 - self.dice.below(20);
            while at < width + 20 {
                let (half, high) = (self.between(9, 16) + row * 3, self.between(60, 120) + row * 8);
                for tier in 0..3 {
                    let (top, wide) = (base - high + tier * high / 4, half * (4 + tier * 2) / 8);
                    let _infallible = write!(path, "M{at} {top}l{wide} {}h{}Z", high * 45 / 100, -2 * wide);
                }
                let _infallible = write!(path, "M{} {}h4V{height}h-4Z", at - 2, base - high / 4);
                at += half + self.dice.below(half);
            }
            self.put(format_args!("<path d=\"{path}\" fill=\"{fill}\"/>"));
            self.outline(base + 6, 10, 5, true, &fill, 99);
        }
    }

    fn planet(&mut self) {
        let (width, height) = (self.width, self.height);
        self.stars(70, height);
        let (x, y, r) = (
            self.between(width / 4, width * 3 / 4),
            self.between(110, 170),
            self.between(54, 88),
        );
        let (light, far, near) = (hex(self.palette.light), self.depth(10), self.depth(70));
        let body = hex(mix(self.palette.below, self.palette.light, 35));
        let tilt = self.dice.below(50) - 25;
        self.put(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"url(#l)\"/><clipPath id=\"p\"><circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/></clipPath>\
             <g clip-path=\"url(#p)\" transform=\"rotate({tilt} {x} {y})\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{body}\"/>",
            r * 2,
            x - r,
            y - r,
            r * 2,
            r * 2
        ));
        let mut band = y - r;
        while band < y + r {
            let (high, opacity) = (self.between(4, 18), self.between(12, 45));
            self.put(format_args!(
                "<rect x=\"{}\" y=\"{band}\" width=\"{}\" height=\"{high}\" fill=\"{far}\" opacity=\".{opacity}\"/>",
                x - r,
                r * 2
            ));
            band += high + self.between(4, 16);
        }
        self.put(format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{near}\" opacity=\".55\"/></g>",
            x + r * 2 / 3,
            y + r / 3,
            r * 5 / 4
        ));
        if self.dice.below(2) == 0 {
            self.put(format_args!(
                "<ellipse cx=\"{x}\" cy=\"{y}\" rx=\"{}\" ry=\"{}\" fill=\"none\" stroke=\"{light}\" stroke-width=\"4\" opacity=\".75\" \
                 stroke-dasharray=\"{} {}\" transform=\"rotate({tilt} {x} {y})\"/>",
                r * 17 / 10,
                r * 4 / 10,
                r * 47 / 10,
                r * 23 / 10
            ));
        }
        let (mx, my, mr) = (self.between(20, width - 20), self.between(30, 90), self.between(5, 12));
        self.put(format_args!(
            "<circle cx=\"{mx}\" cy=\"{my}\" r=\"{mr}\" fill=\"{light}\" opacity=\".9\"/>"
        ));
        self.outline(height * 86 / 100, 30, 4, true, &near, 95);
    }

    fn arches(&mut self) {
        let (width, height) = (self.width, self.height);
        let size = self.between(62, 84);
        let colours = [
            hex(self.palette.light),
            hex(mix(self.palette.below, self.palette.light, 40)),
            self.depth(0),
            self.depth(50),
            hex(mix(self.palette.above, self.palette.below, 50)),
        ];
        let mut top = -(size / 3);
        while top < height {
            let mut left = -(size / 4);
            while left < width {
                let (turn, rings) = (self.dice.below(4) * 90, self.between(2, 5));
                let (cx, cy) = (left + size / 2, top + size / 2);
                for ring in 0..rings {
                    let r = size - ring * size / rings;
                    let pick = usize::try_from(self.dice.below(5)).unwrap_or(0);
                    let fill = colours.get(pick).cloned().unwrap_or_default();
                    self.put(format_args!(
                        "<path d=\"M{left} {top}h{r}a{r} {r} 0 0 1 {} {r}Z\" fill=\"{fill}\" opacity=\".82\" transform=\"rotate({turn} {cx} {cy})\"/>",
                        -r
                    ));
                }
                left += size;
            }
            top += size;
        }
    }

    fn rays(&mut self) {
        let (width, height) = (self.width, self.height);
        let (x, y) = (self.between(width / 4, width * 3 / 4), self.between(130, 200));
        let light = hex(self.palette.light);
        let count = self.between(9, 15);
        for ray in 0..count {
            let from = -width / 2 + ray * width * 2 / count;
            let (wide, opacity) = (width / count * 2 / 3 + self.dice.below(16), self.between(10, 30));
            self.put(format_args!(
                "<path d=\"M{x} {y}L{from} -40h{wide}Z\" fill=\"{light}\" opacity=\".{opacity}\"/>"
            ));
        }
        let r = self.between(24, 44);
        self.light(x, y, r);
        let (far, near) = (self.depth(35), self.depth(90));
        self.outline(height * 56 / 100, 24, width / 60, true, &far, 96);
        // A person stands on the hill.
        let (at, ground) = (self.between(width / 3, width * 2 / 3), height * 64 / 100);
        self.put(format_args!(
            "<path d=\"M{at} {ground}v-30m0 6l-7 14m7-14l7 14\" stroke=\"{near}\" stroke-width=\"6\" stroke-linecap=\"round\" fill=\"none\"/>\
             <circle cx=\"{at}\" cy=\"{}\" r=\"6\" fill=\"{near}\"/>",
            ground - 40
        ));
        self.outline(ground + 8, 12, width / 50, true, &near, 98);
    }
}
