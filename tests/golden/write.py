"""Writes the golden files anew: `PYTHONPATH=. .venv/bin/python -m tests.golden.write`. Read the diff before committing it."""

from pathlib import Path

from tests.golden.samples import rendered

HERE = Path(__file__).parent


def main() -> None:
    wanted = rendered()
    for stale in {path.name for path in HERE.glob("*.md")} - wanted.keys():
        (HERE / stale).unlink()
    for name, text in wanted.items():
        (HERE / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted)} golden files written to {HERE}")


if __name__ == "__main__":
    main()
