//! Model check of the saga: every interleaving in a small world with two workers, one unit, lost or late messages,
//! leases that expire under a live worker, crashes anywhere, and a delivered key that turns out to be faulty. Breadth first, so
//! that a violation is reported with a shortest history.
//!
//! The decisions (`lockstep_fulfilment::rules`) and the unit's state machine are the product's own. G2A behaves as its
//! sandbox does: a key is read once, a second payment is refused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, VecDeque};

use lockstep_domain::order::UnitState;
use lockstep_fulfilment::rules::{
    self, Compensation, DetailsOutcome, Fetching, KeyOutcome, PayOutcome, Paying, WithoutKey,
};

/// Maximum number of orders at G2A per unit in this world.
const ORDERS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Remote {
    exists: bool,
    paid: u8,
    read: bool,
    lapsed: bool,
}

/// A request or answer in flight, and the worker that waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Create { to: Option<u8> },
    Created { to: Option<u8>, order: u8 },
    Pay { to: Option<u8>, order: u8 },
    PayAnswer { to: Option<u8>, accepted: bool },
    Key { to: Option<u8>, order: u8 },
    KeyAnswer { to: Option<u8>, order: u8, given: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Have,
    SendCreate,
    WaitCreate,
    GotOrder(u8),
    SendPay(u8),
    WaitPay,
    GotPay(bool),
    Looked(Paying),
    SendKey(u8),
    WaitKey,
    /// The key is in memory only.
    InMemory(u8),
    /// The key is on disk and not recorded yet.
    Spooled(u8),
    GotNoKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Worker {
    at: At,
    /// It has the newest epoch: its writes count.
    has_fence: bool,
    /// On disk: survives a crash.
    spool: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: UnitState,
    order: Option<u8>,
    holder: Option<u8>,
    replacements: u8,
    /// Bit sets of orders: ids ever recorded, keys that reached one of our disks, keys stored, keys flagged as lost.
    recorded: u8,
    arrived: u8,
    stored: u8,
    flagged: u8,
    owned: Option<u8>,
    /// How often a delivered key may still turn out to be faulty, and the one that did.
    faults: u8,
    faulty: Option<u8>,
    /// The faulty key has no other in its place yet.
    is_replacement: bool,
    remote: [Remote; ORDERS],
    wire: Vec<Message>,
    workers: [Worker; 2],
    crashes: u8,
    losses: u8,
    zombies: u8,
}

/// Deliberate mistakes that the check has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// A payment without an answer counts as no payment, and another order is created.
    BuyAgain,
    /// A key is stored only if the worker still holds the unit.
    FencedKey,
    /// The order is paid before its id is recorded.
    PayUnrecorded,
    /// G2A charges twice, and a second payment does not wait until the first can no longer arrive.
    NoWait,
    /// A unit whose faulty key cannot be replaced is refunded, although its order has ended.
    RefundFaulty,
}

struct Check {
    mistake: Mistake,
    /// Whether a second payment would be charged.
    charges_twice: bool,
}

impl World {
    fn new(crashes: u8, losses: u8, zombies: u8, faults: u8) -> Self {
        let worker = Worker {
            at: At::Idle,
            has_fence: false,
            spool: None,
        };
        Self {
            state: UnitState::New,
            order: None,
            holder: None,
            replacements: 0,
            recorded: 0,
            arrived: 0,
            stored: 0,
            flagged: 0,
            owned: None,
            faults,
            faulty: None,
            is_replacement: false,
            remote: [Remote::default(); ORDERS],
            wire: Vec::new(),
            workers: [worker; 2],
            crashes,
            losses,
            zombies,
        }
    }

    fn go(&mut self, next: UnitState) {
        assert!(
            self.state == next || self.state.may_become(next),
            "{:?} may not become {next:?}",
            self.state
        );
        self.state = next;
    }

    fn raise_fence(&mut self) {
        for worker in &mut self.workers {
            worker.has_fence = false;
        }
    }

    fn send(&mut self, message: Message) {
        self.wire.push(message);
        self.wire.sort_unstable();
    }

    fn is_paying(&self, order: u8) -> bool {
        self.wire
            .iter()
            .any(|message| matches!(message, Message::Pay { order: of, .. } if *of == order))
    }

