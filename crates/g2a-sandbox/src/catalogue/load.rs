//! Loads a real export from files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Why a catalogue file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{} is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The position and the reason of the error.
        #[source]
        source: serde_json::Error,
    },
    /// The file is JSON of an unexpected shape.
    #[error("{} is neither a list of products nor an object with a list `docs`", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
    },
}

/// Reads all products of a file, or of all `*.json` files of a folder in the order of their names.
pub(super) fn read(path: &Path) -> Result<Vec<Map<String, Value>>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return read_file(path);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    let mut products = Vec::new();
    for file in files {
        products.extend(read_file(&file)?);
    }
    Ok(products)
}

fn read_file(path: &Path) -> Result<Vec<Map<String, Value>>, LoadError> {
    let shape = || LoadError::Shape { path: path.to_owned() };
    let text = fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    let value = serde_json::from_slice(&text).map_err(|source| LoadError::Json {
        path: path.to_owned(),
        source,
    })?;
    let docs = match value {
        Value::Array(docs) => docs,
        Value::Object(mut page) => match page.remove("docs") {
            Some(Value::Array(docs)) => docs,
            _ => return Err(shape()),
        },
        _ => return Err(shape()),
    };
    docs.into_iter()
        .map(|doc| {
            if let Value::Object(map) = doc {
                Ok(map)
            } else {
                Err(shape())
            }
        })
        .collect()
}
