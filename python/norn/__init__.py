"""Norn's Python side: turn a trained model into the package that `norn serve` reads."""
