//! A convex program: a linear cost under linear constraints and bounds on squares.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};

/// A program that was not solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// No point meets all constraints.
    #[error("the constraints cannot all be met")]
    Infeasible,
    /// The solver stopped without a solution.
    #[error("the solver stopped with \"{0}\"")]
    Stopped(SolverStatus),
    /// The points at which the constraints are set did not suffice.
    #[error("the constraints are still violated between the points at which they are set")]
    NotConverged,
}

/// The upper bound of a magnitude.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    Number(f64),
    /// The value of a variable.
    Variable(usize),
}

/// Rows A x + s = b with s in a product of cones, the form that the solver takes.
pub(super) struct Program {
    variables: usize,
    rows: Vec<usize>,
    columns: Vec<usize>,
    values: Vec<f64>,
    bounds: Vec<f64>,
    cones: Vec<SupportedConeT<f64>>,
}

impl Program {
    pub(super) fn new(variables: usize) -> Self {
        let (rows, columns, values) = (Vec::new(), Vec::new(), Vec::new());
        Self { variables, rows, columns, values, bounds: Vec::new(), cones: Vec::new() }
    }

    /// Adds the constraint Σ coefficient·variable ≤ bound.
    pub(super) fn at_most(&mut self, terms: impl IntoIterator<Item = (usize, f64)>, bound: f64) {
        self.row(terms, bound);
        match self.cones.last_mut() {
            Some(SupportedConeT::NonnegativeConeT(dimension)) => *dimension += 1,
            _ => self.cones.push(SupportedConeT::NonnegativeConeT(1)),
        }
    }

    /// Adds the constraint |Σ coefficient·variable + constant| ≤ limit.
    pub(super) fn magnitude_at_most(
        &mut self,
        terms: impl IntoIterator<Item = (usize, f64)> + Clone,
        constant: f64,
        limit: Limit,
    ) {
        let (variable, number) = match limit {
            Limit::Number(number) => (None, number),
            Limit::Variable(variable) => (Some((variable, -1.0)), 0.0),
        };
        for sign in [1.0, -1.0] {
            let signed = terms.clone().into_iter().map(|(column, value)| (column, sign * value));
            self.at_most(signed.chain(variable), number - sign * constant);
        }
    }

    /// Adds the constraint (variable + constant)² ≤ `square`, a variable too, in the form ‖(square − 1, 2 (variable + constant))‖ ≤ square + 1.
    pub(super) fn square_at_most(&mut self, variable: usize, constant: f64, square: usize) {
        self.row([(square, -1.0)], 1.0);
        self.row([(square, -1.0)], -1.0);
        self.row([(variable, -2.0)], 2.0 * constant);
        self.cones.push(SupportedConeT::SecondOrderConeT(3));
    }

    fn row(&mut self, terms: impl IntoIterator<Item = (usize, f64)>, bound: f64) {
        for (column, value) in terms.into_iter().filter(|(_, value)| *value != 0.0) {
            self.rows.push(self.bounds.len());
            self.columns.push(column);
            self.values.push(value);
        }
        self.bounds.push(bound);
    }

    /// Returns the variables that minimise Σ cost·variable.
    pub(super) fn minimize(self, costs: impl IntoIterator<Item = (usize, f64)>) -> Result<Vec<f64>, SolveError> {
        let n = self.variables;
        let constraints = CscMatrix::new_from_triplets(self.bounds.len(), n, self.rows, self.columns, self.values);
        let mut cost = vec![0.0; n];
        costs.into_iter().for_each(|(variable, value)| cost[variable] = value);
        let settings = DefaultSettings { verbose: false, ..DefaultSettings::default() };
        let mut solver =
            DefaultSolver::new(&CscMatrix::zeros((n, n)), &cost, &constraints, &self.bounds, &self.cones, settings)
                .expect("rows, cones and variables have the same dimensions");
        solver.solve();
        match solver.solution.status {
            SolverStatus::Solved | SolverStatus::AlmostSolved => Ok(solver.solution.x),
            SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => Err(SolveError::Infeasible),
            status => Err(SolveError::Stopped(status)),
        }
    }
}
