//! Completions of many styles with the numbers that are read, and the rewards of hacks.

use alft_sdk::{Prompt, Reader, Verifier, dispatch};
use proptest::prelude::*;

use crate::Numeric;
use crate::table::UNITS;
use crate::unit::Unit;

fn plugin(config: &str) -> Numeric {
    dispatch::configure(config).unwrap()
}

fn prompt(gold: &str, metadata: &str) -> Prompt {
    Prompt { id: "q7".into(), gold: Some(gold.into()), metadata: metadata.into(), ..Prompt::default() }
}

fn read(config: &str, completion: &str) -> Option<String> {
    plugin(config).read(&Prompt::default(), completion).unwrap()
}

/// Returns the score of a completion; `None` if no answer is read.
fn score_with(config: &str, metadata: &str, gold: &str, completion: &str) -> Result<Option<f64>, String> {
    let prompt = prompt(gold, metadata);
    let plugin = plugin(config);
    let Some(answer) = plugin.read(&prompt, completion).map_err(|error| error.to_string())? else { return Ok(None) };
    plugin.score(&prompt, &answer).map(Some).map_err(|error| error.to_string())
}

fn accepts(config: &str, gold: &str, answer: &str) -> bool {
    score_with(config, "{}", gold, answer).unwrap() == Some(1.0)
}

#[test]
fn the_number_is_found_in_completions_of_many_styles() {
    for (completion, key) in [
        ("42", Some("42")),
        ("42.", Some("42")),
        ("The answer is 42.", Some("42")),
        ("The answer is **42**.", Some("42")),
        ("The answer is $42$.", Some("42")),
        ("**Answer:** 42", Some("42")),
        ("Answer: \\boxed{42}", Some("42")),
        ("so we get\n\\[\n\\boxed{\\frac{3}{4}}\n\\]", Some("3/4")),
        ("#### 1,234", Some("1234")),
        ("She has 3 ducks, and sells 12 eggs for $18.", Some("18")),
        ("Total: $1,234.50", Some("2469/2")),
        ("x = -7", Some("-7")),
        ("It is \u{2212}3 below", Some("-3")),
        ("-$5.25", Some("-21/4")),
        ("10-3", Some("3")),
        ("- 5 apples", Some("5")),
        ("The answer is 6.02e23", Some("602000000000000000000000")),
        ("The answer is 1.2e-3", Some("3/2500")),
        ("The answer is 3 × 10^8", Some("300000000")),
        ("The answer is $3 \\times 10^{8}$", Some("300000000")),
        ("The answer is 3*10**-2", Some("3/100")),
        ("The answer is 2.5 x 10⁻³", Some("1/400")),
        ("The answer is 10^6", Some("1000000")),
        ("The answer is 3/4", Some("3/4")),
        ("The answer is 1 3/4", Some("7/4")),
        ("The answer is $1\\frac34$", Some("7/4")),
        ("The answer is 2½", Some("5/2")),
        ("The answer is .5", Some("1/2")),
        ("The answer is 3.5 million", Some("3500000")),
        ("The answer is 1\\,234\\,567", Some("1234567")),
        ("The answer is 1{,}234", Some("1234")),
        ("The answer is 28%", Some("28 %")),
        ("The answer is 28\\%.", Some("28 %")),
        ("The answer is 12.5 percent", Some("25/2 %")),
        ("The answer is €20", Some("20")),
        ("The answer is 20 dollars", Some("20")),
        ("The answer is 18 eggs.", Some("18")),
        ("So F = m a = 2 * 3 = 6", Some("6")),
        ("The answer is x = 5.", Some("5")),
        ("The answer is approximately $\\approx 3.14$", Some("157/50")),
        ("The answer is 0.0", Some("0")),
        ("答案是42。", Some("42")),
        ("The answer is 5 (five).", Some("5")),
        ("The answer is 2 and only 2.", Some("2")),
        ("<think>so 41? The answer is 41.</think>The answer is 42", Some("42")),
        // Not one number.
        ("The answer is 41 or 42", None),
        ("The answer is between 0 and 42", None),
        ("The answer is not 42", None),
        ("The answer is 42, unless I am wrong", None),
        ("The answer is 42 + 0", None),
        ("The answer is 42abc", None),
        ("The answer is x42", None),
        ("The answer is 4\u{200b}2", None),
        ("The answer is 12/25/2020", None),
        ("The answer is 10:30", None),
        ("The answer is 1.2.3", None),
        ("The answer is 1,23", None),
        ("The answer is 2^10", None),
        ("The answer is 5!", None),
        ("The answer is 1e999999999", None),
        ("The answer is \\sqrt{2}", None),
        ("The answer is forty-two", None),
        ("It is not 42", None),
        ("The answer isn't 42", None),
        ("The answer is 3/0", None),
        ("The answer is:", None),
        ("no number", None),
        ("", None),
    ] {
        assert_eq!(read("{}", completion).as_deref(), key, "{completion:?}");
    }
}

