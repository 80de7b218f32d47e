"""`make docs`: write the generated sections of the documentation anew."""

from tests.docs.generated import GENERATED, regenerated


def main() -> None:
    """Rewrite every page that has generated sections."""
    for page in GENERATED:
        page.write_text(regenerated(page))


if __name__ == "__main__":
    main()
