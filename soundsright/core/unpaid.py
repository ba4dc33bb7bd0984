"""Reasons why a round on certain recordings pays nobody. They stand in results, so they never change."""

from __future__ import annotations

PUBLIC_CORPUS = "public_corpus"
"""Anybody may have heard the recordings."""
NOT_COMMITTED = "root_not_committed"
"""The root of the private corpus was not on the chain in time."""
OTHER_PARAMETERS = "parameters_not_committed"
"""The root was, with other parameters of the sets."""
