//! Decimal integers exactly as Redis reads and writes them: no plus, no leading zero, no space.

/// Reads a signed 64-bit integer; `None` when `text` is not the one way to write it.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 19 {
        return None;
    }
    let mut magnitude = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit); // at most 19 digits: below 2^64
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
}

/// Appends `number` to `out`. No allocation when `out` has 20 bytes of room.
pub fn write_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    write_u64(out, number.unsigned_abs());
}

/// Appends `number` to `out`. No allocation when `out` has 20 bytes of room.
pub fn write_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_form_is_an_integer() {
        for text in ["", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1.5", "x", "1x"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551617"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number: i64) {
            let mut text = Vec::new();
            write_i64(&mut text, number);
            prop_assert_eq!(&text, &number.to_string().into_bytes());
            prop_assert_eq!(parse_i64(&text), Some(number));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_integers() {
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }
    }
}
