//! What goes wrong, by a seed: to the servers, to their networks and to the replica set, one thing after another to each
//! of the three and to all of them at the same time.

use std::fmt;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use argon_testkit::network::Weather;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::{Cluster, Mode};
use crate::history::Clock;

/// The longest time between two faults of one kind.
const CALM_MS_MAX: u64 = 5_000;

/// Something that goes wrong. Servers and members are numbered.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A server is killed.
    KillServer(usize),
    /// A server is stopped as an operator does, and started again.
    RestartServer(usize),
    /// A server stands still.
    PauseServer(usize),
    /// A server's connections to the deployment are cut, or nothing passes them, or they are slow.
    CutServer(usize, Weather),
    /// The primary hands its office over.
    StepDown,
    /// The primary is killed.
    KillPrimary,
    /// The primary stands still.
    PausePrimary,
}

/// Chooses a fault; there are so many servers.
type Choose = fn(&mut StdRng, usize) -> Fault;

/// What can be broken independently of the rest.
const KINDS: &[Choose] = &[of_servers, of_networks, of_the_set];

/// Has things go wrong until `end`, each for up to `longest`; everything is well again when it returns. Tells how many.
pub(crate) fn run(
    cluster: &Cluster,
    seed: u64,
    clock: Clock,
    end: Instant,
    longest: Duration,
) -> Result<usize> {
    let kinds = match cluster.mode() {
        Mode::Embedded => &KINDS[..1],
        _ => KINDS,
    };
    thread::scope(|scope| {
        let kinds: Vec<_> = (0_u64..)
            .zip(kinds)
            .map(|(number, choose)| {
                let random = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number));
                scope
                    .spawn(move || one_after_another(cluster, random, *choose, clock, end, longest))
            })
            .collect();
        let mut faults = 0;
        for kind in kinds {
            faults += kind.join().map_err(|_| anyhow!("a fault panicked"))??;
        }
        Ok(faults)
    })
}

fn one_after_another(
    cluster: &Cluster,
    mut random: StdRng,
    choose: Choose,
    clock: Clock,
    end: Instant,
    longest: Duration,
) -> Result<usize> {
    let longest_ms = u64::try_from(longest.as_millis())
        .unwrap_or(u64::MAX)
        .max(2);
    let mut faults = 0;
    loop {
        sleep(Duration::from_millis(random.random_range(0..CALM_MS_MAX)));
        if Instant::now() >= end {
            return Ok(faults);
        }
        let fault = choose(&mut random, cluster.len());
        let duration = Duration::from_millis(random.random_range(1..longest_ms));
        let now = Duration::from_nanos(clock.now());
        log(format_args!(
            "{:7.2} s: {fault:?} for {:.2} s",
            now.as_secs_f64(),
            duration.as_secs_f64()
        ));
        happen(cluster, fault, duration)?;
        faults += 1;
    }
}

fn of_servers(random: &mut StdRng, servers: usize) -> Fault {
    let server = random.random_range(0..servers);
    match random.random_range(0..4) {
        0 | 1 => Fault::KillServer(server),
        2 => Fault::RestartServer(server),
        _ => Fault::PauseServer(server),
    }
}

fn of_networks(random: &mut StdRng, servers: usize) -> Fault {
    let server = random.random_range(0..servers);
    let weather = match random.random_range(0..3) {
        0 => Weather::Refused,
        1 => Weather::Silent,
        _ => Weather::Slow(Duration::from_millis(random.random_range(5..150))),
    };
    Fault::CutServer(server, weather)
}

fn of_the_set(random: &mut StdRng, _: usize) -> Fault {
    match random.random_range(0..3) {
        0 => Fault::StepDown,
        1 => Fault::KillPrimary,
        _ => Fault::PausePrimary,
    }
}

/// Has `fault` happen, and makes it good after `duration`.
fn happen(cluster: &Cluster, fault: Fault, duration: Duration) -> Result<()> {
    match fault {
        Fault::KillServer(server) => {
            cluster.kill(server)?;
            sleep(duration);
            cluster.restart(server)
        }
        Fault::RestartServer(server) => {
            cluster.stop(server)?;
            cluster.restart(server)
        }
        Fault::PauseServer(server) => {
            cluster.server(server).pause()?;
            sleep(duration);
            cluster.server(server).resume()
        }
        Fault::CutServer(server, weather) => {
            cluster.weather(server, weather);
            sleep(duration);
            cluster.weather(server, Weather::Fine);
            Ok(())
        }
        Fault::StepDown => {
            if let Some(set) = cluster.set() {
                // Refused while another election goes on: then that is the fault.
                if let Err(error) = set.step_down() {
                    log(format_args!("           {error:#}"));
                }
            }
            Ok(())
        }
        Fault::KillPrimary => {
            let Some(mut set) = cluster.set() else {
                return Ok(());
            };
            let primary = set.primary()?;
            set.kill(primary)?;
            sleep(duration);
            set.restart(primary)
        }
        Fault::PausePrimary => {
            let Some(set) = cluster.set() else {
                return Ok(());
            };
            let primary = set.primary()?;
            set.pause(primary)?;
            sleep(duration);
            set.resume(primary)
        }
    }
}

/// Says what happens, to whoever watches.
#[expect(clippy::print_stderr, reason = "a program's log")]
pub(crate) fn log(text: fmt::Arguments<'_>) {
    eprintln!("{text}");
}
