"""Runs notebooks headlessly through the Roost kernel."""
