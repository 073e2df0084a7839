//! What goes wrong, one thing after another, by a seed.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use argon_testkit::network::Weather;
use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::Cluster;
use crate::history::Clock;

/// The longest time between two faults.
const CALM_MS_MAX: u64 = 2_500;

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

/// Has things go wrong until `end`, each for up to `longest`; everything is well again when it returns. Tells how many.
pub(crate) fn run(
    cluster: &Cluster,
    random: &mut StdRng,
    clock: Clock,
    end: Instant,
    longest: Duration,
) -> Result<usize> {
    let mut faults = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(0..CALM_MS_MAX)));
        let fault = choose(cluster, random);
        let longest_ms = u64::try_from(longest.as_millis())
            .unwrap_or(u64::MAX)
            .max(2);
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
    Ok(faults)
}

fn choose(cluster: &Cluster, random: &mut StdRng) -> Fault {
    let server = random.random_range(0..cluster.len());
    let kinds = if cluster.set().is_some() { 10 } else { 4 };
    match random.random_range(0..kinds) {
        0 | 1 => Fault::KillServer(server),
        2 => Fault::RestartServer(server),
        3 => Fault::PauseServer(server),
        4 => Fault::CutServer(server, Weather::Refused),
        5 => Fault::CutServer(server, Weather::Silent),
        6 => Fault::CutServer(
            server,
            Weather::Slow(Duration::from_millis(random.random_range(5..150))),
        ),
        7 => Fault::StepDown,
        8 => Fault::KillPrimary,
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
