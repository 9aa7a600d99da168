"""What answers a request: metrics, pages, reload."""
