//! Time zones: UTC, a fixed offset, or a region of the time zone database.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneTransition};

use super::civil::{Civil, DAY, MINUTE, SECOND};
use crate::value::ValueRef;
use crate::{Error, Result};

/// A time zone.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// Milliseconds east of UTC, always.
    Fixed(i64),
    Region(TimeZone),
}

/// What a zone says about one instant.
struct Rule {
    /// Milliseconds east of UTC.
    offset: i64,
    is_dst: bool,
    /// Since when, in milliseconds.
    since: i64,
}

impl Zone {
    pub(super) const UTC: Zone = Zone::Fixed(0);

    /// The zone called `name`: a region, or an offset `±HH`, `±HHMM` or `±HH:MM`.
    ///
    /// # Errors
    /// 40485 if there is none.
    pub(super) fn parse(name: &[u8]) -> Result<Zone> {
        let unknown = || {
            Error::location(
                40485,
                format!(
                    "unrecognized time zone identifier: \"{}\"",
                    String::from_utf8_lossy(name)
                ),
            )
        };
        if let Some(offset) = parse_offset(name) {
            return Ok(Zone::Fixed(offset));
        }
        if name == b"UTC" || name == b"GMT" {
            return Ok(Zone::UTC);
        }
        let text = std::str::from_utf8(name).map_err(|_| unknown())?;
        let zone = TimeZone::get(text).map_err(|_| unknown())?;
        // Names are looked up in any case, but mongod has them as they are written.
        if zone.iana_name().is_some_and(|found| found != text) {
            return Err(unknown());
        }
        Ok(Zone::Region(zone))
    }

    /// The zone that an argument evaluated to; `None` if it is null. `code` is for what is no string.
    pub(super) fn of_value(value: ValueRef<'_>, code: i32) -> Result<Option<Zone>> {
        match value {
            ValueRef::String(name) => Zone::parse(name).map(Some),
            value if value.is_nullish() => Ok(None),
            other => Err(Error::location(
                code,
                format!(
                    "timezone must evaluate to a string, found {}",
                    other.type_name()
                ),
            )),
        }
    }

    /// Milliseconds east of UTC at an instant.
    pub(super) fn offset(&self, millis: i64) -> i64 {
        match self {
            Zone::Fixed(offset) => *offset,
            Zone::Region(zone) => {
                let at = timestamp(millis - cycles(millis));
                i64::from(zone.to_offset(at).seconds()) * SECOND
            }
        }
    }

    /// Date and time there at an instant.
    pub(super) fn civil(&self, millis: i64) -> Civil {
        Civil::at_offset(millis, self.offset(millis))
    }

    /// The instant at which the clocks there show `local`, milliseconds as if they were UTC.
    ///
    /// Of two such instants it is the one in standard time; a time that is skipped counts on from before the gap.
    pub(super) fn instant(&self, local: i64) -> i64 {
        let zone = match self {
            Zone::Fixed(offset) => return local.saturating_sub(*offset),
            Zone::Region(zone) => zone,
        };
        let cycles = cycles(local);
        let local = local - cycles;
        // mongod's library asks for the rule at the local time taken for UTC, corrects itself once, and looks two hours
        // ahead where that may have been too early.
        const LOOK_AHEAD: i64 = 120 * MINUTE;
        let first = rule(zone, local);
        let mut second = rule(zone, local.saturating_sub(first.offset));
        if first.offset == second.offset && first.offset <= 0 && first.is_dst {
            let ahead = local
                .saturating_sub(first.offset)
                .saturating_add(LOOK_AHEAD);
            let later = rule(zone, ahead);
            if later.offset != second.offset && local.saturating_sub(later.offset) >= later.since {
                second.offset = later.offset;
            }
        }
        let skipped =
            first.offset != second.offset && local.saturating_sub(second.offset) < second.since;
        let offset = if skipped { first.offset } else { second.offset };
        local.saturating_sub(offset).saturating_add(cycles)
    }
}

/// `±HH`, `±HHMM` or `±HH:MM` in milliseconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = match *digits {
        [a, b] => (number(a, b)?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (number(a, b)?, number(c, d)?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes) * MINUTE)
}

/// What has to be subtracted from an instant to bring it below the year 9999, of which the library knows no later one:
/// a multiple of 400 years, after which calendar and rules repeat.
fn cycles(millis: i64) -> i64 {
    const CYCLE: i64 = 146_097 * DAY;
    const LAST: i64 = 253_370_764_800_000;
    if millis < LAST {
        0
    } else {
        (millis - LAST) / CYCLE * CYCLE + CYCLE
    }
}

/// The nearest instant that the time zone library can represent: beyond the years ±9999 the rules stay as they are.
fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn rule(zone: &TimeZone, millis: i64) -> Rule {
    let at = timestamp(millis);
    let info = zone.to_offset_info(at);
    let since = |transition: TimeZoneTransition<'_>| transition.timestamp().as_millisecond();
    // The transition itself belongs to what follows it.
    let next = Timestamp::from_millisecond(at.as_millisecond().saturating_add(1)).unwrap_or(at);
    Rule {
        offset: i64::from(info.offset().seconds()) * SECOND,
        is_dst: info.dst().is_dst(),
        since: zone.preceding(next).next().map_or(i64::MIN, since),
    }
}
