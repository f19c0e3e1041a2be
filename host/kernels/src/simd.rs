//! Arithmetic that the compiler turns into vector instructions, and the choice of the machine's widest instruction set.

/// Number of partial sums of an accumulator. It fixes the order of summation on every instruction set.
pub(super) const LANES: usize = 16;

/// True if every machine of the target's architecture has a fused multiply-add, as aarch64 has.
pub(super) const PLAIN_FMA: bool = cfg!(not(target_arch = "x86_64"));

/// An instruction set that the kernels are compiled for. The machine's widest one is chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Any machine of the target's architecture.
    Plain,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Returns the widest level of this machine, or the one that [`at_each_level`] has set for this thread.
pub(super) fn level() -> Level {
    if let Some(level) = FORCED.get() {
        return level;
    }
    machine_level()
}

#[cfg(not(target_arch = "x86_64"))]
fn machine_level() -> Level {
    Level::Plain
}

#[cfg(target_arch = "x86_64")]
fn machine_level() -> Level {
    use std::arch::is_x86_feature_detected as detected;
    if !(detected!("avx2") && detected!("fma") && detected!("f16c")) {
        return Level::Plain;
    }
    match detected!("avx512f") && detected!("avx512vl") && detected!("avx512bw") && detected!("avx512dq") {
        true => Level::Avx512,
        false => Level::Avx2,
    }
}

thread_local! {
    static FORCED: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
}

/// Calls `f` once for each level of this machine, with the kernels of that level on this thread: for tests, which compare
/// the levels.
pub fn at_each_level(f: impl Fn(Level)) {
    let levels = [
        Level::Plain,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512,
    ];
    for level in levels.into_iter().filter(|level| *level <= machine_level()) {
        FORCED.set(Some(level));
        f(level);
    }
    FORCED.set(None);
}

/// Defines a function whose body is compiled for each [`Level`]; the choice is made at run time. In the body, the constant
/// `FMA` is true if [`fused`] is one instruction.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, clippy::extra_unused_type_parameters)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }

            match $crate::simd::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this level means that the machine has the features.
                $crate::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this level means that the machine has the features.
                $crate::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::simd::Level::Plain => body::<{ $crate::simd::PLAIN_FMA }>($($arg),*),
            }
        }
    };
}
pub(super) use vectorised;

/// Computes `a · b + c`, rounded once if the machine has one instruction for it (`FMA`) and twice otherwise, because
/// `mul_add` without the instruction is a slow function call.
#[inline(always)]
pub(super) fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Computes the exponential to a relative error of 3e-7 for `x` ≤ 88; 0 below −87, NaN for NaN. It has no branches, so
/// that loops over it become vector instructions: eˣ = 2ⁿ · eʳ with 2ⁿ by the exponent's bits, and eʳ by the Taylor
/// polynomial of degree 6 on |r| ≤ ln 2 / 2.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has few enough bits that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let n = fused::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = fused::<FMA>(n, -LN2_LOW, fused::<FMA>(n, -LN2_HIGH, clamped));
    let mut p = 1.0 / 720.0;
    p = fused::<FMA>(p, r, 1.0 / 120.0);
    p = fused::<FMA>(p, r, 1.0 / 24.0);
    p = fused::<FMA>(p, r, 1.0 / 6.0);
    p = fused::<FMA>(p, r, 0.5);
    p = fused::<FMA>(p, r, 1.0);
    p = fused::<FMA>(p, r, 1.0);
    // The bits of n + ROUND hold n. A float-to-int `as` cast would saturate, and does not vectorise.
    let bits = (n + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
    let power = f32::from_bits(bits.wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

/// Returns Σ f(x) over a slice, in [`LANES`] partial sums.
#[inline(always)]
pub(super) fn sum_by(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f(*value);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += f(*value);
    }
    fold(sums)
}

/// Returns Σ a·b over two slices of the same length, in [`LANES`] partial sums.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = fused::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum = fused::<FMA>(*a, *b, *sum);
    }
    fold(sums)
}

/// Returns the largest value of a slice; −∞ for an empty one.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (top, value) in tops.iter_mut().zip(chunk) {
            *top = if *value > *top { *value } else { *top };
        }
    }
    rest.iter().chain(&tops).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Returns the sum of partial sums, added pairwise.
///
/// Sixteen are added by instructions that every x86-64 has, because the compiler makes a long row of shuffles of the plain
/// form.
#[inline(always)]
pub(super) fn fold<const WIDTH: usize>(mut sums: [f32; WIDTH]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if WIDTH == 16 {
        use std::arch::x86_64::{_mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_ps, _mm_movehl_ps, _mm_shuffle_ps};
        // SAFETY: every x86-64 has SSE, and the four loads of four numbers are those of `sums`.
        unsafe {
            let at = sums.as_ptr();
            let (a, b) = (_mm_loadu_ps(at), _mm_loadu_ps(at.add(4)));
            let (c, d) = (_mm_loadu_ps(at.add(8)), _mm_loadu_ps(at.add(12)));
            let four = _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)));
        }
    }
    let mut width = WIDTH / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_has_a_relative_error_below_3e_7() {
        let check = |exp: fn(f32) -> f32| {
            for step in -870_000..880_000 {
                let x = step as f32 * 1e-4;
                let want = f64::from(x).exp();
                let error = (f64::from(exp(x)) - want).abs() / want;
                assert!(error < 3e-7, "exp({x}) is off by {error:e}");
            }
            assert_eq!(exp(0.0), 1.0);
            assert_eq!(exp(f32::NEG_INFINITY), 0.0);
            assert_eq!(exp(-1e30), 0.0);
            assert!(exp(f32::NAN).is_nan());
        };
        check(super::exp::<true>);
        check(super::exp::<false>);
    }
}
