//! Files that are found whole or not at all: written beside their place, synchronised, and renamed.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// How the names of files begin that are still being written.
pub const PART: &str = ".part-";

/// Writes a file so that it is found whole or not at all, even after a power failure; readable as the umask says.
///
/// # Errors
/// What the operating system refuses; an earlier file of that name is then intact, and nothing half written is left.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; these are read by others as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // The error would name the temporary file, of which nobody has heard.
    let mut file = (builder.prefix(PART).tempfile_in(directory)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => io::Error::new(
            ErrorKind::NotFound,
            format!("there is no directory {}", directory.display()),
        ),
        kind => io::Error::from(kind),
    })?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failure| failure.error)?;
    // The rename itself lies in the directory; not every file system lets a directory be opened.
    if let Ok(directory) = std::fs::File::open(directory) {
        _ = directory.sync_all();
    }
    Ok(())
}
