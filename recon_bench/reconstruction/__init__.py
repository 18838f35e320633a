"""Reconstructions of measured data that come with no truth: how they were measured, and how settings are chosen."""
