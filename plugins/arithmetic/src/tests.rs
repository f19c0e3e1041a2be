//! The numbers that are read from completions, in many spellings, and those that are not.

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use super::*;

fn read(marker: Option<&str>, completion: &str) -> Option<String> {
    Arithmetic { marker: marker.map(Into::into) }.read(&Prompt::default(), completion).unwrap()
}

#[test]
fn the_last_number_is_the_answer() {
    for (completion, key) in [
        ("She has 3 ducks and 1,234 eggs.", Some("1234")),
        ("so that makes $12.50.", Some("25/2")),
        ("x = -7", Some("-7")),
        ("half of it: 2/4", Some("1/2")),
        ("It costs \u{2212}3 dollars", Some("-3")),
        ("10-3", Some("3")),
        ("0.0", Some("0")),
        ("3/0", Some("0")),
        ("=1.5e3", Some("1500")),
        ("2.5E-1 of it", Some("1/4")),
        ("so 1e99999999999", None),
        ("3 eggs and 2e", Some("2")),
        ("so 11 5/6", Some("71/6")),
        ("so 2 2/3", Some("8/3")),
        ("-1 1/2", Some("-3/2")),
        ("first 7, then 6 9/3", Some("3")),
        ("no number", None),
        ("", None),
    ] {
        assert_eq!(read(None, completion).as_deref(), key, "{completion:?}");
    }
}

#[test]
fn a_number_is_read_whole() {
    for (completion, key) in [
        (".5", "1/2"),
        ("-.5", "-1/2"),
        ("= -$.50", "-1/2"),
        ("so...5", "5"),
        ("That is all.5", "5"),
        ("1.5*10^3", "1500"),
        ("1.5 × 10^3", "1500"),
        ("1.5×10³", "1500"),
        ("1.5 x 10**3", "1500"),
        ("15·10⁻¹", "3/2"),
        ("1.5 \\times 10^{3}", "1500"),
        ("1.5E+3", "1500"),
        ("10^3", "1000"),
        ("3/4×10^2", "75"),
        ("1500 / 1", "1500"),
        ("1500\u{a0}/\u{a0}1", "1500"),
        ("1500 1/1", "1501"),
        ("11\u{a0}5/6", "71/6"),
        ("1_500", "1500"),
        ("1\u{a0}500", "1500"),
        ("1\u{202f}500.5", "3001/2"),
        ("1\u{2009}500\u{2009}000", "1500000"),
        ("1{,}500", "1500"),
        ("1\\,500", "1500"),
        ("5 cm²", "5"),
        ("42 g of CO₂", "42"),
        ("12kg", "12"),
        ("3加5等于8", "8"),
        ("**42**", "42"),
        ("50%", "50"),
        ("Rs500", "500"),
        ("8+7=15,5", "5"),
    ] {
        assert_eq!(read(None, completion).as_deref(), Some(key), "{completion:?}");
        assert_eq!(read(None, &format!("first 7, then {completion}.")).as_deref(), Some(key), "{completion:?}");
    }
}

#[test]
fn a_part_of_a_number_is_not_read() {
    for completion in [
        "1.5e3e1",
        "1e3.2",
        "1.2.3",
        "1..5",
        "1,5,00",
        "12,05",
        "1,234,5",
        "1,23,456",
        "1234,567",
        "100,5,123",
        "1,5.25",
        "1.5,25",
        "1.500.000",
        "1_50",
        "1__500",
        "1\u{a0}50",
        "1'500",
        "1,234\u{a0}567",
        "0x5dc",
        "0xdc",
        "0b101",
        "A5F3",
        "2h30",
        "1/2/3",
        "12/25/2020",
        "1500 / 1 / 1",
        "1 / 1e999",
        "2^10",
        "2^{10}",
        "2**10",
        "x^2",
        "2³",
        "101₂",
        "2½",
        "½",
        "1.5×10^3×10^2",
        "1.5×10^3.2",
        "1.5×10^401",
        "4\u{200b}2",
        "1５00",
        "５00",
        "1e99999999",
        "1e-99999999999",
        "1e401",
        "-1e99999999999999999999999",
    ] {
        assert_eq!(read(None, completion), None, "{completion:?}");
        // An earlier number is not taken for it, and beside another number it is a hedge.
        assert_eq!(read(None, &format!("first 7, then {completion}.")), None, "{completion:?}");
        assert_eq!(read(Some(":"), &format!(": 7 {completion}")), None, "{completion:?}");
        let prompt = Prompt { gold: Some(completion.into()), ..Prompt::default() };
        assert!(Arithmetic::default().score(&prompt, "1").is_err(), "{completion:?}");
    }
}

#[test]
fn numbers_that_are_too_long_end() {
    for text in [
        "9", "1,", "1,5,", "1,234", "1/0/", "1/", "1.", "1_", "1e9", "1 / ", "1 1/1", "1x", "10^", "1'", "½", "-", "$.",
    ] {
        let _ = read(None, &text.repeat(30_000 / text.len()));
    }
    assert_eq!(read(None, "1e399").map(|key| key.len()), Some(400));
    // Every answer is its own answer.
    for completion in ["1e399", "1e-399", "1e399/1e-399", "99999e398", "1e400"] {
        let answer = read(None, completion);
        assert_eq!(answer.is_none(), ["1e399/1e-399", "99999e398", "1e400"].contains(&completion), "{completion}");
        let prompt = Prompt { gold: answer.clone(), ..Prompt::default() };
        assert!(answer.is_none_or(|answer| Arithmetic::default().score(&prompt, &answer) == Ok(1.0)), "{completion}");
    }
}

