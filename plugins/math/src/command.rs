//! Commands of LaTeX, and the words for them in plain text: functions, sums and integrals, matrices.

use dashu_ratio::RBig;

use crate::{
    factor::multiply,
    node::{Binder, Bound, Constant, Function, Node, Operation},
    parse::Parser,
    primary::constant,
    token::Token,
};

impl Parser<'_> {
    /// Parses what follows a command.
    pub(crate) fn command(&mut self, name: &str) -> Option<Node> {
        match name {
            "frac" => {
                let (numerator, rest) = self.digit_or_group()?;
                let denominator = match rest {
                    Some(rest) if rest.len() == 1 => Node::number(rest.parse::<u8>().ok()?),
                    // `\frac123` is a half times three in LaTeX, and nobody means that.
                    Some(_) => return None,
                    None => match self.digit_or_group()? {
                        (denominator, None) => denominator,
                        _ => return None,
                    },
                };
                Some(numerator.over(denominator))
            }
            "sqrt" => {
                let degree = if self.take('[') {
                    let degree = self.deeper(|parser| parser.sum())?;
                    if !self.take(']') {
                        return None;
                    }
                    degree
                } else {
                    Node::number(2)
                };
                let argument = if self.sees('(') { self.primary()? } else { self.sqrt_argument()? };
                Some(match &degree {
                    Node::Number(degree) if degree.is_int() && degree > &RBig::ONE => {
                        Node::Root(Box::new(argument), u32::try_from(degree.numerator().clone()).ok()?)
                    }
                    _ => argument.raised(degree.inverse()),
                })
            }
            "binom" if self.sees('(') => match self.primary()? {
                Node::Tuple(mut pair) if pair.len() == 2 => {
                    let k = Box::new(pair.pop()?);
                    Some(Node::Choose(Box::new(pair.pop()?), k))
                }
                _ => None,
            },
            "binom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                Some(Node::Choose(Box::new(n), Box::new(k)))
            }
            "pi" => Some(Node::Constant(Constant::Pi)),
            "infty" => Some(Node::Constant(Constant::Infinity)),
            "emptyset" => Some(Node::Constant(Constant::Empty)),
            "mathbb" => match self.argument()? {
                Node::Symbol(set) if set == "R" => Some(Node::Constant(Constant::Reals)),
                Node::Symbol(set) => Some(Node::Symbol(format!("mathbb:{set}"))),
                _ => None,
            },
            "begin" => self.environment(),
            "lfloor" => {
                let node = self.deeper(|parser| parser.sum())?;
                self.take_command(&["rfloor"]).then(|| Node::of(Function::Floor, node))
            }
            "lceil" => {
                let node = self.deeper(|parser| parser.sum())?;
                self.take_command(&["rceil"]).then(|| Node::of(Function::Ceil, node))
            }
            "overline" | "vec" | "hat" | "overrightarrow" | "bar" => {
                let name = format!("{name}:{}", self.argument()?.source());
                self.symbol(name)
            }
            "alpha" | "beta" | "gamma" | "delta" | "epsilon" | "varepsilon" | "theta" | "lambda" | "mu" | "nu"
            | "rho" | "sigma" | "tau" | "phi" | "varphi" | "psi" | "omega" | "Omega" | "Delta" | "Gamma" | "Phi"
            | "ell" | "xi" | "eta" | "zeta" | "kappa" | "chi" => self.symbol(name.to_owned()),
            "sum" => self.bound(Binder::Sum),
            "prod" => self.bound(Binder::Product),
            "lim" => self.bound(Binder::Limit),
            "int" => self.integral(),
            "gcd" => self.operation(Operation::Gcd),
            "lcm" => self.operation(Operation::Lcm),
            "max" => self.operation(Operation::Max),
            "min" => self.operation(Operation::Min),
            _ => self.function(name),
        }
    }

    /// Parses the arguments of a function of several numbers.
    fn operation(&mut self, operation: Operation) -> Option<Node> {
        match self.primary()? {
            Node::Tuple(arguments) | Node::Set(arguments) => Some(Node::Operation(operation, arguments)),
            _ => None,
        }
    }

    /// Parses the range and the body of a sum, a product or a limit.
    fn bound(&mut self, binder: Binder) -> Option<Node> {
        let mut below = None;
        let mut above = None;
        while below.is_none() || (above.is_none() && binder != Binder::Limit) {
            if below.is_none() && self.take('_') {
                below = Some(self.within(|parser| parser.range(binder))?);
            } else if above.is_none() && self.take('^') {
                above = Some(self.end()?);
            } else {
                return None;
            }
        }
        let (variable, from) = below?;
        let mut body = self.deeper(|parser| parser.product())?;
        if let constant @ Node::Constant(_) = constant(&variable) {
            body = replaced(&body, &constant, &Node::Symbol(variable.clone()));
        }
        let range = [from].into_iter().chain(above).collect();
        Some(Node::Bound(Box::new(Bound { binder, variable, range, body })))
    }

    /// Parses `{k = 1}` or `{x \to 0}`.
    fn range(&mut self, binder: Binder) -> Option<(String, Node)> {
        let braced = self.take('{');
        let Token::Letter(letter) = self.peek()? else { return None };
        self.skip(1);
        let variable = match self.symbol(letter.clone())? {
            Node::Symbol(name) => name,
            _ => letter.clone(),
        };
        let joined = if binder == Binder::Limit { self.take_command(&["to"]) } else { self.take('=') };
        let from = if joined { self.sum()? } else { return None };
        (!braced || self.take('}')).then_some((variable, from))
    }

    /// Parses an end of a range, which has no index and no power of its own: the other end may follow.
    fn end(&mut self) -> Option<Node> {
        if self.take('-') {
            return Some(self.deeper(|parser| parser.end())?.negative());
        }
        match self.peek()? {
            Token::Number(value, _) => {
                self.skip(1);
                Some(Node::Number(value.clone()))
            }
            Token::Letter(letter) => {
                self.skip(1);
                Some(Node::Symbol(letter.clone()))
            }
            _ => self.deeper(|parser| parser.primary()),
        }
    }

    /// Parses the range and the body of an integral. The variable is behind the `d` at the end.
    fn integral(&mut self) -> Option<Node> {
        let (mut below, mut above) = (None, None);
        while self.sees('_') || self.sees('^') {
            let end = if self.take('_') { &mut below } else { self.take('^').then_some(&mut above)? };
            if end.replace(self.end()?).is_some() {
                return None;
            }
        }
        let range = match (below, above) {
            (Some(below), Some(above)) => vec![below, above],
            (None, None) => Vec::new(),
            _ => return None,
        };
        let mut body = self.deeper(|parser| parser.sum())?;
        let last = match &mut body {
            Node::Add(terms) => terms.last_mut()?,
            other => other,
        };
        let variable = without_differential(last)?;
        Some(Node::Bound(Box::new(Bound { binder: Binder::Integral, variable, range, body })))
    }

    /// Parses the power and the argument of a function of one number.
    fn function(&mut self, name: &str) -> Option<Node> {
        if !is_function(name) {
            return None;
        }
        let mut base = if name == "log" && self.take('_') { Some(self.argument()?) } else { None };
        let power = if self.take('^') { Some(self.argument()?) } else { None };
        let bracket = ['(', '{', '[', '|', 'B'].iter().any(|open| self.sees(*open));
        let mut argument = if bracket { self.primary()? } else { self.tight_product()? };
        if let ("log", None, Node::Tuple(arguments)) = (name, &base, &mut argument)
            && arguments.len() == 2
        {
            base = arguments.pop();
            argument = arguments.pop()?;
        }
        // `\sin^{-1}` is the inverse function.
        let inverse = power.as_ref().is_some_and(|power| *power == Node::number(-1)).then(|| format!("arc{name}"));
        if let Some(inverse) = inverse.filter(|inverse| is_function(inverse)) {
            return applied(&inverse, argument);
        }
        let value = match base {
            Some(base) => Node::of(Function::Ln, argument).over(Node::of(Function::Ln, base)),
            None => applied(name, argument)?,
        };
        Some(match power {
            Some(power) => value.raised(power),
            None => value,
        })
    }

    /// Parses the argument of a root without brackets: one sign in LaTeX, and a number of several digits in plain text.
    fn sqrt_argument(&mut self) -> Option<Node> {
        match self.peek()? {
            Token::Number(value, _) => {
                self.skip(1);
                Some(Node::Number(value.clone()))
            }
            _ => self.argument(),
        }
    }

    /// Parses the argument of a function without brackets: `2x` of `\sin 2x`.
    fn tight_product(&mut self) -> Option<Node> {
        let mut value = self.power()?;
        while matches!(self.peek(), Some(Token::Letter(_) | Token::Number(..)))
            || self.sees_command(&["pi", "theta", "alpha", "beta", "frac", "sqrt"])
        {
            value = multiply(value, self.power()?);
        }
        Some(value)
    }

    /// Parses a matrix.
    fn environment(&mut self) -> Option<Node> {
        let name = self.environment_name()?;
        let cases = matches!(name.as_str(), "cases" | "aligned");
        if !cases
            && !["pmatrix", "bmatrix", "matrix", "vmatrix", "Bmatrix", "smallmatrix", "array"].contains(&name.as_str())
        {
            return None;
        }
        if name == "array" {
            // The alignment of the columns.
            while !self.take('}') {
                self.skip(1);
                self.peek()?;
            }
        }
        let mut rows = vec![Vec::new()];
        loop {
            if self.take_command(&["end"]) {
                break;
            }
            let cell = if cases { self.within(|parser| parser.case()) } else { self.within(|parser| parser.sum()) };
            rows.last_mut()?.push(cell?);
            if self.take('N') {
                if !self.sees_command(&["end"]) {
                    rows.push(Vec::new());
                }
            } else if !self.take('&') && !self.sees_command(&["end"]) {
                return None;
            }
        }
        if self.environment_name()? != name {
            return None;
        }
        let row = |mut row: Vec<Node>| if row.len() == 1 { row.pop() } else { Some(Node::Tuple(row)) };
        if cases { Some(Node::Set(rows.into_iter().filter_map(row).collect())) } else { Some(Node::Matrix(rows)) }
    }

    /// Parses a value or a condition of a definition by cases, with a comma or an "if" before it.
    fn case(&mut self) -> Option<Node> {
        let filler = |text: &str| {
            matches!(text.trim_matches([',', '.', ' ']).to_lowercase().as_str(), "if" | "for" | "when" | "")
        };
        while matches!(self.peek(), Some(Token::Text(text) | Token::Run(text)) if filler(text)) || self.sees(',') {
            self.skip(1);
        }
        let node = match self.peek()? {
            Token::Text(text) => {
                self.skip(1);
                Node::Text(text.clone())
            }
            _ => self.relation()?,
        };
        self.take(',');
        Some(node)
    }

    fn environment_name(&mut self) -> Option<String> {
        let (Token::Sign('{'), Token::Run(name), Token::Sign('}')) = (self.peek()?, self.after(1)?, self.after(2)?)
        else {
            return None;
        };
        self.skip(3);
        Some(name.clone())
    }
}

