//! Collation: strings compared by the rules of a language.
//!
//! The rules are the Unicode Collation Algorithm with CLDR's tailorings, as in MongoDB, through ICU4X; MongoDB 6.0 has
//! ICU 57 of 2016 and so an older table, in which some characters newer than that, and a few rarely used ones, stand
//! elsewhere. What ICU4X has no data or no setting for is refused.
//!
//! Source: MongoDB manual, "Collation", "Collation Locales and Default Parameters".

use std::cmp::Ordering;
use std::sync::Arc;

use bstr::BStr;
use bytes::Bytes;
use icu_collator::options::{AlternateHandling, CaseLevel, CollatorOptions, MaxVariable, Strength};
use icu_collator::preferences::{CollationCaseFirst, CollationNumericOrdering};
use icu_collator::{CollatorBorrowed, CollatorPreferences};
use icu_locale_core::Locale;

use crate::catalogue::Entry;
use crate::value::{Doc, DocBuf, Number, ValueRef};
use crate::{Error, ErrorCode, Result};

/// The locales that mongod 6.0.5 knows, sorted.
const LOCALES: &[&str] = &[
    "af",
    "am",
    "ar",
    "as",
    "az",
    "be",
    "bg",
    "bn",
    "bo",
    "bs",
    "bs_Cyrl",
    "ca",
    "chr",
    "cs",
    "cy",
    "da",
    "de",
    "de_AT",
    "dsb",
    "dz",
    "ee",
    "el",
    "en",
    "en_US",
    "en_US_POSIX",
    "eo",
    "es",
    "et",
    "fa",
    "fa_AF",
    "fi",
    "fil",
    "fo",
    "fr",
    "fr_CA",
    "ga",
    "gl",
    "gu",
    "ha",
    "haw",
    "he",
    "hi",
    "hr",
    "hsb",
    "hu",
    "hy",
    "id",
    "ig",
    "is",
    "it",
    "ja",
    "ka",
    "kk",
    "kl",
    "km",
    "kn",
    "ko",
    "kok",
    "ky",
    "lb",
    "lkt",
    "ln",
    "lo",
    "lt",
    "lv",
    "mk",
    "ml",
    "mn",
    "mr",
    "ms",
    "mt",
    "my",
    "nb",
    "ne",
    "nl",
    "nn",
    "om",
    "or",
    "pa",
    "pl",
    "ps",
    "pt",
    "ro",
    "ru",
    "se",
    "si",
    "sk",
    "sl",
    "smn",
    "sq",
    "sr",
    "sr_Latn",
    "sv",
    "sw",
    "ta",
    "te",
    "th",
    "to",
    "tr",
    "ug",
    "uk",
    "ur",
    "vi",
    "wae",
    "yi",
    "yo",
    "zh",
    "zh_Hant",
    "zu",
];

/// Variants of locales (`locale@collation=variant`) that there is data for: locale, MongoDB's name, BCP 47's.
const VARIANTS: &[(&str, &str, &str)] = &[
    ("ar", "compat", "compat"),
    ("bn", "traditional", "trad"),
    ("de", "phonebook", "phonebk"),
    ("de_AT", "phonebook", "phonebk"),
    ("es", "traditional", "trad"),
    ("fi", "traditional", "trad"),
    ("ja", "unihan", "unihan"),
    ("kn", "traditional", "trad"),
    ("ko", "unihan", "unihan"),
    ("si", "dictionary", "dict"),
    ("sv", "standard", "standard"),
    ("vi", "traditional", "trad"),
];

/// Languages without rules of their own, for which those of Canadian French are the root's with accents compared from
/// the end.
const ROOT_LANGUAGES: &[&str] = &[
    "en", "en_US", "fr", "fr_CA", "it", "nl", "pt", "de", "id", "ga", "ms",
];

/// The version of the tables that mongod 6.0.5 names.
const VERSION: &str = "57.1";

/// A collation other than the simple one, which compares bytes and is written as no collation at all. Cheap to clone.
#[derive(Clone)]
pub struct Collation(Arc<Inner>);

struct Inner {
    collator: CollatorBorrowed<'static>,
    document: Bytes,
}

impl std::fmt::Debug for Collation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collation({})", Doc::new(&self.0.document))
    }
}

impl PartialEq for Collation {
    fn eq(&self, other: &Collation) -> bool {
        self.0.document == other.0.document
    }
}

impl Eq for Collation {}

