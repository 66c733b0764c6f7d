from streamlit.testing.v1 import AppTest


def failing_part() -> None:
    import streamlit as st

    from dashboard.errors import fragment
    from pipelines.errors import DataError
    from pipelines.text import Text

    @fragment
    def draw_data() -> None:
        raise DataError(Text("data.share", share=2))

    @fragment
    def draw_bug() -> None:
        raise ZeroDivisionError

    draw_data()
    draw_bug()
    st.caption("the rest of the page")


def test_what_fails_in_a_part_is_said_in_one_sentence_and_the_page_goes_on() -> None:
    page = AppTest.from_function(failing_part).run()
    assert not page.exception
    said = [box.value for box in page.error]
    assert len(said) == 2
    assert said[0].startswith("A share of 2 cannot be set aside")
    assert "Traceback" not in said[1]
    assert "ZeroDivisionError" not in said[1]
    assert [words.value for words in page.caption] == ["the rest of the page"]
