//! Stages that make documents, follow references, or write: `$densify`, `$graphLookup`, `$bucketAuto`, `$out`, `$merge`.

use super::document::number;
use super::expression::literal;
use super::random::Random;

/// `$densify` over the whole numbers or the dates of typed documents, and whether the order is open.
pub(super) fn densify(random: &mut Random) -> (String, bool) {
    let partition = random.pick(&["", "", ", \"partitionByFields\": [\"s\"]"]);
    let is_date = random.chance(30);
    let (field, step, explicit) = if is_date {
        let unit = random.pick(&["\"year\"", "\"month\""]);
        (
            "t",
            format!("\"step\": {}, \"unit\": {unit}", 6 * (1 + random.below(4))),
            "[{\"$date\": \"2000-01-01T00:00:00Z\"}, {\"$date\": \"2003-01-01T00:00:00Z\"}]",
        )
    } else {
        (
            "i",
            format!("\"step\": {}", random.pick(&["1", "2", "0.5", "1.5"])),
            "[-2, 3]",
        )
    };
    let bounds = random.pick(&["\"full\"", "\"partition\"", explicit]);
    // The partitions come in no order that is promised, and dates beside numbers fail.
    let match_ = if is_date {
        "{\"$match\": {\"t\": {\"$type\": \"date\", \"$gte\": {\"$date\": \"1999-01-01T00:00:00Z\"}, \"$lt\": {\"$date\": \"2030-01-01T00:00:00Z\"}}}}, "
    } else {
        ""
    };
    (
        format!(
            "{match_}{{\"$densify\": {{\"field\": \"{field}\"{partition}, \"range\": {{{step}, \"bounds\": {bounds}}}}}}}"
        ),
        true,
    )
}

/// `$graphLookup` among the documents of `d`, with what it finds in an order of its own.
pub(super) fn graph_lookup(random: &mut Random) -> String {
    let start = random.pick(&["$i", "$k", "$n", "$v"]);
    let from = random.pick(&["i", "n", "k", "v.a"]);
    let to = random.pick(&["i", "n", "k", "_id"]);
    let mut options = String::new();
    if random.chance(50) {
        options.push_str(&format!(", \"maxDepth\": {}", random.below(3)));
    }
    if random.chance(50) {
        options.push_str(", \"depthField\": \"depth\"");
    }
    if random.chance(30) {
        options.push_str(", \"restrictSearchWithMatch\": {\"n\": {\"$gt\": 0}}");
    }
    format!(
        "{{\"$graphLookup\": {{\"from\": \"d\", \"startWith\": \"{start}\", \"connectFromField\": \"{from}\", \"connectToField\": \"{to}\", \"as\": \"w\"{options}}}}}, \
         {{\"$set\": {{\"w\": {{\"$sortArray\": {{\"input\": \"$w\", \"sortBy\": {{\"_id\": 1}}}}}}}}}}"
    )
}

/// `$bucketAuto` by a field of typed documents, which are sorted first: values that are equal but of another type
/// would show which of them came first.
pub(super) fn bucket_auto(random: &mut Random) -> String {
    let by = random.pick(&["n", "i", "v", "s", "l"]);
    let buckets = 1 + random.below(5);
    let granularity = if random.chance(30) {
        format!(
            ", \"granularity\": \"{}\"",
            random.pick(&["R5", "R10", "1-2-5", "E6", "POWERSOF2"])
        )
    } else {
        String::new()
    };
    let output = random.pick(&[
        "",
        ", \"output\": {\"r\": {\"$push\": \"$_id\"}}",
        ", \"output\": {\"r\": {\"$sum\": \"$i\"}, \"f\": {\"$first\": \"$s\"}}",
        ", \"output\": {\"r\": {\"$max\": \"$n\"}}",
    ]);
    format!(
        "{{\"$bucketAuto\": {{\"groupBy\": \"${by}\", \"buckets\": {buckets}{granularity}{output}}}}}"
    )
}

/// `$out` or `$merge` into `d`. Forms that fail half-way are left out: what they leave behind differs on purpose.
pub(super) fn sink(random: &mut Random) -> String {
    if random.chance(25) {
        return "{\"$out\": \"d\"}".to_owned();
    }
    let matched = match random.below(6) {
        0 => "\"replace\"".to_owned(),
        1 => "\"keepExisting\"".to_owned(),
        2 => "\"merge\"".to_owned(),
        3 => format!(
            "[{{\"$set\": {{\"z\": {{\"$add\": [\"$$new.y\", {}]}}}}}}]",
            number(random)
        ),
        4 => format!(
            "[{{\"$set\": {{\"z\": \"$$new.i\", \"q\": {}}}}}, {{\"$unset\": \"l\"}}]",
            literal(&number(random))
        ),
        _ => return "{\"$merge\": \"d\"}".to_owned(),
    };
    let otherwise = random.pick(&["\"insert\"", "\"discard\""]);
    format!(
        "{{\"$merge\": {{\"into\": \"d\", \"whenMatched\": {matched}, \"whenNotMatched\": {otherwise}}}}}"
    )
}
