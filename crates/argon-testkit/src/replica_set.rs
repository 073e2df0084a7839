//! Starts a replica set of real `mongod` processes, and does to its members what goes wrong in the
//! field: step-downs, `kill -9`, processes that stop answering.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{RawArrayBuf, rawdoc};

use crate::client::{Client, is_ok};
use crate::mongod::{Node, SET_NAME, is_primary, wait_until};

/// How long the members wait for a primary that is silent before they elect another. MongoDB waits
/// ten seconds; a test that kills primaries has better things to do.
const ELECTION_TIMEOUT_MS: i32 = 3000;
/// How long an election may take on a busy machine.
const PRIMARY_TIMEOUT: Duration = Duration::from_secs(120);
/// For how long a member that stepped down does not stand for election.
const STEP_DOWN_SECONDS: i32 = 10;
/// How often members are asked who is primary.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running replica set; dropping it kills its processes and removes their data.
///
/// Fail points are on (`configureFailPoint`), and members keep little in memory.
#[derive(Debug)]
pub struct ReplicaSet {
    members: Vec<Node>,
}

impl ReplicaSet {
    /// Starts `members` processes on empty data directories and waits until they have a primary and
    /// every member is up.
    ///
    /// # Errors
    /// If there is no binary (`scripts/setup` installs it), or the set does not come up.
    pub fn start(members: usize) -> Result<Self> {
        Self::start_with(members, &[])
    }

    /// Starts a set as [`ReplicaSet::start`] does, each member with further arguments.
    ///
    /// # Errors
    /// As [`ReplicaSet::start`].
    pub fn start_with(members: usize, args: &[&str]) -> Result<Self> {
        let mut all = vec![
            "--replSet",
            SET_NAME,
            "--setParameter",
            "enableTestCommands=1",
        ];
        all.extend(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"]);
        all.extend(["--journalCommitInterval", "1"]);
        all.extend(args);
        let members = (0..members)
            .map(|_| Node::start(false, &all))
            .collect::<Result<Vec<_>>>()?;
        let set = Self { members };
        set.initiate()?;
        Ok(set)
    }

    /// Returns the URI for drivers, which names every member.
    #[must_use]
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.addrs().iter().map(ToString::to_string).collect();
        format!("mongodb://{}/?replicaSet={SET_NAME}", hosts.join(","))
    }

    /// Returns where the members listen. The index in this list names a member everywhere here.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Node::addr).collect()
    }

    /// Opens a connection to a member.
    ///
    /// # Errors
    /// If the connection is refused.
    pub fn connect(&self, member: usize) -> Result<Client> {
        self.members[member].connect()
    }

    /// Waits until there is a primary and returns which member it is.
    ///
    /// Do not call it while a member is paused, unless the paused one comes last: it would be asked
    /// and not answer.
    ///
    /// # Errors
    /// If the members elect none in time.
    pub fn primary(&self) -> Result<usize> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.primary_among(&all)
    }

    /// Waits until one of `members` is primary and returns which: for when others are paused.
    ///
    /// # Errors
    /// If none becomes primary in time.
    pub fn primary_among(&self, members: &[usize]) -> Result<usize> {
        let deadline = Instant::now() + PRIMARY_TIMEOUT;
        loop {
            let mut asked = members.iter().copied();
            // A member that is down, or goes down while it is asked, is no primary.
            if let Some(primary) = asked.find(|member| {
                self.connect(*member)
                    .and_then(|mut client| is_primary(&mut client))
                    .unwrap_or(false)
            }) {
                return Ok(primary);
            }
            ensure!(Instant::now() < deadline, "the members elect no primary");
            sleep(POLL_INTERVAL);
        }
    }

    /// Makes the primary step down and returns which member it was; another is elected later.
    ///
    /// # Errors
    /// If there is no primary, or no secondary has caught up with it.
    pub fn step_down(&self) -> Result<usize> {
        let primary = self.primary()?;
        let mut client = self.connect(primary)?;
        let command = rawdoc! {
            "replSetStepDown": STEP_DOWN_SECONDS,
            "secondaryCatchUpPeriodSecs": STEP_DOWN_SECONDS - 1,
            "force": false,
        };
        let reply = client.run_command("admin", &command)?;
        ensure!(is_ok(&reply), "replSetStepDown was answered with {reply:?}");
        Ok(primary)
    }

    /// Ends a member's process as a power cut would: `kill -9`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        self.members[member].kill()
    }

    /// Starts a killed member again on its data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self, member: usize) -> Result<()> {
        self.members[member].restart()
    }

    /// Stops a member's process without ending it: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn pause(&self, member: usize) -> Result<()> {
        self.members[member].pause()
    }

    /// Lets a paused member go on.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn resume(&self, member: usize) -> Result<()> {
        self.members[member].resume()
    }

    /// Tells whether a member's process is there, paused or not.
    ///
    /// # Errors
    /// If the system cannot say.
    pub fn is_running(&mut self, member: usize) -> Result<bool> {
        self.members[member].is_running()
    }

    /// Runs `configureFailPoint` on a member: `mode` as MongoDB takes it.
    ///
    /// # Errors
    /// If the member does not accept it.
    pub fn fail_command(
        &self,
        member: usize,
        mode: bson::RawBson,
        data: bson::RawDocumentBuf,
    ) -> Result<()> {
        let command = rawdoc! {"configureFailPoint": "failCommand", "mode": mode, "data": data};
        self.connect(member)?.run_ok("admin", &command)?;
        Ok(())
    }

    fn initiate(&self) -> Result<()> {
        let mut members = RawArrayBuf::new();
        for (id, addr) in self.addrs().iter().enumerate() {
            members.push(rawdoc! {"_id": i32::try_from(id)?, "host": addr.to_string()});
        }
        let config = rawdoc! {
            "_id": SET_NAME,
            "members": members,
            "settings": {"electionTimeoutMillis": ELECTION_TIMEOUT_MS, "heartbeatIntervalMillis": 500},
        };
        let mut client = self.connect(0)?;
        client.run_ok("admin", &rawdoc! {"replSetInitiate": config})?;
        let primary = self.primary()?;
        let mut client = self.connect(primary)?;
        wait_until("a member has not become secondary", || {
            let status = client.run_ok("admin", &rawdoc! {"replSetGetStatus": 1})?;
            let mut up = 0;
            for member in status.get_array("members")? {
                let member = member?.as_document().context("a member")?;
                up += usize::from(matches!(member.get_i32("state")?, 1 | 2));
            }
            Ok(up == self.members.len())
        })
    }
}
