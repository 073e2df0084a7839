//! Dates as people and programs write them, without a format.
//!
//! Understood are ISO 8601 (calendar and week dates, with and without separators), American and European dates with
//! numbers, dates with the names of months, times with seconds, fractions and am/pm, and time zones as offsets and
//! abbreviations. Not understood is what is relative to another date ("+1 day", "first monday of").

use super::super::civil::{HOUR, MINUTE, SECOND};
use super::super::parts::first_monday;
use super::{Cursor, Parts, failure, value_of};
use crate::Result;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

/// Abbreviations of time zones and their hours east of UTC, sorted. Single letters are the military zones.
const ZONES: [(&str, i64); 24] = [
    ("adt", -3),
    ("akdt", -8),
    ("akst", -9),
    ("ast", -4),
    ("bst", 1),
    ("cdt", -5),
    ("cest", 2),
    ("cet", 1),
    ("cst", -6),
    ("edt", -4),
    ("eest", 3),
    ("eet", 2),
    ("est", -5),
    ("gmt", 0),
    ("hst", -10),
    ("jst", 9),
    ("mdt", -6),
    ("msk", 3),
    ("mst", -7),
    ("pdt", -7),
    ("pst", -8),
    ("utc", 0),
    ("west", 1),
    ("wet", 0),
];

/// Reads a date, a time or both, and a time zone.
pub(super) fn parse(text: &[u8]) -> Result<Parts> {
    let mut cursor = Cursor {
        rest: text.trim_ascii(),
    };
    let mut parts = Parts::default();
    if cursor.rest.is_empty() {
        return Err(failure(text, "Empty string"));
    }
    while !cursor.rest.is_empty() {
        if !step(&mut cursor, &mut parts) {
            return Err(failure(text, "Unexpected character"));
        }
        cursor.skip_spaces();
    }
    Ok(parts)
}

/// Reads the next part; false if there is none.
fn step(cursor: &mut Cursor<'_>, parts: &mut Parts) -> bool {
    let start = cursor.rest;
    if parts.date.is_none() {
        if epoch(cursor, parts) || skip_weekday(cursor) {
            return true;
        }
        for form in DATES {
            cursor.rest = start;
            if let Some(date) = form(cursor) {
                parts.date = Some(date);
                after_date(cursor);
                return true;
            }
        }
        cursor.rest = start;
    }
    if parts.time.is_none() {
        let compact = parts.date.is_some() && (cursor.take(b'T') || cursor.take(b't'));
        if let Some(time) = time(cursor, compact) {
            parts.time = Some(time);
            return true;
        }
        cursor.rest = start;
    }
    if parts.offset.is_none() && (parts.date.is_some() || parts.time.is_some()) {
        if let Some(offset) = zone(cursor) {
            parts.offset = Some(offset);
            return true;
        }
        cursor.rest = start;
    }
    false
}

/// `@1215282385`: seconds since the epoch.
fn epoch(cursor: &mut Cursor<'_>, parts: &mut Parts) -> bool {
    if !cursor.take(b'@') {
        return false;
    }
    let negative = cursor.take(b'-');
    let Some(seconds) = cursor.number(1, 12) else {
        return false;
    };
    let seconds = if negative { -seconds } else { seconds };
    parts.date = Some((1970, 1, 1));
    parts.time = Some(seconds * SECOND);
    parts.offset = Some(0);
    true
}

/// A weekday says nothing that the date does not.
fn skip_weekday(cursor: &mut Cursor<'_>) -> bool {
    let start = cursor.rest;
    if named(&WEEKDAYS, cursor.letters()).is_some() {
        cursor.take(b',');
        cursor.take(b'.');
        return true;
    }
    cursor.rest = start;
    false
}

/// The place of a name, or of its first three letters, in a list.
fn named(names: &[&str], word: &[u8]) -> Option<usize> {
    let word = word.to_ascii_lowercase();
    names.iter().position(|name| {
        let name = name.as_bytes();
        word == name || word == name[..3] || (word == b"sept" && name == b"september")
    })
}

/// What may stand between a date and what follows it at once.
fn after_date(cursor: &mut Cursor<'_>) {
    let time_follows = cursor.rest.get(1).is_some_and(u8::is_ascii_digit);
    if time_follows && matches!(cursor.peek(), Some(b':')) {
        cursor.take(b':');
    } else {
        cursor.take(b',');
    }
}

/// Year, month and day.
type Date = (i64, i64, i64);