    /// The worker releases the unit. Its requests may still be in flight, but no worker waits for them.
    fn rest(&mut self, who: u8) {
        self.workers[usize::from(who)].at = At::Idle;
        self.workers[usize::from(who)].has_fence = false;
        if self.holder == Some(who) {
            self.holder = None;
        }
        for message in &mut self.wire {
            let (Message::Create { to }
            | Message::Created { to, .. }
            | Message::Pay { to, .. }
            | Message::PayAnswer { to, .. }
            | Message::Key { to, .. }
            | Message::KeyAnswer { to, .. }) = message;
            if *to == Some(who) {
                *to = None;
            }
        }
        // An answer without a waiting worker does nothing, and an order that no worker knows is never paid.
        self.wire.retain(|message| {
            !matches!(
                message,
                Message::Create { to: None }
                    | Message::Created { to: None, .. }
                    | Message::PayAnswer { to: None, .. }
                    | Message::KeyAnswer { to: None, .. }
            )
        });
        self.wire.sort_unstable();
    }

    fn violation(&self) -> Option<String> {
        for (id, remote) in self.remote.iter().enumerate() {
            if remote.paid > 1 {
                return Some(format!("order {id} was paid {} times", remote.paid));
            }
            if remote.paid > 0 && self.recorded & (1 << id) == 0 {
                return Some(format!("order {id} is paid and unknown here"));
            }
        }
        if (self.state == UnitState::Done) != self.owned.is_some() {
            return Some("DONE without a key, or a key without DONE".into());
        }
        if self.is_replacement && matches!(self.state, UnitState::Done | UnitState::Refunded) {
            return Some(format!(
                "a unit is {:?} while its faulty key is being replaced",
                self.state
            ));
        }
        if self.faulty.is_some() && self.state == UnitState::Refunded {
            return Some("a unit was delivered and refunded".into());
        }
        None
    }

    /// Keys of own stock that are not sold.
    fn stock(&self) -> u8 {
        let bit = |order: Option<u8>| order.map_or(0, |order| 1 << order);
        self.stored & !bit(self.owned) & !bit(self.faulty)
    }

    /// Delivers the key of `order`.
    fn deliver(&mut self, order: u8) {
        self.go(UnitState::Done);
        self.owned = Some(order);
        self.is_replacement = false;
        self.raise_fence();
    }

    /// No key was bought.
    fn end(&mut self, mistake: Mistake) {
        match rules::without_key(self.is_replacement && mistake != Mistake::RefundFaulty) {
            WithoutKey::Refund => self.go(UnitState::Refunded),
            WithoutKey::KeepFaultyKey => {
                self.go(UnitState::New);
                self.order = None;
                let faulty = self.faulty.unwrap();
                self.deliver(faulty);
            }
        }
    }

    /// Checks a final world: nothing may be missing.
    fn at_rest(&self) -> Option<String> {
        if !self.state.is_final() {
            return Some("stuck".into());
        }
        if self.arrived & !self.stored != 0 {
            return Some("a key that reached us is not stored".into());
        }
        for (id, remote) in self.remote.iter().enumerate() {
            let bit = 1 << id;
            if remote.paid > 0 && self.stored & bit == 0 && self.flagged & bit == 0 {
                return Some(format!("order {id} was paid; its key is neither stored nor flagged"));
            }
        }
        None
    }
}

impl Check {
    fn next(&self, world: &World) -> Vec<(String, World)> {
        let mut out = Vec::new();
        for who in 0..2_u8 {
            self.worker(world, who, &mut out);
        }
        self.wire(world, &mut out);
        for (id, remote) in world.remote.iter().enumerate() {
            if world.order.is_some_and(|order| usize::from(order) == id) && remote.paid == 0 && !remote.lapsed {
                let mut next = world.clone();
                next.remote[id].lapsed = true;
                out.push((format!("order {id} lapses"), next));
            }
        }
        if world.faults > 0 && world.state == UnitState::Done {
            let mut next = world.clone();
            next.faults -= 1;
            next.go(UnitState::New);
            next.faulty = next.owned.take();
            next.is_replacement = true;
            next.order = None;
            next.raise_fence();
            next.holder = None;
            out.push(("staff begin to replace the key".into(), next));
        }
        out
    }

