//! Which servers there are and what they do, and the choice among them.
//!
//! The official driver watches the deployment (specification "Server Discovery And Monitoring", `mongodb+srv` included);
//! this keeps what its events say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mongodb::error::ErrorKind;
use mongodb::event::EventHandler;
use mongodb::event::sdam::{SdamEvent, TopologyDescription};
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, ServerType, TopologyType};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout_at};

use crate::clock::ClusterClock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::reading::{Mode, ReadPreference};
use crate::server::Server;

/// How often a primary writes although nobody else does. Source: specification "Max Staleness", "idleWritePeriodMS".
const IDLE_WRITES: Duration = Duration::from_secs(10);

/// The deployment as it is now.
#[derive(Clone)]
pub(crate) struct Topology {
    pub(crate) kind: TopologyType,
    pub(crate) members: Vec<Member>,
    set_name: Option<String>,
}

/// A server and its part in the deployment.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) server: Arc<Server>,
    pub(crate) kind: ServerType,
    tags: HashMap<String, String>,
    round_trip: Duration,
    /// Why nothing is known of it.
    pub(crate) error: Option<String>,
}

/// What watches the deployment. Dropping it ends the watch.
pub(crate) struct Watch {
    state: Arc<State>,
    _client: Client,
}

struct State {
    config: Arc<Config>,
    topology: watch::Sender<Topology>,
    servers: Mutex<HashMap<ServerAddress, Arc<Server>>>,
    clock: Arc<ClusterClock>,
}

impl Watch {
    /// Begins to watch the deployment of `options`.
    pub(crate) fn start(
        mut options: ClientOptions,
        config: Arc<Config>,
        clock: Arc<ClusterClock>,
    ) -> Result<Watch> {
        let state = Arc::new(State {
            config,
            topology: watch::Sender::new(Topology {
                kind: TopologyType::Unknown,
                members: Vec::new(),
                set_name: None,
            }),
            servers: Mutex::default(),
            clock,
        });
        let told = Arc::clone(&state);
        options.sdam_event_handler = Some(EventHandler::callback(move |event| told.note(event)));
        // Commands do not go through the driver, so it needs no connections but its monitors'.
        options.min_pool_size = None;
        let client =
            Client::with_options(options).map_err(|error| Error::Uri(error.to_string()))?;
        Ok(Watch {
            state,
            _client: client,
        })
    }

    /// The deployment as it is now.
    pub(crate) fn now(&self) -> Topology {
        self.state.topology.borrow().clone()
    }

    /// Whether a command would find its server now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.topology.borrow().is_ready()
    }

    /// The kind of deployment.
    pub(crate) fn kind(&self) -> TopologyType {
        self.state.topology.borrow().kind
    }

    /// The server for a command, waited for until `deadline`.
    pub(crate) async fn choose(
        &self,
        preference: Option<&ReadPreference>,
        deadline: Deadline,
    ) -> Result<(Arc<Server>, ServerType)> {
        if let Some(found) = self
            .state
            .topology
            .borrow()
            .choose(preference, &self.state.config)
        {
            return Ok(found);
        }
        let mut changes = self.state.topology.subscribe();
        loop {
            let suspect_for = {
                let topology = changes.borrow_and_update();
                if let Some(found) = topology.choose(preference, &self.state.config) {
                    return Ok(found);
                }
                let members = topology.members.iter();
                members
                    .filter_map(|member| member.server.suspect_for())
                    .min()
            };
            let now = Deadline::now();
            if now >= deadline {
                let primary = || "{ mode: \"primary\" }".to_owned();
                return Err(Error::NoServer {
                    wanted: preference.map_or_else(primary, ToString::to_string),
                    waited: self.state.config.selection_timeout,
                    known: self.now().describe(),
                });
            }
            let until = suspect_for.map_or(deadline, |wait| deadline.min(now + wait));
            let _ = timeout_at(until, changes.changed()).await;
        }
    }
}

