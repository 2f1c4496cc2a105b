//! `docs/performance.md`: what this run measured, on which machine, beside which versions.

use crate::growth::{self, IN_FLIGHT, WAITERS, with};
use crate::guards::{BORROWED, FLOOR, Guard, Kind, LABELLED, LINES, LOOKING, OWNED, REFUSED, TRACKER, on_threads};
use crate::plots::{Line, draw, draw_bars, draw_run};
use crate::rest::{self, HOLDS};
use crate::rounds::{Measured, ROUNDS, Spread, cores, number};
use crate::serving;
use crate::targets::Target;
use crate::{idle, others, wish};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// On how many threads the guards are measured.
pub const THREADS: [usize; 3] = [1, 2, 4];

const LOCK: &str = include_str!("../Cargo.lock");
const PEERS: [&str; 7] = ["tokio-util", "drain", "tokio-graceful", "hyper-util", "hyper", "crossbeam-utils", "tokio"];

/// Writes the page and its plots.
pub fn write(
    docs: &Path,
    measured: &Measured,
    guards: &[Guard],
    targets: &[Target],
    found: &others::Found,
) -> Result<(), Box<dyn Error>> {
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    let page = Page { measured, guards, targets, found };
    page.plot(&plots)?;
    fs::write(docs.join("performance.md"), page.text()?)?;
    Ok(())
}

struct Page<'a> {
    measured: &'a Measured,
    guards: &'a [Guard],
    targets: &'a [Target],
    found: &'a others::Found,
}