    fn wire(&self, world: &World, out: &mut Vec<(String, World)>) {
        for (index, message) in world.wire.iter().enumerate() {
            let mut next = world.clone();
            next.wire.remove(index);
            if world.losses > 0 {
                let mut lost = next.clone();
                lost.losses -= 1;
                out.push((format!("{message:?} is lost"), lost));
            }
            match *message {
                Message::Create { to } => {
                    // When there is no room for another order, G2A is sold out.
                    if let Some(order) = next.remote.iter().position(|order| !order.exists) {
                        next.remote[order].exists = true;
                        let order = u8::try_from(order).unwrap();
                        if to.is_some() {
                            next.send(Message::Created { to, order });
                        }
                    }
                }
                Message::Pay { to, order } => {
                    let remote = &mut next.remote[usize::from(order)];
                    let accepted = !remote.lapsed && (remote.paid == 0 || self.charges_twice);
                    remote.paid += u8::from(accepted);
                    if to.is_some() {
                        next.send(Message::PayAnswer { to, accepted });
                    }
                }
                Message::Key { to, order } => {
                    let remote = &mut next.remote[usize::from(order)];
                    let given = remote.paid > 0 && !remote.read;
                    remote.read |= given;
                    if to.is_some() {
                        next.send(Message::KeyAnswer { to, order, given });
                    }
                }
                Message::Created { to, order } => next.workers[usize::from(to.unwrap())].at = At::GotOrder(order),
                Message::PayAnswer { to, accepted } => next.workers[usize::from(to.unwrap())].at = At::GotPay(accepted),
                Message::KeyAnswer { to, order, given } => {
                    next.workers[usize::from(to.unwrap())].at = if given { At::InMemory(order) } else { At::GotNoKey };
                }
            }
            out.push((format!("{message:?} arrives"), next));
        }
    }

    fn worker(&self, world: &World, who: u8, out: &mut Vec<(String, World)>) {
        let me = world.workers[usize::from(who)];
        let step = |what: &str, next: World, out: &mut Vec<(String, World)>| out.push((format!("{who}: {what}"), next));
        if world.crashes > 0 && me.at != At::Idle {
            let mut next = world.clone();
            next.crashes -= 1;
            next.rest(who);
            if let Some(order) = me.spool {
                next.workers[usize::from(who)].at = At::Spooled(order);
            }
            step("dies and comes back", next, out);
        }
        let waits = matches!(me.at, At::WaitCreate | At::WaitPay | At::WaitKey);
        // No answer will come, or the worker stops waiting before it does.
        let answer_comes = world.wire.iter().any(|message| {
            let (Message::Create { to }
            | Message::Created { to, .. }
            | Message::Pay { to, .. }
            | Message::PayAnswer { to, .. }
            | Message::Key { to, .. }
            | Message::KeyAnswer { to, .. }) = message;
            *to == Some(who)
        });
        if waits && (!answer_comes || world.losses > 0) {
            let mut next = world.clone();
            if answer_comes {
                next.losses -= 1;
            }
            next.rest(who);
            if self.mistake == Mistake::BuyAgain
                && me.at == At::WaitPay
                && me.has_fence
                && next.state == UnitState::Paying
            {
                next.go(UnitState::New);
                next.order = None;
            }
            step("gives up waiting", next, out);
        }
        let mine = me.has_fence;
        let mut next = world.clone();
        let set = |next: &mut World, at: At| next.workers[usize::from(who)].at = at;
        match me.at {
            At::Idle => {
                let free = world.holder.is_none() || (world.zombies > 0 && world.holder != Some(who));
                if world.state.is_final() || !free {
                    return;
                }
                if world.holder.is_some() {
                    next.zombies -= 1;
                }
                next.holder = Some(who);
                next.raise_fence();
                next.workers[usize::from(who)].has_fence = true;
                set(&mut next, At::Have);
                step("takes the unit", next, out);
            }
            At::Have => {
                if !mine {
                    next.rest(who);
                    return step("was overtaken", next, out);
                }
                self.act(world, who, next, out);
            }
            At::SendCreate => {
                next.send(Message::Create { to: Some(who) });
                set(&mut next, At::WaitCreate);
                step("asks for an order", next, out);
            }
            At::GotOrder(order) => {
                let unpaid = world.remote[usize::from(order)].paid == 0 && !world.is_paying(order);
                if self.mistake == Mistake::PayUnrecorded && mine && unpaid {
                    next.send(Message::Pay { to: None, order });
                    return step("pays at once", next, out);
                }
                if mine && world.state == UnitState::Ordering {
                    next.go(UnitState::Ordered);
                    next.order = Some(order);
                    next.recorded |= 1 << order;
                    set(&mut next, At::Have);
                } else {
                    next.rest(who);
                }
                step("records the order", next, out);
            }
            At::SendPay(order) => {
                next.send(Message::Pay { to: Some(who), order });
                set(&mut next, At::WaitPay);
                step("pays", next, out);
            }
            At::GotPay(accepted) => {
                let seen = if accepted {
                    PayOutcome::Accepted
                } else {
                    PayOutcome::Unsure
                };
                match rules::after_pay(seen) {
                    Paying::Paid if mine && world.state == UnitState::Paying => {
                        next.go(UnitState::Paid);
                        set(&mut next, At::Have);
                    }
                    _ => next.rest(who),
                }
                step("hears of the payment", next, out);
            }
            At::Looked(paying) => {
                if !mine || world.state != UnitState::Paying {
                    next.rest(who);
                    return step("was overtaken", next, out);
                }
                next.go(rules::leads_to(UnitState::Paying, paying));
                match paying {
                    Paying::Paid => set(&mut next, At::Have),
                    Paying::PayAgain => set(&mut next, At::SendPay(world.order.unwrap())),
                    Paying::GiveUp => {
                        next.order = None;
                        next.rest(who);
                    }
                    Paying::Look | Paying::NotPaid => next.rest(who),
                }
                step("decides", next, out);
            }
            At::SendKey(order) => {
                next.send(Message::Key { to: Some(who), order });
                set(&mut next, At::WaitKey);
                step("asks for the key", next, out);
            }
            At::InMemory(order) => {
                next.workers[usize::from(who)].spool = Some(order);
                next.arrived |= 1 << order;
                set(&mut next, At::Spooled(order));
                step("puts the key on disk", next, out);
            }
            At::Spooled(order) => {
                let bit = 1 << order;
                if self.mistake != Mistake::FencedKey || mine {
                    next.stored |= bit;
                    if next.state == UnitState::Paid && next.order == Some(order) {
                        next.go(UnitState::Fetching);
                    }
                    if next.order == Some(order) && matches!(next.state, UnitState::Fetching | UnitState::Lost) {
                        next.deliver(order);
                        next.holder = None;
                    }
                }
                next.workers[usize::from(who)].spool = None;
                next.rest(who);
                step("records the key", next, out);
            }
            At::GotNoKey => {
                match rules::after_key(KeyOutcome::Gone, true) {
                    Fetching::Lost if mine && world.state == UnitState::Fetching => {
                        next.go(UnitState::Lost);
                        next.flagged |= 1 << world.order.unwrap();
                        next.rest(who);
                    }
                    _ => next.rest(who),
                }
                step("hears that the key is gone", next, out);
            }
            At::WaitCreate | At::WaitPay | At::WaitKey => {}
        }
    }