impl State {
    /// Takes note of what the driver's monitors saw.
    fn note(&self, event: SdamEvent) {
        match event {
            SdamEvent::TopologyDescriptionChanged(event) => {
                let topology = self.topology(&event.new_description);
                self.topology.send_replace(topology);
            }
            SdamEvent::ServerDescriptionChanged(event) => {
                let server = self.servers.lock().get(&event.address).cloned();
                if let Some(server) = server
                    && event.new_description.error().is_none()
                {
                    server.trust();
                }
            }
            SdamEvent::ServerHeartbeatSucceeded(event) => {
                if let Ok(time) = event.reply.get_document("$clusterTime")
                    && let Ok(bytes) = bson::serialize_to_vec(time)
                {
                    self.clock.observe(&bytes);
                }
                let last = event.reply.get_document("lastWrite");
                if let Ok(date) = last.and_then(|last| last.get_datetime("lastWriteDate"))
                    && let Some(server) = self.servers.lock().get(&event.server_address)
                {
                    server.note_write(date.timestamp_millis());
                }
            }
            SdamEvent::ServerHeartbeatFailed(event) => {
                // Of a connection that ended the others have heard too; one that is silent may be silent for ever.
                let silent = matches!(
                    &*event.failure.kind,
                    ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::TimedOut
                );
                let server = self.servers.lock().get(&event.server_address).cloned();
                if let Some(server) = server.filter(|_| silent) {
                    tracing::warn!(server = %server.address, "upstream server is silent: giving up its connections");
                    server.interrupt();
                }
            }
            _ => {}
        }
    }

    fn topology(&self, description: &TopologyDescription) -> Topology {
        let mut servers = self.servers.lock();
        let described = description.servers();
        let members = described.iter().map(|(address, info)| {
            let server = servers.entry((*address).clone());
            let server = server.or_insert_with(|| {
                Arc::new(Server::new((*address).clone(), Arc::clone(&self.config)))
            });
            Member {
                server: Arc::clone(server),
                kind: info.server_type(),
                tags: info.tags().cloned().unwrap_or_default(),
                round_trip: info.average_round_trip_time().unwrap_or_default(),
                error: info.error().map(ToString::to_string),
            }
        });
        let mut members: Vec<Member> = members.collect();
        members.sort_by_key(|member| member.server.address.to_string());
        servers.retain(|address, server| {
            let stays = described.contains_key(address);
            if !stays {
                server.interrupt();
            }
            stays
        });
        Topology {
            kind: description.topology_type(),
            members,
            set_name: description.set_name().cloned(),
        }
    }
}

impl Topology {
    /// A server that may run a command with this read preference.
    fn choose(
        &self,
        preference: Option<&ReadPreference>,
        config: &Config,
    ) -> Option<(Arc<Server>, ServerType)> {
        let found = match self.kind {
            TopologyType::Single => {
                nearest(self.usable(|kind| kind != ServerType::Unknown), config)
            }
            // A mongos honours the read preference itself.
            TopologyType::Sharded => {
                nearest(self.usable(|kind| kind == ServerType::Mongos), config)
            }
            TopologyType::ReplicaSetWithPrimary | TopologyType::ReplicaSetNoPrimary => {
                match preference {
                    None => self.primary(),
                    Some(preference) => self.member(preference, config),
                }
            }
            _ => None,
        }?;
        Some((Arc::clone(&found.server), found.kind))
    }

    fn usable(&self, wanted: impl Fn(ServerType) -> bool) -> Vec<&Member> {
        let members = self.members.iter();
        members
            .filter(|member| wanted(member.kind) && member.server.suspect_for().is_none())
            .collect()
    }

    fn primary(&self) -> Option<&Member> {
        self.usable(|kind| kind == ServerType::RsPrimary)
            .first()
            .copied()
    }

