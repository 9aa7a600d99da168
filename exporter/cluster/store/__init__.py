"""The calls to the store: scripts in, checked values out.  `calls` has them; only `connecting` imports redis."""
