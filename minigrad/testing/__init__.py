"""Gradient checks for your own functions: analytic derivatives against finite differences."""

from .check import GradientError, check_grad
from .differences import numeric_gradient

__all__ = ["GradientError", "check_grad", "numeric_gradient"]