    /// Source: specification "Server Selection", "Multi-threaded or asynchronous server selection".
    fn member(&self, preference: &ReadPreference, config: &Config) -> Option<&Member> {
        let secondary = || {
            let secondaries = self.usable(|kind| kind == ServerType::RsSecondary);
            nearest(self.fitting(secondaries, preference), config)
        };
        match preference.mode {
            Mode::PrimaryPreferred => self.primary().or_else(secondary),
            Mode::Secondary => secondary(),
            Mode::SecondaryPreferred => secondary().or_else(|| self.primary()),
            Mode::Nearest => {
                let data = |kind| matches!(kind, ServerType::RsPrimary | ServerType::RsSecondary);
                nearest(self.fitting(self.usable(data), preference), config)
            }
        }
    }

    /// Those of `members` that are fresh enough and have the tags wanted.
    fn fitting<'a>(
        &self,
        mut members: Vec<&'a Member>,
        preference: &ReadPreference,
    ) -> Vec<&'a Member> {
        if let Some(max) = preference.max_staleness {
            members.retain(|member| self.staleness(member).is_none_or(|stale| stale <= max));
        }
        if preference.tag_sets.is_empty() {
            return members;
        }
        for set in &preference.tag_sets {
            let has = |member: &&&Member| {
                set.iter()
                    .all(|(name, value)| member.tags.get(name) == Some(value))
            };
            let tagged: Vec<&Member> = members.iter().filter(has).copied().collect();
            if !tagged.is_empty() {
                return tagged;
            }
        }
        Vec::new()
    }

    /// How far `member` is behind, as far as can be told. Source: specification "Max Staleness", "staleness".
    fn staleness(&self, member: &Member) -> Option<Duration> {
        let (written, told) = member.server.last_write()?;
        let lag = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let primary = self
            .members
            .iter()
            .find(|other| other.kind == ServerType::RsPrimary);
        if let Some((newest, newest_told)) = primary.and_then(|primary| primary.server.last_write())
        {
            // Both were asked at different instants.
            let later = told.saturating_duration_since(newest_told);
            let earlier = newest_told.saturating_duration_since(told);
            return Some((lag(newest - written) + later).saturating_sub(earlier) + IDLE_WRITES);
        }
        let secondaries = self
            .members
            .iter()
            .filter(|other| other.kind == ServerType::RsSecondary);
        let newest = secondaries
            .filter_map(|other| other.server.last_write())
            .map(|(written, _)| written)
            .max()?;
        Some(lag(newest - written) + IDLE_WRITES)
    }

    /// Whether a command would find its server now.
    pub(crate) fn is_ready(&self) -> bool {
        match self.kind {
            TopologyType::Single => !self.usable(|kind| kind != ServerType::Unknown).is_empty(),
            TopologyType::Sharded => !self.usable(|kind| kind == ServerType::Mongos).is_empty(),
            _ => self.primary().is_some(),
        }
    }

    /// What is known of the servers, in words.
    pub(crate) fn describe(&self) -> String {
        let set = self
            .set_name
            .as_deref()
            .map(|name| format!("set {name}: "))
            .unwrap_or_default();
        let members: Vec<String> = self
            .members
            .iter()
            .map(|member| {
                let failure = member.error.clone().or_else(|| member.server.failure());
                let failure = failure.map(|why| format!(" ({why})")).unwrap_or_default();
                format!("{} {:?}{failure}", member.server.address, member.kind)
            })
            .collect();
        format!("{set}{}", members.join(", "))
    }
}

/// One of `members` in the latency window, by chance.
fn nearest<'a>(members: Vec<&'a Member>, config: &Config) -> Option<&'a Member> {
    let [first, rest @ ..] = &members[..] else {
        return None;
    };
    if rest.is_empty() {
        return Some(first);
    }
    let best = members.iter().map(|member| member.round_trip).min()?;
    let window: Vec<&Member> = members
        .into_iter()
        .filter(|member| member.round_trip <= best + config.local_threshold)
        .collect();
    window.get(rand::random_range(0..window.len())).copied()
}