    /// The worker holds the unit: runs the step for its state.
    fn act(&self, world: &World, who: u8, mut next: World, out: &mut Vec<(String, World)>) {
        let me = &mut next.workers[usize::from(who)];
        let what = match world.state {
            UnitState::New if world.stock() != 0 => {
                // A late key is in our own stock, which is sold first.
                next.deliver(u8::try_from(world.stock().trailing_zeros()).unwrap());
                next.rest(who);
                "sells a key of our own"
            }
            UnitState::New => {
                // This world has no room for more orders; the product would wait instead.
                if world.remote.iter().all(|order| order.exists) {
                    next.end(self.mistake);
                    next.rest(who);
                } else {
                    me.at = At::SendCreate;
                    next.go(UnitState::Ordering);
                }
                "means to order"
            }
            UnitState::Ordering => {
                if world.remote.iter().all(|order| order.exists) {
                    next.end(self.mistake);
                    next.rest(who);
                } else {
                    me.at = At::SendCreate;
                }
                "orders again"
            }
            UnitState::Ordered => {
                let order = world.order.unwrap();
                if world.remote[usize::from(order)].lapsed {
                    next.go(UnitState::New);
                    next.order = None;
                    next.rest(who);
                    "lets the order lapse"
                } else {
                    me.at = At::SendPay(order);
                    next.go(UnitState::Paying);
                    "means to pay"
                }
            }
            UnitState::Paying => {
                let order = world.order.unwrap();
                let remote = world.remote[usize::from(order)];
                let seen = if remote.paid > 0 {
                    DetailsOutcome::Paid
                } else {
                    DetailsOutcome::Unpaid
                };
                let nothing_under_way = !world.is_paying(order) || self.mistake == Mistake::NoWait;
                me.at = At::Looked(rules::after_details(seen, nothing_under_way, remote.lapsed));
                "looks at the order"
            }
            UnitState::Paid | UnitState::Fetching => {
                let order = world.order.unwrap();
                me.at = At::SendKey(order);
                next.go(UnitState::Fetching);
                "means to read the key"
            }
            UnitState::Lost => {
                match rules::after_loss(world.replacements < 1, false, world.is_replacement) {
                    Compensation::Replace => {
                        next.go(UnitState::New);
                        next.replacements += 1;
                        next.order = None;
                    }
                    Compensation::Refund => {
                        next.end(self.mistake);
                        next.rest(who);
                    }
                }
                "makes the loss good"
            }
            UnitState::Done | UnitState::Refunded => {
                next.rest(who);
                "is done"
            }
        };
        out.push((format!("{who}: {what}"), next));
    }

