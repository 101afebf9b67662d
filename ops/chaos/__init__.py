"""Breaks a shop by a plan that can be repeated, while people buy; then proves that all is well."""
