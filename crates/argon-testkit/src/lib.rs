//! Case files, the recorder and the mongod launcher that Argon's tests share.