impl Collation {
    /// Parses a collation document; the simple collation gives `None`.
    ///
    /// # Errors
    /// MongoDB's own: `BadValue` for an unknown locale or value, Location40415 for an unknown field.
    pub fn parse(document: Doc<'_>) -> Result<Option<Collation>> {
        let spec = Spec::read(document)?;
        if spec.locale == "simple" {
            return Ok(None);
        }
        let (preferences, backwards) = spec.preferences(document)?;
        let collator = CollatorBorrowed::try_new(preferences, spec.options())
            .map_err(|_| spec.invalid_locale(document))?;
        Ok(Some(Collation(Arc::new(Inner {
            collator,
            document: spec.write(backwards),
        }))))
    }

    /// The whole specification, defaults included, as `listIndexes` shows it.
    pub fn document(&self) -> &Bytes {
        &self.0.document
    }

    /// The order of two strings.
    pub fn compare(&self, a: &BStr, b: &BStr) -> Ordering {
        self.0.collator.compare_utf8(a, b)
    }

    /// Appends bytes whose order is that of the strings.
    pub fn append_key(&self, out: &mut Vec<u8>, text: &BStr) {
        let Ok(()) = self.0.collator.write_sort_key_utf8_to(text, out);
    }
}

/// The fields of a collation document.
pub fn entries() -> impl Iterator<Item = Entry> {
    FIELDS.iter().copied().map(Entry::known)
}

const FIELDS: &[&str] = &[
    "locale",
    "caseLevel",
    "caseFirst",
    "strength",
    "numericOrdering",
    "alternate",
    "maxVariable",
    "normalization",
    "backwards",
    "version",
];

/// The fields of a collation document, checked one by one.
struct Spec {
    locale: String,
    strength: i64,
    case_level: bool,
    case_first: Option<CaseFirst>,
    numeric: bool,
    alternate: Option<AlternateHandling>,
    max_variable: Option<MaxVariable>,
    normalization: bool,
    backwards: Option<bool>,
}

#[derive(Clone, Copy)]
enum CaseFirst {
    Off,
    Upper,
    Lower,
}

impl Spec {
    fn read(document: Doc<'_>) -> Result<Spec> {
        let mut spec = Spec {
            locale: String::new(),
            strength: 3,
            case_level: false,
            case_first: None,
            numeric: false,
            alternate: None,
            max_variable: None,
            normalization: false,
            backwards: None,
        };
        let mut has_locale = false;
        for element in document.iter() {
            let value = element.value();
            let optional = !matches!(&**element.key(), b"locale" | b"backwards");
            // A null is no value; of the locale, too, which then is missing.
            let is_locale = *element.key() == "locale";
            if (optional || is_locale)
                && matches!(value, ValueRef::Null)
                && FIELDS.iter().any(|name| element.key() == *name)
            {
                continue;
            }
            match element.key().as_ref() as &[u8] {
                b"locale" => {
                    spec.locale = text("locale", value)?;
                    has_locale = true;
                }
                b"caseLevel" => spec.case_level = boolean("caseLevel", value)?,
                b"caseFirst" => {
                    spec.case_first = Some(match text("caseFirst", value)?.as_str() {
                        "off" => CaseFirst::Off,
                        "upper" => CaseFirst::Upper,
                        "lower" => CaseFirst::Lower,
                        other => return Err(not_listed("caseFirst", other)),
                    });
                }
                b"strength" => spec.strength = strength(value)?,
                b"numericOrdering" => spec.numeric = boolean("numericOrdering", value)?,
                b"alternate" => {
                    spec.alternate = Some(match text("alternate", value)?.as_str() {
                        "non-ignorable" => AlternateHandling::NonIgnorable,
                        "shifted" => AlternateHandling::Shifted,
                        other => return Err(not_listed("alternate", other)),
                    });
                }
                b"maxVariable" => {
                    spec.max_variable = Some(match text("maxVariable", value)?.as_str() {
                        "punct" => MaxVariable::Punctuation,
                        "space" => MaxVariable::Space,
                        other => return Err(not_listed("maxVariable", other)),
                    });
                }
                b"normalization" => spec.normalization = boolean("normalization", value)?,
                b"backwards" => match value {
                    ValueRef::Bool(value) => spec.backwards = Some(value),
                    other => {
                        return Err(Error::type_mismatch(format!(
                            "Field 'backwards' should be a boolean value, but found: {}",
                            other.type_name()
                        )));
                    }
                },
                b"version" => {
                    let version = text("version", value)?;
                    if version != VERSION {
                        return Err(Error::new(
                            ErrorCode::IncompatibleCollationVersion,
                            format!(
                                "Requested collation version {version} but the only available collator version was {VERSION}. Requested collation spec: {document}"
                            ),
                        ));
                    }
                }
                _ => {
                    return Err(Error::location(
                        40415,
                        format!(
                            "BSON field 'collation.{}' is an unknown field.",
                            element.key()
                        ),
                    ));
                }
            }
        }
        if !has_locale {
            return Err(Error::location(
                40414,
                "BSON field 'collation.locale' is missing but a required field",
            ));
        }
        let orders_cases = !matches!(spec.case_first, None | Some(CaseFirst::Off));
        if orders_cases && !spec.case_level && spec.strength < 3 {
            return Err(Error::bad_value(format!(
                "'caseFirst' is invalid unless 'caseLevel' is on or 'strength' is greater than 2 in: {document}"
            )));
        }
        if spec.locale.is_empty() {
            return Err(Error::bad_value(format!(
                "Field 'locale' cannot be the empty string in: {document}"
            )));
        }
        if spec.backwards == Some(true) && spec.strength == 1 {
            return Err(Error::bad_value(format!(
                "'backwards' is invalid with 'strength' of 1 in: {document}"
            )));
        }
        Ok(spec)
    }

