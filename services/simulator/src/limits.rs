//! How many connections the process may have, against how many it wants. Says so before the first one fails.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Beside sockets: files, REST connections, the runtime's own.
const BESIDES: u64 = 256;

/// Raises the soft limit of open files as far as needed and allowed; warns when that is not enough.
pub fn make_room(drivers: usize, riders_at_once: usize) {
    let wanted = drivers as u64 + riders_at_once as u64 + BESIDES;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    if soft >= wanted {
        return;
    }
    let raised = wanted.min(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_err() || raised < wanted {
        tracing::warn!(
            wanted,
            allowed = raised.max(soft),
            "too few open files allowed for so many drivers and riders: raise `ulimit -n`, or expect CONNECT errors"
        );
    }
}
