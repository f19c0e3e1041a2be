//! `alft estimator`: an estimator's table, with its bias and second moment.

use alft_game::estimator::{self, EstimatorKind, Report};

use crate::error::Result;
use crate::print;

/// Print an estimator's table, and its worst bias and second moment.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft estimator --kind variance-optimal --group 16 --bias-factor 4 --json\n\n\
Entry n of the table is the estimate of a sample whose answer n of the other K − 1 samples share. Of −log p: plug-in, \
harmonic, minimax, variance-optimal; of p: leave-one-out; of a power of p: u-statistic.")]
pub(crate) struct EstimatorArgs {
    /// plug-in, leave-one-out, harmonic, u-statistic, minimax or variance-optimal
    #[arg(long, value_name = "NAME", value_parser = kind)]
    kind: EstimatorKind,
    /// K: the group's size, 2 to 64
    #[arg(long, value_name = "K")]
    group: u32,
    /// variance-optimal: the bias allowed, in units of 0.325/K² (default: 4 up to K = 32, and 8 above)
    #[arg(long, value_name = "C")]
    bias_factor: Option<f64>,
    /// u-statistic: the power of p (default: 2)
    #[arg(long, value_name = "J")]
    order: Option<u32>,
    /// Print a JSON object: table, sup_weighted_bias, max_weighted_second_moment
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &EstimatorArgs) -> Result<()> {
    let report = report(args)?;
    if args.json {
        print::json(&report);
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

/// Parses an estimator's name.
fn kind(name: &str) -> std::result::Result<EstimatorKind, String> {
    name.parse().map_err(|error: estimator::Error| error.to_string())
}