impl Page<'_> {
    fn text(&self) -> Result<String, Box<dyn Error>> {
        let mut page = String::from(
            "# Performance: what admission and a drain cost, beside their peers\n\n\
             <!-- Written by `.ci/performance`: every number is one that its run measured, but where a sentence names another machine. Do not edit. -->\n\n",
        );
        writeln!(
            page,
            "`.ci/performance` measures all of this and writes this page; on a quiet machine it takes about four minutes.\n\n\
             Machine: {}, {} cores; {}. Peers: {}.\n\n\
             Every table is of one run. Each of its rounds, {ROUNDS} unless it says otherwise, runs each contender once, in rotated order, for about \
             two milliseconds. Times of guards are the processor's. A value is the median of the rounds; in brackets, between what nine of ten rounds lay. A ratio is taken within each \
             round, so that a machine that is slow for a while is slow for both sides. A wide bracket is a machine that did something else as well.\n\n\
             Times differ from machine to machine; how many instructions the hot paths take doesn't, and `.ci/instructions` asserts that.\n",
            processor(),
            cores(),
            env!("COMPILER"),
            versions()
        )?;
        self.targets(&mut page)?;
        self.guards_table(&mut page)?;
        self.better(&mut page)?;
        self.growth(&mut page)?;
        self.wish(&mut page)?;
        self.rest(&mut page)?;
        Ok(page)
    }

    fn targets(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        let met = self.targets.iter().filter(|target| target.is_met(self.measured)).count();
        let accepted = self.targets.iter().filter(|target| self.is_accepted(target)).count();
        writeln!(
            page,
            "## Targets\n\n{met} of {} met, {accepted} missed as was decided, {} missed.\n",
            self.targets.len(),
            self.targets.len() - met - accepted,
        )?;
        page.push_str("| What | Measured | Target | |\n|---|---|---|---|\n");
        for target in self.targets {
            let verdict = match (target.is_met(self.measured), target.accepted) {
                (true, _) => "met".to_owned(),
                (false, Some(why)) => format!("missed, as was decided: {why}"),
                (false, None) => "**missed**".to_owned(),
            };
            let found = target.found(self.measured);
            writeln!(page, "| {} | {found} {} | {} | {verdict} |", target.says, target.unit, target.bound())?;
        }
        let ratio = |one, other| self.measured.ratio(&on_threads(one, 1), &on_threads(other, 1));
        writeln!(
            page,
            "\n**The look at the word.** The floor adds blindly; a gate has to look at the word before it admits, and on some processors that alone costs. \
             On this one, {}, an addition that looks first takes {} times as long as a blind one, and a permit {} times as long as such an \
             addition: what the gate itself adds is that. It was taken apart on an Intel Xeon: a compare-and-swap of a guessed value took 1.04 times as long as \
             a blind addition, and anything that had looked 1.36 times. A locked instruction lets no later load of the same word begin before it is done. \
             On an AMD EPYC that costs nothing that shows: there a permit cost 1.05 times the floor and 0.50 times TaskTracker's token. \
             No gate can admit without a look, so these two targets were accepted as missed on processors that charge for one.\n",
            processor(),
            ratio(LOOKING, FLOOR),
            ratio(BORROWED, LOOKING),
        )?;
        writeln!(
            page,
            "**Two threads.** The gate keeps state, generation and counts in one word, which two cores can't both have at once: \
             [decision 9](decisions/0009-one-word-or-shards.md) says why, and what it costs. An owned permit \
             counts an owner as well: [decision 10](decisions/0010-an-owned-permit-owns.md) says why.\n\n\
             **The woken waiter.** Both wake a sleeping thread by the same system call, which is nearly all of the time that is measured ({} and \
             {} ns). The gate's own part is a fraction of a microsecond, and which of the two is ahead changes from run to run.\n\n\
             A refusal is a few plain instructions and an admission two atomic ones. Where the machine is not quiet, the first take up to twice \
             as long and the second hardly longer: the ratio of the two holds on a quiet one.\n",
            number(self.measured.of(growth::WOKEN).median),
            number(self.measured.of(growth::TRACKER_WOKEN).median),
        )
    }

    fn is_accepted(&self, target: &Target) -> bool {
        target.accepted.is_some() && !target.is_met(self.measured)
    }

    fn guards_table(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        page.push_str(
            "## A guard, taken and given back\n\nNanoseconds for each thread. The threads do nothing else, which no gateway does: on two or more \
             this is what happens at worst.\n\n![by threads](performance/threads.svg)\n\n\
             | | One thread | to the floor | Two threads | to TaskTracker | Four threads | It |\n|---|---|---|---|---|---|---|\n",
        );
        for guard in self.guards {
            let on = |threads| self.measured.of(&on_threads(guard.name, threads));
            let floor = self.measured.ratio(&on_threads(guard.name, 1), &on_threads(FLOOR, 1));
            let tracker = self.measured.ratio(&on_threads(guard.name, 2), &on_threads(TRACKER, 2));
            let does = match (guard.kind, guard.lacks) {
                (Kind::Borrowed, "") => "borrows the gate",
                (_, "") => "",
                (_, lacks) => lacks,
            };
            let (one, two, four) = (on(1), on(2), on(4));
            writeln!(
                page,
                "| {} | {one} | {} | {two} | {} | {four} | {does} |",
                guard.name,
                number(floor.median),
                number(tracker.median)
            )?;
        }
        Ok(())
    }

    /// Where a peer costs less, it is said.
    fn better(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        page.push_str("\n### Where a peer is better\n\n");
        let mut said = false;
        for threads in THREADS {
            for (ours, kind) in [(BORROWED, Kind::Borrowed), (OWNED, Kind::Owned)] {
                let peers = self.guards.iter().filter(|guard| guard.kind == kind && !guard.lacks.is_empty());
                for peer in peers {
                    let ratio = self.measured.ratio(&on_threads(ours, threads), &on_threads(peer.name, threads));
                    if (ratio.median * 100.0).round() > 100.0 {
                        let name = peer.name;
                        let threads = if threads == 1 { "one thread".into() } else { format!("{threads} threads") };
                        writeln!(
                            page,
                            "- {name}, on {threads}: {ours} costs {ratio} times as much. It {}.",
                            peer.lacks
                        )?;
                        said = true;
                    }
                }
            }
        }
        let release = |many| self.measured.ratio(&with(growth::RELEASE, many), &with(growth::TRACKER_RELEASE, many));
        for many in WAITERS {
            if release(many).median > 1.005 {
                writeln!(
                    page,
                    "- TaskTracker, with {} waiting: the last release costs us {} times as much.",
                    whole(many),
                    release(many)
                )?;
                said = true;
            }
        }
        let closing = self.measured.ratio(&with(growth::CLOSE, 1_000), &with(growth::TRACKER_CLOSE, 1_000));
        if closing.median > 1.005 {
            writeln!(
                page,
                "- TaskTracker, closing and reopening with 1,000 in flight: it costs us {closing} times as much. \
                 We tell those who wait; its `close` refuses nobody."
            )?;
            said = true;
        }
        if !said {
            page.push_str("In no row of this run.\n");
        }
        page.push('\n');
        Ok(())
    }

    fn growth(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        page.push_str(
            "## As work in flight grows\n\nNanoseconds.\n\n![by work in flight](performance/in-flight.svg)\n\n",
        );
        self.table(
            page,
            "In flight",
            &IN_FLIGHT,
            &[growth::ADMIT, growth::CLOSE, growth::LABEL, growth::TOKEN, growth::TRACKER_CLOSE],
        )?;
        page.push_str(
            "\n## The last release\n\nNanoseconds for the one who leaves, with so many tasks that wait.\n\n\
             ![by waiters](performance/waiters.svg)\n\n",
        );
        self.table(page, "Waiting", &WAITERS, &[growth::RELEASE, growth::TRACKER_RELEASE])?;
        writeln!(
            page,
            "\nTo a thread that sleeps on another core, in nanoseconds, each round the median of 41 times, almost all of it the system's own: \
             gateway-drain {}, TaskTracker {}.\n",
            self.measured.of(growth::WOKEN),
            self.measured.of(growth::TRACKER_WOKEN)
        )
    }

    fn rest(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        let of = |name| self.measured.of(name);
        writeln!(
            page,
            "## The tower layer\n\n\
             In front of a service that answers at once, a request takes {} ns, without the layer {} ns; the layer allocates {} times.\n\n\
             Behind hyper, one server thread and one client thread with 16 connections that are kept alive: {} requests a second with \
             the layer, {} without, in rounds of a twentieth of a second each.\n\n\
             ## At rest\n\n\
             The whole process of a gateway that nobody asks anything, at the default tick of a second, in per cent of a core, in {} \
             windows of {} seconds each. Nearly all of that is what the system takes to wake two threads once for each look, the one that decides \
             and the one that touches the disk, and to answer some two dozen system calls. Being told of changes adds no wake-up. \
             So it depends on the processor and on the system beneath: the target was set on an AMD EPYC, where an earlier version took 0.03; beside \
             each other in a virtual machine on an Intel Xeon, that version took 0.05 (0.04 to 0.10) and this one 0.06 (0.05 to 0.12).\n\n\
             ![by holds](performance/holds.svg)\n",
            of(serving::LAYERED),
            of(serving::BARE),
            number(of(crate::targets::ALLOCATIONS).median),
            of(serving::LAYERED_SERVER),
            of(serving::SERVER),
            rest::WINDOWS,
            rest::WINDOW.as_secs(),
        )?;
        self.table(page, "Hold files", &HOLDS, &[rest::REST])?;
        writeln!(
            page,
            "\n## The explorer\n\nThe model of the protocol is explored at {} edges a second on one core, in 10 rounds.",
            of(rest::EXPLORER)
        )
    }

    /// From a wish to an act.
    fn wish(&self, page: &mut String) -> Result<(), std::fmt::Error> {
        writeln!(
            page,
            "## From a wish to an act\n\n\
             How long it takes from the wish to do something to a gateway until it is done, if no work has to be waited for. \
             `gateway-drain run -- COMMAND` begins a hold, waits until the gateway says that it is drained, commits, runs the command and withdraws. \
             Here the command does nothing, so all of the time is the protocol's, the disk's and the system's own. What it is on this disk at the least \
             is the floor: the start of a process, and as many files written and synced as the protocol asks for.\n\n\
             Milliseconds; the median of {} rounds, each of which does every row once, or of {} where it says so. The gateway looks at its files when the system tells of a change, \
             and each second beside that.\n\n\
             | What | ms | |\n|---|---|---|",
            wish::ROUNDS,
            wish::FEW,
        )?;
        let few = format!("{} rounds", wish::FEW);
        let mut rows = vec![
            (wish::FLOOR, "the floor: each with its two fsyncs"),
            (wish::START, "the floor"),
            (wish::LEAST, "the floor"),
            (wish::FILES, ""),
            (wish::HTTP, ""),
            (wish::TOUCH, "to a worker that asks for a turn twenty times a millisecond"),
            (wish::REMOVE, "the same"),
            (wish::RELEASE, "it has waited for a quarter of a second"),
            (wish::UNTOLD, few.as_str()),
        ];
        if self.found.etcd {
            rows.push((others::ETCD, "takes a lock, runs the command, gives it back; it knows of no work in flight"));
        }
        if self.found.reference {
            rows.push((others::REFERENCE, few.as_str()));
        }
        for (name, says) in rows {
            writeln!(page, "| {name} | {} | {says} |", self.measured.of(name))?;
        }
        if !(self.found.etcd && self.found.reference) {
            page.push_str("\nEtcd or hermes-agent has no row where it was not installed on the machine that this page was made on.\n");
        }
        writeln!(
            page,
            "\nBeside others, on a logarithmic axis. `kubectl drain` can't be run without a cluster: its bar is the pause between two of its looks at a pod, by \
             its source ([`interval: 1 * time.Second`](https://github.com/kubernetes/kubectl/blob/97f0e109d6c043924ae799c68d2c8c095f3de179/pkg/drain/drain.go)). \
             The watcher of hermes-agent looks at its marker once a second, too.\n\n![beside others](performance/beside.svg)\n\n\
             A hundred gateways on one machine, each drained, acted on and reopened by `xargs`, {few}, in seconds: one after the other {}, all at the same \
             time {}.\n",
            self.measured.of(wish::ROW),
            self.measured.of(wish::AT_ONCE),
        )?;
        writeln!(
            page,
            "One whole `run` over time, the one of the middle length of {}. A line leads from what was written to what it set off: the system tells the gateway of a request, and \
             the controller, which asks for the status file's time each 1 to 4 ms, finds a new status \
             ([decision 21](decisions/0021-who-is-told.md)). Before its first write the process starts and reads who lives in the home.\n\n![one run](performance/run.svg)\n",
            wish::FEW,
        )?;
        writeln!(
            page,
            "What it costs to wait, in per cent of a core, in {} windows of {} seconds each:\n\n| Who waits | per cent of a core |\n|---|---|",
            idle::WINDOWS,
            idle::WINDOW.as_secs(),
        )?;
        for name in [idle::OVER_FILES, idle::OVER_HTTP, idle::CROWD] {
            writeln!(page, "| {name} | {} |", self.measured.of(name))?;
        }
        page.push('\n');
        Ok(())
    }

    /// One row for each number, one column for each measurement.
    fn table(&self, page: &mut String, of: &str, numbers: &[u64], names: &[&str]) -> Result<(), std::fmt::Error> {
        writeln!(page, "| {of} | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()))?;
        for many in numbers {
            let cells: Vec<String> =
                names.iter().map(|name| self.measured.of(&with(name, *many)).to_string()).collect();
            writeln!(page, "| {} | {} |", whole(*many), cells.join(" | "))?;
        }
        Ok(())
    }

    fn plot(&self, plots: &Path) -> Result<(), Box<dyn Error>> {
        let shown = [FLOOR, LINES, BORROWED, OWNED, REFUSED, LABELLED, TRACKER, "tokio Semaphore, owned permit"];
        let by_threads = |name: &str| {
            let at = |threads: &usize| (*threads as f64, self.measured.of(&on_threads(name, *threads)).median);
            (
                if name == LINES { "the same, each thread its own".to_owned() } else { name.to_owned() },
                THREADS.iter().map(at).collect(),
            )
        };
        let lines: Vec<Line> = shown.into_iter().map(by_threads).collect();
        draw(&plots.join("threads.svg"), "A guard taken and given back", "threads", "ns", &lines)?;

        let names = [growth::ADMIT, growth::CLOSE, growth::LABEL, growth::TOKEN, growth::TRACKER_CLOSE];
        let lines = self.lines(&names, &IN_FLIGHT);
        draw(&plots.join("in-flight.svg"), "As work in flight grows", "in flight", "ns", &lines)?;

        let lines = self.lines(&[growth::RELEASE, growth::TRACKER_RELEASE], &WAITERS);
        draw(&plots.join("waiters.svg"), "The last release and its wake-ups", "waiting tasks", "ns", &lines)?;

        draw_run(&plots.join("run.svg"), &self.found.timeline)?;

        let others = [(self.found.etcd, others::ETCD), (self.found.reference, others::REFERENCE)];
        let others = others.into_iter().filter_map(|(there, name)| there.then_some(name));
        let bars = [wish::LEAST, wish::FILES, wish::HTTP, wish::UNTOLD].into_iter().chain(others);
        let mut bars: Vec<_> = bars.map(|name| (name.to_owned(), self.measured.of(name).median)).collect();
        bars[0].0 = "the floor: the writes and the start of a process".into();
        bars.iter_mut().for_each(|bar| bar.0 = bar.0.split(": its endpoint").next().unwrap_or_default().to_owned());
        bars.push(("kubectl drain: the pause between two looks".into(), 1000.0));
        draw_bars(&plots.join("beside.svg"), "From a wish to an act", "milliseconds", &bars)?;

        let lines = self.lines(&[rest::REST], &HOLDS);
        draw(&plots.join("holds.svg"), "A gateway at rest", "hold files", "% of a core", &lines)
    }

    fn lines(&self, names: &[&str], numbers: &[u64]) -> Vec<Line> {
        let at = |name: &str, many: &u64| (*many as f64, self.measured.of(&with(name, *many)).median);
        names.iter().map(|name| ((*name).to_owned(), numbers.iter().map(|many| at(name, many)).collect())).collect()
    }
}

fn whole(many: u64) -> String {
    if many < 1_000 { many.to_string() } else { number(many as f64) }
}

/// The ratios, for the person who ran the command.
pub fn print(measured: &Measured, targets: &[Target]) {
    for target in targets {
        let verdict = match (target.is_met(measured), target.accepted) {
            (true, _) => "met",
            (false, Some(_)) => "missed, as was decided",
            (false, None) => "MISSED",
        };
        let found: Spread = target.found(measured);
        println!("{:<60} {:>28} {:<14} {:<20} {verdict}", target.says, found.to_string(), target.unit, target.bound());
    }
}

/// The processor's own name, and nothing else of the machine.
fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name"));
    model
        .and_then(|line| line.split_once(':'))
        .map_or("an unknown processor".into(), |(_, name)| name.trim().to_owned())
}

/// The peers' versions, from the lock file that this program was built by.
fn versions() -> String {
    let version = |name: &&str| {
        let (_, entry) = LOCK.split_once(&format!("name = \"{name}\"\n"))?;
        let version = entry.lines().next()?.strip_prefix("version = \"")?.trim_end_matches('"');
        Some(format!("{name} {version}"))
    };
    PEERS.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}
