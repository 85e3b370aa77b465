"""What a method must pass: ``check_method(MyMethod)`` runs on it the tests that the built-in methods pass."""

from semivox.testing.checks import CHECKS, check_method
from semivox.testing.faults import MethodFault

__all__ = ["CHECKS", "MethodFault", "check_method"]
