"""Metrics: the catalogue, the collector over a snapshot, the fast exposition."""
