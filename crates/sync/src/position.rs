//! The position of a pass in a slice: which pages are written, which come next, which must be read again.
//!
//! Pages are requested from the last to the first, concurrently when G2A is slow, and answered in any order. Each is
//! written on arrival together with this record, so a resumed run never requests a written page again. The totals of a
//! list that changed are evaluated in the order of the pages nevertheless: only when every page above is written.

use serde::{Deserialize, Serialize};

use crate::slices::Slice;

/// Pages that are read again when the list has changed.
const MAX_REREAD: u32 = 10;
/// Maximum number of further reads if the list changes again.
const MAX_REREADS: u32 = 3;

/// A position in a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) slice: Slice,
    /// The highest page that is not settled; 0 when all are.
    page: u32,
    /// Products per page.
    size: u32,
    /// Products in the slice when the previous page was read.
    total: u64,
    /// The total has changed during the read.
    moved: bool,
    /// Pages from `page` down that are already written, each with its total. At most as many as may be in flight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ahead: Vec<(u32, u64)>,
    /// Set while pages around `page` are read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<Again>,
}

/// A repeated read, downwards, of pages that products may have moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Again {
    /// The next page.
    page: u32,
    /// The total on the previous page.
    total: Option<u64>,
    /// The increase of the total since.
    rise: u64,
    /// Number of earlier rounds.
    rounds: u32,
}

/// A page to request or requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) page: u32,
    /// The page was read before, and the list has changed since.
    pub(crate) again: bool,
}

impl Position {
    /// Starts at the last of `pages` pages.
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

    /// Whether the length of the list has changed during the read.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved
    }

    /// Returns the next page to request, besides those in `under_way`.
    pub(crate) fn wanted(&self, under_way: &[Wanted]) -> Option<Wanted> {
        if let Some(again) = &self.again {
            let one_is = under_way.iter().any(|asked| asked.again);
            return (!one_is).then_some(Wanted {
                page: again.page,
                again: true,
            });
        }
        let lowest_asked = under_way.iter().filter(|asked| !asked.again).map(|asked| asked.page);
        // A resumed run has gaps between written pages, so each page is checked.
        let asked: Vec<u32> = lowest_asked.collect();
        (1..=self.page)
            .rev()
            .find(|page| !asked.contains(page) && !self.is_written(*page))
            .map(|page| Wanted { page, again: false })
    }

    fn is_written(&self, page: u32) -> bool {
        self.ahead.iter().any(|(written, _)| *written == page)
    }

    /// Records a received page, on which the slice has `total` products, before it is written together with this
    /// record.
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

    /// Settles the pages whose turn it is, up to one after which the list must be read again.
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

    /// After `rise` insertions, up to `rise` products may have moved from `page` to pages already read: reads those and
    /// `page` again, in that order, until the list is stable.
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
        fn every_page_is_recorded_once_in_any_order_and_across_restarts(
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
                    // Calls in flight are lost; recorded pages are kept.
                    under_way.clear();
                    position = serde_json::from_value(serde_json::to_value(&position).unwrap()).unwrap();
                }
            }
            prop_assert!(position.ahead.is_empty() && position.again.is_none() && !position.moved);
            taken.sort_unstable();
            prop_assert_eq!(taken, (1..=pages).collect::<Vec<_>>());
        }

        #[test]
        fn a_slice_ends_however_its_total_changes(
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
    fn pages_are_requested_from_the_last_to_the_first() {
        let position = at(3, 60);
        assert_eq!(position.wanted(&[]), Some(page(3)));
        assert_eq!(position.wanted(&[page(3)]), Some(page(2)));
        assert_eq!(position.wanted(&[page(3), page(1)]), Some(page(2)));
        assert_eq!(position.wanted(&[page(3), page(2), page(1)]), None);
    }

    #[test]
    fn after_a_rise_affected_pages_are_read_again_in_order() {
        let mut position = at(5, 100);
        position.take_in(page(5), 100, 500);
        position.take_in(page(3), 121, 500);
        assert_eq!(position.wanted(&[page(4)]), Some(page(2)), "page 4 is still to come");
        position.take_in(page(4), 100, 500);
        // 21 insertions: the products of page 3 may be on two pages above.
        for wanted in [again(5), again(4), again(3)] {
            assert_eq!(position.wanted(&[page(2)]), Some(wanted));
            assert_eq!(position.wanted(&[page(2), wanted]), None, "one at a time");
            position.take_in(wanted, 121, 500);
        }
        assert!(position.has_moved());
        assert_eq!(position.wanted(&[page(2)]), Some(page(1)));
    }

    #[test]
    fn rereads_of_a_changing_list_are_limited() {
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
    fn positions_of_earlier_versions_are_readable() {
        let old = serde_json::json!({"slice": {}, "page": 7, "size": 20, "total": 140, "moved": false});
        let position: Position = serde_json::from_value(old).unwrap();
        assert_eq!(position, at(7, 140));
    }
}
