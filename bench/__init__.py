"""Measurements: how fast, how heavy, how right, printed as one JSON object each.

A bench starts real processes and talks to them over the wire; nothing here is imported
by the service, and no figure decides a unit test.
"""
