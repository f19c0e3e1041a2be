//! Values that other programs and people agreed on, and properties of keys.

use alft_sdk::{Prompt, Reader, Verifier};
use proptest::prelude::*;
use serde_json::Value;

use crate::{Math, PercentRule, RelationRule, extract, key::key, parse::parse};

fn lines(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn read(completion: &str) -> Option<String> {
    Math::default().read(&Prompt::default(), completion).unwrap()
}

/// Returns the key of a text that is an answer alone.
fn value(text: &str) -> Option<String> {
    parse(text).as_ref().and_then(key).map(|key| key.text)
}

fn accepts(settings: &Math, gold: &str, completion: &str) -> bool {
    let prompt = Prompt { gold: Some(gold.to_owned()), ..Prompt::default() };
    let answer = settings.read(&prompt, completion).unwrap();
    answer.is_some_and(|answer| settings.score(&prompt, &answer).unwrap() == 1.0)
}

/// Cases of Math-Verify's tests that are decided otherwise here.
const OTHERWISE: [(i64, &str); 2] = [
    (
        6,
        "`1,22` is the list 1, 22: in answers to mathematical questions such lists are more common than decimal commas",
    ),
    (32, "a formula between `\\(` and `\\)` may begin on a new line"),
];

#[test]
fn the_cases_of_math_verify_are_decided_as_there() {
    for case in lines(include_str!("../tests/data/math_answers.jsonl")) {
        let settings = Math {
            rounding: case["float_rounding"].as_u64().unwrap() as u32,
            relations: match case["allow_set_relation_comp"].as_bool().unwrap() {
                true => RelationRule::Either,
                false => RelationRule::Gold,
            },
            ..Math::default()
        };
        let got = accepts(&settings, case["gold"].as_str().unwrap(), case["pred"].as_str().unwrap());
        let otherwise = OTHERWISE.iter().any(|(id, _)| case["id"] == *id);
        assert_eq!(got != otherwise, case["expected"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn pairs_that_users_of_math_verify_reported_are_decided_rightly() {
    for case in lines(include_str!("../tests/data/math_reported.jsonl")) {
        let got = accepts(&Math::default(), case["gold"].as_str().unwrap(), case["pred"].as_str().unwrap());
        assert_eq!(got, case["expected"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn solutions_of_models_are_graded_as_by_people() {
    for question in lines(include_str!("../../../examples/solutions/gsm8k.jsonl")) {
        let verdicts = question["completions"].as_array().unwrap().iter().zip(question["correct"].as_array().unwrap());
        for (completion, correct) in verdicts {
            let got = accepts(&Math::default(), question["gold"].as_str().unwrap(), completion.as_str().unwrap());
            assert_eq!(got, correct.as_bool().unwrap(), "{completion}");
        }
    }
}

#[test]
fn the_answer_is_found_in_this_order() {
    for (completion, key) in [
        ("It is \\boxed{7}, not 8.", Some("7")),
        ("\\boxed{1} or rather \\boxed{\\frac{3}{4}}", Some("{3/4,1}")),
        ("First \\boxed{1}.\nNo: after all that has been said before, it must be \\boxed{2}", Some("2")),
        ("\\boxed{\\text{(C)}}", Some("C")),
        ("\\boxed{a, \\{b\\}}", Some("{a,b}")),
        ("so 5.\n#### 1,234", Some("1234")),
        ("The answer is 12 apples. I ate 3.", Some("12")),
        ("**Final Answer: 73**", Some("73")),
        ("Final Answer: **73**", Some("73")),
        ("work\nA: $18", Some("18")),
        ("so $x = 3$ and hence $y = 4$", Some("4")),
        ("She has 12 eggs left, that is 1/2 of them.", Some("1/2")),
        ("The answer is $1 - \\frac{1}{\\mathrm{e}}$.", Some("~0.632120558828557678404476229839")),
        ("4\\sqrt(2)", Some("~5.65685424949238019520675489684")),
        ("The answer is $1, 2, \\ldots, n$", None),
        ("\\boxed{}", None),
        ("\\boxed{\\frac{1}{}}", None),
        ("The answer isn't 42.", None),
        ("The answer is not 42", None),
        ("The answers aren't 1 and 2", None),
        ("no answer", None),
        ("", None),
    ] {
        assert_eq!(read(completion).as_deref(), key, "{completion:?}");
    }
    let strict = Math { strict: true, ..Math::default() };
    let read = |completion| strict.read(&Prompt::default(), completion).unwrap();
    assert_eq!(read("so $x = 3$"), None);
    assert_eq!(read("the answer is 3").as_deref(), Some("3"));
}

#[test]
fn a_number_is_read_whole_or_not_at_all() {
    let gold = |text: &str| extract::gold(text).as_ref().and_then(key).map(|key| key.text);
    for (text, key) in [
        (".5", Some("1/2")),
        ("-.5", Some("-1/2")),
        ("-$.5", Some("-1/2")),
        ("1500 / 1", Some("1500")),
        ("1500 /1", Some("1500")),
        ("1500 1/1", Some("1501")),
        ("11 5/6", Some("71/6")),
        ("11\u{a0}5/6", Some("71/6")),
        ("2½", Some("5/2")),
        ("1\u{a0}500", Some("1500")),
        ("1\u{202f}500", Some("1500")),
        ("1\u{2009}500.5", Some("3001/2")),
        ("1{,}500", Some("1500")),
        ("1_500", Some("1500")),
        ("1_000", Some("1000")),
        ("12_000_000.5", Some("24000001/2")),
        ("2516_8", Some("2516_8")),
        ("101₂", Some("101_2")),
        ("1.5*10^3", Some("1500")),
        ("1.5 × 10^3", Some("1500")),
        ("1.5×10³", Some("1500")),
        ("1.5 x 10^3", Some("1500")),
        ("1.5×10⁻³", Some("3/2000")),
        ("10¹²", Some("1000000000000")),
        ("1.5e3", Some("1500")),
        ("1.5E+3", Some("1500")),
        ("1/1.5e3", Some("1/1500")),
        ("2^10", Some("1024")),
        ("1.5e3e1", None),
        ("1e3.2", None),
        ("1.2.3", None),
        ("1.500.000", None),
        ("1..5", None),
        ("1_50", None),
        ("1__500", None),
        ("1\u{a0}50", None),
        ("1'500", None),
        ("0x5dc", None),
        ("0xdc", None),
        ("0b101", None),
        ("4\u{200b}2", None),
        ("1e99999999", None),
        ("1.5e-99999999999", None),
        ("1e99999999999999999999999", None),
        ("1e1000", None),
    ] {
        let completions = [
            text.to_owned(),
            format!("so {text}."),
            format!("from 7 to {text}"),
            format!("The answer is {text}."),
            format!("\\boxed{{{text}}}"),
        ];
        for completion in completions {
            assert_eq!(read(&completion).as_deref(), key, "{completion:?}");
        }
        assert_eq!(gold(text).as_deref(), key, "{text:?}");
    }
    for (completion, key) in [("wait...5", "5"), ("so 10 m2", "10"), ("so 10m²", "10"), ("the 5 on the 3rd day", "5")]
    {
        assert_eq!(read(completion).as_deref(), Some(key), "{completion:?}");
    }
}

#[test]
fn one_value_has_one_key() {
    for same in [
        &["1/2", "0.5", ".50", "\\frac12", "\\frac{2}{4}", "½", "2^{-1}", "0.4\\overline{9}", "5e-1", "50/100"][..],
        &["1 1/4", "1\\frac14", "5/4", "1.25", "\\frac54"],
        &["1234567", "1,234,567", "1{,}234{,}567", "1 234 567", "\\$1,234,567", "1,\\!234,\\!567"],
        &["-3", "\u{2212}3", "- 3", "3 \\cdot (-1)", "-\\left(3\\right)"],
        &["\\pi/2", "pi/2", "\\frac{\\pi}{2}", "0.5\\pi", "π/2", "\\frac12 \\pi"],
        &["2\\sqrt{2}", "\\sqrt8", "\\sqrt{8}", "sqrt(8)", "2*sqrt(2)", "2^{3/2}", "\\frac{4}{\\sqrt2}"],
        &["e^{i\\pi}", "-1", "\\cos\\pi", "i^2"],
        &["14.0 + -1.0i", "14 - i"],
        &["exp(16)", "e^{16}"],
        &["x^2 + 2x + 1", "(x+1)^2", "(1+x)(x+1)", "\\frac{(x+1)^3}{x+1}"],
        &["\\sin^2 x + \\cos^2 x + x", "1 + x"],
        &["\\sin 2x", "2 \\sin x \\cos x", "2\\sin(x)\\cos(x)"],
        &["\\{1, 2, 3\\}", "3, 2, 1", "1, 2 and 3", "1 or 2 or 3", "x = 1, x = 2, x = 3"],
        &["(-\\infty, 2) \\cup (3, \\infty)", "(3, oo) ∪ (-inf, 2)"],
        &["[0, 1] \\cup [1, 2]", "[0, 2]"],
        &["x < 3", "3 > x", "2x < 6", "x - 3 < 0", "-x > -3"],
        &["2x + 4y = 3", "y = -\\frac12 x + \\frac34", "6 = 4x + 8y", "x + 2y - 3/2 = 0"],
        &["\\begin{pmatrix} 1/2 \\\\ 3 \\end{pmatrix}", "\\begin{bmatrix} 0.5 \\\\ 3 \\end{bmatrix}"],
        &["2 \\pm \\sqrt3", "2 + \\sqrt3, 2 - \\sqrt3"],
        &["28%", "28\\%", "28 percent", "28 pct"],
        &["120^\\circ", "120", "120°", "120 degrees"],
        &["5!", "120", "\\binom{10}{3}"],
        &["2516_8", "2516_{8}"],
        &["\\text{Evelyn}", "Evelyn", "\\text{ evelyn }"],
        &["7:32", "14:64"],
        &["|x|", "\\left| x \\right|", "\\lvert x \\rvert", "abs(x)", "|-x|"],
        &["|x||y|", "|xy|", "\\left|x\\right|\\left|y\\right|"],
        &["|x|^2", "x^2"],
        &["\\ln xy", "\\ln x + \\ln y"],
        &["\\lfloor n/2 \\rfloor + 1", "1 + \\left\\lfloor \\frac{n}{2} \\right\\rfloor", "floor(n/2) + 1"],
        &["n!/2", "\\frac{n!}{2}", "0.5 n!", "factorial(n)/2"],
        &["\\binom{n}{2}", "\\frac{n(n-1)}{2}", "{n \\choose 2}"],
        &["\\binom{2n}{n}", "\\dbinom{2n}{n}", "binomial(2n, n)"],
        &["\\gcd(12, 18)", "6", "gcd(12,18)", "\\operatorname{gcd}(18, 12)", "\\text{lcm}(2, 3)"],
        &["\\max(a, b)", "\\max\\{b, a\\}", "max(a, b)"],
        &["\\max(\\sqrt2, 1.4)", "\\sqrt2"],
        &["\\sum_{k=1}^{10} k^2", "385", "\\sum^{10}_{j=1} j^2"],
        &["\\sum_{k=1}^n k^2", "\\sum_{i=1}^{n} i^2", "\\sum\\limits_{i = 1}^n i \\cdot i"],
        &["\\prod_{k=1}^{3} (x + k)", "(x+1)(x+2)(x+3)"],
        &["\\int_0^1 e^{-x^2} dx", "\\int_{0}^{1} e^{-t^2}\\,dt"],
        &["\\int \\frac{dx}{x}", "\\int \\frac{1}{u} du"],
        &["\\lim_{x \\to 0} \\frac{f(x)}{x}", "\\lim_{x\\rightarrow 0} f(x)/x"],
        &["\\operatorname{arcsinh}(1)", "\\ln(1 + \\sqrt2)", "asinh(1)", "\\sinh^{-1} 1"],
        &["\\log_2 8", "3", "log(8, 2)"],
        &["x \\equiv 3 \\pmod 7", "10 \\pmod{7}", "3 (mod 7)", "x ≡ -4 mod 7"],
        &["1, 3 \\pmod 4", "3, 5 \\pmod 4"],
        &["\\mathbb{R} \\setminus \\{0\\}", "(-\\infty, 0) \\cup (0, \\infty)", "\\mathbb{R} \\backslash \\{0\\}"],
        &["[0, 1] \\setminus \\{1/2, 0\\}", "(0, 1/2) \\cup (0.5, 1]"],
        &["\\{x \\mid x > 3\\}", "x > 3", "\\{x \\in \\mathbb{R} : x > 3\\}"],
        &["\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}", "\\{1, 2\\}"],
    ] {
        let keys: Vec<_> = same.iter().map(|text| value(text)).collect();
        assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{same:?}: {keys:?}");
    }
}

#[test]
fn other_values_have_other_keys() {
    for other in [
        ["1/2^{99}", "1/2^{98}"],
        ["\\frac{1}{2004!}", "\\frac{1}{2006!}"],
        ["0.3333333333333333", "1/3"],
        ["\\pi", "3.14159265358979323846"],
        ["(3, 1)", "\\{1, 3\\}"],
        ["(1, 3)", "(3, 1)"],
        ["[0, 1)", "[0, 1]"],
        ["x < 3", "x \\le 3"],
        ["x < 3", "x > 3"],
        ["x + 1 < y", "x + 1 > y"],
        ["x^2", "x^3"],
        ["1/\\sin^{-1} 555555555555555555555555555555555553", "1/\\sin^{-1} 555555555555555555155555555555555553"],
        ["|x|", "x"],
        ["y = |x|", "y = x"],
        ["\\lfloor x \\rfloor", "\\lfloor x/2 \\rfloor"],
        ["\\lfloor x \\rfloor", "\\lceil x \\rceil"],
        ["n!", "(n+1)!"],
        ["\\gcd(a, b)", "\\lcm(a, b)"],
        ["\\sum_{k=1}^n k", "\\sum_{k=0}^n k^2"],
        ["\\sum_{k=1}^n \\sum_{j=1}^n k", "\\sum_{k=1}^n \\sum_{j=1}^n j"],
        ["\\int_0^1 f(x) dx", "\\int_0^2 f(x) dx"],
        ["3 \\pmod 7", "3 \\pmod 8"],
        ["3 \\pmod 7", "3"],
        ["x", "y"],
        ["12:00", "1:00"],
        ["52_8", "52"],
        ["\\pm 2021", "2021"],
        ["\\sqrt{2}", "\\sqrt[3]{2}"],
        ["32, 349", "32349"],
        ["x^2/4 + y^2/3 = 1", "x^2/16 + y^2/12 = 1"],
        ["10^{100000}", "10^{100001}"],
    ] {
        let [a, b] = other.map(value);
        assert!(a.is_some() && b.is_some() && a != b, "{other:?}: {a:?} {b:?}");
    }
}

#[test]
fn settings_accept_more_or_less() {
    let same = Math { percent: PercentRule::Same, relations: RelationRule::Same, rounding: 0, ..Math::default() };
    let gold = Math { relations: RelationRule::Gold, ..Math::default() };
    let either = Math::default();
    for (settings, wanted, answer, accepted) in [
        (&either, "28%", "28", true),
        (&either, "28%", "0.28", true),
        (&either, "28", "28%", true),
        (&same, "28%", "28", false),
        (&either, "1/12", "0.0833333333333333", true),
        (&either, "1/12", "0.08", false),
        (&same, "1/12", "0.0833333333333333", false),
        (&either, "16386.17", "16386.169", true),
        (&either, "123456.7", "123456.8", false),
        (&either, "(-\\infty, 3)", "x < 3", true),
        (&either, "x < 3", "(-\\infty, 3)", true),
        (&gold, "(-\\infty, 3)", "x < 3", false),
        (&gold, "x < 3", "(-\\infty, 3)", true),
        (&same, "x < 3", "(-\\infty, 3)", false),
        (&either, "y = 2x + 3", "2x + 3", true),
    ] {
        assert_eq!(accepts(settings, wanted, answer), accepted, "{wanted} {answer}");
    }
}

#[test]
fn a_gold_answer_that_is_no_value_is_an_error() {
    let score = |gold: Option<&str>| {
        Math::default().score(&Prompt { gold: gold.map(str::to_owned), id: "q7".to_owned(), ..Prompt::default() }, "1")
    };
    assert!(score(None).unwrap_err().to_string().contains("prompt q7 has no gold answer"));
    assert!(score(Some("\\frac{1}{")).unwrap_err().to_string().contains("prompt q7 is no mathematical value"));
}

#[test]
fn hostile_texts_end() {
    let many = |text: &str, count: usize| text.repeat(count);
    for text in [
        "5^(5^(5^(5^5)))".to_owned(),
        "9^{9^{9^{9^9}}}".to_owned(),
        "((10000!)!)!".to_owned(),
        "3".to_owned() + &many("!", 40),
        "x1000".to_owned() + &many("!", 27),
        many("9000.91e999>", 30) + "1",
        many("2^{32000}, ", 30) + "1",
        many("\\sum_{k=1}^{9999} ", 20) + "k",
        "\\sum_{k=1}^{9999}(".to_owned() + &many("k+", 400) + "x)",
        many("\\lfloor x/2 + ", 50) + "1" + &many("\\rfloor", 50),
        many("\\int_0^{", 50) + "1" + &many("} dx", 50),
        "\\gcd(".to_owned() + &many("9", 900) + "," + &many("6", 900) + ")",
        many("9999!+", 600) + "1",
        many("\\sin(", 50) + "x" + &many(")", 50),
        many("\\sqrt{x+", 55) + "1" + &many("}", 55),
        "{".repeat(3_000_000),
        many("\\boxed{", 100_000),
        many("\\frac", 100_000),
        many("$", 100_001),
        many("1+", 10_000) + "1",
        many("(1+x)", 300),
        "(x+1)^{9999}".to_owned(),
        many("1,", 20_000),
        "10^{10^{10}}".to_owned(),
        "\\binom{9999}{5000}".to_owned() + &many("+\\binom{9999}{4999}", 90),
        "0.".to_owned() + &many("9", 100_000),
        many("the answer is ", 10_000),
        "\\begin{pmatrix}".to_owned() + &many("1&", 900) + "1\\end{pmatrix}",
        "1/0".to_owned(),
        "0^{-1}".to_owned(),
        "\\ln 0".to_owned(),
        "\\tan(\\pi/2)".to_owned(),
        "e^{e^{e^{100}}}".to_owned(),
        "\\sqrt[0]{2}".to_owned(),
        "0/0 = x".to_owned(),
        "\\infty - \\infty".to_owned(),
    ] {
        for completion in [text.clone(), format!("\\boxed{{{text}}}"), format!("the answer is ${text}$.")] {
            // No panic, no overflow of the stack, no long wait.
            let _ = read(&completion);
            let _ = extract::gold(&completion);
        }
    }
}

/// Returns a random expression of fractions, as text and as its value.
fn expression() -> impl Strategy<Value = (String, Option<(i128, i128)>)> {
    let leaf = (0i128..30).prop_map(|n| (n.to_string(), Some((n, 1))));
    leaf.prop_recursive(4, 24, 2, |inner| {
        (inner.clone(), inner, 0..4).prop_map(|((a, x), (b, y), operator)| {
            let value = match (x, y) {
                (Some((p, q)), Some((r, s))) => match operator {
                    0 => Some((p * s + r * q, q * s)),
                    1 => Some((p * s - r * q, q * s)),
                    2 => Some((p * r, q * s)),
                    _ => (r != 0).then_some((p * s, q * r)),
                },
                _ => None,
            };
            let text = match operator {
                0 => format!("({a}+{b})"),
                1 => format!("({a} - {b})"),
                2 => format!("{a} \\cdot {b}"),
                _ => format!("\\frac{{{a}}}{{{b}}}"),
            };
            (text, value.filter(|(p, q)| p.abs() < 1 << 40 && q.abs() < 1 << 40))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn expressions_have_their_exact_value((text, want) in expression()) {
        if let Some((p, q)) = want {
            let want = dashu_ratio::RBig::from_parts_signed(p.into(), q.into()).to_string();
            prop_assert_eq!(value(&text), Some(want));
        }
    }

    #[test]
    fn keys_ignore_spaces_and_the_order_of_terms(a in 1..50i32, b in 1..50i32, c in 1..9u32) {
        let want = value(&format!("{a}x^{c}+{b}y"));
        prop_assert!(want.is_some());
        for text in [
            format!("{b} y + {a} x^{{{c}}}"),
            format!("\\left( {a}\\,x^{c} \\right) \\; + {b}\\cdot y"),
            format!("y*{b} + x^{c}*{a}"),
            format!("{a}x^{c}-(-{b}y)"),
        ] {
            prop_assert_eq!(&value(&text), &want, "{}", text);
        }
        prop_assert_ne!(value(&format!("{a}x^{c}+{}y", b + 1)), want);
    }

    #[test]
    fn every_spelling_of_a_decimal_is_its_value(
        whole in 0u64..1_000_000, milli in 0u64..1000, negative in any::<bool>()
    ) {
        let sign = if negative { "-" } else { "" };
        let want = value(&format!("{sign}{whole}{milli:03}/1000"));
        prop_assert!(want.is_some());
        let grouped = |separator: &str| match whole / 1000 {
            0 => whole.to_string(),
            thousands => format!("{thousands}{separator}{:03}", whole % 1000),
        };
        let mut spellings = vec![
            format!("{whole}.{milli:03}0"),
            format!("{whole}{milli:03} / 1000"),
            format!("{whole}{milli:03}e-3"),
            format!("{whole}{milli:03} × 10^-3"),
            format!("{whole}{milli:03}·10⁻³"),
            format!("{whole}{milli:03} * 10**(-3)"),
            format!("0.{whole:09}{milli:03}e9"),
            format!(".{whole:09}{milli:03} x 10^{{9}}"),
        ];
        for separator in [",", "_", "{,}", "\u{a0}", "\u{202f}", "\u{2009}"] {
            spellings.push(format!("{}.{milli:03}", grouped(separator)));
        }
        for spelling in spellings {
            for completion in [format!("{sign}{spelling}"), format!("from 7 to {sign}{spelling}.")] {
                prop_assert_eq!(&read(&completion), &want, "{}", completion);
            }
        }
    }

    #[test]
    fn digits_that_are_glued_are_one_number_or_none(
        text in "\\.?[0-9]{1,4}((\\.|_|e|E|e-|'|\\^|\u{a0}|\u{202f}|\
            ×10\\^|\\.\\.|__|½|³|\u{200b}|/[1-9]| / [1-9])[0-9]{1,4}){1,4}"
    ) {
        prop_assert_eq!(read(&format!("from 7 to {text}")), value(&text));
        prop_assert_eq!(read(&text), value(&text));
    }

    #[test]
    fn any_text_is_read(text in "[\\\\a-z0-9 {}()\\[\\]^_$,.+*/=<>!%|-]{0,80}") {
        let _ = read(&text);
        let _ = read(&format!("\\boxed{{{text}}}"));
    }
}

/// All gold answers of MATH-500 and GSM8K.
#[test]
fn gold_answers_parse_and_no_two_different_ones_are_equal() {
    // The same for answers that differ in separators, spaces and units alone.
    let plain = |text: &str| {
        let text = text.replace("\\frac14", "\\frac{1}{4}").replace("1,-2", "-2,1");
        let text = text.split("\\mbox").next().unwrap_or("").replace("x=", "");
        text.replace([',', ' ', '$', '!', '\\'], "").replace("^circ", "")
    };
    let mut texts = std::collections::BTreeMap::new();
    for gold in include_str!("../tests/data/gold_answers.txt").lines() {
        let key = extract::gold(gold).as_ref().and_then(key).unwrap_or_else(|| panic!("{gold} is not read")).text;
        assert!(accepts(&Math::default(), gold, &format!("\\boxed{{{gold}}}")), "{gold} is not itself");
        let other = texts.entry(key).or_insert_with(|| plain(gold));
        assert_eq!(*other, plain(gold));
    }
}
