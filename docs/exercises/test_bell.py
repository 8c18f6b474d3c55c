"""Chapter 2: both rules are right, at first and second order, for shapes that broadcast as well."""

import numpy as np

import minigrad as mg
from minigrad.testing import check_grad, check_primitive


def test_the_slope_in_x_is_right_at_one_point(answer):
    slope = mg.grad(lambda x: answer.bell(x, 2.0))(1.0).item()
    np.testing.assert_allclose(slope, -0.25 * np.exp(-1 / 8), err_msg="dz/dx at x = 1, s = 2")


def test_both_rules_agree_with_finite_differences_at_both_orders(answer):
    check_primitive(answer.bell, np.array([0.5, -2.0, 1.0]), np.array([1.0, 2.0, 0.7]))


def test_one_width_for_all_gets_the_sum_of_what_each_gives(answer):
    check_grad(lambda x, s: answer.bell(x, s), np.array([[0.5, -2.0], [1.0, 0.3]]), np.array(1.5), order=2)
