//! Database names on the wire: `project`, `project~branch`, `project~branch~point`.

use argon_storage::Lsn;

/// Longest database name in bytes. Source: MongoDB manual, "MongoDB Limits and Thresholds", "Length of Database Names".
pub const DATABASE_NAME_BYTES_MAX: usize = 63;

/// The branch that every project has.
pub const MAIN: &str = "main";

/// Names that are Argon's own and never a project.
pub const RESERVED: &[&str] = &["admin", "config", "local"];

/// A database name taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseName<'a> {
    /// The project.
    pub project: &'a str,
    /// The branch's wire name; `main` where the name has no `~`.
    pub branch: &'a str,
    /// The point in the branch's history, where the name has one.
    pub point: Option<Point>,
}

/// A point in a branch's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// After the entry at this LSN.
    Lsn(Lsn),
    /// At this instant, in milliseconds since the epoch: after the last record that was not later.
    Instant(i64),
}

/// Why a name is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

impl<'a> DatabaseName<'a> {
    /// Takes `name` apart.
    ///
    /// # Errors
    /// [`InvalidName`] for characters and lengths that MongoDB refuses, and for a malformed `~` form.
    pub fn parse(name: &'a str) -> Result<DatabaseName<'a>, InvalidName> {
        if name.is_empty() || name.len() > DATABASE_NAME_BYTES_MAX {
            return Err(invalid(name));
        }
        // MongoDB manual, "Naming Restrictions"; `*<>:|?` are refused by servers on Windows only.
        if name.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
            return Err(invalid(name));
        }
        let mut parts = name.split('~');
        let project = parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or_else(|| invalid(name))?;
        let branch = match parts.next() {
            None => MAIN,
            Some("") => return Err(invalid(name)),
            Some(branch) => branch,
        };
        let point = match parts.next() {
            None => None,
            Some(text) => Some(Point::parse(text).ok_or_else(|| {
                InvalidName(format!(
                    "'{text}' in database name '{name}' is no point in history: give an LSN (1234) or an instant \
                     in UTC (20261120T090000Z)"
                ))
            })?),
        };
        if parts.next().is_some() {
            return Err(invalid(name));
        }
        Ok(DatabaseName {
            project,
            branch,
            point,
        })
    }
}

impl Point {
    fn parse(text: &str) -> Option<Point> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(|lsn| Point::Lsn(Lsn(lsn)));
        }
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let number = |part: Option<&str>| -> Option<i64> {
            let part = part?;
            part.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| part.parse().ok())?
        };
        if date.len() != 8 || !matches!(time.len(), 4 | 6) {
            return None;
        }
        let (year, month, day) = (
            number(date.get(..4))?,
            number(date.get(4..6))?,
            number(date.get(6..))?,
        );
        let (hour, minute) = (number(time.get(..2))?, number(time.get(2..4))?);
        let second = if time.len() == 6 {
            number(time.get(4..))?
        } else {
            0
        };
        let valid = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        valid.then(|| {
            let days = days_from_civil(year, month, day);
            Point::Instant((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
        })
    }
}

/// Days from the epoch to a date of the proleptic Gregorian calendar (years start in March, so leap days end them).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The wire name of a branch called `name` (free text, as in git): what a database name cannot hold becomes `-`.
///
/// # Errors
/// [`InvalidName`] if nothing is left of it, or if `project~name` would be longer than MongoDB allows.
pub fn wire_name(project: &str, name: &str) -> Result<String, InvalidName> {
    let wire: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '@' | '=') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let wire = wire.trim_matches('-').to_owned();
    if wire.is_empty() {
        return Err(InvalidName(format!(
            "branch name '{name}' has no letter or digit"
        )));
    }
    let whole = project.len() + 1 + wire.len();
    if whole > DATABASE_NAME_BYTES_MAX {
        return Err(InvalidName(format!(
            "database name '{project}~{wire}' would have {whole} bytes; MongoDB allows \
             {DATABASE_NAME_BYTES_MAX}"
        )));
    }
    Ok(wire)
}

fn invalid(name: &str) -> InvalidName {
    InvalidName(format!("Invalid database name: '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        let check = |name, project, branch, point| {
            assert_eq!(
                DatabaseName::parse(name),
                Ok(DatabaseName {
                    project,
                    branch,
                    point
                }),
                "{name}"
            );
        };
        check("shop", "shop", "main", None);
        check("shop~main", "shop", "main", None);
        check("shop~feature-x", "shop", "feature-x", None);
        check(
            "shop~feature-x~1234",
            "shop",
            "feature-x",
            Some(Point::Lsn(Lsn(1234))),
        );
        check(
            "shop~main~20261120T090000Z",
            "shop",
            "main",
            Some(Point::Instant(1_795_165_200_000)),
        );
        check("s~m~19700101T0000Z", "s", "m", Some(Point::Instant(0)));
        check(
            "s~m~20000229T000001Z",
            "s",
            "m",
            Some(Point::Instant(951_782_401_000)),
        );
    }

    #[test]
    fn malformed_names_are_refused() {
        let long = "x".repeat(64);
        for name in [
            "", "a b", "a/b", "a.b", "~x", "x~", "x~~1", "x~y~z", "x~y~1~2", "a$b", &long,
        ] {
            assert!(DatabaseName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn branch_names_become_wire_names() {
        assert_eq!(wire_name("shop", "feature/x"), Ok("feature-x".to_owned()));
        assert_eq!(
            wire_name("shop", "fix #12: überall"),
            Ok("fix--12--überall".to_owned())
        );
        assert!(wire_name("shop", "///").is_err());
        assert!(wire_name(&"s".repeat(60), "abc").is_err());
    }
}
