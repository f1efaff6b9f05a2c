//! A PostgreSQL server of the test's own, in a temporary folder, stopped when it is dropped.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::Certificates;

/// Not a user of the system's own, so that no right is inherited.
const NOBODY: u32 = 65534;

/// The superuser's password, which no message may show.
pub(crate) const PASSWORD: &str = "correct-horse/battery";

/// A running server: superuser `postgres`, TLS on, a password over TCP and none over the socket.
pub(crate) struct Server {
    process: Child,
    programs: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) certificates: Certificates,
}

impl Server {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        let programs = server_programs();
        // /tmp itself: a socket's path is short, and nobody may not be able to enter TMPDIR
        let folder = tempfile::Builder::new().prefix("rollback-pg-").tempdir_in("/tmp").unwrap();
        let certificates = Certificates::make(folder.path());
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        give_away(folder.path());
        initialise(&programs, folder.path());
        let port = free_port();
        let process = serve(&programs, folder.path(), port);
        let mut server = Self { process, programs, folder, port, certificates };
        server.wait_until_ready();
        server
    }

    /// The folder of its socket.
    pub(crate) fn socket_folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Stops its processes in their tracks, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let url = format!("postgres://postgres@/postgres?host={}&port={}", self.socket_folder(), self.port);
        while let Err(error) = crate::connect(&url) {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the server did not start: {error}\n{log}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = as_server_user(self.programs.join("pg_ctl"))
            .args(["stop", "--silent", "--mode=immediate", "--pgdata"])
            .arg(data)
            .status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder with `initdb` and `postgres`.
fn server_programs() -> PathBuf {
    let named = std::env::var_os("DJANGO_ROLLBACK_TEST_PG_BIN").map(PathBuf::from);
    let candidates = match named {
        Some(folder) => vec![folder],
        None => usual_folders(),
    };
    let has_programs = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    candidates.into_iter().find(has_programs).expect(
        "these tests need the programs of a PostgreSQL server: install the package postgresql, or name the \
         folder of initdb and postgres in DJANGO_ROLLBACK_TEST_PG_BIN",
    )
}

fn usual_folders() -> Vec<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    told.into_iter().chain(debian.into_iter().rev()).chain(std::env::split_paths(&path)).collect()
}

/// Whether this process may change the owner of files, and must not run a server itself.
fn is_root(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.metadata().unwrap().uid() == 0
}

/// Gives the folder and all in it to the user that the server runs as.
fn give_away(folder: &Path) {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    if is_root(folder) {
        for path in files.chain([folder.to_owned()]) {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// A server program, not as root, that ends with the thread that started it, however that ends.
fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    let root = is_root(tempfile::tempdir().unwrap().path());
    if !has_setpriv {
        assert!(!root, "setpriv is needed to run these tests as root: install util-linux");
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).current_dir("/").env_remove("HOME");
    if root {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]).arg("--clear-groups");
    }
    command.arg(program);
    command
}

fn initialise(programs: &Path, folder: &Path) {
    let output = as_server_user(programs.join("initdb"))
        .args(["--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
        .arg(format!("--pwfile={}", folder.join("password").display()))
        .arg(folder.join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let rules = "hostssl all certified 127.0.0.1/32 cert\n\
                 hostnossl all plain 127.0.0.1/32 trust\n\
                 hostssl all plain 127.0.0.1/32 reject\n";
    let path = folder.join("data/pg_hba.conf");
    let usual = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, rules.to_owned() + &usual).unwrap();
}

fn serve(programs: &Path, folder: &Path, port: u16) -> Child {
    // in the file, so that ALTER SYSTEM can change them
    let place = folder.display();
    let settings = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{place}'\nfsync = off\n\
         ssl = on\nssl_cert_file = '{place}/server.crt'\nssl_key_file = '{place}/server.key'\n\
         ssl_ca_file = '{place}/authority.crt'\n"
    );
    std::fs::write(folder.join("data/postgresql.conf"), settings).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    as_server_user(programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port that nothing listens on, below those that the system gives away by itself.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).expect("a free port between 20000 and 32000")
}