    /// The locale and what belongs to it, and whether accents compare from the end.
    fn preferences(&self, document: Doc<'_>) -> Result<(CollatorPreferences, bool)> {
        let (name, variant) = match self.locale.split_once("@collation=") {
            Some((name, variant)) => (name, Some(variant)),
            None => (self.locale.as_str(), None),
        };
        if LOCALES.binary_search(&name).is_err() {
            return Err(self.invalid_locale(document));
        }
        let default_backwards = name == "fr_CA";
        let backwards = self.backwards.unwrap_or(default_backwards);
        let base = match (backwards, default_backwards) {
            (true, false) if ROOT_LANGUAGES.contains(&name) && variant.is_none() => "fr_CA",
            (true, false) => {
                return Err(Error::bad_value(format!(
                    "'backwards' is not supported for this locale in: {document}"
                )));
            }
            (false, true) => "fr",
            _ => name,
        };
        let base = match base {
            // POSIX's own order is not among CLDR's languages; it is a variant of American English.
            "en_US_POSIX" => "en-US-u-va-posix".to_owned(),
            base => base.replace('_', "-"),
        };
        let tag = match variant {
            None => base,
            Some(variant) => {
                let row = VARIANTS
                    .iter()
                    .find(|row| row.0 == name && row.1 == variant)
                    .ok_or_else(|| self.invalid_locale(document))?;
                format!("{base}-u-co-{}", row.2)
            }
        };
        let locale: Locale = tag.parse().map_err(|_| self.invalid_locale(document))?;
        let mut preferences = CollatorPreferences::from(&locale);
        preferences.case_first = self.case_first.map(|first| match first {
            CaseFirst::Off => CollationCaseFirst::False,
            CaseFirst::Upper => CollationCaseFirst::Upper,
            CaseFirst::Lower => CollationCaseFirst::Lower,
        });
        preferences.numeric_ordering = Some(if self.numeric {
            CollationNumericOrdering::True
        } else {
            CollationNumericOrdering::False
        });
        Ok((preferences, backwards))
    }

    fn options(&self) -> CollatorOptions {
        let mut options = CollatorOptions::default();
        options.strength = Some(match self.strength {
            1 => Strength::Primary,
            2 => Strength::Secondary,
            4 => Strength::Quaternary,
            5 => Strength::Identical,
            _ => Strength::Tertiary,
        });
        options.case_level = Some(if self.case_level {
            CaseLevel::On
        } else {
            CaseLevel::Off
        });
        // Thai shifts by default, though mongod does not say so in the specification.
        options.alternate_handling = self.alternate;
        options.max_variable = self.max_variable;
        options
    }

    fn write(&self, backwards: bool) -> Bytes {
        let mut out = DocBuf::with_capacity(256);
        out.append("locale", ValueRef::String(self.locale.as_str().into()));
        out.append("caseLevel", ValueRef::Bool(self.case_level));
        let case_first = match self.case_first {
            None | Some(CaseFirst::Off) => "off",
            Some(CaseFirst::Upper) => "upper",
            Some(CaseFirst::Lower) => "lower",
        };
        out.append("caseFirst", ValueRef::String(case_first.into()));
        let strength = i32::try_from(self.strength).unwrap_or(3);
        out.append("strength", ValueRef::Int32(strength));
        out.append("numericOrdering", ValueRef::Bool(self.numeric));
        let shifted = matches!(self.alternate, Some(AlternateHandling::Shifted));
        let alternate = if shifted { "shifted" } else { "non-ignorable" };
        out.append("alternate", ValueRef::String(alternate.into()));
        let space = matches!(self.max_variable, Some(MaxVariable::Space));
        let max_variable = if space { "space" } else { "punct" };
        out.append("maxVariable", ValueRef::String(max_variable.into()));
        out.append("normalization", ValueRef::Bool(self.normalization));
        out.append("backwards", ValueRef::Bool(backwards));
        out.append("version", ValueRef::String(VERSION.into()));
        out.finish()
    }

