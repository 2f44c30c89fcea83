//! The `grpc-timeout` header of gRPC over HTTP/2.

use std::time::Duration;

/// The header's name.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// More digits than this the protocol does not allow.
const MAX_DIGITS: usize = 8;
const MAX_VALUE: u128 = 99_999_999;

/// Parses a value: 1 to 8 digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`). `None` for anything else.
///
/// ```
/// use atelier_chassis::deadline::parse_timeout;
/// use std::time::Duration;
///
/// assert_eq!(parse_timeout(b"250m"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_timeout(b"soon"), None);
/// ```
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Formats a timeout in the finest unit that holds it, rounding down: the next hop must not believe
/// that it has longer than we do.
pub fn format_timeout(timeout: Duration) -> String {
    let units = [
        (timeout.as_nanos(), 'n'),
        (timeout.as_micros(), 'u'),
        (timeout.as_millis(), 'm'),
        (u128::from(timeout.as_secs()), 'S'),
        (u128::from(timeout.as_secs() / 60), 'M'),
    ];
    units.into_iter().find(|(number, _)| *number <= MAX_VALUE).map_or_else(
        || format!("{}H", u128::from(timeout.as_secs() / 3600).min(MAX_VALUE)),
        |(number, unit)| format!("{number}{unit}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (value, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("0m", Duration::ZERO),
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_refused() {
        for value in ["", "S", "5", "123456789S", "-1S", "1.5S", "1s", " 1S", "1S ", "1SS", "\u{661}S"] {
            assert_eq!(parse_timeout(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_never_longer() {
        for nanos in [0, 1, 99_999_999, 100_000_001, 123_456_789_012, 98_765_432_109_876, u64::MAX] {
            let timeout = Duration::from_nanos(nanos);
            let read = parse_timeout(format_timeout(timeout).as_bytes()).unwrap();
            assert!(read <= timeout, "{timeout:?} became {read:?}");
            assert!(timeout - read <= timeout / 1_000, "{timeout:?} became {read:?}");
        }
        assert_eq!(format_timeout(Duration::MAX), "99999999H");
    }
}
