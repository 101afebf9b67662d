"""Tests of local runs, their declaration and the containers' description."""
