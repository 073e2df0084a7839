//! Dates in a given format.

use super::super::civil::{self, HOUR, MINUTE, SECOND};
use super::super::parts::first_monday;
use super::{Cursor, Parts, failure};
use crate::{Error, Result};

/// Checks that every `%` in `format` is followed by a character that means something when reading.
pub(super) fn check(format: &[u8]) -> Result<()> {
    let mut rest = format.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            continue;
        }
        match rest.next() {
            None => {
                return Err(Error::location(
                    18535,
                    "Unmatched '%' at end of format string",
                ));
            }
            Some(b'%' | b'd' | b'G' | b'H' | b'L' | b'm' | b'M' | b'S') => {}
            Some(b'u' | b'V' | b'Y' | b'z' | b'Z') => {}
            Some(&other) => {
                return Err(Error::location(
                    18536,
                    format!(
                        "Invalid format character '%{}' in format string",
                        char::from(other)
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_weekday: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
    offset: Option<i64>,
}

/// Reads `text` as `format`, which was checked, says.
pub(super) fn parse(text: &[u8], format: &[u8]) -> Result<Parts> {
    let mut cursor = Cursor { rest: text };
    let mut fields = Fields::default();
    let mut rest = format.iter();
    while let Some(&byte) = rest.next() {
        let read = if byte == b'%' {
            let specifier = rest.next().copied().unwrap_or(b'%');
            fields.read(specifier, &mut cursor)
        } else {
            cursor.take(byte)
        };
        if !read {
            return Err(failure(text, "the text does not match the format"));
        }
    }
    if !cursor.rest.is_empty() {
        return Err(failure(text, "Trailing data"));
    }
    Ok(Parts {
        date: fields.date().map_err(|what| failure(text, what))?,
        time: Some(
            fields.hour * HOUR
                + fields.minute * MINUTE
                + fields.second * SECOND
                + fields.millisecond,
        ),
        offset: fields.offset,
    })
}

impl Fields {
    /// Reads one specifier; false if the text has something else.
    fn read(&mut self, specifier: u8, cursor: &mut Cursor<'_>) -> bool {
        let number = |cursor: &mut Cursor<'_>, least, most, from: i64, to: i64| {
            cursor
                .number(least, most)
                .filter(|value| (from..=to).contains(value))
        };
        match specifier {
            b'd' => set(&mut self.day, number(cursor, 1, 2, 0, 31)),
            b'G' => set(&mut self.iso_year, number(cursor, 4, 4, 0, 9999)),
            b'H' => put(&mut self.hour, number(cursor, 1, 2, 0, 23)),
            b'L' => put(&mut self.millisecond, number(cursor, 1, 3, 0, 999)),
            b'm' => set(&mut self.month, number(cursor, 1, 2, 0, 12)),
            b'M' => put(&mut self.minute, number(cursor, 1, 2, 0, 59)),
            b'S' => put(&mut self.second, number(cursor, 1, 2, 0, 59)),
            b'u' => set(&mut self.iso_weekday, number(cursor, 1, 1, 1, 7)),
            b'V' => set(&mut self.iso_week, number(cursor, 1, 2, 1, 53)),
            b'Y' => set(&mut self.year, number(cursor, 1, 4, 0, 9999)),
            b'z' => set(&mut self.offset, super::text::zone(cursor)),
            b'Z' => {
                let negative = cursor.take(b'-');
                if !negative && !cursor.take(b'+') {
                    return false;
                }
                let minutes = cursor.number(1, 4).map(|minutes| minutes * MINUTE);
                set(
                    &mut self.offset,
                    minutes.map(|east| if negative { -east } else { east }),
                )
            }
            literal => cursor.take(literal),
        }
    }

    /// Year, month and day, if there is enough for them.
    fn date(&self) -> Result<Option<(i64, i64, i64)>, &'static str> {
        let of_days = |days| {
            let (year, month, day) = civil::date_of(days);
            Some((year, month.into(), day.into()))
        };
        let calendar = self.month.is_some() || self.day.is_some();
        let iso = self.iso_year.is_some() || self.iso_week.is_some() || self.iso_weekday.is_some();
        if iso && (self.year.is_some() || calendar) {
            return Err("Mixing of ISO dates with natural dates is not allowed");
        }
        if let Some(year) = self.iso_year {
            let week = self.iso_week.unwrap_or(1);
            return Ok(of_days(
                first_monday(year) + (week - 1) * 7 + self.iso_weekday.unwrap_or(1) - 1,
            ));
        }
        let Some(year) = self.year else {
            return Ok(None);
        };
        Ok(match (self.month, self.day) {
            (Some(month), Some(day)) => Some((year, month, day)),
            _ => None,
        })
    }
}

fn set(place: &mut Option<i64>, value: Option<i64>) -> bool {
    *place = value;
    value.is_some()
}

fn put(place: &mut i64, value: Option<i64>) -> bool {
    *place = value.unwrap_or(0);
    value.is_some()
}
