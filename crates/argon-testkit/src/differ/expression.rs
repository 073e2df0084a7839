//! Expressions that mostly get the types they want, over the fields of `typed_document`.

use super::document::{date, integer, number, string, value};
use super::random::Random;

/// What an operator takes or gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Array,
    Bool,
    Date,
    Integer,
    Number,
    Object,
    String,
}

use Kind::{Any, Array, Bool, Date, Integer, Number, Object, String as Text};

/// Operators that take their arguments in a list: what they give, and what they take.
const PLAIN: &[(Kind, &str, &[Kind])] = &[
    (Number, "$abs", &[Number]),
    (Number, "$add", &[Number, Number]),
    (Number, "$add", &[Number, Number, Number]),
    (Number, "$ceil", &[Number]),
    (Number, "$divide", &[Number, Number]),
    (Number, "$exp", &[Integer]),
    (Number, "$floor", &[Number]),
    (Number, "$ln", &[Number]),
    (Number, "$log", &[Number, Integer]),
    (Number, "$log10", &[Number]),
    (Number, "$mod", &[Number, Number]),
    (Number, "$multiply", &[Number, Number]),
    // The last digit of decimals to a power and of angles differs, so whole numbers only.
    (Number, "$pow", &[Integer, Integer]),
    (Number, "$round", &[Number, Integer]),
    (Number, "$sqrt", &[Number]),
    (Number, "$subtract", &[Number, Number]),
    (Number, "$trunc", &[Number, Integer]),
    (Number, "$atan2", &[Integer, Integer]),
    (Number, "$degreesToRadians", &[Number]),
    (Number, "$sum", &[Array]),
    (Number, "$avg", &[Array]),
    (Number, "$max", &[Array]),
    (Number, "$min", &[Any, Any]),
    (Number, "$stdDevPop", &[Array]),
    (Number, "$stdDevSamp", &[Array]),
    (Integer, "$size", &[Array]),
    (Integer, "$cmp", &[Any, Any]),
    (Integer, "$strLenCP", &[Text]),
    (Integer, "$strLenBytes", &[Text]),
    (Integer, "$strcasecmp", &[Text, Text]),
    (Integer, "$indexOfArray", &[Array, Any]),
    (Integer, "$indexOfCP", &[Text, Text]),
    (Integer, "$indexOfBytes", &[Text, Text]),
    (Integer, "$year", &[Date]),
    (Integer, "$month", &[Date]),
    (Integer, "$dayOfYear", &[Date]),
    (Integer, "$isoWeek", &[Date]),
    (Integer, "$hour", &[Date]),
    (Integer, "$millisecond", &[Date]),
    (Integer, "$bsonSize", &[Object]),
    (Integer, "$toInt", &[Any]),
    (Integer, "$toLong", &[Any]),
    (Number, "$toDouble", &[Any]),
    (Number, "$toDecimal", &[Any]),
    (Bool, "$toBool", &[Any]),
    (Date, "$toDate", &[Date]),
    (Text, "$toString", &[Any]),
    (Text, "$toLower", &[Text]),
    (Text, "$toUpper", &[Text]),
    (Text, "$concat", &[Text, Text]),
    (Text, "$type", &[Any]),
    (Text, "$substrCP", &[Text, Integer, Integer]),
    (Text, "$substrBytes", &[Text, Integer, Integer]),
    (Bool, "$eq", &[Any, Any]),
    (Bool, "$ne", &[Any, Any]),
    (Bool, "$gt", &[Any, Any]),
    (Bool, "$gte", &[Any, Any]),
    (Bool, "$lt", &[Any, Any]),
    (Bool, "$lte", &[Any, Any]),
    (Bool, "$and", &[Any, Any]),
    (Bool, "$or", &[Any, Any]),
    (Bool, "$not", &[Any]),
    (Bool, "$in", &[Any, Array]),
    (Bool, "$isArray", &[Any]),
    (Bool, "$isNumber", &[Any]),
    (Bool, "$setEquals", &[Array, Array]),
    (Bool, "$setIsSubset", &[Array, Array]),
    (Bool, "$allElementsTrue", &[Array]),
    (Bool, "$anyElementTrue", &[Array]),
    (Array, "$concatArrays", &[Array, Array]),
    (Array, "$reverseArray", &[Array]),
    (Array, "$slice", &[Array, Integer]),
    (Array, "$slice", &[Array, Integer, Integer]),
    (Array, "$setUnion", &[Array, Array]),
    (Array, "$setIntersection", &[Array, Array]),
    (Array, "$setDifference", &[Array, Array]),
    (Array, "$range", &[Integer, Integer]),
    (Array, "$objectToArray", &[Object]),
    (Array, "$split", &[Text, Text]),
    (Any, "$arrayElemAt", &[Array, Integer]),
    (Any, "$first", &[Array]),
    (Any, "$last", &[Array]),
    (Any, "$ifNull", &[Any, Any]),
    (Any, "$cond", &[Any, Any, Any]),
    (Object, "$mergeObjects", &[Object, Object]),
];

