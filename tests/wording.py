"""Check that a message is fit to be read: one clear sentence in both languages."""

from pipelines.text import Text, render


def assert_clear(text: Text, *names: str) -> None:
    """Assert that a text is filled in, translated, one line, and names the file it is about."""
    english, french = render(text, "en"), render(text, "fr")
    assert english != french, text.id
    for words in (english, french):
        assert words != text.id, f"{text.id} stands in no catalogue"
        assert "{" not in words, words
        assert "\n" not in words, words
        assert "Traceback" not in words, words
        assert words.endswith("."), words
        assert len(words) < 600, words
        for name in names:
            assert name in words, (name, words)
    # What to do next stands behind a semicolon or comma, not in a second paragraph.
    assert any(mark in english for mark in (";", ", so ", ", or ")), english