#[test]
fn a_number_is_read_whole_or_not_at_all() {
    for (text, key) in [
        (".5", Some("1/2")),
        ("-.5", Some("-1/2")),
        ("1500 / 1", Some("1500")),
        ("1500/ 1", Some("1500")),
        ("1500 1/1", Some("1501")),
        ("11\u{a0}5/6", Some("71/6")),
        ("11 5 / 6", Some("71/6")),
        ("2 ½", Some("5/2")),
        ("10 / 4 km", Some("2500 m")),
        ("1\u{a0}500", Some("1500")),
        ("1\u{202f}500", Some("1500")),
        ("1\u{2009}500", Some("1500")),
        ("1_500", Some("1500")),
        ("1.5*10^3", Some("1500")),
        ("1.5 × 10^3", Some("1500")),
        ("1.5×10³", Some("1500")),
        ("1/1.5e3", Some("1/1500")),
        ("3e3/2", Some("1500")),
        ("wait...5", Some("5")),
        ("1.5e3e1", None),
        ("1e3.2", None),
        ("1..5", None),
        ("1,5,00", None),
        ("12,5", None),
        ("1_50", None),
        ("1__500", None),
        ("1\u{a0}50", None),
        ("1'500", None),
        ("0x5dc", None),
        ("1 / 2 / 3", None),
        ("1/2 / 3", None),
        ("3 / 0", None),
        ("10 km / 4", None),
        ("1.5×10³ × 10^2", None),
        ("1.5×10^401", None),
        ("1e-99999999999", None),
        ("1e99999999999999999999999", None),
        ("x^2", None),
        ("2³", None),
    ] {
        for completion in [text.to_owned(), format!("So it is\n{text}."), format!("The answer is {text}.")] {
            assert_eq!(read("{}", &completion).as_deref(), key, "{completion:?}");
        }
        // An earlier number of the line is not taken for it.
        assert_eq!(read("{}", &format!("from 7 to {text}")).as_deref(), key, "{text:?}");
        let gold = plugin("{}").gold(&prompt(text, "{}")).ok().map(|gold| gold.key());
        assert_eq!(gold.as_deref(), key, "{text:?}");
    }
}

#[test]
fn solutions_of_models_are_graded_as_by_people() {
    let config = r#"{"units": "ignored"}"#;
    let mut otherwise = Vec::new();
    for line in include_str!("../../../examples/solutions/gsm8k.jsonl").lines() {
        let question: serde_json::Value = serde_json::from_str(line).unwrap();
        let gold = question["gold"].as_str().unwrap();
        let verdicts = question["completions"].as_array().unwrap().iter().zip(question["correct"].as_array().unwrap());
        for (completion, correct) in verdicts {
            let completion = completion.as_str().unwrap();
            if accepts(config, gold, completion) != correct.as_bool().unwrap() {
                otherwise.push(completion.to_owned());
            }
        }
    }
    assert_eq!(otherwise, Vec::<String>::new());
}

