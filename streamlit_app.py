"""Entry of the dashboard: page config, navigation built from the registry, the chosen page."""


def main() -> None:
    """Draw the page that the address names."""
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
        page.run()
    freeze_modules()


if __name__ == "__main__":  # a spawned process imports this file again, under another name
    main()
