//! Expressions over values of every type, whether the operator wants them or not.

use super::document::{array, date, integer, number, object, scalar, string, value};
use super::random::Random;

/// Operators of one argument. Trigonometry and logarithms are left out: of decimals the last digit differs.
const ONE: &[&str] = &[
    "$abs",
    "$allElementsTrue",
    "$anyElementTrue",
    "$arrayToObject",
    "$avg",
    "$binarySize",
    "$bsonSize",
    "$ceil",
    "$concat",
    "$concatArrays",
    "$dayOfMonth",
    "$dayOfWeek",
    "$dayOfYear",
    "$first",
    "$floor",
    "$hour",
    "$isArray",
    "$isNumber",
    "$isoDayOfWeek",
    "$isoWeek",
    "$isoWeekYear",
    "$last",
    "$max",
    "$mergeObjects",
    "$millisecond",
    "$min",
    "$minute",
    "$month",
    "$not",
    "$objectToArray",
    "$reverseArray",
    "$round",
    "$second",
    "$setUnion",
    "$size",
    "$sqrt",
    "$stdDevPop",
    "$stdDevSamp",
    "$strLenBytes",
    "$strLenCP",
    "$sum",
    "$toBool",
    "$toDate",
    "$toDecimal",
    "$toDouble",
    "$toInt",
    "$toLong",
    "$toLower",
    "$toObjectId",
    "$toString",
    "$toUpper",
    "$trunc",
    "$tsIncrement",
    "$tsSecond",
    "$type",
    "$week",
    "$year",
];

/// Operators of two.
const TWO: &[&str] = &[
    "$add",
    "$and",
    "$arrayElemAt",
    "$avg",
    "$cmp",
    "$concat",
    "$concatArrays",
    "$divide",
    "$eq",
    "$gt",
    "$gte",
    "$ifNull",
    "$in",
    "$indexOfArray",
    "$indexOfBytes",
    "$indexOfCP",
    "$lt",
    "$lte",
    "$max",
    "$mergeObjects",
    "$min",
    "$mod",
    "$multiply",
    "$ne",
    "$or",
    "$range",
    "$round",
    "$setDifference",
    "$setEquals",
    "$setIntersection",
    "$setIsSubset",
    "$setUnion",
    "$slice",
    "$split",
    "$strcasecmp",
    "$subtract",
    "$sum",
    "$trunc",
];

/// Operators of three.
const THREE: &[&str] = &[
    "$add",
    "$cond",
    "$ifNull",
    "$indexOfArray",
    "$indexOfBytes",
    "$indexOfCP",
    "$multiply",
    "$range",
    "$setEquals",
    "$slice",
    "$substrBytes",
    "$substrCP",
    "$substr",
];

/// Operators with named arguments, some of which get a value of another type.
const NAMED: &[&str] = &[
    r#"{"$trim": {"input": {s}, "chars": {s}}}"#,
    r#"{"$ltrim": {"input": {s}}}"#,
    r#"{"$replaceOne": {"input": {s}, "find": {s}, "replacement": {s}}}"#,
    r#"{"$replaceAll": {"input": {s}, "find": {s}, "replacement": {s}}}"#,
    r#"{"$regexMatch": {"input": {s}, "regex": {s}}}"#,
    r#"{"$regexFind": {"input": {s}, "regex": "a", "options": {s}}}"#,
    r#"{"$dateToString": {"date": {d}, "format": {s}, "onNull": {v}}}"#,
    r#"{"$dateFromString": {"dateString": {s}, "onError": {v}, "onNull": {v}}}"#,
    r#"{"$dateToParts": {"date": {d}, "iso8601": {b}}}"#,
    r#"{"$dateFromParts": {"year": {i}, "month": {i}, "day": {i}, "hour": {i}}}"#,
    r#"{"$dateFromParts": {"isoWeekYear": {i}, "isoWeek": {i}, "isoDayOfWeek": {i}, "millisecond": {i}}}"#,
    r#"{"$dateAdd": {"startDate": {d}, "unit": "day", "amount": {i}}}"#,
    r#"{"$dateDiff": {"startDate": {d}, "endDate": {d}, "unit": "hour"}}"#,
    r#"{"$dateTrunc": {"date": {d}, "unit": "month", "binSize": {i}}}"#,
    r#"{"$map": {"input": {l}, "in": "$$this"}}"#,
    r#"{"$filter": {"input": {l}, "cond": {b}, "limit": {i}}}"#,
    r#"{"$reduce": {"input": {l}, "initialValue": {v}, "in": ["$$this", "$$value"]}}"#,
    r#"{"$zip": {"inputs": [{l}, {l}], "useLongestLength": true, "defaults": [{v}, {v}]}}"#,
    r#"{"$sortArray": {"input": {l}, "sortBy": {"a": 1, "b": -1}}}"#,
    r#"{"$firstN": {"input": {l}, "n": {i}}}"#,
    r#"{"$lastN": {"input": {l}, "n": {i}}}"#,
    r#"{"$maxN": {"input": {l}, "n": {i}}}"#,
    r#"{"$minN": {"input": {l}, "n": {i}}}"#,
    r#"{"$getField": {"field": "a", "input": {o}}}"#,
    r#"{"$setField": {"field": "a", "input": {o}, "value": {v}}}"#,
    r#"{"$unsetField": {"field": "b", "input": {o}}}"#,
    r#"{"$switch": {"branches": [{"case": {b}, "then": 1}, {"case": {v}, "then": {v}}], "default": {v}}}"#,
    r#"{"$cond": {"if": {v}, "then": {v}, "else": {v}}}"#,
    r#"{"$let": {"vars": {"x": {v}, "y": {n}}, "in": {"$eq": ["$$x", "$$y"]}}}"#,
    r#"{"$arrayToObject": [[[{s}, {v}], [{s}, {v}]]]}"#,
    r#"{"$arrayToObject": [[{"k": {s}, "v": {v}}]]}"#,
    r#"{"$objectToArray": {o}}"#,
    r#"{"a": {v}, "b": {"c": {v}}}"#,
    r#"[{v}, [{v}], {"a": {v}}]"#,
];

