//! The file that holds what all boxes of a system seal their frames with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use daedal_net::link::Secret;

const DIGITS: usize = 64;

/// Reads it.
/// # Errors
/// A text for people, when it is not there, may be read by others than its owner, or holds something else.
pub(super) fn read(path: &Path) -> Result<Secret, String> {
    let named = |what: &str, mend: &str| {
        let file = path.display();
        format!("secret_file {file}: {what}; {}", mend.replace("FILE", &file.to_string()))
    };
    let make =
        "write one by `openssl rand -hex 32 > FILE`, and give every box of the system the same";
    let mut text = String::new();
    let read = File::open(path).and_then(|file| {
        let mode = file.metadata()?.mode();
        // A byte more than there may be shows a file that is no secret.
        file.take(DIGITS as u64 + 3).read_to_string(&mut text)?;
        Ok(mode)
    });
    let mode = read.map_err(|error| named(&error.to_string(), make))?;
    if mode & 0o077 != 0 {
        return Err(named("others than its owner may read it", "run `chmod 600 FILE`"));
    }
    let bytes = text.trim_end().as_bytes();
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let byte = |at: usize| Some((digit(2 * at)? << 4 | digit(2 * at + 1)?) as u8);
    let all: Option<Vec<u8>> = (0..DIGITS / 2).map(byte).collect();
    let all = all.filter(|_| bytes.len() == DIGITS).and_then(|all| all.try_into().ok());
    all.map(Secret).ok_or_else(|| named("it does not hold 64 hexadecimal digits", make))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_64_digits_that_its_owner_alone_may_read() {
        let path = std::env::temp_dir().join(format!("daedal-secret-{}", std::process::id()));
        let check = |text: &[u8], mode: u32, expect: Result<u8, &str>| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match (read(&path), expect) {
                (Ok(secret), Ok(byte)) => assert_eq!(secret, Secret([byte; 32])),
                (Err(why), Err(part)) => {
                    assert!(why.contains(part) && why.contains(&*path.to_string_lossy()), "{why}");
                }
                (found, _) => panic!("{found:?} of {text:?}"),
            }
        };
        check(&b"a7".repeat(32), 0o600, Ok(0xa7));
        check(&[&b"A7".repeat(32)[..], b"\n"].concat(), 0o400, Ok(0xa7));
        check(&b"a7".repeat(32), 0o640, Err("chmod 600"));
        for text in [&b""[..], &b"a7".repeat(31), &b"a7".repeat(33), &b"g7".repeat(32)] {
            check(text, 0o600, Err("openssl rand -hex 32"));
        }
        check(&[0xff; 64], 0o600, Err("UTF-8"));
        fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().contains("openssl"));
    }
}
