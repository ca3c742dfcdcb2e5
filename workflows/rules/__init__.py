"""Pure rules: standard library only, no I/O, no clock. They answer; they do not raise."""
