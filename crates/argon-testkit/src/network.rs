//! A network that fails on demand: TCP links between a client and the servers it talks to.
//!
//! A [`Network`] stands in front of servers as one client sees them: the client gets
//! [`Network::uri`] (or the address of a [`Link`]) in place of theirs. Other clients, and the
//! members among each other, are not concerned. Drivers ask a replica set for its members' addresses
//! and go there; so the links write their own addresses over the servers' in everything that the
//! servers answer. All ports have five digits, so that lengths stay what they are.
//!
//! A network can also be stopped at one exact message ([`Network::stop_at`]): with that a test visits
//! every durable step of an operation, before and after it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Specification OP_MSG: a message begins with its length.
const LENGTH_BYTES: usize = 4;
/// Larger than `maxMessageSizeBytes`.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Specification OP_MSG: the header (length, request, response to, kind), flags and the kind of the first section.
const OP_MSG: i32 = 2013;
const BODY_AT: usize = 21;
/// Commands that change something. A pipeline does if it has one of [`WRITING_STAGES`].
const WRITES: &[&str] = &[
    "collMod",
    "commitTransaction",
    "create",
    "createIndexes",
    "delete",
    "drop",
    "dropDatabase",
    "dropIndexes",
    "findAndModify",
    "insert",
    "renameCollection",
    "update",
];
const WRITING_STAGES: &[&[u8]] = &[b"$merge", b"$out"];
/// How often connections look whether their network has stopped.
const STOPPED_POLL: Duration = Duration::from_millis(20);
/// Ports above it have five digits.
const SHORT_PORT_MAX: u16 = 9999;

/// What a link does with messages and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// It passes them on.
    #[default]
    Fine,
    /// It passes each message on this much later, in either direction.
    Slow(Duration),
    /// It closes connections, and new ones at once: the server's machine says that nobody listens.
    Refused,
    /// It keeps connections open and takes new ones, and passes nothing on: the cable is cut.
    Silent,
}

/// On which side of a write a network stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server never hears of it.
    Before,
    /// The server has done it, and the client does not learn.
    After,
}

/// Links to several servers, as one client sees them.
#[derive(Debug)]
pub struct Network {
    links: Vec<Link>,
    trap: Arc<Trap>,
    query: String,
}

impl Network {
    /// Puts links in front of `servers`; `query` is what follows the `?` of their URI.
    ///
    /// # Errors
    /// If there are no ports.
    pub fn around(servers: &[SocketAddr], query: &str) -> Result<Self> {
        let listeners = servers
            .iter()
            .map(|server| Ok((*server, listen()?)))
            .collect::<Result<Vec<_>>>()?;
        let mut names = Vec::new();
        for (server, listener) in &listeners {
            ensure!(server.port() > SHORT_PORT_MAX, "{server}: a short port");
            names.push((server.to_string(), listener.local_addr()?.to_string()));
        }
        let names = Arc::new(names);
        let trap = Arc::<Trap>::default();
        let links = listeners
            .into_iter()
            .map(|(server, listener)| {
                Link::run(server, listener, Arc::clone(&names), Arc::clone(&trap))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            links,
            trap,
            query: query.to_owned(),
        })
    }

    /// Returns the URI for the client.
    #[must_use]
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self
            .links
            .iter()
            .map(|link| link.addr.to_string())
            .collect();
        format!("mongodb://{}/?{}", hosts.join(","), self.query)
    }

    /// Returns the link to a server, by its place in the list given to [`Network::around`].
    #[must_use]
    pub fn link(&self, server: usize) -> &Link {
        &self.links[server]
    }

    /// Changes the weather on every link.
    pub fn set(&self, weather: Weather) {
        for link in &self.links {
            link.set(weather);
        }
    }

    /// Lets `writes` commands that change something pass, and then nothing any more: from that write on, or from its
    /// answer on.
    pub fn stop_at(&self, writes: usize, side: Side) {
        *self.trap.state() = TrapState::Armed(writes, side);
    }

    /// Returns whether [`Network::stop_at`] has stopped it.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        *self.trap.state() == TrapState::Stopped
    }

    /// Closes all connections, and lets everything pass again.
    pub fn go_on(&self) {
        self.set(Weather::Refused);
        *self.trap.state() = TrapState::Off;
        self.set(Weather::Fine);
    }
}

/// Waits for one message.
#[derive(Debug, Default)]
struct Trap(Mutex<TrapState>);

#[derive(Debug, Default, PartialEq, Eq)]
enum TrapState {
    #[default]
    Off,
    Armed(usize, Side),
    /// Waits for the answer to a request of a client's port.
    Answer(u16, i32),
    Stopped,
}

impl Trap {
    fn state(&self) -> MutexGuard<'_, TrapState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a request of the client at `port`.
    fn see_request(&self, port: u16, message: &[u8]) {
        let mut state = self.state();
        if let TrapState::Armed(left, side) = &mut *state
            && is_write(message)
        {
            match (left.checked_sub(1), *side) {
                (Some(fewer), _) => *left = fewer,
                (None, Side::Before) => *state = TrapState::Stopped,
                (None, Side::After) => *state = TrapState::Answer(port, int32_at(message, 4)),
            }
        }
    }

