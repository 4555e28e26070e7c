//! One seed from its first command to the last timer: a core, its wire, a compositor, a judge.

mod user;
mod verdict;
mod wire;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use puad::{
    command::{Key, Owner},
    sip::{
        Uac,
        io::{Event, FlowError, FlowId, Hop, Input, Output, QueryId, UnixMillis},
    },
};

use user::publish_of;

use super::{compositor::Compositor, dice::Dice, judge::Judge, message::Answer, plan::Plan};

/// One seed at work.
pub struct World<'a> {
    plan: &'a Plan,
    uac: Uac,
    start: Instant,
    now: Duration,
    dice: Dice,
    due: BTreeMap<(Duration, u64), Happening>,
    order: u64,
    deadline: Option<Duration>,
    /// Inputs since time last advanced.
    inputs: u32,
    links: BTreeMap<FlowId, Link>,
    compositor: Compositor,
    judge: Judge,
    keys: Vec<Series>,
    pending: BTreeMap<u64, Pending>,
    tickets: u64,
    phase: Phase,
    answers_taken: u64,
    /// When the last update of the steady phase must be up.
    settled_at: Duration,
    has_stopped: bool,
    /// Until then the machine sleeps; what happens meanwhile is seen afterwards.
    asleep_until: Duration,
    /// Questions without an answer so far.
    queries: u32,
    /// Looks in a row that found something wrong.
    wrong_looks: u32,
    /// Whether puad says that all is up.
    is_up: bool,
    /// Keys whose attempts have stopped.
    again: Vec<usize>,
    /// Of everything that came out.
    pub digest: u64,
    pub is_thorough: bool,
    pub trace: Option<Vec<String>>,
}

/// What a seed came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub digest: u64,
    pub transactions: u64,
    pub virtual_time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Bad,
    /// Well again, but not yet right.
    Healing,
    Steady,
    Ending,
}

/// One key and what was last asked for.
struct Series {
    key: Key,
    owner: Owner,
    want: Option<Want>,
    version: u32,
    /// Counts commands.
    stamp: u32,
}

#[derive(Debug, Clone)]
struct Want {
    body: String,
    version: u32,
    until: Option<Duration>,
}

/// A command that waits for its reply.
struct Pending {
    until: Duration,
    key: Option<usize>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// With the version of its document.
    Publish(u32),
    Refresh,
    Remove,
    List,
    Stop,
}

struct Link {
    hop: Hop,
    is_open: bool,
    is_hung: bool,
    /// Streams keep their order.
    last_out: Duration,
    last_in: Duration,
}

enum Happening {
    Opened(FlowId),
    Failed(FlowId, FlowError),
    /// A request reaches the compositor.
    Request(FlowId, Arc<[u8]>),
    /// A piece of an answer reaches puad; the last one bears the answer.
    Answer(FlowId, Vec<u8>, Option<Answer>),
    Resolved(QueryId),
    Command,
    Lapse {
        key: usize,
        stamp: u32,
    },
    Down,
    Up,
    Sleep(Duration),
    Stop,
    Heal,
    Look,
    Update,
    Settled,
    End,
}

