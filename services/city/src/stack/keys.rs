//! The keys and secrets of a city, a file each, made where they are missing.
//!
//! Invariants: files of mode 0600; what is there is never changed. Does not: rotate anything.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use hexcab_chassis::token;

/// Where each of them is.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs and checks user tokens.
    pub user: KeyFiles,
    /// Signs and checks quotes.
    pub quote: KeyFiles,
    /// What services show each other.
    pub service_token: PathBuf,
    /// What payment shows the processor.
    pub processor_key: PathBuf,
    /// What the processor signs its webhooks with.
    pub webhook_secret: PathBuf,
}

/// The two files of a key pair.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// Signs; PKCS #8 in PEM.
    pub private: PathBuf,
    /// Checks; SPKI in PEM.
    pub public: PathBuf,
}

impl Keys {
    /// Those of this folder; what is not there is made.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn make(dir: &Path) -> anyhow::Result<Self> {
        let random = || hex::encode(rand::random::<[u8; 24]>());
        Ok(Self {
            user: pair(dir, "user")?,
            quote: pair(dir, "quote")?,
            service_token: secret(dir, "service-token", &random())?,
            processor_key: secret(dir, "processor-key", &format!("sk_test_{}", random()))?,
            webhook_secret: secret(dir, "webhook-secret", &format!("whsec_{}", random()))?,
        })
    }
}

fn secret(dir: &Path, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    if !path.exists() {
        write_private(&path, content)?;
    }
    Ok(path)
}

/// An Ed25519 key pair.
fn pair(dir: &Path, name: &str) -> anyhow::Result<KeyFiles> {
    let path = |kind| dir.join(format!("{name}-{kind}.pem"));
    let files = KeyFiles {
        private: path("private"),
        public: path("public"),
    };
    if !(files.private.exists() && files.public.exists()) {
        let (private, public) = token::generate_keys()?;
        write_private(&files.private, &private)?;
        write_private(&files.public, &public)?;
    }
    Ok(files)
}

/// A file of this user alone.
///
/// # Errors
/// When it is there already or cannot be written.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    opened
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::make(dir.path()).unwrap();
        let read = |keys: &Keys| {
            [&keys.user.private, &keys.quote.public, &keys.service_token]
                .map(|path| std::fs::read_to_string(path).unwrap())
        };
        let (first, again) = (read(&keys), read(&Keys::make(dir.path()).unwrap()));
        assert_eq!(first, again);
        for file in dir.path().read_dir().unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
