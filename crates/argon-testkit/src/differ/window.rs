//! `$setWindowFields` with every function and window, and `$fill`.

use super::document::integer;
use super::random::Random;

/// A document with a number, a date and a group, in an order that has no ties but by number.
pub(super) fn document(random: &mut Random, id: usize) -> String {
    let value = |random: &mut Random| match random.below(8) {
        0 => "null".to_owned(),
        1 => random
            .pick(&["\"a\"", "[1, 2]", "{\"x\": 1}", "true"])
            .to_owned(),
        2 => random
            .pick(&[
                "1.5",
                "-0.5",
                "{\"$numberDecimal\": \"2.5\"}",
                "{\"$numberLong\": \"5\"}",
            ])
            .to_owned(),
        _ => integer(random),
    };
    let (v, x) = (value(random), value(random));
    let mut fields = format!(
        "\"_id\": {id}, \"n\": {}, \"t\": {{\"$date\": \"2020-0{}-{:02}T0{}:00:00Z\"}}, \"g\": \"{}\"",
        integer(random),
        1 + random.below(3),
        1 + random.below(28),
        random.below(10),
        random.pick(&["a", "b"])
    );
    if random.chance(85) {
        fields.push_str(&format!(", \"v\": {v}"));
    }
    if random.chance(60) {
        fields.push_str(&format!(", \"x\": {x}"));
    }
    format!("{{{fields}}}")
}

/// A pipeline with one window, in the order of `_id` in the end.
pub(super) fn pipeline(random: &mut Random) -> String {
    let stage = if random.chance(20) {
        fill(random)
    } else {
        windows(random)
    };
    format!("[{stage}, {{\"$sort\": {{\"_id\": 1}}}}]")
}

fn fill(random: &mut Random) -> String {
    let partition = random.pick(&[
        "",
        "\"partitionByFields\": [\"g\"], ",
        "\"partitionBy\": {\"y\": \"$g\"}, ",
    ]);
    let field = random.pick(&["v", "x", "y"]);
    let output = random.pick(&[
        "{\"method\": \"locf\"}",
        "{\"method\": \"linear\"}",
        "{\"value\": \"$n\"}",
        "{\"value\": 7}",
    ]);
    let sort = random.pick(&["_id", "t", "n"]);
    // Equal sort keys leave open which comes first.
    let sort = if output.contains("linear") {
        // Not one with ties, of which mongod sees either that or values that are no numbers first.
        "{\"_id\": 1}".to_owned()
    } else if sort == "_id" {
        format!("{{\"{sort}\": 1}}")
    } else {
        format!("{{\"{sort}\": 1, \"_id\": 1}}")
    };
    format!(
        "{{\"$fill\": {{{partition}\"sortBy\": {sort}, \"output\": {{\"{field}\": {output}}}}}}}"
    )
}

