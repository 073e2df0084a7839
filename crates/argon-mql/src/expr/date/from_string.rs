//! `$dateFromString`.

mod pattern;
mod text;

use super::super::node::{Call, Operator};
use super::super::ops::{Named, Op, optional, required};
use super::super::parse::Parser;
use super::super::scope::{Operand, Scope};
use super::super::{Expr, fold};
use super::civil::{self, MINUTE};
use super::{Zone, month_start};
use crate::value::{Value, ValueRef};
use crate::{Error, ErrorCode, Result};

pub(super) const DATE_FROM_STRING: Op = Op::parsed("$dateFromString", DateFromString::parse);

/// What was read from a text.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    /// Year, month and day.
    date: Option<(i64, i64, i64)>,
    /// Milliseconds since midnight.
    time: Option<i64>,
    /// Milliseconds east of UTC.
    offset: Option<i64>,
}

#[cold]
fn failure(text: &[u8], what: &str) -> Error {
    Error::new(
        ErrorCode::ConversionFailure,
        format!(
            "Error parsing date string '{}'; {what}",
            String::from_utf8_lossy(text)
        ),
    )
}

impl Parts {
    /// The instant; without an offset of its own the text is about `zone`.
    fn instant(self, text: &[u8], zone: &Zone) -> Result<i64> {
        let Some((year, month, day)) = self.date else {
            return Err(Error::new(
                ErrorCode::ConversionFailure,
                format!(
                    "an incomplete date/time string has been found, with elements missing: \"{}\"",
                    String::from_utf8_lossy(text)
                ),
            ));
        };
        let first = month_start(year * 12 + month - 1);
        let valid = u8::try_from(month)
            .ok()
            .filter(|month| (1..=12).contains(month))
            .is_some_and(|month| (1..=civil::days_in_month(year, month).into()).contains(&day));
        if !valid {
            return Err(failure(text, "The parsed date was invalid"));
        }
        let local = (first + day - 1) * civil::DAY + self.time.unwrap_or(0);
        Ok(match self.offset {
            Some(offset) => local - offset,
            None => zone.instant(local),
        })
    }
}

/// The instant that `text` names, in UTC unless it says otherwise.
///
/// # Errors
/// [`ErrorCode::ConversionFailure`].
pub(in crate::expr) fn parse_text(text: &[u8]) -> Result<i64> {
    text::parse(text)?.instant(text, &Zone::UTC)
}

#[derive(Debug)]
struct DateFromString {
    /// Text, format, time zone, and what stands for errors and nulls.
    args: std::sync::Arc<[Expr]>,
}

const ARGS: Named = Named {
    not_an_object: 40540,
    unknown: 40541,
    fields: &[
        required("dateString", 40542),
        optional("format"),
        optional("timezone"),
        optional("onError"),
        optional("onNull"),
    ],
};

impl DateFromString {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let args = ARGS.parse("$dateFromString", operand, parser)?;
        Ok(Expr::operator(DateFromString { args }))
    }

    fn call<'s>(&'s self, scope: &Scope<'s>) -> Call<'s> {
        Call {
            name: "$dateFromString",
            args: &self.args,
            scope: *scope,
            collation: None,
        }
    }

    /// The instant; null if an argument is.
    fn value<'s>(&'s self, call: &Call<'s>) -> Result<Operand<'s>> {
        let text = call.arg(0)?;
        let format = call.arg(1)?;
        let format = match format.as_ref() {
            _ if !call.is_given(1) => Some(None),
            ValueRef::String(format) => {
                pattern::check(format)?;
                Some(Some(format))
            }
            value if value.is_nullish() => None,
            other => {
                return Err(Error::location(
                    40684,
                    format!(
                        "$dateFromString requires that 'format' be a string, found: {}",
                        other.type_name()
                    ),
                ));
            }
        };
        let zone = super::zone_arg(call, 2, 40517)?;
        let text = match text.as_ref() {
            ValueRef::String(text) => text,
            value if !value.is_nullish() => {
                return Err(Error::new(
                    ErrorCode::ConversionFailure,
                    format!(
                        "$dateFromString requires that 'dateString' be a string, found: {}",
                        value.type_name()
                    ),
                ));
            }
            _ if call.is_given(4) => return call.arg(4),
            _ => return Ok(Operand::NULL),
        };
        let (Some(format), Some(zone)) = (format, zone) else {
            return Ok(Operand::NULL);
        };
        let parts = match format {
            Some(format) => pattern::parse(text, format)?,
            None => text::parse(text)?,
        };
        // An offset of zero says nothing that the text could not say as well; "UTC" does.
        let is_named = call.is_given(2)
            && matches!(call.arg(2)?.as_ref(), ValueRef::String(name) if name.first().is_some_and(u8::is_ascii_alphabetic));
        if parts.offset.is_some() && (is_named || !matches!(zone, Zone::Fixed(0))) {
            return Err(failure(
                text,
                "you cannot pass in a date/time string with time zone information together with a timezone argument",
            ));
        }
        parts
            .instant(text, &zone)
            .map(|millis| Operand::Owned(Value::DateTime(millis)))
    }
}

impl Operator for DateFromString {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let call = self.call(scope);
        match self.value(&call) {
            Err(error) if error.code() == ErrorCode::ConversionFailure && call.is_given(3) => {
                call.arg(3)
            }
            result => result,
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.args.iter().for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        std::sync::Arc::get_mut(&mut self.args)
            .into_iter()
            .flatten()
            .try_for_each(visit)
    }

    fn fold(&mut self) -> Result<Option<Expr>> {
        let known = |expr: &Expr| expr.is_constant() || expr.is_absent();
        if !self.args.iter().all(known) {
            return Ok(None);
        }
        fold::eval_constant(self).map(|value| Some(Expr::constant(value)))
    }
}

/// Reads a text from left to right.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Takes `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip_spaces(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_ascii_start();
        self.rest.len() < before
    }

    /// Takes the digits that are next, at most `most`; none if fewer than `least`.
    fn digits(&mut self, least: usize, most: usize) -> Option<&'a [u8]> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
        let length = digits.count().min(most);
        if length < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(digits)
    }

    /// The same as a number.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        self.digits(least, most).map(value_of)
    }

    /// Takes the letters that are next.
    fn letters(&mut self) -> &'a [u8] {
        let letters = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic());
        let (letters, rest) = self.rest.split_at(letters.count());
        self.rest = rest;
        letters
    }

    /// Takes `±HH`, `±HHMM`, `±HH:MM` or `±H`, in milliseconds.
    fn offset(&mut self) -> Option<i64> {
        let before = self.rest;
        let sign = if self.take(b'+') {
            1
        } else if self.take(b'-') {
            -1
        } else {
            return None;
        };
        let Some(digits) = self.digits(1, 4) else {
            self.rest = before;
            return None;
        };
        let (hours, minutes) = match digits.len() {
            1 | 2 if self.take(b':') => (value_of(digits), self.number(1, 2).unwrap_or(0)),
            1 | 2 => (value_of(digits), 0),
            length => {
                let (hours, minutes) = digits.split_at(length - 2);
                (value_of(hours), value_of(minutes))
            }
        };
        Some(sign * (hours * 60 + minutes) * MINUTE)
    }
}

/// The number that at most eighteen digits are.
fn value_of(digits: &[u8]) -> i64 {
    digits
        .iter()
        .take(18)
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}