impl Happening {
    fn is_for_puad(&self) -> bool {
        match self {
            Self::Opened(_)
            | Self::Failed(..)
            | Self::Answer(..)
            | Self::Resolved(_)
            | Self::Command
            | Self::Stop
            | Self::Look => true,
            Self::Request(..)
            | Self::Lapse { .. }
            | Self::Down
            | Self::Up
            | Self::Sleep(_)
            | Self::Heal
            | Self::Update
            | Self::Settled
            | Self::End => false,
        }
    }
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let start = Instant::now();
        let mut dice = Dice::new(plan.seed.rotate_left(17) ^ 0xdead_beef);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&dice.next().to_le_bytes());
        let uac = Uac::new(plan.config(), seed, start, UnixMillis(1_700_000_000_000));
        let keys = plan
            .keys
            .iter()
            .enumerate()
            .map(|(at, key)| Series {
                key: publish_of(plan, at, None).key(),
                owner: Owner::Script(format!("script{}", key.user).into()),
                want: None,
                version: 0,
                stamp: 0,
            })
            .collect();
        Self {
            plan,
            uac,
            start,
            now: Duration::ZERO,
            dice,
            due: BTreeMap::new(),
            order: 0,
            deadline: None,
            inputs: 0,
            links: BTreeMap::new(),
            compositor: Compositor::new(&plan.server),
            judge: Judge::new(plan.keys.len(), plan.sleep.is_some()),
            keys,
            pending: BTreeMap::new(),
            tickets: 0,
            phase: Phase::Bad,
            answers_taken: 0,
            settled_at: Duration::ZERO,
            has_stopped: false,
            asleep_until: Duration::ZERO,
            queries: 0,
            wrong_looks: 0,
            is_up: false,
            again: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            is_thorough: false,
            trace: None,
        }
    }

    /// Lives the whole life of this world.
    ///
    /// # Errors
    /// With the first thing that must not be.
    pub fn live(&mut self) -> Result<Summary, String> {
        self.begin()?;
        loop {
            let happening = self.due.keys().next().map(|(at, _)| *at);
            let deadline = self.deadline.map(|at| at.max(self.asleep_until));
            let next = match (happening, deadline) {
                (None, None) => break,
                (Some(at), Some(deadline)) => at.min(deadline),
                (Some(at), None) | (None, Some(at)) => at,
            };
            if next > self.now {
                self.now = next;
                self.inputs = 0;
            }
            self.check_patience()?;
            self.check_expired()?;
            if self.now > LONGEST {
                return Err("it never comes to rest".into());
            }
            if happening == Some(next) {
                let (_, what) = self.due.pop_first().expect("just seen");
                if self.now < self.asleep_until && what.is_for_puad() {
                    self.at(self.asleep_until, what);
                    continue;
                }
                self.happen(what)?;
            } else {
                self.input(Input::Timeout)?;
            }
        }
        if !self.uac.is_idle() {
            return Err(format!("something is left: {:?}", self.uac));
        }
        Ok(Summary {
            digest: self.digest,
            transactions: self.judge.transactions,
            virtual_time: self.now,
        })
    }

    fn begin(&mut self) -> Result<(), String> {
        let local = LOCAL.parse().expect("an address");
        for (number, transport) in
            [rsip::Transport::Udp, rsip::Transport::Tcp].into_iter().enumerate()
        {
            let flow = FlowId(FlowId::FIRST_FOREIGN + number as u64);
            self.input(Input::FlowAccepted { flow, transport, local, remote: None })?;
        }
        let mut at = Duration::ZERO;
        for number in 0..self.plan.commands {
            if number > 0 && !self.dice.chance(0.3) {
                at = self.plan.healed_at.mul_f64(self.dice.unit());
            } else {
                at += self.dice.secs(0.0, 1.0);
            }
            self.at(at, Happening::Command);
        }
        for (from, lasts) in self.plan.server.restarts.clone() {
            self.at(from, Happening::Down);
            self.at(from + lasts, Happening::Up);
        }
        if let Some((at, lasts)) = self.plan.sleep {
            self.at(at, Happening::Sleep(lasts));
        }
        if let Some(at) = self.plan.stops_at {
            self.at(at, Happening::Stop);
        }
        self.at(self.plan.healed_at, Happening::Heal);
        Ok(())
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.order += 1;
        self.due.insert((at, self.order), what);
    }

    fn after(&mut self, delay: Duration, what: Happening) {
        self.at(self.now + delay, what);
    }

    fn is_bad(&self) -> bool {
        self.phase == Phase::Bad
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>11.4} {}", self.now.as_secs_f64(), text()));
        }
    }

    fn happen(&mut self, what: Happening) -> Result<(), String> {
        match what {
            Happening::Opened(flow) => self.opened(flow)?,
            Happening::Failed(flow, error) => self.failed(flow, error)?,
            Happening::Request(flow, bytes) => self.serve(flow, &bytes)?,
            Happening::Answer(flow, bytes, answer) => self.receive(flow, &bytes, answer)?,
            Happening::Resolved(query) => self.resolved(query)?,
            Happening::Command => {
                if self.phase < Phase::Steady {
                    self.random_command()?;
                }
            }
            Happening::Lapse { key, stamp } => self.lapse(key, stamp),
            Happening::Down => self.go_down(),
            Happening::Up => self.compositor.is_down = false,
            Happening::Sleep(lasts) => {
                self.note(|| format!("the machine sleeps for {lasts:?}"));
                self.asleep_until = self.now + lasts;
            }
            Happening::Stop => self.stop(Duration::from_secs(5))?,
            Happening::Heal => {
                self.note(|| "all is well from here on".into());
                self.phase = Phase::Healing;
                self.compositor.is_down = false;
                self.after(Duration::from_secs(1), Happening::Look);
            }
            Happening::Look => self.look()?,
            Happening::Update => self.update()?,
            Happening::Settled => {
                if self.phase == Phase::Steady && self.now >= self.settled_at {
                    self.check_soon(Happening::Settled)?;
                }
            }
            Happening::End => {
                if self.phase != Phase::Steady {
                    return self.check_end();
                }
                if self.check_soon(Happening::End)? {
                    self.end_all()?;
                    self.after(Duration::from_secs(12), Happening::End);
                }
            }
        }
        Ok(())
    }

    /// Gives the core an input, and does what it asks for.
    fn input(&mut self, input: Input<'_>) -> Result<(), String> {
        self.inputs += 1;
        if self.inputs > 200 {
            return Err("two hundred inputs and time does not advance".into());
        }
        self.uac.handle_input(self.start + self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), String> {
        loop {
            match self.uac.poll_output() {
                Output::Timeout(deadline) => {
                    self.deadline = match deadline {
                        Some(deadline) if deadline.at < self.start + self.now => {
                            return Err(format!("the deadline of {:?} has passed", deadline.timer));
                        }
                        Some(deadline) => {
                            let late = self.dice.secs(0.0, self.plan.lateness);
                            Some(deadline.at.duration_since(self.start) + late)
                        }
                        None => None,
                    };
                    return Ok(());
                }
                Output::Open { flow, hop } => self.open(flow, hop),
                Output::Close { flow } => {
                    self.note(|| format!("puad closes {flow:?}"));
                    self.links.remove(&flow);
                    self.judge.lost(self.now, flow);
                }
                Output::Transmit { flow, to, message } => self.transmit(flow, to, &message)?,
                Output::Query { id, question } => {
                    self.queries += 1;
                    self.note(|| format!("puad asks for {question:?}"));
                    let most = if self.is_bad() { self.plan.network.dns_delay } else { 0.02 };
                    let delay = self.dice.secs(0.0, most);
                    self.after(delay, Happening::Resolved(id));
                }
                Output::Reply { ticket, outcome } => self.reply(ticket, outcome)?,
                Output::Event(Event::Publication(event)) => {
                    if self.is_thorough {
                        self.absorb(format!("{event:?}").as_bytes());
                    }
                    self.note(|| {
                        let failure = event.failure.as_ref().map(|f| f.to_string());
                        format!(
                            "event {} {:?} {}",
                            event.key,
                            event.change,
                            failure.unwrap_or_default()
                        )
                    });
                }
            }
        }
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let now = (self.now.as_nanos() as u64).to_le_bytes();
        for byte in now.iter().chain(bytes) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

const LOCAL: &str = "192.0.2.10:5070";
/// What a caller waits when it does not say: 64·T1 and 3 s.
const PATIENCE: Duration = Duration::from_secs(35);
/// Two days: longer than any plan.
const LONGEST: Duration = Duration::from_secs(2 * 24 * 3600);
