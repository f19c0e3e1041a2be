//! The words and signs that are known: units, commands of LaTeX and their other names, signs of Unicode.

/// Units that stand beside a number without a space or a `\text`.
const UNITS: [&str; 34] = [
    "cm", "mm", "km", "dm", "m", "kg", "mg", "g", "lb", "lbs", "oz", "ml", "mL", "L", "in", "ft", "yd", "mi", "h",
    "hr", "hrs", "min", "s", "sec", "ms", "mph", "kph", "Hz", "J", "N", "W", "rad", "USD", "usd",
];

/// Words of plain text that are commands.
pub(crate) const COMMANDS: [&str; 56] = [
    "sqrt",
    "exp",
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "ln",
    "log",
    "lg",
    "pi",
    "infty",
    "arcsin",
    "arccos",
    "arctan",
    "arccot",
    "arcsec",
    "arccsc",
    "sinh",
    "cosh",
    "tanh",
    "coth",
    "arcsinh",
    "arccosh",
    "arctanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "arsinh",
    "arcosh",
    "artanh",
    "min",
    "max",
    "Min",
    "Max",
    "gcd",
    "lcm",
    "mod",
    "abs",
    "Abs",
    "floor",
    "ceil",
    "ceiling",
    "factorial",
    "binomial",
    "cup",
    "pm",
    "theta",
    "alpha",
    "beta",
    "gamma",
    "lambda",
];
/// Those of them that are words too: commands before a bracket alone.
pub(crate) const BEFORE_BRACKETS: [&str; 10] =
    ["min", "max", "Min", "Max", "abs", "floor", "ceil", "ceiling", "factorial", "binomial"];

/// Commands that change how a text looks and nothing else.
pub(crate) const LOOKS: [&str; 36] = [
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "displaystyle",
    "textstyle",
    "scriptstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "thinspace",
    "rm",
    "bf",
    "it",
    "mathstrut",
    "hline",
    "hfill",
    "centering",
    "small",
    "large",
    "Large",
    "normalsize",
    "middle",
    "medspace",
    "thickspace",
    "enspace",
    "space",
];

/// Commands whose group is text.
pub(crate) const TEXTS: [&str; 8] = ["text", "textbf", "textit", "textrm", "textsf", "texttt", "mbox", "hbox"];

/// Commands whose group is read as if they were not there.
pub(crate) const FONTS: [&str; 10] =
    ["mathrm", "mathbf", "mathit", "mathsf", "boldsymbol", "bm", "operatorname", "boxed", "fbox", "mathop"];

/// Commands with other names.
pub(crate) fn same(name: &str) -> &str {
    match name {
        "dfrac" | "tfrac" | "cfrac" => "frac",
        "dbinom" | "tbinom" => "binom",
        "times" | "cdot" | "ast" | "cdotp" => "*",
        "div" => "/",
        "le" | "leq" | "leqslant" => "≤",
        "ge" | "geq" | "geqslant" => "≥",
        "ne" | "neq" => "≠",
        "lt" => "<",
        "gt" => ">",
        "approx" | "simeq" | "sim" | "doteq" => "≈",
        "lbrace" => "{",
        "rbrace" => "}",
        "lvert" => "B",
        "rvert" => "b",
        "vert" | "mid" => "|",
        "langle" | "lparen" => "(",
        "rangle" | "rparen" => ")",
        "lbrack" => "[",
        "rbrack" => "]",
        "ldots" | "dots" | "cdots" | "dotsc" | "dotsb" | "vdots" | "ddots" => "…",
        "bigcup" => "cup",
        "backslash" => "setminus",
        "varnothing" => "emptyset",
        "degree" => "D",
        "colon" => ":",
        "asin" => "arcsin",
        "acos" => "arccos",
        "atan" => "arctan",
        "asinh" | "arsinh" => "arcsinh",
        "acosh" | "arcosh" => "arccosh",
        "atanh" | "artanh" => "arctanh",
        "Min" => "min",
        "Max" => "max",
        "Abs" => "abs",
        "ceiling" => "ceil",
        "binomial" => "binom",
        "bmod" => "mod",
        "rightarrow" | "longrightarrow" => "to",
        "tg" => "tan",
        "ctg" | "cotan" => "cot",
        "plusmn" => "pm",
        "wedge" | "land" => "and",
        "vee" | "lor" => "or",
        other => other,
    }
}

/// Returns true for the sign of a unit.
pub(crate) fn is_unit(text: &str) -> bool {
    UNITS.contains(&text)
}

/// Returns true if a text begins with the name of a command.
pub(crate) fn is_command(text: &str) -> bool {
    let name = &text[..text.bytes().take_while(u8::is_ascii_alphabetic).count()];
    ["frac", "in", "cap", "begin", "end", "overline", "circ"].contains(&name)
        || same(name) != name
        || (name.len() > 2 && [&COMMANDS[..], &LOOKS, &TEXTS, &FONTS].iter().any(|names| names.contains(&name)))
}

/// Writes a sign of Unicode as one of LaTeX or ASCII.
pub(crate) fn plain(c: char, out: &mut String) {
    out.push_str(match c {
        _ if c.is_ascii() && !c.is_ascii_whitespace() => return out.push(c),
        '\u{2212}' | '–' | '—' | '﹣' | '－' => "-",
        '×' | '·' | '⋅' | '∗' | '∙' => "*",
        '÷' | '∕' => "/",
        '≤' => "≤",
        '√' => "\\sqrt ",
        'π' => "\\pi ",
        'θ' => "\\theta ",
        '∞' => "\\infty ",
        '∪' => "\\cup ",
        '∩' => "\\cap ",
        '∈' => "\\in ",
        '±' => "\\pm ",
        '≡' => "\\equiv ",
        '→' => "\\to ",
        '∖' => "\\setminus ",
        '⌊' => "\\lfloor ",
        '⌋' => "\\rfloor ",
        '⌈' => "\\lceil ",
        '⌉' => "\\rceil ",
        '⟨' | '〈' => "(",
        '⟩' | '〉' => ")",
        'α' => "\\alpha ",
        'β' => "\\beta ",
        'γ' => "\\gamma ",
        'δ' => "\\delta ",
        'λ' => "\\lambda ",
        'μ' => "\\mu ",
        'σ' => "\\sigma ",
        'φ' => "\\phi ",
        'ω' => "\\omega ",
        'Δ' => "\\Delta ",
        '∅' => "\\emptyset ",
        'ℝ' => "\\mathbb{R}",
        '½' => "\\frac12 ",
        '⅓' => "\\frac13 ",
        '⅔' => "\\frac23 ",
        '¼' => "\\frac14 ",
        '¾' => "\\frac34 ",
        '⅕' => "\\frac15 ",
        '⅛' => "\\frac18 ",
        '°' | 'º' => "\\degree ",
        '’' | '′' => "'",
        '“' | '”' => "\"",
        '\u{a0}' | '\u{2009}' | '\u{202f}' | '\t' | '\r' | '\n' => " ",
        '€' | '£' | '¥' => "",
        _ => return out.push(c),
    });
}
