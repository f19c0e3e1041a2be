//! `alft estimator`: a table and how good it is.

use alft_game::estimator::{self, EstimatorKind, Report};

use crate::args::EstimatorArgs;
use crate::error::{Error, Result};

pub(crate) fn run(args: &EstimatorArgs) -> Result<()> {
    let report = report(args).map_err(|error| Error::Estimator(error.to_string()))?;
    if args.json {
        say!("{}", serde_json::to_string(&report).expect("a report is plain data"));
        return Ok(());
    }
    say!("{} for groups of {}", args.kind, args.group);
    say!("sup p·|bias|          {:.6}", report.sup_weighted_bias);
    say!("max p·second moment   {:.6}", report.max_weighted_second_moment);
    say!("{:>8}  {:>16}", "others", "estimate");
    for (others, estimate) in report.table.iter().enumerate() {
        say!("{others:>8}  {estimate:>16.9}");
    }
    Ok(())
}

fn report(args: &EstimatorArgs) -> std::result::Result<Report, estimator::Error> {
    let mut kind = args.kind;
    if let Some(order) = args.order {
        kind = kind.with_order(order)?;
    }
    if let Some(factor) = args.bias_factor {
        kind = kind.with_bias_factor(factor)?;
    }
    Report::of(kind, args.group)
}

/// [`EstimatorKind`] by its name, for the command line.
pub(crate) fn kind(name: &str) -> std::result::Result<EstimatorKind, String> {
    name.parse().map_err(|error: estimator::Error| error.to_string())
}