#[test]
fn the_line_after_the_marker_has_one_number() {
    for (completion, key) in [
        ("8+7=15,5+2+1=8:85", Some("85")),
        ("1:2:085", Some("85")),
        ("8+7=15", None),
        (":85 or 86", None),
        (":", None),
        (": 85\nis what I get from 58+27", Some("85")),
    ] {
        assert_eq!(read(Some(":"), completion).as_deref(), key, "{completion:?}");
    }
}

#[test]
fn values_are_compared_rather_than_texts() {
    let score = |gold: &str, answer: &str| {
        Arithmetic::default().score(&Prompt { gold: Some(gold.into()), ..Prompt::default() }, answer)
    };
    assert_eq!(score("0.50", "1/2"), Ok(1.0));
    assert_eq!(score("51.0", "51"), Ok(1.0));
    assert_eq!(score("1,000", "1000"), Ok(1.0));
    assert_eq!(score("1e3", "1000"), Ok(1.0));
    assert_eq!(score("123456789012345678901", "123456789012345678900"), Ok(0.0));
    assert_eq!(score("0.3333333333333333", "1/3"), Ok(0.0));
    assert!(score("many", "1").unwrap_err().to_string().contains("is not a number"));
    assert!(Arithmetic::default().score(&Prompt::default(), "1").is_err());
}

/// Returns an integer with a sign between its groups of three digits.
fn grouped(integer: u64, separator: &str) -> String {
    let digits = integer.to_string();
    let first = (digits.len() + 2) % 3 + 1;
    let groups =
        digits.as_bytes()[first..].chunks(3).map(|group| format!("{separator}{}", String::from_utf8_lossy(group)));
    digits[..first].to_owned() + &groups.collect::<String>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_spelling_of_a_decimal_is_its_value(
        whole in prop_oneof![0u64..20, 0u64..1_000_000_000], milli in 0u64..1000, negative in any::<bool>()
    ) {
        let sign = if negative { "-" } else { "" };
        let units = BigInt::from(whole * 1000 + milli) * if negative { -1 } else { 1 };
        let key = BigRational::new(units, BigInt::from(1000)).to_string();
        let units = whole * 1000 + milli;
        let mut spellings = vec![
            format!("{whole}.{milli:03}"),
            format!("{whole}.{milli:03}00"),
            format!("{units}/1000"),
            format!("{units} / 1000"),
            format!("{units}e-3"),
            format!("{units}.0E-3"),
            format!("{units}×10^-3"),
            format!("{units} * 10^(-3)"),
            format!("{units} x 10**-3"),
            format!("{units}·10⁻³"),
            format!("0.{units:012}e9"),
            format!(".{units:012}×10⁹"),
        ];
        for separator in [",", "_", "\u{a0}", "\u{202f}", "\u{2009}", "{,}", "\\,"] {
            spellings.push(format!("{}.{milli:03}", grouped(whole, separator)));
            spellings.push(format!("{}/{}", grouped(units, separator), grouped(1000, separator)));
        }
        if whole == 0 {
            spellings.push(format!(".{milli:03}"));
        }
        if milli > 0 {
            spellings.push(format!("{whole} {milli}/1000"));
        }
        for spelling in spellings {
            let text = format!("{sign}{spelling}");
            prop_assert_eq!(number::parse(&text).map(|number| number.to_string()), Some(key.clone()), "{}", text);
            for completion in [text.clone(), format!("first 7, then {text}."), format!("x = ${text}$\n")] {
                prop_assert_eq!(read(None, &completion), Some(key.clone()), "{}", completion);
            }
        }
    }

    #[test]
    fn digits_that_are_glued_are_one_number_or_none(
        text in "\\.?[0-9]{1,4}((\\.|,|_|e|E|e-|x|'|\\^|\u{a0}|\u{202f}|\
            ×10\\^|x10\\^|\\.\\.|,\\.|__|½|³|\u{200b}|/[1-9])[0-9]{1,4}){1,4}"
    ) {
        let items: Vec<&str> = text.split(',').collect();
        let of_list = |item: &&str| matches!(item.as_bytes(), [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']);
        let integer = items[0].bytes().all(|byte| byte.is_ascii_digit());
        let list = integer && items.len() > 1 && items[1..].iter().all(of_list);
        let whole = number::parse(&text).map(|number| number.to_string());
        let want = if list { items.last().map(|item| (*item).to_owned()) } else { whole };
        prop_assert_eq!(read(None, &format!("first 7, then {text}")), want);
    }

    #[test]
    fn any_text_is_read(text in "[0-9 .,_/eEx×^*+\\-−%°½³kmA()\\\\{}$\u{a0}\n=]{0,60}") {
        if let Some(key) = read(None, &text) {
            prop_assert_eq!(number::parse(&key).map(|number| number.to_string()), Some(key));
        }
    }
}
