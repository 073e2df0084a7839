//! Regular expression operators.

use std::sync::Arc;

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

use super::Expr;
use super::limit::check_bytes;
use super::node::Operator;
use super::ops::{Named, Op, optional, required};
use super::parse::Parser;
use super::scope::{Operand, Scope};
use super::string::count_code_points;
use crate::value::{DocBuf, Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::parsed("$regexFind", |operand, parser| {
        Search::parse("$regexFind", Wanted::First, operand, parser)
    }),
    Op::parsed("$regexFindAll", |operand, parser| {
        Search::parse("$regexFindAll", Wanted::All, operand, parser)
    }),
    Op::parsed("$regexMatch", |operand, parser| {
        Search::parse("$regexMatch", Wanted::Whether, operand, parser)
    }),
];

/// Longest pattern, in bytes: mongod 6.0.5 takes 32,761 letters.
const PATTERN_BYTES_MAX: usize = 32_761;

/// Most steps one match may take, so that a pattern that backtracks without end cannot hold a command.
const MATCH_STEPS_MAX: u32 = 1_000_000;

const ARGS: Named = Named {
    not_an_object: 51103,
    unknown: 31024,
    fields: &[
        required("input", 31022),
        required("regex", 31023),
        optional("options"),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    First,
    All,
    Whether,
}

#[derive(Debug)]
struct Search {
    name: &'static str,
    wanted: Wanted,
    /// Input, regular expression, options.
    args: Arc<[Expr]>,
    /// The compiled expression, if it is constant; inner `None` if it is null.
    constant: Option<Option<Pattern>>,
}

#[derive(Clone)]
struct Pattern(Arc<Regex>);

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Search {
    fn parse(
        name: &'static str,
        wanted: Wanted,
        operand: ValueRef<'_>,
        parser: &Parser<'_>,
    ) -> Result<Expr> {
        Ok(Expr::operator(Search {
            name,
            wanted,
            args: ARGS.parse(name, operand, parser)?,
            constant: None,
        }))
    }

    /// Compiles what `regex` and `options` evaluated to; `None` if the expression is null.
    fn compile(&self, regex: ValueRef<'_>, options: ValueRef<'_>) -> Result<Option<Pattern>> {
        let (pattern, mut flags) = match regex {
            ValueRef::Regex { pattern, options } => (pattern, options),
            ValueRef::String(pattern) => (pattern, b"".into()),
            value if value.is_nullish() => (b"".into(), b"".into()),
            other => {
                return Err(Error::location(
                    51105,
                    format!(
                        "{} needs 'regex' to be of type string or regex, not {}",
                        self.name,
                        other.type_name()
                    ),
                ));
            }
        };
        match options {
            ValueRef::String(given) => {
                if !flags.is_empty() {
                    return Err(Error::location(
                        51107,
                        format!(
                            "{}: found regex option(s) specified in both 'regex' and 'options' fields",
                            self.name
                        ),
                    ));
                }
                flags = given;
            }
            value if value.is_nullish() => {}
            other => {
                return Err(Error::location(
                    51106,
                    format!(
                        "{} needs 'options' to be of type string, not {}",
                        self.name,
                        other.type_name()
                    ),
                ));
            }
        }
        if pattern.contains(&0) {
            return Err(Error::location(
                51109,
                format!(
                    "{}: regular expression cannot contain an embedded null byte",
                    self.name
                ),
            ));
        }
        if flags.contains(&0) {
            return Err(Error::location(
                51110,
                format!(
                    "{}: options cannot contain an embedded null byte",
                    self.name
                ),
            ));
        }
        let builder = with_flags(flags)?;
        if regex.is_nullish() {
            return Ok(None);
        }
        let invalid = |reason: &str| {
            Error::location(51111, format!("Invalid Regex in {}: {reason}", self.name))
        };
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(invalid("regular expression is too large"));
        }
        let text = std::str::from_utf8(pattern).map_err(|_| invalid("invalid UTF-8 string"))?;
        let bounded = format!("(*LIMIT_MATCH={MATCH_STEPS_MAX}){text}");
        let regex = builder
            .build(&bounded)
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(Some(Pattern(Arc::new(regex))))
    }

    fn failed(&self, error: &pcre2::Error) -> Error {
        Error::location(
            51156,
            format!(
                "Error occurred while executing the regular expression in {}. Result code: {}",
                self.name,
                error.code()
            ),
        )
    }

    /// Finds the next match in `text` from `from` on.
    fn next(
        &self,
        regex: &Regex,
        places: &mut CaptureLocations,
        text: &[u8],
        from: usize,
    ) -> Result<bool> {
        regex
            .captures_read_at(places, text, from)
            .map(|found| found.is_some())
            .map_err(|error| self.failed(&error))
    }
}

