//! The calendar: milliseconds since the epoch to year, month, day and back, without time zones.

use crate::{Error, Result};

/// Milliseconds in a second, minute, hour, day.
pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Month names as `ctime` has them.
pub(in crate::expr) const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date and time in the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expr) struct Civil {
    pub(in crate::expr) year: i64,
    /// From 1.
    pub(in crate::expr) month: u8,
    /// From 1.
    pub(in crate::expr) day: u8,
    pub(in crate::expr) hour: u8,
    pub(in crate::expr) minute: u8,
    pub(in crate::expr) second: u8,
    pub(in crate::expr) millisecond: u16,
}

/// A small non-negative remainder as the unsigned type it fits.
fn small<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

impl Civil {
    /// The date and time `millis` after the epoch.
    pub(in crate::expr) fn from_millis(millis: i64) -> Civil {
        Civil::at_offset(millis, 0)
    }

    /// The same where clocks show `offset` milliseconds more; no date is too large for that.
    pub(super) fn at_offset(millis: i64, offset: i64) -> Civil {
        let rest = millis.rem_euclid(DAY) + offset;
        let (year, month, day) = date_of(millis.div_euclid(DAY) + rest.div_euclid(DAY));
        let rest = rest.rem_euclid(DAY);
        Civil {
            year,
            month,
            day,
            hour: small(rest / HOUR),
            minute: small(rest % HOUR / MINUTE),
            second: small(rest % MINUTE / SECOND),
            millisecond: small(rest % SECOND),
        }
    }

    /// Days since the epoch.
    pub(super) fn days(self) -> i64 {
        days_to(self.year, self.month, self.day)
    }

    /// Day of the year, from 1.
    pub(super) fn day_of_year(self) -> i64 {
        self.days() - days_to(self.year, 1, 1) + 1
    }

    /// Day of the week: 0 is Sunday.
    pub(super) fn weekday(self) -> i64 {
        weekday_of(self.days())
    }

    /// Day of the week: 1 is Monday, 7 Sunday.
    pub(super) fn iso_weekday(self) -> i64 {
        match self.weekday() {
            0 => 7,
            day => day,
        }
    }

    /// Week of the year: weeks begin on Sundays, days before the first Sunday are in week 0.
    pub(super) fn week(self) -> i64 {
        (self.day_of_year() + 6 - self.weekday()) / 7
    }

    /// ISO 8601 year and week: weeks begin on Mondays, and the first one has the year's first Thursday.
    pub(super) fn iso_week(self) -> (i64, i64) {
        // The year of a week is that of its Thursday.
        let thursday = self.days() - self.iso_weekday() + 4;
        let (year, _, _) = date_of(thursday);
        (year, (thursday - days_to(year, 1, 1)) / 7 + 1)
    }
}

/// Day of the week of a day since the epoch: 0 is Sunday.
pub(super) fn weekday_of(days: i64) -> i64 {
    // The epoch was a Thursday.
    (days + 4).rem_euclid(7)
}

/// Days from the epoch to a date.
///
/// Eras of 400 years begin on 1 March, so that leap days come last.
pub(super) fn days_to(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since the epoch.
pub(super) fn date_of(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, small(month), small(day))
}

/// Days in a month, from 1.
pub(super) fn days_in_month(year: i64, month: u8) -> u8 {
    let next = if month == 12 {
        days_to(year + 1, 1, 1)
    } else {
        days_to(year, month + 1, 1)
    };
    small(next - days_to(year, month, 1))
}

/// `2020-01-31T10:20:30.456Z`.
///
/// # Errors
/// 18537 for years that have no four digits.
pub(in crate::expr) fn format_iso(millis: i64) -> Result<String> {
    let time = Civil::from_millis(millis);
    if !(0..=9999).contains(&time.year) {
        return Err(Error::location(
            18537,
            format!(
                "$dateToString is only defined on year 0-9999, tried to use year {}",
                time.year
            ),
        ));
    }
    Ok(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year, time.month, time.day, time.hour, time.minute, time.second, time.millisecond
    ))
}