    /// Explores all worlds. Returns their number, or the history of the first violation.
    fn explore(&self, first: World) -> Result<usize, String> {
        let mut seen: HashMap<World, usize> = HashMap::new();
        let mut trail: Vec<(usize, String)> = vec![(0, "start".into())];
        let mut queue = VecDeque::from([(first.clone(), 0_usize)]);
        seen.insert(first, 0);
        while let Some((world, index)) = queue.pop_front() {
            let next = self.next(&world);
            let wrong = world
                .violation()
                .or_else(|| if next.is_empty() { world.at_rest() } else { None });
            if let Some(wrong) = wrong {
                let mut history = vec![wrong, format!("{world:?}")];
                let mut at = index;
                while at != 0 {
                    history.insert(0, trail[at].1.clone());
                    at = trail[at].0;
                }
                return Err(history.join("\n"));
            }
            for (what, world) in next {
                if !seen.contains_key(&world) {
                    trail.push((index, what));
                    seen.insert(world.clone(), trail.len() - 1);
                    queue.push_back((world, trail.len() - 1));
                }
            }
        }
        Ok(seen.len())
    }
}

fn check(mistake: Mistake, charges_twice: bool, crashes: u8, losses: u8, zombies: u8) -> Result<usize, String> {
    Check { mistake, charges_twice }.explore(World::new(crashes, losses, zombies, 0))
}

/// A delivered key may turn out to be faulty once, and staff have another one bought.
fn check_faulty(mistake: Mistake, crashes: u8, losses: u8, zombies: u8) -> Result<usize, String> {
    let check = Check {
        mistake,
        charges_twice: false,
    };
    check.explore(World::new(crashes, losses, zombies, 1))
}

#[test]
fn no_crash_or_loss_leads_to_double_payment_lost_keys_or_stuck_units() {
    for (crashes, losses, zombies) in [(2, 2, 0), (2, 0, 1), (1, 1, 1)] {
        let worlds = check(Mistake::None, false, crashes, losses, zombies)
            .unwrap_or_else(|history| panic!("{crashes} crashes, {losses} losses, {zombies} zombies:\n{history}"));
        assert!(worlds > 300, "the check went somewhere: {worlds}");
    }
}

#[test]
fn a_faulty_key_is_replaced_or_kept_and_its_unit_never_refunded() {
    for (crashes, losses, zombies) in [(1, 2, 0), (1, 0, 1), (0, 1, 1)] {
        let worlds = check_faulty(Mistake::None, crashes, losses, zombies)
            .unwrap_or_else(|history| panic!("{crashes} crashes, {losses} losses, {zombies} zombies:\n{history}"));
        assert!(worlds > 300, "the check went somewhere: {worlds}");
    }
    let found = check_faulty(Mistake::RefundFaulty, 0, 2, 0);
    assert!(found.is_err(), "a refund in its place is not found");
}

/// Even a supplier that charges twice takes the money once, as long as no lease expires under a live worker.
#[test]
fn a_supplier_that_would_charge_twice_charges_once() {
    check(Mistake::None, true, 1, 1, 0).unwrap_or_else(|history| panic!("{history}"));
}

#[test]
fn the_check_finds_every_deliberate_mistake() {
    for (mistake, charges_twice) in [
        (Mistake::BuyAgain, false),
        (Mistake::FencedKey, false),
        (Mistake::PayUnrecorded, false),
        (Mistake::NoWait, true),
    ] {
        let found = [(0, 1, 0), (1, 1, 0), (0, 1, 1)]
            .into_iter()
            .find_map(|(crashes, losses, zombies)| check(mistake, charges_twice, crashes, losses, zombies).err());
        assert!(found.is_some(), "{mistake:?} is not found");
    }
}
