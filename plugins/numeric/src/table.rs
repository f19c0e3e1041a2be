//! The units, with their exact values in base units.

/// A unit: its symbols, its names in the singular, true if it takes the prefixes of the SI, its dimension, and its value in
/// base units.
pub(crate) type Row = (&'static str, &'static str, bool, &'static str, &'static str);

/// Prefixes of the SI: symbol, name, power of ten. The smallest are left out: "am" and "as" are words.
pub(crate) const PREFIXES: [(&str, &str, i64); 18] = [
    ("T", "tera", 12),
    ("G", "giga", 9),
    ("M", "mega", 6),
    ("k", "kilo", 3),
    ("h", "hecto", 2),
    ("da", "deca", 1),
    ("d", "deci", -1),
    ("c", "centi", -2),
    ("m", "milli", -3),
    ("µ", "micro", -6),
    ("μ", "micro", -6),
    ("u", "micro", -6),
    ("n", "nano", -9),
    ("p", "pico", -12),
    ("f", "femto", -15),
    ("P", "peta", 15),
    ("E", "exa", 18),
    ("Z", "zetta", 21),
];

/// Base units, in the order of a key.
pub(crate) const BASE: [&str; 12] = ["kg", "m", "s", "A", "K", "mol", "cd", "bit", "year", "deg", "rad", "%"];

#[rustfmt::skip]
pub(crate) const UNITS: &[Row] = &[
    // Length.
    ("m", "meter metre", true, "m", "1"),
    ("in", "inch", false, "m", "0.0254"),
    ("ft", "foot", false, "m", "0.3048"),
    ("yd", "yard", false, "m", "0.9144"),
    ("mi", "mile", false, "m", "1609.344"),
    ("nmi", "", false, "m", "1852"),
    ("Å \u{212b}", "angstrom", false, "m", "1/10000000000"),
    ("au AU", "", false, "m", "149597870700"),
    ("ly", "", false, "m", "9460730472580800"),
    ("", "micron", false, "m", "0.000001"),
    // Area and volume.
    ("ha", "hectare", false, "m^2", "10000"),
    ("", "acre", false, "m^2", "4046.8564224"),
    ("L l ℓ", "liter litre", true, "m^3", "0.001"),
    ("gal", "gallon", false, "m^3", "0.003785411784"),
    ("qt", "quart", false, "m^3", "0.000946352946"),
    ("pt", "pint", false, "m^3", "0.000473176473"),
    ("cc", "", false, "m^3", "0.000001"),
    // Mass.
    ("g", "gram gramme", true, "kg", "0.001"),
    ("t", "tonne", false, "kg", "1000"),
    ("lb lbs", "pound", false, "kg", "0.45359237"),
    ("oz", "ounce", false, "kg", "0.028349523125"),
    // Time.
    ("s sec secs", "second", true, "s", "1"),
    ("min mins", "minute", false, "s", "60"),
    ("h hr hrs", "hour", false, "s", "3600"),
    ("d", "day", false, "s", "86400"),
    ("", "week", false, "s", "604800"),
    ("yr yrs", "year", false, "year", "1"),
    ("", "month", false, "year", "1/12"),
    ("", "decade", false, "year", "10"),
    ("", "century", false, "year", "100"),
    // Speed.
    ("mph", "", false, "m s^-1", "0.44704"),
    ("kph kmh", "", false, "m s^-1", "5/18"),
    ("kn kt", "knot", false, "m s^-1", "463/900"),
    // Temperature; the zero points are in `unit`.
    ("K", "kelvin", true, "K", "1"),
    ("°C ℃", "celsius", false, "K", "1"),
    ("°F ℉", "fahrenheit", false, "K", "5/9"),
    // Force, pressure, energy, power.
    ("N", "newton", true, "kg m s^-2", "1"),
    ("dyn", "dyne", false, "kg m s^-2", "0.00001"),
    ("lbf", "", false, "kg m s^-2", "4.4482216152605"),
    ("Pa", "pascal", true, "kg m^-1 s^-2", "1"),
    ("bar", "", true, "kg m^-1 s^-2", "100000"),
    ("atm", "atmosphere", false, "kg m^-1 s^-2", "101325"),
    ("Torr torr", "", false, "kg m^-1 s^-2", "101325/760"),
    ("mmHg", "", false, "kg m^-1 s^-2", "133.322387415"),
    ("psi", "", false, "kg m^-1 s^-2", "4.4482216152605/0.00064516"),
    ("J", "joule", true, "kg m^2 s^-2", "1"),
    ("cal", "calorie", true, "kg m^2 s^-2", "4.184"),
    ("Cal", "", false, "kg m^2 s^-2", "4184"),
    ("eV", "electronvolt", true, "kg m^2 s^-2", "0.0000000000000000001602176634"),
    ("Wh", "", true, "kg m^2 s^-2", "3600"),
    ("BTU Btu", "", false, "kg m^2 s^-2", "1055.05585262"),
    ("Nm", "", true, "kg m^2 s^-2", "1"),
    ("erg", "", false, "kg m^2 s^-2", "0.0000001"),
    ("W", "watt", true, "kg m^2 s^-3", "1"),
    ("hp", "horsepower", false, "kg m^2 s^-3", "745.69987158227022"),
    // Electricity and magnetism.
    ("A", "ampere amp", true, "A", "1"),
    ("C", "coulomb", true, "s A", "1"),
    ("V", "volt", true, "kg m^2 s^-3 A^-1", "1"),
    ("Ω \u{2126}", "ohm", true, "kg m^2 s^-3 A^-2", "1"),
    ("S", "siemens", true, "kg^-1 m^-2 s^3 A^2", "1"),
    ("F", "farad", true, "kg^-1 m^-2 s^4 A^2", "1"),
    ("H", "henry", true, "kg m^2 s^-2 A^-2", "1"),
    ("Wb", "weber", true, "kg m^2 s^-2 A^-1", "1"),
    ("T", "tesla", true, "kg s^-2 A^-1", "1"),
    ("Ah", "", true, "s A", "3600"),
    // Amount, light, frequency, radioactivity.
    ("mol", "mole", true, "mol", "1"),
    ("M", "", true, "m^-3 mol", "1000"),
    ("cd", "candela", true, "cd", "1"),
    ("Hz", "hertz", true, "s^-1", "1"),
    ("Bq", "becquerel", true, "s^-1", "1"),
    // Data.
    ("bit bits", "", true, "bit", "1"),
    ("B", "byte", true, "bit", "8"),
    ("KiB", "", false, "bit", "8192"),
    ("MiB", "", false, "bit", "8388608"),
    ("GiB", "", false, "bit", "8589934592"),
    // Angles: a degree is no rational number of radians.
    ("° deg", "degree", false, "deg", "1"),
    ("rad", "radian", true, "rad", "1"),
    ("%", "percent pct", false, "%", "1"),
];