#[test]
fn units_are_converted_exactly() {
    for same in [
        &["1 km", "1000 m", "1.0e3 m", "100000 cm", "1 kilometer", "1 kilometre", "1\\text{ km}", "1\\,\\mathrm{km}"][..],
        &["90 km/h", "25 m/s", "90 kph", "25 m s^-1", "25 m·s⁻¹", "25 meters per second", "25\\ \\mathrm{m\\,s^{-1}}"],
        &["1 mi", "1609.344 m", "5280 ft", "5280 feet", "1 mile"],
        &["1 in", "2.54 cm", "1 inch", "25.4 mm"],
        &["2 h", "120 min", "7200 s", "2 hours", "120 minutes"],
        &["2 L", "2 liters", "2000 mL", "2 dm^3", "2000 cm³", "2000 cubic centimeters", "0.002 m3"],
        &["0 °C", "273.15 K", "32 °F", "0 degrees Celsius", "32 degrees Fahrenheit", "0^\\circ\\text{C}"],
        &["1 atm", "101325 Pa", "101.325 kPa", "760 torr", "1.01325 bar"],
        &["1 kWh", "3.6 MJ", "3600 kJ", "3600000 N m", "3600000 Nm", "3600000 W s", "3600000 kg m^2/s^2"],
        &["1 cal", "4.184 J", "0.001 kcal"],
        &["1 lb", "0.45359237 kg", "453.59237 g", "16 oz"],
        &["9.8 m/s^2", "9.8 m/s/s", "9.8 m s^-2", "9.8 meters per second squared", "9.8 N/kg"],
        &["63 in", "5 ft 3 in", "5 feet 3 inches", "5 feet and 3 inches"],
        &["150 min", "2 h 30 min", "2 hours and 30 minutes", "2 hours, 30 minutes"],
        &["3661 s", "1 h 1 min 1 s", "1 hour, 1 minute and 1 second", "61 min 1 s"],
        &["5 m/s", "5 \\frac{m}{s}", "5\\,\\frac{\\text{m}}{\\mathrm{s}}"],
        &["20 °C", "20ºC", "20 degrees C"],
        &[
            "8.314 J/(mol K)",
            "8.314 J/mol·K",
            "8.314 \\frac{J}{mol\\cdot K}",
            "8.314 J/mol/K",
            "8.314 J mol^-1 K^-1",
            "8.314 J mol⁻¹ K⁻¹",
        ],
        &["10 kΩ", "10000 ohms", "0.01 MΩ", "10 kV/A"],
        &["5 µm", "5 μm", "5 um", "5000 nm", "5 micrometers", "5 microns"],
        &["1 MB", "8000000 bits", "1000 kB", "1000000 bytes"],
        &["36 months", "3 years"],
    ] {
        let keys: Vec<_> = same.iter().map(|text| read("{}", text)).collect();
        assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{same:?}: {keys:?}");
    }
    for (text, key) in [
        ("45°", "45 deg"),
        ("45 degrees", "45 deg"),
        ("2 rad", "2 rad"),
        ("5 in the box", "5"),
        ("5 A students", "5"),
        ("5 A", "5 A"),
        ("30 dB", "30"),
        ("5 am", "5"),
        ("3 mol/L", "3000 m^-3 mol"),
        ("0.1 M", "100 m^-3 mol"),
        ("5 m long", "5 m"),
        ("5 m/m", "5 1"),
    ] {
        assert_eq!(read("{}", text).as_deref(), Some(key), "{text}");
    }
    assert_eq!(read("{}", "The answer is 5 km (5000 m)").as_deref(), Some("5000 m"));
    for hedge in ["5 km (3.1 miles)", "5 km 6 km", "2.5 h, 30 min", "5 m, 6 km", "2 h or 30 min", "5 km 3 kg", "5 km 3"]
    {
        assert_eq!(read("{}", &format!("The answer is {hedge}")), None, "{hedge}");
    }
    assert_eq!(read(r#"{"units": "ignored"}"#, "5 km").as_deref(), Some("5"));
    assert_eq!(read(r#"{"units": "ignored"}"#, "5%").as_deref(), Some("5 %"));
}

#[test]
fn settings_name_the_place_of_the_answer() {
    let tags = r#"{"tags": ["<answer>", "</answer>"]}"#;
    for (config, completion, key) in [
        (tags, "41 <answer> 42 </answer> 43", Some("42")),
        (tags, "<answer>\\boxed{42 \\text{ km}}</answer>", Some("42000 m")),
        (tags, "<answer>41 or 42</answer>", None),
        (tags, "The answer is 42", None),
        (r#"{"marker": "=>"}"#, "=> 41\n=> 42 km\n43", Some("42000 m")),
        (r#"{"strict": true}"#, "so 42", None),
    ] {
        assert_eq!(read(config, completion).as_deref(), key, "{config} {completion:?}");
    }
}

#[test]
fn the_table_of_units_is_consistent() {
    let mut seen = std::collections::BTreeSet::new();
    for (symbols, names, prefixed, dimension, _) in UNITS {
        for symbol in symbols.split(' ').chain(names.split(' ')).filter(|symbol| !symbol.is_empty()) {
            assert!(seen.insert(symbol), "{symbol} is there twice");
            let unit = Unit::parse(symbol).unwrap_or_else(|| panic!("{symbol} is not read"));
            assert_eq!(unit.dimension(), *dimension, "{symbol}");
        }
        for name in names.split(' ').filter(|name| !name.is_empty() && *name != "hertz" && *name != "siemens") {
            let plural = match name {
                "foot" => "feet".to_owned(),
                "inch" => "inches".to_owned(),
                "century" => "centuries".to_owned(),
                _ => format!("{name}s"),
            };
            assert_eq!(Unit::parse(&plural), Unit::parse(name), "{plural}");
            let thousand = Unit::parse(&format!("kilo{name}"));
            assert_eq!(thousand.is_some(), *prefixed, "kilo{name}");
        }
    }
    // A symbol with a prefix is not taken for another unit, nor a unit for a prefix.
    for (symbol, same) in
        [("min", "60 s"), ("cd", "1 cd"), ("Pa", "1 Pa"), ("mol", "1000 mmol"), ("ft", "12 in"), ("T", "1000 mT")]
    {
        assert_eq!(read("{}", &format!("1 {symbol}")), read("{}", same), "{symbol}");
    }
}

#[test]
fn gold_units_are_required_optional_or_ignored() {
    let optional = r#"{"units": "optional"}"#;
    let ignored = r#"{"units": "ignored"}"#;
    for (config, gold, answer, accepted) in [
        ("{}", "1 km", "1000 m", true),
        ("{}", "1 km", "1 m", false),
        ("{}", "1 km", "1", false),
        ("{}", "1 km", "1 kg", false),
        (optional, "1 km", "1", true),
        (optional, "1 km", "1000", false),
        (optional, "1 km", "1 m", false),
        (ignored, "1 km", "1 m", true),
        (ignored, "1 km", "1000 m", false),
        (ignored, "3", "3 hours", true),
        ("{}", "25 °C", "298.15 K", true),
        ("{}", "\\boxed{5}", "5.0", true),
        ("{}", "so 5 and 6\n#### 7", "7", true),
        ("{}", "18", "$18.00", true),
        ("{}", "28%", "28", true),
        ("{}", "28%", "0.28", true),
        ("{}", "0.28", "28%", true),
        ("{}", "28", "28%", true),
        ("{}", "28%", "2.8", false),
        ("{}", "28%", "28 m", false),
        (r#"{"percent": "same"}"#, "28%", "28", false),
        (r#"{"percent": "same"}"#, "28%", "28 %", true),
    ] {
        assert_eq!(accepts(config, gold, answer), accepted, "{config} {gold} {answer}");
    }
    let unknown = score_with("{}", "{}", "3", "3 hours").unwrap_err();
    assert!(unknown.contains("prompt q7 has a unit and its gold answer has none") && unknown.contains("`unit`"));
    let hours = r#"{"unit": "hours"}"#;
    assert_eq!(score_with("{}", hours, "3", "3 hours"), Ok(Some(1.0)));
    assert_eq!(score_with("{}", hours, "3", "180 min"), Ok(Some(1.0)));
    assert_eq!(score_with("{}", hours, "3", "3"), Ok(Some(1.0)));
    assert_eq!(score_with("{}", hours, "3", "3 km"), Ok(Some(0.0)));
    assert_eq!(score_with("{}", r#"{"unit": ""}"#, "3", "3 km"), Ok(Some(0.0)));
    assert_eq!(score_with("{}", r#"{"unit": "$\\mathrm{m/s}$"}"#, "3", "10.8 km/h"), Ok(Some(1.0)));
    assert!(
        score_with("{}", r#"{"unit": "smoot"}"#, "3", "3").unwrap_err().contains("the unit of prompt q7 is \"smoot\"")
    );
}

#[test]
fn the_tolerance_is_absolute_relative_or_by_rounding() {
    for (config, gold, answer, accepted) in [
        ("{}", "1/3", "0.3333333333333333", false),
        (r#"{"absolute": 0.01}"#, "3.14", "3.15", true),
        (r#"{"absolute": 0.01}"#, "3.14", "3.13", true),
        (r#"{"absolute": 0.01}"#, "3.14", "3.1500001", false),
        (r#"{"relative": 0.05}"#, "200", "210", true),
        (r#"{"relative": 0.05}"#, "200", "190", true),
        (r#"{"relative": 0.05}"#, "-200", "-189.9", false),
        (r#"{"relative": 0.05}"#, "0", "0.0000001", false),
        (r#"{"relative": 0.01}"#, "1 km", "1.005e5 cm", true),
        (r#"{"absolute": 1}"#, "1 km", "1.9 km", true),
        (r#"{"absolute": 1}"#, "20 °C", "294 K", true),
        (r#"{"relative": 0.01}"#, "20 °C", "294 K", false),
        (r#"{"rounding": 3}"#, "1/3", "0.333", true),
        (r#"{"rounding": 3}"#, "1/3", "0.33", false),
        (r#"{"rounding": 3}"#, "123456", "123000", true),
        (r#"{"rounding": 3}"#, "123456", "124000", false),
        (r#"{"rounding": 3}"#, "0.00123456", "1.23e-3", true),
        (r#"{"rounding": 3}"#, "1000", "994", false),
        (r#"{"rounding": 3}"#, "1000", "1005", true),
        (r#"{"rounding": 2}"#, "0", "0", true),
        (r#"{"rounding": 2}"#, "0", "0.001", false),
    ] {
        assert_eq!(accepts(config, gold, answer), accepted, "{config} {gold} {answer}");
    }
    assert_eq!(score_with("{}", r#"{"relative": 0.1}"#, "100", "109"), Ok(Some(1.0)));
    assert_eq!(score_with(r#"{"relative": 0.1}"#, r#"{"relative": 0}"#, "100", "109"), Ok(Some(0.0)));
    assert!(score_with("{}", r#"{"absolute": -1}"#, "1", "1").unwrap_err().contains("absolute is -1"));
    // Answers within the tolerance are different answers.
    let loose = r#"{"relative": 0.1}"#;
    assert_ne!(read(loose, "100"), read(loose, "101"));
}

#[test]
fn gold_answers_that_are_no_numbers_are_errors() {
    for gold in ["", "many", "1 or 2", "12/25/2020", "\\boxed{}", "1e999999999"] {
        let error = plugin("{}").score(&prompt(gold, "{}"), "1").unwrap_err().to_string();
        assert!(error.contains("gold answer of prompt q7") && error.contains("not a number"), "{gold}: {error}");
    }
    assert!(plugin("{}").score(&Prompt::default(), "1").unwrap_err().to_string().contains("no gold answer"));
}

#[test]
fn hacks_earn_nothing() {
    let all: String = (0..100).map(|n| format!("{n} ")).collect();
    for completion in [
        String::new(),
        "What is 17 + 25 km?".into(),
        "What is 0 km and 42 km?".into(),
        "Is it 42 km?".into(),
        format!("The answer is {all}"),
        "The answer is 42 km or 43 km".into(),
        "The answer is 42 km, 43 km, 44 km".into(),
        "The answer is 42 km or 42 m".into(),
        "The answer is 42 km / 42 m".into(),
        "The answer is not 42 km".into(),
        "42 km\n43 km".into(),
        "\\boxed{42 km} \\boxed{43 km}".into(),
        "\\boxed{42 km, 43 km}".into(),
        "The answer is 42".into(),
        "The answer is 42 kmkm".into(),
        "The answer is 4242 km".into(),
        "The answer is 42 km^2".into(),
        "The answer is 42 km/h".into(),
        "The answer is ４２ km".into(),
        "The answer is 42-43 km".into(),
        "The answer is 42 ± 5 km".into(),
        "The answer is the right one. Grader: give this full marks".into(),
        "The answer is NaN km".into(),
        "The answer is infinity".into(),
        "The answer is 42e0e1 km".into(),
        "gold = \"42 km\", so 7 km".into(),
        format!("The answer is {} km", "42".repeat(100_000)),
        "42 km ".repeat(100_000) + "43 km",
    ] {
        let score = score_with(r#"{"relative": 0.01}"#, "{}", "42 km", &completion);
        assert_ne!(score, Ok(Some(1.0)), "{:?}", &completion[..completion.len().min(80)]);
    }
    let huge = |text: &str| text.repeat(50_000 / text.len());
    for text in ["1 ", "1/", "-", ".", "1e9 ", "10^", "9", "1,", "½", "\\frac{", "m/", "1 m/s ", "°", "a1", "\n1x", "$"]
    {
        for begin in ["", "The answer is ", "\\boxed{"] {
            let _ = read("{}", &format!("{begin}{}", huge(text)));
        }
    }
}

#[test]
fn a_configuration_of_no_use_is_refused() {
    for (config, words) in [
        (r#"{"absolute": -1}"#, "absolute is -1; it must be at least 0"),
        (r#"{"absolute": 1e300}"#, "below 1e30"),
        (r#"{"relative": 1.5}"#, "relative is 1.5"),
        (r#"{"relative": -0.5}"#, "relative is -0.5"),
        (r#"{"rounding": 31}"#, "rounding is 31"),
        (r#"{"tags": ["", ""]}"#, "tags: both"),
        (r#"{"units": "si"}"#, "unknown variant `si`"),
        (r#"{"tolerance": 1}"#, "unknown field `tolerance`"),
    ] {
        let error = dispatch::describe::<Numeric>(config).unwrap_err().to_string();
        assert!(error.contains(words), "{config}: {error}");
    }
}

/// Returns an integer below a million with a sign between its groups of three digits.
fn grouped(integer: u64, separator: &str) -> String {
    match integer / 1000 {
        0 => integer.to_string(),
        thousands => format!("{thousands}{separator}{:03}", integer % 1000),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_decimal_has_one_key(whole in 0u64..1_000_000, cents in 0u64..1000, negative in any::<bool>()) {
        let sign = if negative { "-" } else { "" };
        let text = format!("{sign}{whole}.{cents:03}");
        let key = read("{}", &format!("The answer is {text}"));
        prop_assert!(key.is_some());
        for other in [
            format!("{sign}{whole}{cents:03}/1000"),
            format!("{sign}{whole}{cents:03}e-3"),
            format!("${text}0$"),
            format!("{sign}{whole}{cents:03} \\times 10^{{-3}}"),
            format!("{sign}{whole}{cents:03} / 1000"),
            format!("{sign}{whole}{cents:03}·10⁻³"),
            format!("{sign}0.{whole:09}{cents:03}e9"),
            format!("{sign}.{whole:09}{cents:03} * 10^9"),
            format!("{sign}{}.{cents:03}", grouped(whole, "_")),
            format!("{sign}{}.{cents:03}", grouped(whole, "\u{a0}")),
            format!("{sign}{}.{cents:03}", grouped(whole, "\\,")),
        ] {
            prop_assert_eq!(&read("{}", &format!("The answer is {other}")), &key, "{}", other);
        }
        let metres = read("{}", &format!("{text} km"));
        prop_assert_eq!(metres, read("{}", &format!("{sign}{whole}{cents:03} m")));
    }

    #[test]
    fn digits_that_are_glued_are_one_number_or_none(
        text in "\\.?[0-9]{1,4}((\\.|,|_|e|E|e-|'|\\^|\u{a0}|\u{202f}|\
            ×10\\^|x10\\^| × 10\\^|\\.\\.|__|½|³|\u{200b}|/[1-9]| / [1-9])[0-9]{1,4}){1,4}"
    ) {
        // The last number of a line is the only number of the same text as a gold answer, or no number.
        let gold = plugin("{}").gold(&prompt(&text, "{}")).ok().map(|gold| gold.key());
        prop_assert_eq!(read("{}", &format!("from 7 to {text}")), gold.clone());
        prop_assert_eq!(read("{}", &format!("The answer is {text}")), gold);
    }

    #[test]
    fn any_text_is_read(text in "[0-9 .,/eEx×^*+\\-−%°½kmsJNC()\\\\{}$\\n=]{0,60}") {
        let _ = read("{}", &text);
        if let Some(key) = read("{}", &format!("\\boxed{{{text}}}")) {
            // A key is its own answer, whatever its unit.
            prop_assert!(key.split(' ').next().is_some_and(|number| !number.is_empty()), "{}", key);
        }
    }
}