fn is_function(name: &str) -> bool {
    const NAMES: [&str; 27] = [
        "exp",
        "ln",
        "log",
        "lg",
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "arcsin",
        "arccos",
        "arctan",
        "arccot",
        "arcsec",
        "arccsc",
        "arcsinh",
        "arccosh",
        "arctanh",
        "abs",
        "floor",
        "ceil",
        "factorial",
    ];
    NAMES.contains(&name)
}

/// Returns a function's value, by the few that are evaluated.
fn applied(name: &str, x: Node) -> Option<Node> {
    let of = |function| Some(Node::of(function, x.clone()));
    let exp = |node| Node::of(Function::Exp, node);
    let half = |node: Node| node.over(Node::number(2));
    let root = |node| Node::Root(Box::new(node), 2);
    let square = || x.clone().raised(Node::number(2));
    let one = || Node::number(1);
    let again = |name, node| applied(name, node);
    match name {
        "exp" => of(Function::Exp),
        "ln" => of(Function::Ln),
        "log" | "lg" => Some(Node::of(Function::Ln, x).over(Node::of(Function::Ln, Node::number(10)))),
        "sin" => of(Function::Sin),
        "cos" => of(Function::Cos),
        "tan" => of(Function::Tan),
        "cot" => Some(Node::of(Function::Cos, x.clone()).over(Node::of(Function::Sin, x))),
        "sec" => Some(Node::of(Function::Cos, x).inverse()),
        "csc" => Some(Node::of(Function::Sin, x).inverse()),
        "sinh" => Some(half(exp(x.clone()).minus(exp(x.negative())))),
        "cosh" => Some(half(Node::Add(vec![exp(x.clone()), exp(x.negative())]))),
        "tanh" => Some(again("sinh", x.clone())?.over(again("cosh", x)?)),
        "coth" => Some(again("cosh", x.clone())?.over(again("sinh", x)?)),
        "arcsin" => of(Function::Arcsin),
        "arccos" => of(Function::Arccos),
        "arctan" => of(Function::Arctan),
        "arccot" => Some(half(Node::Constant(Constant::Pi)).minus(Node::of(Function::Arctan, x))),
        "arcsec" => again("arccos", x.inverse()),
        "arccsc" => again("arcsin", x.inverse()),
        "arcsinh" => again("ln", Node::Add(vec![x.clone(), root(Node::Add(vec![square(), one()]))])),
        "arccosh" => again("ln", Node::Add(vec![x.clone(), root(square().minus(one()))])),
        "arctanh" => Some(half(again("ln", Node::Add(vec![one(), x.clone()]).over(one().minus(x)))?)),
        "abs" => of(Function::Abs),
        "floor" => of(Function::Floor),
        "ceil" => of(Function::Ceil),
        "factorial" => Some(Node::Factorial(Box::new(x))),
        _ => None,
    }
}

fn replaced(node: &Node, old: &Node, new: &Node) -> Node {
    if node == old { new.clone() } else { node.map(&|part| replaced(part, old, new)) }
}

/// Takes the `dx` off the last factors of an integral's body, and returns the variable.
fn without_differential(body: &mut Node) -> Option<String> {
    let differential = |d: &Node, x: &Node| match (d, x) {
        (Node::Symbol(d), Node::Symbol(x)) if d == "d" => Some(x.clone()),
        _ => None,
    };
    let Node::Multiply(factors) = body else { return None };
    // Letters side by side are a product within the product.
    if let Some(Node::Multiply(inner)) = factors.last_mut()
        && let Some(variable) = match &inner[..] {
            [.., d, x] => differential(d, x),
            _ => None,
        }
    {
        inner.truncate(inner.len() - 2);
        return Some(variable);
    }
    // `\frac{dx}{x}`.
    if let [numerator @ Node::Multiply(_), Node::Power(..)] = &mut factors[..] {
        return without_differential(numerator);
    }
    let variable = match &factors[..] {
        [.., d, x] => differential(d, x)?,
        _ => return None,
    };
    factors.truncate(factors.len() - 2);
    Some(variable)
}