fn windows(random: &mut Random) -> String {
    let partition = random.pick(&[
        "",
        "\"partitionBy\": \"$g\", ",
        "\"partitionBy\": {\"$type\": \"$v\"}, ",
    ]);
    let what = random.pick(&["$v", "$x", "$n", "$v", "$n"]);
    let direction = random.pick(&["1", "1", "-1"]);
    let (sort, output) = match random.below(9) {
        0 => {
            let name = random.pick(&["$rank", "$denseRank", "$documentNumber"]);
            let sort = if name == "$documentNumber" {
                "\"n\": 1, \"_id\": 1"
            } else {
                "\"n\": 1"
            };
            (sort.to_owned(), format!("{{\"{name}\": {{}}}}"))
        }
        1 => {
            let by = random.pick(&["1", "-1", "0", "3", "-2"]);
            let default = random.pick(&["", ", \"default\": \"none\"", ", \"default\": null"]);
            (
                by_id(direction),
                format!("{{\"$shift\": {{\"output\": \"{what}\", \"by\": {by}{default}}}}}"),
            )
        }
        2 => {
            let name = random.pick(&["$derivative", "$integral"]);
            let (sort, unit) = if random.chance(50) {
                (
                    "t",
                    random.pick(&[
                        ", \"unit\": \"hour\"",
                        ", \"unit\": \"day\"",
                        ", \"unit\": \"week\"",
                        "",
                    ]),
                )
            } else {
                ("_id", "")
            };
            let window = window(random, false);
            (
                format!("\"{sort}\": 1"),
                format!("{{\"{name}\": {{\"input\": \"$n\"{unit}}}, {window}}}"),
            )
        }
        3 => {
            let how = random.pick(&["\"N\": 2", "\"alpha\": 0.3", "\"N\": 1", "\"N\": 5"]);
            (
                by_id(direction),
                format!("{{\"$expMovingAvg\": {{\"input\": \"{what}\", {how}}}}}"),
            )
        }
        4 => {
            let name = random.pick(&["$covariancePop", "$covarianceSamp"]);
            (
                by_id(direction),
                format!(
                    "{{\"{name}\": [\"$n\", \"$_id\"], {}}}",
                    window(random, false)
                ),
            )
        }
        5 => (
            by_id("1"),
            format!(
                "{{\"{}\": \"{what}\"}}",
                random.pick(&["$linearFill", "$locf"])
            ),
        ),
        6 => {
            let name = random.pick(&["$firstN", "$lastN", "$minN", "$maxN"]);
            (
                by_id(direction),
                format!(
                    "{{\"{name}\": {{\"input\": \"{what}\", \"n\": 2}}, {}}}",
                    window(random, false)
                ),
            )
        }
        7 => {
            let (name, n) = if random.chance(50) {
                ("$top", "")
            } else {
                ("$bottomN", ", \"n\": 2")
            };
            (
                by_id(direction),
                format!(
                    "{{\"{name}\": {{\"sortBy\": {{\"n\": 1, \"_id\": -1}}, \"output\": \"{what}\"{n}}}, {}}}",
                    window(random, false)
                ),
            )
        }
        _ => {
            let name = random.pick(&[
                "$sum",
                "$avg",
                "$min",
                "$max",
                "$push",
                "$first",
                "$last",
                "$stdDevPop",
                "$stdDevSamp",
                "$count",
                "$addToSet",
            ]);
            let range = random.chance(40);
            let what = if name == "$count" {
                "{}".to_owned()
            } else {
                format!("\"{what}\"")
            };
            // Windows of values over equal keys leave the order open to those that see it.
            let sort = if range && matches!(name, "$push" | "$first" | "$last") {
                "\"_id\": 1".to_owned()
            } else if range {
                "\"n\": 1".to_owned()
            } else {
                by_id(direction)
            };
            let output = format!("{{\"{name}\": {what}, {}}}", window(random, range));
            (sort, output)
        }
    };
    // mongod 6.0.5 takes the types of one partition's averages over to the next.
    let partition = if output.contains("$expMovingAvg") {
        ""
    } else {
        partition
    };
    let stage = format!(
        "{{\"$setWindowFields\": {{{partition}\"sortBy\": {{{sort}}}, \"output\": {{\"w\": {output}}}}}}}"
    );
    if output.contains("$addToSet") {
        return format!(
            "{stage}, {{\"$set\": {{\"w\": {{\"$sortArray\": {{\"input\": \"$w\", \"sortBy\": 1}}}}}}}}"
        );
    }
    stage
}

fn by_id(direction: &str) -> String {
    format!("\"_id\": {direction}")
}

fn window(random: &mut Random, range: bool) -> String {
    let ends = random.pick(&[
        "[-1, 1]",
        "[\"unbounded\", \"current\"]",
        "[\"current\", \"unbounded\"]",
        "[-2, 0]",
        "[0, 2]",
        "[1, 3]",
        "[-3, -1]",
        "[\"unbounded\", \"unbounded\"]",
        "[\"unbounded\", 1]",
        "[-1, \"unbounded\"]",
        "[\"current\", \"current\"]",
        "[2, 1]",
        "[-1, \"current\"]",
    ]);
    format!(
        "\"window\": {{\"{}\": {ends}}}",
        if range { "range" } else { "documents" }
    )
}
