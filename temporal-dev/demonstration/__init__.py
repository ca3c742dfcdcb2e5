"""The demo in parts: the company and its change, what is seen while it happens, and what was proven when it is over."""
