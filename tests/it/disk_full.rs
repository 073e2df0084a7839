//! A full disk refuses writes, says so, and loses nothing.
//!
//! The disk is a small file system in memory, mounted in a namespace of its own, so that the test
//! needs no right to change what the machine has mounted. Where the system forbids that too, there
//! is nothing to test with; the store's own tests inject the same fault.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use argon_testkit::client::{Client, is_ok};
use argon_testkit::server::Argon;
use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use rand::RngCore;
use tempfile::TempDir;

const DISK_MEGABYTES: usize = 192;
/// Kept free of data at first, and removed to see whether writes go on.
const BALLAST_MEGABYTES: usize = 64;
const DOCUMENT_BYTES: usize = 1024 * 1024;
/// MongoDB manual, "Error Codes": OutOfDiskSpace.
const OUT_OF_DISK_SPACE: i32 = 14031;

#[test]
fn refuses_and_keeps_what_it_has() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("this system lets nobody mount a file system");
        return;
    };
    let mut argon = Argon::start_with(&disk.argon, Some(&disk.folder.join("data")), &[]).unwrap();
    let mut client = argon.connect().unwrap();
    let mut acknowledged = 0;
    let refusal = loop {
        let reply = insert(&mut client, acknowledged);
        if !is_ok(&reply) || reply.get("writeErrors").unwrap().is_some() {
            break reply;
        }
        acknowledged += 1;
        assert!(
            acknowledged < 2 * i32::try_from(DISK_MEGABYTES).unwrap(),
            "never full"
        );
    };
    assert_eq!(code(&refusal), OUT_OF_DISK_SPACE, "{refusal:?}");
    assert!(acknowledged > 1, "the disk was full from the start");
    assert_eq!(ids(&mut client), acknowledged, "reads go on");

    argon.kill().unwrap();
    argon.restart().unwrap();
    assert_eq!(
        ids(&mut argon.connect().unwrap()),
        acknowledged,
        "nothing was lost"
    );

    fs::remove_file(disk.seen_from_outside().join("ballast")).unwrap();
    argon.stop().unwrap();
    argon.restart().unwrap();
    let mut client = argon.connect().unwrap();
    assert!(
        is_ok(&insert(&mut client, acknowledged)),
        "there is room again"
    );
    assert_eq!(ids(&mut client), acknowledged + 1);
}

fn insert(client: &mut Client, id: i32) -> RawDocumentBuf {
    // Not compressible, lest the store write less than it was given.
    let mut noise = vec![0; DOCUMENT_BYTES];
    rand::rng().fill_bytes(&mut noise);
    let noise = bson::Binary {
        subtype: bson::spec::BinarySubtype::Generic,
        bytes: noise,
    };
    let command = rawdoc! {"insert": "c", "documents": [{"_id": id, "noise": noise}]};
    client.run_command("full", &command).unwrap()
}

/// Returns the error code of a reply, of the command or of its first write.
fn code(reply: &RawDocumentBuf) -> i32 {
    if let Ok(code) = reply.get_i32("code") {
        return code;
    }
    let errors = reply.get_array("writeErrors").unwrap();
    errors.get_document(0).unwrap().get_i32("code").unwrap()
}

/// Returns how many documents there are, reading each.
fn ids(client: &mut Client) -> i32 {
    let pipeline = rawdoc! {"$group": {"_id": null, "n": {"$sum": 1}}};
    let command = rawdoc! {"aggregate": "c", "pipeline": [pipeline], "cursor": {}};
    let reply = client.run_ok("full", &command).unwrap();
    let batch = reply
        .get_document("cursor")
        .unwrap()
        .get_array("firstBatch")
        .unwrap();
    batch.get_document(0).unwrap().get_i32("n").unwrap()
}

/// A file system in memory that only a process of this test sees.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
    /// Runs the server where the disk is.
    argon: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("disk");
        fs::create_dir(&folder).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={DISK_MEGABYTES}m none \"$0\" && \
             dd if=/dev/zero of=\"$0/ballast\" bs=1M count={BALLAST_MEGABYTES} status=none && \
             echo ready && exec sleep infinity"
        );
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let argon = dir.path().join("argon");
        let mut disk = Self {
            holder,
            folder,
            argon,
            _dir: dir,
        };
        if said != "ready\n" {
            return None;
        }
        disk.write_launcher();
        Some(disk)
    }

    fn write_launcher(&mut self) {
        let pid = self.holder.id();
        let script = format!(
            "#!/bin/sh\nexec nsenter --target {pid} --user --mount --preserve-credentials -- {} \"$@\"\n",
            env!("CARGO_BIN_EXE_argon")
        );
        fs::write(&self.argon, script).unwrap();
        fs::set_permissions(&self.argon, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn seen_from_outside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(self.folder.strip_prefix("/").unwrap())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
