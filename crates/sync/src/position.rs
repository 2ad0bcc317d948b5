//! Where a pass stands in a slice: which pages are written, which come next, which have to be read again.
//!
//! Pages are asked for from the last to the first, several at once when G2A is slow, and answered in any order. Each is
//! written as it comes, together with this record of it, so a page that was written is never asked for again by whoever
//! takes the run up. What the totals say of a list that moved is judged in the order of the pages all the same: only when
//! every page above has been written.

use serde::{Deserialize, Serialize};

use crate::slices::Slice;

/// Pages read again at once when the list has moved.
const MAX_REREAD: u32 = 10;
/// How often a list that moves again while it is read again is read once more.
const MAX_REREADS: u32 = 3;

/// A place in a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) slice: Slice,
    /// The highest page that is not settled yet; 0 when all are.
    page: u32,
    /// Products on a page.
    size: u32,
    /// Products in the slice, when the page before was read.
    total: u64,
    /// The total was another one before.
    moved: bool,
    /// Pages from `page` down that are written already, with the total that each showed. Never more than may be under
    /// way at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ahead: Vec<(u32, u64)>,
    /// Pages around `page` are being read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<Again>,
}

/// Reading again, downwards, what may have moved to pages that were read before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Again {
    /// The next one.
    page: u32,
    /// The total that the page before showed.
    total: Option<u64>,
    /// By how much the total has risen meanwhile.
    rise: u64,
    /// Rounds before this one.
    rounds: u32,
}

/// What to ask for, or what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) page: u32,
    /// It was read before, and the list has moved since.
    pub(crate) again: bool,
}

impl Position {
    /// At the last of `pages` pages.
    pub(crate) fn at_the_end(slice: Slice, pages: u32, size: u32, total: u64) -> Self {
        Self {
            slice,
            page: pages,
            size,
            total,
            moved: false,
            ahead: Vec::new(),
            again: None,
        }
    }

    /// Whether every page is written and settled.
    pub(crate) fn is_done(&self) -> bool {
        self.page == 0
    }

