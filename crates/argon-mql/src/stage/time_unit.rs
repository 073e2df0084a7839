//! Units of time, as `$setWindowFields`, `$densify` and their relatives name them.

use crate::value::ValueRef;
use crate::{Error, Result};

/// Milliseconds in a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    /// So many milliseconds.
    Fixed(i64),
    /// So many months of the calendar, in UTC.
    Months(i64),
}

impl TimeUnit {
    /// The unit called `value`.
    ///
    /// # Errors
    /// `FailedToParse` if there is none.
    pub(super) fn parse(value: ValueRef<'_>) -> Result<TimeUnit> {
        let ValueRef::String(name) = value else {
            return Err(Error::failed_to_parse("'unit' must be a string"));
        };
        Ok(match &**name {
            b"millisecond" => TimeUnit::Fixed(1),
            b"second" => TimeUnit::Fixed(1000),
            b"minute" => TimeUnit::Fixed(60 * 1000),
            b"hour" => TimeUnit::Fixed(60 * 60 * 1000),
            b"day" => TimeUnit::Fixed(DAY_MS),
            b"week" => TimeUnit::Fixed(7 * DAY_MS),
            b"month" => TimeUnit::Months(1),
            b"quarter" => TimeUnit::Months(3),
            b"year" => TimeUnit::Months(12),
            _ => {
                return Err(Error::failed_to_parse(format!(
                    "unknown time unit value: {name}"
                )));
            }
        })
    }

    /// The instant `amount` units after `millis` (before, if negative). A day that a month does not have becomes its
    /// last.
    pub(super) fn add(self, millis: i64, amount: i64) -> i64 {
        match self {
            TimeUnit::Fixed(unit) => millis.saturating_add(unit.saturating_mul(amount)),
            TimeUnit::Months(unit) => add_months(millis, unit.saturating_mul(amount)),
        }
    }

    /// Its length in milliseconds, if that is always the same.
    pub(super) fn fixed_ms(self) -> Option<i64> {
        match self {
            TimeUnit::Fixed(unit) => Some(unit),
            TimeUnit::Months(_) => None,
        }
    }
}

fn add_months(millis: i64, months: i64) -> i64 {
    let (days, of_day) = (millis.div_euclid(DAY_MS), millis.rem_euclid(DAY_MS));
    let (year, month, day) = date_of(days);
    let total = year
        .saturating_mul(12)
        .saturating_add(month - 1)
        .saturating_add(months)
        // Far outside of what milliseconds can say.
        .clamp(-12_000_000_000, 12_000_000_000);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(days_in_month(year, month));
    days_to(year, month, day)
        .saturating_mul(DAY_MS)
        .saturating_add(of_day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, which is taken to start in March, so that the leap day
/// comes last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_months_of_the_calendar() {
        let day = |year, month, day| days_to(year, month, day) * DAY_MS;
        let month = TimeUnit::Months(1);
        assert_eq!(month.add(day(2024, 1, 31), 1), day(2024, 2, 29));
        assert_eq!(month.add(day(2023, 1, 31), 1), day(2023, 2, 28));
        assert_eq!(month.add(day(2024, 3, 15), -3), day(2023, 12, 15));
        assert_eq!(
            TimeUnit::Months(12).add(day(2024, 2, 29), 1),
            day(2025, 2, 28)
        );
        assert_eq!(days_to(1970, 1, 1), 0);
        for days in [-1_000_000, -1, 0, 59, 60, 11_016, 1_000_000] {
            let (year, month, day) = date_of(days);
            assert_eq!(days_to(year, month, day), days);
        }
    }
}
