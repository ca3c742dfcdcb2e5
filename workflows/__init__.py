"""The inside: deterministic workflows. Third-party imports: temporalio only."""