    /// Whether the list has changed its length while it was read.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved
    }

    /// The next page to ask for, beside those that are `under_way`.
    pub(crate) fn wanted(&self, under_way: &[Wanted]) -> Option<Wanted> {
        if let Some(again) = &self.again {
            let one_is = under_way.iter().any(|asked| asked.again);
            return (!one_is).then_some(Wanted {
                page: again.page,
                again: true,
            });
        }
        let lowest_asked = under_way.iter().filter(|asked| !asked.again).map(|asked| asked.page);
        // Whoever takes a run up finds gaps between the pages that are written, so each is looked at.
        let asked: Vec<u32> = lowest_asked.collect();
        (1..=self.page)
            .rev()
            .find(|page| !asked.contains(page) && !self.is_written(*page))
            .map(|page| Wanted { page, again: false })
    }

    fn is_written(&self, page: u32) -> bool {
        self.ahead.iter().any(|(written, _)| *written == page)
    }

    /// A page has come, saying that the slice holds `total` products, and is going to be written together with this.
    pub(crate) fn take_in(&mut self, asked: Wanted, total: u64, max_page: u32) {
        if asked.again {
            self.take_in_again(total, max_page);
        } else {
            self.ahead.push((asked.page, total));
        }
        self.settle(max_page);
    }

    fn take_in_again(&mut self, total: u64, max_page: u32) {
        let Some(again) = &mut self.again else { return };
        again.rise += again.total.map_or(0, |before| total.saturating_sub(before));
        again.total = Some(total);
        if again.page > self.page {
            again.page -= 1;
        } else if again.rise > 0 && again.rounds + 1 < MAX_REREADS {
            let (rise, rounds) = (again.rise, again.rounds + 1);
            self.read_again(rise, rounds, max_page);
        } else {
            self.again = None;
            self.total = total;
            self.page -= 1;
        }
    }

    /// Settles the pages whose turn it is, up to one after which the list has to be read again.
    fn settle(&mut self, max_page: u32) {
        while self.again.is_none()
            && let Some(at) = self.ahead.iter().position(|(page, _)| *page == self.page)
        {
            let (_, total) = self.ahead.swap_remove(at);
            self.moved |= total != self.total;
            if total > self.total {
                self.read_again(total - self.total, 0, max_page);
            } else {
                self.total = total;
                self.page -= 1;
            }
        }
    }

    /// `rise` products came in, so as many may have moved from `page` to pages that were read before: those and it are
    /// read again, in that order, until the list holds still.
    fn read_again(&mut self, rise: u64, rounds: u32, max_page: u32) {
        let back = u32::try_from(rise.div_ceil(u64::from(self.size.max(1))))
            .unwrap_or(MAX_REREAD)
            .min(MAX_REREAD);
        self.again = Some(Again {
            page: self.page.saturating_add(back).min(max_page).max(self.page),
            total: None,
            rise: 0,
            rounds,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(pages: u32, total: u64) -> Position {
        Position::at_the_end(Slice::default(), pages, 20, total)
    }

    const fn page(page: u32) -> Wanted {
        Wanted { page, again: false }
    }

    const fn again(page: u32) -> Wanted {
        Wanted { page, again: true }
    }

    proptest! {
        #[test]
        fn whatever_order_pages_come_in_and_wherever_it_stops_each_is_taken_in_once(
            pages in 1u32..40, window in 1usize..9, picks in prop::collection::vec((0usize..8, any::<bool>()), 0..200),
        ) {
            let mut position = at(pages, u64::from(pages) * 20);
            let (mut under_way, mut taken, mut picks) = (Vec::new(), Vec::new(), picks.into_iter());
            while !position.is_done() {
                while under_way.len() < window && let Some(wanted) = position.wanted(&under_way) {
                    under_way.push(wanted);
                }
                let (pick, crash) = picks.next().unwrap_or((0, false));
                let one = under_way.remove(pick % under_way.len());
                position.take_in(one, u64::from(pages) * 20, 500);
                taken.push(one.page);
                if crash {
                    // What was under way is lost; what was taken in is in the record.
                    under_way.clear();
                    position = serde_json::from_value(serde_json::to_value(&position).unwrap()).unwrap();
                }
            }
            prop_assert!(position.ahead.is_empty() && position.again.is_none() && !position.moved);
            taken.sort_unstable();
            prop_assert_eq!(taken, (1..=pages).collect::<Vec<_>>());
        }

        #[test]
        fn however_the_total_jumps_a_slice_comes_to_its_end(
            pages in 1u32..40, window in 1usize..9, totals in prop::collection::vec(0u64..2_000, 1..40),
        ) {
            let mut position = at(pages, u64::from(pages) * 20);
            let (mut under_way, mut steps) = (Vec::<Wanted>::new(), 0);
            while !position.is_done() {
                while under_way.len() < window && let Some(wanted) = position.wanted(&under_way) {
                    prop_assert!((1..=500).contains(&wanted.page));
                    under_way.push(wanted);
                }
                let one = under_way.swap_remove(steps % under_way.len());
                position.take_in(one, totals[steps % totals.len()], 500);
                steps += 1;
                // A page, and at most three rounds of it and ten above.
                prop_assert!(steps <= 34 * usize::try_from(pages).unwrap());
            }
            prop_assert!(position.ahead.is_empty() && position.again.is_none());
        }
    }

    #[test]
    fn pages_are_asked_for_from_the_last_to_the_first() {
        let position = at(3, 60);
        assert_eq!(position.wanted(&[]), Some(page(3)));
        assert_eq!(position.wanted(&[page(3)]), Some(page(2)));
        assert_eq!(position.wanted(&[page(3), page(1)]), Some(page(2)));
        assert_eq!(position.wanted(&[page(3), page(2), page(1)]), None);
    }

    #[test]
    fn after_a_rise_what_may_have_moved_is_read_again_once_it_is_its_turn() {
        let mut position = at(5, 100);
        position.take_in(page(5), 100, 500);
        position.take_in(page(3), 121, 500);
        assert_eq!(position.wanted(&[page(4)]), Some(page(2)), "page 4 is still to come");
        position.take_in(page(4), 100, 500);
        // 21 came in: two pages above may hold what was on page 3.
        for wanted in [again(5), again(4), again(3)] {
            assert_eq!(position.wanted(&[page(2)]), Some(wanted));
            assert_eq!(position.wanted(&[page(2), wanted]), None, "one at a time");
            position.take_in(wanted, 121, 500);
        }
        assert!(position.has_moved());
        assert_eq!(position.wanted(&[page(2)]), Some(page(1)));
    }

    #[test]
    fn a_list_that_moves_while_it_is_read_again_is_read_once_more_but_not_for_ever() {
        let mut position = at(2, 20);
        let mut total = 21;
        position.take_in(page(2), total, 500);
        for _ in 0..MAX_REREADS {
            for wanted in [again(3), again(2)] {
                assert_eq!(position.wanted(&[]), Some(wanted));
                total += 1;
                position.take_in(wanted, total, 500);
            }
        }
        assert_eq!(position.wanted(&[]), Some(page(1)));
    }

    #[test]
    fn the_place_that_an_earlier_version_has_written_is_understood() {
        let old = serde_json::json!({"slice": {}, "page": 7, "size": 20, "total": 140, "moved": false});
        let position: Position = serde_json::from_value(old).unwrap();
        assert_eq!(position, at(7, 140));
    }
}
