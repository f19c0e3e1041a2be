//! Small symmetric linear systems.

/// Solves A x = b. Returns `None` if the symmetric matrix A is not positive definite.
pub(super) fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for j in 0..n {
        let diagonal = a[j][j] - a[j][..j].iter().map(|l| l * l).sum::<f64>();
        if diagonal.is_nan() || diagonal <= 0.0 {
            return None;
        }
        a[j][j] = diagonal.sqrt();
        for i in j + 1..n {
            let (above, below) = a.split_at_mut(i);
            let inner: f64 = below[0][..j].iter().zip(&above[j][..j]).map(|(x, y)| x * y).sum();
            below[0][j] = (below[0][j] - inner) / above[j][j];
        }
    }
    for i in 0..n {
        let known: f64 = a[i][..i].iter().zip(&b).map(|(l, y)| l * y).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    Some(b)
}