/// Operators with named arguments; `{n}`, `{s}`… stand for an expression of that kind.
const NAMED: &[(Kind, &str)] = &[
    (Text, "{\"$trim\": {\"input\": {s}}}"),
    (Text, "{\"$ltrim\": {\"input\": {s}, \"chars\": {s}}}"),
    (Text, "{\"$rtrim\": {\"input\": {s}, \"chars\": \"a \"}}"),
    (
        Text,
        "{\"$replaceOne\": {\"input\": {s}, \"find\": {s}, \"replacement\": {s}}}",
    ),
    (
        Text,
        "{\"$replaceAll\": {\"input\": {s}, \"find\": \"a\", \"replacement\": {s}}}",
    ),
    (
        Text,
        "{\"$dateToString\": {\"date\": {d}, \"format\": \"%Y-%m-%dT%H:%M:%S.%LZ %j %G-W%V-%u %z\"}}",
    ),
    (
        Text,
        "{\"$dateToString\": {\"date\": {d}, \"timezone\": \"America/New_York\"}}",
    ),
    (
        Bool,
        "{\"$regexMatch\": {\"input\": {s}, \"regex\": \"^a\"}}",
    ),
    (
        Object,
        "{\"$regexFind\": {\"input\": {s}, \"regex\": \"(a)(x)?\"}}",
    ),
    (
        Array,
        "{\"$regexFindAll\": {\"input\": {s}, \"regex\": \"[ab]*\"}}",
    ),
    (Object, "{\"$dateToParts\": {\"date\": {d}}}"),
    (
        Object,
        "{\"$dateToParts\": {\"date\": {d}, \"iso8601\": true, \"timezone\": \"+05:30\"}}",
    ),
    (
        Date,
        "{\"$dateAdd\": {\"startDate\": {d}, \"unit\": \"month\", \"amount\": {i}}}",
    ),
    (
        Date,
        "{\"$dateSubtract\": {\"startDate\": {d}, \"unit\": \"day\", \"amount\": {i}, \"timezone\": \"Europe/Paris\"}}",
    ),
    (
        Date,
        "{\"$dateTrunc\": {\"date\": {d}, \"unit\": \"week\", \"startOfWeek\": \"monday\"}}",
    ),
    (
        Date,
        "{\"$dateTrunc\": {\"date\": {d}, \"unit\": \"hour\", \"binSize\": 5}}",
    ),
    (
        Integer,
        "{\"$dateDiff\": {\"startDate\": {d}, \"endDate\": {d}, \"unit\": \"day\"}}",
    ),
    (
        Integer,
        "{\"$dateDiff\": {\"startDate\": {d}, \"endDate\": {d}, \"unit\": \"quarter\"}}",
    ),
    (
        Date,
        "{\"$dateFromParts\": {\"year\": 2020, \"month\": {i}, \"day\": {i}}}",
    ),
    (
        Array,
        "{\"$map\": {\"input\": {l}, \"as\": \"x\", \"in\": {\"$ifNull\": [\"$$x\", {v}]}}}",
    ),
    (
        Array,
        "{\"$map\": {\"input\": {l}, \"in\": [\"$$this\", {n}]}}",
    ),
    (
        Array,
        "{\"$filter\": {\"input\": {l}, \"cond\": {\"$gte\": [\"$$this\", {v}]}}}",
    ),
    (
        Array,
        "{\"$filter\": {\"input\": {l}, \"as\": \"x\", \"cond\": {\"$isNumber\": \"$$x\"}, \"limit\": 2}}",
    ),
    (
        Number,
        "{\"$reduce\": {\"input\": \"$k\", \"initialValue\": {n}, \"in\": {\"$add\": [\"$$value\", \"$$this\"]}}}",
    ),
    (
        Array,
        "{\"$reduce\": {\"input\": {l}, \"initialValue\": [], \"in\": {\"$concatArrays\": [[\"$$this\"], \"$$value\"]}}}",
    ),
    (Array, "{\"$zip\": {\"inputs\": [{l}, {l}]}}"),
    (
        Array,
        "{\"$zip\": {\"inputs\": [{l}, {l}], \"useLongestLength\": true, \"defaults\": [7, null]}}",
    ),
    (Array, "{\"$sortArray\": {\"input\": {l}, \"sortBy\": 1}}"),
    (
        Array,
        "{\"$sortArray\": {\"input\": {l}, \"sortBy\": {\"a\": -1}}}",
    ),
    (Array, "{\"$firstN\": {\"input\": {l}, \"n\": 2}}"),
    (Array, "{\"$lastN\": {\"input\": {l}, \"n\": 2}}"),
    (Array, "{\"$maxN\": {\"input\": {l}, \"n\": 2}}"),
    (Array, "{\"$minN\": {\"input\": {l}, \"n\": 2}}"),
    (Object, "{\"$arrayToObject\": {\"$objectToArray\": {o}}}"),
    (
        Object,
        "{\"$setField\": {\"field\": \"x\", \"input\": {o}, \"value\": {v}}}",
    ),
    (
        Object,
        "{\"$unsetField\": {\"field\": \"a\", \"input\": {o}}}",
    ),
    (Any, "{\"$getField\": {\"field\": \"a\", \"input\": {o}}}"),
    (
        Any,
        "{\"$let\": {\"vars\": {\"x\": {v}}, \"in\": [\"$$x\", {v}]}}",
    ),
    (
        Any,
        "{\"$switch\": {\"branches\": [{\"case\": {b}, \"then\": {v}}], \"default\": {v}}}",
    ),
    (
        Any,
        "{\"$convert\": {\"input\": {v}, \"to\": \"int\", \"onError\": {v}, \"onNull\": {s}}}",
    ),
    (
        Any,
        "{\"$convert\": {\"input\": {v}, \"to\": \"string\", \"onError\": \"e\"}}",
    ),
    (
        Any,
        "{\"$convert\": {\"input\": {v}, \"to\": \"decimal\", \"onError\": \"e\"}}",
    ),
    (
        Any,
        "{\"$convert\": {\"input\": {v}, \"to\": \"date\", \"onError\": \"e\"}}",
    ),
    (
        Any,
        "{\"$cond\": {\"if\": {b}, \"then\": {v}, \"else\": {v}}}",
    ),
];