/// An operator with arguments that are fields or constants of any type.
pub(super) fn expression(random: &mut Random) -> String {
    let (names, count) = match random.below(5) {
        0 => (ONE, 1),
        1 | 2 => (TWO, 2),
        3 => (THREE, 3),
        _ => {
            let template = random.pick(NAMED);
            // One argument at most is of another type: which of two mistakes counts is nobody's concern.
            let mut odd = random.below(4);
            return random.fill(template, &mut |random, mark| {
                odd = odd.wrapping_sub(1);
                let mark = if odd == 0 { b'v' } else { mark };
                argument(random, mark)
            });
        }
    };
    let name = random.pick(names);
    let args: Vec<String> = (0..count).map(|_| any(random)).collect();
    format!("{{\"{name}\": [{}]}}", args.join(", "))
}

fn argument(random: &mut Random, mark: u8) -> String {
    let value = match mark {
        b'b' => random.pick(&["true", "false", "1", "0", "null"]).to_owned(),
        b'd' => date(random),
        b'i' => integer(random),
        b'l' => array(random, 1),
        b'n' => number(random),
        b'o' => object(random, 1),
        b's' => string(random),
        _ => return any(random),
    };
    super::expression::literal(&value)
}

/// A field or a constant. What the fields hold is known to neither server before it runs.
fn any(random: &mut Random) -> String {
    if random.chance(60) {
        return random
            .pick(&[
                "\"$v\"", "\"$w\"", "\"$n\"", "\"$m\"", "\"$l\"", "\"$x\"", "\"$v.a\"", "\"$s\"",
            ])
            .to_owned();
    }
    super::expression::literal(&value(random, 1))
}

/// A document whose fields `v` and `w` hold any type.
pub(super) fn document(random: &mut Random, id: usize) -> String {
    format!(
        "{{\"_id\": {id}, \"v\": {}, \"w\": {}, \"n\": {}, \"m\": {}, \"l\": {}, \"s\": {}}}",
        value(random, 2),
        scalar(random),
        number(random),
        number(random),
        array(random, 1),
        string(random)
    )
}

/// Strings that nearly are numbers, dates and identifiers.
const TEXTS: &[&str] = &[
    "0",
    "-0",
    "1",
    "+1",
    " 1",
    "1 ",
    "1.0",
    "1.5",
    "-1.5e3",
    "1e400",
    "0x1F",
    "1_000",
    "",
    "-",
    ".5",
    "5.",
    "2147483648",
    "9223372036854775808",
    "-9223372036854775808",
    "1e-400",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "inf",
    "true",
    "false",
    "507f1f77bcf86cd799439011",
    "507F1F77BCF86CD79943901",
    "2020-01-01",
    "2020-01-01T00:00:00",
    "2020-02-30",
    "2020-01-01T00:00:00+02:00",
    "1.7976931348623157e308",
    "1E+6144",
    "1E+7000",
    "0.1000000000000000000000000000000000000000001",
    "99999999999999999999999999999999999",
];

/// Numbers at the edges of the types they are converted to.
const EDGES: &[&str] = &[
    "2147483647.5",
    "2147483648.0",
    "-2147483648.9",
    "-2147483649.0",
    "9223372036854775807.0",
    "-9223372036854775808.0",
    "9.3e18",
    "1e-320",
    r#"{"$numberDecimal": "2147483647.9"}"#,
    r#"{"$numberDecimal": "9223372036854775807.4"}"#,
    r#"{"$numberDecimal": "1E-6176"}"#,
    r#"{"$numberDecimal": "1E+400"}"#,
    r#"{"$numberDecimal": "-0.00"}"#,
    r#"{"$numberLong": "253402300800000"}"#,
    r#"{"$numberLong": "-62135596800001"}"#,
    "123456789.123456789",
    "1e21",
    "1e-7",
    "0.000001",
    r#"{"$date": {"$numberLong": "9223372036854775807"}}"#,
    r#"{"$date": {"$numberLong": "-62167219200001"}}"#,
];

/// A conversion to every type, with every way out.
pub(super) fn conversion(random: &mut Random) -> String {
    let input = match random.below(4) {
        0 => format!("\"{}\"", random.pick(TEXTS)),
        1 => random.pick(EDGES).to_owned(),
        2 => scalar(random),
        _ => "7".to_owned(),
    };
    let input = if input == "7" {
        "\"$v\"".to_owned()
    } else {
        super::expression::literal(&input)
    };
    let to = random.pick(&[
        "\"double\"",
        "\"string\"",
        "\"objectId\"",
        "\"bool\"",
        "\"date\"",
        "\"int\"",
        "\"long\"",
        "\"decimal\"",
        "1",
        "2",
        "7",
        "8",
        "9",
        "16",
        "18",
        "19",
        "\"array\"",
        "\"nope\"",
        "1.5",
        "null",
        "-1",
        "\"$x\"",
        "4",
        "\"number\"",
    ]);
    // Mostly a type that exists.
    let to = if random.chance(70) && !to.starts_with('"') {
        "\"string\""
    } else {
        to
    };
    let mut options = String::new();
    if random.chance(30) {
        options.push_str(&format!(", \"onError\": {}", any(random)));
    }
    if random.chance(30) {
        options.push_str(&format!(", \"onNull\": {}", any(random)));
    }
    format!("{{\"$convert\": {{\"input\": {input}, \"to\": {to}{options}}}}}")
}
