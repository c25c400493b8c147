//! What a system file says of a gateway, and what the process has to allow it.

use std::net::SocketAddr;

use daedal::Parameters;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::limits::CLIENTS_MAX;

/// What a gateway is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where clients connect: `listen`.
    pub listen: SocketAddr,
    /// Whom it asks: `agent`, or `kvs`.
    pub agent: String,
    /// Clients at once: `clients`, at most [`CLIENTS_MAX`].
    pub clients_max: usize,
}

impl Settings {
    /// Reads the parameters of a system file.
    /// # Errors
    /// Which of them is wrong, and what to write instead.
    pub fn read(parameters: &Parameters) -> Result<Settings, String> {
        let known = ["listen", "agent", "clients"];
        if let Some(other) = parameters.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("Resp has no parameter `{other}`; it has: {}", known.join(", ")));
        }
        let listen = parameters.get("listen");
        let listen = listen.ok_or("Resp needs `listen`, such as \"127.0.0.1:6379\"")?;
        let listen = listen.parse().map_err(|_| {
            format!("listen = \"{listen}\" is no address; write one such as \"127.0.0.1:6379\"")
        })?;
        let clients_max = match parameters.get("clients") {
            None => CLIENTS_MAX,
            Some(text) => {
                let clients = text.parse().ok().filter(|count| (1..=CLIENTS_MAX).contains(count));
                clients.ok_or_else(|| {
                    format!("clients = \"{text}\" is no number from 1 to {CLIENTS_MAX}")
                })?
            }
        };
        let agent = parameters.get("agent").map_or("kvs", String::as_str).to_owned();
        Ok(Settings { listen, agent, clients_max })
    }
}

/// Each client is a descriptor, and most shells allow few: takes as many as an unprivileged process may.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Settings::read(&pairs.collect())
    }

    #[test]
    fn only_where_to_listen_has_to_be_said() {
        let settings = read(&[("listen", "127.0.0.1:6379")]).unwrap();
        let expect = ("kvs", CLIENTS_MAX, 6379);
        assert_eq!((settings.agent.as_str(), settings.clients_max, settings.listen.port()), expect);
        let few = read(&[("listen", "[::1]:1"), ("clients", "5"), ("agent", "other")]).unwrap();
        assert_eq!((few.agent.as_str(), few.clients_max), ("other", 5));
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_to_write_instead() {
        for (pairs, expect) in [
            (&[][..], "needs `listen`"),
            (&[("listen", "localhost")], "127.0.0.1:6379"),
            (&[("listen", "[::]:1"), ("clients", "0")], "from 1 to 16384"),
            (&[("listen", "[::]:1"), ("lisen", "")], "has no parameter `lisen`"),
        ] {
            let error = read(pairs).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }
}