/// An expression that gives a value as it is, whatever dollars are in it.
pub(super) fn literal(value: &str) -> String {
    format!("{{\"$literal\": {value}}}")
}

/// An expression, `depth` operators deep at most.
pub(super) fn expression(random: &mut Random, kind: Kind, depth: usize) -> String {
    // Now and then one of another type, which most operators refuse.
    let kind = if random.chance(4) { Any } else { kind };
    if depth == 0 || random.chance(30) {
        return leaf(random, kind);
    }
    let fits = |given: Kind| given == kind || kind == Any || (kind == Number && given == Integer);
    // Constant time would need a table per kind; drawing until one fits is as good.
    for _ in 0..64 {
        let draw = random.below(PLAIN.len() + NAMED.len());
        if let Some((given, name, takes)) = PLAIN.get(draw) {
            if fits(*given) {
                let args: Vec<String> = takes
                    .iter()
                    .map(|kind| expression(random, *kind, depth - 1))
                    .collect();
                return format!("{{\"{name}\": [{}]}}", args.join(", "));
            }
        } else if let Some((given, template)) = NAMED.get(draw - PLAIN.len())
            && fits(*given)
        {
            return fill(random, template, depth - 1);
        }
    }
    leaf(random, kind)
}

/// Fills in a template of [`NAMED`].
pub(super) fn fill(random: &mut Random, template: &str, depth: usize) -> String {
    random.fill(template, &mut |random, mark| {
        let kind = match mark {
            b'b' => Bool,
            b'd' => Date,
            b'i' => Integer,
            b'l' => Array,
            b'n' => Number,
            b'o' => Object,
            b's' => Text,
            _ => Any,
        };
        expression(random, kind, depth)
    })
}

fn leaf(random: &mut Random, kind: Kind) -> String {
    let field = |random: &mut Random, names: &[&str]| format!("\"${}\"", random.pick(names));
    if random.chance(65) {
        return match kind {
            Any => field(
                random,
                &[
                    "n", "i", "s", "t", "l", "o", "v", "v", "v.a", "l.a", "o.b", "x",
                ],
            ),
            Array => field(random, &["l", "k", "l"]),
            Bool => format!("{{\"$gt\": [\"$n\", {}]}}", number(random)),
            Date => field(random, &["t"]),
            Integer => field(random, &["i"]),
            Number => field(random, &["n", "m", "i"]),
            Object => field(random, &["o"]),
            Text => field(random, &["s", "r"]),
        };
    }
    match kind {
        Any => literal(&value(random, 1)),
        Array => format!(
            "[{}]",
            random.list(0, 3, |random| literal(&value(random, 0)))
        ),
        Bool => random.pick(&["true", "false"]).to_owned(),
        Date => date(random),
        Integer => integer(random),
        Number => number(random),
        Object => format!("{{\"a\": {}}}", literal(&value(random, 0))),
        Text => literal(&string(random)),
    }
}
