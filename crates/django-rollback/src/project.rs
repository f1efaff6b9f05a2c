//! The Django project that a migration can be undone with: where its `manage.py` is, and which Python runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the Python that runs `manage.py`, when the virtual environment is somewhere else.
pub(crate) const PYTHON_VARIABLE: &str = "DJANGO_ROLLBACK_PYTHON";

/// A project that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Project {
    /// The folder of `manage.py`.
    pub(crate) folder: PathBuf,
}

impl Project {
    /// The nearest `manage.py`, in `path` or above it.
    pub(crate) fn find(path: &Path) -> Option<Self> {
        let folder = path.ancestors().find(|folder| folder.join("manage.py").is_file())?;
        Some(Self { folder: folder.to_owned() })
    }

    /// Runs `manage.py rollback` with these arguments; the terminal is handed over. Returns its exit code.
    ///
    /// Where the system can, this process becomes that one: then signals reach who has to take something back.
    pub(crate) fn run(&self, python: &Path, arguments: &[String]) -> std::io::Result<i32> {
        let mut command = Command::new(python);
        command.arg("manage.py").arg("rollback").args(arguments).current_dir(&self.folder);
        become_or_wait(&mut command)
    }

    /// The Python of the project: the one that was named, that of the active virtual environment, that of `.venv` or
    /// `venv` beside `manage.py`, or the one on the PATH.
    pub(crate) fn python(&self, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
        if let Some(python) = variable(PYTHON_VARIABLE) {
            return python.into();
        }
        let active = variable("VIRTUAL_ENV").map(PathBuf::from);
        let near = [".venv", "venv"].map(|name| self.folder.join(name));
        let found = active
            .into_iter()
            .chain(near)
            .map(|folder| folder.join("bin/python"))
            .find(|python| python.exists());
        found.unwrap_or_else(|| "python3".into())
    }
}

#[cfg(unix)]
fn become_or_wait(command: &mut Command) -> std::io::Result<i32> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn become_or_wait(command: &mut Command) -> std::io::Result<i32> {
    command.status().map(|status| status.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_project_and_its_python() {
        let folder = std::env::temp_dir().join(format!("django-rollback-project-{}", std::process::id()));
        let below = folder.join("src/shop");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(Project::find(&below), None);
        std::fs::write(folder.join("src/manage.py"), "").unwrap();
        let project = Project::find(&below).unwrap();
        assert_eq!(project.folder, folder.join("src"));
        assert_eq!(project.python(|_| None), Path::new("python3"));
        std::fs::create_dir_all(folder.join("src/venv/bin")).unwrap();
        std::fs::write(folder.join("src/venv/bin/python"), "").unwrap();
        assert_eq!(project.python(|_| None), folder.join("src/venv/bin/python"));
        let named = |name: &str| (name == PYTHON_VARIABLE).then(|| "/opt/python".to_owned());
        assert_eq!(project.python(named), Path::new("/opt/python"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
