// Any bytes as a system file: refused in a few short lines, or read, and then written so that it reads
// the same. Included by the fuzz target and by the stable test that replays its corpus.

/// One run of the target.
pub fn run(bytes: &[u8]) {
    match daedal::system::parse(&String::from_utf8_lossy(bytes), "system.toml") {
        Ok(spec) => {
            let again = daedal::system::parse(&spec.to_toml(), "system.toml");
            assert_eq!(again.map_err(|error| error.to_string()), Ok(spec));
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.lines().count() <= 3, "{shown}");
            assert!(shown.chars().count() < 1000, "{shown}");
        }
    }
}