/// A builder with the flags that `$regexFind` knows.
fn with_flags(flags: &[u8]) -> Result<RegexBuilder> {
    let mut builder = RegexBuilder::new();
    builder.utf(true).jit_if_available(true);
    for &flag in flags {
        match flag {
            b'i' => builder.caseless(true),
            b'm' => builder.multi_line(true),
            b's' => builder.dotall(true),
            b'x' => builder.extended(true),
            b'u' => continue,
            _ => {
                return Err(Error::location(
                    51108,
                    format!(" invalid flag in regex options: {}", char::from(flag)),
                ));
            }
        };
    }
    Ok(builder)
}

/// A match as a document: its text, where it begins (in code points), and its groups.
fn append_match(out: &mut DocBuf, places: &CaptureLocations, text: &[u8], before: usize) {
    let part = |group: usize| places.get(group).map(|(from, to)| &text[from..to]);
    let found = part(0).unwrap_or_default();
    out.append("match", ValueRef::String(found.into()));
    let index = i64::try_from(before).unwrap_or(i64::MAX);
    out.append("idx", crate::value::Number::narrow(index).to_ref());
    let open = out.open_array("captures");
    for group in 1..places.len() {
        let value = match part(group) {
            Some(part) => ValueRef::String(part.into()),
            None => ValueRef::Null,
        };
        out.push(group - 1, value);
    }
    out.close(open);
}

impl Operator for Search {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let input = self.args[0].operand(scope)?;
        let others = match self.constant {
            Some(_) => None,
            None => Some((self.args[1].operand(scope)?, self.args[2].operand(scope)?)),
        };
        let text = match input.as_ref() {
            ValueRef::String(text) => Some(&**text),
            value if value.is_nullish() => None,
            other => {
                return Err(Error::location(
                    51104,
                    format!(
                        "{} needs 'input' to be of type string, not {}",
                        self.name,
                        other.type_name()
                    ),
                ));
            }
        };
        let pattern = match (&self.constant, &others) {
            (Some(constant), _) => constant.clone(),
            (None, Some((regex, options))) => self.compile(regex.as_ref(), options.as_ref())?,
            (None, None) => None,
        };
        let (Some(text), Some(Pattern(regex))) = (text, pattern) else {
            return Ok(match self.wanted {
                Wanted::First => Value::Null,
                Wanted::All => Value::Array(DocBuf::new().finish()),
                Wanted::Whether => Value::Bool(false),
            }
            .into());
        };
        if self.wanted == Wanted::Whether {
            let found = regex.is_match(text).map_err(|error| self.failed(&error))?;
            return Ok(Value::Bool(found).into());
        }
        let mut places = regex.capture_locations();
        if self.wanted == Wanted::First {
            if !self.next(&regex, &mut places, text, 0)? {
                return Ok(Operand::NULL);
            }
            let start = places.get(0).map_or(0, |(start, _)| start);
            let mut out = DocBuf::new();
            append_match(&mut out, &places, text, count_code_points(&text[..start]));
            return Ok(Value::Document(out.finish()).into());
        }
        let mut out = DocBuf::new();
        let (mut from, mut counted, mut before, mut index) = (0, 0, 0, 0);
        // Nothing is looked for behind the last character, except in an empty text.
        while (from < text.len() || from == 0) && self.next(&regex, &mut places, text, from)? {
            let (start, end) = places.get(0).unwrap_or((from, from));
            before += count_code_points(&text[counted..start]);
            counted = start;
            let open = out.push_document(index);
            append_match(&mut out, &places, text, before);
            out.close(open);
            check_bytes(out.byte_len())?;
            index += 1;
            from = if end > start {
                end
            } else {
                // An empty match: on behind the next character.
                let rest = text.get(end + 1..).unwrap_or_default();
                end + 1 + rest.iter().take_while(|&&byte| byte & 0xC0 == 0x80).count()
            };
        }
        Ok(Value::Array(out.finish()).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.args.iter().for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Arc::get_mut(&mut self.args)
            .into_iter()
            .flatten()
            .try_for_each(visit)
    }

    /// Compiles a constant expression once.
    fn fold(&mut self) -> Result<Option<Expr>> {
        let known = |expr: &Expr| expr.is_constant() || expr.is_absent();
        if known(&self.args[1]) && known(&self.args[2]) {
            let value = |expr: &Expr| expr.as_constant().cloned().unwrap_or(Value::Missing);
            let (regex, options) = (value(&self.args[1]), value(&self.args[2]));
            self.constant = Some(self.compile(regex.as_ref(), options.as_ref())?);
        }
        Ok(None)
    }
}