    /// Looks at an answer to the client at `port`.
    fn see_answer(&self, port: u16, message: &[u8]) {
        let mut state = self.state();
        if *state == TrapState::Answer(port, int32_at(message, 8)) {
            *state = TrapState::Stopped;
        }
    }
}

/// Tells whether a request changes something.
fn is_write(message: &[u8]) -> bool {
    if message.len() <= BODY_AT || int32_at(message, 12) != OP_MSG {
        return false;
    }
    // A document: its length, the first element's type, its name up to a zero.
    let name = message
        .get(BODY_AT + 5..)
        .and_then(|rest| rest.split(|byte| *byte == 0).next());
    let Some(Ok(name)) = name.map(std::str::from_utf8) else {
        return false;
    };
    let has = |stage: &&[u8]| message.windows(stage.len()).any(|window| window == *stage);
    WRITES.contains(&name) || name == "aggregate" && WRITING_STAGES.iter().any(has)
}

fn int32_at(bytes: &[u8], at: usize) -> i32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, i32::from_le_bytes)
}

/// The way to one server.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    names: Arc<Vec<(String, String)>>,
    trap: Arc<Trap>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    /// Both ends of every connection since the last time they were closed.
    open: Vec<TcpStream>,
    closed: bool,
}

impl Link {
    fn run(
        server: SocketAddr,
        listener: TcpListener,
        names: Arc<Vec<(String, String)>>,
        trap: Arc<Trap>,
    ) -> Result<Self> {
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            names,
            trap,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.state().closed {
                    break;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(&client));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Returns where the client finds the server.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the weather, for connections that are open as well.
    pub fn set(&self, weather: Weather) {
        let mut state = self.shared.state();
        state.weather = weather;
        if weather == Weather::Refused {
            state.hang_up();
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.hang_up();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.addr));
    }
}

impl State {
    fn hang_up(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits out silence; false if the connection is to be closed, else how late messages are.
    fn wait(&self) -> Option<Duration> {
        let mut state = self.state();
        loop {
            match state.weather {
                _ if state.closed => return None,
                Weather::Refused => return None,
                _ if *self.trap.state() == TrapState::Stopped => {
                    state = self
                        .changed
                        .wait_timeout(state, STOPPED_POLL)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
                }
                Weather::Fine => return Some(Duration::ZERO),
                Weather::Slow(delay) => return Some(delay),
                Weather::Silent => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn serve(self: Arc<Self>, client: &TcpStream) {
        // A connection that cannot be made is one that is closed.
        let _ = self.connect(client);
        let _ = client.shutdown(Shutdown::Both);
    }

    fn connect(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        if self.wait().is_none() {
            return Ok(());
        }
        let server = TcpStream::connect(self.server)?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
            let stream = stream.try_clone()?;
            self.state().open.push(stream);
        }
        let port = client.peer_addr()?.port();
        let requests = (client.try_clone()?, server.try_clone()?);
        let shared = Arc::clone(self);
        thread::spawn(move || shared.pass_on(&requests.0, &requests.1, port, false));
        self.pass_on(&server, client, port, true);
        Ok(())
    }

    /// Passes messages of the client at `port`, or its answers, on until either side closes.
    fn pass_on(&self, mut from: &TcpStream, mut to: &TcpStream, port: u16, answers: bool) {
        let mut message = Vec::new();
        while read_message(&mut from, &mut message).is_ok() {
            if answers {
                self.trap.see_answer(port, &message);
            } else {
                self.trap.see_request(port, &message);
            }
            let Some(delay) = self.wait() else { break };
            thread::sleep(delay);
            // What was sent before the cable was cut does not arrive after it.
            if self.wait().is_none() {
                break;
            }
            if answers {
                for (server, link) in self.names.iter() {
                    replace(&mut message, server.as_bytes(), link.as_bytes());
                }
            }
            if to.write_all(&message).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn listen() -> Result<TcpListener> {
    // What is tried and too short is kept, or it would be given again.
    let mut short = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        if listener.local_addr()?.port() > SHORT_PORT_MAX {
            return Ok(listener);
        }
        short.push(listener);
    }
}

fn read_message(from: &mut impl Read, message: &mut Vec<u8>) -> std::io::Result<()> {
    message.resize(LENGTH_BYTES, 0);
    from.read_exact(message)?;
    let mut length = [0; LENGTH_BYTES];
    length.copy_from_slice(message);
    let length = usize::try_from(i32::from_le_bytes(length)).unwrap_or(0);
    if !(LENGTH_BYTES..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(ErrorKind::InvalidData.into());
    }
    message.resize(length, 0);
    from.read_exact(&mut message[LENGTH_BYTES..])
}

/// Writes `new` over each `old` in `bytes`; both have the same length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(old.len())
        .position(|window| window == old)
    {
        at += found;
        bytes[at..at + old.len()].copy_from_slice(new);
        at += old.len();
    }
}
