//! Balls hold what they should.

use super::*;

#[test]
fn a_ball_holds_what_float64_loses() {
    let tiny = 2f64.powi(-60);
    let sum = Ball::from(1.0) + tiny;
    assert!(sum.value == 1.0 && sum.lower() < 1.0 && sum.upper() >= 1.0 + f64::EPSILON && sum.error < 1e-15);
    // (1 + e)^2 = 1 + 2 e + e^2, of which float64 loses e^2.
    let square = Ball::from(1.0 + f64::EPSILON) * (1.0 + f64::EPSILON);
    assert!(square.error >= f64::EPSILON * f64::EPSILON);
    let wide = Ball::new(2.0, 0.5) * Ball::new(-3.0, 0.25);
    assert!(wide.lower() <= -2.5 * 3.25 && wide.upper() >= -1.5 * 2.75);
    assert!((Ball::new(0.0, f64::MIN_POSITIVE) * f64::MIN_POSITIVE).upper() > 0.0);
    assert!(norm([3.0, -4.0]) >= 5.0);
}

#[test]
fn what_is_no_number_bounds_nothing() {
    for ball in [
        f64::NAN.into(),
        Ball::from(f64::INFINITY) * 0.0,
        Ball::new(0.0, f64::NAN),
    ] {
        let shifted = (ball + 1.0).relu();
        assert!(shifted.upper() == f64::INFINITY && shifted.lower() == f64::NEG_INFINITY);
        assert_eq!(norm([Ball::from(1.0), ball]), f64::INFINITY);
    }
}