/// The forms of dates, in the order in which they are tried.
const DATES: [fn(&mut Cursor<'_>) -> Option<Date>; 8] = [
    compact,
    iso_week,
    year_first,
    american,
    day_first,
    day_month_name,
    month_name_first,
    year_month_name,
];

/// A year; one of two digits is between 1970 and 2069.
fn year(digits: &[u8]) -> i64 {
    match (digits.len(), value_of(digits)) {
        (1 | 2, short) if short < 70 => 2000 + short,
        (1 | 2, short) => 1900 + short,
        (_, full) => full,
    }
}

fn month(cursor: &mut Cursor<'_>) -> Option<i64> {
    cursor.number(1, 2).filter(|month| (1..=12).contains(month))
}

fn day(cursor: &mut Cursor<'_>) -> Option<i64> {
    cursor.number(1, 2).filter(|day| (1..=31).contains(day))
}

fn no_digit_follows(cursor: &Cursor<'_>) -> Option<()> {
    (!cursor.peek().is_some_and(|byte| byte.is_ascii_digit())).then_some(())
}

/// `20200131`.
fn compact(cursor: &mut Cursor<'_>) -> Option<Date> {
    let year = cursor.number(4, 4)?;
    let month = cursor
        .number(2, 2)
        .filter(|month| (1..=12).contains(month))?;
    let day = cursor.number(2, 2).filter(|day| (1..=31).contains(day))?;
    no_digit_follows(cursor)?;
    Some((year, month, day))
}

/// `2020-W05-3`, `2020W053`, `2020-W05`.
fn iso_week(cursor: &mut Cursor<'_>) -> Option<Date> {
    let year = cursor.number(4, 4)?;
    cursor.take(b'-');
    if !cursor.take(b'W') {
        return None;
    }
    let week = cursor.number(2, 2).filter(|week| (1..=53).contains(week))?;
    cursor.take(b'-');
    let weekday = cursor.number(1, 1).unwrap_or(1);
    let (year, month, day) =
        super::super::civil::date_of(first_monday(year) + (week - 1) * 7 + weekday - 1);
    Some((year, month.into(), day.into()))
}

/// `2020-01-31`, `2020/1/31`, `2020:01:31`, `2020-01`, `20-01-31`.
fn year_first(cursor: &mut Cursor<'_>) -> Option<Date> {
    let negative = cursor.take(b'-');
    let signed = negative || cursor.take(b'+');
    let digits = cursor.digits(2, 4)?;
    let separator = cursor.peek().filter(|byte| b"-/:".contains(byte))?;
    let full = digits.len() == 4;
    // Numbers before a slash or colon are other things if they are short.
    if (!full && (separator != b'-' || signed)) || digits.len() == 3 {
        return None;
    }
    cursor.take(separator);
    let month = month(cursor)?;
    if !cursor.take(separator) {
        no_digit_follows(cursor)?;
        return (full && separator == b'-').then_some((year(digits), month, 1));
    }
    let day = day(cursor)?;
    // `01-02-2020` is another form.
    no_digit_follows(cursor)?;
    let year = year(digits);
    Some((if negative { -year } else { year }, month, day))
}

/// `1/31/2020`.
fn american(cursor: &mut Cursor<'_>) -> Option<Date> {
    let month = month(cursor)?;
    let day = cursor.take(b'/').then(|| day(cursor))??;
    let digits = cursor.take(b'/').then(|| cursor.digits(2, 4))??;
    Some((year(digits), month, day))
}

/// `31-01-2020`, `31.01.2020`, `31.1.78`.
fn day_first(cursor: &mut Cursor<'_>) -> Option<Date> {
    let digits = cursor.digits(1, 2)?;
    let day = Some(value_of(digits)).filter(|day| (1..=31).contains(day))?;
    let separator = cursor.peek().filter(|byte| b"-.".contains(byte))?;
    cursor.take(separator);
    let month = month(cursor)?;
    if !cursor.take(separator) {
        return None;
    }
    let digits = cursor.digits(2, 4)?;
    no_digit_follows(cursor)?;
    // `1.2.20` could be a time, `22.12.78` could not.
    let time = separator == b'.' && digits.len() == 2 && day <= 24 && value_of(digits) < 60;
    (!time).then_some((year(digits), month, day))
}

fn separate(cursor: &mut Cursor<'_>) {
    while cursor.peek().is_some_and(|byte| b" \t.-/,".contains(&byte)) {
        cursor.rest = &cursor.rest[1..];
    }
}

fn month_name(cursor: &mut Cursor<'_>) -> Option<i64> {
    const ROMAN: [&[u8]; 12] = [
        b"I", b"II", b"III", b"IV", b"V", b"VI", b"VII", b"VIII", b"IX", b"X", b"XI", b"XII",
    ];
    let word = cursor.letters();
    let place = named(&MONTHS, word).or_else(|| ROMAN.iter().position(|roman| *roman == word))?;
    i64::try_from(place + 1).ok()
}

/// `th` and the like behind a day.
fn skip_ordinal(cursor: &mut Cursor<'_>) {
    let start = cursor.rest;
    let suffix = cursor.letters().to_ascii_lowercase();
    if ![&b"st"[..], b"nd", b"rd", b"th"].contains(&&*suffix) {
        cursor.rest = start;
    }
}

/// `31 January 2020`, `31-Jan-2020`, `31/Jan/2020`, `31JAN78`.
fn day_month_name(cursor: &mut Cursor<'_>) -> Option<Date> {
    let day = day(cursor)?;
    skip_ordinal(cursor);
    separate(cursor);
    let month = month_name(cursor)?;
    separate(cursor);
    let digits = cursor.digits(2, 4)?;
    Some((year(digits), month, day))
}

/// `January 31st, 2020`, `Jan-31-2020`, `January 2020`, `JAN2020`.
fn month_name_first(cursor: &mut Cursor<'_>) -> Option<Date> {
    let month = month_name(cursor)?;
    separate(cursor);
    let start = cursor.rest;
    if let Some(digits) = cursor.digits(4, 4) {
        no_digit_follows(cursor)?;
        return Some((year(digits), month, 1));
    }
    cursor.rest = start;
    let day = day(cursor)?;
    skip_ordinal(cursor);
    separate(cursor);
    let digits = cursor.digits(2, 4)?;
    Some((year(digits), month, day))
}

/// `2020-Jan-31`, `78-Dec-22`.
fn year_month_name(cursor: &mut Cursor<'_>) -> Option<Date> {
    let digits = cursor.digits(2, 4)?;
    separate(cursor);
    let month = month_name(cursor)?;
    separate(cursor);
    let day = day(cursor)?;
    Some((year(digits), month, day))
}

/// A time of day in milliseconds; `compact` allows one without colons.
fn time(cursor: &mut Cursor<'_>, compact: bool) -> Option<i64> {
    let start = cursor.rest;
    match cursor.letters().to_ascii_lowercase().as_slice() {
        b"noon" => return Some(12 * HOUR),
        b"midnight" => return Some(0),
        _ => cursor.rest = start,
    }
    // Six digits in a row, or four or two behind a T.
    let digits = cursor.digits(1, 6)?;
    let (hour, minute, mut second) = match digits.len() {
        6 => (
            value_of(&digits[..2]),
            value_of(&digits[2..4]),
            value_of(&digits[4..]),
        ),
        1 | 2 if cursor.take(b':') => (value_of(digits), cursor.number(1, 2)?, 0),
        4 if compact => (value_of(&digits[..2]), value_of(&digits[2..]), 0),
        1 | 2 if compact || meridian(&mut Cursor { rest: cursor.rest }).is_some() => {
            (value_of(digits), 0, 0)
        }
        _ => return None,
    };
    let mut millis = 0;
    if digits.len() <= 2 && cursor.take(b':') {
        second = cursor.number(1, 2)?;
    }
    if cursor.take(b'.') {
        let fraction = cursor.digits(0, usize::MAX)?;
        for place in 0..3 {
            let digit = fraction
                .get(place)
                .map_or(0, |digit| i64::from(digit - b'0'));
            millis = millis * 10 + digit;
        }
    }
    let hour = match meridian(cursor) {
        None => hour,
        Some(afternoon) if (1..=12).contains(&hour) => hour % 12 + if afternoon { 12 } else { 0 },
        Some(_) => return None,
    };
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some(hour * HOUR + minute * MINUTE + second * SECOND + millis)
}

/// `am` (false) or `pm` (true), with points or without.
fn meridian(cursor: &mut Cursor<'_>) -> Option<bool> {
    let start = cursor.rest;
    cursor.skip_spaces();
    let first = cursor.letters().to_ascii_lowercase();
    let found = match first.as_slice() {
        b"am" => Some(false),
        b"pm" => Some(true),
        b"a" | b"p" if cursor.take(b'.') => {
            let last = cursor.letters().eq_ignore_ascii_case(b"m");
            cursor.take(b'.');
            last.then_some(first == b"p")
        }
        _ => None,
    };
    if found.is_none() {
        cursor.rest = start;
    }
    found
}

/// A time zone in milliseconds east of UTC: `Z`, an offset, an abbreviation, or `GMT` with an offset.
pub(super) fn zone(cursor: &mut Cursor<'_>) -> Option<i64> {
    let parenthesised = cursor.take(b'(');
    if let Some(offset) = cursor.offset() {
        return Some(offset);
    }
    let word = cursor.letters().to_ascii_lowercase();
    let hours = match word.as_slice() {
        [letter] => military(*letter)?,
        word => {
            let at = ZONES
                .binary_search_by(|row| row.0.as_bytes().cmp(word))
                .ok()?;
            ZONES[at].1
        }
    };
    if parenthesised {
        cursor.take(b')');
    }
    let more = if word == b"gmt" || word == b"utc" {
        cursor.offset().unwrap_or(0)
    } else {
        0
    };
    Some(hours * HOUR + more)
}

/// The hours of a military time zone: A to M without J are east of UTC, N to Y west of it.
fn military(letter: u8) -> Option<i64> {
    Some(match letter {
        b'a'..=b'i' => i64::from(letter - b'a') + 1,
        b'k'..=b'm' => i64::from(letter - b'k') + 10,
        b'n'..=b'y' => -i64::from(letter - b'n') - 1,
        b'z' => 0,
        _ => return None,
    })
}
