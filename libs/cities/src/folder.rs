//! Where a city's files come from: a folder on disk, or this binary.

use std::{
    io,
    path::{Path, PathBuf},
};

use hexcab_road::{ReadError, rows::Rows};

/// The cities in this binary.
pub const BUILT_IN: [&str; 1] = ["sf"];

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../infra/cities/", $folder, "/", $name)))),+]
    };
}

const SF: &[(&str, &str)] = files!("sf":
    "city.toml",
    "profile/points.csv",
    "profile/rides.csv",
    "profile/flows.csv",
    "profile/supply.csv",
    "profile/starts.csv",
    "profile/travel-seconds.csv",
    "profile/travel-metres.csv",
    "profile/speed-profile.csv",
    "profile/source.txt",
);

/// A city's folder.
#[derive(Debug, Clone)]
pub(crate) enum Folder {
    BuiltIn {
        id: &'static str,
        files: &'static [(&'static str, &'static str)],
    },
    Disk(PathBuf),
}

impl Folder {
    pub(crate) fn built_in(id: &str) -> Option<Self> {
        (id == "sf").then_some(Self::BuiltIn {
            id: "sf",
            files: SF,
        })
    }

    pub(crate) fn disk(dir: &Path) -> Self {
        Self::Disk(dir.to_owned())
    }

    /// A built-in city by its id, else the folder of this path.
    pub(crate) fn named(folder_or_id: &str) -> Self {
        Self::built_in(folder_or_id).unwrap_or_else(|| Self::disk(Path::new(folder_or_id)))
    }

    /// The name of a file for an error.
    pub(crate) fn file(&self, name: &str) -> String {
        match self {
            Self::BuiltIn { id, .. } => format!("built-in {id}/{name}"),
            Self::Disk(dir) => dir.join(name).display().to_string(),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<String, ReadError> {
        let text = match self {
            Self::BuiltIn { files, .. } => built_in_file(files, name).map(str::to_owned),
            Self::Disk(dir) => std::fs::read_to_string(dir.join(name)),
        };
        text.map_err(|source| ReadError::Open {
            file: self.file(name),
            source,
        })
    }

    pub(crate) fn rows(&self, name: &str) -> Result<Rows, ReadError> {
        match self {
            Self::BuiltIn { .. } => Rows::from_text(&self.file(name), &self.text(name)?),
            Self::Disk(dir) => Rows::open(&dir.join(name)),
        }
    }
}

fn built_in_file(files: &[(&str, &'static str)], name: &str) -> io::Result<&'static str> {
    let file = files.iter().find(|(file, _)| *file == name);
    file.map(|(_, text)| *text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not built in"))
}
