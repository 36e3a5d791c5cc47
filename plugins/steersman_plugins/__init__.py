"""Plugins that ship errors, metrics and logs; they import steersman.api only."""
