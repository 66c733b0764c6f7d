"""Entry of the dashboard: page config, navigation built from the registry, the chosen page."""


def main() -> None:
    """Draw the page that the address names."""
    from dashboard.start import check_settings, wait_until_loaded

    wait_until_loaded()

    import streamlit as st

    from dashboard.address import note_page
    from dashboard.errors import frame
    from dashboard.layout import ICON, apply_style, draw_notice
    from dashboard.memory import freeze_modules
    from dashboard.navigation import draw_language_switch, pages
    from dashboard.words import tr

    st.set_page_config(tr("pages.product"), page_icon=ICON, layout="wide")
    apply_style()
    page = st.navigation(pages(), position="top")
    note_page(page.url_path)
    draw_language_switch()
    draw_notice()
    with frame():
        check_settings()
        page.run()
    freeze_modules()


# this file has three lives: the server imports it for `app`, each visit runs it as `__main__`, and
# a spawned process imports it once more, under a third name, and needs nothing of it
if __name__ == "__main__":
    main()
elif __name__ == "streamlit_app":
    import streamlit as st

    from dashboard.start import lifespan

    app = st.App(__file__, lifespan=lifespan)