    #[cold]
    fn invalid_locale(&self, document: Doc<'_>) -> Error {
        let meant = LOCALES
            .iter()
            .find(|known| known.eq_ignore_ascii_case(&self.locale.replace('-', "_")));
        let hint = meant
            .map(|known| format!(". Did you mean '{known}'?"))
            .unwrap_or_default();
        Error::bad_value(format!("Field 'locale' is invalid in: {document}{hint}"))
    }
}

fn text(name: &str, value: ValueRef<'_>) -> Result<String> {
    match value {
        ValueRef::String(text) => Ok(text.to_string()),
        other => Err(wrong_type(name, other, "type 'string'")),
    }
}

fn boolean(name: &str, value: ValueRef<'_>) -> Result<bool> {
    match value {
        ValueRef::Bool(value) => Ok(value),
        other => Err(wrong_type(name, other, "type 'bool'")),
    }
}

fn strength(value: ValueRef<'_>) -> Result<i64> {
    let Some(number) = Number::from_value(value) else {
        return Err(wrong_type(
            "strength",
            value,
            "types '[long, int, decimal, double']",
        ));
    };
    match number.to_i64_saturated() {
        strength @ 1..=5 => Ok(strength),
        0 => Err(not_listed("strength", "0")),
        strength @ 6.. => Err(Error::location(
            51024,
            format!("BSON field 'strength' value must be <= 5, actual value '{strength}'"),
        )),
        strength => Err(Error::location(
            51024,
            format!("BSON field 'strength' value must be >= 0, actual value '{strength}'"),
        )),
    }
}

#[cold]
fn wrong_type(name: &str, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field 'collation.{name}' is the wrong type '{}', expected {expected}",
        value.type_name()
    ))
}

#[cold]
fn not_listed(name: &str, value: &str) -> Error {
    Error::bad_value(format!(
        "Enumeration value '{value}' for field 'collation.{name}' is not a valid value."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn parse(spec: &bson::Document) -> Result<Option<Collation>> {
        Collation::parse(Doc::new(&spec.to_vec().unwrap()))
    }

    #[test]
    fn every_locale_has_a_collator() {
        assert!(LOCALES.is_sorted() && VARIANTS.is_sorted());
        for locale in LOCALES {
            assert!(
                parse(&doc! {"locale": *locale}).unwrap().is_some(),
                "{locale}"
            );
        }
        for (locale, variant, _) in VARIANTS {
            let locale = format!("{locale}@collation={variant}");
            assert!(
                parse(&doc! {"locale": &locale}).unwrap().is_some(),
                "{locale}"
            );
        }
    }

    #[test]
    fn writes_defaults_as_mongod_does() {
        let collation = parse(&doc! {"strength": 2.5, "locale": "fr_CA"})
            .unwrap()
            .unwrap();
        assert_eq!(
            Doc::new(collation.document()).to_string(),
            "{ locale: \"fr_CA\", caseLevel: false, caseFirst: \"off\", strength: 2, numericOrdering: false, \
             alternate: \"non-ignorable\", maxVariable: \"punct\", normalization: false, backwards: true, version: \"57.1\" }"
        );
        assert!(
            parse(&doc! {"locale": "simple", "strength": 2})
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn refuses_what_mongod_refuses() {
        for (spec, code) in [
            (doc! {}, 40414),
            (doc! {"locale": 5}, 14),
            (doc! {"locale": ""}, 2),
            (doc! {"locale": "xx"}, 2),
            (doc! {"locale": "en-US"}, 2),
            (doc! {"locale": "en@collation=foo"}, 2),
            (doc! {"locale": "en", "strength": 0}, 2),
            (doc! {"locale": "en", "strength": 6}, 51024),
            (doc! {"locale": "en", "strength": "x"}, 14),
            (doc! {"locale": "en", "caseLevel": 1}, 14),
            (doc! {"locale": "en", "caseFirst": "x"}, 2),
            (doc! {"locale": "en", "strength": 1, "backwards": true}, 2),
            (doc! {"locale": "en", "backwards": "x"}, 14),
            (doc! {"locale": "en", "version": "1"}, 161),
            (doc! {"locale": "simple", "foo": 1}, 40415),
        ] {
            assert_eq!(parse(&spec).unwrap_err().code().number(), code, "{spec}");
        }
    }
}
