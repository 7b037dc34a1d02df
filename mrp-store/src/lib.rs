//! SQLite and the image store on disk.
