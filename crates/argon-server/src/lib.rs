//! MongoDB's manners: listener, sessions, cursors and the table of commands.
