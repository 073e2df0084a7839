//! Temporary files for the stages that do not fit their memory.
//!
//! They have no name in the directory, so the system takes them back when they are closed, a crash included.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use argon_mql::spill::{self, Area};
use argon_mql::{Error, ErrorCode, Result};

/// A directory for temporary files.
pub(crate) struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Files in `directory`, which is made when it is first needed.
    pub(crate) fn new(directory: PathBuf) -> Scratch {
        Scratch { directory }
    }
}

impl Area for Scratch {
    fn create(&self) -> Result<Box<dyn spill::File>> {
        let file = std::fs::create_dir_all(&self.directory)
            .and_then(|()| tempfile::tempfile_in(&self.directory));
        Ok(Box::new(Temporary {
            file: file.map_err(|error| failed(&error))?,
        }))
    }
}

struct Temporary {
    file: File,
}

impl spill::File for Temporary {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| failed(&error))
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(out))
            .map_err(|error| failed(&error))
    }
}

#[cold]
fn failed(error: &IoError) -> Error {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::OutOfDiskSpace,
        _ => ErrorCode::FileStreamFailed,
    };
    Error::new(code, format!("a temporary file failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_written_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path().join("scratch"));
        let mut file = scratch.create().unwrap();
        file.append(b"one").unwrap();
        file.append(b"two").unwrap();
        let mut out = [0; 4];
        file.read(2, &mut out).unwrap();
        assert_eq!(&out, b"etwo");
        assert!(file.read(3, &mut out).is_err());
        let files = std::fs::read_dir(directory.path().join("scratch")).unwrap();
        assert_eq!(files.count(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let scratch = Scratch::new(file.path().join("below"));
        let code = scratch.create().err().map(|error| error.code());
        assert_eq!(code, Some(ErrorCode::FileStreamFailed));
    }
}
