//! A small file system for one directory, which can be made read-only and can be filled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// A file system in memory. It is gone when this is dropped.
pub(crate) struct Mount {
    directory: PathBuf,
    filler: PathBuf,
}

impl Mount {
    /// Mounts a file system of this many mebibytes; `None` where this process may not.
    pub(crate) fn over(directory: &Path, mebibytes: u32) -> Option<Self> {
        let mount = Self { directory: directory.to_owned(), filler: directory.join(".filler") };
        let options = format!("size={mebibytes}m,mode=0777");
        let is_mounted = run("mount", &["-t", "tmpfs", "-o", &options, "rstuf-it", &mount.text()]);
        if is_mounted {
            return Some(mount);
        }
        std::mem::forget(mount);
        None
    }

    /// Refuses all writes, root's too, from a moment on at which no file is being written.
    pub(crate) fn make_read_only(&self) {
        let deadline = Instant::now() + CHANGE_LIMIT;
        while !run("mount", &["-o", "remount,ro", &self.text()]) {
            assert!(Instant::now() < deadline, "files are being written all the time");
            thread::yield_now();
        }
    }

    /// Takes writes again.
    pub(crate) fn make_writable(&self) {
        assert!(run("mount", &["-o", "remount,rw", &self.text()]), "it can be made writable");
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        let written =
            fs::File::create(&self.filler).and_then(|mut file| std::io::copy(&mut std::io::repeat(0), &mut file));
        assert!(written.is_err(), "the file system has an end");
    }

    /// Ends what [`fill`](Self::fill) began.
    pub(crate) fn free(&self) {
        fs::remove_file(&self.filler).expect("the filler is there");
    }

    fn text(&self) -> String {
        self.directory.to_string_lossy().into_owned()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: somebody may still have a file open.
        run("umount", &["--lazy", &self.text()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
