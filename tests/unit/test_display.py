"""Texts of others on the terminal, as reasons of promotions: shown as they are, never as markup or cursor movements."""

import pytest

from banditloop.pipelines.cli import display

TEXT = "[/red] [bold]new[/bold] [link=x]"


@pytest.fixture
def shown(capsys, monkeypatch):
    monkeypatch.setattr(display, "console", display.Console(width=120, force_terminal=False))
    return lambda: capsys.readouterr().out


@pytest.mark.parametrize(
    "show",
    [
        lambda: display.table("versions", [{"version": "v1", "reason": TEXT}]),
        lambda: display.table("versions", [{"version": "v1", "reason": TEXT}], wide=True),
        lambda: display.table(TEXT, [{"version": "v1"}]),
        lambda: display.table("columns", [{TEXT: "v1"}]),
        lambda: display.key_values("policy", {TEXT: 1}, as_json=False),
        lambda: display.line(TEXT),
        lambda: display.json_or_text({}, False, TEXT),
    ],
)
def test_markup_is_text(show, shown):
    show()
    assert TEXT in shown()


def test_cells_cannot_move_the_cursor(shown):
    display.table("versions", [{"reason": "a\x1b[2J\rb\x00c\x9bd"}])
    assert "a�[2J�b�c�d" in shown()
